"""Compare values of answers with expected ones, and extract JSON from answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.reading.strict_json import JsonError, parse_json

_TOLERANCE = 1e-9
"""Relative tolerance between numbers, for different ways to write the same number."""
_FENCE = "```"


def values_match(actual: Any, expected: Any) -> bool:
    """Return whether two JSON values are equivalent.

    Strings are compared ignoring case and white space, numbers by value; true is not 1, and a string is never a number.
    """
    if isinstance(expected, bool) or isinstance(actual, bool) or expected is None or actual is None:
        return actual is expected
    if isinstance(expected, str):
        return isinstance(actual, str) and _plain_text(actual) == _plain_text(expected)
    if isinstance(expected, int | float):
        return isinstance(actual, int | float) and math.isclose(actual, expected, rel_tol=_TOLERANCE)
    if isinstance(expected, Mapping):
        return (
            isinstance(actual, Mapping)
            and actual.keys() == expected.keys()
            and all(values_match(actual[key], value) for key, value in expected.items())
        )
    return (
        isinstance(actual, Sequence)
        and not isinstance(actual, str)
        and len(actual) == len(expected)
        and all(values_match(each, value) for each, value in zip(actual, expected, strict=True))
    )


def is_accepted(answered: Any, expected: Any, others: Sequence[Any] = ()) -> bool:
    """Return whether a value matches the expected one or another accepted one."""
    return any(values_match(answered, each) for each in (expected, *others))


def parse_answer_json(text: str) -> Any:
    """Parse an answer that is JSON, alone or in a fenced block.

    Raises:
        ValueError: it is not JSON; the text says why.
    """
    try:
        return parse_json(text if text.lstrip().startswith(("{", "[")) else first_fenced_block(text) or text)
    except JsonError as error:
        raise ValueError(f"the answer is {error}") from None


def first_fenced_block(text: str) -> str | None:
    """Return the content of a text's first fenced block, even if it is not closed; None if there is none."""
    _, fence, rest = text.partition(_FENCE)
    if not fence:
        return None
    language, line_end, content = rest.partition("\n")
    block = content if line_end and " " not in language.strip() else rest
    return block.partition(_FENCE)[0]


def shown_value(value: Any) -> str:
    """Return a value as JSON, shortened, for messages."""
    return json.dumps(value, ensure_ascii=False, default=str)[:200]


def _plain_text(text: str) -> str:
    return " ".join(text.split()).casefold()
