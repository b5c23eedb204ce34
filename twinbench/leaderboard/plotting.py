"""Plots of cost against quality for the tables of the leaderboard."""

from __future__ import annotations

from typing import Any

from twinbench.display.html.page import format_interval, format_number
from twinbench.display.html.plots import Mark, Plot, colour_of, draw_plot
from twinbench.leaderboard.tables import BoardTable

MOST_PLOTTED = 16
"""Entries of a plot: more of them would cover each other."""

_AXES = {
    "static": ("cost_usd", "Cost of all rows on the chosen path, USD", "traj_pass", "TrajPass, %"),
    "live": ("cost_usd", "Cost of the calls, USD", "resolved_percent", "Resolved, %"),
}


def table_plot(table: BoardTable) -> dict[str, Any] | None:
    """Build the plot of a leaderboard table, with caption and legend: its first entries and the references.

    Returns:
        None if no row has both a cost and a quality.

    Raises:
        PlotsMissingError: the plotting library is not installed.
    """
    x, x_title, y, y_title = _AXES[table.kind]
    shown = [*table.ranked, *table.unranked][:MOST_PLOTTED]
    marks: list[Mark] = []
    legend: list[tuple[str, str, int | None]] = []
    told = []
    for place, row in enumerate((*shown, *table.references)):
        reference = row.name is None
        key = chr(ord("a") + (place - len(shown)) % 26) if reference else str(place + 1)
        cost, quality = row.values.get(x), row.values.get(y)
        if cost is None or quality is None:
            continue
        legend.append((key, row.title, None if reference else colour_of(place)))
        interval = format_interval(row.intervals.get(y))
        told.append(f"{row.title}: {format_number(cost, 4)} USD, {format_number(quality, 1)} % {interval}".rstrip())
        marks.append(
            Mark(
                row.title,
                key,
                [(cost, quality)],
                low_high=row.intervals.get(y),
                series=None if reference else place,
                is_hollow=reference,
            )
        )
    if not marks:
        return None
    more = len(table.ranked) + len(table.unranked) - len(shown)
    only = f" Only the first {len(shown)} are drawn; {more} more are in the table." if more else ""
    plot = Plot(
        f"plot-{table.comparable[:16]}",
        f"{table.title}: what routers cost, against what they reach",
        f"One point each; left and up is better. {'; '.join(told)}.",
        x_title,
        y_title,
        marks,
        is_percent=True,
    )
    what = "references, of which labels and cost-optimal see the labels" if table.kind == "static" else "giving up"
    caption = f"Left and up is better. Filled: entries. Hollow: {what}.{only}"
    return {"svg": draw_plot(plot), "caption": caption, "legend": legend}
