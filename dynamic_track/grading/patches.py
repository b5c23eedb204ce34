"""Grade many patches in parallel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.grading.parallel import AbortedError, Checkpoint, process_in_parallel
from dynamic_track.grading.verdict import GradingLimits, Verdict, grade, no_verdict
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.harness import HarnessMissingError
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.task import Task
from twinbench.causes import Cause
from twinbench.containers.engine import Engine
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import StoreWriteError
from twinbench.unexpected import UnexpectedError, describe_error, is_disk_failure, traceback_text


@dataclass(frozen=True, repr=False)
class Grades(Tabular):
    """The verdicts on a set of patches."""

    verdicts: tuple[Verdict, ...]
    """The verdicts, in the order of the tasks."""
    missing: tuple[str, ...]
    """Tasks without a patch, which were not graded."""

    @property
    def resolved(self) -> int:
        """The number of patches that resolve their task."""
        return sum(verdict.resolved is True for verdict in self.verdicts)

    @property
    def infra(self) -> int:
        """The number of patches without a verdict, for reasons other than the patch."""
        return sum(not verdict.is_verdict for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """The grades as a JSON object."""
        return {
            "cases": len(self.verdicts),
            "resolved": self.resolved,
            "unresolved": len(self.verdicts) - self.resolved - self.infra,
            "infra": self.infra,
            "missing": list(self.missing),
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
        }

    def records(self) -> list[dict[str, Any]]:
        """A row for each verdict."""
        return [
            {
                "id": each.id,
                "resolved": each.resolved,
                "cause": None if each.cause is None else str(each.cause),
                "failing": None if each.tests is None else sum(len(tests["failure"]) for tests in each.tests.values()),
                "seconds": each.seconds,
                "kept": each.from_cache,
                "detail": each.detail,
            }
            for each in self.verdicts
        ]


def grade_all(
    engine: Engine,
    tasks: Sequence[Task],
    patches: Mapping[str, str],
    store: VerdictStore,
    limits: GradingLimits | None = None,
    *,
    workers: int = 2,
    build: bool = False,
    no_cache: bool = False,
    progress: Progress = no_progress,
) -> Grades:
    """Grade patches in parallel.

    Args:
        engine: the Docker engine.
        tasks: the tasks to be resolved.
        patches: the patches by task id.
        store: the store of verdicts.
        limits: the limits of one grading.
        workers: how many patches are graded in parallel.
        build: build the images of tasks that have a Dockerfile.
        no_cache: grade again even if a cached verdict exists.
        progress: called with the number of graded patches.

    Raises:
        CausedError: the engine does not answer.
        StoreWriteError, OSError: the store cannot be written.
    """
    graded = [task for task in tasks if task.id in patches]
    missing = tuple(task.id for task in tasks if task.id not in patches)
    # An empty patch needs no container and no image.
    needed = [task for task in graded if patches[task.id].strip()]
    failed = prepare_images(engine, needed, build_them=build, progress=progress)

    def verdict(task: Task, engine: Engine, checkpoint: Checkpoint) -> Verdict:
        error = failed.get(task.image) if patches[task.id].strip() else None
        try:
            if isinstance(error, UnexpectedError):
                raise error
            if error is not None:
                return no_verdict(task, error.cause, str(error))
            return grade(engine, task, patches[task.id], store, limits, no_cache=no_cache, checkpoint=checkpoint)
        except (AbortedError, HarnessMissingError, StoreWriteError):
            raise
        except Exception as unexpected:  # noqa: BLE001 - an error with one patch must not affect others
            return _no_verdict_after_error(unexpected, task, store)

    def done(number: int) -> None:
        progress("grading", number, len(graded))

    return Grades(tuple(process_in_parallel(engine, graded, verdict, workers, done)), missing)


def _no_verdict_after_error(error: Exception, task: Task, store: VerdictStore) -> Verdict:
    if is_disk_failure(error):
        raise error
    try:
        place = f"the traceback is in {store.store_traceback(task.id, traceback_text(error))}"
    except OSError as failed:
        if is_disk_failure(failed):
            raise
        place = f"the traceback could not be written ({failed.strerror or failed})"
    return no_verdict(task, Cause.internal, f"{describe_error(error)}; {place}")
