"""Decode the JSON of a provider's response within bounds: later code never sees invalid or deeply nested JSON.

Duplicate keys are marked, because a usage that gives a count twice has no definite cost.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

MOST_DEPTH = 64
"""Largest nesting depth of a response (real ones have less than ten), so that recursive code that reads it is safe."""

_MOST_DIGITS = 400
"""Largest number of digits of an integer; token counts have up to nine."""


class RepeatedKeys(dict[str, Any]):
    """A JSON object that had duplicate keys; it contains the last value of each.

    ``repeated`` names the duplicate keys.
    """

    repeated: tuple[str, ...] = ()


def decode_response(body: bytes) -> Any:
    """Decode a response body.

    An object with a duplicate key becomes ``RepeatedKeys``; NaN and infinities are refused.

    Raises:
        ValueError: it is not UTF-8 JSON, is nested deeper than ``MOST_DEPTH``, or contains an absurdly large number.
    """
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_float=_decode_float,
            parse_int=_decode_int,
            object_pairs_hook=_decode_object,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _depth(value) > MOST_DEPTH:
        raise ValueError(f"it is nested more than {MOST_DEPTH} levels deep")
    return value


def _decode_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = RepeatedKeys(found)
    repeated.repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return repeated


def _depth(value: Any) -> int:
    """Return the nesting depth of a value, counted level by level, since recursion is what this has to prevent."""
    depth = 0
    level = [value]
    while True:
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return depth
        depth += 1
        level = [item for each in inner for item in (each.values() if isinstance(each, dict) else each)]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _decode_int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it contains an integer of {len(text):,} digits")
    return int(text)


def _decode_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("it contains a number that is too large")
    return number
