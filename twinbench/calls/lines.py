"""The lines of a journal: one pydantic model per kind of line, used both to write and to read it.

In the journal, money is decimal text in USD and bytes are packed (``packing``); the models' fields accept both that
text and the Python values. Times are seconds since 1970. Unknown fields of a line are kept, since another release may
write more fields than this one knows.
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
from twinbench.calls.packing import unpack
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.display.wording import shorten
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage

_FARTHEST = 1e15
"""Upper bound of every time and duration."""

_MOST_TOKENS = 10**12
"""Largest token count of one bucket of one call."""
_AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?")
_BUCKETS = {"input", "cache_read", "cache_write", "output"}
_BUCKETS_WITH_1H = {*_BUCKETS, "cache_write_1h"}
_NO_NAMES = ("", ".", "..")
_PLAIN = {str, bytes, int, float, bool, type(None), Decimal}
"""Types that are written unchanged; most fields have one of them."""


def _validate_amount(value: Any) -> Decimal:
    written = isinstance(value, str) and _AMOUNT.fullmatch(value) is not None
    found = value if isinstance(value, Decimal) else Decimal(value) if written else None
    if found is None or not is_plausible(found):
        raise ValueError("not an amount of money")
    return found


def _validate_cause(value: Any) -> Cause:
    if not isinstance(value, str):
        raise ValueError("must be the name of a cause")
    return Cause(value)


def _validate_packed(value: Any, info: ValidationInfo) -> str | bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("not packed data")
    if info.context is not None:
        try:
            unpack(value)
        except JournalError as error:
            raise ValueError(str(error)) from None
    return value


def _validate_usage(value: Any) -> Usage:
    if isinstance(value, Usage):
        return value
    if not isinstance(value, Mapping) or value.keys() not in (_BUCKETS, _BUCKETS_WITH_1H):
        raise ValueError("no usage")
    for count in value.values():
        if type(count) is not int or not 0 <= count <= _MOST_TOKENS:
            raise ValueError("no usage")
    if value.get("cache_write_1h", 0) > value["cache_write"]:
        raise ValueError("cache_write_1h is larger than cache_write")
    return Usage(**value)


def _validate_case_name(value: Any) -> str:
    if not isinstance(value, str) or value in _NO_NAMES or "/" in value or "\\" in value or "\0" in value:
        raise ValueError("not a valid case name")
    return value


Text = InstanceOf[str]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, Field(strict=True, gt=-_FARTHEST, lt=_FARTHEST)]
Sha256 = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
Amount = Annotated[Decimal, PlainValidator(_validate_amount)]
CauseText = Annotated[Cause, PlainValidator(_validate_cause)]
Packed = Annotated[str | bytes, PlainValidator(_validate_packed)]
"""Packed text as in the journal, or the bytes themselves; ``payload`` returns the bytes. Packed text is unpacked on
demand and not checked when a line is read, except by ``read_line(..., whole=True)``."""
UsageObject = Annotated[Usage, PlainValidator(_validate_usage)]
CaseName = Annotated[str, PlainValidator(_validate_case_name)]


def payload(value: str | bytes) -> bytes:
    """Return the bytes of a packed field.

    Raises:
        JournalError: the packed data is damaged.
    """
    return value if isinstance(value, bytes) else unpack(value)


def _to_json(value: Any) -> Any:
    if isinstance(value, Usage):
        return value.to_json()
    if isinstance(value, _Fields):
        return value.to_fields()
    return [_to_json(each) for each in value] if isinstance(value, list | tuple) else value


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True, arbitrary_types_allowed=True)

    def to_fields(self) -> dict[str, Any]:
        """Return the fields that were set, in the form that a journal writes."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value if type(value) in _PLAIN else _to_json(value) for name, value in fields.items()}


class Line(_Fields):
    """Base class of the models of journal lines."""

    kind: ClassVar[str]


class CasesLine(Line):
    """A line that lists cases of the run: those chosen, or added when the run was widened."""

    cases: Sequence[CaseName]
    at: Number


