"""Tokens of one call in four buckets, and what they cost.

Prices are USD per million tokens and exact decimals. A price is resolved to 10⁻⁹ USD per million tokens, which makes
one token cost a whole number of femtodollars (10⁻¹⁵ USD): sums of costs are integers, equal in any order of addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

FUSD_PER_USD = 10**15
_FUSD_PER_TOKEN = 10**9  # of a price of 1 USD per million tokens


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens of each bucket cost, in USD."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal

    def fusd_per_token(self) -> tuple[int, int, int, int]:
        """Femtodollars per token: input, cache_read, cache_write, output."""
        return (_fusd(self.input), _fusd(self.cache_read), _fusd(self.cache_write), _fusd(self.output))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; the four buckets do not overlap."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
        )

    def cost_fusd(self, prices: Prices) -> int:
        """The cost in femtodollars."""
        rates = prices.fusd_per_token()
        tokens = (self.input, self.cache_read, self.cache_write, self.output)
        return sum(count * rate for count, rate in zip(tokens, rates, strict=True))

    def cost_usd(self, prices: Prices) -> Decimal:
        """The cost in USD: Σ bucket · price / 10⁶, exact."""
        return Decimal(self.cost_fusd(prices)).scaleb(-15)


def _fusd(price: Decimal) -> int:
    return int((price * _FUSD_PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))
