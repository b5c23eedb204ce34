"""The budget of a run: what was spent, what is reserved, and which attempts have to wait.

Before an attempt its worst case is reserved; afterwards its actual cost is settled. So the cap holds with any number
of attempts in flight.
"""

from __future__ import annotations

import threading
from collections import deque
from decimal import Decimal
from types import TracebackType
from typing import Self

from twinbench.causes import Cause, CausedError

_NOTHING = Decimal(0)


class CapError(CausedError):
    """The run's spending cap leaves no room for a call."""

    cause = Cause.cap

    def after(self, what: str) -> CapError:
        """Return the same error with a sentence on what happened before it."""
        return CapError(f"{self}; {what}")


class Budget:
    """The spending budget of a run; thread-safe."""

    def __init__(self, limit_usd: Decimal | None, spent_usd: Decimal = _NOTHING, *, option: str = "--run-usd") -> None:
        """Make a budget.

        Args:
            limit_usd: the spending cap; None for no cap.
            spent_usd: what earlier executions of the run spent.
            option: the command-line option that raises the cap, named in the error message.
        """
        self.limit_usd = limit_usd
        self._option = option
        self._spent = spent_usd
        self._reserved = _NOTHING
        self._overshoot = _NOTHING
        self._in_flight = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def spent_usd(self) -> Decimal:
        """The total of all settled costs, in USD."""
        with self._changed:
            return self._spent

    @property
    def committed_usd(self) -> Decimal:
        """The settled costs plus the reservations of attempts in flight, in USD."""
        with self._changed:
            return self._spent + self._reserved

    @property
    def overshoot_usd(self) -> Decimal:
        """By how much attempts cost more than their reservations, in total, in USD."""
        with self._changed:
            return self._overshoot

    def reserve(self, worst_usd: Decimal) -> Reservation:
        """Reserve what an attempt may cost; wait while it does not fit but may fit once other attempts have settled.

        First come, first served: a waiting attempt is not overtaken by a smaller one. A thread that holds a reservation
        must settle it before it makes another one.

        Args:
            worst_usd: the most that the attempt can cost.

        Raises:
            CapError: it does not fit, and it would not fit after all attempts in flight have settled.
        """
        if not worst_usd.is_finite() or worst_usd < 0:
            raise ValueError(f"not an amount: {worst_usd}")
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not (self._waiting[0] is ticket and self._fits(worst_usd)):
                    if self._hopeless(worst_usd, first=self._waiting[0] is ticket):
                        raise self._cap_error(worst_usd)
                    self._changed.wait()
                self._reserved += worst_usd
                self._in_flight += 1
                return Reservation(self, worst_usd)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()

    def _fits(self, worst_usd: Decimal) -> bool:
        return self.limit_usd is None or self._spent + self._reserved + worst_usd <= self.limit_usd

    def _hopeless(self, worst_usd: Decimal, *, first: bool) -> bool:
        """Return whether the amount will not fit whatever the other attempts settle at."""
        if self.limit_usd is None:
            return False
        return self._spent + worst_usd > self.limit_usd or (first and self._in_flight == 0)

    def _cap_error(self, worst_usd: Decimal) -> CapError:
        assert self.limit_usd is not None  # noqa: S101 - without a limit everything fits
        return CapError(
            f"the cap of {_usd(self.limit_usd)} is reached: {_usd(self._spent)} are spent, and the next call may "
            f"cost {_usd(worst_usd)}; continue with a higher {self._option}"
        )

    def _settle(self, reserved_usd: Decimal, amount_usd: Decimal) -> None:
        with self._changed:
            self._reserved -= reserved_usd
            self._in_flight -= 1
            self._spent += amount_usd
            self._overshoot += max(amount_usd - reserved_usd, _NOTHING)
            self._changed.notify_all()


class Reservation:
    """The amount reserved for one attempt. Used as a context manager, it settles in full on exit if it was not
    settled.
    """

    def __init__(self, budget: Budget, amount_usd: Decimal) -> None:
        self.amount_usd = amount_usd
        self._budget = budget
        self._settled: Decimal | None = None
        self._lock = threading.Lock()

    @property
    def settled_usd(self) -> Decimal | None:
        """The settled cost of the attempt, in USD; None while the attempt is in flight."""
        return self._settled

    def settle(self, amount_usd: Decimal) -> None:
        """Settle the attempt's actual cost; it counts in full even if it is more than was reserved.

        Raises:
            RuntimeError: the reservation was settled before.
        """
        if not amount_usd.is_finite() or amount_usd < 0:
            raise ValueError(f"not an amount: {amount_usd}")
        with self._lock:
            if self._settled is not None:
                raise RuntimeError(f"the reservation was settled before, at {_usd(self._settled)}")
            self._settled = amount_usd
        self._budget._settle(self.amount_usd, amount_usd)  # noqa: SLF001 - the two are one thing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._settled is None:
            self.settle(self.amount_usd)


def _usd(amount: Decimal) -> str:
    return f"${amount.normalize():f}"
