"""The interface for running independent jobs in parallel, and the guarantees of all its implementations.

There are two kinds of jobs. A *container job* is a case of a run, or a grading: it mostly waits for models and
containers, uses objects that must stay in this process (journal, budget, router), and runs at a place, that is, on a
machine with a Docker engine. ``Threads`` runs these. A *process job* is pure computation, such as a fold, a setting or
a simulation: it takes all its input as an argument and returns all its output, so it can run in another process.
``Processes`` runs these.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Job = TypeVar("Job")
Place = TypeVar("Place", bound=Hashable)
Place_co = TypeVar("Place_co", bound=Hashable, covariant=True)
Result = TypeVar("Result")


class Executor(Protocol[Job, Place_co, Result]):
    """A pool of workers that runs jobs, a limited number of them at a time.

    All implementations guarantee:

    - Each job ends exactly once: either ``on_end`` is called with its result, or it raises an exception. An exception
      of ``on_end`` counts as raised by the job.
    - ``on_end`` is called by one thread at a time, and before the worker begins another job, so it can stop the
      remaining jobs in time.
    - Jobs are begun in order, except that a place first takes the jobs that it prefers.
    - If a job raises, ``stop`` is called, all other jobs are still run to their end, and then the first exception is
      raised; later exceptions are dropped. It is up to ``stop`` whether the other jobs give up early.
    - If waiting is interrupted (Ctrl-C), no further job is begun, ``stop`` is called, and the interrupt is raised once
      no job is running.
    - ``stop`` is called at most once. An exception of ``stop`` is raised once no job is running; its ``__context__``
      is the reason for the call: the job's exception or the interrupt.
    """

    @property
    def workers(self) -> int:
        """The largest number of jobs that run at the same time."""
        ...

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place_co], Result],
        on_end: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Run all jobs to their end.

        Args:
            jobs: the jobs, in the order in which they should be begun.
            work: runs one job at a place and returns its result; called by several threads or processes at once, and
                again for a job whose place was lost.
            on_end: called with each job and its result.
            stop: asks all jobs to stop.
        """
        ...


def require_workers(workers: int) -> None:
    """Check that a number of workers is at least 1.

    Raises:
        ValueError: it is less than 1.
    """
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1, not {workers}")


def stop_nothing() -> None:
    """Do nothing, as the ``stop`` of jobs that should all run to their end even if one fails."""


def callable_name(work: Callable[..., object]) -> str:
    """Return a callable's name for error messages."""
    return getattr(work, "__qualname__", None) or repr(work)


@dataclass(frozen=True)
class _NumberedJob(Generic[Job]):
    """A job with its number, which tells equal jobs apart."""

    number: int
    job: Job

    def __repr__(self) -> str:
        return repr(self.job)


@dataclass(frozen=True)
class _NumberedWork(Generic[Job, Place, Result]):
    """Applies ``work`` to the job in a ``_NumberedJob``."""

    work: Callable[[Job, Place], Result]

    def __call__(self, numbered: _NumberedJob[Job], place: Place) -> Result:
        return self.work(numbered.job, place)

    def __repr__(self) -> str:
        return callable_name(self.work)


def collect_results(
    executor: Executor[Any, Place, Any],
    jobs: Sequence[Job],
    work: Callable[[Job, Place], Result],
    *,
    stop: Callable[[], None] = stop_nothing,
    on_progress: Callable[[int], None] | None = None,
) -> list[Result]:
    """Run all jobs and return their results in the order of the jobs.

    Args:
        executor: runs the jobs.
        jobs: the jobs.
        work: runs one job at a place and returns its result.
        stop: asks all jobs to stop; called if one raises or waiting is interrupted.
        on_progress: called with the number of finished jobs each time one finishes.

    Raises:
        BaseException: the first exception of a job, or the exception of ``stop``.
    """
    found: dict[int, Result] = {}

    def record_result(numbered: _NumberedJob[Job], result: Result) -> None:
        found[numbered.number] = result
        if on_progress is not None:
            on_progress(len(found))

    executor.run(
        [_NumberedJob(number, job) for number, job in enumerate(jobs)], _NumberedWork(work), record_result, stop
    )
    return [found[number] for number in range(len(jobs))]
