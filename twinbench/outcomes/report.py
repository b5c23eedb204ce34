"""Render the headroom of a table as an HTML page: policies, a plot with the convex hull, inversions, penalties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twinbench.display.html.page import format_interval, format_number, render_page
from twinbench.display.html.plots import Mark, Plot, colour_of, draw_plot
from twinbench.outcomes.headroom import Headroom
from twinbench.outcomes.summaries import PolicySummary
from twinbench.outcomes.wording import headroom_notes

_TEMPLATE = Path(__file__).resolve().parent / "report.html"


def make_page(found: Headroom, command: str) -> str:
    """Render the page.

    Args:
        found: the result that the page shows.
        command: the command that makes the page, which is printed on it.

    Raises:
        PlotsMissingError: matplotlib is not installed.
    """
    keys = {each.policy.name: str(place) for place, each in enumerate(found.of_kind("constant"), 1)}
    rest = [each for each in found.policies if each.policy.kind != "constant"]
    keys |= {each.policy.name: chr(ord("a") + place) for place, each in enumerate(rest)}
    sections = [
        ("policies", "Policies"),
        ("plot", "Cost against resolved"),
        ("order", "The order of tiers"),
        ("penalties", "Penalties"),
        ("reading", "How to read this"),
        ("made", "How it was made"),
    ]
    return render_page(
        _TEMPLATE,
        {
            "title": f"Headroom of routing: {found.workload}",
            "sections": sections,
            "found": found,
            "facts": [
                ("Table", found.info.name),
                ("Content", found.info.sha256),
                ("From", found.info.origin or found.info.source),
                ("Licence", found.info.licence or "not said"),
                ("Tasks", f"{len(found.tasks):,}"),
                ("Penalty", f"{found.penalty_usd:g} USD for an unresolved task"),
            ],
            "groups": [("Always the same model", found.of_kind("constant")), ("Others", rest)],
            "keys": keys,
            "notes": headroom_notes(found),
            "plot": _plot(found, keys),
            "command": command,
        },
    )


def _plot(found: Headroom, keys: dict[str, str]) -> dict[str, Any]:
    marks: list[Mark] = []
    legend: list[tuple[str, str, int | None]] = []
    series = 0
    shown = [each for each in found.policies if each.mean_cost_usd is not None and each.share is not None]
    corners = sorted(_point(each) for each in shown if each.policy.kind == "constant" and each.on_hull)
    if len(corners) > 1:
        marks.append(Mark("hull of the single models", "h", corners, is_dashed=True))
        legend.append(("h", "hull of the single models: what lots between them reach", None))
    for each in shown:
        key, constant = keys[each.policy.name], each.policy.kind == "constant"
        marks.append(
            Mark(
                each.policy.name,
                key,
                [_point(each)],
                low_high=each.intervals.get("resolved"),
                series=series if constant else None,
                is_hollow=each.policy.kind == "mix",
                is_star=each.policy.kind in ("oracle", "bound"),
            )
        )
        label = f"{each.policy.name} ({each.models})" if constant else each.policy.name
        legend.append((key, label, colour_of(series) if constant else None))
        series += constant
    said = "; ".join(
        f"{each.policy.name}: {format_number(each.mean_cost_usd, 3)} USD, {format_number(each.share, 1)} %"
        f" {format_interval(each.intervals.get('resolved'))}".rstrip()
        for each in shown
    )
    plot = Plot(
        "headroom",
        "What a task costs on average, against the share of tasks that are resolved",
        f"One point a policy; left and up is better. {said}.",
        "Cost of a task, USD",
        "Resolved, %",
        marks,
        is_percent=True,
    )
    caption = (
        "Left and up is better. Filled: always the same model, and cascades. Hollow: models by lot. Stars: known in "
        "hindsight alone, the cheapest model that solves each task and the one with the lowest bill. Dashed: what lots "
        "between single models reach at best."
    )
    return {"svg": draw_plot(plot), "caption": caption, "legend": legend}


def _point(each: PolicySummary) -> tuple[float, float]:
    return each.mean_cost_usd or 0.0, each.share or 0.0
