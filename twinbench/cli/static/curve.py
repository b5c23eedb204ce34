"""``twinbench static curve``: cost–quality curves of routers that return a score, by sweeping a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.option_groups import takes_option_groups
from twinbench.cli.options import (
    FormatOption,
    GatewayOptions,
    JsonOption,
    JudgingOptions,
    OutputOption,
    RoutersArgument,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.static.judging import judged

if TYPE_CHECKING:
    from static_track.analysis.curves import Curve


@takes_option_groups
def curve(
    routers: RoutersArgument = None,
    *,
    judging: JudgingOptions,
    weak: Annotated[
        str, typer.Option("--weak", metavar="TIER", help="Tier for calls with a score below the threshold.")
    ] = "low",
    strong: Annotated[str, typer.Option("--strong", metavar="TIER", help="Tier for all other calls.")] = "high",
    points: Annotated[int, typer.Option("--points", metavar="N", min=2, help="How many thresholds.")] = 11,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Sweep a threshold over routers' scores: cost against passed trajectories."""
    from static_track.analysis.curves import curve as swept
    from twinbench.errors import UsageError
    from twinbench.routing.tiers import Tier

    if not routers:
        raise UsageError("name the routers to sweep, such as depth-rule; their decisions must have a score")
    try:
        tiers = Tier.from_label(weak), Tier.from_label(strong)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with judged(judging, plugins, GatewayOptions(), routers) as (opened, judge):
        found = [swept(opened, judge, router, weak=tiers[0], strong=tiers[1], points=points) for router in routers]
    if json_:
        print_json({"curves": [each.to_json() for each in found]}, output)
    else:
        print_table(_table(found), form, output)


def _table(curves: list[Curve]) -> Table:
    columns = [
        Column("router", "Router"),
        Column("threshold", "Threshold", 4),
        Column("strong_share", "Strong, %", 1),
        Column("cost_usd", "Cost, USD", 4),
        Column("traj_pass", "TrajPass", 2),
        Column("combined", "Combined", 2),
    ]
    rows: list[dict[str, Any]] = [
        {
            "router": each.router,
            **{column.key: getattr(point, column.key) for column in columns[1:]},
        }
        for each in curves
        for point in each.points
    ]
    notes = [
        f"{each.router}: mean TrajPass over the range of costs {_number(each.area)}; random mix "
        f"{_number(each.area_random)}, optimum {_number(each.area_optimal)}; gain {_number(each.gain)} "
        "(0: random mix, 1: optimum)"
        for each in curves
    ]
    first = curves[0]
    title = f"{first.setting.title}: {first.weak} or {first.strong} by threshold"
    return Table(title, columns, rows, notes, caveat=first.caveat)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
