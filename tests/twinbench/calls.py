"""Calls and pools made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from twinbench.routing.router import CacheView, CacheViews, Call, Candidate, Limits
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Prices
from twinbench.storage.manifest_files import static_manifest

TIERS = static_manifest().candidates()
"""The static track's pool."""


def a_candidate(name: str, tier: Tier, output: str = "1", **fields: Any) -> Candidate:
    """A candidate of a live pool."""
    prices = Prices(input=Decimal(1), cache_read=Decimal("0.1"), cache_write=Decimal("1.25"), output=Decimal(output))
    return Candidate(id=name, model=name, tier=tier, prices=prices, **fields)


def a_call(
    candidates: Sequence[Candidate] = TIERS,
    *,
    tokens: int | Mapping[str, int] = 100,
    read: Mapping[str, int] | None = None,
    **fields: Any,
) -> Call:
    """A call with prompts of ``tokens`` tokens, of which the caches hold ``read`` by candidate id."""
    counted = {each.id: tokens if isinstance(tokens, int) else tokens[each.id] for each in candidates}
    views = {each.id: CacheView((read or {}).get(each.id, 0), exact=True) for each in candidates}
    call = Call(
        messages=({"role": "user", "content": "hi"},),
        tools=(),
        step_index=1,
        session="session",
        candidates=tuple(candidates),
        cache=CacheViews(views),
        spent_usd=0.0,
        limits=Limits(),
        counted_tokens=counted,
    )
    return replace(call, **fields)
