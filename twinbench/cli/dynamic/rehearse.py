"""``twinbench rehearse``: the whole live track with simulated models, free of charge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import INTERRUPTED, completion
from twinbench.cli.dynamic.options import (
    ActionFormatOption,
    ClusterOptions,
    InSampleRunOption,
    LimitOption,
    MinFreeOption,
    OnlyOption,
    RouterErrorOption,
    TaskOptions,
    load_tasks,
)
from twinbench.cli.dynamic.rehearsal_table import rehearsal_table
from twinbench.cli.dynamic.scores import LevelOption, ResamplesOption
from twinbench.cli.help import Group, Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    OutputOption,
    ResamplingOptions,
    RoutersArgument,
)
from twinbench.cli.output import (
    Column,
    Format,
    Table,
    make_printable,
    print_json,
    print_notice,
    print_table,
    progress,
)
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.signals import stop_on_signals
from twinbench.display.wording import format_count
from twinbench.statistics import DEFAULT_LEVEL, DEFAULT_RESAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamic_track.rehearsal.rehearsal_runs import Rehearsal
    from dynamic_track.rehearsal.standings import RehearsalResult
    from twinbench.executing.ray_cluster import RayCluster
    from twinbench.plugins.loading import LoadedRouter
    from twinbench.statistics import Resampling

_RUN = "run"


class _RoutersOrCommand(Group):
    """A command group in which ``run`` may be left out: a first word that is not a command is a router."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names, else ``run`` with all words."""
        if args and args[0] not in self.commands:
            args = [_RUN, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Treat options before the first router as options of ``run``."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RoutersOrCommand,
    epilog="twinbench rehearse ROUTER… is short for twinbench rehearse run ROUTER…",
    no_args_is_help=True,
)

_TasksOption = Annotated[
    str,
    typer.Option(
        "--tasks",
        metavar="TASKS",
        help="rehearsal, or a folder in task-repo format whose tasks declare edits.toml.",
        rich_help_panel=Panel.TASKS,
    ),
]
_PoolOption = Annotated[
    str,
    typer.Option(
        "--pool",
        metavar="POOL",
        help="The live pool that is simulated: a shipped one by name, or a file.",
        rich_help_panel=Panel.SIMULATED_MODELS,
        autocompletion=completion.manifests,
    ),
]
_SeedOption = Annotated[
    str,
    typer.Option(
        "--seed",
        metavar="TEXT",
        help="Seed of session keys and of the models' random outcomes.",
        rich_help_panel=Panel.SIMULATED_MODELS,
    ),
]
_SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="N|A,B,…",
        help="Several seeds instead of --seed: a number N for 0 to N-1, or a list such as 5,7. Each seed is a run.",
        show_default=False,
        rich_help_panel=Panel.SIMULATED_MODELS,
    ),
]
_SkillsOption = Annotated[
    str,
    typer.Option(
        "--skills",
        metavar="NAME",
        help="The models' declared skills: spread, flat-2026, or a .toml file.",
        rich_help_panel=Panel.SIMULATED_MODELS,
    ),
]
_FaultsOption = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="SHARE[:KIND,…]",
        help="Let this share of all attempts fail, such as 0.1 or 0.1:429,cut (429, 500, 503, cut, reset, unreadable).",
        show_default=False,
        rich_help_panel=Panel.SIMULATED_MODELS,
    ),
]


