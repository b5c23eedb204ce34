"""One trial of a case: the agent works in its container."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.running.agent import SUBMITTED, AgentEnd, AgentSettings, run_agent
from dynamic_track.running.stopping import InterruptibleClock, Stop
from dynamic_track.running.workplace import CommandRunner, Commands
from dynamic_track.tasks.task import Task
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.billing import bill_usd
from twinbench.calls.budget import Budget
from twinbench.calls.exchange import ResponseSource
from twinbench.calls.journal import Journal
from twinbench.calls.lines import TrialBegins
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import DivergedError, Recording
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_cache import ResponseCache
from twinbench.calls.routed import Decider, RoutedCall, TrialClock
from twinbench.calls.trial_log import Listener, TrialLog
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine, ImageError
from twinbench.containers.sandbox import Sandbox
from twinbench.routing.cache_policy import WallClockTtl
from twinbench.routing.clock import Clocks, WallClocks
from twinbench.routing.router import Limits
from twinbench.routing.router_llm import RouterLlm
from twinbench.routing.session import Session, session_key
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveManifest
from twinbench.text.tokens import find_tokenizer_set


class CommandsFactory(Protocol):
    """Opens the environment in which a trial's commands run."""

    def __call__(
        self, bench: TrialContext, engine: Engine, task: Task, log: TrialLog, /
    ) -> AbstractContextManager[Commands]:
        """Open the environment.

        Args:
            bench: what trials have in common.
            engine: the Docker engine.
            task: the case's task.
            log: the trial's log.

        Raises:
            CausedError: no environment is available.
        """
        ...


