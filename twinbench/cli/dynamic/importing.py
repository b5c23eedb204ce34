"""``twinbench dynamic import``: import runs that were made elsewhere, and replay them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.dynamic.options import NewRunOption
from twinbench.cli.help import Panel
from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import Column, Format, Table, make_printable, print_json, print_table, progress
from twinbench.display.wording import format_count, shorten

if TYPE_CHECKING:
    from dynamic_track.importing.costs import CallCost
    from dynamic_track.importing.recording import ImportResult
    from dynamic_track.importing.replaying import ImportedReplay
    from dynamic_track.running.saved_run import SavedRun

_SHOWN_CHARACTERS = 200
_USD_DECIMALS = 6
_MONEY = (
    Column("cost_usd", "Cost, USD", _USD_DECIMALS),
    Column("reported_cost_usd", "Reported, USD", _USD_DECIMALS),
    Column("difference_usd", "Difference, USD", _USD_DECIMALS),
)
_TOKENS = (
    Column("input", "Input", kind=int),
    Column("cache_read", "Cache read", kind=int),
    Column("cache_write", "Cache write", kind=int),
    Column("output", "Output", kind=int),
)


def import_(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Trajectory files of mini-swe-agent 1.x and 2.x (.traj.json, .traj.json.gz), and folders of them.",
        ),
    ],
    *,
    run_dir: NewRunOption,
    pool: Annotated[
        str,
        typer.Option(
            "--pool", metavar="POOL", help="The live pool whose prices are applied: by name, or a file of your own."
        ),
    ] = "live-2026-04",
    calls: Annotated[
        bool,
        typer.Option("--calls", help="Show one line per call instead of one per run.", rich_help_panel=Panel.OUTPUT),
    ] = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Import runs of mini-swe-agent as recordings, and compare their cost with the gateway's report.

    A recording can be replayed (twinbench dynamic replay RUN) as far as the files contain responses of the pool's
    models. Exit code 1 if a file was left out, or a run could not be recorded completely.
    """
    from dynamic_track.importing.recording import import_runs
    from twinbench.storage.manifest_files import live_manifest

    manifest = live_manifest(pool)
    with progress() as shown:
        found = import_runs(paths, run_dir, manifest, pool, shown)
    for problem in found.problems:
        typer.echo(make_printable(f"error: {problem}"), err=True)
    for run in found.runs:
        if run.incomplete_reason is not None:
            recorded = f"{run.recorded:,} of {format_count(len(run.calls), 'call')} recorded"
            typer.echo(make_printable(f"error: {run.source}: {recorded}; {run.incomplete_reason}"), err=True)
    if json_:
        print_json(found.to_json(), output)
    elif calls:
        every = [call for run in found.runs for call in run.calls]
        print_table(_call_table(f"Calls of imported runs, at prices of {found.pool}", every), form, output)
    else:
        print_table(_run_table(found, form), form, output)
    if not found.is_complete:
        raise typer.Exit(1)


def replay_imported_run(
    run: SavedRun,
    pool: str | None,
    only: Sequence[str] | None,
    *,
    route: bool,
    json_: bool,
    form: Format,
    output: str,
) -> None:
    """Replay an imported run, for ``twinbench dynamic replay``.

    Raises:
        UsageError: no case matches, or a router was requested.
        JournalError: the journal was changed or damaged.
    """
    from dynamic_track.importing.replaying import replay_imported
    from twinbench.errors import UsageError
    from twinbench.storage.manifest_files import live_manifest

    run_dir = run.directory.path
    if route:
        raise UsageError(
            f"{run_dir}: --route compares a router's decisions, and an imported run has none; to ask a router about "
            "its calls, use: twinbench bank import … --format mini-swe-agent, twinbench static predict"
        )
    recorded = run.matching_trials(only or ())
    if not recorded:
        raise UsageError(f"{run_dir} contains no run{' that matches --only' if only else ''}")
    manifest = live_manifest(pool or run.plan.pool)
    with progress() as shown:
        runs = replay_imported(manifest, recorded, shown)
    equal = sum(run.equal for run in runs)
    if json_:
        told = {"cases": len(runs), "equal": equal, "imported": True, "runs": [run.to_json() for run in runs]}
        print_json(told, output)
    else:
        print_table(_replay_table(run_dir, runs), form, output)
    if equal < len(runs):
        raise typer.Exit(1)


