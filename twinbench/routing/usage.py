"""Tokens of one call in four buckets, and what they cost.

Prices are USD per million tokens and exact decimals. A price is resolved to 10⁻⁹ USD per million tokens, which makes
one token cost a whole number of femtodollars (10⁻¹⁵ USD): sums of costs are integers, equal in any order of addition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal

FUSD_PER_USD = 10**15
_FUSD_PER_TOKEN = 10**9  # of a price of 1 USD per million tokens


class UnpricedTokensError(ValueError):
    """A response counts tokens of a kind that the candidate has no price for."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a candidate in USD per million tokens, by bucket."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal
    cache_write_1h: Decimal | None = None
    """Price of cache writes that last one hour; None if they are not offered or not priced."""

    def fusd_per_token(self) -> tuple[int, int, int, int]:
        """Return the prices in femtodollars per token: input, cache_read, cache_write, output."""
        return (_fusd(self.input), _fusd(self.cache_read), _fusd(self.cache_write), _fusd(self.output))

    def dearest_prompt_fusd(self) -> int:
        """Return the highest price of a prompt token in femtodollars, over all prompt buckets."""
        dearest = max(self.input, self.cache_read, self.cache_write)
        return _fusd(dearest if self.cache_write_1h is None else max(dearest, self.cache_write_1h))


@dataclass(frozen=True, slots=True)
class Usage:
    """Billed tokens of one call in buckets that do not overlap."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    cache_write_1h: int = 0
    """The part of ``cache_write`` that lasts one hour and has its own price; the rest lasts five minutes."""

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input + self.cache_read + self.cache_write

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.cache_write_1h + other.cache_write_1h,
        )

    def cost_fusd(self, prices: Prices) -> int:
        """Return the cost in femtodollars (10⁻¹⁵ USD).

        Raises:
            UnpricedTokensError: the usage has one-hour cache writes, and the prices have none for them.
        """
        rates = prices.fusd_per_token()
        tokens = (self.input, self.cache_read, self.cache_write, self.output)
        cost = sum(count * rate for count, rate in zip(tokens, rates, strict=True))
        if not self.cache_write_1h:
            return cost
        if prices.cache_write_1h is None:
            raise UnpricedTokensError(f"{self.cache_write_1h} tokens written to a cache for one hour have no price")
        return cost + self.cache_write_1h * (_fusd(prices.cache_write_1h) - _fusd(prices.cache_write))

    def cost_usd(self, prices: Prices) -> Decimal:
        """Return the exact cost in USD: Σ bucket · price / 10⁶.

        Raises:
            UnpricedTokensError: the usage has one-hour cache writes, and the prices have none for them.
        """
        return Decimal(self.cost_fusd(prices)).scaleb(-15)

    def to_json(self) -> dict[str, int]:
        """Return the buckets as a JSON object; ``cache_write_1h`` is left out if it is zero."""
        counts: dict[str, int] = asdict(self)
        if not self.cache_write_1h:
            del counts["cache_write_1h"]
        return counts


def _fusd(price: Decimal) -> int:
    return int((price * _FUSD_PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))
