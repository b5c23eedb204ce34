"""``twinbench static crossval``: routers that learn, each row answered by what was trained on other rows."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    EvaluationOptions,
    FormatOption,
    GatewayOptions,
    JsonOption,
    OutputOption,
    ResamplingOptions,
    RoutersArgument,
)
from twinbench.cli.output import Format, print_json, print_table
from twinbench.cli.plugin_options import FitOptions, FoldWorkersOption, PluginOptions
from twinbench.cli.static.evaluating import open_evaluator, print_failures


class FoldsBy(StrEnum):
    """What is held out together."""

    group = "group"
    workload = "workload"


@expand_option_groups
def crossval(
    routers: RoutersArgument = None,
    *,
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="How many folds, dealt by group.")] = 5,
    by: Annotated[
        FoldsBy, typer.Option("--by", help="group; or workload: each workload is left out in turn, whatever --folds.")
    ] = FoldsBy.group,
    fit_seed: Annotated[int, typer.Option("--fit-seed", metavar="N", min=0, help="Of the folds and of training.")] = 0,
    judging: EvaluationOptions,
    resampling: ResamplingOptions,
    fit: FitOptions,
    workers: FoldWorkersOption = 1,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Score routers that learn on a whole bank: each row is answered by what was trained on the other folds.

    Routers without a method fit are used as they are. Beside the references there is a cascade whose settings were
    chosen on the other folds. Exit code 1 where a router failed on every row, or could not be trained on a fold.
    """
    from static_track.crossval import cross_validate
    from static_track.folds import folds_by_group, folds_by_workload
    from static_track.out_of_fold import FoldTraining
    from twinbench.cli.static.tables import board_table

    drawing = resampling.resampling()
    with open_evaluator(judging, plugins, gateway, routers or []) as (bank, judge):
        dealt = (
            folds_by_group(bank, judge.split, folds, fit_seed)
            if by is FoldsBy.group
            else folds_by_workload(bank, judge.split)
        )
        training = FoldTraining(fit_seed, fit.limits(), workers)
        board = cross_validate(judge, routers or [], dealt, training=training, resampling=drawing)
    if json_:
        print_json(board.to_json(), output)
    else:
        print_table(board_table(board), form, output)
    if print_failures(board.entries):
        raise typer.Exit(1)
