"""``twinbench dynamic run`` and ``replay``: cases solved by an agent whose every call is routed, and that once more."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli.dynamic import (
    BuildOption,
    DatasetOption,
    LimitOption,
    MemoryOption,
    MinFreeOption,
    OnlyOption,
    ShuffleOption,
    SliceOption,
    TasksOption,
    TestsTimeoutOption,
    chosen_tasks,
)
from twinbench.cli.imports import replay_imported_run
from twinbench.cli.options import (
    DecisionTimeoutOption,
    FormatOption,
    IsolationLevel,
    IsolationOption,
    JsonOption,
    LoadTimeoutOption,
    OutputOption,
    PluginEnvOption,
    PluginImageOption,
    PluginMemoryOption,
    PluginWheelsOption,
    PythonOption,
    RouterArgument,
    plugin_limits,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, progress, write_text
from twinbench.wording import counted

if TYPE_CHECKING:
    from dynamic_track.replay import Replayed
    from dynamic_track.runner import RunSummary
    from twinbench.pools import LiveManifest

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


def run(
    router: RouterArgument,
    *,
    run_dir: RunOption,
    api_base: Annotated[
        str, typer.Option("--api-base", metavar="URL", help="The OpenAI-compatible gateway, such as https://host/v1.")
    ],
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="The environment variable with its key; leave it out for a server that wants none.",
            show_default=False,
        ),
    ] = None,
    tasks: TasksOption = "rehearsal",
    dataset: DatasetOption = None,
    only: OnlyOption = None,
    shuffle: ShuffleOption = None,
    slice_: SliceOption = None,
    limit: LimitOption = None,
    pool: Annotated[
        str, typer.Option("--pool", metavar="POOL", help="A live pool: a shipped one by name, or a file of your own.")
    ] = "live-2026-04",
    run_usd: Annotated[
        str | None,
        typer.Option(
            "--run-usd",
            metavar="USD",
            help="The most that the whole run may spend, over all sittings; needed where the pool costs anything.",
            show_default=False,
        ),
    ] = None,
    actions: Annotated[
        str, typer.Option("--actions", metavar="tool|text", help="How models say what to run.")
    ] = "tool",
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="What session keys are made with.")] = "0",
    call_timeout: Annotated[
        float, typer.Option("--call-timeout", metavar="SECONDS", min=0.1, help="How long one attempt may take.")
    ] = 300,
    on_router_error: RouterErrorOption = None,
    build: BuildOption = False,
    network: Annotated[bool, typer.Option("--network", help="Give the case's container a network.")] = False,
    memory: MemoryOption = 8192,
    tests_timeout: TestsTimeoutOption = 1800,
    min_free_mib: MinFreeOption = 2048,
    python: PythonOption = None,
    plugin_memory: PluginMemoryOption = 4096,
    plugin_env: PluginEnvOption = None,
    isolation: IsolationOption = IsolationLevel.default,
    plugin_image: PluginImageOption = None,
    plugin_wheels: PluginWheelsOption = None,
    load_timeout: LoadTimeoutOption = 120,
    decision_timeout: DecisionTimeoutOption = 30,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Let mini-swe-agent solve cases, the router picking the model before every call; the same command continues.

    Exit code 1 where a case ended by infrastructure or by the cap.
    """
    from dynamic_track.agent import ActionStyle, agent_settings
    from dynamic_track.images import prepare_images
    from dynamic_track.sitting import Plan, Provider, SittingLimits, sit
    from twinbench.calls.attempts import RetryLimits
    from twinbench.containers.engine import Engine
    from twinbench.errors import UsageError
    from twinbench.plugins.loading import load_router
    from twinbench.pools import live_manifest
    from twinbench.providers.gateway import Gateway
    from twinbench.providers.metering import spending_cap

    if actions not in list(ActionStyle):
        raise UsageError(f"--actions {actions}: one of {', '.join(ActionStyle)}")
    manifest = live_manifest(pool)
    check_tier(on_router_error, manifest)
    cap = spending_cap(run_usd, manifest, "--run-usd", "the run")
    chosen, all_of = chosen_tasks(tasks, dataset, only, shuffle, slice_, limit, None)
    if silent := [task.id for task in chosen if not task.problem_statement.strip()]:
        raise UsageError(f"{counted(len(silent), 'task')} without a problem statement: {', '.join(silent[:5])}")
    router_limits = plugin_limits(
        load_timeout,
        decision_timeout,
        plugin_memory,
        python,
        plugin_env,
        processes=True,
        isolation=isolation,
        image=plugin_image,
        wheels=plugin_wheels,
    )
    settings = agent_settings(ActionStyle(actions), manifest.agent)
    plan = Plan(
        load_router(router, router_limits), all_of.fingerprint, manifest, settings, seed, network, on_router_error
    )
    gateway = Gateway(api_base, api_key_env)
    if not json_ and not yes and cap is not None:
        _confirm(len(chosen), manifest, cap)
    with progress() as shown, Engine.connect() as engine, gateway:
        summary = sit(
            engine,
            plan,
            chosen,
            run_dir,
            Provider(gateway, _secrets(api_key_env)),
            where={"tasks": tasks, "dataset": dataset, "pool": pool},
            limits=SittingLimits(cap, RetryLimits(attempt_s=call_timeout), memory, min_free_mib, tests_timeout),
            images=lambda: prepare_images(engine, chosen, build_them=build or tasks == "rehearsal", progress=shown),
            progress=shown,
        )
    if json_:
        write_text(json.dumps(summary.to_json()) + "\n", output)
    else:
        print_table(_run_table(summary, router, manifest), form, output)
    if summary.score.count("infra") or summary.score.count("cap"):
        raise typer.Exit(1)


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
    pool: Annotated[
        str | None,
        typer.Option("--pool", metavar="POOL", help="The pool, if not where it was.", show_default=False),
    ] = None,
    router: Annotated[
        str | None,
        typer.Option(
            "--router", metavar="SPEC", help="The router for --route, if not where it was.", show_default=False
        ),
    ] = None,
    build: BuildOption = False,
    memory: MemoryOption = 8192,
    tests_timeout: TestsTimeoutOption = 1800,
    min_free_mib: MinFreeOption = 2048,
    python: PythonOption = None,
    plugin_memory: PluginMemoryOption = 4096,
    plugin_env: PluginEnvOption = None,
    isolation: IsolationOption = IsolationLevel.default,
    plugin_image: PluginImageOption = None,
    plugin_wheels: PluginWheelsOption = None,
    load_timeout: LoadTimeoutOption = 120,
    decision_timeout: DecisionTimeoutOption = 30,
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
    from dynamic_track.agent import ActionStyle, agent_settings
    from dynamic_track.images import prepare_images
    from dynamic_track.imported import is_imported
    from dynamic_track.replay import replay as replay_run
    from dynamic_track.run_dir import RunDirectory
    from dynamic_track.task_sources import load_tasks
    from dynamic_track.trial import Bench
    from dynamic_track.verdict import GradingLimits
    from dynamic_track.verdict_store import VerdictStore
    from twinbench.calls.budget import Budget
    from twinbench.calls.journal import read_journal
    from twinbench.calls.metered import MeteredLlm
    from twinbench.calls.recording import recordings
    from twinbench.calls.routed import Decider, RecordingDecides, RouterIsCompared
    from twinbench.containers.container import ContainerLimits
    from twinbench.containers.engine import Engine
    from twinbench.errors import UsageError
    from twinbench.plugins.loading import load_router
    from twinbench.pools import live_manifest
    from twinbench.store import Store

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
        router_limits = plugin_limits(
            load_timeout,
            decision_timeout,
            plugin_memory,
            python,
            plugin_env,
            processes=True,
            isolation=isolation,
            image=plugin_image,
            wheels=plugin_wheels,
        )
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
        failed = prepare_images(engine, wanted, build_them=build or named == "rehearsal", progress=shown)
        for error in failed.values():
            raise error
        decider: Decider = RecordingDecides()
        own = MeteredLlm(manifest, None, Budget(None))
        if loaded is not None:
            candidates = tuple(candidate.candidate() for candidate in manifest.candidates)
            decider = RouterIsCompared(stack.enter_context(loaded.opened(candidates, own)))
        bench = Bench(
            engine=engine,
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
                memory_mib=memory, network=identity["overrides"]["network"], min_free_mib=min_free_mib
            ),
            grading=GradingLimits(tests_s=tests_timeout, memory_mib=memory, min_free_mib=min_free_mib),
        )
        graded_anew = stack.enter_context(tempfile.TemporaryDirectory(prefix="twinbench-"))
        replayed = replay_run(bench, found, recorded, directory, VerdictStore(Store(graded_anew)), shown)
    if json_:
        print_json(replayed.to_json(), output)
    else:
        print_table(_replay_table(replayed, run_dir), form, output)
    if replayed.differences:
        raise typer.Exit(1)


