"""``twinbench bank``: banks of prefixes in the store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.options import BankArgument, FormatOption, JsonOption, OutputOption, StoreOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable, progress
from twinbench.wording import counted, trajectories

if TYPE_CHECKING:
    from static_track.bank import BankInfo
    from twinbench.errors import Problem


class SourceFormat(StrEnum):
    """What is imported."""

    rows = "rows"
    mini_swe_agent = "mini-swe-agent"


app = typer.Typer(help="Bring banks of prefixes into the store, look at them, take them out.", no_args_is_help=True)


@app.command("import")
def import_(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help=".jsonl, .jsonl.gz, .json, .parquet, or - for standard input; with --format mini-swe-agent any number "
            "of trajectory files (.traj.json, .traj.json.gz) and folders of them.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the bank.")],
    source: Annotated[
        SourceFormat,
        typer.Option("--format", help="rows: a bank's rows, as the ending says; mini-swe-agent: runs of that agent."),
    ] = SourceFormat.rows,
    workload: Annotated[
        str | None,
        typer.Option(
            "--workload",
            metavar="NAME",
            help="The workload of imported runs; default: swebench.",
            show_default=False,
        ),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a bank of that name.")] = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Import a bank: all of it or nothing. Of runs, each file that is one: every call is a row without a label.

    Exit code 1 where a file was left out.
    """
    from static_track.bank import STARTER, Bank
    from static_track.board import Judge
    from static_track.importing import import_bank
    from static_track.trajectories import WORKLOAD, import_trajectories
    from twinbench.errors import UsageError
    from twinbench.store import Store

    if name == STARTER:
        raise UsageError(f"the name {STARTER!r} is the embedded bank's; choose another --name")
    opened = Store(store)
    left_out: Sequence[Problem] = ()
    with progress() as shown:
        if source is SourceFormat.mini_swe_agent:
            found = import_trajectories(
                paths, name, opened, workload=workload or WORKLOAD, replace=replace, progress=shown
            )
            info, left_out = found.info, found.problems
        elif len(paths) > 1:
            raise UsageError("a bank is one file; of runs (--format mini-swe-agent) there may be several")
        elif workload is not None:
            raise UsageError("--workload is of imported runs (--format mini-swe-agent): rows say it themselves")
        else:
            info = import_bank(paths[0], name, opened, replace=replace, progress=shown)
        if info.labelled:
            with Bank.open(name, opened) as bank:
                Judge(bank, progress=shown).board([])  # they depend on the bank alone: no table waits for them
    _tell_left_out(left_out)
    if json_:
        print_json(info.to_json() | ({"problems": [each.to_json() for each in left_out]} if left_out else {}))
    else:
        _tell_imported(info)
    if left_out:
        raise typer.Exit(1)


def _tell_left_out(problems: Sequence[Problem]) -> None:
    """Name the files that were not imported, and what is wrong with them."""
    from twinbench.errors import SHOWN_PROBLEMS

    if not problems:
        return
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(printable(f"error: {problem}"), err=True)
    if len(problems) > SHOWN_PROBLEMS:
        typer.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more (--json lists all)", err=True)
    files = len({problem.source for problem in problems})
    typer.echo(f"{counted(files, 'file')} left out; all others are imported", err=True)


def _tell_imported(info: BankInfo) -> None:
    labels = "" if info.labelled else ", without labels"
    typer.echo(
        f"imported {info.name}: {counted(info.rows, 'row')}, {trajectories(info.trajectories)}{labels}, "
        f"sha256 {info.sha256}"
    )
    if info.heldout_trajectories:
        typer.echo(
            f"instances of heldout100: {trajectories(info.heldout_trajectories)}, which stand in the part heldout only"
        )
    next_ = "score depth-rule sticky" if info.labelled else "predict sticky"
    typer.echo(f"next: twinbench static {next_} --bank {info.name}")


