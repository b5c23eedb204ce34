"""The state of a run as seen from outside, during and after it: progress, and whether it is active."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dynamic_track.running.kept import KeptRun
from dynamic_track.running.origin import Origin
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.score import RunScore, scored
from dynamic_track.running.trial import Trial, concluded
from twinbench.calls.journal import LOCK
from twinbench.calls.lines import Sitting
from twinbench.calls.recording import Recording, lines_of
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest

_OF_THE_END = ("cause", "detail", "exit_status", "first_router_error")


@dataclass(frozen=True)
class TrialState:
    """The progress of a trial."""

    case: str
    trial: int
    state: str
    """``planned``, ``running`` (or interrupted), ``grading``, or how it is counted."""
    steps: int
    candidate: str | None
    """The candidate that was asked last."""
    cost_usd: float
    spend_usd: float
    router_errors: int
    """Number of failed decisions of the router."""
    outcome: Trial | None
    """The trial's outcome; None if it has not ended."""

    def to_json(self) -> dict[str, Any]:
        """The trial as a JSON object."""
        content = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "outcome"}
        told = {} if self.outcome is None else self.outcome.ending()
        return {**content, **{name: told.get(name) for name in _OF_THE_END}}


@dataclass(frozen=True)
class RunState:
    """The progress of a run."""

    run: str
    working: bool
    """Whether a process is executing the run now."""
    origin: Origin
    router: str
    run_usd: float | None
    """The spending cap of the last execution."""
    trials: tuple[TrialState, ...]
    score: RunScore

    @property
    def simulated(self) -> bool:
        """Whether simulated models answered."""
        return self.origin.is_simulated

    def count(self, state: str) -> int:
        """Count the trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        content = {name: getattr(self, name) for name in ("run", "working", "simulated", "router", "run_usd")}
        told = {"origin": self.origin.name, "about": self.origin.value}
        return {**content, **told, **self.score.to_json(), "trials": [trial.to_json() for trial in self.trials]}


def is_worked_on(run: RunDirectory) -> bool:
    """Return whether a process is writing the run's journal."""
    try:
        lock = os.open(run.journal / LOCK, os.O_RDONLY)
    except OSError:  # the journal was never written, or the folder is not writable
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look at the same time
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def run_state(run: KeptRun, pool: LiveManifest | None = None) -> RunState:
    """Determine the progress of a run.

    Args:
        run: the run.
        pool: its pool; None: the one that its plan names.

    Raises:
        UsageError: the pool does not exist.
        JournalError: the journal is damaged.
    """
    pool = pool or live_manifest(run.plan.pool)
    run.directory.refuse_lost_journal()
    cap = next((sitting.line.run_usd for sitting in reversed([*lines_of(run.entries, Sitting)])), None)
    found = run.trials
    to_be_graded = not run.plan.is_imported
    states = [
        _state(found.get(key) or Recording(*key), pool, to_be_graded=to_be_graded)
        for key in sorted({*run.missing, *found})
    ]
    ended = [concluded(pool, recording) for recording in found.values() if recording.end is not None]
    return RunState(
        run=str(run.directory.path),
        working=is_worked_on(run.directory),
        origin=run.origin,
        router=run.plan.router,
        run_usd=None if cap is None else float(cap),
        trials=tuple(states),
        score=scored(ended, pool, run.begun_usd, run.directory.not_loaded),
    )


def size_bytes(path: Path) -> int:
    """Return the total size of the files in a directory; files that disappear meanwhile are not counted."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _state(recording: Recording, pool: LiveManifest, *, to_be_graded: bool) -> TrialState:
    steps = [recording.steps[number] for number in sorted(recording.steps)]
    decided = [step.decision.candidate for step in steps if step.decision is not None]
    outcome = None if recording.end is None else concluded(pool, recording)
    if outcome is None:
        state = "running" if recording.start is not None else "planned"
    else:
        state = "grading" if outcome.counts == "ungraded" and to_be_graded else outcome.counts
    return TrialState(
        case=recording.case,
        trial=recording.trial,
        state=state,
        steps=len(recording.answers),
        candidate=decided[-1] if decided else None,
        cost_usd=float(recording.cost_usd),
        spend_usd=float(recording.spend_usd),
        router_errors=len(recording.router_errors),
        outcome=outcome,
    )
