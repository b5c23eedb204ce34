"""Run jobs in threads of this process, at places (machines with a Docker engine) that may join and be lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Generic

from twinbench.executing.executor import Job, Place, Result, require_workers, stop_nothing
from twinbench.executing.places import LONGEST_WAIT_S, NoPlaceError, Places


def _never_lost(_place: object, _result: object) -> bool:
    return False


def _prefer_nothing(_job: object, _place: object) -> bool:
    return False


def _prepare_nothing(_job: object, _place: object) -> None:
    pass


def _clear_nothing(_job: object, _result: object) -> None:
    pass


class Threads(Generic[Job, Place, Result]):
    """An executor that runs jobs in threads, a given number of them per place.

    Each thread takes the next job when it has finished one. If a place is lost, it gets no further jobs, and its
    running jobs are run again at other places, or at the next place that joins.
    """

    def __init__(
        self,
        places: Mapping[Place, int] | Places[Place],
        *,
        max_jobs: int | None = None,
        is_lost: Callable[[Place, Result], bool] = _never_lost,
        prefers: Callable[[Job, Place], bool] = _prefer_nothing,
        prepare: Callable[[Job, Place], None] = _prepare_nothing,
        clear_up: Callable[[Job, Result], None] = _clear_nothing,
        interrupt: Callable[[], None] = stop_nothing,
    ) -> None:
        """Make an executor.

        Args:
            places: the places, with the number of jobs that run at the same time at each; at least 1. Several executors
                may share ``Places``.
            max_jobs: the largest number of jobs that run at the same time; None: as many as the places take.
            is_lost: returns whether a job's result shows that its place was lost, so that the job should run elsewhere.
            prefers: returns whether a job should rather run at a place. The place then takes the job before others; a
                place that is not preferred takes it only if no preferred place is free.
            prepare: called with a place that has become full and the job that it will probably take next; must not
                block.
            clear_up: called by the worker after ``on_end``, without a lock, so several calls may run at once.
            interrupt: called before ``stop`` if waiting is interrupted; ends what the jobs themselves wait for.

        Raises:
            ValueError: there is no place, or a place has fewer than one worker.
        """
        self._places = places if isinstance(places, Places) else Places(places)
        if max_jobs is not None:
            require_workers(max_jobs)
        self._max_jobs = max_jobs
        self._is_lost = is_lost
        self._prefers = prefers
        self._prepare = prepare
        self._clear_up = clear_up
        self._interrupt = interrupt

    @property
    def workers(self) -> int:
        """The largest number of jobs that run at the same time."""
        capacity = self._places.capacity
        return capacity if self._max_jobs is None else min(capacity, self._max_jobs)

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place], Result],
        on_end: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Run all jobs to their end.

        Raises:
            NoPlaceError: all places were lost, and no other place joined in time.
        """
        if not jobs:
            return
        crew = _ThreadRun(self._places, jobs, stop, self._prefers, self._prepare, self._max_jobs)

        def work_on(job: Job, place: Place) -> bool:
            result = work(job, place)
            if self._is_lost(place, result) and self._places.remove(place):
                return False
            with crew.end_lock:
                on_end(job, result)
            self._clear_up(job, result)
            return True

        try:
            crew.start_workers(work_on)
        except NoPlaceError as error:
            crew.cancel_waiting_jobs()
            crew.record_error(error, even_if_cancelled=True)
        except BaseException:
            crew.cancel_waiting_jobs()
            try:
                self._interrupt()
            finally:
                try:
                    crew.stop()
                finally:
                    crew.wait()
            if crew.stop_error is None:
                raise
        crew.wait()
        if crew.stop_error is not None:  # a worker had called stop before the interrupt
            raise crew.stop_error
        if crew.first_error is not None:
            raise crew.first_error


