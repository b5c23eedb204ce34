"""``twinbench dynamic run``: an agent solves cases, and a router picks the model for each of its calls."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinbench.cli import INTERRUPTED, completion
from twinbench.cli.dynamic.options import (
    ActionFormatOption,
    BuildOption,
    ClusterOptions,
    ContainerOptions,
    EnginesOption,
    InSampleRunOption,
    NoBreakerOption,
    RouterErrorOption,
    TaskOptions,
    TasksOption,
)
from twinbench.cli.help import Panel
from twinbench.cli.option_groups import expand_option_groups
from twinbench.cli.options import (
    FormatOption,
    GatewayKeyEnvOption,
    JsonOption,
    OutputOption,
    RouterArgument,
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
    write_text,
)
from twinbench.cli.plugin_options import PluginOptions
from twinbench.cli.signals import stop_on_signals
from twinbench.display.wording import format_count

if TYPE_CHECKING:
    from dynamic_track.running.estimate import Estimate
    from dynamic_track.running.preparing import PreparedRun
    from dynamic_track.running.runner import RunSummary
    from twinbench.outcomes.foreseen import Forecast
    from twinbench.storage.manifests import LiveManifest

_SHOWN_CHARACTERS = 300


@expand_option_groups
def run(
    router: RouterArgument,
    *,
    run_dir: Annotated[
        Path,
        typer.Option(
            "--run",
            metavar="RUN",
            help="The run directory; an existing run is continued.",
            autocompletion=completion.runs,
        ),
    ],
    api_base: Annotated[
        str,
        typer.Option(
            "--api-base",
            metavar="URL",
            help="The OpenAI-compatible gateway, such as https://host/v1.",
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ],
    api_key_env: GatewayKeyEnvOption = None,
    tasks: TasksOption = "rehearsal",
    choosing: TaskOptions,
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="POOL",
            help="A live pool: a shipped one by name, or a file of your own.",
            rich_help_panel=Panel.LLM_CALLS,
            autocompletion=completion.manifests,
        ),
    ] = "live-2026-04",
    run_usd: Annotated[
        str | None,
        typer.Option(
            "--run-usd",
            metavar="USD",
            help="Spending cap of the whole run, however often it is continued; required unless the pool is free.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    action_format: ActionFormatOption = "tool",
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="Seed of the session keys.")] = "0",
    call_timeout: Annotated[
        float,
        typer.Option(
            "--call-timeout",
            metavar="SECONDS",
            min=0.1,
            help="Time limit of one attempt of a model call.",
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = 300,
    on_router_error: RouterErrorOption = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", min=1, help="How many cases in parallel on each engine.")
    ] = 1,
    engines: EnginesOption = None,
    cluster: ClusterOptions,
    trials: Annotated[
        int, typer.Option("--trials", metavar="K", min=1, max=1000, help="How often each case is run.")
    ] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N|auto",
            help="Run only every N-th case from the I-th on, with 1/N of the cap; auto: what Slurm, Kubernetes or a CI "
            "system says; see: dynamic merge.",
            show_default=False,
        ),
    ] = None,
    grade: Annotated[
        str,
        typer.Option("--grade", metavar="swebench|none", help="Grade patches; none leaves that to: dynamic grade RUN."),
    ] = "swebench",
    candidate_limit: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate-limit",
            metavar="ID:LIMITS",
            help="Rate limits of a candidate: ID:connections=4,rpm=60,tpm=100000, one or more of the three; "
            "* is every other candidate; repeatable.",
            show_default=False,
            rich_help_panel=Panel.LLM_CALLS,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be run and what it may cost; spend nothing.")
    ] = False,
    commit_only: Annotated[
        bool,
        typer.Option(
            "--commit-only",
            help="Write the commitment, a small file to be posted before the run, and leave; ask and spend nothing.",
        ),
    ] = False,
    outcomes: Annotated[
        str | None,
        typer.Option(
            "--outcomes",
            metavar="NAME",
            help="With --dry-run: say by a table of outcomes what the cases may cost, and whether they can show "
            "anything (see: outcomes list).",
            show_default=False,
        ),
    ] = None,
    tiers: Annotated[
        list[str] | None,
        typer.Option(
            "--tiers",
            metavar="TIER=MODEL,...",
            help="With --outcomes: the model of that table that represents each tier of the pool.",
            show_default=False,
        ),
    ] = None,
    build: BuildOption = False,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="For experiments: run every case in this image instead of its own; needs --grade none.",
            show_default=False,
            rich_help_panel=Panel.CONTAINERS,
        ),
    ] = None,
    evict: Annotated[
        bool,
        typer.Option(
            "--evict",
            help="Remove images that were pulled for cases when those are finished.",
            rich_help_panel=Panel.CONTAINERS,
        ),
    ] = False,
    min_free_memory: Annotated[
        int,
        typer.Option(
            "--min-free-memory-mib",
            metavar="MIB",
            min=0,
            help="Start no further case with less free memory than this.",
            rich_help_panel=Panel.CONTAINERS,
        ),
    ] = 1024,
    no_breaker: NoBreakerOption = False,
    network: Annotated[
        bool, typer.Option("--network", help="Give containers of cases a network.", rich_help_panel=Panel.CONTAINERS)
    ] = False,
    containers: ContainerOptions,
    in_sample: InSampleRunOption = False,
    plugins: PluginOptions,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation before money is spent.")
    ] = False,
    json_: JsonOption = False,
    form: FormatOption = Format.table,
    output: OutputOption = "-",
) -> None:
    """Let mini-swe-agent solve cases, with the router picking the model for every call; run it again to continue.

    Exit code 1 if a case ended because of infrastructure or the cap, or the router failed in every case. If the first
    three cases in a row are lost to the same infrastructure cause, the run stops.
    """
    from dynamic_track.running.preparing import RunRequest, prepare_run
    from dynamic_track.running.stopping import Stop
    from twinbench.cli.dynamic.board import LiveBoard
    from twinbench.errors import UsageError

    if grade not in ("swebench", "none"):
        raise UsageError(f"--grade {grade}: must be swebench or none")
    if outcomes is not None and not (dry_run and tiers):
        raise UsageError("--outcomes requires --dry-run and --tiers, such as low=M1,high=M2")
    if tiers and outcomes is None:
        raise UsageError("--tiers requires --outcomes")
    request = RunRequest(
        router=router,
        run_dir=run_dir,
        api_base=api_base,
        api_key_env=api_key_env,
        choice=choosing.task_choice(tasks),
        pool=pool,
        run_usd=run_usd,
        action_format=action_format,
        seed=seed,
        on_router_error=on_router_error,
        trials=trials,
        shard=shard,
        image=image,
        network=network,
        graded=grade == "swebench",
        workers=workers,
        engines=engines or (),
        cluster=cluster.request(),
        candidate_limits=candidate_limit or (),
        call_timeout_s=call_timeout,
        build=build,
        evict=evict,
        min_free_memory_mib=min_free_memory,
        breaker=not no_breaker,
        memory_mib=containers.memory,
        min_free_mib=containers.min_free_mib,
        tests_s=containers.tests_timeout,
        plugins=plugins.limits(processes=True),
        in_sample=in_sample,
    )
    with progress() as shown:
        prepared = prepare_run(request, shown)
    if dry_run:
        foreseen = None if outcomes is None else _foreseen(prepared, outcomes, tiers or [])
        _print_plan(prepared, foreseen, json_=json_, output=output)
        return
    if commit_only:
        path, commitment = prepared.commit()
        if json_:
            print_json({"file": str(path), **commitment.model_dump(mode="json")}, output)
        else:
            write_text(make_printable(f"{path}\nPost it as results/commitments/{path.name} before the run.\n"), output)
        return
    prepared.check_gateway()
    if not json_ and not yes and prepared.cap is not None:
        _confirm(prepared.estimate, prepared.cap)
    stop = Stop(run_dir)
    every = len(prepared.cases) * trials
    with (
        progress() as shown,
        LiveBoard(every, prepared.spent_usd, prepared.cap, graded=request.graded) as board,
        stop_on_signals(stop.request, f"results so far: {run_dir}; run the same command to continue"),
    ):
        summary = prepared.execute(stop=stop, listener=board, progress=shown, notify=print_notice)
    if json_:
        write_text(json.dumps(summary.to_json()) + "\n", output)
    else:
        print_table(_run_table(summary, prepared.setup.router.name, prepared.setup.pool), form, output)
    if summary.stopped is not None:
        typer.echo(make_printable(f"stopped: {summary.stopped}; {format_count(summary.left, 'trial')} left"), err=True)
        raise typer.Exit(1)
    if summary.left:
        typer.echo(
            f"interrupted: {format_count(summary.left, 'trial')} left; run the same command to continue", err=True
        )
        raise typer.Exit(INTERRUPTED)
    failed = summary.router_failure is not None
    if failed and (json_ or form is not Format.table):  # the table for people has these notes already
        for note in summary.score.failure_notes(prepared.setup.router.name):
            typer.echo(make_printable(f"error: {note}"), err=True)
    if failed or summary.score.count("infra") or summary.score.count("cap"):
        raise typer.Exit(1)


def _estimate_text(foreseen: Estimate, cap: Decimal | None) -> str:
    basis = (
        f"from {format_count(foreseen.measured_on, 'finished case')}"
        if foreseen.measured_on
        else "for an assumed case: cheapest model with a warm cache to most expensive with a cold one"
    )
    said = (
        f"{format_count(foreseen.cases, 'trial')} to run, about {foreseen.least_usd:.2f} to "
        f"{foreseen.most_usd:.2f} USD "
        f"({basis}); " + ("without a cap" if cap is None else f"capped at {cap} USD")
    )
    if foreseen.starved > 0:
        said += (
            f"\nunder this cap {format_count(foreseen.starved, 'worker')} of {foreseen.workers} will "
            "have to wait: up to "
            f"{foreseen.call_usd:.2f} USD are reserved for each call of the most expensive model in flight"
        )
    return said


def _foreseen(prepared: PreparedRun, table: str, tiers: list[str]) -> Forecast:
    """Forecast the planned cases by a table of outcomes."""
    from twinbench.api.outcomes import foresee_cases
    from twinbench.cli.outcomes.options import pairs_of

    return foresee_cases(
        table,
        pairs_of("--tiers", tiers, "TIER=MODEL, such as low=M1,high=M2"),
        [task.id for task in prepared.cases],
        trials=prepared.setup.trials,
        penalty_usd=float(prepared.setup.pool.unresolved_penalty_usd),
    )


def _print_plan(prepared: PreparedRun, foreseen: Forecast | None, *, json_: bool, output: str) -> None:
    """Print what a run would do, and the forecast by a table of outcomes."""
    if json_:
        print_json(prepared.to_json() | ({} if foreseen is None else {"outcomes": foreseen.to_json()}), output)
        return
    setup = prepared.setup
    cases = format_count(len(prepared.cases), "case") + (f", {setup.trials} times each" if setup.trials > 1 else "")
    shard = "" if setup.shard is None else f", shard {setup.shard[0]} of {setup.shard[1]}"
    lines = [
        f"{setup.router.name} on {cases}{shard}, pool {setup.pool.name}: nothing was run",
        _estimate_text(prepared.estimate, prepared.cap),
        *([] if foreseen is None else foreseen.sentences()),
    ]
    write_text(make_printable("".join(f"{line}\n" for line in lines)), output)


def _confirm(estimate: Estimate, cap: Decimal) -> None:
    """Print what may be spent; on a terminal, ask for confirmation."""
    import sys

    typer.echo(_estimate_text(estimate, cap), err=True)
    if sys.stdin.isatty():
        typer.confirm("Spend up to that?", abort=True, err=True)


def _run_table(summary: RunSummary, router: str, pool: LiveManifest) -> Table:
    from dynamic_track.running.origin import Origin

    columns = [
        Column("id", "Case"),
        Column("trial", "Trial", kind=int),
        Column("counts", "Counted as"),
        Column("cause", "Cause"),
        Column("agent_end", "Agent ended by", for_people=bool(summary.score.agent_ends)),
        Column("router_errors", "Router failures", kind=int),
        Column("steps", "Steps", kind=int),
        Column("cost_usd", "Cost, USD", 4),
        Column("spend_usd", "Spend, USD", 4),
        Column("bill_usd", "Bill, USD", 4),
        Column("models", "Models"),
        Column("detail", "Detail"),
    ]
    rows = [
        row | {"detail": None if row["detail"] is None else row["detail"][:_SHOWN_CHARACTERS]}
        for row in summary.records()
    ]
    told = ", ".join(f"{summary.score.count(what):,} {what}" for what in ("resolved", "unresolved", "infra", "cap"))
    spent = f"spent {summary.score.spend_usd:.4f} USD"
    notes = [
        *summary.score.failure_notes(router),
        f"{format_count(len(rows), 'case')}: {told}; {spent}",
        *_reported_cost_notes(summary),
        *pool.division_notes,
        f"run directory: {summary.run}",
    ]
    title = f"{router}, live"
    caveat = Origin.simulated.value if summary.simulated else None
    return Table(title if caveat is None else f"{title}; simulated models", columns, rows, notes, caveat=caveat)


def _reported_cost_notes(summary: RunSummary) -> list[str]:
    """Return a note that compares the provider's reported cost with the cost at the locked prices; empty if it reported
    none.
    """
    told = [trial for trial in summary.trials if trial.reported_usd is not None]
    if not told:
        return []
    reported = sum(float(trial.reported_usd or 0) for trial in told)
    computed = sum(float(trial.cost_usd) for trial in told)
    cases = format_count(len(told), "case")
    return [f"the provider reports {reported:.4f} USD for {cases}, {reported - computed:+.4f} vs the locked prices"]
