"""Stop a run that loses case after case to the same infrastructure cause, before it pays for all of them."""

from __future__ import annotations

import threading

from dynamic_track.running.stopping import Stop
from dynamic_track.running.trial import TrialOutcome
from twinbench.causes import CAUSES, OutcomeClass

IN_A_ROW = 3


class Breaker:
    """Stops a run when the first ``IN_A_ROW`` cases that end are all lost to the same infrastructure cause.

    The first case that ends otherwise (resolved, unresolved, by the cap) shows that the infrastructure works, and
    disables the breaker.

    Args:
        stop: the run's stop.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._lost: list[TrialOutcome] = []
        self._works = False
        self._lock = threading.Lock()
        self.reason: str | None = None
        """Why the breaker stopped the run, and what to do; None if it has not."""

    def add(self, trial: TrialOutcome) -> None:
        """Add a trial that ended in this execution of the run, in the order of their ends."""
        with self._lock:
            if self._works or self.reason is not None:
                return
            if trial.cause is None or CAUSES[trial.cause].outcome_class is not OutcomeClass.infra:
                self._works = True
                return
            self._lost.append(trial)
            last = self._lost[-IN_A_ROW:]
            if len(last) == IN_A_ROW and len({each.cause for each in last}) == 1:
                self.reason = (
                    f"three cases in a row ended with cause {trial.cause} before any succeeded: {trial.detail}; "
                    f"{CAUSES[trial.cause].remedy}, then run the same command (--no-breaker continues anyway)"
                )
                self._stop.request()
