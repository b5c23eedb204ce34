"""What a router is, what it sees and what it answers.

This file and ``content.py``, ``tiers.py`` and ``usage.py`` need nothing outside Python's standard library: the core, a
router's own process and a container without network all use the same ones.

A router is any object with ``route(call)``. Further methods are called where they exist:

``use(llm)``
    once, after it was loaded: the handle through which it may ask an LLM itself (``llm.py``).
``warm_up()``
    once, after that: whatever takes long before the first decision. It counts as loading, not as deciding.
``start(session)``
    before the first call of a trajectory, with its opaque key.
``observe(outcome)``
    after a call got its answer, before the next ``route`` of that session.
``end(session)``
    after a trajectory's last call.
``fit(trajectories)``, ``save(folder)``, ``load(folder)``
    learning from labelled trajectories (``training.py``), and keeping what was learnt.

An attribute ``concurrency = n`` says that ``route`` may be called from n threads; otherwise calls are serial.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from twinbench.routing.content import first_text
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Prices, Usage

DEFAULT_MEAN_OUTPUT_TOKENS = 500

NOT_AWAITED = "nothing is awaited: write {instead}, with asyncio.run(…) in it where something is asynchronous"
"""Part of the error message about a router in async def."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something a router can pick: a tier at its accounting rates (static track), or a model of the live pool."""

    id: str
    model: str
    tier: Tier
    prices: Prices
    """USD per million tokens."""
    tier_default: bool = True
    """Whether a router that answers with just the tier gets this candidate."""
    writes_cache: bool = True
    """Whether prompt tokens that miss the cache are billed at ``cache_write`` (else at ``input``)."""
    context_window: int | None = None
    """Tokens; None where there is no limit."""
    max_tokens: int = 0
    """``max_tokens`` of each request; prompt and ``max_tokens`` together must fit the context window."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further request parameters, such as reasoning effort or host."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class CacheView:
    """The effect of a candidate's prompt cache on this call."""

    read_tokens: int
    """Prompt tokens that would be read from the cache instead of being paid in full."""
    exact: bool
    """True if the bill is computed from this number (static track); False if it is only a hint (live track)."""


