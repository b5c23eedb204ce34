"""The bank row: its validation and its canonical JSON form.

Source: static.md, "Bank row". A row is validated by these models and otherwise stored unchanged, so that an export
reproduces the imported rows.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from twinbench.reading.validation import describe_validation_error, field_path, find_unstorable, json_type_name
from twinbench.routing.tiers import Tier
from twinbench.text.messages import find_message_problems

ROW_FIELDS = (
    "id",
    "benchmark",
    "instance_id",
    "step_index",
    "total_steps",
    "messages",
    "functions",
    "target_tier",
    "target_tier_id",
)
"""Fields that the protocol defines, in the order of an export; all other fields follow sorted by name."""

# The largest DuckDB INTEGER, far beyond any real step.
_LARGEST_STEP = 2**31 - 1
_MOST_MESSAGE_PROBLEMS = 20  # reported per row
MOST_CAVEAT_CHARACTERS = 500
_FEWEST_TASKS = 10
_MOST_FIELDS_SHOWN = 8


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty: leave the field out instead")
    return text


def _not_empty(messages: list[Any]) -> list[Any]:
    if not messages:
        raise ValueError("must contain at least one message")
    return messages


def _all_objects(functions: list[Any]) -> list[Any]:
    for number, function in enumerate(functions):
        if not isinstance(function, dict):
            raise ValueError(f"function {number} must be an object, not {json_type_name(function)}")
    return functions


class RowModel(BaseModel):
    """A row of a bank, labelled or not."""

    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)

    id: Annotated[str, Field(min_length=1)]
    benchmark: Annotated[str, Field(min_length=1)]
    instance_id: Annotated[str, Field(min_length=1)]
    step_index: Annotated[int, Field(ge=1, le=_LARGEST_STEP)]
    total_steps: Annotated[int, Field(ge=1, le=_LARGEST_STEP)]
    messages: Annotated[list[Any], AfterValidator(_not_empty)]
    """The prompt's messages; each is checked by ``find_message_problems``."""
    functions: Annotated[list[Any], AfterValidator(_all_objects)] | None = None
    group: Annotated[str, AfterValidator(_not_blank)] = ""
    """A name shared by trajectories that are not independent, such as draws of one task or near-duplicates."""
    caveat: Annotated[str, AfterValidator(_not_blank), Field(max_length=MOST_CAVEAT_CHARACTERS)] = ""
    """A caveat that must accompany numbers of the bank."""
    ranks_nothing: bool = False
    """Whether results on the bank rank nothing: routers have scores on it, and no ranks."""


class LabelledRowModel(RowModel):
    """A row of a labelled bank."""

    target_tier: Literal["low", "mid", "mid_high", "high"]
    target_tier_id: Annotated[int, Field(ge=0, le=3)]

    @model_validator(mode="after")
    def _labels_agree(self) -> Self:
        tier = Tier.from_label(self.target_tier)
        if tier != self.target_tier_id:
            raise ValueError(
                f"target_tier {self.target_tier!r} is tier {int(tier)}, but target_tier_id says {self.target_tier_id}"
            )
        return self


_PLACES = ("id", "benchmark", "instance_id", "step_index", "total_steps")
"""The fields that identify a row's call and trajectory."""


def foreign_row(row: Any) -> str | None:
    """Return what is wrong with a file's first row if it cannot be meant as a row of a bank; None if it may be one."""
    if not isinstance(row, dict) or any(field in row for field in _PLACES):
        return None
    fields = ", ".join(map(repr, [*row][:_MOST_FIELDS_SHOWN])) or "no field"
    found = f"it is not a row of a bank: it has {fields}, and none of {', '.join(_PLACES)}"
    if "trajectory_format" in row or {"messages", "info"} <= row.keys():
        return f"{found}. It looks like a trajectory of mini-swe-agent: add --format mini-swe-agent"
    if row.keys() & {"messages", "request", "response", "model"}:
        return (
            f"{found}. It looks like a log of requests, in which nothing says which of them belong to one trajectory: "
            "write a row for each request, as docs/banks.md shows under 'From a log of requests'"
        )
    return f"{found}; docs/banks.md has the fields of a row"


def row_problems(row: Any) -> list[tuple[str | None, str]]:
    """Return the problems of a row as (field, message); empty for a valid row."""
    if not isinstance(row, dict):
        return [(None, f"a row must be a JSON object, not {json_type_name(row)}")]
    if (found := find_unstorable(row)) is not None:
        return [found]
    problems: list[tuple[str | None, str]] = []
    try:
        (LabelledRowModel if has_label(row) else RowModel).model_validate(row)
    except ValidationError as error:
        # An error without a location comes from the only rule for whole rows: _labels_agree.
        problems += [
            (field_path(details["loc"]) or "target_tier_id", describe_validation_error(details))
            for details in error.errors()
        ]
    return [*problems, *islice(_message_problems(row.get("messages")), _MOST_MESSAGE_PROBLEMS)]


def _message_problems(messages: Any) -> Iterator[tuple[str, str]]:
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        yield from ((f"messages[{number}]{path}", what) for path, what in find_message_problems(message))


def has_label(row: Mapping[str, Any]) -> bool:
    """Return whether a row has a label or a part of one (``target_tier``, ``target_tier_id``)."""
    return "target_tier" in row or "target_tier_id" in row


def are_task_labels(labels: Iterable[tuple[Hashable, int | None]]) -> bool:
    """Return whether a bank's labels look like task labels that are repeated on every step.

    That is so if no trajectory has two different labels, at least ten trajectories have two or more rows, and not all
    of these have the same label.

    Args:
        labels: trajectory and label of each row; the label is None if the row has none.
    """
    by_trajectory: dict[Hashable, list[int | None]] = {}
    for trajectory, label in labels:
        by_trajectory.setdefault(trajectory, []).append(label)
    several = [found for found in by_trajectory.values() if len(found) > 1]
    if len(several) < _FEWEST_TASKS or any(len(set(found)) > 1 for found in several):
        return False
    return len({found[0] for found in several}) > 1


def compact_json(value: Any) -> str:
    """Return ``value`` as JSON in the form of a bank's canonical export."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_line(
    *,
    id: str,  # noqa: A002 - the field's name in the format
    benchmark: str,
    instance_id: str,
    step_index: int,
    total_steps: int,
    messages: Iterable[str],
    functions: str | None,
    target: int | None,
    extra: str,
) -> str:
    """Return a row's line of the canonical export, from parts that are compact JSON already.

    Args:
        id: the row's id.
        benchmark: the workload.
        instance_id: the trajectory's id within its workload.
        step_index: the step, from 1.
        total_steps: the number of steps of the whole trajectory.
        messages: each message as JSON.
        functions: the offered tools as JSON; None if the row has no such field.
        target: the label's tier id; None if the row has no label.
        extra: all further fields as one JSON object.
    """
    head = {
        "id": id,
        "benchmark": benchmark,
        "instance_id": instance_id,
        "step_index": step_index,
        "total_steps": total_steps,
    }
    parts = [compact_json(head)[1:-1], f'"messages":[{",".join(messages)}]']
    if functions is not None:
        parts.append(f'"functions":{functions}')
    if target is not None:
        parts.append(f'"target_tier":"{Tier(target).label}","target_tier_id":{target}')
    if extra != "{}":
        parts.append(extra[1:-1])
    return "{" + ",".join(parts) + "}"


def extra_json(row: Mapping[str, Any]) -> str:
    """Return the fields of a row that the protocol does not define, sorted by name, as one JSON object."""
    return compact_json({key: row[key] for key in sorted(row) if key not in ROW_FIELDS})
