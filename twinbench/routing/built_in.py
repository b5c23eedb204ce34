"""The routers that ship with twinbench: baselines to beat and short examples to read."""

from __future__ import annotations

import random
import re
from typing import ClassVar

from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import TIER_LABELS, Tier


class Always:
    """Sends every call to the same tier."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def route(self, call: Call) -> Tier:  # noqa: ARG002 - a constant looks at nothing
        """Pick the one tier that this router always picks."""
        return self._tier


class AlwaysLow(Always):
    """Sends every call to the low tier."""

    def __init__(self) -> None:
        super().__init__(Tier.LOW)


class AlwaysMid(Always):
    """Sends every call to the mid tier."""

    def __init__(self) -> None:
        super().__init__(Tier.MID)


class AlwaysMidHigh(Always):
    """Sends every call to the mid_high tier."""

    def __init__(self) -> None:
        super().__init__(Tier.MID_HIGH)


class AlwaysHigh(Always):
    """Sends every call to the high tier."""

    def __init__(self) -> None:
        super().__init__(Tier.HIGH)


class Random:
    """Draws a tier for each call; the same seed draws the same, whatever the order of sessions.

    ``mix`` holds four weights, low to high, separated by ``:``.
    """

    def __init__(self, seed: int = 0, mix: str = "1:1:1:1") -> None:
        self._seed = seed
        try:
            self._weights = [float(weight) for weight in mix.split(":")]
        except ValueError:
            raise ValueError(f"mix must be numbers separated by ':', not {mix!r}") from None
        if len(self._weights) != len(Tier) or min(self._weights) < 0 or not 0 < sum(self._weights) < float("inf"):
            raise ValueError(f"mix needs four weights of 0 or more, one above 0, not {mix!r}")

    def route(self, call: Call) -> Tier:
        """Draw a tier; the draw depends on session, step and seed only."""
        draw = random.Random(f"{self._seed}|{call.session}|{call.step_index}")  # noqa: S311 - a seeded baseline
        return draw.choices(list(Tier), self._weights)[0]


class RoundRobin:
    """Takes the tiers in turn within a session, each for a number of calls.

    ``tiers`` are those that take part, separated by ``:``; default: all that the pool has.
    """

    def __init__(self, every: int = 1, tiers: str = "") -> None:
        if every < 1:
            raise ValueError(f"every must be 1 or more, not {every}")
        self._every = every
        self._tiers = [Tier.from_label(label) for label in tiers.split(":")] if tiers else []
        self._calls: dict[str, int] = {}

    def start(self, session: str) -> None:
        """Start the session with the first tier."""
        self._calls[session] = 0

    def route(self, call: Call) -> Tier:
        """Pick the tier whose turn it is, among those that the pool has."""
        done = self._calls.get(call.session, 0)
        self._calls[call.session] = done + 1
        tiers = self._tiers or sorted({candidate.tier for candidate in call.candidates})
        return tiers[done // self._every % len(tiers)]

    def end(self, session: str) -> None:
        """Forget the session."""
        self._calls.pop(session, None)


class DepthRule:
    """Goes up with the depth of the conversation, and faster where tools are in use.

    A conversation of fewer than ``mid`` messages goes low, of fewer than ``high`` mid, and any longer one high. Where a
    tool answered last, ``tool_bonus`` messages are added before comparing.
    """

    _READING: ClassVar[frozenset[str]] = frozenset({"tool", "function"})

    def __init__(self, mid: int = 4, high: int = 8, tool_bonus: int = 2) -> None:
        if not 0 <= mid <= high:
            raise ValueError(f"0 <= mid <= high is needed, not mid={mid}, high={high}")
        self._mid = mid
        self._high = high
        self._tool_bonus = tool_bonus

    def route(self, call: Call) -> Decision:
        """Pick a tier by the number of messages."""
        tool_answered = bool(call.messages) and call.messages[-1].get("role") in self._READING
        depth = len(call.messages) + (self._tool_bonus if tool_answered else 0)
        tier = Tier.LOW if depth < self._mid else Tier.MID if depth < self._high else Tier.HIGH
        score = min(depth / (2 * self._high), 1.0) if self._high else 1.0
        return Decision(tier, score=score, rationale=f"depth {depth}")


class Sticky:
    """Picks the candidate that is cheapest for this call, prompt cache included.

    An expensive tier with a warm cache can cost less than a cheap tier with a cold one. ``at_least`` is the lowest
    tier that it trusts at first. Each failed command of mini-swe-agent (``<returncode>1</returncode>``) raises that by
    one tier for the rest of the session, unless ``climbs=no``.
    """

    _FAILED: ClassVar[re.Pattern[str]] = re.compile(r"<returncode>(?!0</)")

    def __init__(self, at_least: str = "low", climbs: bool = True) -> None:
        self._at_least = Tier.from_label(at_least)
        self._climbs = climbs

    def route(self, call: Call) -> Decision:
        """Pick the cheapest candidate at or above the tier that is trusted so far."""
        failed = self._failures(call) if self._climbs else 0
        strongest = max((candidate.tier for candidate in call.candidates if call.fits(candidate)), default=Tier.LOW)
        picked = call.cheapest(at_least=Tier(max(self._at_least, min(self._at_least + failed, strongest))))
        return Decision(picked, rationale=f"reads {call.cache[picked].read_tokens} tokens from the cache")

    def _failures(self, call: Call) -> int:
        observed = (message for message in call.messages if message.get("role") in ("tool", "user"))
        return sum(len(self._FAILED.findall(str(message.get("content")))) for message in observed)


CONSTANTS = tuple(f"always-{label}" for label in TIER_LABELS)