class MergedRun(_Fields):
    """A run that was merged into another run."""

    run: Text
    """The name of the merged run's directory."""
    lines: Annotated[int, Field(strict=True, ge=0)]
    """How many lines its journal had."""
    sha256: Sha256 | None
    """Hash of its journal's last line; None if the journal was empty."""
    cases: Sequence[CaseName]
    """The cases of its ``plan.json``."""


class Merge(Line):
    """The runs whose lines follow, in this order; first line of a merged run's journal."""

    kind = "merge"
    sources: Sequence[MergedRun]


class RunExecution(CasesLine):
    """One execution of ``dynamic run`` on the run directory, and what it was to run."""

    kind = "sitting"
    trials: Count
    run_usd: Amount | None
    plan: Text | None = None
    """SHA-256 of the identity and cases of ``plan.json`` when this execution began."""
    workers: Whole | None = None
    """How many cases ran in parallel."""
    graded: StrictBool | None = None
    """Whether patches were to be graded."""
    commitment: Sha256 | None = None
    """Digest of the commitment that was written before this execution; None for a rehearsal."""


class CasesAdded(CasesLine):
    """Cases that were added to the run's plan from here on."""

    kind = "widened"


class TrialLine(Line):
    """A line about a trial."""

    case: CaseName
    trial: Count
    at: Number


class TrialBegins(TrialLine):
    """The start of a trial, and what it runs: pool, task, image, agent."""

    kind = "trial"
    pool: Text
    """The pool's fingerprint."""
    task: Text | None = None
    """The task's fingerprint."""
    image: Text | None = None
    """Identity of the image of the trial's container."""
    agent: dict[str, Any] | None = None
    """The agent's settings, as part of the run's identity."""
    execution: dict[str, Any] | None = None
    """In a bank build: seed, repeat, and which candidate is assigned to which step."""
    imported: dict[str, Any] | None = None
    """In an imported run: the metadata of its file."""
    opening: list[Any] | None = None
    """In an imported run: the messages before the first call."""


class DecisionResult(_Fields):
    """A router's decision about a call: the candidate to call, or why there is none."""

    candidate: Text | None
    error: Text | None
    latency_ms: Number | None
    score: Number | Text | None = None
    """The router's score: how much the call needs a stronger model, from 0 to 1; text only in foreign journals."""
    rationale: Text | None = None
    """The reason for the decision, in the router's words."""
    router_error: Text | None = None
    """Why the router failed, if the fallback candidate answers instead."""


class DecisionLine(DecisionResult, TrialLine):
    """A router's decision about a call, as a journal line."""

    kind = "decision"
    step: Count
    prompt_tokens: dict[str, Any]
    """Tokens of the prompt by candidate, each under its own tokenizer."""


class AttemptLine(TrialLine):
    """A line about one HTTP request."""

    step: Count
    attempt: Count
    own: Count = 0
    """The number of the router's own LLM call within its decision, from 1; left out (0) for the agent's call."""


class Reserve(AttemptLine):
    """An attempt that is about to be sent, and the most that it may cost."""

    kind = "reserve"
    candidate: Text
    request_sha256: Sha256
    request_key: Sha256
    reserved_usd: Amount
    max_tokens: Count = 0
    """``max_tokens`` of a router's own LLM call; the agent's calls use their candidate's."""


class Settle(AttemptLine):
    """The result of an attempt."""

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
    """What went wrong, in words; None if the attempt succeeded."""
    served_by: Text | None = None
    """The host that answered, where a gateway names it."""
    simulated: StrictBool = False
    """Whether the response says that a simulated model gave it; left out if it does not."""
    reused: StrictBool = False
    """Whether the response comes from the response cache, so that nothing was sent or paid. Its cost still counts."""

    @property
    def body(self) -> bytes | None:
        """The raw response; None if there was none.

        Raises:
            JournalError: the packed response is damaged.
        """
        return None if self.response is None else payload(self.response)


