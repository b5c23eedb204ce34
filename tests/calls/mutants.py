"""Responses of providers, damaged in every way that a seed finds: what fuzzers are fed with."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

_SPLICED: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    5,
    3.5,
    10**20,
    "",
    "x",
    "ls",
    "\ud800",
    "\x00",
    "error",
    [],
    ["ls"],
    {},
    {"value": "x"},
    {"text": "x"},
    [{"type": "text", "text": 5}],
    [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "x"}],
    {"message": {"content": "x"}},
    {"code": 429, "message": "slow down"},
    {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
)
_DEEP = {
    "@one": b'[["x"]]',
    "@many": b'{"x": ' * 70 + b"1" + b"}" * 70,
    "@too many": b"[" * 900 + b"]" * 900,
    "@endless": b"9" * 5000,
    "@huge": b"1" + b"0" * 400,
    "@nan": b"NaN",
}
"""What stands for values that ``json.dumps`` does not write."""
_KEYS = (
    *("error", "detail", "message", "choices", "usage", "content", "tool_calls", "function", "arguments", "name", "id"),
    *(
        "text",
        "type",
        "role",
        "reasoning_content",
        "finish_reason",
        "model",
        "code",
        "cached_tokens",
        "refusal",
        "base_resp",
    ),
)


def damaged(value: Any, dice: random.Random) -> bytes:
    """A value as JSON with one to three things changed, or its bytes damaged."""
    changed = copy.deepcopy(value)
    for _ in range(dice.randint(1, 3)):
        changed = _changed(changed, dice)
    body = json.dumps(changed).encode()
    for name, deep in _DEEP.items():
        body = body.replace(json.dumps(name).encode(), deep)
    how = dice.randrange(12)
    if how == 0:
        return body[: dice.randrange(len(body) + 1)]
    if how == 1:
        place = dice.randrange(len(body) + 1)
        return body[:place] + bytes([dice.randrange(256)]) + body[place + 1 :]
    if how == 2:
        return _with_a_key_twice(body, dice)
    return body


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value, as container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _nodes(item)


def _changed(value: Any, dice: random.Random) -> Any:
    places = list(_nodes(value))
    if not places:
        return dice.choice(_SPLICED)
    container, key = dice.choice(places)
    how = dice.randrange(6)
    if how == 0:
        del container[key]
    elif how == 1:
        container[key] = dice.choice(list(_DEEP))
    elif how == 2 and isinstance(container, dict):
        container[dice.choice(_KEYS)] = copy.deepcopy(dice.choice(_SPLICED))
    elif how == 3 and isinstance(container, list):
        container[key:key] = [copy.deepcopy(container[key])] * dice.choice([1, 3, 100, 3, 100, 3, 3, 1100])
    else:
        container[key] = copy.deepcopy(dice.choice(_SPLICED))
    return value


def _with_a_key_twice(body: bytes, dice: random.Random) -> bytes:
    places = [place for place, char in enumerate(body) if char == ord("{")]
    if not places:
        return body
    place = dice.choice(places)
    return body[: place + 1] + b'"' + dice.choice(_KEYS).encode() + b'": 7, ' + body[place + 1 :]
