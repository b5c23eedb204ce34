"""The LLM handle that twinbench gives a router (``use(llm)``): which decision a call belongs to, and what it costs.

Imports nothing heavy, since every score needs it; the calls themselves are made in ``calls/metered.py``.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.routing.llm import MAX_ASKS_PER_DECISION, MAX_TOKENS, LlmError, Reply, candidate_name
from twinbench.routing.router import Candidate
from twinbench.routing.tiers import Tier

MAX_DEPTH = 64
"""Largest nesting depth of a router's messages, so that recursive code that reads them is safe."""

OUTSIDE_ROUTE = "an LLM can be called inside route() only, so that each call belongs to a decision"
NO_PROVIDER = (
    "this router asks an LLM itself: give --api-base URL, a spending cap with --router-usd USD and, if the server "
    "wants a key, --api-key-env NAME"
)


@dataclass(frozen=True)
class Question:
    """An LLM call that a router wants to make, with its types checked."""

    messages: tuple[Mapping[str, Any], ...]
    candidate: str | None
    """A candidate's id or a tier's name."""
    max_tokens: int
    temperature: float | None


@dataclass
class DecisionContext:
    """One decision during which the router may ask an LLM; afterwards, the calls' number, cost and failures."""

    session: str
    """The value of ``SESSION_HEADER`` on its requests."""
    step: int
    calls: int = 0
    """How many LLM calls the router tried to make, answered or not."""
    spent_usd: Decimal = Decimal(0)
    """What all attempts cost; an attempt of unknown cost counts at its reservation."""
    failures: list[CausedError] = field(default_factory=list)
    """Why calls got no answer, for reasons outside the router: provider failed, cap reached, no provider given."""
    fatal_error: Exception | None = None
    """An error that ends the case, even if the router caught it."""

    @property
    def first_infra_failure(self) -> CausedError | None:
        """The first failure whose cause counts as infrastructure."""
        return next((each for each in self.failures if CAUSES[each.cause].outcome_class is OutcomeClass.infra), None)


class RouterLlm(ABC):
    """The LLM handle of one router; implements ``twinbench.routing.llm.Llm`` while a decision is being made."""

    def __init__(self, outside: str = OUTSIDE_ROUTE) -> None:
        self._outside_message = outside
        self._deciding: DecisionContext | None = None
        self._lock = threading.Lock()

    @contextmanager
    def within_decision(self, deciding: DecisionContext) -> Iterator[DecisionContext]:
        """Allow LLM calls within the block; on exit, wait for a call that is in progress."""
        with self._lock:
            self._deciding = deciding
        try:
            yield deciding
        finally:
            with self._lock:
                self._deciding = None

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        candidate: Candidate | Tier | str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float | None = 0.0,
    ) -> Reply:
        """Ask the router's LLM one question; same arguments and errors as ``Llm.ask``."""
        with self._lock:
            deciding = self._deciding
            if deciding is None:
                raise LlmError(self._outside_message)
            deciding.calls += 1
            if deciding.calls > MAX_ASKS_PER_DECISION:
                raise LlmError(f"a decision may make at most {MAX_ASKS_PER_DECISION} LLM calls")
            question = validate_question(messages, candidate_name(candidate), max_tokens, temperature)
            try:
                return self._answer(deciding, question)
            except LlmError:
                raise
            except Exception as error:  # noqa: BLE001 - a router would take it for its own; the case ends by it
                deciding.fatal_error = error
                raise LlmError(str(error)) from None

    @abstractmethod
    def _answer(self, deciding: DecisionContext, question: Question) -> Reply:
        """Answer a router's question.

        Raises:
            LlmError: there is no answer, and the router may decide without it.
            Exception: there is no answer, and the case has to end.
        """


class _NoProviderError(CausedError):
    """The router called an LLM, but no provider and no spending cap were given."""

    cause = Cause.cap


class NoRouterLlm(RouterLlm):
    """An LLM handle that refuses every call, because no provider was given."""

    def __init__(self, why: str = NO_PROVIDER) -> None:
        super().__init__(why)
        self._why = why

    def _answer(self, deciding: DecisionContext, question: Question) -> Reply:  # noqa: ARG002 - whatever is asked
        deciding.failures.append(_NoProviderError(self._why))
        raise LlmError(self._why)


def validate_question(messages: object, candidate: str | None, max_tokens: object, temperature: object) -> Question:
    """Check the arguments of ``Llm.ask``.

    Raises:
        LlmError: an argument is invalid; the text says which.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise LlmError("messages must be a non-empty list of OpenAI chat messages")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise LlmError(f"messages[{number}] must be a chat message: an object with a role")
    if (why := _why_unsendable(messages)) is not None:
        raise LlmError(f"messages cannot be sent: {why}")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise LlmError(f"max_tokens must be an integer above 0, not {max_tokens!r:.80}")
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
            raise LlmError(f"temperature must be a number from 0 to 2 or None, not {temperature!r:.80}")
        temperature = float(temperature)
    return Question(tuple(messages), candidate, max_tokens, temperature)


def _why_unsendable(messages: object) -> str | None:
    """Return why messages cannot be sent as UTF-8 JSON or are nested too deeply; None if they can. Walks level by
    level, without recursion.
    """
    level = [messages]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str):
                if not _is_unicode(each):
                    return "a string contains half a surrogate pair"
            elif isinstance(each, float):
                if not math.isfinite(each):
                    return f"{each} is not a JSON number"
            elif isinstance(each, Mapping):
                inner += each
                inner += each.values()
            elif isinstance(each, list | tuple):
                inner += each
        if not inner:
            return None
        level = inner
    return f"they are nested more than {MAX_DEPTH} levels deep"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
