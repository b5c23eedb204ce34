"""Places where jobs are worked on: how many jobs each takes at once, and which of them join and are lost meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic

from twinbench.errors import TwinbenchError
from twinbench.executing.executor import Place, require_workers


class NoPlaceError(TwinbenchError):
    """No place takes jobs, and none joined in time."""


class Places(Generic[Place]):
    """Places that take jobs, each so many at once; threads and executors may share them.

    Without ``wait_s`` no place joins later, and the last one is never given up: what its jobs come to is their result,
    as its loss is for a person to mend. With it, places may join and be lost at any time.
    """

    def __init__(
        self,
        places: Mapping[Place, int] | None = None,
        *,
        wait_s: float | None = None,
        expected: int = 0,
        explain: Callable[[], str] = lambda: "",
    ) -> None:
        """Take the places that are there.

        Args:
            places: with how many jobs each takes at once; 1 at least.
            wait_s: how long to wait for the first or next place; None: no place joins later.
            expected: how many jobs will be worked on at once if all places join that were asked for.
            explain: says why there is no place, for the error.

        Raises:
            ValueError: there is no place and none may join, or a place takes no job.
        """
        if not places and wait_s is None:
            raise ValueError("jobs need a place where they are worked on, and none is given")
        self.changed = threading.Condition()
        """Held while anything here is read or changed that belongs together; notified of each change."""
        self._room: dict[Place, int] = {}
        self._used: Counter[Place] = Counter()
        self._wait_s = wait_s
        self._expected = expected
        self._explain = explain
        self._empty_since = time.monotonic()
        for place, room in (places or {}).items():
            self.join(place, room)

    @property
    def room(self) -> int:
        """How many jobs are worked on at once: at the places that are there, or will be."""
        with self.changed:
            return max(sum(self._room.values()), self._expected)

    def join(self, place: Place, room: int) -> None:
        """Take jobs at a place from now on.

        Args:
            place: the place.
            room: how many jobs it takes at once.

        Raises:
            ValueError: it takes none.
        """
        require_workers(room)
        with self.changed:
            self._room[place] = room
            self.changed.notify_all()

    def leave(self, place: Place) -> bool:
        """Give a place up; False if it stays, as the last of places to which none is added."""
        with self.changed:
            if place in self._room:
                if self._wait_s is None and len(self._room) == 1:
                    return False
                del self._room[place]
                self._empty_since = time.monotonic()
                self.changed.notify_all()
        return True

    def has(self, place: Place) -> bool:
        """Return whether a place takes jobs."""
        return place in self._room

    def room_of(self, place: Place) -> int:
        """Return how many jobs a place takes at once; 0 if it is lost."""
        return self._room.get(place, 0)

    def all(self) -> Sequence[Place]:
        """Return the places that take jobs now."""
        with self.changed:
            return tuple(self._room)

    def with_room(self) -> Iterator[Place]:
        """Iterate over the places that take another job now; hold ``changed`` meanwhile."""
        return (place for place, room in self._room.items() if self._used[place] < room)

    def occupy(self, place: Place) -> bool:
        """Take up a place for one job; False if it has no room, or is lost."""
        with self.changed:
            if self._used[place] >= self._room.get(place, 0):
                return False
            self._used[place] += 1
            return True

    def give_back(self, place: Place) -> None:
        """Let a place take another job after one."""
        with self.changed:
            self._used[place] -= 1
            self.changed.notify_all()

    @contextmanager
    def occupied(self) -> Iterator[Place]:
        """Wait for a place, and take it up within the block.

        Raises:
            NoPlaceError: none joined in time.
        """
        with self.changed:
            while (place := next(self.with_room(), None)) is None:
                self.wait()
            self.occupy(place)
        try:
            yield place
        finally:
            self.give_back(place)

    def wait(self) -> None:
        """Wait for a change; hold ``changed``.

        Raises:
            NoPlaceError: there is no place, and none joined in time.
        """
        if self._room or self._wait_s is None:
            self.changed.wait()
            return
        left = self._empty_since + self._wait_s - time.monotonic()
        if left <= 0:
            told = self._explain()
            raise NoPlaceError(f"no place for cases in {self._wait_s:g} s" + (f": {told}" if told else ""))
        self.changed.wait(left)

    def wait_for_first(self) -> None:
        """Wait until there is a place.

        Raises:
            NoPlaceError: none joined in time.
        """
        with self.changed:
            while not self._room:
                self.wait()
