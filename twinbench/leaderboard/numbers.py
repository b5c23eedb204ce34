"""The ranges within which the numbers of a result have to be, whoever wrote them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, TypeGuard

from pydantic import JsonValue

from twinbench.submissions.report import VerifiedResult

MOST_USD = 10**9
"""Largest amount of money of a result, in USD."""
MOST_COUNT = 10**12
MOST_NUMBER = 2**64
"""Largest number anywhere in a result; seeds have 64 bits."""

_LEAST_PERCENT = -10_000
"""Smallest CostSave: a router that fails everywhere costs more than always picking the dearest tier."""
_ROUNDING = 1e-6

_Range = tuple[float, float]
_PERCENT: _Range = (0, 100)
_SAVED: _Range = (_LEAST_PERCENT, 100)
_USD: _Range = (0, MOST_USD)
_COUNT: _Range = (0, MOST_COUNT)

_STATIC_SCORES: Mapping[str, _Range] = {
    "row_pass": _PERCENT,
    "row_exact": _PERCENT,
    "traj_pass": _PERCENT,
    "cost_save": _SAVED,
    "combined": _SAVED,
}
_STATIC: Mapping[str, _Range] = {"cost_usd": _USD, "above_best_constant": (_LEAST_PERCENT - 100, 100 - _LEAST_PERCENT)}
_LIVE: Mapping[str, _Range] = {
    "bill_usd": _USD,
    "cost_usd": _USD,
    "give_up_usd": _USD,
    "resolved": _COUNT,
    "unresolved": _COUNT,
    "infra": _COUNT,
    "cap": _COUNT,
    "avg_steps": _COUNT,
}


def number_problem(result: VerifiedResult) -> str | None:
    """Return the first number of a result that cannot be, with its field and what it may be; None if there is none."""
    return next(_problems(result), None)


def _problems(result: VerifiedResult) -> Iterator[str]:
    scores = [("score", result.score), *((f"references[{n}]", each) for n, each in enumerate(result.references))]
    for name, part in (("setting", result.setting), *scores):
        yield from _unbounded(name, dict(part))
    for name, part in scores:
        yield from _out_of_range(name, part, result.kind)


def _unbounded(field: str, value: JsonValue) -> Iterator[str]:
    """Find numbers that are too large for anything, and for what calculates with them."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _unbounded(f"{field}.{name}", each)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _unbounded(f"{field}[{number}]", each)
    elif _is_number(value) and not -MOST_NUMBER <= value <= MOST_NUMBER:  # so it is for NaN
        yield f"{field} is a number beyond ±2^64"


def _out_of_range(field: str, score: Mapping[str, JsonValue], kind: Literal["static", "live"]) -> Iterator[str]:
    inner = score.get("scores")
    scores = inner if isinstance(inner, dict) else {}
    placed = (
        [(f"{field}.scores", scores, _STATIC_SCORES), (field, score, _STATIC)]
        if kind == "static"
        else [(field, score, _LIVE)]
    )
    for place, values, ranges in placed:
        for name, (least, most) in ranges.items():
            value = values.get(name)
            if _is_number(value) and not least - _ROUNDING <= value <= most + _ROUNDING:
                yield f"{place}.{name} is {_shown(value)}, and has to be from {least:,} to {most:,}"
    intervals = score.get("intervals")
    for name, (least, most) in (_STATIC_SCORES if kind == "static" else _LIVE).items():
        ends = intervals.get(name) if isinstance(intervals, dict) else None
        if ends is None:
            continue
        numbers = [each for each in ends if _is_number(each)] if isinstance(ends, list) else []
        if not isinstance(ends, list) or len(ends) != 2 or len(numbers) != 2:
            yield f"{field}.intervals.{name} is not two numbers"
        elif not least - _ROUNDING <= numbers[0] <= numbers[1] <= most + _ROUNDING:
            what = f"is from {_shown(numbers[0])} to {_shown(numbers[1])}"
            yield f"{field}.intervals.{name} {what}, and has to be from low to high within {least:,} to {most:,}"


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else str(value)
