"""What a response costs: its usage in buckets, the worst case of a request, the bill of a case.

Usage is read from the raw body: libraries in between make zeros of what is missing (dynamic.md, "Spend").
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from twinbench.calls.usage_reading import BillError, usage_of
from twinbench.routing.usage import Prices

__all__ = [
    "BillError",
    "bill_usd",
    "is_plausible",
    "reported_cost_usd",
    "served_by",
    "served_model",
    "usage_of",
    "worst_case_usd",
]

_MOST_USD = Decimal(10**12)
_MOST_REPORTED_USD = Decimal(10**6)
_MOST_PLACES = 30
"""The first digit of an amount stands at most so far behind its point."""
_MOST_DIGITS = 60
"""Of an amount: a price has up to 30 behind its point, and is one of a million tokens."""


def reported_cost_usd(body: Mapping[str, Any]) -> Decimal | None:
    """What the provider says that the call cost (``usage.cost``); None where it says nothing that is an amount."""
    usage = body.get("usage")
    cost = usage.get("cost") if isinstance(usage, Mapping) else None
    if isinstance(cost, bool) or not isinstance(cost, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(cost))
    except (InvalidOperation, ValueError):
        return None
    plausible = is_plausible(amount) and amount <= _MOST_REPORTED_USD and amount.adjusted() >= -_MOST_PLACES
    return amount if plausible else None


def is_plausible(usd: Decimal) -> bool:
    """Whether an amount is one that a run can have to do with, and that can be written out in some digits."""
    if not usd.is_finite() or usd < 0 or usd > _MOST_USD:
        return False
    _, digits, exponent = usd.as_tuple()
    # A tiny amount, or a zero, with a huge exponent would be written out in as many digits.
    return isinstance(exponent, int) and abs(exponent) <= _MOST_DIGITS and len(digits) <= _MOST_DIGITS


def served_model(body: Mapping[str, Any]) -> str | None:
    """The name under which a model answered."""
    return _text(body.get("model"))


def served_by(body: Mapping[str, Any]) -> str | None:
    """The host that answered, where a gateway names it (OpenRouter's ``provider``)."""
    return _text(body.get("provider"))


def worst_case_usd(prompt_tokens: int, prices: Prices, max_tokens: int) -> Decimal:
    """The most that an attempt can cost: what is reserved for it.

    The prompt counts as 1.3 times as long, since it was counted by another tokenizer than the provider's, and at the
    dearest price of a prompt: as written to a cold cache, say, for an hour where that is priced; the answer as long as
    it may become. A part of a femtodollar counts as a whole one.

    Args:
        prompt_tokens: as counted here, tools included.
        prices: of the candidate.
        max_tokens: of the answer.
    """
    if prompt_tokens < 0 or max_tokens < 0:
        raise ValueError(f"no counts of tokens: {prompt_tokens}, {max_tokens}")
    prompt_fusd = -(-13 * prompt_tokens * prices.dearest_prompt_fusd() // 10)
    return Decimal(prompt_fusd + max_tokens * prices.fusd_per_token()[3]).scaleb(-15)


def bill_usd(cost_usd: Decimal, resolved: bool, penalty_usd: Decimal) -> Decimal:
    """The bill of a case that has a verdict: its cost, and the penalty where it is unresolved (dynamic.md, "Bill")."""
    return cost_usd if resolved else cost_usd + penalty_usd


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
