"""The JSON of a provider's response, decoded within bounds: what is deeper or no JSON is nothing that later code sees.

Duplicate keys are kept visible, because a usage that tells a count twice has no one cost.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

MOST_DEPTH = 64
"""Objects and lists within each other; real responses have fewer than ten. What walks them recursively is safe."""

_MOST_DIGITS = 400
"""Of one integer; token counts have nine."""


class RepeatedKeys(dict[str, Any]):
    """A JSON object in which keys stood twice; it holds the last value of each.

    ``repeated`` names those keys.
    """

    repeated: tuple[str, ...] = ()


def decode_response(body: bytes) -> Any:
    """Decode a response body.

    An object in which a key stands twice becomes ``RepeatedKeys``; NaN and infinities are no JSON.

    Raises:
        ValueError: it is no JSON in UTF-8, is nested deeper than ``MOST_DEPTH``, or holds a number beyond all use.
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
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    return value


def _decode_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = RepeatedKeys(found)
    repeated.repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return repeated


def _depth(value: Any) -> int:
    """How deep objects and lists stand within each other, counted level by level: recursion is what this prevents."""
    depth = 0
    level = [value]
    while True:
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return depth
        depth += 1
        level = [item for each in inner for item in (each.values() if isinstance(each, dict) else each)]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _decode_int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _decode_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number that is too large")
    return number
