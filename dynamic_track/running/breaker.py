"""A run that loses case after case to the same infrastructure is stopped before it loses, and pays for, all."""

from __future__ import annotations

import threading

from dynamic_track.running.stopping import Stop
from dynamic_track.running.trial import Trial
from twinbench.causes import CAUSES, Counts

IN_A_ROW = 3


class Breaker:
    """Stops a run when the first cases that end are lost to one infrastructure cause, ``IN_A_ROW`` of them in a row.

    The first case that ends otherwise (resolved, unresolved, by the cap) shows that the infrastructure works, and this
    watches no more.

    Args:
        stop: of the run.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._lost: list[Trial] = []
        self._works = False
        self._lock = threading.Lock()
        self.reason: str | None = None
        """Why it has stopped the run, and what to do; None where it has not."""

    def add(self, trial: Trial) -> None:
        """Take a trial that has ended in this execution of the run, in the order in which they end."""
        with self._lock:
            if self._works or self.reason is not None:
                return
            if trial.cause is None or CAUSES[trial.cause].counts is not Counts.infra:
                self._works = True
                return
            self._lost.append(trial)
            last = self._lost[-IN_A_ROW:]
            if len(last) == IN_A_ROW and len({each.cause for each in last}) == 1:
                self.reason = (
                    f"three cases in a row ended with cause {trial.cause} before any succeeded: {trial.detail}; "
                    f"{CAUSES[trial.cause].remedy}, then run the same command (--no-breaker goes on regardless)"
                )
                self._stop.request()
