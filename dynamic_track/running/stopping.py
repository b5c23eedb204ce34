"""Stop a run: calls in flight finish, all results are kept, and the same command continues later.

Running commands and tests are aborted at once: they cost nothing, and run again when the run is continued.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from twinbench.routing.clock import Clock, WallClock

STOP_FILE = "stop"
"""A file in the run directory by which another process requests a stop."""

_LOOK_EVERY_S = 0.5


class StoppedError(Exception):
    """A stop was requested: nothing new is started, and the journal allows to continue later."""


class Stop:
    """A stop request, which threads check before each call and while commands or tests run.

    Args:
        folder: the run directory, in which another process may request a stop; None: only this process can.
        beside: another stop, whose request applies here too.
    """

    def __init__(self, folder: Path | None = None, beside: Stop | None = None) -> None:
        self._asked = threading.Event()
        self._beside = beside
        self._file = None if folder is None else folder / STOP_FILE
        self._looked = 0.0
        if self._file is not None:
            self._file.unlink(missing_ok=True)  # left by an earlier execution

    def request(self) -> None:
        """Request a stop."""
        self._asked.set()

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
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
        """Raise if a stop was requested.

        Raises:
            StoppedError: a stop was requested.
        """
        if self.requested:
            raise StoppedError


class StoppingClock:
    """A clock whose waits end when a stop is requested.

    Args:
        clock: the underlying clock; only a wall clock's waits take time.
        stop: the run's stop.
    """

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock = clock
        self._stop = stop

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Block until ``seconds`` have passed on the underlying clock.

        Raises:
            StoppedError: a stop was requested meanwhile.
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
    """Request that the process executing a run stops."""
    (folder / STOP_FILE).touch()
