"""``twinbench dynamic run``: cases solved by an agent whose every call is routed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli import INTERRUPTED
from twinbench.cli.live import RouterErrorOption, RunOption, check_tier
from twinbench.cli.live_board import LiveBoard
from twinbench.cli.live_options import (
    BuildOption,
    ChoosingOptions,
    ContainerOptions,
    EnginesOption,
    NoBreakerOption,
    TasksOption,
    chosen_tasks,
    connected,
)
from twinbench.cli.options import (
    FormatOption,
    JsonOption,
    OutputOption,
    PluginOptions,
    RouterArgument,
    takes_option_groups,
)
from twinbench.cli.output import Column, Format, Table, print_json, print_table, printable, progress, write_text
from twinbench.cli.signals import stopped_by_signals
from twinbench.display.wording import counted

if TYPE_CHECKING:
    from dynamic_track.running.estimate import Estimate
    from dynamic_track.running.runner import RunSummary
    from dynamic_track.running.sitting import Plan
    from dynamic_track.running.trial import Trial
    from dynamic_track.tasks.task import Task
    from twinbench.storage.manifests import LiveManifest

_SHOWN_CHARACTERS = 300


@takes_option_groups
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
    choosing: ChoosingOptions,
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
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="How many cases at once, on each engine.")
    ] = 1,
    engines: EnginesOption = None,
    trials: Annotated[
        int, typer.Option("--trials", metavar="K", min=1, max=1000, help="How often each case is run.")
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Only every N-th case from the I-th on, with an N-th of the cap; see: dynamic merge.",
            show_default=False,
        ),
    ] = None,
    grade: Annotated[
        str, typer.Option("--grade", metavar="swebench|none", help="none leaves the grading to dynamic grade DIR.")
    ] = "swebench",
    candidate_limit: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate-limit",
            metavar="ID:LIMITS",
            help="What a provider allows for a candidate: ID:connections=4,rpm=60,tpm=100000, some of the three; "
            "* is every candidate; repeatable.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run and what it may cost; ask and spend nothing.")
    ] = False,
    build: BuildOption = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="An override for trying things out: every case in this image instead of its own; needs --grade none.",
            show_default=False,
        ),
    ] = None,
    evict: Annotated[
        bool, typer.Option("--evict", help="Remove the images that were pulled for cases once those are over.")
    ] = False,
    min_free_memory: Annotated[
        int,
        typer.Option(
            "--min-free-memory-mib", metavar="MIB", min=0, help="Begin no further case with less free memory than this."
        ),
    ] = 1024,
    no_breaker: NoBreakerOption = False,
    network: Annotated[bool, typer.Option("--network", help="Give the case's container a network.")] = False,
    containers: ContainerOptions,
    plugins: PluginOptions,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Let mini-swe-agent solve cases, the router picking the model before every call; the same command continues.

    Exit code 1 where a case ended by infrastructure or by the cap. Where the first three cases in a row are lost to the
    same infrastructure cause, the run stops.
    """
    from dynamic_track.running.admission import Admission, Images
    from dynamic_track.running.agent import ActionStyle, agent_settings
    from dynamic_track.running.executors import Node, Threads
    from dynamic_track.running.sitting import Plan, Provider, SittingLimits, shard_of, sit, so_far
    from dynamic_track.running.stopping import Stop
    from twinbench.calls.attempts import RetryLimits
    from twinbench.calls.limiting import Limited, parse_limits
    from twinbench.errors import UsageError
    from twinbench.plugins.loading import load_router
    from twinbench.providers.gateway import Gateway
    from twinbench.providers.metering import spending_cap
    from twinbench.storage.manifests import live_manifest

    if grade not in ("swebench", "none"):
        raise UsageError(f"--grade {grade}: swebench or none")
    if image is not None and grade != "none":
        raise UsageError("--image runs cases where they cannot be graded: add --grade none")
    if actions not in list(ActionStyle):
        raise UsageError(f"--actions {actions}: one of {', '.join(ActionStyle)}")
    manifest = live_manifest(pool)
    check_tier(on_router_error, manifest)
    cap = spending_cap(run_usd, manifest, "--run-usd", "the run")
    chosen, all_of = chosen_tasks(tasks, choosing)
    if silent := [task.id for task in chosen if not task.problem_statement.strip()]:
        raise UsageError(f"{counted(len(silent), 'task')} without a problem statement: {', '.join(silent[:5])}")
    router_limits = plugins.limits(processes=True)
    settings = agent_settings(ActionStyle(actions), manifest.agent)
    plan = Plan(
        load_router(router, router_limits),
        all_of.fingerprint,
        manifest,
        settings,
        seed,
        network,
        on_router_error,
        trials,
        shard=None if shard is None else shard_of(shard),
        image=image,
    )
    chosen, cap = plan.part(chosen, cap)
    before = so_far(run_dir, plan)
    foreseen = _foreseen(chosen, before, manifest, plan.trials, workers * max(len(engines or ()), 1), cap)
    if dry_run:
        _tell_plan(run_dir, router, plan, chosen, foreseen, cap, json_=json_, output=output)
        return
    candidate_limits = dict(map(parse_limits, candidate_limit or ()))
    gateway = Gateway(api_base, api_key_env)
    if not json_ and not yes and cap is not None:
        _confirm(foreseen, cap)
    stop = Stop(run_dir)
    spent = sum((each.spend_usd for each in before), start=Decimal(0))
    with (
        progress() as shown,
        connected(engines) as connections,
        gateway,
        LiveBoard(len(chosen) * trials, spent, cap, graded=grade == "swebench") as board,
        stopped_by_signals(stop.request),
    ):
        every = [task for task in chosen for _ in range(trials)]
        summary = sit(
            Threads(
                [
                    Node(
                        engine,
                        Images(engine, every, build=build or tasks == "rehearsal", evict=evict, progress=shown),
                        workers,
                        Admission(min_free_memory if engine.is_here else 0),  # of another machine it cannot be seen
                    )
                    for engine in connections
                ]
            ),
            plan,
            chosen,
            run_dir,
            Provider(Limited(gateway, candidate_limits), _secrets(api_key_env)),
            where={"tasks": tasks, "dataset": choosing.dataset, "pool": pool},
            limits=SittingLimits(
                cap,
                RetryLimits(attempt_s=call_timeout),
                containers.memory,
                containers.min_free_mib,
                containers.tests_timeout,
            ),
            graded=grade == "swebench",
            breaker=not no_breaker,
            stop=stop,
            listener=board,
        )
    if json_:
        write_text(json.dumps({**summary.to_json(), "stopped": summary.stopped}) + "\n", output)
    else:
        print_table(_run_table(summary, router, manifest), form, output)
    if summary.stopped is not None:
        typer.echo(printable(f"stopped: {summary.stopped}; {counted(summary.left, 'trial')} left"), err=True)
        raise typer.Exit(1)
    if summary.left:
        typer.echo(f"stopped: {counted(summary.left, 'trial')} left; the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED)
    if summary.score.count("infra") or summary.score.count("cap"):
        raise typer.Exit(1)


def _foreseen(
    chosen: Sequence[Task],
    before: Sequence[Trial],
    pool: LiveManifest,
    trials: int,
    workers: int,
    cap: Decimal | None,
) -> Estimate:
    """What is left of a run, and what it may cost."""
    from dynamic_track.running.estimate import estimate

    finished = [trial for trial in before if trial.counts not in ("infra", "cap")]
    over = {(trial.id, trial.trial) for trial in finished}
    left = sum((task.id, number) not in over for task in chosen for number in range(1, trials + 1))
    spent = sum((trial.spend_usd for trial in before), start=Decimal(0))
    return estimate(pool, left, finished, workers=workers, run_usd=None if cap is None else cap - spent)


def _worded(foreseen: Estimate, cap: Decimal | None) -> str:
    basis = (
        f"from {counted(foreseen.measured_on, 'finished case')}"
        if foreseen.measured_on
        else "for an assumed case, from the cheapest model with a warm cache to the dearest with a cold one"
    )
    said = (
        f"{counted(foreseen.cases, 'trial')} to run, about {foreseen.least_usd:.2f} to {foreseen.most_usd:.2f} USD "
        f"({basis}); " + ("without a cap" if cap is None else f"capped at {cap} USD")
    )
    if foreseen.starved > 0:
        said += (
            f"\nthe cap starves {counted(foreseen.starved, 'worker')} of {foreseen.workers}: up to "
            f"{foreseen.call_usd:.2f} USD are reserved for a call of the dearest model while it is in flight"
        )
    return said


def _tell_plan(
    run_dir: Path,
    router: str,
    plan: Plan,
    chosen: Sequence[Task],
    foreseen: Estimate,
    cap: Decimal | None,
    *,
    json_: bool,
    output: str,
) -> None:
    """What a run would do."""
    if json_:
        content = {
            "run": str(run_dir),
            "identity": plan.identity(),
            "cases": [task.id for task in chosen],
            "trials": plan.trials,
            "run_usd": None if cap is None else float(cap),
            "estimate": foreseen.to_json(),
        }
        print_json(content, output)
        return
    cases = f"{counted(len(chosen), 'case')}" + (f", {plan.trials} times each" if plan.trials > 1 else "")
    shard = "" if plan.shard is None else f", shard {plan.shard[0]} of {plan.shard[1]}"
    lines = [f"{router} on {cases}{shard}, pool {plan.pool.name}: nothing was run", _worded(foreseen, cap)]
    write_text("".join(f"{line}\n" for line in lines), output)


def _confirm(foreseen: Estimate, cap: Decimal) -> None:
    """Say what may be spent; where a person sits there, ask."""
    import sys

    typer.echo(_worded(foreseen, cap), err=True)
    if sys.stdin.isatty():
        typer.confirm("Spend up to that?", abort=True, err=True)


def _secrets(api_key_env: str | None) -> list[str]:
    import os

    value = os.environ.get(api_key_env or "")
    return [value] if value else []


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
