"""``twinbench bank build``: find labels by executing tasks, and make a bank of them."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from twinbench.cli import INTERRUPTED
from twinbench.cli.dynamic.options import ClusterOptions
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import FormatOption, JsonOption, OutputOption
from twinbench.cli.output import (
    Column,
    Format,
    Table,
    make_printable,
    print_json,
    print_notice,
    print_table,
    progress,
    write_text,
)
from twinbench.cli.signals import stop_on_signals
from twinbench.display.wording import format_count
from twinbench.routing.tiers import TIER_LABELS

if TYPE_CHECKING:
    from decimal import Decimal

    from static_track.construction.build_work import BuildState, UnfinishedTask
    from static_track.construction.building import BuildResult
    from static_track.construction.estimate import BuildEstimate
    from static_track.construction.search import SearchOutcome

_REDRAW_EVERY_S = 0.25
_SHOWN_TASKS = 20
_REASONS = {
    "seed_failed": "the strongest tier does not pass",
    "seed_made_no_call": "the task passes without any model call",
    "seed_flaky": "the strongest tier passes only sometimes",
    "labels_flaky": "the labelled tiers pass only sometimes",
}


@expand_option_groups
def build(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG", help="A TOML file; see: --example.", show_default=False),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The build's directory; an existing build continues.", show_default=False
        ),
    ] = None,
    usd: Annotated[
        str | None,
        typer.Option(
            "--usd",
            metavar="USD",
            help="Spending cap of the whole build, however often it is continued; required unless it is free.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="How many tasks in parallel.")] = 1,
    cluster: ClusterOptions,
    repeats: Annotated[
        int | None,
        typer.Option(
            "--repeats",
            metavar="R",
            min=0,
            help="How often seed and labels are executed again to find flaky tasks; default: as CONFIG says.",
            show_default=False,
        ),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            "--recordings",
            metavar="FILE|NAME",
            help="Instead of CONFIG: build from the recordings of an earlier build or an embedded bank, without models "
            "and containers.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what may be executed and what it may cost; execute nothing.")
    ] = False,
    assume_steps: Annotated[
        int | None,
        typer.Option(
            "--assume-steps",
            metavar="N",
            min=1,
            help="With --dry-run: the assumed number of steps of tasks that were not executed so far.",
            show_default=False,
        ),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a commented CONFIG.")] = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Find the cheapest sufficient tier for each step by executing tasks; run the command again to continue.

    Exit code 1 if a task is unfinished: the spending cap was reached, or infrastructure failed.
    """
    from static_track.construction.building import BuildLimits
    from static_track.construction.building import build as build_bank
    from static_track.construction.building import rebuild as rebuild_bank
    from static_track.construction.estimate import estimate
    from static_track.construction.settings import example as example_text
    from static_track.construction.settings import read_settings
    from twinbench.errors import UsageError

    if example:
        write_text(example_text(), output)
        return
    if (config is None) == (recordings is None):
        raise UsageError("give a CONFIG (see: twinbench bank build --example), or --recordings FILE instead")
    if out is None:
        raise UsageError("name the build's directory: --out DIR")
    if assume_steps is not None and not dry_run:
        raise UsageError("--assume-steps needs --dry-run: a real build finds out how many steps there are")
    cap = _cap(usd)
    stop = threading.Event()
    continues = f"results so far: {out}; run the same command to continue"
    if config is None:
        assert recordings is not None  # noqa: S101 - one of the two is given
        if dry_run or usd is not None or repeats is not None:
            raise UsageError("--recordings executes nothing: --dry-run, --usd and --repeats need a CONFIG")
        with _BuildProgress(None) as board, stop_on_signals(stop.set, continues):
            built = rebuild_bank(recordings, out, is_stopping=stop.is_set, listener=board)
    else:
        settings = read_settings(config, repeats=repeats)
        with progress() as shown:
            if dry_run:
                _print_estimate(estimate(settings, out, steps=assume_steps, progress=shown), json_=json_, output=output)
                return
            with _BuildProgress(cap) as board, stop_on_signals(stop.set, continues):
                built = build_bank(
                    settings,
                    out,
                    BuildLimits(cap, workers, cluster.request()),
                    is_stopping=stop.is_set,
                    listener=board,
                    progress=shown,
                    notify=print_notice,
                )
    if json_:
        print_json(built.to_json(), output)
    elif built.manifest is not None:
        print_table(_table(built), form, output)
    _finish(built)


def _cap(usd: str | None) -> Decimal | None:
    if usd is None:
        return None
    from twinbench.providers.metering import parse_usd

    return parse_usd(usd, "--usd")


def _print_estimate(found: BuildEstimate, *, json_: bool, output: str) -> None:
    if json_:
        print_json(found.to_json(), output)
        return
    tiers = "; ".join(f"{tier}: {', '.join(candidates)}" for tier, candidates in found.tiers.items())
    basis = (
        f"{found.seeds:,} tasks have a seed; {format_count(found.assumed_steps, 'step')} assumed for each other task"
    )
    lines = [
        f"{format_count(found.tasks, 'task')}, nothing was executed",
        f"tiers: {tiers}" + _missing(found.tiers_not_executed),
        (
            f"at most {format_count(found.most_executions, 'execution')}, of which "
            f"{found.kept_executions:,} are done ({basis})"
        ),
        f"at most {found.worst_usd:.2f} USD, if every execution costs as much as it can",
    ]
    write_text("".join(f"{make_printable(line)}\n" for line in lines), output)


