"""Replay a run from its journal, with real containers and grading but without a provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dynamic_track.grading.verdict import grade
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.running.origin import Origin
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.trial import Bench, concluded, work
from dynamic_track.tasks.task import Task
from twinbench.calls.recording import DivergedError, Recording
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import Cause, CausedError
from twinbench.containers.engine import Engine
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.fingerprint import sha256_text
from twinbench.reading.input_files import read_regular
from twinbench.unexpected import describe_error, is_disk_failure

_COMPARED = (
    "resolved",
    "cause",
    "steps",
    "cost_usd",
    "spend_usd",
    "bill_usd",
    "usage",
    "models",
    "router_calls",
    "router_usd",
)


@dataclass(frozen=True)
class Difference:
    """The first difference between a trial and its replay."""

    case: str
    trial: int
    step: int
    what: str
    recorded: Any
    replayed: Any


@dataclass(frozen=True, repr=False)
class Replayed(Tabular):
    """The result of a replay."""

    cases: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    """Notes for the user on the replay's conditions."""
    origin: Origin = Origin.real
    """The origin of the run's numbers."""

    @property
    def equal(self) -> int:
        """How many trials were reproduced exactly."""
        return self.cases - len(self.differences)

    def to_json(self) -> dict[str, Any]:
        """The replay as a JSON object."""
        return {
            "cases": self.cases,
            "equal": self.equal,
            "differences": self.records(),
        }

    def records(self) -> list[dict[str, Any]]:
        """A row for each difference."""
        return [asdict(difference) for difference in self.differences]


def replay(
    bench: Bench,
    engine: Engine,
    tasks: Mapping[str, Task],
    recorded: Sequence[Recording],
    run: RunDirectory,
    verdicts: VerdictStore,
    progress: Progress = no_progress,
    failed: Mapping[str, CausedError] | None = None,
) -> Replayed:
    """Run recorded trials again and compare decisions, requests, observations, patch, verdict and bill.

    Args:
        bench: the trials' context, without a response source, so that no provider can be asked.
        engine: the Docker engine.
        tasks: the tasks by id.
        recorded: the recordings of trials that ended.
        run: the run directory with the trials' files.
        verdicts: an empty store, so that everything is graded again.
        progress: called for each trial.
        failed: images that are not available, and why.
    """
    differences = []
    for done, recording in enumerate(recorded):
        progress(f"replaying {recording.case}", done, len(recorded))
        task = tasks.get(recording.case)
        if task is None:
            found: Difference | None = _difference(recording, 0, "task", recording.case, None)
        else:
            no_image = (failed or {}).get(task.image)
            found = _replayed_within_wall(bench, engine, task, recording, run, verdicts, no_image)
        if found is not None:
            differences.append(found)
    progress("replaying", len(recorded), len(recorded))
    return Replayed(len(recorded), tuple(differences))


def _replayed_within_wall(
    bench: Bench,
    engine: Engine,
    task: Task,
    recording: Recording,
    run: RunDirectory,
    verdicts: VerdictStore,
    no_image: CausedError | None,
) -> Difference | None:
    try:
        return _replayed(bench, engine, task, recording, run, verdicts, no_image)
    except Exception as error:  # an error in one trial must not affect others
        if is_disk_failure(error):
            raise
        then = None if recording.end is None else recording.end.cause
        return _difference(recording, 0, "cause", then, f"{Cause.internal}: {describe_error(error)}")


def _replayed(
    bench: Bench,
    engine: Engine,
    task: Task,
    recording: Recording,
    run: RunDirectory,
    verdicts: VerdictStore,
    no_image: CausedError | None,
) -> Difference | None:
    end = recording.end
    assert end is not None  # noqa: S101 - only ended trials are replayed
    steps = len(recording.answers)
    try:
        if no_image is not None:
            raise no_image
        ended = work(bench, engine, task, TrialLog(recording, None))
        if ended.error is not None:
            raise ended.error
    except DivergedError as diverged:
        return _difference(recording, diverged.step, diverged.what, diverged.recorded, diverged.replayed)
    except CausedError as error:
        if end.cause != error.cause:
            return _difference(recording, steps, "cause", end.cause, f"{error.cause}: {error}")
        return _file_difference(bench, recording, run)
    for what, then, now in (
        ("cause", end.cause, None),
        ("end", end.exit_status, ended.exit_status),
        ("patch", end.patch_sha256, sha256_text(ended.patch)),
    ):
        if then != now:
            return _difference(recording, steps, what, then, now)
    if recording.verdict is None:  # the run was not graded
        return _file_difference(bench, recording, run)
    verdict = grade(engine, task, ended.patch, verdicts, bench.grading)
    if recording.verdict.resolved != verdict.resolved:
        graded = verdict.resolved if verdict.is_verdict else verdict.detail
        return _difference(recording, steps, "verdict", recording.verdict.resolved, graded)
    return _file_difference(bench, recording, run)


def _file_difference(bench: Bench, recording: Recording, run: RunDirectory) -> Difference | None:
    """Compare ``case.json`` with what the journal gives."""
    path = run.case(recording.case, recording.trial) / "case.json"
    steps = len(recording.answers)
    try:
        claimed = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError) as error:
        return _difference(recording, steps, "case.json", "a readable file", str(error))
    derived = concluded(bench.pool, recording).to_json()
    for name in _COMPARED:
        if not isinstance(claimed, dict) or claimed.get(name) != derived[name]:
            return _difference(recording, steps, name, claimed.get(name), derived[name])
    return None


def _difference(recording: Recording, step: int, what: str, recorded: Any, replayed: Any) -> Difference:
    return Difference(recording.case, recording.trial, step, what, recorded, replayed)
