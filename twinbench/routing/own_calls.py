"""A router's own LLM calls, as those see them who give it the handle: which decision they are for, what they cost.

Light enough for a score that asks no LLM; what really asks one is ``calls/metered.py``.
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
"""Objects and lists within each other in a router's messages; what walks them recursively is safe."""

OUTSIDE = "an LLM can be asked inside route only: a call is for the decision being made"
UNPAID = (
    "this router asks an LLM, and nobody pays for that: give --api-base URL, --router-usd USD and, where the server "
    "wants a key, --api-key-env NAME"
)


@dataclass(frozen=True)
class Question:
    """What a router asks, checked as far as its types go."""

    messages: tuple[Mapping[str, Any], ...]
    candidate: str | None
    """A candidate's id or a tier's name."""
    max_tokens: int
    temperature: float | None


@dataclass
class Deciding:
    """One decision, in which its router may ask; afterwards, what came of that."""

    session: str
    """The session header of its calls."""
    step: int
    asked: int = 0
    """Calls that were tried, answered or not."""
    spent_usd: Decimal = Decimal(0)
    """What its attempts cost, those of unknown cost at their reservation."""
    failures: list[CausedError] = field(default_factory=list)
    """What kept calls from being answered that another time may be answered: provider, cap, nobody who pays."""
    ending: Exception | None = None
    """What has to end the case, whatever the router makes of it."""

    @property
    def infra(self) -> CausedError | None:
        """The first failure that is the provider's."""
        return next((each for each in self.failures if CAUSES[each.cause].counts is Counts.infra), None)


class OwnCalls(ABC):
    """The handle of one router: serves ``twinbench.routing.llm.Llm`` while a decision is being made."""

    def __init__(self, outside: str = OUTSIDE) -> None:
        self._outside = outside
        self._deciding: Deciding | None = None
        self._asking = threading.Lock()

    @contextmanager
    def deciding(self, deciding: Deciding) -> Iterator[Deciding]:
        """Let the router ask within the block; a call that is under way is waited for at its end."""
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
        """As of ``Llm``."""
        with self._asking:
            deciding = self._deciding
            if deciding is None:
                raise LlmError(self._outside)
            deciding.asked += 1
            if deciding.asked > MOST_ASKS:
                raise LlmError(f"a decision may ask {MOST_ASKS} times")
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
        """The answer.

        Raises:
            LlmError: there is none, for a reason that the router may go on after.
            Exception: there is none, and the case has to end.
        """


class _NobodyPaysError(CausedError):
    """No provider and no cap were given."""

    cause = Cause.cap


class NoCalls(OwnCalls):
    """A handle through which nothing can be asked."""

    def __init__(self, why: str = UNPAID) -> None:
        super().__init__(why)
        self._why = why

    def _answered(self, deciding: Deciding, question: Question) -> Reply:  # noqa: ARG002 - whatever is asked
        deciding.failures.append(_NobodyPaysError(self._why))
        raise LlmError(self._why)


def checked_question(messages: object, candidate: str | None, max_tokens: object, temperature: object) -> Question:
    """What a router asks, where it can be asked at all.

    Raises:
        LlmError: it cannot.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence) or not messages:
        raise LlmError("messages must be a list of OpenAI chat messages, one at least")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise LlmError(f"messages[{number}] must be a chat message: an object with a role")
    if (why := _unsendable(messages)) is not None:
        raise LlmError(f"messages that cannot be sent: {why}")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise LlmError(f"max_tokens must be a whole number above 0, not {max_tokens!r:.80}")
    if temperature is not None:
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
            raise LlmError(f"temperature must be a number from 0 to 2 or None, not {temperature!r:.80}")
        temperature = float(temperature)
    return Question(tuple(messages), candidate, max_tokens, temperature)


def _unsendable(messages: object) -> str | None:
    """Why messages can be no JSON in UTF-8, or are nested too deeply, looked at level by level; None where they can."""
    level = [messages]
    for _ in range(MOST_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str):
                if not _is_unicode(each):
                    return "a text in it has half a surrogate pair"
            elif isinstance(each, float):
                if not math.isfinite(each):
                    return f"{each} is no number in JSON"
            elif isinstance(each, Mapping):
                inner += each
                inner += each.values()
            elif isinstance(each, list | tuple):
                inner += each
        if not inner:
            return None
        level = inner
    return f"they are nested more than {MOST_DEPTH} deep"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
