"""Draw plots with matplotlib as inline SVG, in the page's own colours, which follow the light or dark scheme.

Every plot is drawn twice, for wide and for narrow windows, and the page shows one of them. Text stays text. The same
plot gives the same bytes with the same release of matplotlib.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from twinbench.display.wording import make_printable
from twinbench.errors import TwinbenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXTRA = "pip install 'twinbench[report]'"

_SIZES = {"wide": (8.6, 4.4), "narrow": (4.2, 4.2)}
"""Width and height in inches of 72 points; the width is that of the plot on the page, so text is not scaled."""

_POINTS = 9.5
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_SERIES = 8
_NAME_CHARACTERS = 26

# Placeholder colours for matplotlib, which are replaced by the page's CSS variables. All must differ.
_INK, _GRID, _SURFACE, _SOFT = "#010203", "#010204", "#010205", "#010206"
_VARIABLES = {_INK: "--ink", _GRID: "--grid", _SURFACE: "--surface", _SOFT: "--soft"} | {
    f"#02030{number}": f"--series-{number}" for number in range(1, _SERIES + 1)
}


class PlotsMissingError(TwinbenchError):
    """matplotlib, which draws the plots, is not installed."""


@dataclass(frozen=True)
class Mark:
    """One point of a plot, or a line through several points."""

    label: str
    """Label that is written beside the mark if there is room; otherwise ``key`` is written."""
    key: str
    points: Sequence[tuple[float, float]]
    low_high: tuple[float, float] | None = None
    """The ends of a vertical error bar."""
    series: int | None = None
    """Number of the series, from 0, which sets colour and shape; None for a mark that is only a reference."""
    is_hollow: bool = False
    is_star: bool = False
    is_dashed: bool = False
    dots: Sequence[tuple[float, float]] = ()
    """Points that are drawn with a line but need not be on it."""

    @property
    def label_at(self) -> tuple[float, float]:
        """The position of the label: the point itself, or the middle of a line or of its dots."""
        if len(self.points) == 1:
            return self.points[0]
        if self.dots:
            return self.dots[len(self.dots) // 2]
        (x, y), (u, v) = self.points[0], self.points[-1]
        return (x + u) / 2, (y + v) / 2


@dataclass(frozen=True)
class Plot:
    """The description of a plot."""

    name: str
    """A name that is unique within the page."""
    title: str
    description: str
    """Description for screen readers."""
    x: str
    y: str
    marks: Sequence[Mark]
    is_percent: bool = False
    """Whether ``y`` is a percentage: its axis ends at 100 and begins at 0 or just below the lowest point."""
    is_count: bool = False
    """Whether ``y`` is a count, which needs integer ticks."""


def require_plots() -> None:
    """Check that plots can be drawn, before any work is done for them.

    Raises:
        PlotsMissingError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise PlotsMissingError(
            f"a report draws with matplotlib, which cannot be imported ({error}): {EXTRA}"
        ) from None


def draw_plot(plot: Plot) -> Markup:
    """Draw a plot as SVG elements for a page.

    Raises:
        PlotsMissingError: matplotlib is not installed.
    """
    require_plots()
    return Markup("").join(_svg(plot, form) for form in _SIZES)


def _svg(plot: Plot, form: str) -> Markup:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    quiet = logging.getLogger("matplotlib")
    level = quiet.level
    quiet.setLevel(logging.ERROR)  # it logs missing fonts and cache folders, which do not matter here
    try:
        with warnings.catch_warnings(), mpl.rc_context():
            warnings.simplefilter("ignore")
            mpl.rcdefaults()
            mpl.rcParams.update(
                {
                    "svg.fonttype": "none",
                    "svg.hashsalt": f"{plot.name}-{form}",
                    "font.size": _POINTS,
                    "text.color": _INK,
                    "axes.labelcolor": _INK,
                    "axes.edgecolor": _SOFT,
                    "xtick.color": _SOFT,
                    "ytick.color": _SOFT,
                    "xtick.labelcolor": _INK,
                    "ytick.labelcolor": _INK,
                    "grid.color": _GRID,
                    "axes.spines.top": False,
                    "axes.spines.right": False,
                    "axes.unicode_minus": True,
                }
            )
            figure = Figure(figsize=_SIZES[form], layout="constrained")
            _draw(plot, figure, wide=form == "wide")
            buffer = io.StringIO()
            nothing: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    finally:
        quiet.setLevel(level)
    return _in_page(buffer.getvalue(), plot, form)


