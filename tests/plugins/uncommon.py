"""``uncommon-route`` from the index behind both interfaces: ours, and the one of routers published for TwinRouterBench.

Run by the interpreter of an environment that has it (``--python``). The package decides about a prompt with the whole
conversation beside it, and knows three tiers; what it learns from the calls it sees is switched off, since a benchmark
asks about rows in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from uncommon_route import RoutingDecision, route  # type: ignore[import-not-found]

from twinbench import Call, Decision, Tier

OUR_TIER = {"SIMPLE": Tier.LOW, "MEDIUM": Tier.MID, "COMPLEX": Tier.HIGH}
"""As the package itself names the pairs (``uncommon_route.v2_tiers.V1_TO_V2``); fixed before anything was scored."""

COMPLEXITY = {Tier.LOW: 0.0, Tier.MID: 0.40, Tier.MID_HIGH: 0.68, Tier.HIGH: 0.90}
"""Its inner scale of four tiers (``uncommon_route.router.api._TIER_ID_TO_COMPLEXITY``): two of them are COMPLEX."""


class Uncommon:
    """Our own interface.

    ``scale=complexity`` reads its complexity on its inner scale, not its public tier. That reading was added after
    the scores of the other were seen, to show how much of them is the mapping: it is no second entry to pick from.
    """

    def __init__(self, scale: Literal["tier", "complexity"] = "tier") -> None:
        self._scale = scale

    def route(self, call: Call) -> Decision:
        """Its tier; its complexity, from 0 to 1, is the need for a stronger model."""
        found = decided(call.messages)
        tier = OUR_TIER[found.tier.value]
        if self._scale == "complexity":
            tier = min(COMPLEXITY, key=lambda each: (abs(COMPLEXITY[each] - found.complexity), each))
        return Decision(tier, score=min(max(found.complexity, 0.0), 1.0), rationale=found.method)


class Published:
    """The interface of published live routers."""

    def select(self, ctx: Any) -> Any:
        """The model of its tier."""
        from swerouter.router import RouterDecision  # type: ignore[import-not-found]

        found = decided(ctx.messages)
        return RouterDecision(ctx.available_models[OUR_TIER[found.tier.value]], rationale=found.reasoning)


def decided(messages: Sequence[Mapping[str, Any]]) -> RoutingDecision:
    """What the package says about a conversation."""
    prompt = next((text(message) for message in reversed(messages) if message.get("role") == "user"), "")
    system = next((text(message) for message in messages if message.get("role") == "system"), None)
    return route(prompt, system, messages=list(messages), record_lifecycle=False)


def text(message: Mapping[str, Any]) -> str:
    """A message's text."""
    content = message.get("content")
    if isinstance(content, list):
        blocks = (block if isinstance(block, str) else block.get("text") or "" for block in content)
        return "\n".join(blocks)
    return content or ""
