"""``twinbench rehearse``: the whole live track without spending a cent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from twinbench.cli import INTERRUPTED
from twinbench.cli.live import RouterErrorOption, check_tier
from twinbench.cli.live_options import ChoosingOptions, LimitOption, MinFreeOption, OnlyOption, chosen_tasks
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    OutputOption,
    PluginOptions,
    RoutersArgument,
    takes_option_groups,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable, progress
from twinbench.cli.signals import stopped_by_signals
from twinbench.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dynamic_track.rehearsal.rehearsing import Rehearsal
    from dynamic_track.running.runner import RunSummary
    from twinbench.containers.engine import Engine
    from twinbench.plugins.loading import LoadedRouter

_RUN = "run"
_MEMORY_MIB = 1024
_TESTS_S = 300


class _RoutersOrCommand(TyperGroup):
    """A group whose first word may be a router: then it is the command ``run``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names, else ``run`` with all words."""
        if args and args[0] not in self.commands:
            args = [_RUN, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the first router are of ``run`` too."""
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RoutersOrCommand,
    help="Rehearse routers: the whole live track on small tasks and simulated models, for nothing.\n\n"
    "twinbench rehearse ROUTER… is short for twinbench rehearse run ROUTER…",
    no_args_is_help=True,
)

_TasksOption = Annotated[
    str,
    typer.Option(
        "--tasks", metavar="TASKS", help="rehearsal, or a folder in task-repo format whose tasks declare edits.toml."
    ),
]
_PoolOption = Annotated[
    str,
    typer.Option("--pool", metavar="POOL", help="The live pool that is played: a shipped one by name, or a file."),
]
_SeedOption = Annotated[str, typer.Option("--seed", metavar="TEXT", help="Of session keys and the models' luck.")]
_FaultsOption = Annotated[
    str | None,
    typer.Option(
        "--faults",
        metavar="SHARE[:KIND,…]",
        help="Let this share of all attempts fail, such as 0.1 or 0.1:429,cut (429, 500, 503, cut, reset, unreadable).",
        show_default=False,
    ),
]


