"""Jobs in threads of this process, at places that may be lost."""

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
    """Refuse a number of workers by whom no job would ever be worked on.

    Args:
        workers: how many jobs are to be worked on at once.

    Raises:
        ValueError: it is less than 1.
    """
    if workers < 1:
        raise ValueError(f"at least 1 job has to be worked on at once, not {workers}")


class Threads(Generic[Job, Place, Result]):
    """An executor of threads: at each place so many, each of which takes the next job when it is done with one.

    A place that is lost takes no job any more, and its jobs go on at the others. The last one is never given up: what
    its jobs come to is their result, as its loss is for a person to mend.
    """

    def __init__(
        self,
        places: Mapping[Place, int],
        *,
        is_lost: Callable[[Place, Result], bool] = _never_lost,
        clear_up: Callable[[Job, Result], None] = _clear_nothing,
        interrupt: Callable[[], None] = stop_nothing,
    ) -> None:
        """Take places.

        Args:
            places: with how many jobs each takes at once; 1 at least.
            is_lost: whether a result is what it is because its place is lost, so that the job may go on elsewhere.
            clear_up: called by the worker after ``ended``, without the lock that ``ended`` holds, so several may run at
                once.
            interrupt: called where waiting is interrupted, before ``stop``: ends what jobs themselves wait for.

        Raises:
            ValueError: there is no place, or one that takes no job.
        """
        if not places:
            raise ValueError("jobs need a place where they are worked on, and none is given")
        for workers in places.values():
            require_workers(workers)
        self._places = dict(places)
        self._is_lost = is_lost
        self._clear_up = clear_up
        self._interrupt = interrupt

    @property
    def workers(self) -> int:
        """How many jobs are worked on at once."""
        return sum(self._places.values())

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place], Result],
        on_end: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Bring each job to its end."""
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
        if crew.stop_error is not None:  # raised in a worker: it called stop before the interrupt did
            raise crew.stop_error
        if crew.first_error is not None:
            raise crew.first_error


class _ThreadRun(Generic[Job, Place]):
    """The threads of one call of ``Threads.run``, and the jobs that are left for them."""

    def __init__(self, places: Mapping[Place, int], jobs: Sequence[Job], stop: Callable[[], None]) -> None:
        self.first_error: BaseException | None = None
        """What the first job that raised something raised, if that was before the run was interrupted."""
        self.stop_error: BaseException | None = None
        """What ``stop`` raised."""
        self.end_lock = threading.Lock()
        """Held by the one thread that tells of a job's end."""
        self._places = frozenset(places)
        self._stop = stop
        self._stop_once = threading.Lock()
        self._waiting = deque(jobs)
        self._running = 0
        self._lost_places: set[Place] = set()
        self._changed = threading.Condition()

    def work_on_jobs(self, place: Place, work_on: Callable[[Job, Place], bool]) -> None:
        """Work on jobs until none is left that could come back, or the place is lost.

        Args:
            place: where.
            work_on: works on a job, and says whether it ended there; otherwise another place has to take it.
        """
        for job in self._take_jobs(place):
            has_ended = True
            try:
                has_ended = work_on(job, place)
            except BaseException as error:  # noqa: BLE001 - raised where all are awaited
                self._record_error(error)
            with self._changed:
                self._running -= 1
                if not has_ended:
                    self._waiting.appendleft(job)
                self._changed.notify_all()

    def give_up_place(self, place: Place) -> bool:
        """Give a place up; False where it is the last one, which stays."""
        with self._changed:
            if self._lost_places | {place} == self._places:
                return False
            self._lost_places.add(place)
        return True

    def cancel_waiting_jobs(self) -> None:
        """Have no job begun any more."""
        with self._changed:
            self._lost_places |= self._places
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask all jobs to stop, unless they were asked before."""
        if self._stop_once.acquire(blocking=False):  # never given back
            try:
                self._stop()
            except BaseException as error:
                self.stop_error = error
                raise

    def wait(self) -> None:
        """Wait until no job is worked on."""
        with self._changed:
            while self._running:
                self._changed.wait()

    def _record_error(self, error: BaseException) -> None:
        """Keep what a job raised and ask the others to stop, if it is the first to raise; raises nothing itself.

        An interrupt ends jobs, which then raise: that is not what the run failed of.
        """
        with self._changed:
            if (
                self.first_error is not None or self._lost_places == self._places
            ):  # ``leave`` keeps one place: all left are dismissed
                return
            self.first_error = error
        with suppress(BaseException):  # kept as ``stop_error``, and raised where all jobs are awaited
            self.stop()

    def _take_jobs(self, place: Place) -> Iterator[Job]:
        while True:
            with self._changed:
                while not self._waiting and self._running and place not in self._lost_places:
                    self._changed.wait()  # a job that runs elsewhere may come back
                if place in self._lost_places or not self._waiting:
                    return
                self._running += 1
                job = self._waiting.popleft()
            yield job
