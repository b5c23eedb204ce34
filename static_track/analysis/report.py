"""A single-file HTML report of routers on a bank: table, plots, confusion, workloads, and worst steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from static_track import references
from static_track.analysis.curves import POINTS, Curve, curve
from static_track.analysis.explain import Explanation, explain
from static_track.banks.bank import Bank
from static_track.board import SCORE_NOTE, Board, Entry
from static_track.evaluator import Evaluator
from twinbench.display.html.page import MISSING, format_interval, format_number, render_page
from twinbench.display.html.plots import Mark, Plot, colour_of, draw_plot
from twinbench.display.wording import display_spec, format_count, format_trajectories, number_duplicates, remove_folders
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.statistics import Resampling

TITLES = {
    "combined": "Combined",
    "row_pass": "RowPass",
    "row_exact": "RowExact",
    "traj_pass": "TrajPass",
    "cost_save": "CostSave",
}
"""The metrics' titles, in the order of the table."""

_TEMPLATE = Path(__file__).resolve().parent / "report.html"
_MAX_SHADE = 0.3
"""Darkest shade of a cell of a confusion matrix on which text is still readable."""


@dataclass(frozen=True)
class Report:
    """The content of a report."""

    board: Board
    curves: Sequence[Curve] = ()
    not_swept: Mapping[str, str] = field(default_factory=dict)
    """Why a router has no curve, by router."""
    explanations: Sequence[Explanation] = ()

    def html(self, command: str) -> str:
        """Render the report as HTML.

        Args:
            command: the command line that reproduces it.

        Raises:
            PlotsMissingError: the plotting library is not installed.
        """
        return render_page(_TEMPLATE, _content(_without_folders(self)) | {"command": command})


def make_report(
    bank: Bank,
    judge: Evaluator,
    routers: Sequence[str],
    prediction_files: Sequence[str] = (),
    resampling: Resampling | None = None,
    *,
    limit: int | None = 5,
    points: int = POINTS,
) -> Report:
    """Evaluate routers on a bank for a report.

    Args:
        bank: the bank that the routers are evaluated on.
        judge: the bank's evaluator.
        routers: router specs.
        prediction_files: paths of prediction files; they appear in the table, the plot and the matrices only.
        resampling: how trajectories are resampled; None: no intervals.
        limit: how many failures and overspending steps of each router are shown; None for all.
        points: the number of thresholds of a router that returns a score; less than 2: no curves.

    Raises:
        UsageError: no router, one does not exist, or the bank has no labels.
    """
    if not routers and not prediction_files:
        raise UsageError("name the routers for the report, such as sticky depth-rule")
    board = judge.board(routers, prediction_files, resampling)
    curves, not_swept = [], {}
    for router in dict.fromkeys(routers) if points > 1 else ():
        try:
            curves.append(curve(bank, judge, router, points=points))
        except UsageError as error:
            not_swept[judge.name_of(router)] = str(error)
    explanations = [explain(bank, judge, router, limit=limit) for router in dict.fromkeys(routers)]
    return Report(board, tuple(curves), not_swept, tuple(explanations))


def _without_folders(report: Report) -> Report:
    """Return the report without folders of this machine in router names and error texts."""
    entries = report.board.entries
    routers = [entry.router for entry in entries]
    names = dict(zip(routers, number_duplicates(map(display_spec, routers)), strict=True))
    shown = [
        replace(
            entry,
            router=names[entry.router],
            first_error=entry.first_error and remove_folders(entry.first_error),
        )
        for entry in entries
    ]
    explanations = [
        replace(
            each,
            router=names[each.router],
            failures=tuple(replace(step, error=step.error and remove_folders(step.error)) for step in each.failures),
        )
        for each in report.explanations
    ]
    return Report(
        replace(report.board, entries=shown),
        [replace(each, router=names[each.router]) for each in report.curves],
        {names[router]: why for router, why in report.not_swept.items()},
        explanations,
    )


