"""``twinbench static explain`` and ``diff``: the steps behind a score, and the steps where two routers differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    EvaluationOptions,
    FormatOption,
    GatewayOptions,
    JsonOption,
    OutputOption,
    RouterArgument,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.static.evaluating import open_evaluator
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from static_track.analysis.explain import Difference, Explanation, Step

_SHOWN_CHARACTERS = 160

LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=0, help="How many steps or trajectories to show; 0: all.")
]


@expand_option_groups
def explain(
    router: RouterArgument,
    *,
    judging: EvaluationOptions,
    limit: LimitOption = 10,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Show the steps that cost a router most in USD: steps that failed trajectories, and steps that overspent."""
    from static_track.analysis.explain import explain as explained

    with open_evaluator(judging, plugins, gateway, [router]) as (opened, judge):
        found = explained(opened, judge, router, limit=limit or None)
    if json_:
        print_json(found.to_json(), output)
    else:
        print_table(_explained_table(found), form, output)


@expand_option_groups
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A router, as for static score.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another router.")],
    *,
    judging: EvaluationOptions,
    limit: LimitOption = 10,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Show the steps where two routers decide differently, and what that cost."""
    from static_track.analysis.explain import difference

    with open_evaluator(judging, plugins, gateway, [a, b]) as (opened, judge):
        found = difference(opened, judge, a, b, limit=limit or None)
    if json_:
        print_json(found.to_json(), output)
    else:
        print_table(_difference_table(found), form, output)


def _explained_table(found: Explanation) -> Table:
    columns = [
        Column("what", "What"),
        Column("usd", "USD", 4),
        Column("id", "Row"),
        Column("step_index", "Step", kind=int),
        Column("target", "Target"),
        Column("shown", "Predicted", for_programs=False),
        Column("predicted", "Predicted", kind=str, for_people=False),
        Column("error", "Error", kind=str, for_people=False),
        Column("tail", "End of the prompt"),
    ]
    rows: list[dict[str, Any]] = [
        {
            "what": "failed",
            "usd": each.lost_usd,
            **_step(each.step),
            "shown": each.predicted or f"error: {each.error or 'none'}",
            "predicted": each.predicted,
            "error": each.error,
        }
        for each in found.failures
    ]
    rows += [
        {
            "what": "overspent",
            "usd": each.overspent_usd,
            **_step(each.step),
            "shown": each.predicted,
            "predicted": each.predicted,
        }
        for each in found.overspending
    ]
    failing = format_count(found.failing_steps, "step")
    failed = format_count(found.failed_trajectories, "trajectory", "trajectories")
    notes = [
        f"failed: {failing} below target failed {failed}, losing {found.lost_usd:.4f} USD of savings against high.",
        "Every failing step of a trajectory shows the trajectory's whole loss.",
        f"overspent: {format_count(found.overspent_steps, 'step')} above target, by {found.overspent_usd:.4f} USD",
    ]
    combined = found.scores["combined"]
    score = "undefined" if combined is None else f"{combined:.2f}"
    title = f"{found.router} on {found.setting.title}: Combined {score}"
    return Table(title, columns, rows, notes, caveat=found.caveat)


def _difference_table(found: Difference) -> Table:
    columns = [
        Column("trajectory", "Trajectory"),
        Column("gained_usd", "B saves more, USD", 4),
        Column("passes", "Passes"),
        Column("id", "Row"),
        Column("step_index", "Step", kind=int),
        Column("target", "Target"),
        Column("a", "A"),
        Column("b", "B"),
        Column("tail", "End of the prompt"),
    ]
    passing = {(True, True): "both", (True, False): "A", (False, True): "B", (False, False): "neither"}
    rows: list[dict[str, Any]] = [
        {
            "trajectory": f"{each.workload}/{each.instance_id}",
            "gained_usd": each.gained_usd,
            "passes": passing[each.passes_a, each.passes_b],
            **_step(step.step),
            "a": step.predicted_a or "error",
            "b": step.predicted_b or "error",
        }
        for each in found.trajectories
        for step in each.disagreements
    ]
    apart = (
        f"{format_count(found.rows, 'row')} in "
        f"{format_count(found.differing_trajectories, 'trajectory', 'trajectories')}"
    )
    passes = f"trajectories that only A passes: {found.only_a_passes}, only B: {found.only_b_passes}"
    notes = [
        f"A is {found.router_a}, B is {found.router_b}; they differ on {apart}",
        f"{passes}; B saves {found.gained_usd:+.4f} USD more than A",
    ]
    title = f"{found.router_a} and {found.router_b} on {found.setting.title}"
    return Table(title, columns, rows, notes, caveat=found.caveat)


def _step(step: Step) -> dict[str, Any]:
    tail = step.tail[-1] if step.tail else None
    text = "" if tail is None else " ".join(tail.text.split())
    text = text if len(text) <= _SHOWN_CHARACTERS else f"…{text[1 - _SHOWN_CHARACTERS :]}"
    shown = "" if tail is None else f"{tail.role}: {text}"
    return {"id": step.id, "step_index": step.step_index, "target": step.target, "tail": shown}
