"""Numeric answers by schema: one operation, two, and several with percentages or units."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.small_models.templates import (
    EASY,
    GOODS,
    HARD,
    MIDDLE,
    NUMBER,
    Content,
    Drawn,
    Template,
    chat,
    draw_values,
    object_schema,
    pick,
    some,
    whole,
)

_WORKING = {"type": "string", "maxLength": 120}


@dataclass(frozen=True)
class Sum:
    """Questions of one kind."""

    name: str
    level: str
    question: str
    """With the names of what is drawn in braces."""
    draws: dict[str, Drawn]
    answer: Callable[..., float]
    """The number that answers it, given what was drawn."""


SUMS = (
    Sum("sum", EASY, "What is {a} + {b}?", {"a": whole(2, 9), "b": whole(2, 9)}, lambda a, b: a + b),
    Sum("tens", EASY, "What is {a} + {b}?", {"a": whole(20, 90, 10), "b": whole(2, 9)}, lambda a, b: a + b),
    Sum("take-away", EASY, "What is {a} - {b}?", {"a": whole(10, 20), "b": whole(1, 9)}, lambda a, b: a - b),
    Sum("product", EASY, "What is {a} * {b}?", {"a": whole(2, 9), "b": whole(2, 9)}, lambda a, b: a * b),
    Sum("half", EASY, "What is half of {a}?", {"a": whole(6, 80, 2)}, lambda a: a // 2),
    Sum("dozens", EASY, "How many eggs are {a} dozen eggs?", {"a": whole(2, 9)}, lambda a: 12 * a),
    Sum(
        "hours",
        MIDDLE,
        "How many minutes are {h} hours and {m} minutes?",
        {"h": whole(2, 9), "m": whole(5, 55)},
        lambda h, m: 60 * h + m,
    ),
    Sum(
        "shopping",
        MIDDLE,
        "A {what} costs {a} euros. What do {n} of them cost?",
        {"what": pick(*GOODS), "a": whole(5, 30), "n": whole(3, 9)},
        lambda a, n, **_: a * n,
    ),
    Sum(
        "change",
        MIDDLE,
        "I pay {n} tickets at {a} euros each with a 100 euro note. How many euros do I get back?",
        {"n": whole(2, 6), "a": whole(4, 15)},
        lambda n, a: 100 - n * a,
    ),
    Sum(
        "average",
        MIDDLE,
        "What is the average of {a}, {b} and 30?",
        {"a": whole(12, 30, 3), "b": whole(33, 60, 3)},
        lambda a, b: (a + b + 30) / 3,
    ),
    Sum(
        "percent",
        MIDDLE,
        "What is {p} percent of {a}?",
        {"p": whole(10, 90, 10), "a": whole(40, 600, 20)},
        lambda p, a: p * a / 100,
    ),
    Sum(
        "rectangle",
        MIDDLE,
        "A garden is {a} m long and {b} m wide. How many square metres is it?",
        {"a": whole(4, 20), "b": whole(3, 15)},
        lambda a, b: a * b,
    ),
    Sum(
        "largest",
        MIDDLE,
        "What is the largest of {n[0]}, {n[1]}, {n[2]} and {n[3]}?",
        {"n": some(range(100, 999), 4)},
        lambda n: max(n),
    ),
    Sum(
        "discount",
        HARD,
        "A {what} of {a} euros is {p} percent cheaper today. How many euros does it cost?",
        {"what": pick(*GOODS), "a": whole(40, 300, 20), "p": pick(10, 20, 25, 30)},
        lambda a, p, **_: a * (100 - p) / 100,
    ),
    Sum(
        "bus",
        HARD,
        "A bus has {a} people. {b} get off and {c} get on; at the next stop half of all get off. How many have got off "
        "in all, where the half is rounded down?",
        {"a": whole(20, 40), "b": whole(3, 9), "c": whole(2, 9)},
        lambda a, b, c: b + (a - b + c) // 2,
    ),
    Sum(
        "speed",
        HARD,
        "A train goes {v} km an hour. How many kilometres does it go in {m} minutes?",
        {"v": whole(60, 180, 20), "m": pick(15, 30, 45, 90)},
        lambda v, m: v * m / 60,
    ),
    Sum(
        "perimeter",
        HARD,
        "A rectangle is {a} m wide, and one and a half times as long as it is wide. How many metres is its perimeter?",
        {"a": whole(4, 40, 2)},
        lambda a: 5 * a,
    ),
    Sum(
        "mixed",
        HARD,
        "What is {a} * {b} - {c}?",
        {"a": whole(11, 40), "b": whole(3, 9), "c": whole(11, 99)},
        lambda a, b, c: a * b - c,
    ),
    Sum(
        "brackets",
        HARD,
        "What is ({a} - {b}) * ({c} + {d})?",
        {"a": whole(5, 30), "b": whole(1, 4), "c": whole(2, 9), "d": whole(2, 9)},
        lambda a, b, c, d: (a - b) * (c + d),
    ),
    Sum(
        "wages",
        HARD,
        "Somebody earns {w} euros an hour, and works {h} hours on each of {n} days. {t} percent of it are taxes. How "
        "many euros are left?",
        {"w": whole(12, 30), "h": whole(4, 8), "n": whole(3, 5), "t": pick(10, 20, 25)},
        lambda w, h, n, t: w * h * n * (100 - t) / 100,
    ),
)


def _content(asked: Sum, draw: random.Random) -> Content:
    values = draw_values(asked.draws, draw)
    answer = asked.answer(**values)
    worked = asked.level == HARD  # room to work it out helps the larger models most
    shown = '{"working": "3 * 4 = 12; 12 - 5 = 7", "answer": 7}' if worked else '{"answer": number}'
    properties = {**({"working": _WORKING} if worked else {}), "answer": NUMBER}
    working = {"working": "It is so."} if worked else {}
    return Content(
        chat(f"Work it out and answer with JSON such as {shown}.", asked.question.format(**values)),
        object_schema(properties),
        {"kind": "numeric", "field": "answer", "value": answer, "tolerance": 0.005},
        [json.dumps({**working, "answer": answer})],
        [json.dumps({**working, "answer": answer + 1})],
        max_tokens=100 if worked else 40,
    )


TEMPLATES = tuple(Template(f"number-{each.name}", "numbers", each.level, partial(_content, each), 4) for each in SUMS)
