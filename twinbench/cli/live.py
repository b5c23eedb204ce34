"""``twinbench dynamic run`` and ``replay``: cases solved by an agent whose every call is routed, and that once more."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.imports import replay_imported_run
from twinbench.cli.live_options import (
    BuildOption,
    ContainerOptions,
    DatasetOption,
    MovedPoolOption,
    OnlyOption,
)
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    OutputOption,
    PluginOptions,
    takes_option_groups,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress
from twinbench.display.wording import counted, shortened

if TYPE_CHECKING:
    from dynamic_track.running.replay import Replayed

_SHOWN_CHARACTERS = 300

RouterErrorOption = Annotated[
    str | None,
    typer.Option(
        "--on-router-error",
        metavar="TIER",
        help="Where the router fails, this tier answers; without it the case is unresolved. Another run than without.",
        show_default=False,
    ),
]
RunOption = Annotated[
    Path, typer.Option("--run", metavar="DIR", help="The run's directory; continued where it exists.")
]


@takes_option_groups
def replay(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a run, or a copy of it.")],
    *,
    route: Annotated[
        bool, typer.Option("--route", help="Ask the router again, and compare its decisions with the recorded ones.")
    ] = False,
    only: OnlyOption = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", metavar="TASKS", help="Where the tasks are, if not where they were.", show_default=False
        ),
    ] = None,
    dataset: DatasetOption = None,
    pool: MovedPoolOption = None,
    router: Annotated[
        str | None,
        typer.Option(
            "--router", metavar="SPEC", help="The router for --route, if not where it was.", show_default=False
        ),
    ] = None,
    build: BuildOption = False,
    containers: ContainerOptions,
    plugins: PluginOptions,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Run a recorded run again with real containers and grading and no provider, and compare everything.

    Of an imported run only the model's side is replayed. Exit code 0 where all is equal, 1 at a difference.
    """
    import tempfile
    from fnmatch import fnmatchcase

    from dynamic_track import harness
    from dynamic_track.grading.verdict_store import VerdictStore
    from dynamic_track.running.agent import ActionStyle, agent_settings
    from dynamic_track.running.imported import is_imported
    from dynamic_track.running.replay import replay as replay_run
    from dynamic_track.running.run_dir import RunDirectory
    from dynamic_track.running.trial import Bench
    from dynamic_track.tasks.images import prepare_images
    from dynamic_track.tasks.sources import load_tasks
    from twinbench.calls.budget import Budget
    from twinbench.calls.journal import read_journal
    from twinbench.calls.metered import MeteredLlm
    from twinbench.calls.recording import recordings
    from twinbench.calls.routed import Decider, RecordingDecides, RouterIsCompared
    from twinbench.containers.container import ContainerLimits
    from twinbench.containers.engine import Engine
    from twinbench.errors import UsageError
    from twinbench.plugins.loading import load_router
    from twinbench.storage.manifests import live_manifest
    from twinbench.storage.store import Store

    directory = RunDirectory(run_dir)
    plan = directory.plan()
    if is_imported(plan):
        replay_imported_run(run_dir, plan, pool, only, route=route, json_=json_, form=form, output=output)
        return
    identity, where = plan["identity"], plan.get("where", {})
    if router is not None and not route:
        raise UsageError("--router names the router that --route asks again")
    loaded = None
    if route:
        router_limits = plugins.limits(processes=True)
        loaded = load_router(router or identity["router"]["spec"], router_limits)
        if loaded.fingerprint != identity["router"].get("fingerprint"):
            typer.echo("note: this router is not, or not under the conditions, that the run was made with", err=True)
    if (then := identity.get("grader", {}).get("swebench")) != (now := harness.version()):
        typer.echo(f"note: the run was graded by swebench {then}, this replay grades by {now}", err=True)
    recorded = [
        each
        for each in recordings(read_journal(directory.journal)).values()
        if each.end is not None and (not only or any(fnmatchcase(each.case, glob) for glob in only))
    ]
    if not recorded:
        raise UsageError(f"{run_dir}: no trial of this run has ended{' and matches --only' if only else ''}")
    named = tasks or where["tasks"]
    found = {task.id: task for task in load_tasks(named, dataset or where.get("dataset")).tasks}
    manifest = live_manifest(pool or where["pool"])
    settings = agent_settings(ActionStyle(identity["agent"]["actions"]), manifest.agent)
    with ExitStack() as stack:
        shown = stack.enter_context(progress())
        engine = stack.enter_context(Engine.connect())
        wanted = [found[each.case] for each in recorded if each.case in found]
        failed = prepare_images(engine, wanted, build_them=build, progress=shown)
        decider: Decider = RecordingDecides()
        own = MeteredLlm(manifest, None, Budget(None))
        if loaded is not None:
            candidates = tuple(candidate.candidate() for candidate in manifest.candidates)
            decider = RouterIsCompared(stack.enter_context(loaded.opened(candidates, own)))
        bench = Bench(
            pool=manifest,
            settings=settings,
            decider=decider,
            source=None,
            budget=Budget(None),
            salt=identity["seed"],
            on_router_error=identity["overrides"].get("on_router_error"),
            own=own,
            run=f"replay of {run_dir.resolve().name}",
            container=ContainerLimits(
                memory_mib=containers.memory,
                network=identity["overrides"]["network"],
                min_free_mib=containers.min_free_mib,
            ),
            grading=containers.grading(),
        )
        graded_anew = stack.enter_context(tempfile.TemporaryDirectory(prefix="twinbench-"))
        replayed = replay_run(
            bench, engine, found, recorded, directory, VerdictStore(Store(graded_anew)), shown, failed
        )
    if json_:
        print_json(replayed.to_json(), output)
    else:
        simulated = "simulation" in identity.get("provider", {})
        print_table(_replay_table(replayed, run_dir, simulated=simulated), form, output)
    if replayed.differences:
        raise typer.Exit(1)


def _replay_table(replayed: Replayed, run_dir: Path, *, simulated: bool) -> Table:
    columns = [
        Column("case", "Case"),
        Column("trial", "Trial"),
        Column("step", "Step"),
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
            "recorded": _shortened(each.recorded),
            "replayed": _shortened(each.replayed),
        }
        for each in replayed.differences
    ]
    notes = [f"{counted(replayed.cases, 'trial')} replayed, {replayed.equal:,} equal"]
    title = f"{'A rehearsal with simulated models, replayed:' if simulated else 'Replay of'} {run_dir}"
    return Table(title, columns, rows, notes)


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return shortened(text, _SHOWN_CHARACTERS)
