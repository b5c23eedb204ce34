"""Independent jobs worked on side by side: the one interface, and what everything that implements it promises.

Jobs are of two kinds. A *container job* is a case of a run, or a grading: it waits for models and containers most of
its time, needs what must not leave this process (journal, budget, router), and is worked on at a place, a machine with
a Docker engine: ``Threads``. A *process job* is computation alone, as a fold, a setting or a simulation is: all that it
needs goes into it and all that it finds comes out of it, so it may run in a process of its own: ``Processes``.
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
    """Has every job worked on, wherever it chooses, so many at once.

    Whatever implements this promises:

    - Each job ends exactly once: ``ended`` is told of its result, or the job raised something instead. What ``ended``
      raises counts as raised by the job.
    - ``ended`` is told by one thread at a time, and before the worker that ended a job begins another, so it can stop
      what is left in time.
    - Jobs are begun in their order, but for those that a place prefers: it takes these first.
    - A job that raises takes no other with it: ``stop`` is called, the others are brought to their end, and then what
      was raised first is raised; what others raise after it is not kept. Whether ``stop`` makes the others give up is
      for the caller to say.
    - Where waiting is interrupted (Ctrl-C), no job is begun any more, ``stop`` is called, and the interrupt is raised
      once nothing runs.
    - ``stop`` is called once at most. What it raises is raised once nothing runs, and its ``__context__`` is what it
      was called for: what the job raised, or the interrupt.
    """

    @property
    def workers(self) -> int:
        """How many jobs are worked on at once."""
        ...

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place_co], Result],
        ended: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Bring each job to its end.

        Args:
            jobs: in the order in which they are best begun.
            work: brings a job to its end at a place; called by several threads or processes at once, and once more for
                a job whose place was lost.
            ended: told of each job and its result.
            stop: asks all jobs to stop.
        """
        ...


def require_workers(workers: int) -> None:
    """Refuse a number of workers by whom no job would ever be worked on.

    Args:
        workers: how many jobs are to be worked on at once.

    Raises:
        ValueError: it is less than 1.
    """
    if workers < 1:
        raise ValueError(f"at least 1 job has to be worked on at once, not {workers}")


def nothing_to_stop() -> None:
    """Stops nothing: where each job is to come to its end whatever becomes of the others."""


def name_of(work: Callable[..., object]) -> str:
    """What an error calls the work that was to be done on a job."""
    return getattr(work, "__qualname__", None) or repr(work)


@dataclass(frozen=True)
class _Numbered(Generic[Job]):
    """A job that knows which one it is, since two may be equal."""

    number: int
    job: Job

    def __repr__(self) -> str:
        return repr(self.job)


@dataclass(frozen=True)
class _OnNumbered(Generic[Job, Place, Result]):
    """The work on a job, where the job is a numbered one."""

    work: Callable[[Job, Place], Result]

    def __call__(self, numbered: _Numbered[Job], place: Place) -> Result:
        return self.work(numbered.job, place)

    def __repr__(self) -> str:
        return name_of(self.work)


def results_in_order(
    executor: Executor[Any, Place, Any],
    jobs: Sequence[Job],
    work: Callable[[Job, Place], Result],
    *,
    stop: Callable[[], None] = nothing_to_stop,
    done: Callable[[int], None] | None = None,
) -> list[Result]:
    """The result of each job, in the order of the jobs.

    Args:
        executor: has them worked on.
        jobs: what there is to do.
        work: on one of them.
        stop: asks all jobs to stop, where one has raised or waiting is interrupted.
        done: called with the number of jobs that are done, each time one is.

    Raises:
        BaseException: what a job raised first, or what ``stop`` raised after that.
    """
    found: dict[int, Result] = {}

    def ended(numbered: _Numbered[Job], result: Result) -> None:
        found[numbered.number] = result
        if done is not None:
            done(len(found))

    executor.run([_Numbered(number, job) for number, job in enumerate(jobs)], _OnNumbered(work), ended, stop)
    return [found[number] for number in range(len(jobs))]
