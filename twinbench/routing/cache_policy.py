"""Cache policies: what each candidate's prompt cache holds, under the rules of each track.

The static track's rule looks at the previous row only, the live track's at any earlier call of a candidate. A
trajectory that goes from model A to B and back to A is cold in one and warm in the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twinbench.routing.clock import Clock
from twinbench.routing.router import CacheView, Candidate


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that is about to be sent, with its token counts and the keys by which prefixes are compared."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    step_index: int
    tokens: Mapping[str, int]
    """Tokens of the messages by candidate id."""
    semantic_keys: Sequence[object]
    """One key per message; two messages have equal keys if a prefix cache treats them as the same."""

    def extends(self, earlier: Prompt) -> bool:
        """Whether ``earlier`` is a semantic prefix of this prompt."""
        size = len(earlier.semantic_keys)
        return self.semantic_keys[:size] == earlier.semantic_keys


class CachePolicy(Protocol):
    """Tracks which prompt prefix is warm in each candidate's cache."""

    def view(self, candidate: Candidate, prompt: Prompt) -> CacheView:
        """Return what the candidate's cache would give this prompt."""
        ...

    def served(self, candidate: Candidate | None, prompt: Prompt) -> None:
        """Record which candidate answered a prompt; None if nobody answered."""
        ...


class StepTtl:
    """The static track's cache: warm only where the previous row went to the same tier.

    A hit needs all of: a previous row, the same tier there, its messages a semantic prefix of these, and at most
    ``ttl_steps`` between the two step indices. Source: static.md, "Cost of one row on one path".
    """

    def __init__(self, ttl_steps: int) -> None:
        self._ttl_steps = ttl_steps
        self._previous: tuple[Candidate | None, Prompt] | None = None

    def view(self, candidate: Candidate, prompt: Prompt) -> CacheView:
        """Return what the previous row left in the candidate's cache."""
        if self._previous is None:
            return CacheView(0, exact=True)
        served, earlier = self._previous
        expired = prompt.step_index - earlier.step_index > self._ttl_steps
        if served is None or served.tier != candidate.tier or expired or not prompt.extends(earlier):
            return CacheView(0, exact=True)
        return CacheView(earlier.tokens[candidate.id], exact=True)

    def served(self, candidate: Candidate | None, prompt: Prompt) -> None:
        """Record which candidate answered the row; None for an error, after which the next row is cold."""
        self._previous = (candidate, prompt)


class WallClockTtl:
    """The live track's hint: warm where the candidate answered a prefix of this conversation a short while ago.

    Calls to other candidates in between do not matter, as each candidate has its own cache. Source: dynamic.md, "Cache
    state shown to the router".
    """

    def __init__(self, ttl_s: float, clock: Clock) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._last: dict[str, tuple[float, Prompt]] = {}

    def view(self, candidate: Candidate, prompt: Prompt) -> CacheView:
        """Return what the candidate's last call left in its cache."""
        if candidate.id not in self._last:
            return CacheView(0, exact=False)
        at, earlier = self._last[candidate.id]
        if self._clock.now() - at > self._ttl_s or not prompt.extends(earlier):
            return CacheView(0, exact=False)
        return CacheView(earlier.tokens[candidate.id], exact=False)

    def served(self, candidate: Candidate | None, prompt: Prompt) -> None:
        """Record a candidate's last call; None (nobody answered) changes nothing."""
        if candidate is not None:
            self._last[candidate.id] = (self._clock.now(), prompt)
