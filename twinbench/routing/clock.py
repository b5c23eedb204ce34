"""Time, as a live run reads it and waits for it; who drives a run says which."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Clocks(Protocol):
    """Gives every trial its clock."""

    def of(self, session: str, since: float | None = None) -> Clock:
        """The clock of a trial.

        Args:
            session: the key that its requests carry.
            since: the time at which what is recorded of it ends; None where nothing is.
        """
        ...


class WallClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class WallClocks:
    """The machine's own time for every trial."""

    def of(self, _session: str, _since: float | None = None) -> Clock:
        """The clock of a trial."""
        return WallClock()
