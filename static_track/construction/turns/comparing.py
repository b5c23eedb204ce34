"""Whether a value of an answer is the expected one, and which JSON an answer holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.reading.strict_json import JsonError, parse_json

_TOLERANCE = 1e-9
"""Relative: what two ways to write one number may differ by."""
_FENCE = "```"


def equal_values(answered: Any, expected: Any) -> bool:
    """Whether two JSON values mean the same.

    Texts are equal up to case and white space, numbers as numbers; true is no 1, and a text is no number.
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
    """Whether a value is the expected one or another one that is as good."""
    return any(equal_values(answered, each) for each in (expected, *others))


def answered_json(text: str) -> Any:
    """The JSON that an answer consists of, alone or in a fenced block.

    Raises:
        ValueError: it is no JSON; the text says why.
    """
    try:
        return parse_json(text if text.lstrip().startswith(("{", "[")) else fenced(text) or text)
    except JsonError as error:
        raise ValueError(f"the answer is {error}") from None


def fenced(text: str) -> str | None:
    """The content of the first fenced block of a text, or of one that its end cuts off; None where there is none."""
    _, fence, rest = text.partition(_FENCE)
    if not fence:
        return None
    language, line_end, content = rest.partition("\n")
    block = content if line_end and " " not in language.strip() else rest
    return block.partition(_FENCE)[0]


def shown_value(value: Any) -> str:
    """A value as reasons show it."""
    return json.dumps(value, ensure_ascii=False, default=str)[:200]


def _plain_text(text: str) -> str:
    return " ".join(text.split()).casefold()
