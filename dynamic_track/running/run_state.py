"""The state of a run as seen from outside, during and after it: progress, and whether it is active."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dynamic_track.running.origin import Origin
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.saved_run import SavedRun
from dynamic_track.running.score import RunScore, score_trials
from dynamic_track.running.trial import TrialOutcome, summarise_trial
from twinbench.calls.journal import LOCK_FILE
from twinbench.calls.lines import RunExecution
from twinbench.calls.recording import Recording, lines_of_kinds
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveManifest

_ENDING_FIELDS = ("cause", "detail", "exit_status", "first_router_error")


@dataclass(frozen=True)
class TrialState:
    """The progress of a trial."""

    case: str
    trial: int
    state: str
    """``planned``, ``running`` (or interrupted), ``grading``, or how it is counted."""
    steps: int
    candidate: str | None
    """The candidate that was called last."""
    cost_usd: float
    spend_usd: float
    router_errors: int
    """Number of failed decisions of the router."""
    node: str | None
    """The node that it ran on last; None in a run with a single engine."""
    outcome: TrialOutcome | None
    """The trial's outcome; None if it has not ended."""

    def to_json(self) -> dict[str, Any]:
        """The trial as a JSON object."""
        content = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "outcome"}
        told = {} if self.outcome is None else self.outcome.summary_fields()
        return {**content, **{name: told.get(name) for name in _ENDING_FIELDS}}


@dataclass(frozen=True)
class RunState:
    """The progress of a run."""

    run: str
    active: bool
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

    @property
    def nodes(self) -> dict[str, int]:
        """How many trials each node ran last; empty for a run with a single engine."""
        return dict(Counter(trial.node for trial in self.trials if trial.node is not None))

    def count(self, state: str) -> int:
        """Count the trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        content = {name: getattr(self, name) for name in ("run", "active", "simulated", "router", "run_usd")}
        told = {"origin": self.origin.name, "about": self.origin.value}
        return {
            **content,
            **told,
            **self.score.to_json(),
            "nodes": self.nodes,
            "trials": [trial.to_json() for trial in self.trials],
        }


def is_active(run: RunDirectory) -> bool:
    """Return whether a process is writing the run's journal."""
    try:
        lock = os.open(run.journal / LOCK_FILE, os.O_RDONLY)
    except OSError:  # the journal was never written, or the folder is not writable
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look at the same time
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def run_state(run: SavedRun, pool: LiveManifest | None = None) -> RunState:
    """Determine the progress of a run.

    Args:
        run: the run.
        pool: its pool; None: the one that its plan names.

    Raises:
        UsageError: the pool does not exist.
        JournalError: the journal is damaged.
    """
    pool = pool or live_manifest(run.plan.pool)
    run.directory.check_journal_present()
    cap = next((sitting.line.run_usd for sitting in reversed([*lines_of_kinds(run.entries, RunExecution)])), None)
    found = run.trials
    to_be_graded = not run.plan.is_imported
    nodes = run.directory.nodes()
    states = [
        _trial_state(found.get(key) or Recording(*key), pool, nodes.get(key), to_be_graded=to_be_graded)
        for key in sorted({*run.missing, *found})
    ]
    ended = [summarise_trial(pool, recording) for recording in found.values() if recording.end is not None]
    return RunState(
        run=str(run.directory.path),
        active=is_active(run.directory),
        origin=run.origin,
        router=run.plan.router,
        run_usd=None if cap is None else float(cap),
        trials=tuple(states),
        score=score_trials(ended, pool, run.unfinished_usd, run.directory.not_loaded),
    )


def size_bytes(path: Path) -> int:
    """Return the total size of the files in a directory; files that disappear meanwhile are not counted."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def _trial_state(recording: Recording, pool: LiveManifest, node: str | None, *, to_be_graded: bool) -> TrialState:
    steps = [recording.steps[number] for number in sorted(recording.steps)]
    decided = [step.decision.candidate for step in steps if step.decision is not None]
    outcome = None if recording.end is None else summarise_trial(pool, recording)
    if outcome is None:
        state = "running" if recording.start is not None else "planned"
    else:
        state = "grading" if outcome.outcome_class == "ungraded" and to_be_graded else outcome.outcome_class
    return TrialState(
        case=recording.case,
        trial=recording.trial,
        state=state,
        steps=len(recording.answers),
        candidate=decided[-1] if decided else None,
        cost_usd=float(recording.cost_usd),
        spend_usd=float(recording.spend_usd),
        router_errors=len(recording.router_errors),
        node=node,
        outcome=outcome,
    )
