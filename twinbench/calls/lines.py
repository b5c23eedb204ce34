"""The lines of a journal: one model for each kind, which says what such a line has. They are written and read as these.

In the journal, money is a decimal text in USD and bytes are packed (``packing``); the fields of a model take both that
text and the Python values. Times are seconds since 1970. Further fields of a line are kept: a release may write more
than another one knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainValidator,
    StrictBool,
    ValidationError,
    ValidationInfo,
)

from twinbench.calls.billing import is_plausible
from twinbench.calls.packing import unpacked
from twinbench.causes import CAUSES, Cause, Counts
from twinbench.display.wording import shortened
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage

_FARTHEST = 1e15
"""No time and no duration is larger."""

_MOST_TOKENS = 10**12
"""Of a bucket of one call."""
_AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?")
_BUCKETS = {"input", "cache_read", "cache_write", "output"}
_BUCKETS_WITH_1H = {*_BUCKETS, "cache_write_1h"}
_NO_NAMES = ("", ".", "..")
_PLAIN = {str, bytes, int, float, bool, type(None), Decimal}
"""What is written as it is; most fields are."""


def _decimal(value: Any) -> Decimal:
    written = isinstance(value, str) and _AMOUNT.fullmatch(value) is not None
    found = value if isinstance(value, Decimal) else Decimal(value) if written else None
    if found is None or not is_plausible(found):
        raise ValueError("no amount")
    return found


def _cause(value: Any) -> Cause:
    if not isinstance(value, str):
        raise ValueError("no cause")
    return Cause(value)


def _packed(value: Any, info: ValidationInfo) -> str | bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("nothing packed")
    if info.context is not None:
        try:
            unpacked(value)
        except JournalError as error:
            raise ValueError(str(error)) from None
    return value


def _usage(value: Any) -> Usage:
    if isinstance(value, Usage):
        return value
    if not isinstance(value, Mapping) or value.keys() not in (_BUCKETS, _BUCKETS_WITH_1H):
        raise ValueError("no usage")
    for count in value.values():
        if type(count) is not int or not 0 <= count <= _MOST_TOKENS:
            raise ValueError("no usage")
    if value.get("cache_write_1h", 0) > value["cache_write"]:
        raise ValueError("more is written for an hour than at all")
    return Usage(**value)


def _case_name(value: Any) -> str:
    if not isinstance(value, str) or value in _NO_NAMES or "/" in value or "\\" in value or "\0" in value:
        raise ValueError("no name of a case")
    return value


Text = InstanceOf[str]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, gt=-_FARTHEST, lt=_FARTHEST)]
Sha256 = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[Decimal, PlainValidator(_decimal)]
CauseText = Annotated[Cause, PlainValidator(_cause)]
Packed = Annotated[str | bytes, PlainValidator(_packed)]
"""Text as the journal has it, or the bytes themselves: ``payload`` gives them. What a journal has is unpacked when it
is asked for, and so not checked when a line is read; ``read_line(..., whole=True)`` does."""
UsageObject = Annotated[Usage, PlainValidator(_usage)]
CaseName = Annotated[str, PlainValidator(_case_name)]


def payload(told: str | bytes) -> bytes:
    """The bytes of a packed field.

    Raises:
        JournalError: it is damaged.
    """
    return told if isinstance(told, bytes) else unpacked(told)


def _written(value: Any) -> Any:
    if isinstance(value, Usage):
        return value.to_json()
    if isinstance(value, _Fields):
        return value.written()
    return [_written(each) for each in value] if isinstance(value, list | tuple) else value


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True, arbitrary_types_allowed=True)

    def written(self) -> dict[str, Any]:
        """The fields as a journal takes them: those that were set, and no others."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value if type(value) in _PLAIN else _written(value) for name, value in fields.items()}


class Line(_Fields):
    """What a kind of line has."""

    kind: ClassVar[str]


class OfCases(Line):
    """A line about cases of the run."""

    cases: Sequence[CaseName]
    at: Number


class MergedRun(_Fields):
    """A run that was merged into another one."""

    run: Text
    """The name of its directory."""
    lines: Annotated[int, Field(strict=True, ge=0)]
    """How many its journal had."""
    sha256: Sha256 | None
    """Of the last of them; None where there was none."""
    cases: Sequence[CaseName]
    """Those of its ``plan.json``."""


class Merge(Line):
    """Whose lines follow, in this order."""

    kind = "merge"
    sources: Sequence[MergedRun]


class Sitting(OfCases):
    """What a sitting was to run."""

    kind = "sitting"
    trials: Count
    run_usd: Amount | None
    plan: Text | None = None
    """SHA-256 of the identity and cases of ``plan.json``, as this sitting found it."""
    workers: Whole | None = None
    """How many cases ran at once."""
    graded: StrictBool | None = None
    """Whether patches were to be graded."""


class Widened(OfCases):
    """Cases that the run is of from here on, beside those of its plan."""

    kind = "widened"


class OfTrial(Line):
    """A line about a trial."""

    case: CaseName
    trial: Count
    at: Number


