"""``session-aware``: another router's choice, changed less often than it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from twinbench.routers.inner import call_inner, make_inner
from twinbench.routing.router import Call, Decision, Outcome, validate_decision
from twinbench.routing.tiers import Tier


@dataclass
class _Stay:
    """The tier of a session, and how long the inner router has wanted to leave it."""

    tier: Tier
    wanted: Tier
    since: int = 0
    """Calls in a row for which ``wanted`` was wanted."""
    switches: int = 0


class SessionAware:
    """Stays at a session's tier until the ``inner`` router has wanted another one for long enough.

    Rule: the session-aware selection of vLLM's semantic router, read in code: staying gains a bias and the value of the
    warm prefix; switching pays a hand-off, and more after each switch. The inner router gives no gain to weigh here, so
    each call in a row that wants the same other tier counts as 1, and the switch is made when their number is at least
    ``bias`` + ``warm`` · (share of the prompt that is cached for the tier of now) + ``hand_off`` · (1 + switches so
    far). The numbers are ours. ``lock=true`` also stays while a tool's result is awaited (its last message is one), as
    there; agents await one at nearly every step, so it is off. Claim: none published.
    Left out: the reset of idle sessions, since a call tells no time.
    """

    tunable: ClassVar[Any] = ({"bias": (0.0, 0.5, 1.0), "warm": (0.0, 1.0, 2.0), "hand_off": (0.0, 0.25, 1.0)},)
    """The values that ``router tune`` tries; see ``Learned.tunable``."""

    def __init__(
        self, inner: str = "stage", bias: float = 0.5, warm: float = 1.0, hand_off: float = 0.25, lock: bool = False
    ) -> None:
        if min(bias, warm, hand_off) < 0:
            raise ValueError("bias, warm and hand_off must be 0 or more")
        self._inner: Any = make_inner(inner)
        self._bias = bias
        self._warm = warm
        self._hand_off = hand_off
        self._lock = lock
        self._stays: dict[str, _Stay] = {}
        for method in ("fit", "save", "load") if hasattr(self._inner, "fit") else ():
            setattr(self, method, getattr(self._inner, method))  # there only if the inner router learns

    def route(self, call: Call) -> Decision:
        """Choose the tier of the session, or the one that the inner router wants."""
        wish = validate_decision(self._inner.route(call), call.candidates)
        wanted = wish.candidate.tier
        stay = self._stays.setdefault(call.session, _Stay(wanted, wanted))
        if wanted == stay.tier:
            stay.since = 0
            return Decision(wish.candidate, wish.score, "as the inner router")
        stay.since = stay.since + 1 if wanted == stay.wanted else 1
        stay.wanted = wanted
        now = next(each for each in call.candidates if each.tier == stay.tier and each.tier_default)
        cached = call.cache[now].read_tokens / max(call.prompt_tokens(now), 1)
        price = self._bias + self._warm * min(cached, 1.0) + self._hand_off * (1 + stay.switches)
        locked = self._lock and bool(call.messages) and call.messages[-1].get("role") == "tool"
        if locked or stay.since < price:
            return Decision(now, wish.score, f"stays: {stay.since} of {price:.2f} for {wanted.label}")
        stay.tier, stay.since, stay.switches = wanted, 0, stay.switches + 1
        return Decision(wish.candidate, wish.score, f"switch {stay.switches}")

    def start(self, session: str) -> None:
        """Tell the inner router that a session begins."""
        call_inner(self._inner, "start", session)

    def observe(self, outcome: Outcome) -> None:
        """Tell the inner router what came of a call."""
        call_inner(self._inner, "observe", outcome)

    def end(self, session: str) -> None:
        """Forget the session."""
        self._stays.pop(session, None)
        call_inner(self._inner, "end", session)
