"""Clocks of a live run: wall time, or virtual time in rehearsals."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits; wall time, or virtual time in rehearsals."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block until ``seconds`` have passed on this clock (virtual in rehearsals)."""
        ...


class Clocks(Protocol):
    """Makes the clock of each trial."""

    def clock_for(self, session: str, recorded_until: float | None = None) -> Clock:
        """Return the clock of a trial.

        Args:
            session: the session key that the trial's requests carry.
            recorded_until: the time of the last journal line of the trial; None if nothing is recorded of it.
        """
        ...


class WallClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block until ``seconds`` have passed."""
        time.sleep(seconds)


class WallClocks:
    """Uses the system clock for every trial."""

    def clock_for(self, _session: str, _since: float | None = None) -> Clock:
        """Return the system clock, whatever the trial."""
        return WallClock()
