"""What a router asks an LLM through, where it wants to: the metered handle as a router sees it.

A router says that it wants one by an optional method ``use(llm)``, which is called once after it was loaded and before
any session. Like ``router.py`` this needs nothing outside Python's standard library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twinbench.routing.router import Candidate
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage

MAX_TOKENS = 512
"""Of an answer, where a router does not say."""

MOST_ASKS = 100
"""In one decision: the decision's time limit does not count them."""


class LlmError(Exception):
    """A call of a router's own that brought no answer; the text says why.

    A router may catch it and decide without an answer. What it does not catch is the error of its decision.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered to a router."""

    text: str
    candidate: str
    """The id of who answered."""
    usage: Usage
    cost_usd: float


class Llm(Protocol):
    """The metered handle."""

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        candidate: Candidate | Tier | str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float | None = 0.0,
    ) -> Reply:
        """Ask a model of the live pool and wait for its answer; only inside ``route``, for the decision being made.

        Args:
            messages: OpenAI chat messages; of each, role, content, tool calls, tool call id and name are sent.
            candidate: who answers: a candidate's id, a tier (meaning its default candidate) or a candidate of the call
                in either track; None for the default candidate of the pool's lowest tier.
            max_tokens: the most tokens of the answer.
            temperature: sent to candidates that take one; None for the provider's own.

        Raises:
            LlmError: there is no answer: asked outside ``route``, nobody of that name, a prompt that does not fit, a
                cap that is reached, a provider that fails.
        """
        ...


def name_of(candidate: object) -> str | None:
    """Who is meant, as a text: a candidate's id or a tier's name.

    Raises:
        LlmError: it is neither.
    """
    if candidate is None or isinstance(candidate, str):
        return candidate
    if isinstance(candidate, Candidate):
        return candidate.id
    if isinstance(candidate, Tier):
        return candidate.label
    raise LlmError(f"candidate must be a Candidate, a Tier, a text or None, not {type(candidate).__name__}")
