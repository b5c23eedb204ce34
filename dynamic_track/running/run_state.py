"""A run looked at from outside, while it is worked on or after: how far it is, and whether somebody works on it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dynamic_track.running.kept import KeptRun
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.score import RunScore, scored
from dynamic_track.running.trial import concluded
from twinbench.calls.journal import LOCK
from twinbench.calls.lines import Sitting
from twinbench.calls.recording import Recording, lines_of
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest


@dataclass(frozen=True)
class TrialState:
    """How far a trial is."""

    case: str
    trial: int
    state: str
    """``planned``, ``running`` (or left where it was), ``grading``, or what it is counted as."""
    steps: int
    candidate: str | None
    """Who was asked last."""
    cost_usd: float
    spend_usd: float


@dataclass(frozen=True)
class RunState:
    """How far a run is."""

    run: str
    working: bool
    """Whether a process works on it now."""
    simulated: bool
    router: str
    run_usd: float | None
    """The cap of the last sitting."""
    trials: tuple[TrialState, ...]
    score: RunScore

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        content = {name: getattr(self, name) for name in ("run", "working", "simulated", "router", "run_usd")}
        return {**content, **self.score.to_json(), "trials": [asdict(trial) for trial in self.trials]}


def is_worked_on(run: RunDirectory) -> bool:
    """Whether a process writes the run's journal."""
    try:
        lock = os.open(run.journal / LOCK, os.O_RDONLY)
    except OSError:  # nobody has written here, or where nobody can
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look at the same time
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def run_state(run: KeptRun, pool: LiveManifest | None = None) -> RunState:
    """How far a run is.

    Args:
        run: read.
        pool: its pool; None: where its plan found it.

    Raises:
        UsageError: there is no such pool.
        JournalError: its journal is damaged.
    """
    pool = pool or live_manifest(run.plan.pool)
    run.directory.refuse_lost_journal()
    cap = next((sitting.line.run_usd for sitting in reversed([*lines_of(run.entries, Sitting)])), None)
    found = run.trials
    states = [_state(found.get(key) or Recording(*key), pool) for key in sorted({*run.missing, *found})]
    ended = [concluded(pool, recording) for recording in found.values() if recording.end is not None]
    return RunState(
        run=str(run.directory.path),
        working=is_worked_on(run.directory),
        simulated=run.plan.is_simulated,
        router=run.plan.router,
        run_usd=None if cap is None else float(cap),
        trials=tuple(states),
        score=scored(ended, pool, run.begun_usd),
    )


def size_bytes(path: Path) -> int:
    """What the files of a directory take; files that a run at work removes meanwhile are not counted."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _state(recording: Recording, pool: LiveManifest) -> TrialState:
    steps = [recording.steps[number] for number in sorted(recording.steps)]
    decided = [step.decision.candidate for step in steps if step.decision is not None]
    if recording.end is None:
        state = "running" if recording.start is not None else "planned"
    else:
        state = concluded(pool, recording).counts
        state = "grading" if state == "ungraded" else state
    return TrialState(
        case=recording.case,
        trial=recording.trial,
        state=state,
        steps=len(recording.answers),
        candidate=decided[-1] if decided else None,
        cost_usd=float(recording.cost_usd),
        spend_usd=float(recording.spend_usd),
    )
