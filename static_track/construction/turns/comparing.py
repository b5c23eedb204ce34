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


def equal_values(answered: Any, expected: Any) -> bool:
    """Return whether two JSON values mean the same.

    Strings are compared ignoring case and white space, numbers by value; true is not 1, and a string is never a number.
    """
    if isinstance(expected, bool) or isinstance(answered, bool) or expected is None or answered is None:
        return answered is expected
    if isinstance(expected, str):
        return isinstance(answered, str) and _plain_text(answered) == _plain_text(expected)
    if isinstance(expected, int | float):
        return isinstance(answered, int | float) and math.isclose(answered, expected, rel_tol=_TOLERANCE)
    if isinstance(expected, Mapping):
        return (
            isinstance(answered, Mapping)
            and answered.keys() == expected.keys()
            and all(equal_values(answered[key], value) for key, value in expected.items())
        )
    return (
        isinstance(answered, Sequence)
        and not isinstance(answered, str)
        and len(answered) == len(expected)
        and all(equal_values(each, value) for each, value in zip(answered, expected, strict=True))
    )


def is_accepted(answered: Any, expected: Any, others: Sequence[Any] = ()) -> bool:
    """Return whether a value equals the expected one or another accepted one."""
    return any(equal_values(answered, each) for each in (expected, *others))


def answered_json(text: str) -> Any:
    """Parse an answer that is JSON, alone or in a fenced block.

    Raises:
        ValueError: it is not JSON; the text says why.
    """
    try:
        return parse_json(text if text.lstrip().startswith(("{", "[")) else fenced(text) or text)
    except JsonError as error:
        raise ValueError(f"the answer is {error}") from None


def fenced(text: str) -> str | None:
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