class _ThreadRun(Generic[Job, Place]):
    """The state of one call of ``Threads.run``: the jobs that are left, and what the threads share."""

    def __init__(
        self,
        places: Places[Place],
        jobs: Sequence[Job],
        stop: Callable[[], None],
        prefers: Callable[[Job, Place], bool],
        prepare: Callable[[Job, Place], None],
        max_jobs: int | None,
    ) -> None:
        self.first_error: BaseException | None = None
        """The first exception of a job, unless the run was interrupted before."""
        self.stop_error: BaseException | None = None
        """The exception of ``stop``."""
        self.end_lock = threading.Lock()
        """Held while ``on_end`` is called."""
        self._places = places
        self._stop = stop
        self._prefers = prefers
        self._prepare = prepare
        self._max_jobs = len(jobs) if max_jobs is None else max_jobs
        self._stop_once = threading.Lock()
        self._waiting = deque(jobs)
        self._running = 0
        self._is_cancelled = False
        self._threads: list[threading.Thread] = []
        self._changed = places.changed

    def start_workers(self, work_on: Callable[[Job, Place], bool]) -> None:
        """Start threads for each place that exists or joins, until all jobs have ended.

        Args:
            work_on: runs a job and returns whether it ended; False means that another place has to run it.

        Raises:
            NoPlaceError: there is no place, and none joined in time.
        """
        known: set[Place] = set()
        while True:
            with self._changed:
                while not (new := {place: n for place, n in self._places.current().items() if place not in known}):
                    if not (self._waiting or self._running):
                        return
                    if self._running:
                        self._changed.wait(LONGEST_WAIT_S)
                    else:
                        self._places.wait()
            known.update(new)
            for place, workers in new.items():
                for _ in range(workers):
                    thread = threading.Thread(target=self._work_on_jobs, args=(place, work_on), name="twinbench-job")
                    self._threads.append(thread)
                    thread.start()

    def cancel_waiting_jobs(self) -> None:
        """Prevent any further job from being begun."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask all jobs to stop; only the first call has an effect."""
        if self._stop_once.acquire(blocking=False):  # never released
            try:
                self._stop()
            except BaseException as error:
                self.stop_error = error
                raise

    def wait(self) -> None:
        """Wait until no job is running."""
        with self._changed:
            while self._running:
                self._changed.wait(LONGEST_WAIT_S)
        for thread in self._threads:
            if thread.ident is not None:  # a thread whose start was interrupted ends by itself
                thread.join()

    def record_error(self, error: BaseException, *, even_if_cancelled: bool = False) -> None:
        """Record the first exception of a job and ask the other jobs to stop; never raises.

        Exceptions after an interrupt are ignored, since the interrupt itself makes jobs raise.
        """
        with self._changed:
            if self.first_error is not None or (self._is_cancelled and not even_if_cancelled):
                return
            self.first_error = error
        with suppress(BaseException):  # kept as ``stop_error`` and raised by ``Threads.run``
            self.stop()

    def _work_on_jobs(self, place: Place, work_on: Callable[[Job, Place], bool]) -> None:
        """Run jobs at a place until no job is left or the place is lost."""
        for job in self._take_jobs(place):
            has_ended = True
            try:
                has_ended = work_on(job, place)
            except BaseException as error:  # noqa: BLE001 - raised again by ``Threads.run``
                self.record_error(error)
            with self._changed:
                self._running -= 1
                if not has_ended:
                    self._waiting.appendleft(job)
                self._places.release(place)

    def _take_jobs(self, place: Place) -> Iterator[Job]:
        while True:
            with self._changed:
                while (number := self._next_job(place)) is None:
                    if self._is_cancelled or place not in self._places or not (self._waiting or self._running):
                        return
                    self._changed.wait()  # a job that runs at another place may come back if that place is lost
                self._places.reserve(place)
                self._running += 1
                job = self._waiting[number]
                del self._waiting[number]
                coming = None if place in self._places.free() else self._coming_job()
            if coming is not None:
                self._prepare(coming, place)
            yield job

    def _next_job(self, place: Place) -> int | None:
        """Return the index of the waiting job that a place takes next; None if it takes none now."""
        free = self._places.free()
        if self._is_cancelled or self._running >= self._max_jobs or place not in free:
            return None
        others = [other for other in free if other != place]
        jobs = list(enumerate(self._waiting))
        preferred = (number for number, job in jobs if self._prefers(job, place))
        unclaimed = (number for number, job in jobs if not any(self._prefers(job, other) for other in others))
        return next(preferred, next(unclaimed, None))

    def _coming_job(self) -> Job | None:
        """Return the first waiting job that no place prefers: the next that a place without a preference takes."""
        places = self._places.current()
        return next((job for job in self._waiting if not any(self._prefers(job, place) for place in places)), None)
