"""``twinbench bank from-outcomes``: a bank of labelled tasks from a table of outcomes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from twinbench.cli.options import JsonOption, StoreOption
from twinbench.cli.outcomes.headroom import TiersOption
from twinbench.cli.outcomes.options import TableArgument, WorkloadOption, pairs_of
from twinbench.cli.output import make_printable, print_json, progress
from twinbench.display.wording import format_count


class Hopeless(StrEnum):
    """What is done with tasks that no tier solved."""

    leave_out = "leave-out"
    high = "high"


def from_outcomes(
    table: TableArgument,
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the bank.")],
    tiers: TiersOption,
    text: Annotated[
        str,
        typer.Option(
            "--text",
            metavar="TASKS",
            help="The tasks' texts: a file of tasks (.jsonl, .jsonl.gz, .json, .parquet), or verified from the "
            "Hugging Face hub.",
        ),
    ],
    workload: WorkloadOption = None,
    hopeless: Annotated[
        Hopeless, typer.Option("--hopeless", help="What becomes of tasks that no tier solved.")
    ] = Hopeless.leave_out,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a bank of that name.")] = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Make a bank of a table of outcomes: a row a task, labelled with the lowest tier whose model solved it.

    Labels apply to tasks, not to steps, and the bank says so wherever its numbers are shown.
    """
    from static_track.banks import from_outcomes as making
    from twinbench.api.outcomes import texts
    from twinbench.outcomes.keeping import open_table
    from twinbench.storage.store import Store

    opened = Store(store)
    models = pairs_of("--tiers", tiers, "TIER=MODEL, such as low=M1,high=M2")
    with progress() as shown:
        found = open_table(table, opened)
        info, counts = making.bank_from_outcomes(
            found.outcomes.grid(workload),
            found.info,
            models,
            texts(text).by_task,
            name,
            opened,
            hopeless=making.Hopeless(hopeless),
            replace=replace,
            progress=shown,
        )
    if json_:
        print_json(info.to_json_with_caveat() | {"tasks": counts.to_json()})
        return
    typer.echo(
        f"imported {info.name}: {format_count(info.rows, 'row')}, one a task, sha256 {info.sha256}; left out: "
        f"{counts.unknown:,} without a known verdict, {counts.without_text:,} without a text"
    )
    typer.echo(make_printable(info.caveat))
    typer.echo(f"next: twinbench static score depth-rule --bank {info.name}")
