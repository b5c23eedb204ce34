"""Costs: what a provider reports, the worst case of a request, and the bill of a case.

Usage is read from the raw body, because client libraries replace missing counts by zeros (dynamic.md, "Spend").
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from twinbench.calls.usage_reading import BillError, read_usage
from twinbench.routing.usage import Prices

__all__ = [
    "BillError",
    "bill_usd",
    "is_plausible",
    "read_usage",
    "reported_cost_usd",
    "served_by",
    "served_model",
    "worst_case_usd",
]

_MOST_USD = Decimal(10**12)
_MOST_REPORTED_USD = Decimal(10**6)
_MOST_PLACES = 30
"""The first significant digit of an amount is at most this many places after the point."""
_MOST_DIGITS = 60
"""Largest number of digits of an amount: a price has up to 30 decimals and is per million tokens."""


def reported_cost_usd(body: Mapping[str, Any]) -> Decimal | None:
    """Return the cost that the provider reports (``usage.cost``); None if it reports none or no valid amount."""
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
    """Return whether an amount can occur in a run and can be written with a limited number of digits."""
    if not usd.is_finite() or usd < 0 or usd > _MOST_USD:
        return False
    _, digits, exponent = usd.as_tuple()
    # A tiny amount or a zero with a huge exponent would be written with as many digits.
    return isinstance(exponent, int) and abs(exponent) <= _MOST_DIGITS and len(digits) <= _MOST_DIGITS


def served_model(body: Mapping[str, Any]) -> str | None:
    """Return the name of the model that answered, as the response gives it."""
    return _text(body.get("model"))


def served_by(body: Mapping[str, Any]) -> str | None:
    """Return the host that answered, if a gateway names it (OpenRouter's ``provider``)."""
    return _text(body.get("provider"))


def worst_case_usd(prompt_tokens: int, prices: Prices, max_tokens: int) -> Decimal:
    """Return the most that an attempt can cost in USD, which is what is reserved for it.

    The prompt counts as 1.3 times as long, since the provider's tokenizer may differ from ours, and at the highest
    price of a prompt token (for example, a cache write for one hour if that is priced); the answer counts as
    ``max_tokens``. Rounded up to a whole femtodollar.

    Args:
        prompt_tokens: tokens of the prompt as counted by twinbench, tools included.
        prices: the candidate's prices.
        max_tokens: the largest number of tokens of the answer.
    """
    if prompt_tokens < 0 or max_tokens < 0:
        raise ValueError(f"token counts must be 0 or more, not {prompt_tokens} and {max_tokens}")
    prompt_fusd = -(-13 * prompt_tokens * prices.max_prompt_fusd_per_token() // 10)
    return Decimal(prompt_fusd + max_tokens * prices.fusd_per_token()[3]).scaleb(-15)


def bill_usd(cost_usd: Decimal, resolved: bool, penalty_usd: Decimal) -> Decimal:
    """Return the bill of a case with a verdict: its cost, plus the penalty if it is unresolved (dynamic.md, "Bill")."""
    return cost_usd if resolved else cost_usd + penalty_usd


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
