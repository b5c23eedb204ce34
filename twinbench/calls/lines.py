"""The lines of a journal: one model for each kind, which says what such a line has.

Money is a decimal text in USD, bytes are packed (``packing.unpacked``), times are seconds since 1970. Further fields of
a line are kept: a release may write more than another one knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from twinbench.calls.packing import unpacked
from twinbench.causes import Cause
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage

_FARTHEST = 1e15
"""No time and no duration is larger."""

_BUCKETS = ("input", "cache_read", "cache_write", "output")


def _decimal(value: Any) -> Decimal:
    try:
        found = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or found < 0:
        raise ValueError("no amount")
    return found


def _cause(value: Any) -> Cause:
    if not isinstance(value, str):
        raise ValueError("no cause")
    return Cause(value)


def _packed(value: str) -> str:
    try:
        unpacked(value)
    except JournalError as error:
        raise ValueError(str(error)) from None
    return value


def _usage(value: Any) -> Usage:
    whole = isinstance(value, Mapping) and all(type(each) is int and each >= 0 for each in value.values())
    if not whole or set(value) - {"cache_write_1h"} != set(_BUCKETS):
        raise ValueError("no usage")
    if value.get("cache_write_1h", 0) > value["cache_write"]:
        raise ValueError("more is written for an hour than at all")
    return Usage(**value)


def _case_name(value: str) -> str:
    if value in ("", ".", "..") or set(value) & set("/\\\0"):
        raise ValueError("no name of a case")
    return value


Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, gt=-_FARTHEST, lt=_FARTHEST)]
Sha256 = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[Decimal, BeforeValidator(_decimal)]
CauseText = Annotated[Cause, BeforeValidator(_cause)]
Packed = Annotated[Text, AfterValidator(_packed)]
UsageObject = Annotated[Usage, BeforeValidator(_usage)]
CaseName = Annotated[Text, AfterValidator(_case_name)]


class Line(BaseModel):
    """What a kind of line has."""

    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True, arbitrary_types_allowed=True)

    kind: ClassVar[str]


class Sitting(Line):
    """What a sitting was to run."""

    kind = "sitting"
    cases: Sequence[CaseName]
    trials: Count
    run_usd: Amount | None
    at: Number


class Widened(Line):
    """Cases that the run is of from here on, beside those of its plan."""

    kind = "widened"
    cases: Sequence[CaseName]
    at: Number


class OfTrial(Line):
    """A line about a trial."""

    case: CaseName
    trial: Count
    at: Number


class TrialBegins(OfTrial):
    """What a trial is of."""

    kind = "trial"
    pool: Text


class Decision(OfTrial):
    """What a router decided about a call."""

    kind = "decision"
    step: Count
    candidate: Text | None
    error: Text | None
    latency_ms: Number | None
    prompt_tokens: dict[str, Any]


class OfAttempt(OfTrial):
    """A line about one HTTP request. ``own`` is the number of the router's own call, which the agent's have not."""

    step: Count
    attempt: Count
    own: Count = 0


class Reserve(OfAttempt):
    """An attempt that is about to be sent, and its worst case."""

    kind = "reserve"
    candidate: Text
    request_sha256: Sha256
    request_key: Sha256
    reserved_usd: Amount
    max_tokens: Count = 0
    """Of the router's own calls."""


class Settle(OfAttempt):
    """What came of an attempt."""

    kind = "settle"
    cause: CauseText | None
    usage: UsageObject | None
    cost_usd: Amount
    at_reservation: StrictBool
    reported_cost_usd: Amount | None
    served_model: Text | None
    latency_s: Number | None
    status: Whole | None
    response: Packed | None


class OwnFailed(OfTrial):
    """A router's own call that was given up."""

    kind = "own_failed"
    step: Count
    own: Count
    cause: CauseText


class CommandLine(OfTrial):
    """A command of the agent that is about to run."""

    kind = "command"
    step: Count
    index: Whole
    command: Text


class Observation(OfTrial):
    """What a command gave."""

    kind = "observation"
    step: Count
    index: Whole
    output: Packed
    returncode: Whole
    exception_info: Text


class Conversation(OfTrial):
    """Of an imported run: the messages from a step's answer up to the next call."""

    kind = "conversation"
    step: Count
    messages: list[Any]


class End(OfTrial):
    """How the agent ended."""

    kind = "end"
    exit_status: Text
    patch: Packed
    patch_sha256: Sha256
    cause: CauseText | None


class VerdictLine(OfTrial):
    """What the tests said of the patch."""

    kind = "verdict"
    resolved: StrictBool | None
    cause: CauseText | None
    fingerprint: Sha256 | None


class Lost(OfTrial):
    """A trial that did not repeat its recording, and was begun anew."""

    kind = "lost"
    step: Whole


KINDS: Mapping[str, type[Line]] = {
    each.kind: each
    for each in (
        *(Sitting, Widened, TrialBegins, Decision, Reserve, Settle, OwnFailed),
        *(CommandLine, Observation, Conversation, End, VerdictLine, Lost),
    )
}
"""By the kind of line."""


class LineError(ValueError):
    """A line that is not as its kind is: which field, and the value there; no value where the field is missing."""

    def __init__(self, field: str, *, missing: bool, value: Any = None) -> None:
        super().__init__(f"without {field}" if missing else f"{field} cannot be {value!r}")
        self.field = field
        self.missing = missing
        self.value = value


def read_line(kind: str, fields: Mapping[str, Any]) -> Line | None:
    """A line as a model; None for a kind that is not known.

    Raises:
        LineError: it is not as its kind is.
    """
    model = KINDS.get(kind)
    if model is None:
        return None
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[0]
        field = str(details["loc"][0])
        missing = details["type"] == "missing" and len(details["loc"]) == 1
        raise LineError(field, missing=missing, value=fields.get(field)) from None
