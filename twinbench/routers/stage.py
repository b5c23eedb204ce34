"""``stage``: a strong model where an agent is stuck or fails, a cheap one while it produces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from twinbench.routers.cascade import nearest
from twinbench.routers.signals import Reader, Step
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier

_RECENT = 3
_CRITICAL = 1.0


class Stage:
    """Scores the last three tool results and what the agent does, and goes strong or cheap by the score's sign.

    Rule and constants: Switchyard's stage router, read in code. Over the last three steps, severity is 0.3 for a
    failed command, 0.7 for a traceback, a missing import, command or file, an assertion, a syntax error or a time-out,
    1.0 for no memory or a refused connection. *Spinning* is a conversation of ``deep`` messages in whose last three
    steps nothing is read, planned or edited; *exploring* is one in which there is only reading; *production* is the
    share of steps that edit. score = tanh(5 · 0.1 · (severity / 0.7 + spinning + exploring - production)). In order: a
    critical severity goes strong; tests that pass after an edit without an error go cheap; a score of at least
    ``sure`` in size goes by its sign; everything else goes cheap. Claim: none published.
    Left out: Switchyard's own notion of a plan (words of the assistant stand for it here), and its pool of two models:
    ``cheap`` and ``strong`` name our tiers.
    """

    tunable: ClassVar[Any] = (
        {"cheap": ("low", "mid"), "strong": ("mid_high", "high"), "deep": (4, 8, 16), "sure": (0.3, 0.5, 0.7)},
    )
    """The values that ``router tune`` tries; see ``Learned.tunable``."""

    def __init__(self, cheap: str = "low", strong: str = "high", deep: int = 8, sure: float = 0.5) -> None:
        self._cheap = Tier.from_label(cheap)
        self._strong = Tier.from_label(strong)
        self._deep = deep
        self._sure = sure
        self._reader = Reader()

    def route(self, call: Call) -> Decision:
        """The strong tier or the cheap one."""
        steps = self._reader.steps(call)
        strong, score = self._decide(steps, len(call.messages))
        tier = nearest(call, self._strong if strong else self._cheap)
        return Decision(tier, score=(score + 1) / 2, rationale=f"stage score {score:.2f}")

    def _decide(self, steps: Sequence[Step], messages: int) -> tuple[bool, float]:
        recent = steps[-_RECENT:]
        severity = max((step.severity for step in recent), default=0.0)
        edits = sum(step.edits for step in recent)
        reads = sum(step.reads for step in recent)
        deep = messages >= self._deep
        spinning = deep and not edits and not reads and not any(step.plans for step in recent)
        exploring = deep and reads == len(recent) > 0
        production = edits / len(recent) if recent else 0.0
        score = math.tanh(5 * 0.1 * (severity / 0.7 + spinning + exploring - production))
        if severity >= _CRITICAL:
            return True, 1.0
        if edits and steps[-1].passed and severity == 0:
            return False, -1.0
        return score >= self._sure, score

    def end(self, session: str) -> None:
        """Forget the session."""
        self._reader.forget(session)
