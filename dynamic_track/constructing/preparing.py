"""Prepares an agent executor from its settings: tasks, pool, agent, and the provider for each seed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.constructing.settings import AgentExecutorSettings, errors_name_key
from dynamic_track.rehearsal.edits import has_edits
from dynamic_track.rehearsal.preparing import prepare_rehearsal
from dynamic_track.rehearsal.provider import Faults, simulated_provider
from dynamic_track.rehearsal.rehearsal_runs import Rehearsal
from dynamic_track.rehearsal.simulation import read_difficulty
from dynamic_track.rehearsal.skills import read_skill_table
from dynamic_track.rehearsal.virtual_time import DeclaredTimeSource, VirtualClocks
from dynamic_track.running.agent import AgentSettings, agent_settings
from dynamic_track.running.estimate import LAST_PROMPT_TOKENS, OUTPUT_TOKENS
from dynamic_track.running.execution import ExecutionLimits, Provider
from dynamic_track.tasks.selection import TaskChoice
from dynamic_track.tasks.task import Task
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.rate_limits import RateLimitedSource, parse_limits
from twinbench.construction.execution import ConstructionTask
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.providers.gateway import Gateway
from twinbench.routing.tiers import TIER_LABELS
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveCandidate, LiveManifest


@dataclass(frozen=True)
class SeededTask:
    """One task under one seed, which is labelled by itself."""

    task: Task
    seed: str

    @property
    def construction_task(self) -> ConstructionTask:
        """The task as the search for labels knows it: all seeds of a task form one group."""
        workload = read_difficulty(self.task) if has_edits(self.task) else self.task.repo
        return ConstructionTask(f"{self.task.id}@{self.seed}", workload, self.task.id)


@dataclass(frozen=True)
class ExecutorInputs:
    """Everything that an executor works with; nothing has been requested, spent or written yet."""

    settings: AgentExecutorSettings
    tasks: Sequence[Task]
    task_set: str
    """The fingerprint of the task set that they come from."""
    pool: LiveManifest
    agent: AgentSettings
    rehearsal: Rehearsal | None
    """The rehearsal whose simulated models answer; None: a gateway answers."""

    @property
    def seeded_tasks(self) -> tuple[SeededTask, ...]:
        """The tasks under each seed, task by task."""
        return tuple(SeededTask(task, seed) for task in self.tasks for seed in self.settings.all_seeds)

    @property
    def tiers(self) -> dict[str, tuple[str, ...]]:
        """The candidates of each tier that are tried, the cheapest first."""
        ordered = sorted(self.pool.candidates, key=_late_call_cost)
        most = self.settings.models_a_tier
        return {label: tuple(each.id for each in ordered if each.tier == label)[:most] for label in TIER_LABELS}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that a label depends on."""
        simulated = {} if self.rehearsal is None else {"simulation": self.rehearsal.simulation_fingerprint}
        return {
            "executor": "agent",
            "tasks": self.task_set,
            "pool": {"name": self.pool.name, "fingerprint": self.pool.fingerprint},
            "models": {tier: list(models) for tier, models in self.tiers.items()},
            "agent": self.agent.identity,
            "grader": {"swebench": harness.version()},
            "provider": {"kind": self.settings.provider, **simulated},
            "network": self.settings.network,
            "reuse_observations": self.settings.reuse_observations,
        }

    @property
    def limits(self) -> ExecutionLimits:
        """The limits of an execution."""
        settings = self.settings
        return ExecutionLimits(
            retries=RetryLimits(attempt_s=settings.call_timeout_s),
            memory_mib=settings.max_memory_mib,
            min_free_mib=settings.min_free_mib,
            tests_s=settings.tests_s,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be written anywhere."""
        value = os.environ.get(self.settings.api_key_env or "")
        return (value,) if value else ()


def prepare_work(settings: AgentExecutorSettings, progress: Progress = no_progress) -> ExecutorInputs:
    """Read tasks, pool and, for simulated models, their skills.

    Raises:
        UsageError: a key names something that does not exist.
        ContentError: a file of tasks, of a pool or of skills is not valid.
        TwinbenchError: the hub cannot be read, or mini-swe-agent or swebench is not installed.
    """
    with errors_name_key("pool"):
        pool = live_manifest(settings.pool)
    if settings.api_base is not None:
        with errors_name_key("api_base"), Gateway(settings.api_base, None):
            pass
    with errors_name_key("candidate_limits", "--candidate-limit"):
        dict(map(parse_limits, settings.candidate_limits))
    with errors_name_key("skills"):
        read_skill_table(settings.skills)
    with errors_name_key("faults"):
        Faults.parse(settings.faults)
    choice = TaskChoice(tasks=settings.tasks, dataset=settings.dataset, only=tuple(settings.only), limit=settings.limit)
    rehearsal = None
    with errors_name_key("only" if settings.only else "tasks"):
        if settings.provider == "rehearsal":
            rehearsal = prepare_rehearsal(
                choice,
                pool=settings.pool,
                skills=settings.skills,
                faults=settings.faults,
                actions=settings.actions,
                progress=progress,
            )
            tasks, task_set = rehearsal.tasks, rehearsal.task_set
        else:
            tasks, all_of = choice.load(progress)
            task_set = all_of.fingerprint
    if silent := [task.id for task in tasks if not task.problem_statement.strip()]:
        raise UsageError(f"{format_count(len(silent), 'task')} without a problem statement: {', '.join(silent[:5])}")
    return ExecutorInputs(
        settings, tasks, task_set, pool, agent_settings(settings.action_format, pool.agent), rehearsal
    )


class Providers:
    """The provider for each seed; simulated models depend on the seed, a gateway is the same for all seeds.

    Args:
        work: the executor's inputs.
        folder: the folder in which simulated models record what they billed.
        open_: closes the providers in the end.
    """

    def __init__(self, work: ExecutorInputs, folder: Path, open_: ExitStack) -> None:
        self._work = work
        self._folder = folder
        self._open = open_
        self._found: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def for_seed(self, seed: str) -> Provider:
        """Return the provider for a seed, which is opened when it is first needed.

        Raises:
            UsageError: the gateway's address is not valid, or its key is missing.
        """
        rehearsal = self._work.rehearsal
        with self._lock:
            name = "" if rehearsal is None else seed
            if name not in self._found:
                self._found[name] = self._gateway() if rehearsal is None else self._simulated(rehearsal, seed)
            return self._found[name]

    def _gateway(self) -> Provider:
        settings = self._work.settings
        assert settings.api_base is not None  # noqa: S101 - checked with the settings
        with errors_name_key("api_key_env"):
            gateway = self._open.enter_context(Gateway(settings.api_base, settings.api_key_env))
        limits: Mapping[str, Any] = dict(map(parse_limits, settings.candidate_limits))
        return Provider(RateLimitedSource(gateway, limits), self._work.secrets)

    def _simulated(self, rehearsal: Rehearsal, seed: str) -> Provider:
        models = rehearsal.simulated_models(seed, self._folder / f"provider-{seed}.jsonl")
        server = self._open.enter_context(simulated_provider(models, rehearsal.pool))
        gateway = self._open.enter_context(Gateway(server.api_base, None))
        clocks = VirtualClocks()
        return Provider(DeclaredTimeSource(gateway, clocks), clocks=clocks)


def _late_call_cost(candidate: LiveCandidate) -> Decimal:
    """Return the cost of a late call of a case, by which the candidates of a tier are ordered."""
    return Usage(input=LAST_PROMPT_TOKENS, output=OUTPUT_TOKENS).cost_usd(candidate.prices.prices())
