"""``twinbench outcomes import``, ``list``, ``show`` and ``rm``: tables of outcomes in the store."""

from __future__ import annotations

from typing import Annotated

import typer

from twinbench.cli.options import FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.outcomes.options import TableArgument
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.display.wording import format_count


def import_(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files (.csv, .csv.gz, .jsonl, .jsonl.gz, .json, .parquet), folders with a .json of tasks for each "
            "model, run directories.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the table.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="FIELD=NAME",
            help="Which column is the model, task, resolved, cost_usd, workload, trial or steps; repeatable. Default: "
            "found by name.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model of all outcomes.", show_default=False),
    ] = None,
    workload: Annotated[
        str | None,
        typer.Option("--workload", metavar="NAME", help="The workload of all outcomes.", show_default=False),
    ] = None,
    origin: Annotated[str, typer.Option("--origin", metavar="TEXT", help="Where the files are from.")] = "",
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Their licence.")] = "",
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="What anyone who is shown its numbers must be told.")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a table of that name.")] = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Import outcomes of models on tasks: which were resolved, at what cost; all of them or nothing.

    Unknown stays unknown: an empty verdict is not a failure, an empty or zero cost is not a price.
    """
    from twinbench.api.outcomes import read_outcomes
    from twinbench.outcomes.columns import parse_columns
    from twinbench.outcomes.keeping import Provenance, require_free_name, store_table
    from twinbench.outcomes.reading import ReadOptions
    from twinbench.storage.store import Store

    opened, told = Store(store), Provenance(origin, licence, note)
    wanted = ReadOptions(parse_columns(column or []), model, workload)
    require_free_name(name, opened, replace=replace)
    with progress() as shown:
        shown("reading outcomes", 0, None)
        read, caveat = read_outcomes(paths, wanted)
        info = store_table(read, name, opened, told.with_note(caveat), replace=replace)
    for each in read.notes:
        typer.echo(make_printable(f"note: {each}"), err=True)
    if json_:
        print_json(info.to_json())
        return
    typer.echo(
        f"imported {info.name}: {format_count(info.outcomes, 'outcome')}, {format_count(info.models, 'model')} on "
        f"{format_count(info.tasks, 'task')} of {make_printable(', '.join(info.workloads))}; "
        f"{format_count(info.unknown_verdicts, 'unknown verdict')}, {format_count(info.unknown_costs, 'unknown cost')}"
    )
    if info.note:
        typer.echo(make_printable(info.note))
    typer.echo(f"next: twinbench outcomes show {info.name}")


def list_(
    *,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """List the tables of outcomes: those of the store, and those that ship with twinbench.

    Exit code 1 where one of them cannot be read; the others are listed.
    """
    from twinbench.outcomes.keeping import list_tables
    from twinbench.storage.store import Store

    opened = Store(store)
    found, damaged = list_tables(opened)
    for error in damaged:
        typer.echo(make_printable(f"error: {error}"), err=True)
    if json_:
        print_json({"tables": [info.to_json() for info in found]}, output)
    else:
        columns = [
            Column("name", "Name"),
            Column("outcomes", "Outcomes", kind=int),
            Column("models", "Models", kind=int),
            Column("tasks", "Tasks", kind=int),
            Column("workloads", "Workloads"),
            Column("unknown_verdicts", "Unknown verdicts", kind=int),
            Column("unknown_costs", "Unknown costs", kind=int),
            Column("shipped", "Ships with twinbench"),
            Column("licence", "Licence"),
            Column("sha256", "SHA-256", for_people=False),
        ]
        rows = [info.to_json() | {"workloads": ", ".join(info.workloads)} for info in found]
        caveat = "\n".join(f"{info.name}: {info.note}" for info in found if info.note) or None
        print_table(Table(f"Outcomes in {opened.root}", columns, rows, caveat=caveat), form, output)
    if damaged:
        raise typer.Exit(1)


def show(
    name: TableArgument,
    *,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Show what a table holds: each model in each workload, what it resolved, what is not known."""
    from twinbench.outcomes.keeping import open_table
    from twinbench.storage.store import Store

    with progress() as shown:
        shown("reading outcomes", 0, None)
        table = open_table(name, Store(store))
        rows = table.outcomes.summary()
    info = table.info
    if json_:
        print_json(info.to_json() | {"by_model": rows}, output)
        return
    columns = [
        Column("workload", "Workload"),
        Column("model", "Model"),
        Column("tasks", "Tasks", kind=int),
        Column("outcomes", "Outcomes", kind=int),
        Column("resolved", "Resolved", kind=int),
        Column("unknown_verdicts", "Unknown verdicts", kind=int),
        Column("cost_usd", "Cost, USD", 2),
        Column("unknown_costs", "Unknown costs", kind=int),
    ]
    notes = [
        f"source {info.source}, sha256 {info.source_sha256}",
        *([f"from {info.origin}"] if info.origin else []),
        *([f"licence: {info.licence}"] if info.licence else []),
        f"columns: {', '.join(f'{field} is {column}' for field, column in info.columns.items())}",
    ]
    title = f"Outcomes {name}: {format_count(info.models, 'model')}, {format_count(info.tasks, 'task')}"
    print_table(Table(title, columns, rows, notes, caveat=info.note or None), form, output)


def rm(name: TableArgument, *, json_: JsonOption = False, store: StoreOption = None) -> None:
    """Remove a table of outcomes from the store."""
    from twinbench.outcomes.keeping import remove_table
    from twinbench.storage.store import Store

    remove_table(name, Store(store))
    if json_:
        print_json({"removed": name})
    else:
        typer.echo(f"removed {name}")
