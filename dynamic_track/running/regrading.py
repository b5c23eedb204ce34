"""Grade the patches of a run again, or for the first time; no model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamic_track.grading.together import Checkpoint, GivenUpError, work_on_all
from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.harness import HarnessMissingError
from dynamic_track.running.admission import Images
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.runner import RunSummary, give_verdict, write_case
from dynamic_track.running.score import scored
from dynamic_track.running.trial import Trial, concluded
from dynamic_track.running.unexpected import record_unexpected
from dynamic_track.tasks.task import Task
from twinbench.calls.journal import Journal
from twinbench.calls.recording import recordings
from twinbench.calls.redaction import Secrets
from twinbench.calls.trial_log import TrialLog
from twinbench.containers.engine import Engine
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import StoreWriteError
from twinbench.storage.manifests import LiveManifest
from twinbench.storage.store import Store


@dataclass(frozen=True, repr=False)
class Regraded(Tabular):
    """The result of grading a run again."""

    summary: RunSummary
    changed: tuple[str, ...]
    """Trials whose verdict changed."""
    without_task: tuple[str, ...]
    """Trials whose task was not found."""

    def to_json(self) -> dict[str, Any]:
        """Return the run's current summary, and what changed."""
        told = {"changed": list(self.changed), "without_task": list(self.without_task)}
        return {**self.summary.to_json(), **told}

    def records(self) -> list[dict[str, Any]]:
        """A row for each trial."""
        return self.summary.records()


def regrade(
    engine: Engine,
    run: RunDirectory,
    tasks: Mapping[str, Task],
    pool: LiveManifest,
    limits: GradingLimits,
    images: Images,
    *,
    workers: int = 1,
    progress: Progress = no_progress,
) -> Regraded:
    """Grade every patch of a run again.

    Args:
        engine: the Docker engine.
        run: the run.
        tasks: the tasks by id.
        pool: the run's pool.
        limits: limits of grading.
        images: the tasks' images.
        workers: how many patches are graded in parallel.
        progress: called with the number of graded patches.
    """
    verdicts = VerdictStore(Store(run.path))
    changed: list[str] = []
    missing: list[str] = []
    graded: set[tuple[str, str]] = set()
    with Journal.open(run.journal) as journal:
        found = recordings(journal.entries())
        run.refuse_lost_lines(found.keys())
        wanted = [recording for recording in found.values() if recording.end is not None]

        def one(log: TrialLog, engine: Engine, checkpoint: Checkpoint) -> Trial:
            before = log.recording.verdict
            task = tasks.get(log.recording.case)
            name = f"{log.recording.case}/{log.recording.trial}"
            if task is None:
                missing.append(name)
            elif log.recording.end is not None and log.recording.end.cause is None:
                try:
                    failed = images.get(task)
                    patch = (task.id, log.recording.end.patch_sha256)
                    give_verdict(
                        engine,
                        limits,
                        task,
                        log,
                        run,
                        verdicts,
                        no_image=failed,
                        fresh=patch not in graded,
                        checkpoint=checkpoint,
                    )
                    graded.add(patch)
                except (GivenUpError, HarnessMissingError, StoreWriteError):
                    raise
                except Exception as error:  # noqa: BLE001 - an error with one patch must not affect others
                    record_unexpected(error, log, run, Secrets(()))
                after = log.recording.verdict
                if before is not None and after is not None and before.resolved != after.resolved:
                    changed.append(name)
            trial = concluded(pool, log.recording)
            write_case(run, trial)
            return trial

        def done(number: int) -> None:
            progress("grading", number, len(wanted))

        logs = [TrialLog(recording, journal) for recording in wanted]
        trials = work_on_all(engine, logs, one, workers, done)
    return Regraded(RunSummary(str(run.path), scored(trials, pool)), tuple(sorted(changed)), tuple(sorted(missing)))
