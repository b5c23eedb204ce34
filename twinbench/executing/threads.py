"""Jobs in threads of this process, at places that may join and be lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Generic

from twinbench.executing.executor import Job, Place, Result, nothing_to_stop, require_workers
from twinbench.executing.places import NoPlaceError, Places


def _is_never_lost(_place: object, _result: object) -> bool:
    return False


def _is_never_preferred(_job: object, _place: object) -> bool:
    return False


def _nothing_is_foreseen(_job: object, _place: object) -> None:
    pass


def _nothing_is_left(_job: object, _result: object) -> None:
    pass


class Threads(Generic[Job, Place, Result]):
    """An executor of threads: at each place so many, each of which takes the next job when it is done with one.

    A place that is lost takes no job any more, and its jobs go on at the others, or at the next that joins. Where no
    place joins later, the last one is never given up.
    """

    def __init__(
        self,
        places: Mapping[Place, int] | Places[Place],
        *,
        at_once: int | None = None,
        is_lost: Callable[[Place, Result], bool] = _is_never_lost,
        prefers: Callable[[Job, Place], bool] = _is_never_preferred,
        foresee: Callable[[Job, Place], None] = _nothing_is_foreseen,
        clear_up: Callable[[Job, Result], None] = _nothing_is_left,
        interrupt: Callable[[], None] = nothing_to_stop,
    ) -> None:
        """Take places.

        Args:
            places: with how many jobs each takes at once; 1 at least. Executors may share ``Places``.
            at_once: how many jobs are worked on at once at most; None: as many as the places take.
            is_lost: whether a result is what it is because its place is lost, so that the job may go on elsewhere.
            prefers: whether a job is best worked on at a place, which then takes it before others. Another place takes
                it only while none that is preferred has room.
            foresee: told, when a place is full, which job it will probably take next; must not wait.
            clear_up: called by the worker after ``ended``, without the lock that ``ended`` holds, so several may run at
                once.
            interrupt: called where waiting is interrupted, before ``stop``: ends what jobs themselves wait for.

        Raises:
            ValueError: there is no place, or one that takes no job.
        """
        self._places = places if isinstance(places, Places) else Places(places)
        if at_once is not None:
            require_workers(at_once)
        self._at_once = at_once
        self._is_lost = is_lost
        self._prefers = prefers
        self._foresee = foresee
        self._clear_up = clear_up
        self._interrupt = interrupt

    @property
    def workers(self) -> int:
        """How many jobs are worked on at once."""
        room = self._places.room
        return room if self._at_once is None else min(room, self._at_once)

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, Place], Result],
        ended: Callable[[Job, Result], None],
        stop: Callable[[], None],
    ) -> None:
        """Bring each job to its end.

        Raises:
            NoPlaceError: all places were lost, and no other joined in time.
        """
        if not jobs:
            return
        crew = _Crew(self._places, jobs, stop, self._prefers, self._foresee, self._at_once)

        def work_on(job: Job, place: Place) -> bool:
            result = work(job, place)
            if self._is_lost(place, result) and self._places.leave(place):
                return False
            with crew.ending:
                ended(job, result)
            self._clear_up(job, result)
            return True

        try:
            crew.employ(work_on)
        except NoPlaceError as error:
            crew.dismiss()
            crew.fail(error, even_if_dismissed=True)
        except BaseException:
            crew.dismiss()
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
        if crew.stop_error is not None:  # raised in a worker: it called stop before the interrupt did
            raise crew.stop_error
        if crew.failed is not None:
            raise crew.failed


class _Crew(Generic[Job, Place]):
    """The threads of one call of ``Threads.run``, and the jobs that are left for them."""

    def __init__(
        self,
        places: Places[Place],
        jobs: Sequence[Job],
        stop: Callable[[], None],
        prefers: Callable[[Job, Place], bool],
        foresee: Callable[[Job, Place], None],
        at_once: int | None,
    ) -> None:
        self.failed: BaseException | None = None
        """What the first job that raised something raised, if that was before the run was interrupted."""
        self.stop_error: BaseException | None = None
        """What ``stop`` raised."""
        self.ending = threading.Lock()
        """Held by the one thread that tells of a job's end."""
        self._places = places
        self._stop = stop
        self._prefers = prefers
        self._foresee = foresee
        self._at_once = len(jobs) if at_once is None else at_once
        self._stopping = threading.Lock()
        self._waiting = deque(jobs)
        self._running = 0
        self._is_dismissed = False
        self._employed: set[Place] = set()
        self._threads: list[threading.Thread] = []
        self._changed = places.changed

    def employ(self, work_on: Callable[[Job, Place], bool]) -> None:
        """Start threads at each place that is there or joins, until all jobs have ended.

        Args:
            work_on: works on a job, and says whether it ended there; otherwise another place has to take it.

        Raises:
            NoPlaceError: there is no place, and none joined in time.
        """
        while True:
            with self._changed:
                while not (new := [place for place in self._places.all() if place not in self._employed]):
                    if not (self._waiting or self._running):
                        return
                    if self._running:  # a job that ends decides what comes next
                        self._changed.wait()
                    else:
                        self._places.wait()
            for place in new:
                self._employed.add(place)
                for _ in range(self._places.room_of(place)):
                    thread = threading.Thread(target=self._serve, args=(place, work_on), name="twinbench-job")
                    self._threads.append(thread)
                    thread.start()

    def dismiss(self) -> None:
        """Have no job begun any more."""
        with self._changed:
            self._is_dismissed = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask all jobs to stop, unless they were asked before."""
        if self._stopping.acquire(blocking=False):  # never given back
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
        for thread in self._threads:
            if thread.ident is not None:  # one whose start was interrupted ends by itself
                thread.join()

    def fail(self, error: BaseException, *, even_if_dismissed: bool = False) -> None:
        """Keep what a job raised and ask the others to stop, if it is the first to raise; raises nothing itself.

        An interrupt ends jobs, which then raise: that is not what the run failed of.
        """
        with self._changed:
            if self.failed is not None or (self._is_dismissed and not even_if_dismissed):
                return
            self.failed = error
        with suppress(BaseException):  # kept as ``stop_error``, and raised where all jobs are awaited
            self.stop()

    def _serve(self, place: Place, work_on: Callable[[Job, Place], bool]) -> None:
        """Work on jobs until none is left that could come back, or the place is lost."""
        for job in self._taken_at(place):
            has_ended = True
            try:
                has_ended = work_on(job, place)
            except BaseException as error:  # noqa: BLE001 - raised where all are awaited
                self.fail(error)
            with self._changed:
                self._running -= 1
                if not has_ended:
                    self._waiting.appendleft(job)
                self._places.give_back(place)

    def _taken_at(self, place: Place) -> Iterator[Job]:
        while True:
            with self._changed:
                while (number := self._next_at(place)) is None:
                    if self._is_dismissed or not self._places.has(place) or not (self._waiting or self._running):
                        return
                    self._changed.wait()  # a job that runs elsewhere may come back
                self._places.occupy(place)
                self._running += 1
                job = self._waiting[number]
                del self._waiting[number]
                full = place not in self._places.with_room()
                coming = self._foreseen() if full and not self._is_dismissed else None
            if coming is not None:
                self._foresee(coming, place)
            yield job

    def _foreseen(self) -> Job | None:
        """Return the job that a place without a preference will take next: the first that no place prefers."""
        every = self._places.all()
        return next((job for job in self._waiting if not any(self._prefers(job, other) for other in every)), None)

    def _next_at(self, place: Place) -> int | None:
        """Return which of the waiting jobs a place takes next; None if it takes none now."""
        with_room = [*self._places.with_room()]
        if self._is_dismissed or self._running >= self._at_once or place not in with_room:
            return None
        others = [other for other in with_room if other != place]
        preferred = (number for number, job in enumerate(self._waiting) if self._prefers(job, place))
        left = (
            number for number, job in enumerate(self._waiting) if not any(self._prefers(job, other) for other in others)
        )
        return next(preferred, next(left, None))
