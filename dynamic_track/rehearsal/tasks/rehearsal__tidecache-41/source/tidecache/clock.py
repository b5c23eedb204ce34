"""Where a cache takes the time from."""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells a time in seconds that never runs backwards."""

    def now(self) -> float:
        """Seconds since an arbitrary moment."""
        ...


class MonotonicClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when it is told to; for tests and simulations."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """The time it was last moved to."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Moves the clock forward."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._now_s += seconds
