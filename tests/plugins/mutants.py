"""Mutants of what a router's process answers: some are odd in their values, some in their text, some in their bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from tests.plugins.hostile.frames import NUMBER

_MARK = f"<{NUMBER}>"
_KEYS = (
    *("number", "hooks", "error", "usage", "candidate", "score", "rationale", "route_ms", "mutated", "accesses"),
    *("ask", "messages", "max_tokens", "temperature", "do", "", "\ud800"),
)

ANSWERS: dict[str, list[dict[str, Any]]] = {
    "load": [{"hooks": []}, {"hooks": ["start", "observe", "end"]}, {"error": "no model", "usage": False}],
    "hook": [{}, {"error": "never heard of it"}],
    "route": [
        {"candidate": "low", "score": 0.5, "rationale": "why", "route_ms": 0.25},
        {
            "candidate": "high",
            "score": None,
            "rationale": None,
            "route_ms": 1.0,
            "mutated": False,
            "accesses": ["open x"],
        },
        {"error": "no idea", "route_ms": 0.1},
        {
            "ask": {
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
                "candidate": None,
                "max_tokens": 5,
                "temperature": 0.0,
            }
        },
    ],
}
"""What may honestly be answered, without its number."""


def mutant(draw: random.Random, answer: Mapping[str, Any]) -> bytes:
    """The content of a frame that is no answer any more, or an odd one, or even still a good one.

    ``NUMBER`` stands in it for the number of the request.
    """
    content: dict[str, Any] = {"number": _MARK, **json.loads(json.dumps(answer))}
    objects = _objects(content)
    for _ in range(draw.randrange(1, 4)):
        _change(draw, draw.choice(objects))
    text = json.dumps(content).replace(f'"{_MARK}"', NUMBER)
    if draw.random() < 0.25:
        text = _odd_text(draw, text)
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    if draw.random() < 0.2 and body:
        for _ in range(draw.randrange(1, 4)):
            body[draw.randrange(len(body))] = draw.randrange(256)
    return bytes(body)


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for each in value for found in _objects(each)]
    return [value, *(found for each in value.values() for found in _objects(each))] if isinstance(value, dict) else []


def _odd_text(draw: random.Random, text: str) -> str:
    return draw.choice(
        [
            f"{text[:-1]}, {text[1:]}",
            text + text,
            text[: draw.randrange(len(text))],
            "[" * draw.randrange(1, 2000) + text,
            text.replace(":", draw.choice(["", "::", ": NaN,", ": -Infinity, "]), 1),
            text.replace('"', "", 1),
            json.dumps([text]),
        ]
    )


def _change(draw: random.Random, content: dict[str, Any]) -> None:
    key = draw.choice([*content, draw.choice(_KEYS)])
    if draw.random() < 0.2:
        content.pop(key, None)
    else:
        content[key] = _odd_value(draw)


def _odd_value(draw: random.Random, depth: int = 0) -> Any:
    if depth > 3 or draw.random() < 0.7:
        return draw.choice(
            [
                *(None, True, False, 0, -1, 1, 2**63, 10**400, -(10**400), 0.5, 1.0, -0.0, 1e308, 5e-324),
                *(float("nan"), float("inf"), -float("inf"), "", "low", "mid", "start", "\ud800", "\udfff\0"),
                *("é" * 50, "x" * 200_000, "1", _MARK, [], {}),
            ]
        )
    if draw.random() < 0.1:
        deep: Any = []
        for _ in range(700):
            deep = [deep] if draw.random() < 0.5 else {"a": deep}
        return deep
    inner = [_odd_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return inner if draw.random() < 0.5 else {draw.choice(_KEYS): each for each in inner}
