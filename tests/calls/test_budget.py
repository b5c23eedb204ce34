"""The cap of a run holds with any number of attempts in flight."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timing import HANG_S
from twinbench.calls.budget import Budget, CapError, Reservation
from twinbench.causes import CAUSES, Cause, Counts

USD = Decimal


def waiting(budget: Budget, number: int) -> None:
    """Return once so many wait."""
    deadline = time.monotonic() + HANG_S
    while len(budget._waiting) < number:
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Asking:
    """A thread that asks for a reservation."""

    def __init__(self, budget: Budget, worst: str, then: Callable[[Reservation], None] = lambda _: None) -> None:
        self.reservation: Reservation | None = None
        self.error: Exception | None = None
        self._then = then
        self._thread = threading.Thread(target=self._ask, args=(budget, USD(worst)), daemon=True)
        self._thread.start()

    def _ask(self, budget: Budget, worst: Decimal) -> None:
        try:
            self.reservation = budget.reserve(worst)
            self._then(self.reservation)
        except CapError as error:
            self.error = error

    def done(self) -> Asking:
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()
        return self


def test_what_is_reserved_is_committed_until_it_is_settled() -> None:
    budget = Budget(USD(5), USD(1))
    reservation = budget.reserve(USD(2))
    assert (budget.spent_usd, budget.committed_usd, reservation.settled_usd) == (USD(1), USD(3), None)
    reservation.settle(USD("0.25"))
    assert (budget.spent_usd, budget.committed_usd, reservation.settled_usd) == (USD("1.25"), USD("1.25"), USD("0.25"))


def test_a_cap_may_be_reached_exactly() -> None:
    budget = Budget(USD(2))
    budget.reserve(USD(2)).settle(USD(2))
    assert budget.spent_usd == 2
    budget.reserve(USD(0)).settle(USD(0))


def test_no_room_and_nothing_in_flight_is_the_cap() -> None:
    budget = Budget(USD(5), USD("4.5"))
    with pytest.raises(CapError, match=r"the cap of \$5 .* \$4\.5 are spent, .* \$0\.75") as refused:
        budget.reserve(USD("0.75"))
    assert refused.value.cause is Cause.cap
    assert CAUSES[Cause.cap].counts is Counts.cap
    budget.reserve(USD("0.5")).settle(USD(0))


def test_who_does_not_fit_waits_while_others_are_in_flight() -> None:
    budget = Budget(USD(1))
    first = budget.reserve(USD("0.75"))
    second = Asking(budget, "0.5")
    waiting(budget, 1)
    first.settle(USD("0.25"))
    assert second.done().reservation is not None
    assert budget.committed_usd == USD("0.75")


def test_who_would_reach_the_cap_exactly_waits_too() -> None:
    budget = Budget(USD(1))
    first = budget.reserve(USD("0.5"))
    second = Asking(budget, "1")
    waiting(budget, 1)
    first.settle(USD(0))
    assert second.done().reservation is not None
    assert budget.committed_usd == USD(1)


def test_who_waited_in_vain_is_told() -> None:
    budget = Budget(USD(1))
    first = budget.reserve(USD("0.75"))
    second = Asking(budget, "0.5")
    waiting(budget, 1)
    first.settle(USD("0.75"))
    assert isinstance(second.done().error, CapError)
    assert budget.committed_usd == USD("0.75")


def test_who_can_never_fit_does_not_wait() -> None:
    budget = Budget(USD(1))
    with budget.reserve(USD("0.5")), pytest.raises(CapError):
        budget.reserve(USD("1.01"))


def test_first_come_first_served_however_small_the_second_is() -> None:
    budget = Budget(USD(1))
    first, other = budget.reserve(USD("0.5")), budget.reserve(USD("0.1"))
    order: list[str] = []
    big = Asking(budget, "0.8", lambda _: order.append("big"))
    waiting(budget, 1)
    small = Asking(budget, "0.1", lambda _: order.append("small"))
    waiting(budget, 2)
    other.settle(USD(0))
    time.sleep(0.05)
    assert order == []
    first.settle(USD(0))
    big.done()
    small.done()
    assert order == ["big", "small"]


def test_who_is_refused_makes_room_for_the_next() -> None:
    budget = Budget(USD(1))
    first = budget.reserve(USD("0.5"))
    big = Asking(budget, "0.8")
    waiting(budget, 1)
    small = Asking(budget, "0.3")
    waiting(budget, 2)
    first.settle(USD("0.5"))
    assert big.done().error is not None
    assert small.done().reservation is not None


def test_an_overshoot_counts_in_full_and_is_reported() -> None:
    budget = Budget(USD(1))
    budget.reserve(USD("0.5")).settle(USD("1.5"))
    assert (budget.spent_usd, budget.overshoot_usd) == (USD("1.5"), USD(1))
    with pytest.raises(CapError):
        budget.reserve(USD("0.01"))


def test_an_attempt_that_nobody_settled_counts_in_full() -> None:
    budget = Budget(USD(1))
    reservation = budget.reserve(USD("0.5"))
    with pytest.raises(KeyboardInterrupt), reservation:
        raise KeyboardInterrupt
    assert (budget.spent_usd, budget.committed_usd, reservation.settled_usd) == (USD("0.5"), USD("0.5"), USD("0.5"))
    with budget.reserve(USD("0.25")) as settled:
        settled.settle(USD("0.1"))
    assert budget.spent_usd == USD("0.6")


def test_an_attempt_is_settled_once() -> None:
    budget = Budget(USD(1))
    reservation = budget.reserve(USD("0.5"))
    reservation.settle(USD("0.1"))
    with pytest.raises(RuntimeError, match=r"the reservation was settled before, at \$0\.1"):
        reservation.settle(USD("0.1"))
    assert budget.spent_usd == USD("0.1")


@pytest.mark.parametrize("amount", ["-0.01", "NaN"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    budget = Budget(USD(1))
    reservation = budget.reserve(USD("0.5"))
    for wrong in (budget.reserve, reservation.settle):
        with pytest.raises(ValueError, match="not an amount"):
            wrong(USD(amount))
    assert budget.committed_usd == USD("0.5")


def test_without_a_limit_everything_fits_and_is_counted() -> None:
    budget = Budget(None)
    held = [budget.reserve(USD(10**6)) for _ in range(3)]
    assert budget.committed_usd == 3 * 10**6
    for reservation in held:
        reservation.settle(USD("0.1"))
    assert budget.spent_usd == USD("0.3")


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 2000))
def test_the_spend_never_exceeds_the_limit_with_sixteen_threads(seed: int, limit_cents: int) -> None:
    budget = Budget(USD(limit_cents) / 100)
    exceeded: list[Decimal] = []
    spent: list[Decimal] = []
    adding = threading.Lock()

    def work(number: int) -> int:
        own = random.Random(seed + number)  # noqa: S311 - no secret
        refused = 0
        for _ in range(25):
            worst = USD(own.randint(0, 300)) / 100
            try:
                with budget.reserve(worst) as reservation:
                    if budget.committed_usd > USD(limit_cents) / 100:
                        exceeded.append(budget.committed_usd)
                    if own.random() < 0.3:
                        time.sleep(0.0002)
                    if own.random() < 0.9:
                        reservation.settle(worst * own.randint(0, 100) / 100)
                assert reservation.settled_usd is not None
                with adding:
                    spent.append(reservation.settled_usd)
            except CapError:
                refused += 1
        return refused

    with ThreadPoolExecutor(16) as pool:
        refused = sum(pool.map(work, range(16), timeout=HANG_S))

    assert exceeded == []
    assert budget.spent_usd == sum(spent) <= USD(limit_cents) / 100
    assert budget.committed_usd == budget.spent_usd
    assert budget.overshoot_usd == 0
    assert len(spent) + refused == 16 * 25