def check_tier(tier: str | None, pool: LiveManifest) -> None:
    """Refuse a tier for failing routers that the pool does not have."""
    from twinbench.errors import UsageError

    tiers = list(dict.fromkeys(candidate.tier for candidate in pool.candidates))
    if tier is not None and tier not in tiers:
        raise UsageError(f"--on-router-error {tier}: pool {pool.name} has {', '.join(tiers)}")


def _secrets(api_key_env: str | None) -> list[str]:
    import os

    value = os.environ.get(api_key_env or "")
    return [value] if value else []


def _confirm(cases: int, pool: LiveManifest, cap: Any) -> None:
    """Say what may be spent; where a person sits there, ask."""
    import sys

    most = cases * pool.agent.cost_limit_usd
    each = pool.agent.cost_limit_usd
    said = f"{counted(cases, 'case')} of about {each} USD at most, {most} USD in all; capped at {cap} USD"
    typer.echo(said, err=True)
    if sys.stdin.isatty():
        typer.confirm("Spend up to that?", abort=True, err=True)


def _run_table(summary: RunSummary, router: str, pool: LiveManifest) -> Table:
    columns = [
        Column("id", "Case"),
        Column("trial", "Trial"),
        Column("counts", "Counted as"),
        Column("cause", "Cause"),
        Column("steps", "Steps"),
        Column("cost_usd", "Cost, USD", 4),
        Column("spend_usd", "Spend, USD", 4),
        Column("bill_usd", "Bill, USD", 4),
        Column("models", "Models"),
        Column("detail", "Detail"),
    ]
    rows = [
        {
            "id": trial.id,
            "trial": trial.trial,
            "counts": trial.counts,
            "cause": None if trial.cause is None else str(trial.cause),
            "steps": trial.steps,
            "cost_usd": float(trial.cost_usd),
            "spend_usd": float(trial.spend_usd),
            "bill_usd": None if trial.bill_usd is None else float(trial.bill_usd),
            "models": ", ".join(f"{name} ×{calls}" for name, calls in trial.models.items()) or None,
            "detail": None if trial.detail is None else trial.detail[:_SHOWN_CHARACTERS],
        }
        for trial in summary.trials
    ]
    told = ", ".join(f"{summary.score.count(what):,} {what}" for what in ("resolved", "unresolved", "infra", "cap"))
    spent = f"spent {summary.score.spend_usd:.4f} USD"
    notes = [
        f"{counted(len(rows), 'case')}: {told}; {spent}",
        *_reported(summary),
        *pool.division_notes,
        f"everything is in {summary.run}",
    ]
    return Table(f"{router}, live", columns, rows, notes)


def _reported(summary: RunSummary) -> list[str]:
    """What the provider says that the answers cost, where it says so, beside what they cost at the locked prices."""
    told = [trial for trial in summary.trials if trial.reported_usd is not None]
    if not told:
        return []
    reported = sum(float(trial.reported_usd or 0) for trial in told)
    computed = sum(float(trial.cost_usd) for trial in told)
    cases = counted(len(told), "case")
    return [f"the provider reports {reported:.4f} USD for {cases}, {reported - computed:+.4f} beside the locked prices"]


def _replay_table(replayed: Replayed, run_dir: Path) -> Table:
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
    return Table(f"Replay of {run_dir}", columns, rows, notes)


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
