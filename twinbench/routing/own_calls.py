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

from twinbench.causes import CAUSES, Cause, CausedError, Counts
from twinbench.routing.llm import MAX_TOKENS, MOST_ASKS, LlmError, Reply, name_of
from twinbench.routing.router import Candidate
from twinbench.routing.tiers import Tier

MOST_DEPTH = 64
"""Largest nesting depth of a router's messages, so that recursive code that reads them is safe."""

OUTSIDE = "an LLM can be asked inside route() only, so that each call belongs to a decision"
UNPAID = (
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
class Deciding:
    """One decision during which the router may ask an LLM; afterwards, the calls' number, cost and failures."""

    session: str
    """The value of ``SESSION_HEADER`` on its requests."""
    step: int
    asked: int = 0
    """How many LLM calls the router tried to make, answered or not."""
    spent_usd: Decimal = Decimal(0)
    """What all attempts cost; an attempt of unknown cost counts at its reservation."""
    failures: list[CausedError] = field(default_factory=list)
    """Why calls got no answer, for reasons outside the router: provider failed, cap reached, no provider given."""
    ending: Exception | None = None
    """An error that ends the case, even if the router caught it."""

    @property
    def infra(self) -> CausedError | None:
        """The first failure whose cause counts as infrastructure."""
        return next((each for each in self.failures if CAUSES[each.cause].counts is Counts.infra), None)


class OwnCalls(ABC):
    """The LLM handle of one router; implements ``twinbench.routing.llm.Llm`` while a decision is being made."""

    def __init__(self, outside: str = OUTSIDE) -> None:
        self._outside = outside
        self._deciding: Deciding | None = None
        self._asking = threading.Lock()

    @contextmanager
    def deciding(self, deciding: Deciding) -> Iterator[Deciding]:
        """Allow LLM calls within the block; on exit, wait for a call that is in progress."""
        with self._asking:
            self._deciding = deciding
        try:
            yield deciding
        finally:
            with self._asking:
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
        with self._asking:
            deciding = self._deciding
            if deciding is None:
                raise LlmError(self._outside)
            deciding.asked += 1
            if deciding.asked > MOST_ASKS:
                raise LlmError(f"a decision may make at most {MOST_ASKS} LLM calls")
            question = checked_question(messages, name_of(candidate), max_tokens, temperature)
            try:
                return self._answered(deciding, question)
            except LlmError:
                raise
            except Exception as error:  # noqa: BLE001 - a router would take it for its own; the case ends by it
                deciding.ending = error
                raise LlmError(str(error)) from None

    @abstractmethod
    def _answered(self, deciding: Deciding, question: Question) -> Reply:
        """Answer a router's question.

        Raises:
            LlmError: there is no answer, and the router may decide without it.
            Exception: there is no answer, and the case has to end.
        """


class _NobodyPaysError(CausedError):
    """The router asked an LLM, but no provider and no spending cap were given."""

    cause = Cause.cap


class NoCalls(OwnCalls):
    """An LLM handle that refuses every call, because no provider was given."""

    def __init__(self, why: str = UNPAID) -> None:
        super().__init__(why)
        self._why = why

    def _answered(self, deciding: Deciding, question: Question) -> Reply:  # noqa: ARG002 - whatever is asked
        deciding.failures.append(_NobodyPaysError(self._why))
        raise LlmError(self._why)


def checked_question(messages: object, candidate: str | None, max_tokens: object, temperature: object) -> Question:
    """Check the arguments of ``Llm.ask``.

    Raises:
        LlmError: an argument is invalid; the text says which.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise LlmError("messages must be a non-empty list of OpenAI chat messages")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise LlmError(f"messages[{number}] must be a chat message: an object with a role")
    if (why := _unsendable(messages)) is not None:
        raise LlmError(f"messages cannot be sent: {why}")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise LlmError(f"max_tokens must be an integer above 0, not {max_tokens!r:.80}")
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
            raise LlmError(f"temperature must be a number from 0 to 2 or None, not {temperature!r:.80}")
        temperature = float(temperature)
    return Question(tuple(messages), candidate, max_tokens, temperature)


def _unsendable(messages: object) -> str | None:
    """Return why messages cannot be sent as UTF-8 JSON or are nested too deeply; None if they can. Walks level by
    level, without recursion.
    """
    level = [messages]
    for _ in range(MOST_DEPTH + 1):
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
    return f"they are nested more than {MOST_DEPTH} levels deep"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
