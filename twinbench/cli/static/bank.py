"""``twinbench bank``: manage banks of recorded calls in the store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli.help import Group, Panel
from twinbench.cli.options import BankArgument, FormatOption, JsonOption, OutputOption, SplitOption, StoreOption
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.cli.static import bank_review
from twinbench.cli.static.bank_build import build
from twinbench.cli.static.bank_card import card
from twinbench.cli.static.bank_check import check, print_leaks, quick_check
from twinbench.cli.static.bank_outcomes import from_outcomes
from twinbench.cli.static.bank_split import grouping_summary, groups_column, split
from twinbench.display.wording import did_you_mean, format_count, format_trajectories

if TYPE_CHECKING:
    from static_track.banks.bank_info import BankInfo
    from twinbench.display.progress import Progress
    from twinbench.errors import Problem
    from twinbench.storage.store import Store


class SourceFormat(StrEnum):
    """Formats of imported files."""

    rows = "rows"
    mini_swe_agent = "mini-swe-agent"


_ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace an existing bank of that name.")]

app = typer.Typer(cls=Group, no_args_is_help=True)


@app.command("import")
def import_(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help=".jsonl, .jsonl.gz, .json, .parquet, the directory of a bank build, or - for standard input; with "
            "--format mini-swe-agent any number of trajectory files (.traj.json, .traj.json.gz) and folders of them.",
        ),
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The bank's name in the store.")],
    source: Annotated[
        SourceFormat,
        typer.Option("--format", help="rows: a bank's rows; mini-swe-agent: trajectory files of that agent."),
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
    replace: _ReplaceOption = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Import a bank, completely or not at all; or trajectory files, whose calls become rows without labels.

    Exit code 1 if a trajectory file was left out.
    """
    from static_track.banks.importing import import_bank
    from static_track.banks.trajectories import WORKLOAD, import_trajectories
    from twinbench.errors import UsageError
    from twinbench.storage.store import Store

    _refuse_reserved(name)
    opened = Store(store)
    left_out: Sequence[Problem] = ()
    with progress() as shown:
        if source is SourceFormat.mini_swe_agent:
            found = import_trajectories(
                paths, name, opened, workload=workload or WORKLOAD, replace=replace, progress=shown
            )
            info, left_out = found.info, found.problems
        elif len(paths) > 1:
            raise UsageError("give one bank file; only --format mini-swe-agent takes several paths")
        elif workload is not None:
            raise UsageError(
                "--workload works with --format mini-swe-agent only: the rows of other formats state their workload"
            )
        else:
            info = import_bank(paths[0], name, opened, replace=replace, progress=shown)
        _score_references(info, opened, shown)
        given_away = quick_check(info, opened, shown)
    _tell_left_out(left_out)
    print_leaks(info, given_away)
    if json_:
        print_json(
            info.to_json_with_caveat() | ({"problems": [each.to_json() for each in left_out]} if left_out else {})
        )
    else:
        _tell_imported(info)
    if left_out:
        raise typer.Exit(1)


