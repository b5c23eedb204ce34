"""The agent executor: mini-swe-agent works on tasks in containers, each step is answered by an assigned candidate, and
the result is graded.

An execution is a trial of the live track in the executor's own journal. All executions of a task under one seed and of
one repeat share a session: the same request gets the same response, which is paid once, and the same commands are run
once (``observations``). So an execution whose steps are all known needs neither a model nor a container.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from dynamic_track.constructing.deciding import AssignmentDecider
from dynamic_track.constructing.observations import OBSERVATION, ContainerState, ReusedCommands, recorded_results
from dynamic_track.constructing.preparing import ExecutorInputs, Providers, SeededTask, prepare_work
from dynamic_track.constructing.settings import read_settings
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.running.admission import CaseImages
from dynamic_track.running.cluster_nodes import cluster_places
from dynamic_track.running.nodes import LeasedNodes, Node, fixed_places, is_node_lost
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.runner import has_agent_ended, run_trial
from dynamic_track.running.stopping import Stop, StoppedError
from dynamic_track.running.trial import TrialContext, fresh_container, run_trial_agent, summarise_trial
from dynamic_track.running.unexpected_errors import TRACEBACK_FILE
from dynamic_track.running.workplace import Commands
from dynamic_track.tasks.task import Task
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget
from twinbench.calls.journal import Journal
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import DivergedError, Recording, read_recordings
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_cache import ResponseCache
from twinbench.calls.trial_log import RedactedSource, TrialLog
from twinbench.causes import CausedError
from twinbench.construction.execution import (
    Assignment,
    BuildStoppedError,
    ConstructionTask,
    ExecutedStep,
    Execution,
    ExecutorContext,
    TaskExecutor,
)
from twinbench.containers.engine import Engine
from twinbench.containers.labels import Lease
from twinbench.errors import UsageError
from twinbench.executing.places import Places
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store
from twinbench.text.tokens import find_tokenizer_set


def agent_executor(settings: Mapping[str, Any], context: ExecutorContext) -> AbstractContextManager[TaskExecutor]:
    """Open an executor of the live track (``twinbench.executors``: ``agent``).

    Args:
        settings: the table ``[executor]`` without ``kind`` (``AgentExecutorSettings``).
        context: its folder and its limits.

    Raises:
        UsageError: a key is unknown or not valid, or names something that does not exist.
        ContentError: a file of tasks, of a pool or of skills is not valid.
        TwinbenchError: something that the live track needs is not installed, or the hub cannot be read.
    """
    return _open_executor(prepare_work(read_settings(settings), context.progress), context)


@contextmanager
def _open_executor(work: ExecutorInputs, context: ExecutorContext) -> Iterator[TaskExecutor]:
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(context.directory / "journal", work.secrets))
        yield AgentExecutor(work, context, journal, stack)


class _ExecutionKey(NamedTuple):
    """What distinguishes an execution from all others."""

    task: str
    seed: str
    repeat: int
    first: tuple[str, ...]
    """The candidates of the first steps, without those that ``rest`` implies."""
    rest: str

    @property
    def group(self) -> tuple[str, str, int]:
        """The key of the executions with which it shares a session."""
        return self.task, self.seed, self.repeat

    def to_json(self) -> dict[str, Any]:
        """Return it as the first line of its trial contains it."""
        return {"seed": self.seed, "repeat": self.repeat, "first": list(self.first), "rest": self.rest}


def _name(task: str, seed: str, assignment: Assignment, repeat: int) -> _ExecutionKey:
    first = list(assignment.first)
    while first and first[-1] == assignment.rest:
        first.pop()
    return _ExecutionKey(task, seed, repeat, tuple(first), assignment.rest)


def _recorded_name(recording: Recording) -> _ExecutionKey | None:
    """Return the key of the execution that was recorded; None if the recording ended before that was written."""
    told = None if recording.start is None else recording.start.execution
    if told is None:
        return None
    return _ExecutionKey(recording.case, told["seed"], told["repeat"], tuple(told["first"]), told["rest"])


@dataclass
class _SharedState:
    """What the executions of a task under one seed and of one repeat have in common."""

    recorded: Sequence[Recording] = ()
    """Their recordings in the journal when it was opened."""
    beginning: ContainerState = field(default_factory=ContainerState)
    counter: PromptCounter | None = None


@dataclass(frozen=True)
class _TracebackFolder(RunDirectory):
    """The folder of an executor: its journal contains everything about an execution, so the only files are
    tracebacks.
    """

    def write(self, case: str, trial: int, name: str, content: str) -> None:
        """Write a traceback, and nothing else."""
        if name == TRACEBACK_FILE:
            super().write(case, trial, name, content)


class _BuildStop(Stop):
    """The stop request of the build."""

    def __init__(self, context: ExecutorContext) -> None:
        super().__init__()
        self._context = context

    @property
    def requested(self) -> bool:
        """Whether the build is to stop."""
        return super().requested or self._context.is_stopping()


class AgentExecutor:
    """Executes tasks with the live track; ``agent_executor`` opens one."""

    def __init__(self, work: ExecutorInputs, context: ExecutorContext, journal: Journal, stack: ExitStack) -> None:
        """Read what earlier executions of the build recorded.

        Args:
            work: the tasks, the pool and the agent.
            context: its folder and its limits.
            journal: the executor's own, open.
            stack: closes what it opens.
        """
        self._work = work
        self._context = context
        self._journal = journal
        self._stack = stack
        self._draws = {draw.construction_task.id: draw for draw in work.seeded_tasks}
        self._tasks = tuple(draw.construction_task for draw in work.seeded_tasks)
        self._lock = threading.Lock()
        self._doubted: set[_ExecutionKey] = set()
        self._places: Places[Node] | None = None
        self._providers = Providers(work, context.directory, stack)
        self._kept = ResponseCache()
        self._verdicts = VerdictStore(Store(context.directory))
        self._files = _TracebackFolder(context.directory)
        recorded = read_recordings(journal.entries()).values()
        self._recorded, self._numbers, self._common = _group_recordings(recorded)
        spent = sum((each.spend_usd for each in recorded), Decimal(0))
        self._bench = TrialContext(
            pool=work.pool,
            settings=work.agent,
            decider=AssignmentDecider(Assignment((), "")),
            source=None,
            budget=Budget(context.cap_usd, spent, option="--usd"),
            salt="",
            run=context.directory.resolve().parent.name,
            container=work.limits.container(network=work.settings.network),
            grading=work.limits.grading(),
            retries=work.limits.retries,
            stop=_BuildStop(context),
            secrets=Secrets(work.secrets),
            response_cache=self._kept,
        )

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """Each task under each seed."""
        return self._tasks

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """The candidates of each tier that are tried."""
        return self._work.tiers

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything that a label depends on."""
        return self._work.identity

    @property
    def spent_usd(self) -> Decimal:
        """What was paid, including earlier executions of the build; in a rehearsal, what real models would have
        cost.
        """
        return self._bench.budget.spent_usd

    def worst_case_usd(self, task: str) -> Decimal:  # noqa: ARG002 - the agent's limits are the same for all tasks
        """Return the most that an execution can cost: the agent's limit, which is checked before each call, plus one
        call.

        Simulated models cost nothing.
        """
        if self._work.rehearsal is not None:
            return Decimal(0)
        tried = {candidate for models in self.tiers.values() for candidate in models}
        most = max(
            worst_case_usd(each.context_window - each.max_tokens, each.prices.prices(), each.max_tokens)
            for each in self._work.pool.candidates
            if each.id in tried
        )
        limits = self._work.pool.agent
        return min(limits.cost_limit_usd + most, limits.step_limit * most)

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Execute a task; as for ``TaskExecutor.execute``.

        Raises:
            BuildStoppedError: a stop was requested; what was paid is recorded.
            UsageError: no cap is given, or there is no key.
            JournalError, OSError: the execution cannot be recorded.
        """
        self._refuse_without_cap()
        draw = self._draws[task]
        name = _name(draw.task.id, draw.seed, assignment, repeat)
        decider = AssignmentDecider(assignment)
        bench = self._trial_context(draw, name, decider)
        blank = Execution(task, assignment, repeat, None, ())
        try:
            bench.stop.raise_if_requested()
            places, leases = self._opened_places()
            while True:  # on a lost node, it continues on another
                with places.reserve_any() as node:
                    log = bench.make_log(self._recording(name), self._journal)
                    self._execute(bench, leases.with_lease(node), draw.task, log)
                    outcome = summarise_trial(self._work.pool, log.recording)
                    if not (is_node_lost(places, node, outcome, self._context.notify) and places.remove(node)):
                        break
        except StoppedError:
            raise BuildStoppedError(f"{task}: the build is to stop") from None
        except CausedError as error:  # no container engine answers
            return replace(blank, cause=error.cause, detail=str(error))
        return self._to_execution(blank, name, log.recording, decider)

    def _execute(self, bench: TrialContext, node: Node, task: Task, log: TrialLog) -> None:
        if has_agent_ended(log.recording):  # the conversation is not in the journal, but follows from it
            try:
                run_trial_agent(bench, node.engine, task, replace(log, journal=None))
            except DivergedError as diverged:
                log.start_over(diverged)
        run_trial(bench, node, task, log, self._files, self._verdicts)

    def _to_execution(
        self, blank: Execution, name: _ExecutionKey, recording: Recording, decider: AssignmentDecider
    ) -> Execution:
        trial = summarise_trial(self._work.pool, recording)
        steps = []
        for number in sorted(recording.steps):
            answer, seen = recording.steps[number].answer, decider.calls.get(number)
            if answer is None or seen is None or answer.usage is None:
                continue
            asked = answer.reserve.candidate
            steps.append(ExecutedStep(seen.messages, seen.functions, asked, answer.usage, answer.cost_usd))
        if trial.resolved is not None:
            with self._lock:  # it is not needed again by this process
                self._recorded.pop(name, None)
        note = None
        if _was_restarted_in_full(recording):
            note = "commands gave different output in a new container, so it was executed in full"
            self._doubted.add(name)
            self._context.progress(
                "executions in full, because commands gave different output", len(self._doubted), None
            )
        every = (*recording.previous_recordings, recording)
        return replace(
            blank,
            passed=trial.resolved,
            steps=tuple(steps),
            cause=trial.cause,
            detail=trial.detail or note,
            spend_usd=recording.spend_usd,
            paid_calls=sum(not answer.is_reused for each in every for answer in each.answers),
        )

    def _recording(self, name: _ExecutionKey) -> Recording:
        """Return the recording of an execution, or that of a new trial."""
        with self._lock:
            if name not in self._recorded:
                self._numbers[name.task] += 1
                self._recorded[name] = Recording(name.task, self._numbers[name.task])
            return self._recorded[name]

    def _trial_context(self, draw: SeededTask, name: _ExecutionKey, decider: AssignmentDecider) -> TrialContext:
        provider = self._providers.for_seed(draw.seed)
        bench = replace(
            self._bench,
            decider=decider,
            source=RedactedSource(provider.source, self._bench.secrets),
            salt=draw.seed,
            clocks=provider.clocks,
            session=name.repeat + 1,
            execution=name.to_json(),
        )
        with self._lock:
            common = self._common.setdefault(name.group, _SharedState())
            if common.counter is None:
                common.counter = PromptCounter(self._work.pool.candidates, find_tokenizer_set(static_manifest()))
                self._kept.fill(bench.session_header(name.task, 1), common.recorded)
                if self._work.settings.reuse_observations:
                    common.beginning.add_recordings(common.recorded)
                common.recorded = ()
        return replace(bench, counter=common.counter, open_commands=partial(self._open_commands, common.beginning))

    @contextmanager
    def _open_commands(
        self, beginning: ContainerState, bench: TrialContext, engine: Engine, task: Task, log: TrialLog
    ) -> Iterator[Commands]:
        """Provide what runs the commands of an execution: its own container, or one that is started when it is
        needed.
        """
        in_full = not self._work.settings.reuse_observations or _was_restarted_in_full(log.recording)
        if in_full and not log.is_replay:
            with fresh_container(bench, engine, task) as container:
                yield container
            return
        with ReusedCommands(
            ContainerState() if in_full else beginning,
            recorded_results(log.recording),
            partial(fresh_container, bench, engine, task),
            lambda: max(log.recording.steps, default=0),
            bench.secrets,
        ) as commands:
            yield commands

    def _opened_places(self) -> tuple[Places[Node], LeasedNodes]:
        """Return the nodes that run containers, and their lease; they are connected when they are first needed.

        Raises:
            CausedError: no container engine answers.
            ClusterError, NoPlaceError: the cluster cannot be used, or has no node that takes tasks.
        """
        with self._lock:
            if self._places is None:
                self._places = self._stack.enter_context(self._open_places())
                # Its only use is to be larger than that of any earlier execution of the build.
                self._leases = LeasedNodes(Lease(self._files.random_id(), int(time.time())))
            return self._places, self._leases

    @contextmanager
    def _open_places(self) -> Iterator[Places[Node]]:
        context, settings = self._context, self._work.settings

        def images(engine: Engine) -> CaseImages:
            return CaseImages(engine, (), build=settings.build, progress=context.progress)

        if context.cluster is None:
            with Engine.connect() as engine:
                yield fixed_places([Node(engine, images(engine), context.workers)])
            return
        with cluster_places(
            context.cluster,
            cases=context.workers,
            workers=1,
            images=images,
            min_free_mib=self._bench.container.min_free_mib,
            notify=context.notify,
        ) as places:
            yield places

    def _refuse_without_cap(self) -> None:
        paid = self._work.rehearsal is None and not self._work.pool.costs_nothing
        if paid and self._context.cap_usd is None:
            raise UsageError(
                f"pool {self._work.pool.name} costs money: give the most that the build may spend with --usd"
            )


def _was_restarted_in_full(recording: Recording) -> bool:
    """Return whether an execution was started again because a command gave different output than before."""
    return any(each.lost is not None and each.lost.what == OBSERVATION for each in recording.previous_recordings)


def _group_recordings(
    recorded: Iterable[Recording],
) -> tuple[dict[_ExecutionKey, Recording], Counter[str], dict[tuple[str, str, int], _SharedState]]:
    """Return the recordings by execution, the last trial number of each task, and what executions have in common."""
    by_name: dict[_ExecutionKey, Recording] = {}
    numbers: Counter[str] = Counter()
    together: dict[tuple[str, str, int], list[Recording]] = {}
    for each in recorded:
        numbers[each.case] = max(numbers[each.case], each.trial)
        if (name := _recorded_name(each)) is not None:
            by_name.setdefault(name, each)
            together.setdefault(name.group, []).append(each)
    return by_name, numbers, {group: _SharedState(found) for group, found in together.items()}