def _content(report: Report) -> dict[str, Any]:
    board = report.board
    asked = [entry for entry in board.entries if not entry.reference]
    compared = [entry for entry in board.entries if entry.reference]
    keys = {entry.router: str(place) for place, entry in enumerate(asked, 1)}
    keys |= {entry.router: chr(ord("a") + place) for place, entry in enumerate(compared)}
    sections = [
        ("scores", "Scores"),
        ("cost", "Cost against pass"),
        *([("curves", "Curves")] if report.curves else []),
        ("confusion", "Confusion"),
        ("workloads", "Workloads"),
        *([("worst", "Worst steps")] if report.explanations else []),
        ("reading", "How to read this"),
        ("made", "How it was made"),
    ]
    part = f", part {board.split}" if board.split is not None else ""
    return {
        "title": f"Routers on the bank {board.bank.name}{part}",
        "board": board,
        "lead": f"{format_count(board.rows, 'row')} of {format_trajectories(board.trajectories, board.groups)} in "
        f"{format_count(len(board.bank.workloads), 'workload')}.",
        "facts": _facts(board),
        "sections": sections,
        "metrics": TITLES,
        "arithmetic": SCORE_NOTE,
        "best_constant": board.best_constant,
        "groups": [(name, [_table_row(board, entry, keys) for entry in of]) for name, of in _groups(asked, compared)],
        "notes": _notes(board),
        "cost": _cost_plot(asked, compared, keys),
        "curves": _curve_plot(report.curves, keys) if report.curves else None,
        "not_swept": report.not_swept,
        "tiers": [tier.label for tier in Tier],
        "matrices": [(entry.router, _matrix(entry)) for entry in asked],
        "workloads": [
            (
                name,
                block,
                [
                    (entry.router, entry.score.by_workload[name], entry.reference, ends[name])
                    for entry, ends in zip(board.entries, map(_cost_save_intervals, board.entries), strict=True)
                ],
            )
            for name, block in board.entries[0].score.by_workload.items()
        ],
        "explanations": report.explanations,
        "resampling": board.resampling,
    }


def _groups(asked: Sequence[Entry], compared: Sequence[Entry]) -> list[tuple[str, Sequence[Entry]]]:
    return [("Routers", asked), ("References", compared)]


def _cost_save_intervals(entry: Entry) -> Mapping[str, tuple[float, float] | None]:
    """Return the interval of CostSave for each workload; None if there is none."""
    found = {} if entry.workload_intervals is None else entry.workload_intervals()
    return {name: found[name]["cost_save"].ends if name in found else None for name in entry.score.by_workload}


def _facts(board: Board) -> list[tuple[str, str]]:
    return [
        ("Bank", board.bank.sha256),
        ("File it was imported from", board.bank.source_sha256),
        ("Protocol", board.protocol),
        ("Order of trajectories", f"seed {board.order_seed}"),
        ("Workloads", ", ".join(board.bank.workloads)),
    ]


def _table_row(board: Board, entry: Entry, keys: Mapping[str, str]) -> dict[str, Any]:
    cells = []
    for name in TITLES:
        found = None if entry.intervals is None else entry.intervals.get(name)
        cells.append((entry.score.scores[name], None if found is None else found.ends))
    return {
        "key": keys[entry.router],
        "router": entry.router,
        "reference": entry.reference,
        "rank": MISSING if entry.rank is None else "–".join(str(end) for end in dict.fromkeys(entry.rank)),
        "cells": cells,
        "above": board.above_best_constant(entry),
        "cost_usd": entry.score.cost_usd,
        "errors": entry.score.counts["errors"],
        "p95_ms": entry.latency_ms.get("p95"),
    }


def _notes(board: Board) -> list[str]:
    notes = [entry.failed_rows for entry in board.entries if entry.failed_rows is not None]
    notes += [
        f"{entry.router}: its own LLM calls cost {entry.own.router_usd:.4f} USD, which is in no column; CostSave minus "
        f"that: {format_number(entry.own.cost_save_net, 2)}"
        for entry in board.entries
        if entry.own is not None
    ]
    every = [each for entry in board.entries for each in (entry.intervals or {}).values()]
    too_little = sorted({each.reason for each in every if each.reason is not None and each.ends is None})
    if too_little and not any(each.ends for each in every):
        notes.append(f"No intervals and no ranks: {'; '.join(too_little)}.")
    return notes


