"""Matplotlib figures for notebooks: cost against quality of a board, and curves."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.figure import Figure

from twinbench.display.wording import make_printable

_SIZE = (7.5, 4.5)
_CAVEAT_CHARACTERS = 130
"""Width of the caveat below a figure, in characters."""


class Drawing(Figure):
    """A figure that a notebook displays, without a GUI backend."""

    def _repr_png_(self) -> bytes:
        shown = io.BytesIO()
        self.savefig(shown, format="png", dpi=90, metadata={"Software": None})
        return shown.getvalue()


@dataclass(frozen=True)
class RouterPoint:
    """A router's CostSave and TrajPass in percent, with their intervals if there are any."""

    router: str
    reference: bool
    saved: float
    passed: float
    saved_between: tuple[float, float] | None
    passed_between: tuple[float, float] | None


class DrawableCurve(Protocol):
    """A curve to draw; ``analysis.curves.Curve`` implements this."""

    @property
    def router(self) -> str:
        """The router's name."""

    @property
    def cost_and_quality(self) -> Sequence[tuple[float, float]]:
        """Cost in USD and TrajPass in percent at each threshold."""

    @property
    def hull(self) -> Sequence[tuple[float, float]]:
        """The corners of the upper hull."""


def board_figure(title: str, points: Sequence[RouterPoint], caveat: str | None) -> Drawing:
    """Draw CostSave against TrajPass of every router and reference, with their intervals."""
    figure = Drawing(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel="CostSave, %", ylabel="TrajPass, %", title=title)
    for point in points:
        colour, alpha = ("0.55", 0.6) if point.reference else (None, 1.0)
        axes.errorbar(
            point.saved,
            point.passed,
            xerr=_error_bars(point.saved, point.saved_between),
            yerr=_error_bars(point.passed, point.passed_between),
            fmt="o",
            capsize=2,
            color=colour,
            alpha=alpha,
        )
        axes.annotate(
            point.router,
            (point.saved, point.passed),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
        )
    axes.margins(0.15)  # room for names
    axes.grid(alpha=0.25)
    _add_caveat(figure, caveat)
    return figure


def _add_caveat(figure: Drawing, caveat: str | None) -> None:
    """Write a caveat below a figure."""
    if caveat is not None:
        shown = textwrap.fill(make_printable(caveat), _CAVEAT_CHARACTERS).replace("$", r"\$")
        figure.supxlabel(shown, fontsize=7, x=0.01, ha="left")


def _error_bars(value: float, ends: tuple[float, float] | None) -> list[list[float]] | None:
    """Return how far an interval extends below and above a value; None without an interval."""
    return None if ends is None else [[max(value - ends[0], 0.0)], [max(ends[1] - value, 0.0)]]


def curve_figure(
    title: str, curves: Sequence[DrawableCurve], optimal: tuple[float, float], caveat: str | None
) -> Drawing:
    """Draw cost–quality curves: operating points and hulls.

    Args:
        title: the figure's title.
        curves: the curves, at least one.
        optimal: cost in USD and TrajPass of the cheapest choice that passes every row.
        caveat: the bank's caveat.
    """
    figure = Drawing(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel="Cost, USD", ylabel="TrajPass, %", title=title)
    for number, each in enumerate(curves):
        colour = f"C{number}"
        axes.plot(*zip(*each.cost_and_quality, strict=True), "o", color=colour, label=each.router.replace("$", r"\$"))
        axes.plot(*zip(*each.hull, strict=True), color=colour)
    first, last = curves[0].hull[0], curves[0].hull[-1]
    axes.plot(*zip(first, last, strict=True), "--", color="0.5", label="random mix")
    axes.plot(*optimal, "*", color="0.3", markersize=11, label="cost-optimal")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    _add_caveat(figure, caveat)
    return figure
