"""One sitting of a run: what was begun goes on, what is missing is run, everything stands in the run's directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.agent import AgentSettings
from dynamic_track.run_dir import open_run
from dynamic_track.runner import Progress, RunSummary, run_cases
from dynamic_track.tasks import Task
from dynamic_track.trial import Bench
from dynamic_track.verdict import GradingLimits
from dynamic_track.verdict_store import VerdictStore
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import ResponseSource
from twinbench.calls.journal import Journal, Secrets
from twinbench.calls.metered import MeteredLlm
from twinbench.calls.recording import WithoutSecrets, recordings
from twinbench.calls.routed import RouterDecides
from twinbench.causes import CausedError
from twinbench.clock import Clocks, WallClocks
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.plugins.loading import LoadedRouter
from twinbench.pools import LiveManifest
from twinbench.store import Store


@dataclass(frozen=True)
class Plan:
    """What a run is of: what differs here is another run."""

    router: LoadedRouter
    tasks: str
    """Fingerprint of the task set, of which a run may be of some tasks only."""
    pool: LiveManifest
    settings: AgentSettings
    seed: str = "0"
    network: bool = False
    on_router_error: str | None = None
    """The tier that answers where the router fails; None: that ends the case."""
    simulation: str | None = None
    """Fingerprint of the simulated models that answer; None: real ones."""

    def identity(self) -> dict[str, Any]:
        """As ``plan.json`` has it; refused when a run is continued with something else."""
        instead = {} if self.on_router_error is None else {"on_router_error": self.on_router_error}
        simulated = {} if self.simulation is None else {"provider": {"simulation": self.simulation}}
        return {
            "tasks": self.tasks,
            "router": {"spec": self.router.name, "fingerprint": self.router.fingerprint},
            "pool": {"name": self.pool.name, "fingerprint": self.pool.fingerprint},
            "agent": self.settings.identity,
            "grader": {"swebench": harness.version()},
            "overrides": {"network": self.network, **instead},
            "seed": self.seed,
            "trials": 1,
            **simulated,
        }


@dataclass(frozen=True)
class Provider:
    """Who answers, and in what time."""

    source: ResponseSource
    secrets: Sequence[str] = ()
    """What must not be written anywhere."""
    clocks: Clocks = field(default_factory=WallClocks)


@dataclass(frozen=True)
class SittingLimits:
    """What a sitting may take; none of it is part of the plan."""

    run_usd: Decimal | None = None
    """Over all sittings."""
    retries: RetryLimits = field(default_factory=RetryLimits)
    memory_mib: int = 8192
    min_free_mib: int = ContainerLimits.min_free_mib
    tests_s: float = GradingLimits.tests_s

    def container(self, *, network: bool) -> ContainerLimits:
        """Of a case's container."""
        return ContainerLimits(memory_mib=self.memory_mib, network=network, min_free_mib=self.min_free_mib)

    def grading(self) -> GradingLimits:
        """Of a grading."""
        return GradingLimits(tests_s=self.tests_s, memory_mib=self.memory_mib, min_free_mib=self.min_free_mib)


def sit(
    engine: Engine,
    plan: Plan,
    tasks: Sequence[Task],
    run_dir: Path,
    provider: Provider,
    *,
    where: Mapping[str, Any],
    limits: SittingLimits,
    images: Callable[[], Mapping[str, CausedError]] = dict,
    progress: Progress | None = None,
) -> RunSummary:
    """Run cases that are not finished, and go on with those that were begun.

    Args:
        engine: for containers.
        plan: what the run is of.
        tasks: the cases.
        run_dir: of the run; made where it is missing.
        provider: who answers.
        where: where tasks and pool were found, for a replay.
        limits: of this sitting.
        images: gets the images of the cases; the errors of those that cannot be had.
        progress: told of each case.

    Raises:
        UsageError: the directory holds something else.
        RouterLoadError: the router does not load.
    """
    with ExitStack() as stack:
        directory = open_run(run_dir, plan.identity(), where)
        journal = stack.enter_context(Journal.open(directory.journal, secrets=provider.secrets))
        recorded = recordings(journal.entries())
        spent = sum((each.spend_usd for each in recorded.values()), start=Decimal(0))
        budget = Budget(limits.run_usd, spent)
        source = WithoutSecrets(provider.source, Secrets(provider.secrets))
        own = MeteredLlm(plan.pool, source, budget, limits=limits.retries)
        candidates = tuple(candidate.candidate() for candidate in plan.pool.candidates)
        router = stack.enter_context(plan.router.opened(candidates, own))
        bench = Bench(
            engine=engine,
            pool=plan.pool,
            settings=plan.settings,
            decider=RouterDecides(router),
            source=source,
            budget=budget,
            salt=plan.seed,
            run=run_dir.resolve().name,
            container=limits.container(network=plan.network),
            grading=limits.grading(),
            retries=limits.retries,
            own=own,
            clocks=provider.clocks,
            on_router_error=plan.on_router_error,
        )
        return run_cases(
            bench,
            tasks,
            directory,
            journal,
            recorded,
            images_failed=images(),
            verdicts=VerdictStore(Store(directory.path)),
            progress=progress,
        )