@app.command()
def pull(
    published: Annotated[
        str, typer.Argument(metavar="BANK", help="A published bank: official, the whole bank of TwinRouterBench.")
    ],
    *,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="The bank's name in your store; default: its published name.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        str | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="A manifest of published banks; default: the shipped one.",
            show_default=False,
        ),
    ] = None,
    replace: _ReplaceOption = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Download a published bank from the Hugging Face hub and import it, if its SHA-256 is the locked one.

    Nothing is downloaded if the store or the hub's cache has the bank. HF_ENDPOINT, HF_TOKEN and HF_HOME are honoured.
    """
    from static_track.banks.pulling import pull_bank
    from twinbench.storage.manifest_files import DEFAULT_BANKS, published_bank
    from twinbench.storage.store import Store

    wanted = published_bank(published, manifest or DEFAULT_BANKS)
    name = name or wanted.name
    _refuse_reserved(name)
    opened = Store(store)
    with progress() as shown:
        pulled = pull_bank(wanted, name, opened, replace=replace, progress=shown)
        if pulled.imported:
            _score_references(pulled.info, opened, shown)
    for difference in pulled.differences:
        typer.echo(make_printable(f"note: {difference}"), err=True)
    if json_:
        told = {"imported_now": pulled.imported, "downloaded": pulled.downloaded, "differences": pulled.differences}
        print_json(pulled.info.to_json_with_caveat() | told)
    elif pulled.imported:
        if not pulled.downloaded:
            typer.echo("nothing was downloaded: the hub's cache on this machine has the file")
        _tell_imported(pulled.info)
    else:
        typer.echo(f"nothing was downloaded: the store has {name}, sha256 {pulled.info.sha256}")


def _refuse_reserved(name: str) -> None:
    from static_track.banks.embedded_names import EMBEDDED
    from twinbench.errors import UsageError

    if name in EMBEDDED:
        raise UsageError(f"the name {name!r} is reserved for an embedded bank; choose another --name")


def _score_references(info: BankInfo, store: Store, shown: Progress) -> None:
    """Score the references, which depend on the bank alone, so that later scores need not wait for them."""
    from static_track.banks.bank import Bank
    from static_track.evaluator import Evaluator

    if info.labelled:
        with Bank.open(info.name, store) as bank:
            Evaluator(bank, progress=shown).board([])


def _tell_left_out(problems: Sequence[Problem]) -> None:
    """Print the files that were not imported, and their problems."""
    from twinbench.errors import SHOWN_PROBLEMS

    if not problems:
        return
    for problem in problems[:SHOWN_PROBLEMS]:
        typer.echo(make_printable(f"error: {problem}"), err=True)
    if len(problems) > SHOWN_PROBLEMS:
        typer.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more (--json lists all)", err=True)
    files = len({problem.source for problem in problems})
    typer.echo(f"{format_count(files, 'file')} left out; all others were imported", err=True)


def _tell_imported(info: BankInfo) -> None:
    labels = "" if info.labelled else ", without labels"
    typer.echo(
        f"imported {info.name}: {format_count(info.rows, 'row')}, "
        f"{format_trajectories(info.trajectories, info.groups)}{labels}, "
        f"sha256 {info.sha256}"
    )
    if info.caveat is not None and (info.labelled or info.caveats):
        typer.echo(make_printable(info.caveat))
    if info.heldout_trajectories:
        typer.echo(
            f"instances of heldout100: {format_trajectories(info.heldout_trajectories)}, which are in "
            "the part heldout only"
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

    Exit code 1 if one of them cannot be read; the others are listed.
    """
    from static_track.banks.bank_info import list_banks
    from static_track.banks.embedded import ensure_embedded
    from static_track.banks.embedded_names import EMBEDDED
    from twinbench.errors import StoreWriteError
    from twinbench.storage.store import Store

    opened = Store(store)
    try:
        with progress() as shown:
            for name in EMBEDDED:
                ensure_embedded(name, opened, shown)
    except StoreWriteError:
        if not opened.root.is_dir():
            raise
        # A read-only store is listed as it is.
    banks, damaged = list_banks(opened)
    for error in damaged:
        typer.echo(make_printable(f"error: {error}"), err=True)
    if json_:
        print_json({"banks": [info.to_json_with_caveat() for info in banks]}, output)
    else:
        _print_banks(banks, opened.root, form, output)
    if damaged:
        raise typer.Exit(1)


def _print_banks(banks: Sequence[BankInfo], root: Path, form: Format, output: str) -> None:
    columns = [
        Column("name", "Name"),
        Column("rows", "Rows", kind=int),
        Column("trajectories", "Trajectories", kind=int),
        groups_column(info.groups < info.trajectories for info in banks),
        Column("heldout_trajectories", "Held out", kind=int),
        Column("workloads", "Workloads"),
        Column("sha256", "SHA-256", drop_order=1),
        Column("imported", "Imported", drop_order=2),
    ]
    rows = [info.to_json() | {"workloads": ", ".join(info.workloads), "caveat": info.caveat} for info in banks]
    if form.for_people:
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
    """Show a bank's contents: rows by workload and label, and its splits."""
    from static_track.banks.opening import open_bank
    from static_track.banks.splits import list_splits
    from twinbench.routing.tiers import TIER_LABELS
    from twinbench.storage.store import Store

    opened_store = Store(store)
    with progress() as shown, open_bank(name, opened_store, shown) as bank:
        workloads = bank.label_counts()
        splits = list_splits(opened_store.bank_dir(name), bank.info.sha256)
    if json_:
        described = [
            {
                "name": each["name"],
                "seed": each["seed"],
                "fingerprint": each["fingerprint"],
                "near_duplicates": each.get("near_duplicates"),
                "named_groups": each.get("named_groups"),
                "parts": {part: len(numbers) for part, numbers in each["parts"].items()},
            }
            for each in splits
        ]
        print_json(bank.info.to_json_with_caveat() | {"by_workload": workloads, "splits": described}, output)
        return
    columns = [
        Column("workload", "Workload"),
        Column("rows", "Rows", kind=int),
        Column("trajectories", "Trajectories", kind=int),
        groups_column(row["groups"] < row["trajectories"] for row in workloads),
        *(Column(label, label) for label in TIER_LABELS),
        Column("longest_prompt_tokens", "Longest prompt, tokens", kind=int, drop_order=1),
    ]
    info = bank.info
    notes = [
        f"source {bank.info.source}, sha256 {bank.info.source_sha256}",
        f"canonical export sha256 {bank.info.sha256}",
        *(
            f"split {each['name']} (seed {each['seed']}): "
            + ", ".join(f"{part} {format_trajectories(len(numbers))}" for part, numbers in each["parts"].items())
            + f"; {grouping_summary(each.get('near_duplicates'), each.get('named_groups'))}"
            for each in splits
        ),
    ]
    if bank.info.heldout_trajectories:
        notes.append(f"part heldout: {format_trajectories(bank.info.heldout_trajectories)}, instances of heldout100")
    print_table(
        Table(
            f"Bank {name}: {format_count(bank.info.rows, 'row')}"
            + (f", {format_trajectories(info.trajectories, info.groups)}" if info.groups < info.trajectories else ""),
            columns,
            workloads,
            notes,
            caveat=info.caveat,
        ),
        form,
        output,
    )


