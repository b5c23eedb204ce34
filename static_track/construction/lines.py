"""The lines of ``executions.jsonl`` and of recordings: distinct messages, hints, and executions that refer to messages.

A step stores how many messages it shares with the previous step, and the numbers of the messages that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from static_track.banks.rows import compact_json
from static_track.construction.plan import BuildPlan
from twinbench.reading.strict_json import parse_json
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.routing.usage import Usage

_MOST = 10**12
_Natural = Annotated[int, Field(ge=0, le=_MOST)]
_Usd = Annotated[Decimal, Field(ge=0, le=10**9, allow_inf_nan=False)]
_Name = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UsageLine(_Line):
    """Tokens of one call."""

    input: _Natural = 0
    cache_read: _Natural = 0
    cache_write: _Natural = 0
    output: _Natural = 0
    cache_write_1h: _Natural = 0

    def usage(self) -> Usage:
        """Return the usage as ``routing.usage.Usage``."""
        return Usage(self.input, self.cache_read, self.cache_write, self.output, self.cache_write_1h)


class StepLine(_Line):
    """One call of an execution."""

    kept: _Natural
    """How many messages at the start it shares with the previous step."""
    added: tuple[_Natural, ...]
    """The numbers of the messages that follow."""
    functions: _Natural | None = None
    """The number of the value with the offered tools."""
    candidate: _Name
    usage: UsageLine
    cost_usd: _Usd


class ValueLine(_Line):
    """A message, or a list of tools; numbered by the order of these lines, from 0."""

    kind: Literal["value"] = "value"
    value: dict[str, Any] | list[Any]


class HintsLine(_Line):
    """A proposer's hints for a seed."""

    kind: Literal["hints"] = "hints"
    task: _Name
    hints: tuple[str, ...]
    cost_usd: _Usd = Decimal(0)
    """What the proposer paid for them."""


class ExecutionLine(_Line):
    """A completed execution."""

    kind: Literal["execution"] = "execution"
    task: _Name
    first: tuple[_Name, ...]
    rest: _Name
    repeat: _Natural
    passed: bool
    steps: tuple[StepLine, ...]
    detail: str | None = None
    spend_usd: _Usd
    paid_calls: _Natural


class Verdict(StrEnum):
    """A reviewer's verdict on a label."""

    tight = "tight"
    """No lower tier is sufficient."""
    further_downgradeable = "further_downgradeable"
    """The next lower tier is sufficient: the label is lowered by one tier."""
    uncertain = "uncertain"
    """The reviewer cannot tell: this blocks publishing the bank."""


class ReviewLine(_Line):
    """A verdict on the label of a row."""

    kind: Literal["review"] = "review"
    row: _Name
    label: _Name
    """The label that the reviewer saw; the verdict applies to this label only."""
    verdict: Verdict


class HeaderLine(_Line):
    """The first line of recordings, with the plan of their build."""

    kind: Literal["recordings"] = "recordings"
    version: Literal[1] = 1
    plan: BuildPlan
    """The build's plan."""
    spent_usd: _Usd
    """What was paid in total, including executions without a verdict."""


AnyLine = ValueLine | HintsLine | ExecutionLine | ReviewLine | HeaderLine
_LINES: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])


def parse_line(data: bytes) -> AnyLine:
    """Parse a line.

    Raises:
        ValueError: the line is invalid; the text says why.
    """
    try:
        return _LINES.validate_python(parse_json(data.decode()))
    except ValidationError as error:
        details = error.errors()[0]
        place = field_path([part for part in details["loc"] if part not in _KINDS])
        raise ValueError(
            f"field {place}: {describe_validation_error(details)}" if place else describe_validation_error(details)
        ) from None


_KINDS = ("value", "hints", "execution", "review", "recordings")
"""Discriminator values, which pydantic puts first in an error's location."""


def encode_line(line: HintsLine | ExecutionLine | ReviewLine | HeaderLine) -> bytes:
    """Encode a line as it is written."""
    return (compact_json(line.model_dump(mode="json", exclude_none=True)) + "\n").encode()


def steps_to_lines(
    conversations: Sequence[Sequence[int]], others: Sequence[tuple[int | None, str, Usage, Decimal]]
) -> tuple[StepLine, ...]:
    """Convert steps to lines, each conversation stored as its difference to the previous one.

    Args:
        conversations: the numbers of each step's messages.
        others: tools, candidate, usage and cost of each step.
    """
    lines: list[StepLine] = []
    before: Sequence[int] = ()
    for numbers, (functions, candidate, usage, cost) in zip(conversations, others, strict=True):
        kept = 0
        while kept < min(len(before), len(numbers)) and before[kept] == numbers[kept]:
            kept += 1
        lines.append(
            StepLine(
                kept=kept,
                added=tuple(numbers[kept:]),
                functions=functions,
                candidate=candidate,
                usage=UsageLine(**usage.to_json()),
                cost_usd=cost,
            )
        )
        before = numbers
    return tuple(lines)


def conversations_of(steps: Sequence[StepLine]) -> list[list[int]]:
    """Return the numbers of each step's messages.

    Raises:
        ValueError: a step shares more messages than the previous step has.
    """
    found: list[list[int]] = []
    before: list[int] = []
    for number, step in enumerate(steps):
        if step.kept > len(before):
            raise ValueError(f"field steps[{number}].kept: {step.kept} messages, but the step before has {len(before)}")
        before = [*before[: step.kept], *step.added]
        found.append(before)
    return found
