"""``stall``: one tier up where the newest command repeats itself or keeps failing, back after calm steps."""

from __future__ import annotations

from typing import Any, ClassVar

from twinbench.routers.cascade import in_trouble, nearest
from twinbench.routers.signals import Reader
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier


class Stall:
    """Goes up a tier where the newest command was given, or failed, ``times`` times within ``window`` steps.

    Rule: litellm's stall escalation, read in code: repeated tool calls or failures within a window escalate to the next
    model; ``calm`` steps without either lead back to where it began. The numbers are ours.
    Left out: what litellm knows from its own retries and time-outs, which a router does not see.
    """

    tunable: ClassVar[Any] = ({"start": ("low", "mid"), "times": (2, 3), "window": (4, 8), "calm": (2, 4, 8)},)
    """The values that ``router tune`` tries; see ``Learned.tunable``."""

    def __init__(self, start: str = "low", times: int = 2, window: int = 6, calm: int = 4) -> None:
        if times < 1 or window < times or calm < 1:
            raise ValueError(f"1 <= times <= window and calm >= 1 are needed, not {times}, {window}, {calm}")
        self._start = Tier.from_label(start)
        self._times = times
        self._window = window
        self._calm = calm
        self._reader = Reader()

    def route(self, call: Call) -> Decision:
        """The tier that repeated and failing commands lead to."""
        tier, calm, since = self._start, 0, 0
        steps = self._reader.steps(call)
        for place, step in enumerate(steps):
            seen = steps[max(since, place + 1 - self._window) : place + 1]
            repeated = sum(each.command == step.command for each in seen) >= self._times and bool(step.command)
            failing = in_trouble(step) and sum(map(in_trouble, seen)) >= self._times
            if repeated or failing:
                tier, calm, since = Tier(min(tier + 1, Tier.HIGH)), 0, place + 1
            else:
                calm += 1
                if calm >= self._calm:
                    tier = self._start
        return Decision(nearest(call, tier), rationale=f"{calm} calm steps")

    def end(self, session: str) -> None:
        """Forget the session."""
        self._reader.forget(session)