@contextmanager
def fresh_container(bench: TrialContext, engine: Engine, task: Task, _log: TrialLog | None = None) -> Iterator[Sandbox]:
    """Start a new container for a trial.

    Args:
        bench: what trials have in common.
        engine: the Docker engine.
        task: the case's task.

    Raises:
        CausedError: no container can be started.
    """
    with Sandbox(
        engine,
        task.image,
        "case",
        run=bench.run,
        case=task.id,
        limits=bench.container,
        interpreter=bench.settings.interpreter,
        environment=bench.settings.environment,
    ) as sandbox:
        _require_commands_directory(sandbox, bench.settings.directory)
        yield sandbox


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a run have in common."""

    pool: LiveManifest
    settings: AgentSettings
    decider: Decider
    source: ResponseSource | None
    """Where responses come from; None in a replay."""
    budget: Budget
    salt: str
    """The salt of session keys."""
    run: str = ""
    """The run's name, for the labels of its containers."""
    container: ContainerLimits = field(default_factory=ContainerLimits)
    grading: GradingLimits = field(default_factory=GradingLimits)
    retries: RetryLimits = field(default_factory=RetryLimits)
    router_llm: RouterLlm | None = None
    """The handle through which the router may ask an LLM."""
    clocks: Clocks = field(default_factory=WallClocks)
    router_lock: AbstractContextManager[Any] = field(default_factory=threading.Lock)
    """Lock held while the router is called."""
    stop: Stop = field(default_factory=Stop)
    listener: Listener | None = None
    """Called for every journal line about a trial."""
    on_router_error: str | None = None
    """The tier whose default candidate answers if the router fails; None: the failure ends the case."""
    secrets: Secrets = field(default_factory=lambda: Secrets(()))
    """Secrets that must not be written down."""
    open_commands: CommandsFactory = fresh_container
    """Opens the environment in which commands run."""
    response_cache: ResponseCache | None = None
    """Cached responses of earlier trials, used before a request is sent."""
    session: int | None = None
    """The session number that several trials share; None: each trial has its own."""
    counter: PromptCounter | None = None
    """A shared prompt counter; None: each trial has its own."""
    execution: Mapping[str, Any] | None = None
    """In a bank build: seed, repeat and assignment, for the trial's first journal line."""

    @property
    def fallback(self) -> str | None:
        """The id of the fallback candidate."""
        defaults = (each.id for each in self.pool.candidates if each.tier == self.on_router_error and each.tier_default)
        return next(defaults, None)

    def session_header(self, case: str, trial: int) -> str:
        """Return the session key that the requests of a trial carry: opaque, and the same after a resume."""
        return session_key(self.salt, "header", case, str(self.session or trial))

    def make_log(self, recording: Recording, journal: Journal) -> TrialLog:
        """Return a trial's log, whose clock continues where its recording ends."""
        header = self.session_header(recording.case, recording.trial)
        return TrialLog(recording, journal, self.clocks.clock_for(header, recording.at), self.listener)


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of one trial of a case."""

    id: str
    trial: int
    resolved: bool | None
    """Whether the patch resolves the task; None if there is no verdict."""
    cause: Cause | None
    """Why the trial ended so, if the tests did not decide."""
    detail: str | None
    exit_status: str
    """The agent's exit status, as mini-swe-agent names it."""
    steps: int
    """Answered calls, including those whose answer did not parse."""
    cost_usd: Decimal
    spend_usd: Decimal
    bill_usd: Decimal | None
    usage: Mapping[str, int]
    models: Mapping[str, int]
    router_calls: int
    """Answered LLM calls of the router's own, which count only in the amounts above."""
    router_usd: Decimal
    """Cost of the router's own LLM calls, which is part of ``cost_usd``."""
    router_errors: int
    """Failed decisions of the router: the fallback candidate answered, or the case ended."""
    first_router_error: str | None
    """The router's first error, with its step."""
    reported_usd: Decimal | None
    """The provider's reported cost of the answered calls; None unless it reported a cost for every call."""

    @property
    def agent_end(self) -> str | None:
        """The agent's exit status, if it neither submitted nor was ended by a cause."""
        ended_itself = self.exit_status and self.exit_status not in (SUBMITTED, *Cause)
        return self.exit_status if ended_itself else None

    @property
    def router_failed(self) -> bool:
        """Whether a failure of the router ended the case, or all of the router's decisions failed."""
        return self.cause is Cause.router or (self.router_errors > 0 and self.router_errors >= self.steps)

    @property
    def outcome_class(self) -> str:
        """How the trial is counted: ``resolved``, ``unresolved``, ``infra``, ``cap``, or ``ungraded`` without
        grading.
        """
        if self.cause is not None:
            return str(CAUSES[self.cause].outcome_class)
        if self.resolved is None:
            return "ungraded"
        return "resolved" if self.resolved else "unresolved"

    def summary_fields(self) -> dict[str, Any]:
        """Return the trial's part of a run summary as a JSON object: its outcome and why."""
        return {
            "case": self.id,
            "trial": self.trial,
            "counts": self.outcome_class,
            "cause": None if self.cause is None else str(self.cause),
            "detail": self.detail,
            "exit_status": self.exit_status,
            "router_errors": self.router_errors,
            "first_router_error": self.first_router_error,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``case.json``."""
        money = {
            name: getattr(self, name) for name in ("cost_usd", "spend_usd", "bill_usd", "router_usd", "reported_usd")
        }
        return asdict(self) | {name: None if usd is None else float(usd) for name, usd in money.items()}


def run_trial_agent(bench: TrialContext, engine: Engine, task: Task, log: TrialLog) -> AgentEnd:
    """Let the agent work on a case, or continue where its recording ends.

    Args:
        bench: what trials have in common.
        engine: the Docker engine for the case's container.
        task: the case's task.
        log: the trial's log.

    Raises:
        CausedError: no container could be started.
        DivergedError: the trial differs from its recording.
    """
    _check_identity(bench, engine, task, log)
    counter = bench.counter or PromptCounter(bench.pool.candidates, find_tokenizer_set(static_manifest()))
    routed = make_routed_call(bench, task, log, counter)
    with bench.open_commands(bench, engine, task, log) as commands:
        routed.start()
        workplace = CommandRunner(
            commands, log, routed, bench.settings.command_timeout_s, bench.stop.raise_if_requested, bench.secrets
        )
        try:
            return run_agent(bench.settings, task.problem_statement, routed, workplace)
        finally:
            routed.end()


def make_routed_call(bench: TrialContext, task: Task, log: TrialLog, counter: PromptCounter) -> RoutedCall:
    """Make the routed call between a trial's agent and its models.

    Args:
        bench: what trials have in common.
        task: the case's task.
        log: the trial's log.
        counter: the prompt counter for the candidates of the pool.
    """
    trial = str(log.recording.trial)
    limits = bench.pool.agent
    clock = TrialClock(InterruptibleClock(log.clock, bench.stop))
    session = Session(
        session_key(bench.salt, task.id, trial),
        tuple(candidate.to_candidate() for candidate in bench.pool.candidates),
        WallClockTtl(bench.pool.wallclock_ttl_seconds, clock),
        Limits(steps=limits.step_limit, cost_usd=float(limits.cost_limit_usd)),
    )
    return RoutedCall(
        session=session,
        session_header=bench.session_header(task.id, log.recording.trial),
        decider=bench.decider,
        source=bench.source,
        trial_log=log,
        budget=bench.budget,
        clock=clock,
        pool={candidate.id: candidate for candidate in bench.pool.candidates},
        counter=counter,
        tool_options=bench.settings.tool_options,
        limits=bench.retries,
        response_cache=bench.response_cache,
        router_llm=bench.router_llm,
        fallback=bench.fallback,
        router_lock=bench.router_lock,
        checkpoint=bench.stop.raise_if_requested,
    )


def summarise_trial(pool: LiveManifest, recording: Recording) -> TrialOutcome:
    """Summarise a trial from its recording alone."""
    end = recording.end
    cause, detail = (None, None) if end is None else (end.cause, end.detail)
    resolved = None
    if cause is not None:
        resolved = False if CAUSES[cause].outcome_class is OutcomeClass.unresolved else None
    elif (verdict := recording.verdict) is not None:
        cause, resolved, detail = verdict.cause, verdict.resolved, verdict.detail
    cost = recording.cost_usd
    return TrialOutcome(
        id=recording.case,
        trial=recording.trial,
        resolved=resolved,
        cause=cause,
        detail=detail,
        exit_status="" if end is None else end.exit_status,
        steps=len(recording.answers),
        cost_usd=cost,
        spend_usd=recording.spend_usd,
        bill_usd=None if resolved is None else bill_usd(cost, resolved, pool.unresolved_penalty_usd),
        usage=recording.usage.to_json(),
        models=recording.models,
        router_calls=len(recording.router_answers),
        router_usd=recording.router_usd,
        router_errors=len(errors := recording.router_errors),
        first_router_error=errors[0] if errors else None,
        reported_usd=recording.reported_usd,
    )


def _require_commands_directory(sandbox: Sandbox, directory: str) -> None:
    """Check that the image has the commands' directory, before money is spent on an agent that cannot work.

    Raises:
        ImageError: the image has no such directory.
    """
    if sandbox.run_command("", directory=directory).exit_code != 0:
        raise ImageError(f"image {sandbox.image} is not a task's image: it has no {directory}, where commands run")


def _check_identity(bench: TrialContext, engine: Engine, task: Task, log: TrialLog) -> None:
    """Check that pool, task, image and agent are those of the recording that is continued."""
    identity: dict[str, Any] = {
        "task": task.fingerprint,
        "image": engine.image_identity(task.image),
        "pool": bench.pool.fingerprint,
        "agent": bench.settings.identity,
        **({} if bench.execution is None else {"execution": dict(bench.execution)}),
    }
    start = log.recording.start
    if start is None:
        log.write(TrialBegins(**log.stamp(), **identity))
        return
    for name, now in identity.items():
        if (then := getattr(start, name)) != now:
            raise DivergedError(0, name, then, now)
