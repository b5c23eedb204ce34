"""The lines of ``executions.jsonl`` and of recordings: messages once each, hints, executions that refer to messages.

An execution's step says how many messages it has in common with the step before and which come after these, by number.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from static_track.banks.rows import compact_json
from static_track.construction.plan import Plan
from twinbench.reading.strict_json import parse_json
from twinbench.reading.validation import field_path, worded
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
        """The same as the core's value type."""
        return Usage(self.input, self.cache_read, self.cache_write, self.output, self.cache_write_1h)


class StepLine(_Line):
    """One call of an execution."""

    kept: _Natural
    """How many messages its conversation begins with that the step before had there too."""
    added: tuple[_Natural, ...]
    """The numbers of the values that follow."""
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
    """What a proposer said of a seed."""

    kind: Literal["hints"] = "hints"
    task: _Name
    hints: tuple[str, ...]
    cost_usd: _Usd = Decimal(0)
    """What the proposer paid for them."""


class ExecutionLine(_Line):
    """A whole execution."""

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
    """What a reviewer says of a label."""

    tight = "tight"
    """No lower tier would do."""
    further_downgradeable = "further_downgradeable"
    """The next lower tier would do: the label goes down one tier."""
    uncertain = "uncertain"
    """Nobody can tell: the bank is not published."""


class ReviewLine(_Line):
    """A verdict on the label of a row."""

    kind: Literal["review"] = "review"
    row: _Name
    label: _Name
    """That the reviewer saw; a verdict says nothing of another one."""
    verdict: Verdict


class HeaderLine(_Line):
    """The first line of recordings: what they are of."""

    kind: Literal["recordings"] = "recordings"
    version: Literal[1] = 1
    plan: Plan
    """That of the build."""
    spent_usd: _Usd
    """What was paid, also for what came to no verdict."""


AnyLine = ValueLine | HintsLine | ExecutionLine | ReviewLine | HeaderLine
_LINES: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])


def parse_line(data: bytes) -> AnyLine:
    """A line.

    Raises:
        ValueError: it is none; says what is wrong with it.
    """
    try:
        return _LINES.validate_python(parse_json(data.decode()))
    except ValidationError as error:
        details = error.errors()[0]
        place = field_path([part for part in details["loc"] if part not in _KINDS])
        raise ValueError(f"field {place}: {worded(details)}" if place else worded(details)) from None


_KINDS = ("value", "hints", "execution", "review", "recordings")
"""By which pydantic begins the place of a finding."""


def dumped(line: HintsLine | ExecutionLine | ReviewLine | HeaderLine) -> bytes:
    """A line as it is written."""
    return (compact_json(line.model_dump(mode="json", exclude_none=True)) + "\n").encode()


def steps_as_lines(
    conversations: Sequence[Sequence[int]], others: Sequence[tuple[int | None, str, Usage, Decimal]]
) -> tuple[StepLine, ...]:
    """Steps as lines, each conversation as what it has beyond the one before.

    Args:
        conversations: the numbers of each step's messages.
        others: of each step its tools, candidate, usage and cost.
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
    """The numbers of each step's messages.

    Raises:
        ValueError: a step keeps more messages than the one before has.
    """
    found: list[list[int]] = []
    before: list[int] = []
    for number, step in enumerate(steps):
        if step.kept > len(before):
            raise ValueError(f"field steps[{number}].kept: {step.kept} messages, and the step before has {len(before)}")
        before = [*before[: step.kept], *step.added]
        found.append(before)
    return found
