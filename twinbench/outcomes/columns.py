"""Find the columns of a file of outcomes, and parse their values.

Missing values stay unknown: an empty verdict does not count as a failure, and an empty or zero cost is not a price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.errors import UsageError
from twinbench.reading.validation import format_value

COLUMN_NAMES = {
    "model": ("model", "model_name", "llm", "router"),
    "task": ("instance_id", "task", "task_id", "instance", "case"),
    "resolved": ("resolved", "success", "solved", "passed", "correct"),
    "cost_usd": ("cost_usd", "cost", "total_cost", "instance_cost", "total_cost_usd"),
    "workload": ("benchmark", "workload", "dataset"),
    "trial": ("trial", "seed", "run", "attempt"),
    "steps": ("steps", "api_calls", "num_steps", "n_steps", "calls"),
}
"""For each field, the column names by which it is found, the preferred one first; case is ignored."""

_UNAMBIGUOUS_NAMES = {
    "model": 1,
    "task": 2,
    "resolved": 1,
    "cost_usd": 2,
    "workload": 2,
    "trial": 1,
    "steps": 1,
}
"""For each field, how many of the first names are unambiguous; the use of another name is reported in a note."""

REQUIRED_FIELDS = ("model", "task", "resolved")

UNKNOWN_VERDICT = -1
"""The code of an unknown verdict."""

MAX_COST_USD = 1e6
MAX_STEPS = 10**9

VERDICTS: dict[Any, int] = {
    None: UNKNOWN_VERDICT,
    "": UNKNOWN_VERDICT,
    True: 1,
    False: 0,
    **dict.fromkeys(("1", "1.0", "true", "yes", "resolved"), 1),
    **dict.fromkeys(("0", "0.0", "false", "no", "unresolved"), 0),
    **dict.fromkeys(("null", "none", "nan"), UNKNOWN_VERDICT),
}
"""The verdict that each accepted value means; strings in lower case."""


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Parse the values of ``--column``, each of the form ``FIELD=NAME``.

    Raises:
        UsageError: a value has another form, or a field is unknown or named twice.
    """
    found: dict[str, str] = {}
    for each in given:
        field, equals, name = each.partition("=")
        if not equals or field not in COLUMN_NAMES or not name:
            raise UsageError(f"--column {each!r}: must be FIELD=NAME, where FIELD is one of {', '.join(COLUMN_NAMES)}")
        if field in found:
            raise UsageError(f"--column names {field} twice: {found[field]} and {name}")
        found[field] = name
    return found


def find_columns(
    names: Sequence[str], named: Mapping[str, str], constant_fields: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Find the column of each field.

    Args:
        names: the columns of a file.
        named: by field, the columns that the user named.
        constant_fields: fields that need no column, since the user gave one value for the whole file.

    Returns:
        The column of each field that was found, and notes for the user on columns that were guessed.

    Raises:
        UsageError: a named column does not exist, or a required field has no column.
    """
    found: dict[str, str] = {}
    notes = []
    lowered = {name.strip().lower(): name for name in reversed(names)}
    for field, known in COLUMN_NAMES.items():
        if field in named:
            if named[field] not in names:
                raise UsageError(
                    f"--column {field}={named[field]}: there is no such column (columns: {_format_names(names)})"
                )
            found[field] = named[field]
        elif field not in constant_fields:
            place = next((place for place, each in enumerate(known) if each in lowered), None)
            if place is None:
                continue
            found[field] = lowered[known[place]]
            if place >= _UNAMBIGUOUS_NAMES[field] or found[field] != known[place]:
                notes.append(f"column {found[field]!r} is read as {field}; if that is wrong, use --column {field}=NAME")
    if missing := [field for field in REQUIRED_FIELDS if field not in found and field not in constant_fields]:
        what = " and ".join(missing)
        raise UsageError(
            f"no column for {what} (columns: {_format_names(names)}): name it with --column {missing[0]}=NAME"
            + (", or name the model of the whole file with --model NAME" if "model" in missing else "")
        )
    return found, notes


def _format_names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def parse_verdict(value: Any) -> int:
    """Parse a verdict: 1 for resolved, 0 for unresolved, ``UNKNOWN_VERDICT`` for an empty value.

    Raises:
        ValueError: the value is not a verdict.
    """
    try:
        return VERDICTS[value]
    except (KeyError, TypeError):
        if isinstance(value, str) and (plain := value.strip().lower()) in VERDICTS:
            return VERDICTS[plain]
    raise ValueError(f"must be true or false, 1 or 0, or empty if it is unknown (found {format_value(value)})")


def parse_cost(value: Any) -> float:
    """Parse a cost in USD; NaN if it is empty or zero, which means that it is unknown.

    Raises:
        ValueError: the value is not a cost.
    """
    try:
        number = float(value) if type(value) in (str, float) and value else _parse_number(value)
    except ValueError:
        number = _parse_number(value)
    if not 0 <= number <= MAX_COST_USD and not math.isnan(number):
        raise ValueError(f"must be USD from 0 to {MAX_COST_USD:,.0f}, or empty (found {format_value(value)})")
    return number or math.nan


def parse_steps(value: Any) -> float:
    """Parse a number of steps; NaN if it is empty.

    Raises:
        ValueError: the value is not a number of steps.
    """
    number = _parse_number(value)
    if number < 0 or number > MAX_STEPS:
        raise ValueError(f"must be a number of steps, or empty (found {format_value(value)})")
    return number


def _parse_number(value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan", "none", "null")):
        return math.nan
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"must be a number, or empty if it is unknown (found {format_value(value)})")
