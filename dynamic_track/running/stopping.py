"""A run asked to stop: running calls finish, everything is kept, the same command goes on.

Commands and tests that run are given up at once instead: they cost nothing, and run again when the run is continued.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from twinbench.routing.clock import Clock, WallClock

STOP_FILE = "stop"
"""In a run's directory: who wants it to stop from another process makes it."""

_LOOK_EVERY_S = 0.5


class StoppedError(Exception):
    """The run is to stop: nothing new is begun. What stands in the journal is gone on with later."""


class Stop:
    """Whether a run is to stop, as its threads ask before each call and while a command or tests run.

    Args:
        folder: the run's directory, where another process may ask for it; None: nobody else can.
        beside: another stop, which is this one's too.
    """

    def __init__(self, folder: Path | None = None, beside: Stop | None = None) -> None:
        self._asked = threading.Event()
        self._beside = beside
        self._file = None if folder is None else folder / STOP_FILE
        self._looked = 0.0
        if self._file is not None:
            self._file.unlink(missing_ok=True)  # that was of another sitting

    def request(self) -> None:
        """Ask for it."""
        self._asked.set()

    @property
    def requested(self) -> bool:
        """Whether somebody has asked for it."""
        if self._beside is not None and self._beside.requested:
            return True
        if not self._asked.is_set() and self._file is not None:
            now = time.monotonic()
            if now - self._looked > _LOOK_EVERY_S:
                self._looked = now
                if self._file.exists():
                    self._asked.set()
        return self._asked.is_set()

    def check(self) -> None:
        """Go on, or not.

        Raises:
            StoppedError: somebody has asked for it.
        """
        if self.requested:
            raise StoppedError


class StoppingClock:
    """A clock whose waits end when the run is to stop.

    Args:
        clock: whose time it is; only a wall clock's waits take any.
        stop: of the run.
    """

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock = clock
        self._stop = stop

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: the run is to stop meanwhile.
        """
        self._stop.check()
        if not isinstance(self._clock, WallClock):
            self._clock.sleep(seconds)
            return
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._clock.sleep(min(left, _LOOK_EVERY_S))
            self._stop.check()


def ask_to_stop(folder: Path) -> None:
    """Ask the process that works on a run to stop."""
    (folder / STOP_FILE).touch()
