"""What a router's process sends, checked at the door: one model for each kind of frame.

The router's code can write to the pipe itself. So a frame is bounded before it is decoded, every field is checked, and
a frame that is odd in any way is refused: no code behind this module sees raw JSON of a router's process. The one
exception is what a question to an LLM asks, which an honest router may get wrong and should be told of: it is checked
where it is answered (``own_calls.checked_question``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twinbench.display.wording import shortened
from twinbench.plugins.wire import (
    FRAME_LENGTH,
    MOST_ANSWER_BYTES,
    MOST_QUESTION_BYTES,
    MOST_RATIONALE_CHARACTERS,
    Reader,
    read_exactly,
)
from twinbench.reading.validation import field_path, shown

MOST_DEPTH = 64
"""Objects and lists within each other in an endpoint's answer."""

MOST_ERROR_CHARACTERS = 4_000
"""Of an error's text; what is longer is cut."""

MOST_ROUTE_MS = 86_400_000.0
"""A day: no router can say that a decision took it longer."""

_TEXTS = re.compile(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
"""JSON texts. It also matches one without an end, or bytes that are no JSON could keep it busy for hours."""


class AnswerError(Exception):
    """A frame of a router's process that cannot be used; the text goes on after "its process"."""


def _shorten(text: str) -> str:
    return shortened(text, MOST_ERROR_CHARACTERS)


ErrorText = Annotated[str, AfterValidator(_shorten), Field(description="a text")]


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    number: int
    """The number of the request that this answers."""


class LoadAnswer(_Frame):
    """The router is loaded."""

    hooks: list[Literal["start", "observe", "end", "fit"]] = Field(
        description="a list of 'start', 'observe', 'end' and 'fit'"
    )
    """The optional methods that it has."""


class LoadFailure(_Frame):
    """The router cannot be loaded."""

    error: ErrorText
    usage: bool = Field(description="true or false")
    """Whether its name or arguments are at fault rather than its code."""


class TrainingFailure(LoadFailure):
    """A step of a training failed; ``usage`` where the router is none that can be trained."""


class TrainingAnswer(_Frame):
    """A trajectory was taken, or ``fit`` came to its end."""


class SavedAnswer(_Frame):
    """What ``save`` wrote, with the code of the router."""

    files: dict[str, int] = Field(description="a size in bytes by the path of each file")


class ChunkAnswer(_Frame):
    """A piece of a file that was saved."""

    data: str = Field(description="a text in base64")


class HookAnswer(_Frame):
    """A hook was called."""


class HookFailure(_Frame):
    """A hook failed."""

    error: ErrorText


class _Watched(_Frame):
    """What is said beside a decision or its failure."""

    route_ms: float | None = Field(
        None, ge=0, le=MOST_ROUTE_MS, allow_inf_nan=False, description="milliseconds, from 0 to those of a day"
    )
    """How long ``route`` took by the process's own account; never used in place of what twinbench measures."""
    mutated: bool = Field(False, description="true or false")
    """Whether the decision changed the conversation that it was shown (only noticed when watched)."""
    reached: list[str] = Field(default_factory=list, description="a list of texts")
    """What it reached for outside its process (only noticed when watched)."""


class RouteAnswer(_Watched):
    """A decision, or what claims to be one: whether there is such a candidate is checked against the call."""

    candidate: str = Field(description="a text")
    score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1, or null")
    rationale: str | None = Field(
        None,
        max_length=MOST_RATIONALE_CHARACTERS,
        description=f"a text of at most {MOST_RATIONALE_CHARACTERS:,} characters, or null",
    )


class RouteFailure(_Watched):
    """``route`` failed, or its answer is no decision."""

    error: ErrorText


class QuestionContent(BaseModel):
    """What is asked of an LLM; values that an honest router can get wrong are checked where it is answered."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    messages: Any
    candidate: str | None = Field(description="a text, or null")
    max_tokens: Any
    temperature: Any


class Question(_Frame):
    """A question to an LLM, before the decision."""

    ask: QuestionContent = Field(description="an object with messages, candidate, max_tokens and temperature")


Answer = TypeVar("Answer", bound=_Frame)
Failure = TypeVar("Failure", bound=_Frame)


@dataclass(frozen=True)
class AnswerKind(Generic[Answer, Failure]):
    """What a request may be answered with."""

    answer: type[Answer]
    failure: type[Failure]
    may_ask: bool = False
    """Whether questions to an LLM may come first."""


LOADING = AnswerKind(LoadAnswer, LoadFailure)
HOOK = AnswerKind(HookAnswer, HookFailure)
TRAINING = AnswerKind(TrainingAnswer, TrainingFailure)
SAVING = AnswerKind(SavedAnswer, TrainingFailure)
CHUNK = AnswerKind(ChunkAnswer, TrainingFailure)
DECISION = AnswerKind(RouteAnswer, RouteFailure, may_ask=True)


def read_body(read: Reader, *, may_ask: bool) -> bytes:
    """The content of the next frame, not yet looked at.

    Args:
        read: the pipe.
        may_ask: whether it may be a question to an LLM, which may be long.

    Raises:
        EOFError: the process is gone.
        AnswerError: it is too long.
    """
    (length,) = FRAME_LENGTH.unpack(read_exactly(read, FRAME_LENGTH.size))
    if length > (MOST_QUESTION_BYTES if may_ask else MOST_ANSWER_BYTES):
        raise _too_long(length)
    return read_exactly(read, length)


def check_answer(body: bytes, number: int, kind: AnswerKind[Answer, Failure]) -> Answer | Failure | Question:
    """The content of a frame as the one model that it fits.

    Args:
        body: the content.
        number: that of the request.
        kind: what the request may be answered with.

    Raises:
        AnswerError: it is no such answer.
    """
    if len(body) > MOST_ANSWER_BYTES and len(_TEXTS.sub(b"", body)) > MOST_ANSWER_BYTES:
        # A question may be long because its texts are; a hundred bytes of memory for each two of JSON are too much.
        raise AnswerError(f"sent a question of more than {MOST_ANSWER_BYTES:,} bytes beside its texts")
    try:
        content = _decode(body.decode())
        if b"\\u" in body:
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise AnswerError("sent a text with half a surrogate pair, which nobody can keep") from None
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"sent an answer that is no JSON ({_shorten(str(error))})") from None
    if not isinstance(content, dict):
        raise AnswerError("sent an answer that is no JSON object")
    if type(content.get("number")) is not int or content["number"] != number:
        raise AnswerError("answered a question that was not asked: something in it wrote to twinbench's pipe")
    if "ask" in content:
        if not kind.may_ask:
            raise AnswerError("asked an LLM where nothing was to be decided")
        return _validated(Question, content)
    if len(body) > MOST_ANSWER_BYTES:
        raise _too_long(len(body))
    return _validated(kind.failure, content) if "error" in content else _validated(kind.answer, content)


Model = TypeVar("Model", bound=_Frame)


def _validated(model: type[Model], content: dict[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        path = field_path(details["loc"])
        if details["type"] == "missing":
            raise AnswerError(f"sent an answer without {path}") from None
        if details["type"] == "extra_forbidden":
            raise AnswerError(f"sent an answer with a field that is not known here: {path!a:.80}") from None
        field, *inner = (part for part in details["loc"] if isinstance(part, str))
        fields = QuestionContent.model_fields if inner else model.model_fields
        wanted = fields[inner[0] if inner else field].description
        raise AnswerError(f"sent an answer with {path} = {shown(details['input'])}; it must be {wanted}") from None


def is_deep(value: object) -> bool:
    """Whether objects and lists stand more than ``MOST_DEPTH`` deep in each other: to show such a value may fail."""
    level = [value]
    for _ in range(MOST_DEPTH + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return False
        level = inner
    return True


def _too_long(length: int) -> AnswerError:
    return AnswerError(f"sent an answer of {length:,} bytes; at most {MOST_ANSWER_BYTES:,} are taken")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.40} is too large a number")
    return number


def object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A decoded JSON object.

    Raises:
        ValueError: a key stands twice in it, so that nobody can say what it means.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


_decode: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=object_of_pairs, parse_constant=_refuse_constant, parse_float=_finite
).decode