@app.command()
@expand_option_groups
def run(
    routers: RoutersArgument = None,
    *,
    tasks: _TasksOption = "rehearsal",
    only: OnlyOption = None,
    limit: LimitOption = None,
    pool: _PoolOption = "live-2026-04",
    seed: _SeedOption = "0",
    seeds: _SeedsOption = None,
    skills: _SkillsOption = "spread",
    faults: _FaultsOption = None,
    on_router_error: RouterErrorOption = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="The folder for run directories (ROUTER/seed-SEED); existing runs continue. Default: a new folder.",
            show_default=False,
        ),
    ] = None,
    action_format: ActionFormatOption = "tool",
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            help="How many runs in parallel; with --executor ray, how many cases on each node.",
        ),
    ] = 2,
    cluster: ClusterOptions,
    min_free_mib: MinFreeOption = 2048,
    resamples: ResamplesOption = DEFAULT_RESAMPLES,
    level: LevelOption = DEFAULT_LEVEL,
    in_sample: InSampleRunOption = False,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Run routers live on small tasks with simulated models: real containers and tests, no API key, no spend.

    One seed is not enough to rank routers: --seeds 5 runs each router five times; intervals and ranks resample tasks.

    Exit code 1 if a case ended because of infrastructure, or a router failed in every case or could not be loaded.
    """
    from dynamic_track.rehearsal.preparing import load_routers, new_rehearsal_folder, parse_seeds, prepare_rehearsal
    from twinbench.errors import UsageError

    if not routers:
        raise UsageError("name the routers to rehearse, such as always-low always-high")
    drawing = ResamplingOptions(resamples=resamples, level=level).resampling()
    with progress() as shown:
        rehearsal = prepare_rehearsal(
            TaskOptions(only=only, limit=limit).task_choice(tasks),
            pool=pool,
            seeds=parse_seeds(seed, seeds),
            skills=skills,
            faults=faults,
            actions=action_format,
            on_router_error=on_router_error,
            progress=shown,
        )
    loaded = load_routers(rehearsal, routers, plugins.limits(processes=True), in_sample=in_sample)
    result = rehearse_with_progress(
        rehearsal,
        loaded,
        runs or new_rehearsal_folder(),
        resampling=drawing,
        workers=workers,
        cluster=cluster.request(),
        min_free_mib=min_free_mib,
    )
    if json_:
        print_json(result.to_json(), output)
    else:
        table = rehearsal_table(result)
        print_table(table if form.for_people else replace(table, caveat=result.caveat), form, output)
    done = result.runs
    stopped = [run for run in done if run.summary.stopped is not None]
    for run in stopped:
        typer.echo(make_printable(f"{run.router}, seed {run.seed}, stopped: {run.summary.stopped}"), err=True)
    if not stopped and (left := sum(run.summary.left for run in done)):
        cases = len(rehearsal.tasks) * len(done)
        told = (
            f"interrupted after {cases - left:,} of {format_count(cases, 'case')}; results so far: "
            f"{result.folder}; run "
        )
        typer.echo(make_printable(f"{told}the same command with --runs {result.folder} to continue"), err=True)
        raise typer.Exit(INTERRUPTED)
    failed = [each for each in result.standings.routers if each.failure is not None]
    if json_ or form is not Format.table:  # the table for people has these notes already
        for note in (note for each in failed for note in each.failure_notes):
            typer.echo(make_printable(f"error: {note}"), err=True)
    if stopped or failed or any(run.summary.score.count("infra") or run.summary.score.count("cap") for run in done):
        raise typer.Exit(1)


@app.command()
def build(
    *,
    tasks: _TasksOption = "rehearsal",
    only: OnlyOption = None,
    json_: JsonOption = False,
) -> None:
    """Build the images of the rehearsal's tasks in parallel, except those that are up to date."""
    from dynamic_track.tasks.images import prepare_images
    from twinbench.containers.engine import Engine

    chosen, _ = load_tasks(TaskOptions(only=only).task_choice(tasks))
    with progress() as shown, Engine.connect() as engine:
        failed = prepare_images(engine, chosen, build_them=True, progress=shown)
        ready = {task.image: engine.image_identity(task.image) for task in chosen if task.image not in failed}
    if json_:
        print_json({"ready": ready, "failed": {image: str(error) for image, error in failed.items()}})
    else:
        typer.echo(f"{format_count(len(ready), 'image')} ready, for {format_count(len(chosen), 'task')}")
        for image, error in failed.items():
            typer.echo(f"error: {image}: {error}", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def serve(
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="The port; 0 for any free one.")
    ] = 8462,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="The environment variable with the only API key that is accepted; default: any key is.",
            show_default=False,
        ),
    ] = None,
    tasks: _TasksOption = "rehearsal",
    pool: _PoolOption = "live-2026-04",
    seed: _SeedOption = "0",
    skills: _SkillsOption = "spread",
    faults: _FaultsOption = None,
) -> None:
    """Serve the simulated models as an OpenAI-compatible gateway on this machine, until interrupted."""
    import os
    import time

    from dynamic_track.rehearsal.provider import Faults, SimulatedModels, simulated_provider
    from dynamic_track.rehearsal.simulation import known_tasks
    from dynamic_track.rehearsal.skills import read_skill_table
    from twinbench.errors import UsageError
    from twinbench.storage.manifest_files import live_manifest

    key = None if api_key_env is None else os.environ.get(api_key_env)
    if api_key_env is not None and not key:
        raise UsageError(f"set the environment variable {api_key_env} (--api-key-env)")
    manifest = live_manifest(pool)
    chosen, _ = load_tasks(TaskOptions().task_choice(tasks))
    models = SimulatedModels(
        known_tasks(chosen), manifest, seed=seed, faults=Faults.parse(faults), skills=read_skill_table(skills)
    )
    with simulated_provider(models, manifest, api_key=key, port=port) as server:
        typer.echo(server.api_base)
        typer.echo(f"simulated models of {manifest.name}; end with Ctrl-C", err=True)
        while True:
            time.sleep(1)  # not one long wait: a signal that comes just before a wait would only be noticed after it


