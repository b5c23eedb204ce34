"""Prepare a live run from a request: plan, cases, cap and estimate; then execute or continue it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.running.admission import Admission, CaseImages
from dynamic_track.running.agent import ActionFormat, agent_settings, parse_action_format
from dynamic_track.running.cluster_nodes import cluster_places
from dynamic_track.running.committing import COMMITMENTS_FOLDER, commit
from dynamic_track.running.estimate import Estimate, estimate
from dynamic_track.running.execution import ExecutionLimits, Provider, RunSetup, ended_trials, execute_plan
from dynamic_track.running.nodes import Node, fixed_places, node_executor
from dynamic_track.running.plan import MOST_TRIALS
from dynamic_track.running.run_dir import open_run
from dynamic_track.running.runner import RunSummary
from dynamic_track.running.shards import parse_shard
from dynamic_track.running.stopping import Stop
from dynamic_track.running.trained_routers import admit_router
from dynamic_track.running.trial import TrialOutcome
from dynamic_track.tasks.selection import TaskChoice
from dynamic_track.tasks.task import Task
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.rate_limits import CandidateLimits, RateLimitedSource, parse_limits
from twinbench.calls.trial_log import Listener
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine, connected_engines
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.executing.ray_cluster import RayCluster
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.providers.gateway import Gateway
from twinbench.providers.metering import spending_cap
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.submissions.commitment import Commitment


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A request for a live run. Fields that influence results are part of its plan; the others may change later."""

    __pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    router: str
    """The router's spec."""
    run_dir: Path
    """The run directory; an existing run is continued."""
    api_base: str
    """The OpenAI-compatible gateway, such as ``https://host/v1``."""
    api_key_env: str | None = None
    """The environment variable with the gateway's API key; None if it needs none."""
    choice: TaskChoice = field(default_factory=TaskChoice)
    pool: str = DEFAULT_LIVE
    """A live pool: a shipped one by name, or a file."""
    run_usd: str | float | Decimal | None = None
    """Spending cap of the whole run, however often it is continued; required unless the pool is free."""
    action_format: str = ActionFormat.tool.value
    """How models give their commands: by ``tool`` call or as ``text``."""
    seed: str = "0"
    """The seed of session keys."""
    on_router_error: str | None = None
    """The tier that answers if the router fails; None: the case is unresolved."""
    trials: int = 1
    """How often each case is run."""
    shard: str | None = None
    """``I/N``: run only every N-th case from the I-th on, with 1/N of the cap; ``auto``: what the scheduler says."""
    image: str | None = None
    """For experiments: run every case in this image instead of its own; not with ``graded``."""
    network: bool = False
    """Whether containers of cases have a network."""
    graded: bool = True
    """Whether submitted patches are graded in the run."""
    workers: int = 1
    """Cases in parallel on each engine."""
    engines: Sequence[str] = ()
    """URLs of Docker engines; empty: the one in DOCKER_HOST."""
    cluster: RayCluster | None = None
    """The Ray cluster whose nodes run the cases, instead of ``engines``."""
    candidate_limits: Sequence[str] = ()
    """Rate limits of candidates, each as ``ID:connections=4,rpm=60,tpm=100000``."""
    call_timeout_s: float = RetryLimits.attempt_s
    """Time limit of one attempt of a model call."""
    build: bool = False
    """Build images from the tasks' Dockerfiles."""
    evict: bool = False
    """Remove images that were pulled for cases when those are finished."""
    min_free_memory_mib: int = 1024
    """Start no further case with less free memory than this."""
    breaker: bool = True
    """Stop if the first three cases in a row are lost to the same infrastructure cause."""
    memory_mib: int = 8192
    """Memory limit of a container."""
    min_free_mib: int = ContainerLimits.min_free_mib
    """Start nothing with less free disk space than this."""
    tests_s: float = GradingLimits.tests_s
    """Time limit for the tests of a patch."""
    plugins: PluginLimits = field(default_factory=PluginLimits)
    """Limits of the router's process."""
    in_sample: bool = False
    """Run a trained router also on tasks that it was trained on; its name in plan and results says so."""

    def validate(self) -> None:
        """Check the request.

        Raises:
            UsageError: a value is invalid, or contradicts another.
        """
        if self.cluster is not None and self.engines:
            raise UsageError("--engine names the engines, --executor ray finds them: give only one of the two")
        if self.image is not None and self.graded:
            raise UsageError("cases run with --image cannot be graded: add --grade none")
        for option, value, least, most in (
            ("--workers", self.workers, 1, None),
            ("--trials", self.trials, 1, MOST_TRIALS),
            ("--call-timeout", self.call_timeout_s, 0.1, None),
        ):
            if value < least or (most is not None and value > most):
                raise UsageError(f"{option} {value}: at least {least}" + (f", at most {most}" if most else ""))


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to execute: nothing was asked, spent or written so far."""

    request: RunRequest
    setup: RunSetup
    cases: tuple[Task, ...]
    cap: Decimal | None
    """The spending cap of this shard in USD; None: no cap."""
    ended_trials: Sequence[TrialOutcome]
    """Trials that ended in earlier executions of the run."""
    candidate_limits: dict[str, CandidateLimits]

    @property
    def spent_usd(self) -> Decimal:
        """The cost of the trials that have ended."""
        return sum((trial.spend_usd for trial in self.ended_trials), start=Decimal(0))

    @property
    def estimate(self) -> Estimate:
        """How many trials are left, and what they may cost."""
        finished = [trial for trial in self.ended_trials if trial.outcome_class not in ("infra", "cap")]
        over = {(trial.id, trial.trial) for trial in finished}
        left = sum((task.id, number) not in over for task in self.cases for number in range(1, self.setup.trials + 1))
        return estimate(
            self.setup.pool,
            left,
            finished,
            workers=self.workers,
            run_usd=None if self.cap is None else self.cap - self.spent_usd,
        )

    @property
    def workers(self) -> int:
        """How many trials are expected to run in parallel."""
        if self.request.cluster is not None:  # as many nodes are requested as the trials need
            return len(self.cases) * self.setup.trials
        return self.request.workers * max(len({*self.request.engines}), 1)

    def to_json(self) -> dict[str, Any]:
        """Return what would be run as a JSON object."""
        return {
            "run": str(self.request.run_dir),
            "identity": self.setup.identity(),
            "cases": [task.id for task in self.cases],
            "trials": self.setup.trials,
            "run_usd": None if self.cap is None else float(self.cap),
            "estimate": self.estimate.to_json(),
        }

    def check_gateway(self) -> None:
        """Check the gateway's address and API key before the first call.

        Raises:
            UsageError: the address is invalid, or the key is missing.
        """
        with Gateway(self.request.api_base, self.request.api_key_env):
            pass

    @property
    def sources(self) -> dict[str, Any]:
        """The sources of tasks and pool, as in ``plan.json``."""
        return {"tasks": self.request.choice.tasks, "dataset": self.request.choice.dataset, "pool": self.request.pool}

    def commit(self) -> tuple[Path, Commitment]:
        """Write the run's plan and a commitment to it, and run nothing.

        Returns:
            The commitment and its file.

        Raises:
            UsageError: the run directory has other content.
        """
        directory = open_run(self.request.run_dir, self.setup.plan(self.cases, self.sources))
        made = commit(directory, directory.plan(), [task.id for task in self.cases])
        return directory.path / COMMITMENTS_FOLDER / made.file_name, made

    def execute(
        self,
        *,
        stop: Stop | None = None,
        listener: Listener | None = None,
        progress: Progress = no_progress,
        notify: Callable[[str], None] = lambda _: None,
    ) -> RunSummary:
        """Run what is not finished, and continue what was started.

        Args:
            stop: ends the execution early.
            listener: called for every journal line about a trial.
            progress: called as images are fetched or built.
            notify: called with a message about each node that joins, is lost, or takes no cases.

        Raises:
            UsageError: the run directory has other content, or the key is missing.
            ClusterError, NoPlaceError: the cluster cannot be used, or has no node that takes cases.
            CausedError: an engine does not answer.
            JournalError: the journal is lost, or cannot be written.
            RouterLoadError: the router cannot be loaded.
        """
        request = self.request
        every = [task for task in self.cases for _ in range(self.setup.trials)]
        with ExitStack() as stack:
            gateway = stack.enter_context(Gateway(request.api_base, request.api_key_env))
            if request.cluster is None:
                engines = stack.enter_context(connected_engines(request.engines))
                places = fixed_places([self._node(engine, every, progress) for engine in engines])
            else:
                places = stack.enter_context(
                    cluster_places(
                        request.cluster,
                        cases=len(every),
                        workers=request.workers,
                        images=partial(self._images, every, progress),
                        min_free_mib=request.min_free_mib,
                        min_free_memory_mib=request.min_free_memory_mib,
                        notify=notify,
                    )
                )
            return execute_plan(
                node_executor(places, notify=notify),
                self.setup,
                self.cases,
                request.run_dir,
                Provider(RateLimitedSource(gateway, self.candidate_limits), _secrets(request.api_key_env)),
                sources=self.sources,
                limits=ExecutionLimits(
                    self.cap,
                    RetryLimits(attempt_s=request.call_timeout_s),
                    request.memory_mib,
                    request.min_free_mib,
                    request.tests_s,
                ),
                graded=request.graded,
                breaker=request.breaker,
                stop=stop,
                listener=listener,
            )

    def _images(self, every: Sequence[Task], progress: Progress, engine: Engine) -> CaseImages:
        request = self.request
        return CaseImages(engine, every, build=request.build, evict=request.evict, progress=progress)

    def _node(self, engine: Engine, every: Sequence[Task], progress: Progress) -> Node:
        images = self._images(every, progress, engine)
        admission = Admission(self.request.min_free_memory_mib, engine.available_memory_mib)
        several = len(self.request.engines) > 1
        if several:
            images.note_present()
        return Node(engine, images, self.request.workers, admission, engine.address if several else None)


def prepare_run(request: RunRequest, progress: Progress = no_progress) -> PreparedRun:
    """Read tasks, pool and router of a run, and what already exists of it.

    Raises:
        UsageError: the request is invalid.
        ContentError: a file of tasks or of a pool is invalid.
        JournalError: the run's journal is changed, damaged or lost.
        TwinbenchError: mini-swe-agent or swebench is not installed, or the hub cannot be read.
    """
    request.validate()
    style = parse_action_format(request.action_format)
    pool = live_manifest(request.pool)
    require_tier(request.on_router_error, pool)
    cap = spending_cap(request.run_usd, pool, "--run-usd", "the run")
    cases, all_of = request.choice.load(progress)
    if silent := [task.id for task in cases if not task.problem_statement.strip()]:
        raise UsageError(f"{format_count(len(silent), 'task')} without a problem statement: {', '.join(silent[:5])}")
    setup = RunSetup(
        admit_router(load_router(request.router, request.plugins), cases, in_sample=request.in_sample),
        all_of.fingerprint,
        pool,
        agent_settings(style, pool.agent),
        request.seed,
        request.network,
        request.on_router_error,
        request.trials,
        shard=None if request.shard is None else parse_shard(request.shard),
        image=request.image,
    )
    cases, cap = setup.shard_cases(cases, cap)
    before = ended_trials(request.run_dir, setup)
    return PreparedRun(request, setup, cases, cap, before, dict(map(parse_limits, request.candidate_limits)))


def require_tier(tier: str | None, pool: LiveManifest) -> None:
    """Check that the pool has the tier that answers for failing routers.

    Raises:
        UsageError: it has not.
    """
    if tier is not None and tier not in pool.tiers:
        raise UsageError(f"--on-router-error {tier}: pool {pool.name} has {', '.join(pool.tiers)}")


def _secrets(api_key_env: str | None) -> list[str]:
    value = os.environ.get(api_key_env or "")
    return [value] if value else []
