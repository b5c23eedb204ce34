"""What a router is, what it sees and what it answers.

This file and ``tiers.py`` and ``usage.py`` need nothing outside Python's standard library: the core, a router's own
process and a container without network all use the same ones.

A router is any object with ``route(call)``. Further methods are called where they exist:

``use(llm)``
    once, after it was loaded: the handle through which it may ask an LLM itself (``llm.py``).
``start(session)``
    before the first call of a trajectory, with its opaque key.
``observe(outcome)``
    after a call was answered, before the next ``route`` of that session.
``end(session)``
    after a trajectory's last call.
``fit(trajectories)``, ``save(folder)``, ``load(folder)``
    learning from labelled trajectories (``training.py``), and keeping what was learnt.

An attribute ``concurrency = n`` says that ``route`` may be called from n threads; otherwise calls are serial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Prices, Usage

MEAN_OUTPUT_BEFORE_ANY = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something a router can pick: a tier at its accounting rates, or a model of the live pool with its parameters."""

    id: str
    model: str
    tier: Tier
    prices: Prices
    """USD per million tokens."""
    tier_default: bool = True
    """Whether answering with the tier means this candidate."""
    writes_cache: bool = True
    """Whether prompt tokens that miss the cache are billed at ``cache_write`` (else at ``input``)."""
    context_window: int | None = None
    """Tokens; None where there is no limit."""
    max_tokens: int = 0
    """The most output tokens that one call asks for; part of what must fit the context window."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Sent with the model: reasoning effort, host."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class CacheView:
    """What a candidate's prompt cache would give this call."""

    read_tokens: int
    """Prompt tokens that would be read from the cache instead of being paid in full."""
    exact: bool
    """True: the bill will say the same (static track). False: a hint (live track)."""


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
    """What ends the case that a call belongs to; None where there is no such limit."""

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
    """An opaque key, stable within one trajectory and different between any two."""
    candidates: tuple[Candidate, ...]
    cache: CacheViews
    spent_usd: float
    """What this session's earlier calls cost under the router's own choices."""
    limits: Limits
    counted_tokens: Mapping[str, int]
    """Tokens of ``messages`` by candidate id, under that candidate's tokenizer."""
    mean_output_tokens: float = MEAN_OUTPUT_BEFORE_ANY
    """Mean output tokens of this session's earlier calls; 500 before any."""

    def prompt_tokens(self, candidate: Candidate) -> int:
        """Tokens of the conversation under the candidate's tokenizer."""
        return self.counted_tokens[candidate.id]

    def prompt_usage(self, candidate: Candidate) -> Usage:
        """How the prompt would be billed: what the cache gives is read, the rest is written or plain input."""
        read = self.cache[candidate].read_tokens
        rest = max(self.prompt_tokens(candidate) - read, 0)
        if candidate.writes_cache:
            return Usage(cache_read=read, cache_write=rest)
        return Usage(cache_read=read, input=rest)

    def cost(self, candidate: Candidate) -> float:
        """What this call is expected to cost in USD: its prompt, and this session's mean output so far."""
        output_usd = self.mean_output_tokens * float(candidate.prices.output) / 1e6
        return float(self.prompt_usage(candidate).cost_usd(candidate.prices)) + output_usd

    def fits(self, candidate: Candidate) -> bool:
        """Whether the prompt and ``max_tokens`` of output stay within the candidate's context window."""
        if candidate.context_window is None:
            return True
        return self.prompt_tokens(candidate) + candidate.max_tokens <= candidate.context_window

    def of_tier(self, tier: Tier) -> tuple[Candidate, ...]:
        """The candidates of one tier, its default first; empty where the pool has none."""
        of_tier = [candidate for candidate in self.candidates if candidate.tier == tier]
        return tuple(sorted(of_tier, key=lambda candidate: not candidate.tier_default))

    def cheapest(self, at_least: Tier = Tier.LOW) -> Candidate:
        """The candidate of tier ``at_least`` or above that fits and is expected to cost least.

        Raises:
            LookupError: none fits.
        """
        fitting = [candidate for candidate in self.candidates if candidate.tier >= at_least and self.fits(candidate)]
        if not fitting:
            raise LookupError(f"no candidate of tier {at_least.label} or above fits this prompt")
        return min(fitting, key=lambda candidate: (self.cost(candidate), candidate.tier, candidate.id))