@app.command()
@takes_option_groups
def run(
    routers: RoutersArgument = None,
    *,
    tasks: _TasksOption = "rehearsal",
    only: OnlyOption = None,
    limit: LimitOption = None,
    pool: _PoolOption = "live-2026-04",
    seed: _SeedOption = "0",
    faults: _FaultsOption = None,
    on_router_error: RouterErrorOption = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="Where each router's run directory goes; one that exists is continued. Default: a new folder.",
            show_default=False,
        ),
    ] = None,
    actions: Annotated[
        str, typer.Option("--actions", metavar="tool|text", help="How models say what to run.")
    ] = "tool",
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="How many routers at once.")] = 2,
    min_free_mib: MinFreeOption = 2048,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Run routers live on small tasks and simulated models: real containers, real tests, no key, no spend.

    Exit code 1 where a case ended by infrastructure.
    """
    from twinbench.containers.engine import Engine
    from twinbench.errors import UsageError
    from twinbench.plugins.loading import load_router

    if not routers:
        raise UsageError("name the routers to rehearse, such as always-low always-high")
    rehearsal = rehearsal_of(
        tasks,
        only=only,
        limit=limit,
        pool=pool,
        seed=seed,
        faults=faults,
        actions=actions,
        on_router_error=on_router_error,
    )
    limits = plugins.limits(processes=True)
    loaded = [load_router(router, limits) for router in routers]
    with Engine.connect() as engine:
        folder = new_folder() if runs is None else runs
        summaries = rehearse_all(engine, rehearsal, loaded, folder, workers=workers, min_free_mib=min_free_mib)
    if json_:
        print_json(rehearsal_json(rehearsal, routers, summaries), output)
    else:
        print_table(rehearsal_table(rehearsal, routers, summaries), form, output)
    for router, summary in zip(routers, summaries, strict=True):
        if summary.stopped is not None:
            typer.echo(printable(f"{router}, stopped: {summary.stopped}"), err=True)
    stopped_itself = any(summary.stopped is not None for summary in summaries)
    if not stopped_itself and (left := sum(summary.left for summary in summaries)):
        typer.echo(f"stopped: {counted(left, 'case')} left; the same command with --runs {folder} goes on", err=True)
        raise typer.Exit(INTERRUPTED)
    if stopped_itself or any(summary.score.count("infra") or summary.score.count("cap") for summary in summaries):
        raise typer.Exit(1)


@app.command()
def build(
    *,
    tasks: _TasksOption = "rehearsal",
    only: OnlyOption = None,
    json_: JsonOption = False,
) -> None:
    """Build the images of the rehearsal's tasks, several at a time; those that are up to date stay."""
    from dynamic_track.tasks.images import prepare_images
    from twinbench.containers.engine import Engine

    chosen, _ = chosen_tasks(tasks, ChoosingOptions(only=only))
    with progress() as shown, Engine.connect() as engine:
        failed = prepare_images(engine, chosen, build_them=True, progress=shown)
        ready = {task.image: engine.image_identity(task.image) for task in chosen if task.image not in failed}
    if json_:
        print_json({"ready": ready, "failed": {image: str(error) for image, error in failed.items()}})
    else:
        typer.echo(f"{counted(len(ready), 'image')} ready, for {counted(len(chosen), 'task')}")
        for image, error in failed.items():
            typer.echo(f"error: {image}: {error}", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def serve(
    *,
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: any that is free.")] = 8462,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="The environment variable with the only key that is taken; without it, any is.",
            show_default=False,
        ),
    ] = None,
    tasks: _TasksOption = "rehearsal",
    pool: _PoolOption = "live-2026-04",
    seed: _SeedOption = "0",
    faults: _FaultsOption = None,
) -> None:
    """Serve the simulated models alone, as an OpenAI-compatible gateway on this machine, until interrupted."""
    import os
    import threading

    from dynamic_track.rehearsal.provider import Faults, SimulatedModels, simulated_provider
    from dynamic_track.rehearsal.simulation import known
    from twinbench.errors import UsageError
    from twinbench.pools import live_manifest

    key = None if api_key_env is None else os.environ.get(api_key_env)
    if api_key_env is not None and not key:
        raise UsageError(f"set the environment variable {api_key_env} (--api-key-env)")
    manifest = live_manifest(pool)
    chosen, _ = chosen_tasks(tasks, ChoosingOptions())
    models = SimulatedModels(known(chosen), manifest, seed=seed, faults=Faults.parse(faults))
    with simulated_provider(models, manifest, api_key=key, port=port) as server:
        typer.echo(server.api_base)
        typer.echo(f"simulated models of {manifest.name}; end with Ctrl-C", err=True)
        threading.Event().wait()


@app.command()
def skills(*, json_: JsonOption = False, form: FormatOption = Format.table, output: OutputOption = "-") -> None:
    """Show the declared skills of the simulated models."""
    from dynamic_track.rehearsal.skills import skill_table

    table = skill_table().model_dump(mode="json")
    if json_:
        print_json(table, output)
        return
    fields = list(next(iter(table.values())))
    rows = [{"skill": name, **{tier: _skill_cell(skill[name]) for tier, skill in table.items()}} for name in fields]
    columns = [Column("skill", "Skill"), *(Column(tier, tier) for tier in table)]
    notes = ["a declaration for rehearsals, not a measurement of any model; docs/rehearsal.md says what each means"]
    print_table(Table("Skills of the simulated models, by tier", columns, rows, notes), form, output)


def rehearsal_of(
    tasks: str = "rehearsal",
    *,
    only: list[str] | None = None,
    limit: int | None = None,
    pool: str = "live-2026-04",
    seed: str = "0",
    faults: str | None = None,
    actions: str = "tool",
    on_router_error: str | None = None,
) -> Rehearsal:
    """What the options of a rehearsal choose.

    Raises:
        UsageError: they choose nothing that there is.
        ContentError: a task declares no edits.
    """
    from dynamic_track.rehearsal.provider import Faults
    from dynamic_track.rehearsal.rehearsing import Rehearsal
    from dynamic_track.rehearsal.simulation import known
    from dynamic_track.running.agent import ActionStyle, agent_settings
    from twinbench.errors import UsageError
    from twinbench.pools import live_manifest

    if actions not in list(ActionStyle):
        raise UsageError(f"--actions {actions}: one of {', '.join(ActionStyle)}")
    manifest = live_manifest(pool)
    check_tier(on_router_error, manifest)
    chosen, all_of = chosen_tasks(tasks, ChoosingOptions(only=only, limit=limit))
    return Rehearsal(
        tasks=chosen,
        known=known(chosen),
        task_set=all_of.fingerprint,
        pool=manifest,
        settings=agent_settings(ActionStyle(actions), manifest.agent),
        seed=seed,
        faults=Faults.parse(faults),
        on_router_error=on_router_error,
        where={"tasks": tasks, "dataset": None, "pool": pool},
    )