def _cost_plot(asked: Sequence[Entry], compared: Sequence[Entry], keys: Mapping[str, str]) -> dict[str, Any]:
    marks: list[Mark] = []
    legend: list[tuple[str, str, int | None]] = []
    rows = []
    for place, entry in enumerate((*asked, *compared)):
        passed = entry.score.scores["traj_pass"]
        found = (entry.intervals or {}).get("traj_pass")
        ends = None if found is None else found.ends
        series = None if entry.reference else place
        legend.append((keys[entry.router], entry.router, None if series is None else colour_of(series)))
        rows.append((keys[entry.router], entry.router, entry.score.cost_usd, passed, ends))
        if passed is not None:
            marks.append(
                Mark(
                    entry.router,
                    keys[entry.router],
                    [(entry.score.cost_usd, passed)],
                    low_high=ends,
                    series=series,
                    is_hollow=entry.reference,
                    is_star=entry.router == references.COST_OPTIMAL,
                )
            )
    said = "; ".join(
        f"{router}: {cost:.4f} USD, {format_number(passed, 1)} % {format_interval(ends)}".rstrip()
        for _, router, cost, passed, ends in rows
    )
    plot = Plot(
        "cost",
        "Cost of the chosen path against passed trajectories",
        f"One point per router; up and to the left is better. {said}.",
        "Cost of all rows on the chosen path, USD",
        "TrajPass, %",
        marks,
        is_percent=True,
    )
    bars = " Bars: intervals of TrajPass; the cost on this bank has no interval."
    caption = (
        "Up and to the left is better. Filled: routers. Hollow: references. Star: the cheapest choice that passes "
        f"every row, which sees the labels.{bars if any(ends for *_, ends in rows) else ''}"
    )
    return {"svg": draw_plot(plot), "caption": caption, "legend": legend, "rows": rows}


def _curve_plot(curves: Sequence[Curve], keys: Mapping[str, str]) -> dict[str, Any]:
    marks: list[Mark] = []
    legend: list[tuple[str, str, int | None]] = []
    for place, each in enumerate(curves):
        marks.append(
            Mark(
                each.router,
                keys[each.router],
                each.hull,
                series=int(keys[each.router]) - 1,
                dots=[(point.cost_usd, point.traj_pass) for point in each.points],
            )
        )
        legend.append((keys[each.router], each.router, colour_of(int(keys[each.router]) - 1)))
        if place == 0:
            mixed = [each.hull[0], each.hull[-1]]
            marks.append(Mark("random mix", "m", mixed, is_dashed=True))
            marks.append(Mark("cheapest passing", "o", [each.optimal], is_star=True, is_hollow=True))
    legend += [
        ("m", f"random mix of {curves[0].weak} and {curves[0].strong}", None),
        ("o", "cheapest passing choice", None),
    ]
    said = "; ".join(
        f"{each.router}: area {format_number(each.area, 1)}, gain {format_number(each.gain, 2)}" for each in curves
    )
    plot = Plot(
        "curves",
        "TrajPass against cost, over all thresholds",
        f"One line per router, through the best of its operating points. {said}.",
        "Cost of all rows, USD",
        "TrajPass, %",
        marks,
        is_percent=True,
    )
    caption = (
        f"Calls whose score reaches a threshold go to {curves[0].strong}, the others to {curves[0].weak}. Dots: one "
        "threshold each. Line: what can be reached by picking one of two thresholds at random. Dashed: a random mix of "
        "the two tiers, without a router."
    )
    return {"svg": draw_plot(plot), "caption": caption, "legend": legend, "found": curves}


def _matrix(entry: Entry) -> list[tuple[str, list[tuple[int, str, float]], int]]:
    """Return for each target its label, its cells (number of rows, colour class, shade) and its total number of
    rows.
    """
    lines = []
    for target, cells in enumerate(entry.score.confusion):
        total = sum(cells)
        shaded = []
        for predicted, rows in enumerate(cells):
            under = predicted < target or predicted == len(Tier)
            kind = "good" if predicted == target else "under" if under else "over"
            shaded.append((rows, kind, round(_MAX_SHADE * rows / total, 3) if total else 0.0))
        lines.append((Tier(target).label, shaded, total))
    return lines