class CacheViews(Mapping["Candidate | str", CacheView]):
    """The cache view of every candidate, looked up by candidate or by id."""

    __slots__ = ("_by_id",)

    def __init__(self, by_id: Mapping[str, CacheView]) -> None:
        self._by_id = dict(by_id)

    def __getitem__(self, candidate: Candidate | str) -> CacheView:
        return self._by_id[candidate if isinstance(candidate, str) else candidate.id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that end the case a call belongs to; None means no such limit."""

    steps: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One LLM call about to be made, as a router may see it: nothing in it is derived from labels or later steps."""

    messages: Sequence[Mapping[str, Any]]
    """The whole conversation, OpenAI chat messages."""
    tools: Sequence[Mapping[str, Any]]
    """OpenAI tools offered to the model, possibly none."""
    step_index: int
    """Position in the trajectory, from 1."""
    session: str
    """An opaque key: the same for all calls of a trajectory, different for any two trajectories."""
    candidates: tuple[Candidate, ...]
    cache: CacheViews
    spent_usd: float
    """Cost in USD of this session's earlier calls, as this router routed them."""
    limits: Limits
    counted_tokens: Mapping[str, int]
    """Tokens of ``messages`` by candidate id, under that candidate's tokenizer."""
    mean_output_tokens: float = DEFAULT_MEAN_OUTPUT_TOKENS
    """Mean output tokens of this session's earlier calls; 500 before any."""

    def last_text(self, *roles: str) -> str:
        """Return the text of the last message that has one of some roles, such as ``"user"``.

        Args:
            roles: the roles; none: the last message, whatever its role.

        Returns:
            The text, its parts joined by newlines; empty if there is no such message.
        """
        return first_text(reversed(self.messages), roles)

    def first_text(self, *roles: str) -> str:
        """Return the text of the first message that has one of some roles; arguments and result as ``last_text``."""
        return first_text(self.messages, roles)

    def prompt_tokens(self, candidate: Candidate) -> int:
        """Count the conversation's tokens under the candidate's tokenizer."""
        return self.counted_tokens[candidate.id]

    def prompt_usage(self, candidate: Candidate) -> Usage:
        """Return how the prompt would be billed: cached tokens as reads, the rest as cache writes or plain input."""
        read = self.cache[candidate].read_tokens
        rest = max(self.prompt_tokens(candidate) - read, 0)
        if candidate.writes_cache:
            return Usage(cache_read=read, cache_write=rest)
        return Usage(cache_read=read, input=rest)

    def cost(self, candidate: Candidate) -> float:
        """Return the expected cost of this call in USD: its prompt, plus this session's mean output so far."""
        output_usd = self.mean_output_tokens * float(candidate.prices.output) / 1e6
        return float(self.prompt_usage(candidate).cost_usd(candidate.prices)) + output_usd

    def fits(self, candidate: Candidate) -> bool:
        """Return whether the prompt plus ``max_tokens`` of output fits the candidate's context window."""
        if candidate.context_window is None:
            return True
        return self.prompt_tokens(candidate) + candidate.max_tokens <= candidate.context_window

    def of_tier(self, tier: Tier) -> tuple[Candidate, ...]:
        """Return the candidates of one tier, its default first; empty if the pool has none."""
        of_tier = [candidate for candidate in self.candidates if candidate.tier == tier]
        return tuple(sorted(of_tier, key=lambda candidate: not candidate.tier_default))

    def cheapest(self, at_least: Tier = Tier.LOW) -> Candidate:
        """Return the candidate of tier ``at_least`` or above that fits and has the lowest expected cost.

        Raises:
            LookupError: no such candidate fits the prompt.
        """
        fitting = [candidate for candidate in self.candidates if candidate.tier >= at_least and self.fits(candidate)]
        if not fitting:
            raise LookupError(f"no candidate of tier {at_least.label} or above fits this prompt")
        return min(fitting, key=lambda candidate: (self.cost(candidate), candidate.tier, candidate.id))


@dataclass(frozen=True, slots=True)
class Decision:
    """A router's answer to a call."""

    candidate: Candidate | Tier | str
    """A candidate, a tier (meaning its default candidate), or the id of a candidate or name of a tier."""
    score: float | None = None
    """How much the call needs a stronger model, in [0, 1]; used by sweeps over thresholds."""
    rationale: str | None = None
    """The reason for the decision in words, kept with the prediction."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call: usage, cost and text; never whether the answer was right, and never a wall-clock time."""

    session: str
    step_index: int
    candidate: Candidate
    usage: Usage
    cost_usd: float
    text: str = ""
    """The assistant's visible text, tool calls included."""
    cause: str | None = None
    """Why there is no usable answer (live track); None if there is one."""


@runtime_checkable
class Router(Protocol):
    """Picks a model for each call of a trajectory."""

    def route(self, call: Call) -> Decision | Candidate | Tier | str:
        """Decide which candidate answers ``call``."""
        ...


class RouterError(Exception):
    """A router gave no decision; the text says why, and is recorded as the row's error."""


class DecisionError(Exception):
    """A router's answer is not a valid decision; the text says why, for the router's author."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A validated decision: one of the call's candidates."""

    candidate: Candidate
    score: float | None = None
    rationale: str | None = None


def validate_decision(answer: object, candidates: Sequence[Candidate]) -> Choice:
    """Validate a router's answer and resolve it to one of ``candidates``.

    A string is a candidate's id, else a tier's name. A tier means the default candidate of that tier.

    Raises:
        DecisionError: wrong type, unknown name, candidate of another pool, tier without candidate, or invalid score.
    """
    decision = answer if isinstance(answer, Decision) else Decision(answer)  # type: ignore[arg-type]
    returned = "a Decision of " if decision is answer else ""
    score = None if decision.score is None else _to_float(decision.score)
    if decision.score is not None and (score is None or not 0 <= score <= 1):
        raise DecisionError(f"score must be a number from 0 to 1 or None, not {show_object(decision.score)}")
    if decision.rationale is not None and not _is_text(decision.rationale):
        raise DecisionError(f"rationale must be a str or None, not {show_object(decision.rationale)}")
    candidate = _resolve_candidate(decision.candidate, candidates, returned)
    return Choice(candidate, score, decision.rationale)


def _to_float(value: object) -> float | None:
    """Convert a real number of any library to float; None if ``value`` is not one.

    Booleans are numbers to Python and numpy, but never an intended score. Library booleans share no base class, so
    their ``dtype`` is checked; complex numbers are refused because ``float()`` would drop their imaginary part.
    """
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return None
    if any(kind in str(getattr(value, "dtype", "")) for kind in ("bool", "complex")):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # an array of several numbers, an integer beyond any float
        return None


def _resolve_candidate(picked: object, candidates: Sequence[Candidate], returned: str) -> Candidate:
    by_id = {candidate.id: candidate for candidate in candidates}
    if isinstance(picked, Candidate):
        if by_id.get(picked.id) != picked:
            raise DecisionError(f"candidate {show_object(picked.id)} is not one of this call's candidates")
        return picked
    if isinstance(picked, str) and picked in by_id:
        return by_id[picked]
    if isinstance(picked, str):
        try:
            picked = Tier.from_label(picked)
        except ValueError:
            known = ", ".join(by_id)
            raise DecisionError(f"{show_object(picked)} is neither a candidate ({known}) nor a tier") from None
    if inspect.isawaitable(picked):
        if inspect.iscoroutine(picked):
            picked.close()  # nobody awaits it, about which Python would print a warning
        raise DecisionError(
            f"route returned something to be awaited, and {NOT_AWAITED.format(instead='def route(self, call)')}"
        )
    if not isinstance(picked, Tier):
        wanted = "a Candidate, a Tier or a str" if returned else "a Decision, a Candidate, a Tier or a str"
        must = f"it must be of {wanted}" if returned else f"it must return {wanted}"
        if inspect.isgenerator(picked):
            must = "it has a yield in it: write return instead"
        raise DecisionError(f"route returned {returned}{show_object(picked)}, of type {type(picked).__name__}; {must}")
    for candidate in candidates:
        if candidate.tier == picked and candidate.tier_default:
            return candidate
    raise DecisionError(f"the pool has no candidate of tier {picked.label}")


def _is_text(value: object) -> bool:
    """Return whether ``value`` is a str that can be encoded as UTF-8, so that it can be stored."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
"""The memory address in Python's default text of an object."""


def show_object(value: object, most: int = 80) -> str:
    """A foreign object in a message, cut, and alike in every process."""
    text = _ADDRESS.sub("", repr(value))
    return text if len(text) <= most else f"{text[: most - 3]}…"
