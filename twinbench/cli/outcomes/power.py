"""``twinbench outcomes power``: what an experiment could find."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from twinbench.cli.option_groups import takes_option_groups
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
from twinbench.cli.output import RANK_COLUMNS, Column, Format, Table, print_json, print_table, progress, rank_cells


@takes_option_groups
def power(
    name: TableArgument,
    *,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models", metavar="MODEL,...", help="Which to compare; repeatable; default: all.", show_default=False
        ),
    ] = None,
    choosing: ChoosingOptions,
    tasks: Annotated[
        int | None,
        typer.Option(
            "--tasks",
            metavar="N",
            min=1,
            max=100_000,
            help="How many tasks the experiment would have; default: those that are chosen.",
            show_default=False,
        ),
    ] = None,
    difference: Annotated[
        float, typer.Option("--difference", metavar="POINTS", help="The difference in resolved tasks to be found.")
    ] = 5.0,
    chance: Annotated[
        float, typer.Option("--power", metavar="SHARE", help="The chance that it is to be found with.")
    ] = 0.8,
    penalty_usd: PenaltyOption = None,
    pilot: Annotated[
        int | None,
        typer.Option(
            "--pilot",
            metavar="N",
            min=1,
            help="Choose the N tasks whose results best preserve the order of all models.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="TASKS",
            help="Whether the tasks' own texts predict success: a file of tasks (.jsonl, .jsonl.gz, .json, .parquet), "
            "or verified from the Hugging Face hub.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="NAME",
            help="Another table: how far the results of the same models agree.",
            show_default=False,
        ),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(
            "--same",
            metavar="MODEL=MODEL",
            help="What a model is called in the other table; repeatable.",
            show_default=False,
        ),
    ] = None,
    resampling: OutcomesResamplingOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Say what an experiment with some models could find: differences, ranks, how many tasks they take, noise."""
    from twinbench.api.outcomes import outcomes_power
    from twinbench.outcomes.wording import power_notes

    chosen = [each for given in models or [] for each in given.split(",") if each]
    called = pairs_of("--same", same or [], "MODEL=MODEL, the first as it is called in this table")
    drawing = resampling.drawing()
    with progress() as shown:
        shown("comparing models", 0, None)
        found = [
            outcomes_power(
                name,
                chosen,
                workload=workload,
                only=choosing.only or (),
                split=choosing.split,
                tasks=tasks,
                difference=difference,
                power=chance,
                penalty_usd=penalty_usd,
                pilot=pilot,
                text=text,
                against=against,
                same=called,
                resampling=drawing,
                store=store,
            )
            for workload in workloads_of(name, choosing.workload, store, chosen)
        ]
    if json_:
        print_json(alone_or_several([each.to_json() for each in found]), output)
        return
    several = len(found) > 1
    columns = [
        Column("workload", "Workload", for_people=several),
        Column("model", "Model"),
        Column("resolved", "Resolved", 1),
        Column("verdicts", "Verdicts", kind=int),
        Column("share", "Resolved, %", 1),
        *RANK_COLUMNS,
        Column("group", "Group"),
        Column("mean_cost_usd", "Cost of a task, USD", 3),
        Column("bill_rank", "Rank by bill", for_programs=False),
        Column("bill_rank_best", "Best rank by bill", kind=int, for_people=False),
        Column("bill_rank_worst", "Worst rank by bill", kind=int, for_people=False),
    ]
    rows: list[dict[str, Any]] = [
        {"workload": each.workload, **ranked.to_json(), **rank_cells(ranked.rank), **_by_bill(ranked.bill_rank)}
        for each in found
        for ranked in each.models
    ]
    notes = [f"{each.workload}: {note}" if several else note for each in found for note in power_notes(each)]
    title = f"Models in {found[0].info.name}" + ("" if several else f", {found[0].workload}")
    print_table(Table(title, columns, rows, notes, caveat=found[0].caveat), form, output)


def _by_bill(rank: tuple[int, int] | None) -> dict[str, Any]:
    return {f"bill_{key}": value for key, value in rank_cells(rank).items()}
