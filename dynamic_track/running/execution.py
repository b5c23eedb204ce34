"""Execute a run's plan: continue started trials, run missing ones, and record everything in the run directory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.running.agent import AgentSettings
from dynamic_track.running.committing import commit
from dynamic_track.running.nodes import CaseExecutor, Job
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.plan_comparison import add_cases
from dynamic_track.running.run_dir import RunDirectory, open_run
from dynamic_track.running.runner import RunSummary, run_jobs
from dynamic_track.running.stopping import Stop
from dynamic_track.running.trial import TrialContext, TrialOutcome, summarise_trial
from dynamic_track.tasks.task import Task
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import ResponseSource
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.lines import RunExecution
from twinbench.calls.metered import MeteredLlm
from twinbench.calls.recording import lines_of_kinds, read_recordings
from twinbench.calls.redaction import Secrets
from twinbench.calls.routed import RouterDecider
from twinbench.calls.trial_log import Listener, RedactedSource
from twinbench.containers.container import ContainerLimits
from twinbench.containers.labels import Lease
from twinbench.display.progress import Progress, no_progress
from twinbench.plugins.limits import NOT_LOADED
from twinbench.plugins.loading import LoadedRouter
from twinbench.routing.clock import Clocks, WallClocks
from twinbench.storage.manifests import LiveManifest
from twinbench.storage.store import Store


@dataclass(frozen=True)
class RunSetup:
    """The settings of a run; its ``identity`` is that of the run's ``plan.json``, and a different one is another
    run.
    """

    router: LoadedRouter
    tasks: str
    """Fingerprint of the task set; a run may have only some of its tasks."""
    pool: LiveManifest
    settings: AgentSettings
    seed: str = "0"
    network: bool = False
    on_router_error: str | None = None
    """The tier that answers if the router fails; None: the failure ends the case."""
    trials: int = 1
    """How often each case is run."""
    shard: tuple[int, int] | None = None
    """The shard's number, from 1, and the number of shards; the runs of all shards are merged later."""
    image: str | None = None
    """For experiments: the image for all cases; None: each case's own image."""
    simulation: str | None = None
    """Fingerprint of the simulated models; None for real models."""

    def shard_cases(self, tasks: Sequence[Task], run_usd: Decimal | None) -> tuple[tuple[Task, ...], Decimal | None]:
        """Return the cases of this shard, with those of one repository together, and its part of the cap."""
        own = tasks
        if self.image is not None:  # drop Dockerfiles: nothing may be built under the user's image name
            own = [replace(task, image=self.image, folder=None, build_fingerprint=None) for task in tasks]
        ordered = sorted(own, key=lambda task: task.repo)  # stable: keeps the chosen order within a repository
        if self.shard is None:
            return tuple(ordered), run_usd
        number, of = self.shard
        cap = None if run_usd is None else run_usd / of
        return tuple(ordered[number - 1 :: of]), cap

    def plan(self, tasks: Sequence[Task], sources: Mapping[str, Any]) -> RunPlan:
        """Return the plan of a run of these tasks, found there."""
        shard = {} if self.shard is None else {"shard": list(self.shard)}
        found = {**sources, "division": self.pool.division, **shard}
        return RunPlan.make(self.identity(), found, [task.id for task in tasks])

    def identity(self) -> dict[str, Any]:
        """Return the identity for ``plan.json``; a run can only be continued with the same one."""
        instead = {} if self.on_router_error is None else {"on_router_error": self.on_router_error}
        image = {} if self.image is None else {"image": self.image}
        simulated = {} if self.simulation is None else {"provider": {"simulation": self.simulation}}
        return {
            "tasks": self.tasks,
            "router": {"spec": self.router.name, "fingerprint": self.router.fingerprint},
            "pool": {"name": self.pool.name, "fingerprint": self.pool.fingerprint},
            "agent": self.settings.identity,
            "grader": {"swebench": harness.version()},
            "overrides": {"network": self.network, **instead, **image},
            "seed": self.seed,
            "trials": self.trials,
            **simulated,
        }


@dataclass(frozen=True)
class Provider:
    """A response source and its clock."""

    source: ResponseSource
    secrets: Sequence[str] = ()
    """Secrets that must not be written anywhere."""
    clocks: Clocks = field(default_factory=WallClocks)


