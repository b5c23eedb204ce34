"""``twinbench static``: score routers offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from twinbench.cli.help import Group, Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    ComparisonResamplingOptions,
    EvaluationOptions,
    FormatOption,
    GatewayOptions,
    JsonOption,
    OutputOption,
    PredictionsOption,
    ResamplingOptions,
    RouterArgument,
    RoutersArgument,
)
from twinbench.cli.output import Format, Table, append_text, make_printable, print_json, print_table
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.static import crossval, curve, explain, report
from twinbench.cli.static.evaluating import import_what_results_need, open_evaluator, print_failures
from twinbench.display.wording import format_count

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.command()
@expand_option_groups
def score(
    routers: RoutersArgument = None,
    *,
    predictions: PredictionsOption = None,
    judging: EvaluationOptions,
    resampling: ResamplingOptions,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="METRIC=X",
            help="Exit with 1 if a named router scores below X, such as combined=60; repeatable.",
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help='Append the scores to a file as Markdown, such as "$GITHUB_STEP_SUMMARY".',
            show_default=False,
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="FILE",
            help="Predictions of an earlier version of the router: --summary also says what has changed since.",
            show_default=False,
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = None,
    legacy: Annotated[
        bool,
        typer.Option(
            "--legacy", help="Add the released scorer's older blocks (with --json).", rich_help_panel=Panel.OUTPUT
        ),
    ] = False,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Score routers and prediction files on a bank, together with the references.

    Exit code 1 if a router failed on every row, or ten times in a row and was stopped, or scores below --fail-under.
    """
    from twinbench.cli.static.floors import missed_floors, parse_floors
    from twinbench.statistics import Resampling

    drawing = resampling.resampling()
    floors = parse_floors(fail_under or [])
    if before is not None:
        _refuse_before(routers or [], predictions or [], summary)
    with open_evaluator(judging, plugins, gateway, routers or []) as (_, judge):
        import_what_results_need(drawing, is_drawn=not json_ and form is Format.table)
        board = judge.board(routers or [], predictions or [], drawing)
        change = None
        if before is not None:
            change = judge.compare(routers or [], [*(predictions or []), before], drawing or Resampling())
    from twinbench.cli.static.tables import board_summary, board_table, change_summary

    if json_:
        print_json(board.to_json(legacy=legacy), output)
    else:
        print_table(board_table(board), form, output)
    missed = missed_floors(board, floors)
    if summary is not None:
        changed = "" if change is None else change_summary(change)
        append_text(changed + board_summary(board, floors, missed), summary)
    failed = print_failures(board.entries)
    for each in missed:
        typer.echo(make_printable(f"error: {each}"), err=True)
    if failed or missed:
        raise typer.Exit(1)


def _refuse_before(routers: Sequence[str], predictions: Sequence[str], summary: str | None) -> None:
    """Refuse ``--before`` where there is nothing that it could say something about.

    Raises:
        UsageError: no summary is requested, or not exactly one router.
    """
    from twinbench.errors import UsageError

    if summary is None:
        raise UsageError("--before is about what --summary says: add --summary FILE")
    if len(routers) + len(predictions) != 1:
        raise UsageError("--before is about one router: name one router, or give one prediction file")


@app.command()
@expand_option_groups
def compare(
    routers: RoutersArgument = None,
    *,
    predictions: PredictionsOption = None,
    judging: EvaluationOptions,
    resampling: ComparisonResamplingOptions,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Compare routers pairwise: differences with intervals, tests corrected for all pairs, and ranks.

    Exit code 1 if a router failed on every row, or ten times in a row and was stopped; a difference is not a failure.
    """
    from twinbench.cli.static.tables import comparison_table

    drawing = resampling.resampling()
    with open_evaluator(judging, plugins, gateway, routers or []) as (_, judge):
        import_what_results_need(drawing, is_drawn=not json_ and form is Format.table)
        comparison = judge.compare(routers or [], predictions or [], drawing)
    if json_:
        print_json(comparison.to_json(), output)
    else:
        print_table(comparison_table(comparison), form, output)
    if print_failures(comparison.entries):
        raise typer.Exit(1)


@app.command()
@expand_option_groups
def predict(
    router: RouterArgument,
    *,
    output: OutputOption = "-",
    judging: EvaluationOptions,
    plugins: PluginOptions,
    gateway: GatewayOptions,
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a summary as JSON on standard output; needs -o FILE.", rich_help_panel=Panel.OUTPUT
        ),
    ] = False,
) -> None:
    """Write a router's predictions for a bank as JSONL: {"id", "tier_id"} or {"id", "error"} per row.

    Exit code 1 if the router failed on every row, or ten times in a row and was stopped.
    """
    from static_track.predictions import prediction_lines
    from twinbench.cli.output import write_text
    from twinbench.errors import UsageError

    if json_ and output == "-":
        raise UsageError("--json prints a summary to standard output, so the predictions need a file: add -o FILE")
    with open_evaluator(judging, plugins, gateway, [router]) as (opened, judge):
        found = judge.predictions(router)
        write_text("".join(line + "\n" for line in prediction_lines(found, opened.row_ids)), output)
        summary: dict[str, Any] = {
            "router": router,
            "bank": opened.info.name,
            "split": judging.split,
            "order_seed": judging.order_seed,
            "rows": len(found.row_nos),
            "errors": len(found.errors),
            "output": output,
            "router_usd": found.total_router_usd,
            **({} if opened.info.caveat is None else {"caveat": opened.info.caveat}),
        }
    if json_:
        print_json(summary)
    elif output != "-":
        predictions = f"{format_count(len(found.row_nos), 'prediction')}, {format_count(len(found.errors), 'error')}"
        if found.total_router_usd is not None:
            predictions += f", {found.total_router_usd:.4f} USD for the router's own LLM calls"
        typer.echo(make_printable(f"{predictions}: {output}"), err=True)
    if not json_ and opened.info.caveat is not None:
        typer.echo(make_printable(f"note: {opened.info.caveat}"), err=True)
    if found.failure is not None:
        typer.echo(make_printable(f"error: {router} {found.failure}: {next(iter(found.errors.values()))}"), err=True)
        raise typer.Exit(1)


@app.command()
def published(json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """Show the scores that the paper reports on its 970-row bank."""
    from twinbench.cli.static.tables import PUBLISHED_COLUMNS
    from twinbench.storage.published import published_results

    results = published_results()
    if json_:
        print_json(results, output)
        return
    notes = [f"Source: {results['source']}. The bank is not shipped, so these scores cannot be reproduced here."]
    print_table(
        Table("Published static scores, 970 rows", PUBLISHED_COLUMNS, results["static_970_rows"], notes), form, output
    )


app.command("crossval")(crossval.crossval)
app.command("explain")(explain.explain)
app.command("diff")(explain.diff)
app.command("curve")(curve.curve)
app.command("report")(report.report)
