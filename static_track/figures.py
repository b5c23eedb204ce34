"""Figures of matplotlib for a notebook: cost against pass of a board, and curves."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from twinbench.display.wording import printable

if TYPE_CHECKING:
    from static_track.analysis.curves import Curve
    from static_track.board import Board, Entry

_SIZE = (7.5, 4.5)
_CAVEAT_CHARACTERS = 130
"""Of a line below a figure."""


class Drawing(Figure):
    """A figure that a notebook shows, without a backend of its own."""

    def _repr_png_(self) -> bytes:
        shown = io.BytesIO()
        self.savefig(shown, format="png", dpi=90, metadata={"Software": None})
        return shown.getvalue()


def board_figure(board: Board) -> Drawing:
    """CostSave against TrajPass of every router and reference, with their intervals."""
    figure = Drawing(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot(
        xlabel="CostSave, %", ylabel="TrajPass, %", title=f"{board.bank.name}: saved against passed"
    )
    for entry in board.entries:
        x, y = entry.score.scores["cost_save"], entry.score.scores["traj_pass"]
        if x is None or y is None:
            continue
        across, up = (_reach(entry, metric) for metric in ("cost_save", "traj_pass"))
        colour, alpha = ("0.55", 0.6) if entry.reference else (None, 1.0)
        axes.errorbar(x, y, xerr=across, yerr=up, fmt="o", capsize=2, color=colour, alpha=alpha)
        axes.annotate(entry.router, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8, parse_math=False)
    axes.margins(0.15)  # room for names
    axes.grid(alpha=0.25)
    _tell(figure, board.caveat)
    return figure


def _tell(figure: Drawing, caveat: str | None) -> None:
    """Write a caveat below a figure."""
    if caveat is not None:
        shown = textwrap.fill(printable(caveat), _CAVEAT_CHARACTERS).replace("$", r"\$")
        figure.supxlabel(shown, fontsize=7, x=0.01, ha="left")


def _reach(entry: Entry, metric: str) -> list[list[float]] | None:
    """How far an interval reaches below and above the metric; None without one."""
    value = entry.score.scores[metric]
    ends = None if entry.intervals is None else entry.intervals[metric].ends
    if value is None or ends is None:
        return None
    return [[max(value - ends[0], 0.0)], [max(ends[1] - value, 0.0)]]


def curve_figure(curves: Sequence[Curve]) -> Drawing:
    """What each dollar buys: the points of routers swept over a threshold, and their hulls."""
    figure = Drawing(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot(
        xlabel="Cost, USD", ylabel="TrajPass, %", title=f"{curves[0].bank}: what each dollar buys"
    )
    for number, each in enumerate(curves):
        colour = f"C{number}"
        axes.plot(
            [point.cost_usd for point in each.points],
            [point.traj_pass for point in each.points],
            "o",
            color=colour,
            label=each.router.replace("$", r"\$"),
        )
        axes.plot(*zip(*each.hull, strict=True), color=colour)
    first, last = curves[0].hull[0], curves[0].hull[-1]
    axes.plot(*zip(first, last, strict=True), "--", color="0.5", label="random mix")
    axes.plot(*curves[0].optimal, "*", color="0.3", markersize=11, label="cost-optimal")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    _tell(figure, curves[0].caveat)
    return figure
