"""Which column of a file says what of an outcome, and what its values mean.

Unknown is unknown: an empty verdict is no failure, and a cost that is empty or zero is no price.
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
"""By what a column says, the names by which it is found, the best first; capitals do not matter."""

_UNAMBIGUOUS_NAMES = {
    "model": 1,
    "task": 2,
    "resolved": 1,
    "cost_usd": 2,
    "workload": 2,
    "trial": 1,
    "steps": 1,
}
"""How many of these names are taken without a word; of any other it is said what it is taken for."""

REQUIRED_FIELDS = ("model", "task", "resolved")

UNKNOWN_VERDICT = -1
"""A verdict that is not known."""

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
"""What a value says of a verdict; texts in small letters."""


def parse_columns(given: Sequence[str]) -> dict[str, str]:
    """Columns that a person named as ``FIELD=NAME``.

    Raises:
        UsageError: no such field, or one stands twice.
    """
    found: dict[str, str] = {}
    for each in given:
        field, equals, name = each.partition("=")
        if not equals or field not in COLUMN_NAMES or not name:
            raise UsageError(f"--column {each!r}: FIELD=NAME, where FIELD is one of {', '.join(COLUMN_NAMES)}")
        if field in found:
            raise UsageError(f"--column names {field} twice: {found[field]} and {name}")
        found[field] = name
    return found


def find_columns(
    names: Sequence[str], named: Mapping[str, str], constant_fields: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """The column of each field that there is, and what a person has to be told of guesses.

    Args:
        names: the columns of a file.
        given: by field, columns that a person named.
        said: fields that need no column, since a person said what they are for the whole file.

    Raises:
        UsageError: a named column is not there, or a needed one is not found.
    """
    found: dict[str, str] = {}
    notes = []
    lowered = {name.strip().lower(): name for name in reversed(names)}
    for field, known in COLUMN_NAMES.items():
        if field in named:
            if named[field] not in names:
                raise UsageError(
                    f"--column {field}={named[field]}: there is no such column; there are {_format_names(names)}"
                )
            found[field] = named[field]
        elif field not in constant_fields:
            place = next((place for place, each in enumerate(known) if each in lowered), None)
            if place is None:
                continue
            found[field] = lowered[known[place]]
            if place >= _UNAMBIGUOUS_NAMES[field] or found[field] != known[place]:
                notes.append(f"column {found[field]!r} is taken for {field}: if it is not, --column {field}=NAME")
    if missing := [field for field in REQUIRED_FIELDS if field not in found and field not in constant_fields]:
        what = " and ".join(missing)
        raise UsageError(
            f"no column says the {what}; there are {_format_names(names)}: name it with --column {missing[0]}=NAME"
            + (", or the model of the whole file with --model NAME" if "model" in missing else "")
        )
    return found, notes


def _format_names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def parse_verdict(value: Any) -> int:
    """1 for resolved, 0 for not resolved, ``UNKNOWN`` for an empty value.

    Raises:
        ValueError: it is no verdict.
    """
    try:
        return VERDICTS[value]
    except (KeyError, TypeError):
        if isinstance(value, str) and (plain := value.strip().lower()) in VERDICTS:
            return VERDICTS[plain]
    raise ValueError(f"must be true or false, 1 or 0, or empty where it is not known (found {format_value(value)})")


def parse_cost(value: Any) -> float:
    """A cost in USD; NaN where it is empty or zero, since it is then not known.

    Raises:
        ValueError: it is no cost.
    """
    try:
        number = float(value) if type(value) in (str, float) and value else _parse_number(value)
    except ValueError:
        number = _parse_number(value)
    if not 0 <= number <= MAX_COST_USD and not math.isnan(number):
        raise ValueError(f"must be USD from 0 to {MAX_COST_USD:,.0f}, or empty (found {format_value(value)})")
    return number or math.nan


def parse_steps(value: Any) -> float:
    """A number of steps; NaN where it is empty.

    Raises:
        ValueError: it is none.
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
    raise ValueError(f"must be a number, or empty where it is not known (found {format_value(value)})")
