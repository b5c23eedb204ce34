"""``cascade``: starts cheap, goes up where the agent is in trouble, and down again when it is calm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twinbench.routers.signals import Reader, Step
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier


class Cascade:
    """Starts at a tier, goes up one after ``up`` steps in trouble, and down one after ``calm`` steps without.

    Rule: the "cascade" of surveys of LLM routing, by what an agent's steps show instead of by a judge of each answer; a
    step is in trouble if its observation holds an error, a failed command or a failed test. ``up=0`` never goes up,
    ``calm=0`` never down. Steps in trouble need not follow each other; going up or down forgets those before.
    Left out: a model that judges answers, which here would be an LLM's call before each step.
    The thresholds are ours. ``static crossval`` has this rule among its references, with the settings that were best on
    the other folds.
    """

    tunable: ClassVar[Any] = ({"start": ("low", "mid", "mid_high"), "up": (1, 2, 3, 5, 8), "calm": (0, 2, 5)},)
    """The values that ``router tune`` tries; see ``Learned.tunable``."""

    def __init__(self, start: str = "low", up: int = 2, calm: int = 0) -> None:
        if up < 0 or calm < 0:
            raise ValueError(f"up and calm must be 0 or more, not {up} and {calm}")
        self._start = Tier.from_label(start)
        self._up = up
        self._calm = calm
        self._reader = Reader()

    def route(self, call: Call) -> Decision:
        """The tier that the steps so far lead to, or the next stronger one that the pool has."""
        tier, why = self.tier_after(self._reader.steps(call))
        return Decision(nearest(call, tier), rationale=why)

    def tier_after(self, steps: Sequence[Step]) -> tuple[Tier, str]:
        """The tier that some steps lead to, and why."""
        tier, trouble, calm = self._start, 0, 0
        for step in steps:
            if in_trouble(step):
                trouble, calm = trouble + 1, 0
            else:
                calm += 1
            if self._up and trouble >= self._up and tier < Tier.HIGH:
                tier, trouble, calm = Tier(tier + 1), 0, 0
            elif self._calm and calm >= self._calm and tier > self._start:
                tier, trouble, calm = Tier(tier - 1), 0, 0
        return tier, f"{trouble} in trouble, {calm} calm"

    def end(self, session: str) -> None:
        """Forget the session."""
        self._reader.forget(session)


def in_trouble(step: Step) -> bool:
    """Whether a step shows an error, a failed command or a failed test."""
    return step.severity > 0 or step.failed


def nearest(call: Call, tier: Tier) -> Tier:
    """A tier that the pool has: this one, else the next stronger, else the strongest below."""
    has = sorted({candidate.tier for candidate in call.candidates if candidate.tier_default})
    return next((each for each in has if each >= tier), has[-1])
