"""The interface through which a router may ask an LLM itself; every call is metered.

A router opts in by defining the optional method ``use(llm)``, which is called once after it was loaded and before any
session. Like ``router.py`` this needs nothing outside Python's standard library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twinbench.routing.router import Candidate
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage

MAX_TOKENS = 512
"""Default ``max_tokens`` of a router's own LLM call."""

MOST_ASKS = 100
"""Largest number of LLM calls within one decision; their duration does not count towards the decision's time limit."""


class LlmError(Exception):
    """A router's own LLM call got no answer; the text says why.

    A router may catch it and decide without an answer. If it does not, its decision fails with this error.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a router's own LLM call."""

    text: str
    candidate: str
    """The id of the candidate that answered."""
    usage: Usage
    cost_usd: float


class Llm(Protocol):
    """What a router asks an LLM through; every call is priced and recorded."""

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        candidate: Candidate | Tier | str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float | None = 0.0,
    ) -> Reply:
        """Ask a model of the live pool and wait for its answer. Allowed inside ``route`` only.

        Args:
            messages: OpenAI chat messages; only role, content, tool calls, tool call id and name are sent.
            candidate: the candidate that answers: its id, a tier (meaning the tier's default candidate) or a candidate
                of the call in either track; None for the default candidate of the pool's lowest tier.
            max_tokens: the largest number of tokens of the answer.
            temperature: sent to candidates that accept one; None for the provider's default.

        Raises:
            LlmError: there is no answer, because ``ask`` was called outside ``route``, the pool has no such candidate,
                the prompt does not fit, the spending cap is reached or the provider failed.
        """
        ...


def name_of(candidate: object) -> str | None:
    """Return the name of a candidate or tier as text: a candidate's id or a tier's name.

    Raises:
        LlmError: ``candidate`` is neither.
    """
    if candidate is None or isinstance(candidate, str):
        return candidate
    if isinstance(candidate, Candidate):
        return candidate.id
    if isinstance(candidate, Tier):
        return candidate.label
    raise LlmError(f"candidate must be a Candidate, a Tier, a str or None, not {type(candidate).__name__}")
