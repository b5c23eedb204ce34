"""``twinbench static report``: a single-file HTML report about routers on a bank."""

from __future__ import annotations

from typing import Annotated

import typer

from twinbench.cli.help import Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    EvaluationOptions,
    GatewayOptions,
    JsonOption,
    PredictionsOption,
    ResamplingOptions,
    RoutersArgument,
)
from twinbench.cli.pages import PageOption, check_output, command_line, write_page
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.static.evaluating import open_evaluator, print_failures
from twinbench.statistics import DEFAULT_LEVEL, DEFAULT_RESAMPLES


@expand_option_groups
def report(
    routers: RoutersArgument = None,
    *,
    output: PageOption,
    predictions: PredictionsOption = None,
    judging: EvaluationOptions,
    resampling: ResamplingOptions,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help="How many failures and overspending steps of a router to show; 0: all.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = 5,
    points: Annotated[
        int,
        typer.Option(
            "--points",
            metavar="N",
            min=0,
            help="Number of thresholds of a curve; less than 2: no curves.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = 11,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
) -> None:
    """Write an HTML report about routers on a bank: table, plots, curves, confusion, workloads, worst steps.

    It is a single file that opens offline. Exit code 1 if a router failed on every row or was stopped; the report says
    so.
    """
    from static_track.analysis.report import make_report as report_of
    from twinbench.display.html.plots import require_plots

    check_output(output, json_=json_)
    require_plots()
    drawing = resampling.resampling()
    asked = routers or []
    options = {
        "--predictions": predictions,
        "--bank": judging.bank,
        "--split": judging.split,
        "--tokenizers": None if judging.tokenizers == "offline" else judging.tokenizers,
        "--prices": judging.prices,
        "--order-seed": judging.order_seed or None,
        "--resamples": None if resampling.resamples == DEFAULT_RESAMPLES else resampling.resamples,
        "--level": None if resampling.level == DEFAULT_LEVEL else resampling.level,
        "--seed": resampling.seed or None,
        "--limit": None if limit == 5 else limit,
        "--points": None if points == 11 else points,
    }
    with open_evaluator(judging, plugins, gateway, asked) as (opened, judge):
        found = report_of(opened, judge, asked, predictions or [], drawing, limit=limit or None, points=points)
    write_page(found.html(command_line("static", asked, options, output)), output, json_=json_)
    if print_failures(found.board.entries):
        raise typer.Exit(1)
