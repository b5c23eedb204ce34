"""Run jobs in threads of this process, at places (machines with a Docker engine) that may become unreachable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic

from twinbench.executing.executor import Job, Place, Result, stop_nothing


def _never_lost(_place: object, _result: object) -> bool:
    return False


def _clear_nothing(_job: object, _result: object) -> None:
    pass


def require_workers(workers: int) -> None:
    """Check that a number of workers is at least 1.

    Raises:
        ValueError: it is less than 1.
    """
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1, not {workers}")


class Threads(Generic[Job, Place, Result]):
    """An executor that runs jobs in threads, a given number of them per place.

    Each thread takes the next job when it has finished one. If a place is lost, it gets no further jobs, and its
    running jobs are run again at other places. The last place is never given up: its results count, since only a
    person can repair it.
    """

    def __init__(
        self,
        places: Mapping[Place, int],
        *,
        is_lost: Callable[[Place, Result], bool] = _never_lost,
        clear_up: Callable[[Job, Result], None] = _clear_nothing,
        interrupt: Callable[[], None] = stop_nothing,
    ) -> None:
        """Make an executor.

        Args:
            places: the places, with the number of jobs that run at the same time at each; at least 1.
            is_lost: returns whether a job's result shows that its place was lost, so that the job should run elsewhere.
            clear_up: called by the worker after ``on_end``, without a lock, so several calls may run at once.
            interrupt: called before ``stop`` if waiting is interrupted; ends what the jobs themselves wait for.

        Raises:
            ValueError: there is no place, or a place has fewer than one worker.
        """
        if not places:
            raise ValueError("at least one place to run jobs at is needed")
        for workers in places.values():
            require_workers(workers)
        self._places = dict(places)
        self._is_lost = is_lost
        self._clear_up = clear_up
        self._interrupt = interrupt

    @property
    def workers(self) -> int:
        """The largest number of jobs that run at the same time."""
        return sum(self._places.values())

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place], Result],
        on_end: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Run all jobs to their end."""
        if not jobs:
            return
        crew = _ThreadRun(self._places, jobs, stop)

        def work_on(job: Job, place: Place) -> bool:
            result = work(job, place)
            if self._is_lost(place, result) and crew.give_up_place(place):
                return False
            with crew.end_lock:
                on_end(job, result)
            self._clear_up(job, result)
            return True

        with ThreadPoolExecutor(self.workers, "twinbench-job") as pool:
            try:
                serving = [
                    pool.submit(crew.work_on_jobs, place, work_on)
                    for place, workers in self._places.items()
                    for _ in range(workers)
                ]
                wait(serving)
            except BaseException:
                crew.cancel_waiting_jobs()
                try:
                    self._interrupt()
                finally:
                    try:
                        crew.stop()
                    finally:
                        crew.wait()  # leaving the block does not wait for a thread whose start was interrupted
                if crew.stop_error is None:
                    raise
        if crew.stop_error is not None:  # a worker had called stop before the interrupt
            raise crew.stop_error
        if crew.first_error is not None:
            raise crew.first_error


class _ThreadRun(Generic[Job, Place]):
    """The state of one call of ``Threads.run``: the jobs that are left, and what the threads share."""

    def __init__(self, places: Mapping[Place, int], jobs: Sequence[Job], stop: Callable[[], None]) -> None:
        self.first_error: BaseException | None = None
        """The first exception of a job, unless the run was interrupted before."""
        self.stop_error: BaseException | None = None
        """The exception of ``stop``."""
        self.end_lock = threading.Lock()
        """Held while ``on_end`` is called."""
        self._places = frozenset(places)
        self._stop = stop
        self._stop_once = threading.Lock()
        self._waiting = deque(jobs)
        self._running = 0
        self._lost_places: set[Place] = set()
        self._changed = threading.Condition()

    def work_on_jobs(self, place: Place, work_on: Callable[[Job, Place], bool]) -> None:
        """Run jobs at a place until no job is left or the place is lost.

        Args:
            place: the place.
            work_on: runs a job and returns whether it ended; False means that another place has to run it.
        """
        for job in self._take_jobs(place):
            has_ended = True
            try:
                has_ended = work_on(job, place)
            except BaseException as error:  # noqa: BLE001 - raised again by ``Threads.run``
                self._record_error(error)
            with self._changed:
                self._running -= 1
                if not has_ended:
                    self._waiting.appendleft(job)
                self._changed.notify_all()

    def give_up_place(self, place: Place) -> bool:
        """Give up a lost place; return False if it is the last one, which is kept."""
        with self._changed:
            if self._lost_places | {place} == self._places:
                return False
            self._lost_places.add(place)
        return True

    def cancel_waiting_jobs(self) -> None:
        """Prevent any further job from being begun."""
        with self._changed:
            self._lost_places |= self._places
            self._changed.notify_all()

    def stop(self) -> None:
        """Call ``stop``, unless it was called before."""
        if self._stop_once.acquire(blocking=False):  # never released, so only the first call gets it
            try:
                self._stop()
            except BaseException as error:
                self.stop_error = error
                raise

    def wait(self) -> None:
        """Wait until no job is running."""
        with self._changed:
            while self._running:
                self._changed.wait()

    def _record_error(self, error: BaseException) -> None:
        """Record the first exception of a job and ask the other jobs to stop; never raises.

        Exceptions after an interrupt are ignored, since the interrupt itself makes jobs raise.
        """
        with self._changed:
            if (
                self.first_error is not None or self._lost_places == self._places
            ):  # ``leave`` keeps one place: all left are dismissed
                return
            self.first_error = error
        with suppress(BaseException):  # kept as ``stop_error`` and raised by ``Threads.run``
            self.stop()

    def _take_jobs(self, place: Place) -> Iterator[Job]:
        while True:
            with self._changed:
                while not self._waiting and self._running and place not in self._lost_places:
                    self._changed.wait()  # a job that runs at another place may come back if that place is lost
                if place in self._lost_places or not self._waiting:
                    return
                self._running += 1
                job = self._waiting.popleft()
            yield job