@app.command("list")
def list_(
    *,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """List the banks of the store.

    Exit code 1 where one of them cannot be read; the others are listed.
    """
    from static_track.bank import list_banks
    from static_track.starter import ensure_starter
    from twinbench.errors import StoreWriteError
    from twinbench.store import Store

    opened = Store(store)
    try:
        with progress() as shown:
            ensure_starter(opened, shown)
    except StoreWriteError:
        if not opened.root.is_dir():
            raise
        # A store that can only be read is listed as it is.
    banks, damaged = list_banks(opened)
    for error in damaged:
        typer.echo(printable(f"error: {error}"), err=True)
    if json_:
        print_json({"banks": [info.described() for info in banks]}, output)
    else:
        _print_banks(banks, opened.root, form, output)
    if damaged:
        raise typer.Exit(1)


def _print_banks(banks: Sequence[BankInfo], root: Path, form: Format, output: str) -> None:
    columns = [
        Column("name", "Name"),
        Column("rows", "Rows"),
        Column("trajectories", "Trajectories"),
        Column("heldout_trajectories", "Held out"),
        Column("workloads", "Workloads"),
        Column("sha256", "SHA-256"),
        Column("imported", "Imported"),
    ]
    rows = [info.to_json() | {"workloads": ", ".join(info.workloads)} for info in banks]
    if form is Format.table:
        rows = [row | {"sha256": str(row["sha256"])[:12]} for row in rows]
    caveat = "\n".join(f"{info.name}: {info.caveat}" for info in banks if info.caveat is not None) or None
    print_table(Table(f"Banks in {root}", columns, rows, caveat=caveat), form, output)


@app.command()
def show(
    name: BankArgument,
    *,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Show what a bank holds: rows by workload and label, and its splits."""
    from static_track.splits import list_splits
    from static_track.starter import open_bank
    from twinbench.store import Store
    from twinbench.tiers import TIER_LABELS

    opened_store = Store(store)
    with progress() as shown, open_bank(name, opened_store, shown) as bank:
        workloads = bank.label_counts()
        splits = list_splits(opened_store.bank_dir(name), bank.info.sha256)
    if json_:
        described = [
            {
                "name": split["name"],
                "seed": split["seed"],
                "fingerprint": split["fingerprint"],
                "parts": {part: len(numbers) for part, numbers in split["parts"].items()},
            }
            for split in splits
        ]
        print_json(bank.info.described() | {"by_workload": workloads, "splits": described}, output)
        return
    columns = [
        Column("workload", "Workload"),
        Column("rows", "Rows"),
        Column("trajectories", "Trajectories"),
        *(Column(label, label) for label in TIER_LABELS),
        Column("longest_prompt_tokens", "Longest prompt, tokens"),
    ]
    notes = [
        f"source {bank.info.source}, sha256 {bank.info.source_sha256}",
        f"canonical export sha256 {bank.info.sha256}",
        *(
            f"split {split['name']} (seed {split['seed']}): "
            + ", ".join(f"{part} {trajectories(len(numbers))}" for part, numbers in split["parts"].items())
            for split in splits
        ),
    ]
    if bank.info.heldout_trajectories:
        notes.append(f"part heldout: {trajectories(bank.info.heldout_trajectories)}, instances of heldout100")
    print_table(
        Table(f"Bank {name}: {counted(bank.info.rows, 'row')}", columns, workloads, notes, caveat=bank.info.caveat),
        form,
        output,
    )


@app.command()
def validate(
    target: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A bank of the store, or a file that is not imported yet.")
    ],
    *,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Check a file row by row, or that a stored bank still is what was imported.

    Exit code 1 where something is wrong.
    """
    from static_track.bank import STARTER
    from static_track.importing import validate_bank, validate_file
    from static_track.starter import ensure_starter
    from twinbench.errors import SHOWN_PROBLEMS, UsageError
    from twinbench.store import Store

    opened = Store(store)
    with progress() as shown:
        if target == "-" or Path(target).exists():
            rows, problems = validate_file(target, shown)
        elif target == STARTER or opened.pointer_exists(target):
            if target == STARTER:
                ensure_starter(opened, shown)
            rows, problems = validate_bank(target, opened)
        else:
            banks = ", ".join(opened.bank_names()) or "none yet"
            raise UsageError(f"no file and no bank {target} (banks in {opened.root}: {banks})")
    if json_:
        print_json({"target": target, "valid_rows": rows, "problems": [problem.to_json() for problem in problems]})
    else:
        for problem in problems[:SHOWN_PROBLEMS]:
            typer.echo(printable(problem), err=True)
        if len(problems) > SHOWN_PROBLEMS:
            typer.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more (--json lists all)", err=True)
        typer.echo(printable(f"{target}: {counted(rows, 'valid row')}, {counted(len(problems), 'problem')}"))
    if problems:
        raise typer.Exit(1)


@app.command()
def export(
    name: BankArgument,
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help=".jsonl, .jsonl.gz, .json, .parquet, or - for standard output."
        ),
    ] = "-",
    json_: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON on standard output; needs -o FILE.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Write a bank out: every row of the import, field by field, in canonical order."""
    from static_track.exporting import export_bank
    from static_track.starter import open_bank
    from twinbench.errors import UsageError
    from twinbench.store import Store

    if json_ and output == "-":
        raise UsageError("--json prints a summary on standard output, where the rows go: add -o FILE")
    with progress() as shown, open_bank(name, Store(store), shown) as bank:
        export_bank(bank, output)
    if json_:
        print_json({"name": name, "output": output, "rows": bank.info.rows, "sha256": bank.info.sha256})
    elif output != "-":
        typer.echo(printable(f"{counted(bank.info.rows, 'row')}: {output}"), err=True)


@app.command()
def rm(name: BankArgument, *, json_: JsonOption = False, store: StoreOption = None) -> None:
    """Remove a bank with its splits; scores that were made on it stay."""
    from twinbench.store import Store

    Store(store).remove_bank(name)
    if json_:
        print_json({"removed": name})
    else:
        typer.echo(f"removed {name}")


@app.command()
def split(
    name: BankArgument,
    *,
    split_name: Annotated[str, typer.Option("--name", metavar="SPLIT", help="What to call the split.")] = "default",
    parts: Annotated[
        str, typer.Option("--parts", metavar="SHARES", help="Parts with their shares.")
    ] = "train=60,dev=20,test=20",
    seed: Annotated[int, typer.Option("--seed", help="Another seed deals the trajectories differently.")] = 0,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
    store: StoreOption = None,
) -> None:
    """Split a bank into parts by trajectory, stratified by workload and label.

    Instances of heldout100 stand in the part "heldout" alone. Score a part with: twinbench static score … --split PART.
    """
    from static_track.starter import open_bank
    from twinbench.store import Store
    from twinbench.tiers import TIER_LABELS

    with progress() as shown, open_bank(name, Store(store), shown) as bank:
        plan = bank.make_split(split_name, parts, seed)
        rows = [{"part": part, **bank.part_counts(numbers)} for part, numbers in plan.parts.items()]
    if json_:
        print_json(plan.to_json(bank.info.sha256) | {"counts": rows}, output)
        return
    columns = [
        Column("part", "Part"),
        Column("trajectories", "Trajectories"),
        Column("rows", "Rows"),
        *(Column(label, label) for label in TIER_LABELS),
    ]
    title = f"Split {split_name} of {name}, seed {seed}"
    print_table(Table(title, columns, rows, caveat=bank.info.caveat), form, output)
