"""``twinbench dynamic replay``: run recorded cases again, and compare them with the recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import completion
from twinbench.cli.dynamic.importing import replay_imported_run
from twinbench.cli.dynamic.options import (
    BuildOption,
    ContainerOptions,
    DatasetOption,
    MovedPoolOption,
    RunArgument,
)
from twinbench.cli.help import Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    OutputOption,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress
from twinbench.cli.plugin_options import PluginOptions
from twinbench.display.wording import format_count, shorten

if TYPE_CHECKING:
    from dynamic_track.running.replay import ReplayResult

_SHOWN_CHARACTERS = 300


@expand_option_groups
def replay(
    run_dir: RunArgument,
    *,
    route: Annotated[
        bool, typer.Option("--route", help="Ask the router again, and compare its decisions with the recorded ones.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GLOB",
            help="Only cases whose id matches; repeatable.",
            show_default=False,
            rich_help_panel=Panel.TASKS,
            autocompletion=completion.run_cases,
        ),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="TASKS",
            help="Where the tasks are, if they were moved.",
            show_default=False,
            rich_help_panel=Panel.TASKS,
        ),
    ] = None,
    dataset: DatasetOption = None,
    pool: MovedPoolOption = None,
    router: Annotated[
        str | None,
        typer.Option("--router", metavar="SPEC", help="The router for --route, if it was moved.", show_default=False),
    ] = None,
    build: BuildOption = False,
    containers: ContainerOptions,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Replay a recorded run with real containers and grading but without a provider, and compare everything.

    Of an imported run only the model calls are replayed. Exit code 0 if everything is equal, 1 if something differs.
    """
    from dynamic_track.running.rerun import replay_run
    from dynamic_track.running.saved_run import read_run

    run = read_run(run_dir)
    if run.plan.is_imported:
        replay_imported_run(run, pool, only, route=route, json_=json_, form=form, output=output)
        return
    router_limits = plugins.limits(processes=True) if route else None
    with progress() as shown:
        replayed = replay_run(
            run_dir,
            route=route,
            only=only or (),
            tasks=tasks,
            dataset=dataset,
            pool=pool,
            router=router,
            build=build,
            limits=containers.grading_limits(),
            plugins=router_limits,
            progress=shown,
        )
    for note in replayed.notes:
        typer.echo(f"note: {note}", err=True)
    if json_:
        print_json(replayed.to_json(), output)
    else:
        print_table(_replay_table(replayed, run_dir), form, output)
    if replayed.differences:
        raise typer.Exit(1)


def _replay_table(replayed: ReplayResult, run_dir: Path) -> Table:
    columns = [
        Column("case", "Case"),
        Column("trial", "Trial", kind=int),
        Column("step", "Step", kind=int),
        Column("what", "What differs"),
        Column("recorded", "Recorded"),
        Column("replayed", "Replayed"),
    ]
    rows = [
        {
            "case": each.case,
            "trial": each.trial,
            "step": each.step,
            "what": each.what,
            "recorded": _shorten(each.recorded),
            "replayed": _shorten(each.replayed),
        }
        for each in replayed.differences
    ]
    notes = [f"{format_count(replayed.cases, 'trial')} replayed, {replayed.equal:,} equal"]
    title = f"Replay of {run_dir}"
    if replayed.origin.is_simulated:
        title = f"{replayed.origin.heading}; {title[0].lower()}{title[1:]}"
    return Table(title, columns, rows, notes)


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return shorten(text, _SHOWN_CHARACTERS)