def _draw(plot: Plot, figure: Figure, *, wide: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axes = figure.add_subplot()
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.grid(visible=True, linewidth=0.8)
    axes.set_axisbelow(True)
    for mark in plot.marks:
        _draw_mark(mark, axes)
    axes.margins(x=0.08, y=0.1)
    if plot.is_percent:
        lowest = min(min(y for _, y in (*mark.points, *mark.dots)) for mark in plot.marks)
        lowest = min([lowest, *(mark.low_high[0] for mark in plot.marks if mark.low_high is not None)])
        step = 20 if lowest < 60 else 10 if lowest < 82 else 5
        bottom = min(max(step * int((lowest - 2) // step), 0), 90)
        span = 100 - bottom
        axes.set_ylim(bottom - 0.04 * span, 100 + 0.06 * span)
        axes.set_yticks(range(bottom, 101, step))
    if plot.is_count:
        axes.set_ylim(bottom=-0.3)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.locator_params(axis="x", nbins=8 if wide else 4)
    left, right = axes.get_xlim()
    if all(x >= 0 for mark in plot.marks for x, _ in mark.points):
        axes.set_xlim(max(left, -0.04 * (right - left)), right)
    figure.draw_without_rendering()
    _write_labels(plot, axes, wide=wide)


def _draw_mark(mark: Mark, axes: Axes) -> None:
    colour = _SOFT if mark.series is None else f"#02030{colour_of(mark.series)}"
    shape = "*" if mark.is_star else "o" if mark.series is None else _MARKERS[mark.series % len(_MARKERS)]
    filled = _SURFACE if mark.is_hollow else colour
    points: dict[str, Any] = {
        "marker": shape,
        "markersize": 13 if mark.is_star else 7,
        "markerfacecolor": filled,
        "markeredgecolor": colour,
        "markeredgewidth": 1.5,
        "color": colour,
    }
    if len(mark.points) > 1:
        axes.plot(*zip(*mark.points, strict=True), color=colour, linewidth=2, linestyle="--" if mark.is_dashed else "-")
        if mark.dots:
            axes.plot(*zip(*mark.dots, strict=True), linestyle="none", zorder=3, **points | {"markersize": 5})
        return
    [(x, y)] = mark.points
    if mark.low_high is not None:
        low, high = mark.low_high
        axes.errorbar(x, y, yerr=[[max(y - low, 0)], [max(high - y, 0)]], capsize=3, linewidth=1.3, ecolor=colour)
    axes.plot([x], [y], linestyle="none", zorder=3 if mark.series is None else 4, **points)


_PLACES = ((9, 0, "left"), (-9, 0, "right"), (0, 13, "center"), (0, -13, "center"), (9, 12, "left"), (9, -12, "left"))
"""Possible offsets of a label from its point (right, up, alignment), in points, the preferred one first."""

_DISTANCES = ((1.0, 0.0), (1.9, 30.0), (2.8, 70.0))
"""Factors by which a label may be moved away, and the cost of each in square points of covered area."""

_Box = tuple[float, float, float, float]


def _write_labels(plot: Plot, axes: Axes, *, wide: bool) -> None:
    """Place the labels so that they cover little; their sizes are estimates, since the page sets the font."""
    frame = axes.get_window_extent()
    scale = axes.figure.dpi / 72
    placed = []
    for mark in plot.marks:
        x, y = axes.transData.transform(mark.label_at).tolist()
        placed.append((mark, x / scale, y / scale))
    dots = axes.transData.transform([at for mark in plot.marks for at in (*mark.points, *mark.dots)]).tolist()
    taken: list[_Box] = 2 * [(x / scale - 6, y / scale - 6, x / scale + 6, y / scale + 6) for x, y in dots]
    for mark in plot.marks:
        if mark.low_high is not None:
            x = mark.points[0][0]
            ends = axes.transData.transform([(x, end) for end in mark.low_high]) / scale
            taken.append((ends[0][0] - 1, ends[0][1], ends[0][0] + 1, ends[1][1]))
    inside = (frame.x0 / scale, frame.y0 / scale, frame.x1 / scale, frame.y1 / scale)
    pointer = {"arrowstyle": "-", "color": _SOFT, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 6}
    for mark, x, y in placed:
        text = make_printable(mark.key if not wide else f"{mark.key} {shorten_label(mark.label)}").replace("\n", " ")
        width, height = 0.6 * _POINTS * len(text), 1.25 * _POINTS
        costs = []
        for far, malus in _DISTANCES:
            for order, (right, up, side) in enumerate(_PLACES):
                dx, dy = far * right, far * up
                start = {"left": x + dx, "right": x + dx - width, "center": x + dx - width / 2}[side]
                box = (start, y + dy - height / 2, start + width, y + dy + height / 2)
                covered = sum(_overlap(box, other) for other in taken)
                costs.append((covered + 10 * _outside(box, inside) + malus, order, box, (dx, dy, side), far))
        _, _, box, (dx, dy, side), far = min(costs)
        taken.append(box)
        axes.annotate(
            text,
            mark.label_at,
            (dx, dy),
            textcoords="offset points",
            ha=side,
            va="center_baseline" if dy == 0 else "center",
            color=_SOFT if mark.series is None else _INK,
            parse_math=False,
            annotation_clip=False,
            arrowprops=pointer if far > 1 else None,
        ).set_in_layout(False)


def colour_of(series: int) -> int:
    """Return the number of a series' colour on the page, from 1."""
    return series % _SERIES + 1


def shorten_label(label: str) -> str:
    """Shorten a label for a plot; a long path is cut to its last part."""
    if len(label) > _NAME_CHARACTERS and "/" in label:
        label = f"…/{label.rpartition('/')[2]}"
    return label if len(label) <= _NAME_CHARACTERS else f"{label[: _NAME_CHARACTERS - 1]}…"


def _overlap(one: _Box, other: _Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(up, 0)


def _outside(box: _Box, frame: _Box) -> float:
    return sum(
        (max(frame[0] - box[0], 0), max(frame[1] - box[1], 0), max(box[2] - frame[2], 0), max(box[3] - frame[3], 0))
    )


def _in_page(text: str, plot: Plot, form: str) -> Markup:
    """Turn an SVG file into an inline element with the page's colours, unique ids, a title and a description."""
    _, _, drawing = text.partition("<svg")
    opening, _, inner = drawing.partition(">")
    inner = inner.rpartition("</svg>")[0]
    box = re.search(r'viewBox="([^"]*)"', opening)
    assert box is not None  # noqa: S101 - matplotlib always writes one
    mine = f"{plot.name}-{form}"
    inner = re.sub(r"<style.*?</style>", "", inner, flags=re.DOTALL)  # it would apply to the whole page
    inner = re.sub(r"<[^>]*>", lambda tag: _tag_in_page(tag[0], mine), inner)
    said = Markup('<title id="{0}-title">{1}</title><desc id="{0}-description">{2}</desc>').format(
        mine, make_printable(plot.title), make_printable(plot.description)
    )
    start = Markup(
        '<svg class="plot {}" viewBox="{}" role="img" aria-labelledby="{}-title" aria-describedby="{}">'
    ).format(form, box[1], mine, f"{mine}-description")
    return start + said + Markup(inner) + Markup("</svg>\n")  # noqa: S704 - matplotlib escapes the texts it writes


def _tag_in_page(tag: str, mine: str) -> str:
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var({variable})")
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{mine}-", tag)
    return re.sub(r"font: (?:bold )?([0-9.]+)px [^;\"]*", r"font-size: \1px", tag)