def _run_table(found: ImportResult, form: Format) -> Table:
    columns = [
        Column("case", "Case"),
        Column("mini_version", "Version"),
        Column("calls", "Calls", kind=int),
        Column("recorded", "Recorded", kind=int),
        *_TOKENS,
        *_MONEY,
        Column("exit_status", "Ended"),
        *([] if form.for_people else [Column("why", "Not recorded from")]),  # people see this on standard error
    ]
    rows = []
    for run in found.runs:
        row = run.to_json()
        usages = [call.usage for call in run.calls if call.usage is not None]
        if usages:
            row |= {column.key: sum(getattr(usage, column.key) for usage in usages) for column in _TOKENS}
        rows.append(row)
    notes = [_cost_summary([call for run in found.runs for call in run.calls], "run", len(found.runs))]
    if left_out := len({problem.source for problem in found.problems}):
        notes.append(f"{format_count(left_out, 'file')} left out; all others are imported")
    last = "nothing is recorded" if found.path is None else f"next: twinbench dynamic replay {found.path}"
    notes.append(last)
    return Table(f"Imported runs of mini-swe-agent, at prices of {found.pool}", columns, rows, notes)


def _call_table(title: str, calls: Sequence[CallCost]) -> Table:
    columns = [
        Column("case", "Case"),
        Column("call", "Call", kind=int),
        Column("served_model", "Model"),
        Column("served_by", "Host"),
        *_TOKENS,
        *_MONEY,
        Column("problem", "Problem"),
    ]
    rows = [call.to_json() | (call.to_json()["usage"] or {}) for call in calls]
    return Table(title, columns, rows, [_cost_summary(calls, "call", len(calls))])


def _replay_table(run_dir: Path, runs: Sequence[ImportedReplay]) -> Table:
    columns = [
        Column("case", "Case"),
        Column("calls", "Calls", kind=int),
        Column("recorded", "Recorded", kind=int),
        Column("replayed", "Equal", kind=int),
        Column("answers", "Answers", kind=int),
        Column("commands", "Commands", kind=int),
        *_MONEY,
        Column("step", "Differs at", kind=int),
        Column("what", "In"),
        Column("was", "Recorded"),
        Column("is", "Replayed"),
    ]
    rows = []
    for run in runs:
        shown = run.to_json()
        difference = shown["difference"] or {}
        shown |= {"step": difference.get("step"), "what": difference.get("what")}
        shown |= {"was": _shorten(difference.get("recorded")), "is": _shorten(difference.get("replayed"))}
        rows.append(shown)
    equal = sum(run.equal for run in runs)
    notes = [
        _cost_summary([call for run in runs for call in run.calls], "run", len(runs)),
        f"{format_count(len(runs), 'run')} replayed as far as responses are recorded, {equal:,} equal",
        "only the model calls were replayed: no command ran, and nothing was graded",
    ]
    return Table(f"Replay of {run_dir}", columns, rows, notes)


def _cost_summary(calls: Sequence[CallCost], noun: str, number: int) -> str:
    """Return computed and reported cost, summed over the calls in which both are known."""
    known = [call for call in calls if call.difference_usd is not None]
    computed = sum((call.cost_usd or Decimal(0) for call in known), Decimal(0))
    reported = sum((call.reported_cost_usd or Decimal(0) for call in known), Decimal(0))
    what = (
        format_count(number, noun)
        if noun == "call"
        else f"{format_count(number, noun)}, {format_count(len(calls), 'call')}"
    )
    if not known:
        return f"{what}: no call has both a computed and a reported cost"
    of = "" if len(known) == len(calls) else f" over the {len(known):,} calls with both"
    difference = computed - reported
    return f"{what}: computed {computed:.6f} USD, reported {reported:.6f} USD, difference {difference:.6f} USD{of}"


def _shorten(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return shorten(text, _SHOWN_CHARACTERS)
