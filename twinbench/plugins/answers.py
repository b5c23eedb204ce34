"""Validate what a router's process sends, with one model per kind of frame.

The router's code can write to the pipe itself. So a frame's size is limited before it is decoded, every field is
checked, and an invalid frame is refused: no other module sees raw JSON of a router's process. The one exception is the
content of an LLM question, which an honest router may get wrong and needs an error message for: it is checked where
it is answered (``own_calls.validate_question``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twinbench.display.wording import shorten
from twinbench.plugins.wire import (
    FRAME_LENGTH,
    MOST_ANSWER_BYTES,
    MOST_QUESTION_BYTES,
    MOST_RATIONALE_CHARACTERS,
    Reader,
    read_exactly,
)
from twinbench.reading.validation import field_path, format_value

MOST_DEPTH = 64
"""Largest nesting depth of an endpoint's answer."""

MOST_ERROR_CHARACTERS = 4_000
"""Largest length of an error's text; longer texts are cut."""

MOST_ROUTE_MS = 86_400_000.0
"""Largest duration that a router may report for a decision: one day."""

_TEXTS = re.compile(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
"""Matches JSON strings. It also matches an unterminated one; otherwise invalid bytes could keep it busy for hours."""


class AnswerError(Exception):
    """A frame of a router's process is invalid; the text continues the sentence "its process …"."""


def _shorten(text: str) -> str:
    return shorten(text, MOST_ERROR_CHARACTERS)


ErrorText = Annotated[str, AfterValidator(_shorten), Field(description="a string")]


class _Frame(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    number: int
    """The number of the request that this frame answers."""


class LoadAnswer(_Frame):
    """The router was loaded."""

    hooks: list[Literal["start", "observe", "end", "fit"]] = Field(
        description="a list of 'start', 'observe', 'end' and 'fit'"
    )
    """The optional methods that the router has."""


class LoadFailure(_Frame):
    """The router could not be loaded."""

    error: ErrorText
    usage: bool = Field(description="true or false")
    """Whether the router's name or arguments are wrong, rather than its code."""


class TrainingFailure(LoadFailure):
    """A step of a training failed; ``usage`` where the router is none that can be trained."""


class TrainingAnswer(_Frame):
    """A trajectory was taken, or ``fit`` came to its end."""


class SavedAnswer(_Frame):
    """The files that ``save`` wrote, with the code of the router."""

    files: dict[str, int] = Field(description="a size in bytes by the path of each file")


class ChunkAnswer(_Frame):
    """A piece of a file that was saved."""

    data: str = Field(description="a text in base64")


class HookAnswer(_Frame):
    """A hook was called."""


class HookFailure(_Frame):
    """A hook failed."""

    error: ErrorText


class _RouteMeasurements(_Frame):
    """Measurements that come with a decision or its failure."""

    route_ms: float | None = Field(
        None, ge=0, le=MOST_ROUTE_MS, allow_inf_nan=False, description="milliseconds, from 0 to those of a day"
    )
    """How long ``route`` took as the process measured it; never used in place of twinbench's own measurement."""
    mutated: bool = Field(False, description="true or false")
    """Whether ``route`` modified the conversation that it was given (checked by ``router check`` only)."""
    accesses: list[str] = Field(default_factory=list, description="a list of texts")
    """Files, sockets and processes that ``route`` used (checked by ``router check`` only)."""


class RouteAnswer(_RouteMeasurements):
    """A decision as the process sends it; whether the candidate exists is checked against the call later."""

    candidate: str = Field(description="a string")
    score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1, or null")
    rationale: str | None = Field(
        None,
        max_length=MOST_RATIONALE_CHARACTERS,
        description=f"a string of at most {MOST_RATIONALE_CHARACTERS:,} characters, or null",
    )


class RouteFailure(_RouteMeasurements):
    """``route`` failed, or its answer is not a valid decision."""

    error: ErrorText


class QuestionContent(BaseModel):
    """The content of an LLM question; values that an honest router can get wrong are checked where it is answered."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    messages: Any
    candidate: str | None = Field(description="a string, or null")
    max_tokens: Any
    temperature: Any


class Question(_Frame):
    """An LLM question, sent before the decision."""

    ask: QuestionContent = Field(description="an object with messages, candidate, max_tokens and temperature")


Answer = TypeVar("Answer", bound=_Frame)
Failure = TypeVar("Failure", bound=_Frame)


@dataclass(frozen=True)
class AnswerKind(Generic[Answer, Failure]):
    """The frames that may answer a request."""

    answer: type[Answer]
    failure: type[Failure]
    may_ask: bool = False
    """Whether LLM questions may come before the answer."""


LOADING = AnswerKind(LoadAnswer, LoadFailure)
HOOK = AnswerKind(HookAnswer, HookFailure)
TRAINING = AnswerKind(TrainingAnswer, TrainingFailure)
SAVING = AnswerKind(SavedAnswer, TrainingFailure)
CHUNK = AnswerKind(ChunkAnswer, TrainingFailure)
DECISION = AnswerKind(RouteAnswer, RouteFailure, may_ask=True)


def read_body(read: Reader, *, may_ask: bool) -> bytes:
    """Read the content of the next frame without decoding it.

    Args:
        read: reads from the pipe.
        may_ask: whether the frame may be an LLM question, which may be longer than an answer.

    Raises:
        EOFError: the process has ended.
        AnswerError: the frame is too long.
    """
    (length,) = FRAME_LENGTH.unpack(read_exactly(read, FRAME_LENGTH.size))
    if length > (MOST_QUESTION_BYTES if may_ask else MOST_ANSWER_BYTES):
        raise _too_long(length)
    return read_exactly(read, length)


def check_answer(body: bytes, number: int, kind: AnswerKind[Answer, Failure]) -> Answer | Failure | Question:
    """Decode and validate the content of a frame.

    Args:
        body: the frame's content.
        number: the request's number.
        kind: the frames that may answer the request.

    Raises:
        AnswerError: the frame is not a valid answer to the request.
    """
    if len(body) > MOST_ANSWER_BYTES and len(_TEXTS.sub(b"", body)) > MOST_ANSWER_BYTES:
        # A question may be long because of its strings; other JSON needs up to 50 times its size in memory.
        raise AnswerError(f"sent an LLM question with more than {MOST_ANSWER_BYTES:,} bytes outside strings")
    try:
        content = _decode(body.decode())
        if b"\\u" in body:
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise AnswerError("sent a string with half a surrogate pair, which UTF-8 cannot encode") from None
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"sent an answer that is not JSON ({_shorten(str(error))})") from None
    if not isinstance(content, dict):
        raise AnswerError("sent an answer that is not a JSON object")
    if type(content.get("number")) is not int or content["number"] != number:
        raise AnswerError("sent an answer with a wrong request number: some code in it wrote to twinbench's pipe")
    if "ask" in content:
        if not kind.may_ask:
            raise AnswerError("called an LLM outside route()")
        return _validate(Question, content)
    if len(body) > MOST_ANSWER_BYTES:
        raise _too_long(len(body))
    return _validate(kind.failure, content) if "error" in content else _validate(kind.answer, content)


Model = TypeVar("Model", bound=_Frame)


def _validate(model: type[Model], content: dict[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        path = field_path(details["loc"])
        if details["type"] == "missing":
            raise AnswerError(f"sent an answer without {path}") from None
        if details["type"] == "extra_forbidden":
            raise AnswerError(f"sent an answer with an unknown field: {path!a:.80}") from None
        field, *inner = (part for part in details["loc"] if isinstance(part, str))
        fields = QuestionContent.model_fields if inner else model.model_fields
        wanted = fields[inner[0] if inner else field].description
        raise AnswerError(
            f"sent an answer with {path} = {format_value(details['input'])}; it must be {wanted}"
        ) from None


def is_nested_too_deeply(value: object) -> bool:
    """Return whether a value is nested more than ``MOST_DEPTH`` levels deep; printing such a value may fail."""
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
    return AnswerError(f"sent an answer of {length:,} bytes; at most {MOST_ANSWER_BYTES:,} are allowed")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _parse_finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.40} is too large a number")
    return number


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make the dict of a decoded JSON object.

    Raises:
        ValueError: the object has a duplicate key and so is ambiguous.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a duplicate key")
    return found


_decode: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=refuse_duplicate_keys, parse_constant=_refuse_constant, parse_float=_parse_finite
).decode