@dataclass(frozen=True)
class ExecutionLimits:
    """Limits of one execution of a run; they are not part of the plan."""

    run_usd: Decimal | None = None
    """Spending cap over all executions of the run."""
    retries: RetryLimits = field(default_factory=RetryLimits)
    memory_mib: int = 8192
    min_free_mib: int = ContainerLimits.min_free_mib
    tests_s: float = GradingLimits.tests_s

    def container(self, *, network: bool) -> ContainerLimits:
        """Return the limits of a case's container."""
        return ContainerLimits(memory_mib=self.memory_mib, network=network, min_free_mib=self.min_free_mib)

    def grading(self) -> GradingLimits:
        """Return the limits of grading."""
        return GradingLimits(tests_s=self.tests_s, memory_mib=self.memory_mib, min_free_mib=self.min_free_mib)


def execute_plan(
    executor: CaseExecutor,
    setup: RunSetup,
    tasks: Sequence[Task],
    run_dir: Path,
    provider: Provider,
    *,
    sources: Mapping[str, Any],
    limits: ExecutionLimits,
    graded: bool = True,
    breaker: bool = True,
    stop: Stop | None = None,
    listener: Listener | None = None,
    progress: Progress = no_progress,
    verdicts: VerdictStore | None = None,
) -> RunSummary:
    """Run cases that are not finished, and go on with those that were begun.

    Args:
        executor: runs the cases.
        setup: the settings of the run.
        tasks: the cases.
        run_dir: the run's directory; made if it is missing.
        provider: the source of responses, and the clock.
        sources: where tasks and pool were found, for a replay.
        limits: the limits of this execution.
        graded: whether submitted patches are graded.
        breaker: stop when the first cases that end are all lost to one infrastructure cause.
        stop: ends the execution early.
        listener: called with everything that is written about a trial.
        progress: called for each case.
        verdicts: the store of verdicts; default: the run's directory.

    Raises:
        UsageError: the directory holds something else.
        JournalError: its journal is empty, or cannot be written.
        RouterLoadError, RouterRefusedError: the router does not load.
    """
    with ExitStack() as stack:
        cases = [task.id for task in tasks]
        directory = open_run(run_dir, setup.plan(tasks, sources))
        planned = directory.plan()
        journal = stack.enter_context(Journal.open(directory.journal, secrets=provider.secrets))
        entries = journal.entries()
        recorded = read_recordings(entries)
        directory.check_ended_trials_recorded(recorded.keys())
        add_cases(journal, planned, entries, cases, round(time.time(), 3))
        # A rehearsal can be made as often as anybody likes, and is the same each time: nothing is to be committed to.
        committed = {} if planned.is_simulated else {"commitment": commit(directory, planned, cases).digest}
        journal.append_line(
            RunExecution(
                plan=planned.fingerprint,
                cases=cases,
                trials=setup.trials,
                workers=executor.workers,
                graded=graded,
                run_usd=limits.run_usd,
                at=round(time.time(), 3),
                **committed,
            )
        )
        spent = sum((each.spend_usd for each in recorded.values()), start=Decimal(0))
        budget = Budget(limits.run_usd, spent)
        secrets = Secrets(provider.secrets)
        source = RedactedSource(provider.source, secrets)
        own = MeteredLlm(setup.pool, source, budget, limits=limits.retries)
        candidates = tuple(candidate.to_candidate() for candidate in setup.pool.candidates)
        try:
            router = stack.enter_context(setup.router.open(candidates, own))
        except NOT_LOADED as error:
            directory.keep_not_loaded(secrets.redact(str(error)))
            raise
        directory.keep_not_loaded(None)
        bench = TrialContext(
            pool=setup.pool,
            settings=setup.settings,
            decider=RouterDecider(router),
            source=source,
            budget=budget,
            salt=setup.seed,
            run=run_dir.resolve().name,
            container=limits.container(network=setup.network),
            grading=limits.grading(),
            retries=limits.retries,
            router_llm=own,
            clocks=provider.clocks,
            on_router_error=setup.on_router_error,
            stop=stop or Stop(directory.path),
            listener=listener,
            secrets=secrets,
        )
        return run_jobs(
            executor,
            [Job(task, number) for task in tasks for number in range(1, setup.trials + 1)],
            bench,
            directory,
            journal,
            recorded,
            lease=Lease(directory.random_id(), 1 + sum(1 for _ in lines_of_kinds(entries, RunExecution))),
            verdicts=verdicts or VerdictStore(Store(directory.path)),
            graded=graded,
            breaker=breaker,
            progress=progress,
        )


def ended_trials(run_dir: Path, setup: RunSetup) -> list[TrialOutcome]:
    """Return the trials of a run that have ended so far; empty if the run does not exist yet.

    Raises:
        JournalError: the journal is changed, damaged or lost.
    """
    RunDirectory(run_dir).check_journal_present()
    if not (run_dir / "journal").is_dir():
        return []
    found = read_recordings(read_journal(run_dir / "journal"))
    return [summarise_trial(setup.pool, recording) for recording in found.values() if recording.end is not None]