@app.command()
def validate(
    target: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A bank of the store, or a file to check before importing it.")
    ],
    *,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Check a file row by row, or check that a stored bank is unchanged since its import.

    Exit code 1 if something is wrong.
    """
    from static_track.banks.embedded import ensure_embedded
    from static_track.banks.embedded_names import EMBEDDED
    from static_track.banks.importing import validate_file
    from static_track.banks.opening import validate_bank
    from twinbench.errors import SHOWN_PROBLEMS, UsageError
    from twinbench.reading.input_files import path_exists
    from twinbench.storage.store import Store

    opened = Store(store)
    with progress() as shown:
        if target == "-" or path_exists(Path(target)):
            rows, problems = validate_file(target, shown)
        elif target in EMBEDDED or opened.pointer_exists(target):
            if target in EMBEDDED:
                ensure_embedded(target, opened, shown)
            rows, problems = validate_bank(target, opened)
        else:
            names = opened.bank_names()
            banks = f"banks in {opened.root}: {', '.join(names) or 'none yet'}"
            raise UsageError(
                f"{target} is neither a file nor a bank ({banks}){did_you_mean(target, [*EMBEDDED, *names])}"
            )
    if json_:
        print_json({"target": target, "valid_rows": rows, "problems": [problem.to_json() for problem in problems]})
    else:
        for problem in problems[:SHOWN_PROBLEMS]:
            typer.echo(make_printable(problem), err=True)
        if len(problems) > SHOWN_PROBLEMS:
            typer.echo(f"… and {len(problems) - SHOWN_PROBLEMS} more (--json lists all)", err=True)
        typer.echo(
            make_printable(f"{target}: {format_count(rows, 'valid row')}, {format_count(len(problems), 'problem')}")
        )
    if problems:
        raise typer.Exit(1)


app.command()(check)
app.command()(build)
app.add_typer(bank_review.app, name="review")
app.command()(card)


@app.command()
def export(
    name: BankArgument,
    *,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=".jsonl, .jsonl.gz, .json, .parquet, or - for standard output.",
            rich_help_panel=Panel.OUTPUT,
        ),
    ] = "-",
    split: SplitOption = None,
    json_: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a summary as JSON on standard output; needs -o FILE.", rich_help_panel=Panel.OUTPUT
        ),
    ] = False,
    store: StoreOption = None,
) -> None:
    """Export a bank or a part of it: every imported row with all its fields, in canonical order."""
    from static_track.banks.exporting import canonical_sha256, export_bank
    from static_track.banks.opening import open_bank
    from twinbench.errors import UsageError
    from twinbench.storage.store import Store

    if json_ and output == "-":
        raise UsageError("--json prints a summary to standard output, so the rows need a file: add -o FILE")
    with progress() as shown, open_bank(name, Store(store), shown) as bank:
        export_bank(bank, output, split)
        rows = bank.size(bank.split(split)).rows
        sha256 = bank.info.sha256 if split is None else canonical_sha256(bank, split)
    if json_:
        told = {} if bank.info.caveat is None else {"caveat": bank.info.caveat}
        print_json({"name": name, "split": split, "output": output, "rows": rows, "sha256": sha256} | told)
        return
    if output != "-":
        typer.echo(make_printable(f"{format_count(rows, 'row')}: {output}"), err=True)
    if bank.info.caveat is not None:
        typer.echo(make_printable(f"note: {bank.info.caveat}"), err=True)


@app.command()
def rm(name: BankArgument, *, json_: JsonOption = False, store: StoreOption = None) -> None:
    """Remove a bank and its splits; scores on it are kept."""
    from twinbench.storage.store import Store

    Store(store).remove_bank(name)
    if json_:
        print_json({"removed": name})
    else:
        typer.echo(f"removed {name}")


app.command()(split)
app.command("from-outcomes")(from_outcomes)
