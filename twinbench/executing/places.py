"""The places at which jobs run, with the number of jobs that each takes; places may join and be lost at any time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic

from twinbench.errors import TwinbenchError
from twinbench.executing.executor import Place, require_workers

LONGEST_WAIT_S = 1.0
"""Longest wait of the main thread at a time: a signal that comes just before a wait is only handled after it."""


class NoPlaceError(TwinbenchError):
    """No place takes jobs, and none joined in time."""


class Places(Generic[Place]):
    """Places, each of which takes a limited number of jobs at the same time; threads and executors may share them.

    Without ``wait_s`` the places are fixed, and the last one is never removed: its results count, since only a person
    can repair it. With ``wait_s``, places may be added and removed at any time.
    """

    def __init__(
        self,
        places: Mapping[Place, int] | None = None,
        *,
        wait_s: float | None = None,
        expected_capacity: int = 0,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Make places.

        Args:
            places: the places that exist, with the number of jobs that run at the same time at each; at least 1.
            wait_s: how many seconds to wait for the first place, or for another after the last one was lost; None: the
                places are fixed.
            expected_capacity: how many jobs will run at the same time when all requested places have joined.
            explain: returns why there is no place, for the error message.

        Raises:
            ValueError: there is no place and none can join, or a place has fewer than one worker.
        """
        if not places and wait_s is None:
            raise ValueError("at least one place to run jobs at is needed")
        self.changed = threading.Condition()
        """Notified of every change; hold it while reading several things that belong together."""
        self._workers: dict[Place, int] = {}
        self._reserved: Counter[Place] = Counter()
        self._wait_s = wait_s
        self._expected_capacity = expected_capacity
        self._explain = explain
        self._empty_since = time.monotonic()
        for place, workers in (places or {}).items():
            self.add(place, workers)

    def __contains__(self, place: object) -> bool:
        """Whether a place takes jobs."""
        return place in self._workers

    @property
    def capacity(self) -> int:
        """The largest number of jobs that run at the same time, at the present or the expected places."""
        with self.changed:
            return max(sum(self._workers.values()), self._expected_capacity)

    def add(self, place: Place, workers: int) -> None:
        """Add a place.

        Args:
            place: the place.
            workers: the number of jobs that run at the same time there.

        Raises:
            ValueError: it is less than 1.
        """
        require_workers(workers)
        with self.changed:
            self._workers[place] = workers
            self.changed.notify_all()

    def remove(self, place: Place) -> bool:
        """Remove a lost place; return False if it is the last of fixed places, which is kept."""
        with self.changed:
            if place in self._workers:
                if self._wait_s is None and len(self._workers) == 1:
                    return False
                del self._workers[place]
                self._empty_since = time.monotonic()
                self.changed.notify_all()
        return True

    def current(self) -> Mapping[Place, int]:
        """Return the present places with the number of jobs that run at the same time at each."""
        with self.changed:
            return dict(self._workers)

    def free(self) -> list[Place]:
        """Return the places that can take another job now."""
        with self.changed:
            return [place for place, workers in self._workers.items() if self._reserved[place] < workers]

    def reserve(self, place: Place) -> None:
        """Reserve a free place for one job."""
        with self.changed:
            self._reserved[place] += 1

    def release(self, place: Place) -> None:
        """Release a place after a job."""
        with self.changed:
            self._reserved[place] -= 1
            self.changed.notify_all()

    @contextmanager
    def reserve_any(self) -> Iterator[Place]:
        """Wait for a free place, and reserve it within the block.

        Raises:
            NoPlaceError: there is no place, and none joined in time.
        """
        with self.changed:
            while not (free := self.free()):
                self.wait()
            place = free[0]
            self.reserve(place)
        try:
            yield place
        finally:
            self.release(place)

    def wait(self) -> None:
        """Wait for a change, or for a moment; the caller holds ``changed`` and looks again afterwards.

        Raises:
            NoPlaceError: there is no place, and none joined in time.
        """
        if self._workers or self._wait_s is None:
            self.changed.wait(LONGEST_WAIT_S)
            return
        left_s = self._empty_since + self._wait_s - time.monotonic()
        if left_s <= 0:
            reason = self._explain()
            raise NoPlaceError(f"no place for cases in {self._wait_s:g} s" + (f": {reason}" if reason else ""))
        self.changed.wait(min(left_s, LONGEST_WAIT_S))

    def wait_for_first(self) -> None:
        """Wait until there is a place.

        Raises:
            NoPlaceError: none joined in time.
        """
        with self.changed:
            while not self._workers:
                self.wait()