@app.command(name="skills")
def show_skills(
    *,
    skills: _SkillsOption = "spread",
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Show the declared skills of the simulated models."""
    from dynamic_track.rehearsal.skills import read_skill_table, skill_names

    table = read_skill_table(skills)
    if json_:
        print_json({"name": skills, "fingerprint": table.fingerprint, **table.model_dump(mode="json")}, output)
        return
    tiers = {tier: _flatten_skill(skill) for tier, skill in table.model_dump(mode="json", exclude={"about"}).items()}
    fields = list(next(iter(tiers.values())))
    rows = [{"skill": name, **{tier: skill[name] for tier, skill in tiers.items()}} for name in fields]
    columns = [Column("skill", "Skill"), *(Column(tier, tier) for tier in tiers)]
    notes = [
        " ".join(table.about.split()),
        f"there are {', '.join(skill_names())}; docs/rehearsal.md says what each field means",
    ]
    print_table(Table(f"Skills of the simulated models, by tier: {skills}", columns, rows, notes), form, output)


def rehearse_with_progress(
    rehearsal: Rehearsal,
    routers: Sequence[LoadedRouter],
    folder: Path,
    *,
    resampling: Resampling | None,
    workers: int = 2,
    cluster: RayCluster | None = None,
    min_free_mib: int = 2048,
) -> RehearsalResult:
    """Rehearse routers, showing progress; a signal stops all runs cleanly."""
    from dynamic_track.rehearsal.preparing import rehearse_routers
    from dynamic_track.running.stopping import Stop

    stop = Stop()
    then = f"everything is in {folder}; the same command with --runs {folder} continues"
    with progress() as shown, stop_on_signals(stop.request, then):
        return rehearse_routers(
            rehearsal,
            routers,
            folder,
            resampling=resampling,
            workers=workers,
            cluster=cluster,
            min_free_mib=min_free_mib,
            stop=stop,
            progress=shown,
            notify=print_notice,
        )


def _flatten_skill(skill: dict[str, Any]) -> dict[str, str]:
    """Flatten a skill's fields to text; the chances of a solution get one line per subject."""
    found: dict[str, str] = {}
    for name, value in skill.items():
        if name == "solves":
            found |= {f"solves, {subject}": _skill_cell(chances) for subject, chances in value.items()}
        else:
            found[name] = _skill_cell(value)
    return found


def _skill_cell(value: Any) -> str:
    return ", ".join(f"{name} {part:g}" for name, part in value.items()) if isinstance(value, dict) else f"{value:g}"