def rehearse_all(
    engine: Engine,
    rehearsal: Rehearsal,
    routers: list[LoadedRouter],
    folder: Path,
    *,
    workers: int = 2,
    min_free_mib: int = 2048,
) -> list[RunSummary]:
    """Rehearse routers in a folder, with progress, in containers that are large enough for the rehearsal's tasks."""
    from dynamic_track.rehearsal.rehearsing import rehearse
    from dynamic_track.running.sitting import SittingLimits
    from dynamic_track.running.stopping import Stop

    stop = Stop()
    with progress() as shown, stopped_by_signals(stop.request):
        return rehearse(
            engine,
            rehearsal,
            routers,
            folder,
            limits=SittingLimits(memory_mib=_MEMORY_MIB, min_free_mib=min_free_mib, tests_s=_TESTS_S),
            workers=workers,
            stop=stop,
            progress=shown,
        )


def rehearsal_table(rehearsal: Rehearsal, routers: Sequence[str], summaries: list[RunSummary]) -> Table:
    """A table of rehearsed routers, cheapest bill first, and of giving up."""
    from dynamic_track.results.loaded import SIMULATED
    from dynamic_track.running.score import give_up_usd

    pool = rehearsal.pool
    tiers = list(dict.fromkeys(candidate.tier for candidate in pool.candidates))
    columns = [
        Column("router", "Router"),
        Column("resolved", "Resolved"),
        Column("cost_usd", "Cost, USD", 4),
        Column("penalty_usd", "Penalty, USD", 2),
        Column("bill_usd", "Bill, USD", 4),
        Column("avg_steps", "Steps a case", 1),
        Column("calls", f"Calls, %: {' / '.join(tiers)}"),
    ]
    rows: list[dict[str, Any]] = []
    for router, summary in zip(routers, summaries, strict=True):
        shares = summary.score.tier_shares(pool)
        calls = " / ".join(f"{100 * shares.get(tier, 0):.0f}" for tier in tiers)
        rows.append({"router": router, **summary.score.to_json(), "calls": calls, "computed": False})
    cases = len(rehearsal.tasks)
    bill = float(give_up_usd(cases, pool))
    given_up = {"resolved": 0, "cost_usd": 0.0, "penalty_usd": bill, "bill_usd": bill}
    rows.append({"router": "give up (computed)", **given_up, "computed": True})
    rows.sort(key=lambda row: row["bill_usd"])
    infra = sum(summary.score.count("infra") for summary in summaries)
    notes = [
        f"{counted(cases, 'case')} each; "
        + (f"{infra} ended by infrastructure" if infra else "none lost to infrastructure"),
        f"prices of pool {pool.name}, {pool.unresolved_penalty_usd} USD for an unresolved case; seed {rehearsal.seed}",
        *pool.division_notes,
        f"everything is in {Path(summaries[0].run).parent}",
    ]
    title = f"{SIMULATED[0].upper()}{SIMULATED[1:]}"
    return Table(title, columns, rows, notes, dimmed="computed")


def rehearsal_json(rehearsal: Rehearsal, routers: Sequence[str], summaries: list[RunSummary]) -> dict[str, Any]:
    """The same as a JSON object."""
    from dynamic_track.results.loaded import SIMULATED
    from dynamic_track.running.score import give_up_usd

    return {
        "simulated": SIMULATED,
        "pool": rehearsal.pool.name,
        "seed": rehearsal.seed,
        "simulation": rehearsal.simulation,
        "runs": [
            {"router": router, "run": summary.run, **summary.score.to_json()}
            for router, summary in zip(routers, summaries, strict=True)
        ],
        "give_up_bill_usd": float(give_up_usd(len(rehearsal.tasks), rehearsal.pool)),
    }


def _skill_cell(value: Any) -> str:
    return ", ".join(f"{name} {part:g}" for name, part in value.items()) if isinstance(value, dict) else f"{value:g}"


def new_folder() -> Path:
    """A folder for the runs of one rehearsal: in a checkout beside its results, else where the store is."""
    from datetime import datetime

    from twinbench.store import runs_dir

    return runs_dir() / f"rehearsal-{datetime.now().astimezone():%Y-%m-%d-%H%M%S}"