class TrialBegins(OfTrial):
    """What a trial is of."""

    kind = "trial"
    pool: Text
    """Fingerprint of the pool."""
    task: Text | None = None
    """Fingerprint of the task."""
    image: Text | None = None
    """Identity of the image that its container is of."""
    agent: dict[str, Any] | None = None
    """The agent's settings, as the run's identity has them."""
    execution: dict[str, Any] | None = None
    """Of a bank's build: seed, repeat, and which candidate is to answer which step."""
    imported: dict[str, Any] | None = None
    """Of an imported run: what its file says of itself."""
    opening: list[Any] | None = None
    """Of an imported run: the messages before the first call."""


class Decided(_Fields):
    """What a router decided about a call: the candidate that is asked, or why there is none."""

    candidate: Text | None
    error: Text | None
    latency_ms: Number | None
    score: Number | Text | None = None
    """How sure the router says that it is, from 0 to 1; text only in a journal that somebody else has written."""
    rationale: Text | None = None
    """Why it chose as it did, in its words."""
    router_error: Text | None = None
    """Why it failed, where another candidate answers instead."""


class Decision(Decided, OfTrial):
    """What a router decided about a call, as it is written down."""

    kind = "decision"
    step: Count
    prompt_tokens: dict[str, Any]
    """The prompt as each candidate's tokenizer counts it."""


class OfAttempt(OfTrial):
    """A line about one HTTP request."""

    step: Count
    attempt: Count
    own: Count = 0
    """Of the router's own calls the number, from 1; left out, and so 0, for the agent's."""


class Reserve(OfAttempt):
    """An attempt that is about to be sent, and its worst case."""

    kind = "reserve"
    candidate: Text
    request_sha256: Sha256
    request_key: Sha256
    reserved_usd: Amount
    max_tokens: Count = 0
    """Of the router's own calls; the agent's have their candidate's."""


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
    detail: Text | None = None
    """What went wrong, in words; None for an answer."""
    served_by: Text | None = None
    """The host that answered, where a gateway names it."""
    simulated: StrictBool = False
    """Whether the response says that a simulated model gave it; left out where it does not."""
    reused: StrictBool = False
    """Whether nothing was sent and nothing paid: the response was kept from an earlier execution. Its cost counts."""

    @property
    def body(self) -> bytes | None:
        """The response as it came; None where there was none.

        Raises:
            JournalError: it is damaged.
        """
        return None if self.response is None else payload(self.response)


class OwnFailed(OfTrial):
    """A router's own call that was given up."""

    kind = "own_failed"
    step: Count
    own: Count
    cause: CauseText
    detail: Text | None = None
    """What the router was told."""


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
    ended: Text = ""
    """How it ended (``containers.shell.Ended``)."""
    seconds: Number | None = None
    """How long it took."""
    reused: StrictBool = False
    """Whether it did not run: an earlier execution had run the same commands up to this one."""

    @property
    def text(self) -> str:
        """The output as text.

        Raises:
            JournalError: it is damaged.
        """
        return payload(self.output).decode("utf-8", "replace")


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
    detail: Text | None = None
    """What ended it, in words; None where it came to its own end."""

    @property
    def diff(self) -> str:
        """The patch as text that gives back its bytes (``surrogateescape``).

        Raises:
            JournalError: it is damaged.
        """
        return payload(self.patch).decode("utf-8", "surrogateescape")

    @property
    def is_final(self) -> bool:
        """Whether the agent has ended for good; a trial that infrastructure or the cap ended goes on."""
        return self.cause is None or CAUSES[self.cause].counts is Counts.unresolved


class VerdictLine(OfTrial):
    """What the tests said of the patch."""

    kind = "verdict"
    resolved: StrictBool | None
    cause: CauseText | None
    fingerprint: Sha256 | None
    detail: Text | None = None
    """Why there is no verdict, in words."""


class Lost(OfTrial):
    """A trial that did not repeat its recording, and was begun anew."""

    kind = "lost"
    step: Whole
    what: Text | None = None
    """What was not repeated."""


KINDS: Mapping[str, type[Line]] = {
    each.kind: each
    for each in (
        *(Merge, Sitting, Widened, TrialBegins, Decision, Reserve, Settle, OwnFailed),
        *(CommandLine, Observation, Conversation, End, VerdictLine, Lost),
    )
}
"""By the kind of line."""


LineKind = TypeVar("LineKind", bound=Line, covariant=True)


@dataclass(frozen=True, slots=True)
class Numbered(Generic[LineKind]):
    """A line with its number in the journal."""

    number: int
    line: LineKind


class LineError(ValueError):
    """A line that is not as its kind is: which field, and the value there; no value where the field is missing."""

    def __init__(self, field: str, *, missing: bool, value: Any = None) -> None:
        super().__init__(f"without {field}" if missing else f"whose {field} cannot be {shortened(repr(value), 60)}")


def read_line(kind: str, fields: Mapping[str, Any], *, whole: bool = False) -> Line | None:
    """A line as a model; None for a kind that is not known.

    Args:
        kind: of the line.
        fields: of the line, as the journal has them.
        whole: unpack what is packed too, which takes as long as all the rest.

    Raises:
        LineError: it is not as its kind is.
    """
    model = KINDS.get(kind)
    if model is None:
        return None
    try:
        return model.model_validate(fields, context=True if whole else None)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[0]
        field = str(details["loc"][0])
        missing = details["type"] == "missing" and len(details["loc"]) == 1
        raise LineError(field, missing=missing, value=fields.get(field)) from None
