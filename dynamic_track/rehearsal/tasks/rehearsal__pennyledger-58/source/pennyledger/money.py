"""Amounts of money."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pennyledger.currency import Currency
from pennyledger.rounding import round_half

_AMOUNT = re.compile(r"(-?)(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Money:
    """A whole number of minor units of one currency."""

    minor: int
    currency: Currency

    @classmethod
    def zero(cls, currency: Currency) -> "Money":
        """Nothing, in a currency."""
        return cls(0, currency)

    @classmethod
    def parse(cls, text: str, currency: Currency) -> "Money":
        """The amount written as a decimal number.

        Raises:
            ValueError: the text is no number, or finer than the currency.
        """
        match = _AMOUNT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not an amount: {text!r}")
        sign, major, decimals = match[1], match[2], match[3] or ""
        if len(decimals) > currency.decimals:
            raise ValueError(f"{currency.code} has {currency.decimals} decimals: {text!r}")
        minor = int(major + decimals.ljust(currency.decimals, "0"))
        return cls(-minor if sign else minor, currency)

    @classmethod
    def sum(cls, amounts: Iterable["Money"], currency: Currency) -> "Money":
        """The sum of amounts of one currency, which may be none at all."""
        total = cls.zero(currency)
        for amount in amounts:
            total += amount
        return total

    def __str__(self) -> str:
        major, rest = divmod(abs(self.minor), self.currency.units)
        decimals = f".{rest:0{self.currency.decimals}d}" if self.currency.decimals else ""
        return f"{'-' if self.minor < 0 else ''}{major}{decimals} {self.currency.code}"

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __mul__(self, factor: int | Fraction) -> "Money":
        return Money(round_half(self.minor * Fraction(factor)), self.currency)

    def allocate(self, weights: Sequence[int]) -> list["Money"]:
        """Shares in proportion to the weights, which together are exactly this amount.

        Units left over go one by one to the first shares whose weight is not zero.

        Raises:
            ValueError: a weight is negative, or all are zero.
        """
        total = sum(weights)
        if total == 0 or min(weights) < 0:
            raise ValueError("weights are not negative, and at least one is not zero")
        shares = [self.minor * weight // total for weight in weights]
        left_over = self.minor - sum(shares)
        takers = [index for index, weight in enumerate(weights) if weight]
        for index in takers[:left_over]:
            shares[index] += 1
        return [Money(share, self.currency) for share in shares]

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency.code} and {other.currency.code} do not mix")
        return other.minor
