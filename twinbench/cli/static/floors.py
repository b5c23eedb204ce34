"""The smallest values that metrics must have (``--fail-under``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from static_track.metrics import SCORES
from twinbench.errors import UsageError

if TYPE_CHECKING:
    from static_track.board import Board


@dataclass(frozen=True)
class Floor:
    """The smallest value that a metric must have."""

    metric: str
    least: float


def parse_floors(texts: Sequence[str]) -> list[Floor]:
    """Parse ``METRIC=X`` arguments of ``--fail-under``.

    Raises:
        UsageError: wrong form, or unknown metric.
    """
    found = []
    for text in texts:
        metric, equals, number = text.partition("=")
        try:
            least = float(number)
        except ValueError:
            equals = ""
            least = 0.0
        if not equals or metric not in SCORES or not isfinite(least):
            raise UsageError(f"--fail-under {text!r}: write METRIC=X; metrics are {', '.join(SCORES)}")
        found.append(Floor(metric, least))
    return found


def missed_floors(board: Board, floors: Sequence[Floor]) -> list[str]:
    """Return a sentence for each metric of a router that is below its floor; references do not count."""
    found = []
    for entry in board.entries:
        for floor in () if entry.reference else floors:
            value = entry.score.scores[floor.metric]
            if value is None:
                found.append(f"{entry.router}: {floor.metric} is undefined, but must be at least {floor.least:g}")
            elif value < floor.least:
                below = f"{_digits(floor.least - value)} below the required {floor.least:g}"
                found.append(f"{entry.router}: {floor.metric} {value:.2f} is {below}")
    return found


def _digits(value: float) -> str:
    """Format a positive difference so that it is never shown as 0.00."""
    return f"{value:.2f}" if value >= 0.005 else f"{value:.2g}"