def _missing(tiers: Sequence[str]) -> str:
    return f" (no candidate: {', '.join(tiers)})" if tiers else ""


def _table(built: BuildResult) -> Table:
    manifest = built.manifest or {}
    columns = [
        Column("workload", "Workload"),
        Column("rows", "Rows", kind=int),
        *(Column(label, label, kind=int) for label in TIER_LABELS),
    ]
    rows: list[dict[str, Any]] = [
        {"workload": name, "rows": sum(labels.values()), **labels} for name, labels in manifest["labels"].items()
    ]
    labelled, left_out = manifest["trajectories"], len(manifest["left_out"])
    notes = [
        (
            f"{format_count(labelled, 'task')} labelled, {left_out:,} left out; step rule "
            f"{manifest['search']['step_rule']}"
        ),
        *_left_out(built),
        _spent(built.state),
    ]
    if built.tiers_not_executed:
        notes.append(f"no candidate, so no label: {', '.join(built.tiers_not_executed)}")
    from static_track.banks.embedded_names import EMBEDDED

    # Rebuilt from its recordings, an embedded bank has a name that is reserved for what ships.
    name = f"{manifest['name']}-rebuilt" if manifest["name"] in EMBEDDED else manifest["name"]
    notes.append(f"next: twinbench bank import {built.directory} --name {name}")
    caveat = manifest["caveat"]
    return Table(
        f"Bank {manifest['name']}: {format_count(manifest['rows'], 'row')}", columns, rows, notes, caveat=caveat
    )


def _left_out(built: BuildResult) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for outcome in built.outcomes:
        if outcome.reason is not None:
            by_reason.setdefault(outcome.reason, []).append(outcome.task.id)
    return [f"left out, {_REASONS[reason]}: {_names(tasks)}" for reason, tasks in by_reason.items()]


def _names(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
    return ", ".join(tasks[:_SHOWN_TASKS]) + more


def _spent(state: BuildState) -> str:
    return (
        f"{format_count(state.executions, 'execution')} ({state.executed_now:,} now), "
        f"{state.cost_usd:.4f} USD of calls: "
        f"{state.spent_usd:.4f} spent, {state.saved_usd:.4f} saved by the response cache"
    )


def _finish(built: BuildResult) -> None:
    """Print the unfinished tasks, and exit with the corresponding code.

    Raises:
        TwinbenchError: no task got labels.
    """
    from twinbench.causes import CAUSES, Cause
    from twinbench.errors import TwinbenchError

    if built.is_complete:
        if built.manifest is None:
            raise TwinbenchError("\n".join(["no task got labels, so no bank was made", *_left_out(built)]))
        return
    lost = [each for each in built.unfinished_tasks if each.cause is not None]
    for each in lost[:_SHOWN_TASKS]:
        assert each.cause is not None  # noqa: S101 - chosen above
        said = f": {each.detail}" if each.detail else ""
        typer.echo(make_printable(f"{each.task.id} is unfinished: {CAUSES[each.cause].meaning}{said}"), err=True)
    for cause, number in Counter(each.cause for each in lost if each.cause is not None).items():
        remedy = "raise the cap: --usd, or usd of [proposer]" if cause == Cause.cap else CAUSES[cause].remedy
        advice = f": {remedy}" if remedy else ""
        typer.echo(make_printable(f"{format_count(number, 'task')} unfinished with cause {cause}{advice}"), err=True)
    typer.echo(
        f"stopped: {format_count(len(built.unfinished_tasks), 'task')} of {built.state.tasks:,} left; "
        f"{_spent(built.state)}; run the same command to continue; nothing is executed twice",
        err=True,
    )
    raise typer.Exit(1 if lost else INTERRUPTED)


class _BuildProgress:
    """Shows the progress of a build: one changing line on a terminal, else a line for each finished task."""

    def __init__(self, cap: Decimal | None) -> None:
        self._cap = cap
        self._live: Any = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            with suppress(OSError):
                self._live.stop()

    def __call__(self, state: BuildState, ended: SearchOutcome | UnfinishedTask | None) -> None:
        """Show the progress; a lost terminal must not fail the build."""
        with suppress(OSError):
            capped = "" if self._cap is None else f" of {self._cap}"
            so_far = (
                f"{state.done:,} of {format_count(state.tasks, 'task')}, "
                f"{format_count(state.executions, 'execution')}, "
                f"{state.spent_usd:.4f}{capped} USD spent, {state.saved_usd:.4f} saved"
            )
            if self._live is None and ended is not None:
                typer.echo(make_printable(f"{ended.task.id}: {_result_text(ended)} ({so_far})"), err=True)
            elif self._live is not None and (ended is not None or time.monotonic() - self._drawn > _REDRAW_EVERY_S):
                from rich.text import Text

                self._drawn = time.monotonic()
                self._live.update(Text(so_far), refresh=True)


def _result_text(ended: SearchOutcome | UnfinishedTask) -> str:
    from static_track.construction.build_work import UnfinishedTask

    if isinstance(ended, UnfinishedTask):
        return "unfinished" if ended.cause is None else f"unfinished ({ended.cause})"
    if ended.reason is not None:
        return f"left out, {_REASONS[ended.reason]}"
    return "labelled"
