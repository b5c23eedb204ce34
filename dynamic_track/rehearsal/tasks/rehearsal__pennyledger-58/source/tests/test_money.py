from fractions import Fraction

import pytest

from pennyledger import EUR, JPY, KWD, Money


def minors(shares):
    return [share.minor for share in shares]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("19.99", EUR, 1999), ("-0.5", EUR, -50), ("7", JPY, 7), ("1.234", KWD, 1234)],
    ids=["cents", "negative", "yen", "fils"],
)
def test_amounts_are_read(text, currency, minor):
    assert Money.parse(text, currency).minor == minor


@pytest.mark.parametrize(("text", "currency"), [("1.234", EUR), ("1.5", JPY), ("a", EUR)], ids=["fine", "yen", "text"])
def test_what_is_no_amount_is_refused(text, currency):
    with pytest.raises(ValueError, match=r"decimals|not an amount"):
        Money.parse(text, currency)


def test_amounts_are_written():
    assert [str(Money(-5, currency)) for currency in (EUR, JPY, KWD)] == ["-0.05 EUR", "-5 JPY", "-0.005 KWD"]


def test_currencies_do_not_mix():
    with pytest.raises(ValueError, match="do not mix"):
        Money(1, EUR) + Money(1, JPY)


@pytest.mark.parametrize(("minor", "expected"), [(4, 2), (5, 3), (6, 3), (7, 4), (-6, -3)], ids=str)
def test_half_an_amount_is_rounded_commercially(minor, expected):
    assert (Money(minor, EUR) * Fraction(1, 2)).minor == expected


def test_allocate_gives_left_over_units_to_the_first():
    assert minors(Money(100, EUR).allocate([1, 1, 1])) == [34, 33, 33]


def test_allocate_gives_nothing_where_the_weight_is_zero():
    assert minors(Money(100, EUR).allocate([0, 1, 2])) == [0, 34, 66]


def test_allocate_loses_nothing():
    for minor in (-1001, -7, 0, 7, 1001):
        assert sum(minors(Money(minor, EUR).allocate([3, 5, 0, 9]))) == minor


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [2, -1]], ids=["zero", "cancel", "negative"])
def test_allocate_refuses_senseless_weights(weights):
    with pytest.raises(ValueError, match="weights"):
        Money(1, EUR).allocate(weights)