@dataclass(frozen=True, slots=True)
class Decision:
    """A router's answer."""

    candidate: Candidate | Tier | str
    """A candidate, a tier (meaning its default candidate), or the id of a candidate or name of a tier."""
    score: float | None = None
    """The need for a stronger model, in [0, 1]; what a sweep over thresholds uses."""
    rationale: str | None = None
    """Why, for a person; kept with the prediction."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call. Never whether it was right, and never a wall-clock time."""

    session: str
    step_index: int
    candidate: Candidate
    usage: Usage
    cost_usd: float
    text: str = ""
    """The assistant's visible text, tool calls included."""
    cause: str | None = None
    """Why there is no answer, where there is none (live track)."""


@runtime_checkable
class Router(Protocol):
    """Picks a model for each call of a trajectory."""

    def route(self, call: Call) -> Decision | Candidate | Tier | str:
        """The candidate that should answer ``call``."""
        ...


class RouterError(Exception):
    """A router that gave no decision; the text says why, and is the row's error as it stands."""


class DecisionError(Exception):
    """A router answered something that is no decision; the text says what, for its author."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision that was checked: one of the call's candidates."""

    candidate: Candidate
    score: float | None = None
    rationale: str | None = None


def checked(answer: object, candidates: Sequence[Candidate]) -> Choice:
    """What ``answer`` picks among ``candidates``.

    A text is a candidate's id, else a tier's name. A tier means the default candidate of that tier.

    Raises:
        DecisionError: wrong type, unknown name, a candidate of another pool, a tier without candidate, a bad score.
    """
    decision = answer if isinstance(answer, Decision) else Decision(answer)  # type: ignore[arg-type]
    score = None if decision.score is None else _real(decision.score)
    if decision.score is not None and (score is None or not 0 <= score <= 1):
        raise DecisionError(f"score must be a number from 0 to 1 or None, not {_shown(decision.score)}")
    if decision.rationale is not None and not _is_text(decision.rationale):
        raise DecisionError(f"rationale must be a text or None, not {_shown(decision.rationale)}")
    candidate = _picked(decision.candidate, candidates)
    return Choice(candidate, score, decision.rationale)


def _real(value: object) -> float | None:
    """A real number of whatever library as a float; None where it is none.

    Truth values are numbers to Python and to numpy, but never a score that somebody meant. Those of libraries have no
    class in common, but a ``dtype`` that says so; numpy's complex numbers drop a part on their way to a float.
    """
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        return None
    if any(kind in str(getattr(value, "dtype", "")) for kind in ("bool", "complex")):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # an array of several numbers, an integer beyond any float
        return None


def _picked(picked: object, candidates: Sequence[Candidate]) -> Candidate:
    by_id = {candidate.id: candidate for candidate in candidates}
    if isinstance(picked, Candidate):
        if by_id.get(picked.id) != picked:
            raise DecisionError(f"candidate {_shown(picked.id)} is not one of this call's candidates")
        return picked
    if isinstance(picked, str) and picked in by_id:
        return by_id[picked]
    if isinstance(picked, str):
        try:
            picked = Tier.from_label(picked)
        except ValueError:
            known = ", ".join(by_id)
            raise DecisionError(f"{_shown(picked)} is neither a candidate ({known}) nor a tier") from None
    if not isinstance(picked, Tier):
        wanted = "a Decision, a Candidate, a Tier or a text"
        raise DecisionError(
            f"route returned {_shown(picked)}, of type {type(picked).__name__}; it must return {wanted}"
        )
    for candidate in candidates:
        if candidate.tier == picked and candidate.tier_default:
            return candidate
    raise DecisionError(f"the pool has no candidate of tier {picked.label}")


def _is_text(value: object) -> bool:
    """Whether it is a str that UTF-8 can hold, so that it can be kept."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