class OwnFailed(TrialLine):
    """A router's own LLM call that got no answer."""

    kind = "own_failed"
    step: Count
    own: Count
    cause: CauseText
    detail: Text | None = None
    """The error message that the router got."""


class CommandLine(TrialLine):
    """A command of the agent that is about to run."""

    kind = "command"
    step: Count
    index: Whole
    command: Text


class Observation(TrialLine):
    """The result of a command."""

    kind = "observation"
    step: Count
    index: Whole
    output: Packed
    returncode: Whole
    exception_info: Text
    ended: Text = ""
    """How the command ended (``containers.shell.Ended``)."""
    seconds: Number | None = None
    """How long the command took."""
    reused: StrictBool = False
    """Whether the command was not run, because an earlier execution ran the same commands up to this one."""

    @property
    def text(self) -> str:
        """The command's output as text.

        Raises:
            JournalError: the packed output is damaged.
        """
        return payload(self.output).decode("utf-8", "replace")


class Conversation(TrialLine):
    """In an imported run: the messages from a step's answer up to the next call."""

    kind = "conversation"
    step: Count
    messages: list[Any]


class End(TrialLine):
    """How the agent ended."""

    kind = "end"
    exit_status: Text
    patch: Packed
    patch_sha256: Sha256
    cause: CauseText | None
    detail: Text | None = None
    """Why the agent was stopped, in words; None if it ended by itself."""

    @property
    def diff(self) -> str:
        """The patch as text, decoded with ``surrogateescape`` so that its bytes can be restored.

        Raises:
            JournalError: the packed patch is damaged.
        """
        return payload(self.patch).decode("utf-8", "surrogateescape")

    @property
    def is_final(self) -> bool:
        """Whether the agent has ended for good; a trial that infrastructure or the cap ended is resumed."""
        return self.cause is None or CAUSES[self.cause].outcome_class is OutcomeClass.unresolved


class VerdictLine(TrialLine):
    """The verdict of the tests on the patch."""

    kind = "verdict"
    resolved: StrictBool | None
    cause: CauseText | None
    fingerprint: Sha256 | None
    detail: Text | None = None
    """Why there is no verdict, in words; None if there is one."""


class TrialRestart(TrialLine):
    """A trial whose resumption diverged from its recording, so that it was started over."""

    kind = "lost"
    step: Whole
    what: Text | None = None
    """What differed from the recording."""


KINDS: Mapping[str, type[Line]] = {
    each.kind: each
    for each in (
        *(Merge, RunExecution, CasesAdded, TrialBegins, DecisionLine, Reserve, Settle, OwnFailed),
        *(CommandLine, Observation, Conversation, End, VerdictLine, TrialRestart),
    )
}
"""The model of each kind of line."""


LineKind = TypeVar("LineKind", bound=Line, covariant=True)


@dataclass(frozen=True, slots=True)
class NumberedLine(Generic[LineKind]):
    """A journal line with its number."""

    number: int
    line: LineKind


class LineError(ValueError):
    """A journal line does not fit its kind; the text names the field, and its value if it has one."""

    def __init__(self, field: str, *, missing: bool, value: Any = None) -> None:
        super().__init__(f"without {field}" if missing else f"whose {field} cannot be {shorten(repr(value), 60)}")


def read_line(kind: str, fields: Mapping[str, Any], *, unpack: bool = False) -> Line | None:
    """Read a line into its model; None if its kind is unknown.

    Args:
        kind: the kind of line.
        fields: the line's fields, as they are in the journal.
        unpack: check packed fields too, by unpacking them; this doubles the time.

    Raises:
        LineError: a field is missing or invalid.
    """
    model = KINDS.get(kind)
    if model is None:
        return None
    try:
        return model.model_validate(fields, context=True if unpack else None)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[0]
        field = str(details["loc"][0])
        missing = details["type"] == "missing" and len(details["loc"]) == 1
        raise LineError(field, missing=missing, value=fields.get(field)) from None
