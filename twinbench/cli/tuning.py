"""``twinbench router tune``: a router's settings, tried on a bank."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

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
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table
from twinbench.cli.plugin_options import FitOptions, FoldWorkersOption, PluginOptions
from twinbench.cli.static.evaluating import open_evaluator

_MOST_SHOWN = 10
_MOST_REASONS = 5


class Criterion(StrEnum):
    """The criterion by which a setting is chosen."""

    combined = "combined"
    cost_save = "cost-save"
    bill = "bill"


@expand_option_groups
def tune(
    router: RouterArgument,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=A,B,…",
            help="Values of a setting to try; repeatable, every combination. Default: what a built-in router declares.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        Criterion,
        typer.Option("--by", help="Choose by Combined, CostSave, or the bill: cost, and a penalty for each failure."),
    ] = Criterion.combined,
    traj_pass: Annotated[
        float | None,
        typer.Option(
            "--traj-pass",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Choose only among settings with at least this TrajPass.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", metavar="K", min=2, help="For routers that learn: folds, dealt by group.")
    ] = 5,
    fit_seed: Annotated[int, typer.Option("--fit-seed", metavar="N", min=0, help="Of the folds and of training.")] = 0,
    judging: EvaluationOptions,
    fit: FitOptions,
    workers: FoldWorkersOption = 1,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Try a router's settings on a bank, or on a part such as dev, and choose the best.

    A router that learns answers each row by what was trained on the other folds; a trained router is used as it is.
    The chosen score is optimistic, since it was chosen: score the setting on another part.

    Exit code 1 if no setting reaches the wanted TrajPass without errors.
    """
    from static_track.folds import folds_by_group
    from static_track.metrics import SCORES
    from static_track.out_of_fold import FoldTraining
    from static_track.tuning import may_learn
    from static_track.tuning import tune as tune_router

    values = _values(set_ or [])
    with open_evaluator(judging, plugins, GatewayOptions(), [router]) as (bank, judge):
        dealt = folds_by_group(bank, judge.split, folds, fit_seed) if may_learn(router) else None
        found = tune_router(
            judge,
            router,
            dealt,
            values=values,
            by=by.value.replace("-", "_"),
            traj_pass=traj_pass,
            training=FoldTraining(fit_seed, fit.limits(), workers),
        )
    if json_:
        print_json(found.to_json(), output)
    else:
        names = {"row_pass": "RowPass", "row_exact": "RowExact", "traj_pass": "TrajPass", "cost_save": "CostSave"}
        columns = [
            Column("spec", "Settings"),
            *(Column(name, names.get(name, "Combined"), 1) for name in SCORES),
            Column("bill_usd", "Bill, USD", 4),
            Column("errors", "Errors", kind=int),
        ]
        rows = found.records()
        shown = rows[:_MOST_SHOWN] if form.for_people else rows
        notes = [
            f"best of {len(rows):,} by {by.value}"
            + ("" if traj_pass is None else f" with TrajPass of at least {traj_pass:g} %")
            + f": {'none' if found.chosen is None else found.chosen.spec}",
            *(
                [f"the first {len(shown)} of {len(rows):,} are shown; --format csv has all"]
                if len(shown) < len(rows)
                else []
            ),
            *([] if dealt is None else [f"each row was answered by what was trained on the other rows: {dealt.title}"]),
            *([] if found.chosen is not None else [_highest_traj_pass(rows)]),
            f"bill: cost, and {found.penalty_usd:g} USD for each trajectory that does not pass",
            "chosen on these rows, so its scores are optimistic: score it on others",
        ]
        title = f"Settings of {router} on {found.bank}"
        print_table(Table(title, columns, shown, notes, caveat=found.caveat), form, output)
    failing = [each for each in found.tried if each.first_error is not None]
    for reason in list(dict.fromkeys(each.first_error for each in failing))[:_MOST_REASONS]:
        specs = [each.spec for each in failing if each.first_error == reason]
        others = "" if len(specs) == 1 else f" and {len(specs) - 1} more"
        typer.echo(make_printable(f"warning: {specs[0]}{others} failed: {reason}"), err=True)
    if found.chosen is None:
        typer.echo(make_printable(f"error: no setting of {router} reaches that without errors"), err=True)
        raise typer.Exit(1)


def _highest_traj_pass(rows: list[dict[str, Any]]) -> str:
    best = max(rows, key=lambda row: row["traj_pass"] or 0.0)
    return f"the highest TrajPass is {best['traj_pass'] or 0.0:.1f} %, of {best['spec']}"


def _values(texts: list[str]) -> dict[str, list[str]] | None:
    """Read the values to try, by setting; None if none were given.

    Raises:
        UsageError: a text is not NAME=A,B,…
    """
    from twinbench.errors import UsageError

    found: dict[str, list[str]] = {}
    for text in texts:
        name, mark, values = text.partition("=")
        if not mark or not name or not all(values.split(",")) or name in found:
            raise UsageError(f"--set {text}: write each setting once, as in --set tau=0.3,0.5,0.7")
        found[name] = values.split(",")
    return found or None
