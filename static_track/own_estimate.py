"""What routers that call an LLM themselves may spend on a part of a bank, reported before anything is spent."""

from __future__ import annotations

from decimal import Decimal

from static_track.evaluator import Evaluator
from twinbench.routing.llm import MAX_TOKENS
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest


def own_estimate_usd(judge: Evaluator, pool: str) -> tuple[Decimal, Decimal]:
    """Estimate the cost of a router that calls an LLM once per row, at the pool's cheapest and dearest candidates.

    It shows the whole conversation, finds no cache, and gets an answer as long as it is by default.
    """
    prompts = judge.bank.prompt_tokens(judge.split)
    found = []
    for each in live_manifest(pool).candidates:
        usage = Usage(input=prompts[Tier.from_label(each.tier)], output=MAX_TOKENS * len(judge.row_nos))
        found.append(usage.cost_usd(each.prices.prices()))
    return min(found), max(found)
