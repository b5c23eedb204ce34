"""``twinbench outcomes headroom``: what routing could win at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.outcomes.options import (
    ChoosingOptions,
    OutcomesResamplingOptions,
    PenaltyOption,
    TableArgument,
    alone_or_several,
    pairs_of,
    workloads_of,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress

if TYPE_CHECKING:
    from twinbench.outcomes.headroom import Headroom

TiersOption = Annotated[
    list[str],
    typer.Option(
        "--tiers",
        metavar="TIER=MODEL,...",
        help="The model of each tier, such as low=M1,high=M2; two of low, mid, mid_high and high or more.",
    ),
]


@expand_option_groups
def headroom(
    name: TableArgument,
    *,
    tiers: TiersOption,
    choosing: ChoosingOptions,
    penalty_usd: PenaltyOption = None,
    sensitivity: Annotated[
        float | None,
        typer.Option(
            "--sensitivity",
            metavar="SHARE",
            min=0,
            max=1,
            help="Also a cascade whose verifier accepts so many of the right solutions.",
            show_default=False,
        ),
    ] = None,
    specificity: Annotated[
        float | None,
        typer.Option(
            "--specificity",
            metavar="SHARE",
            min=0,
            max=1,
            help="And rejects so many of the wrong ones.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Also write a page with a plot to FILE.", show_default=False),
    ] = None,
    resampling: OutcomesResamplingOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Say what routing among some models could win at most on the tasks of a table: is there anything to win?

    Always the same model, models by lot, cascades, and the cheapest model that solves each task, known in hindsight.
    """
    from twinbench.api.outcomes import headroom as headroom_of

    models = pairs_of("--tiers", tiers, "TIER=MODEL, such as low=M1,high=M2")
    workloads = workloads_of(name, choosing.workload, store, list(models.values()))
    if html is not None:
        _refuse_page(html, len(workloads), json_=json_ and output == "-")
    drawing = resampling.resampling()
    with progress() as shown:
        shown("comparing policies", 0, None)
        found = [
            headroom_of(
                name,
                models,
                workload=workload,
                only=choosing.only or (),
                split=choosing.split,
                penalty_usd=penalty_usd,
                sensitivity=sensitivity,
                specificity=specificity,
                resampling=drawing,
                store=store,
            )
            for workload in workloads
        ]
    if html is not None:
        _write_page(found[0], html, _command(found[0], choosing, sensitivity, specificity, resampling, html))
    if json_:
        print_json(alone_or_several([each.to_json() for each in found]), output)
    else:
        print_table(_table(found), form, output)


def _refuse_page(html: str, workloads: int, *, json_: bool) -> None:
    from twinbench.cli.pages import check_output
    from twinbench.display.html.plots import require_plots
    from twinbench.errors import UsageError

    if html == "-":
        raise UsageError("--html -: the table is written to standard output; name a file for the page")
    if workloads > 1:
        raise UsageError("--html: a page shows one workload; name it with --workload")
    check_output(html, json_=json_, option="--html")
    require_plots()


def _write_page(found: Headroom, html: str, command: str) -> None:
    from twinbench.cli.output import make_printable, write_text
    from twinbench.outcomes.report import make_page

    written = make_page(found, command)
    write_text(written, html)
    typer.echo(f"{make_printable(html)}: {len(written.encode()):,} bytes, opens offline", err=True)


def _command(
    found: Headroom,
    choosing: ChoosingOptions,
    sensitivity: float | None,
    specificity: float | None,
    resampling: OutcomesResamplingOptions,
    html: str,
) -> str:
    from pathlib import Path

    from twinbench.cli.pages import command_text

    options: dict[str, Any] = {
        "--tiers": ",".join(f"{tier}={model}" for tier, model in found.tiers.items()),
        "--workload": choosing.workload,
        "--only": choosing.only,
        "--split": choosing.split,
        "--penalty-usd": found.penalty_usd,
        "--sensitivity": sensitivity,
        "--specificity": specificity,
        "--resamples": resampling.resamples,
        "--level": resampling.level,
        "--seed": resampling.seed,
        "--html": Path(html).name,
    }
    return command_text(["twinbench", "outcomes", "headroom", found.info.name], options)


def _table(found: list[Headroom]) -> Table:
    from twinbench.outcomes.wording import headroom_notes

    several = len(found) > 1
    columns = [
        Column("workload", "Workload", for_people=several),
        Column("name", "Policy"),
        Column("kind", "Kind", for_people=False),
        Column("models", "Chooses from"),
        Column("resolved", "Resolved", 1),
        Column("verdicts", "Verdicts", kind=int),
        Column("tasks", "Tasks priced too", kind=int),
        Column("share", "Resolved, %", 1, interval_keys=("resolved_low", "resolved_high")),
        Column("mean_cost_usd", "Cost of a task, USD", 3),
        Column("mean_bill_usd", "Bill of a task, USD", 3),
        Column("bill", "Bill, USD", for_programs=False),
        Column("on_hull", "On the hull"),
        *(
            Column(key, title, for_people=False)
            for key, title in (
                ("resolved_low", "Resolved from, %"),
                ("resolved_high", "Resolved to, %"),
                ("cost_usd", "Cost, USD"),
                ("cost_usd_low", "Cost from"),
                ("cost_usd_high", "Cost to"),
                ("bill_usd", "Bill, USD"),
                ("bill_usd_low", "Bill from"),
                ("bill_usd_high", "Bill to"),
            )
        ),
    ]
    rows = []
    for each in found:
        for row in each.records():
            low, high = row["bill_usd_low"], row["bill_usd_high"]
            between = "" if low is None else f" [{low:.2f}, {high:.2f}]"
            hull = row["on_hull"] if row["kind"] == "constant" else None
            bill = None if row["bill_usd"] is None else f"{row['bill_usd']:.2f}{between}"
            rows.append(row | {"bill": bill, "on_hull": hull})
    notes = [f"{each.workload}: {note}" if several else note for each in found for note in headroom_notes(each)]
    title = f"Headroom in {found[0].info.name}" + ("" if several else f", {found[0].workload}")
    return Table(title, columns, rows, notes, caveat=found[0].caveat)
