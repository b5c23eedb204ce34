"""Where a scheduler takes the time from, and how it waits."""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells the time in seconds and can wait for a later one."""

    def now(self) -> float:
        """Seconds since an arbitrary moment."""
        ...

    def wait_until(self, time_s: float) -> None:
        """Returns when the time has come; at once if it has passed."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def wait_until(self, time_s: float) -> None:
        """Sleeps."""
        time.sleep(max(time_s - self.now(), 0.0))


class ManualClock:
    """A clock that moves only when somebody waits for it; for tests and simulations."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now(self) -> float:
        """The time it was last moved to."""
        return self._now_s

    def wait_until(self, time_s: float) -> None:
        """Moves forward to the time."""
        self._now_s = max(self._now_s, time_s)

    def advance(self, seconds: float) -> None:
        """Moves forward by some seconds, as a job does that takes its time."""
        self._now_s += seconds
