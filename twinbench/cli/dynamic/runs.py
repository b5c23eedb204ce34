"""``twinbench dynamic list``, ``status``, ``stop``, ``merge``, ``rm``: manage run directories."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.dynamic.options import NewRunOption, RunArgument, RunsArgument
from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import Column, Format, Table, print_json, print_table
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from dynamic_track.running.run_state import RunState

FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--in",
        metavar="DIR",
        help="The folder with runs; default: results/runs in a checkout, else beside your store.",
        show_default=False,
    ),
]


def status(
    run_dir: RunArgument, *, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-"
) -> None:
    """Show the progress of a run, finished or not.

    Exit code 1 if all trials have finished and the router failed in every one.
    """
    from dynamic_track.running.run_state import run_state
    from dynamic_track.running.saved_run import read_run

    state = run_state(read_run(run_dir))
    if json_:
        print_json(state.to_json(), output)
    else:
        print_table(_status_table(state), form, output)
    told = state.score.trials
    if state.score.router_failure is not None and len(told) in (0, len(state.trials)):
        raise typer.Exit(1)


def _status_table(state: RunState) -> Table:
    from dynamic_track.running.origin import Origin

    columns = [
        Column("case", "Case"),
        Column("trial", "Trial", kind=int),
        Column("state", "State"),
        Column("cause", "Cause"),
        Column("agent_end", "Agent ended by", for_people=bool(state.score.agent_ends)),
        Column("router_errors", "Router failures", kind=int),
        Column("steps", "Steps", kind=int),
        Column("candidate", "Last candidate"),
        Column("node", "Node", for_people=bool(state.nodes)),
        Column("cost_usd", "Cost, USD", 4),
        Column("spend_usd", "Spend, USD", 4),
    ]
    ends = [None if trial.outcome is None else trial.outcome.agent_end for trial in state.trials]
    rows = [trial.to_json() | {"agent_end": end} for trial, end in zip(state.trials, ends, strict=True)]
    spent = sum(trial.spend_usd for trial in state.trials)
    cap = "" if state.run_usd is None else f" of {state.run_usd}"
    if state.origin in (Origin.imported, Origin.imported_simulated):
        how_far = f"{_state_counts(state)}; its calls cost {spent:.4f} USD at the pool's prices"
    else:
        working = "active" if state.active else "not active"
        how_far = f"{_state_counts(state)}; {spent:.4f}{cap} USD spent; {working}"
    by_node = ", ".join(f"{node} {count:,}" for node, count in sorted(state.nodes.items()))
    notes = [*state.score.failure_notes(state.router), how_far, *([f"cases by node: {by_node}"] if by_node else [])]
    of = "" if state.origin is Origin.real else f"{state.origin.heading}: "
    return Table(f"{of}{state.router}, {state.run}", columns, rows, notes)


def stop(run_dir: RunArgument, *, json_: JsonOption = False) -> None:
    """Ask the process that executes a run to stop: calls in flight finish, and all results are kept."""
    from dynamic_track.running.run_dir import RunDirectory
    from dynamic_track.running.run_state import is_active
    from dynamic_track.running.stopping import ask_to_stop

    run = RunDirectory(run_dir)
    run.plan()
    working = is_active(run)
    if working:
        ask_to_stop(run_dir)
    if json_:
        print_json({"run": str(run_dir), "asked": working})
    else:
        typer.echo("asked to stop after the calls in flight" if working else "no process is executing this run")


def merge(
    run_dirs: RunsArgument,
    *,
    run_dir: NewRunOption,
    json_: JsonOption = False,
) -> None:
    """Merge the runs of all shards into one run; runs with different plans are refused."""
    from dynamic_track.running.merging import merge as merged
    from dynamic_track.running.run_state import run_state
    from dynamic_track.running.saved_run import read_run

    merged(run_dirs, run_dir)
    state = run_state(read_run(run_dir))
    if json_:
        print_json(state.to_json())
    else:
        typer.echo(f"{format_count(len(run_dirs), 'run')} merged into {run_dir}: {_state_counts(state)}")


def list_(
    *,
    folder: FolderOption = None,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """List the runs in a folder with progress, spend and disk usage."""
    rows = _run_rows(folder)
    if json_:
        print_json({"runs": rows}, output)
        return
    columns = [
        Column("run", "Run"),
        Column("router", "Router"),
        Column("simulated", "Simulated", kind=bool),
        Column("trials", "Trials", kind=int),
        Column("resolved", "Resolved", kind=int),
        Column("left", "Left", kind=int),
        Column("spend_usd", "Spend, USD", 4),
        Column("bytes", "Bytes", for_people=False, kind=int),
        Column("mib", "MiB", 2, for_programs=False),
        Column("active", "Active", kind=bool),
        Column("problem", "Problem"),
    ]
    shown = [{**row, "mib": row["bytes"] / 2**20} for row in rows]
    notes = [f"{format_count(len(rows), 'run')}, {sum(row['mib'] for row in shown):.1f} MiB in all"]
    print_table(Table(f"Runs in {_folder(folder)}", columns, shown, notes), form, output)


def rm(
    run_dirs: RunsArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    json_: JsonOption = False,
) -> None:
    """Remove run directories; refuses other directories and runs that are active."""
    import sys

    from dynamic_track.running.run_dir import RunDirectory
    from dynamic_track.running.run_state import is_active
    from twinbench.errors import UsageError

    runs = [RunDirectory(path) for path in run_dirs]
    for run in runs:
        run.plan()
        if is_active(run):
            raise UsageError(f"{run.path} is active; stop it first: twinbench dynamic stop {run.path}")
    if not yes:
        if json_ or not sys.stdin.isatty():
            raise UsageError(f"this permanently removes {format_count(len(runs), 'run')}: add --yes")
        typer.confirm(f"Permanently remove {format_count(len(runs), 'run')}?", abort=True, err=True)
    for run in runs:
        shutil.rmtree(run.path)
    if json_:
        print_json({"removed": [str(run.path) for run in runs]})
    else:
        typer.echo(f"{format_count(len(runs), 'run')} removed")


def _run_rows(folder: Path | None) -> list[dict[str, Any]]:
    from dynamic_track.running.folders import run_folders
    from dynamic_track.running.run_state import run_state, size_bytes
    from dynamic_track.running.saved_run import read_run
    from twinbench.errors import TwinbenchError

    rows: list[dict[str, Any]] = []
    for path in run_folders(_folder(folder)):
        row: dict[str, Any] = {"run": str(path), "bytes": size_bytes(path)}
        try:
            state = run_state(read_run(path))
        except TwinbenchError as error:
            rows.append({**row, "problem": str(error).splitlines()[0]})
            continue
        left = state.count("planned") + state.count("running") + state.count("infra") + state.count("cap")
        rows.append(
            {
                **row,
                "router": state.router,
                "simulated": state.simulated,
                "trials": len(state.trials),
                "resolved": state.score.count("resolved"),
                "left": left,
                "spend_usd": sum(trial.spend_usd for trial in state.trials),
                "active": state.active,
                "problem": None,
            }
        )
    return rows


def _folder(folder: Path | None) -> Path:
    from twinbench.storage.store import runs_dir

    return runs_dir() if folder is None else folder


def _state_counts(state: RunState) -> str:
    states = dict.fromkeys(trial.state for trial in state.trials)
    return ", ".join(f"{state.count(name)} {name}" for name in states) or "no trial"
