"""Run the searches of a build in parallel: each task in one thread, over the recorded executions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from static_track.construction.execution_log import ExecutionLog
from static_track.construction.ladder import Ladder
from static_track.construction.proposers import HintSource
from static_track.construction.search import SearchOutcome, SearchRules, search_labels
from twinbench.causes import CAUSES, Cause, CausedError, OutcomeClass
from twinbench.construction.execution import (
    Assignment,
    BuildStoppedError,
    ConstructionTask,
    Execution,
    TaskExecutor,
)
from twinbench.errors import JournalError, StoreWriteError, TwinbenchError
from twinbench.executing.threads import Threads
from twinbench.unexpected import describe_error, is_disk_failure

_FIRST_TASKS = 3


@dataclass(frozen=True)
class UnfinishedTask:
    """A task whose search for labels was stopped by something else than the task: an outage, the cap, a full disk."""

    task: ConstructionTask
    cause: Cause | None
    """Why; None if a stop was requested."""
    detail: str | None = None


@dataclass(frozen=True)
class BuildState:
    """The progress of a build."""

    tasks: int
    done: int
    """Tasks whose search has finished."""
    executions: int
    """Completed executions, including earlier runs of the build."""
    executed_now: int
    cost_usd: Decimal
    """Cost of the calls of all completed executions."""
    spent_usd: Decimal
    """What was paid in total."""
    saved_usd: Decimal
    """Cost of calls that were answered from the response cache."""


Listener = Callable[[BuildState, "SearchOutcome | UnfinishedTask | None"], None]
"""Called after each execution (with None) and for each task whose search ends, by one thread at a time."""


def ignore_progress(_state: BuildState, _ended: SearchOutcome | UnfinishedTask | None) -> None:
    """Do nothing."""


class _LostExecutionError(Exception):
    """An execution got no verdict."""

    def __init__(self, cause: Cause, detail: str | None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class BuildWork:
    """Searches the labels of all tasks of a build."""

    def __init__(
        self,
        executor: TaskExecutor,
        log: ExecutionLog,
        ladder: Ladder,
        rules: SearchRules,
        hints: HintSource,
        *,
        is_stopping: Callable[[], bool],
        listener: Listener = ignore_progress,
    ) -> None:
        """Prepare the searches.

        Args:
            executor: executes what is not recorded.
            log: the log of executions.
            ladder: the tiers.
            rules: the rules of the search.
            hints: asks the proposer.
            is_stopping: returns whether a stop was requested.
            listener: called with the progress.
        """
        self._executor = executor
        self._log = log
        self._ladder = ladder
        self._rules = rules
        self._hints = hints
        self._is_stopping = is_stopping
        self._listener = listener
        self._counting = threading.Lock()
        self._ended: dict[str, SearchOutcome | UnfinishedTask] = {}
        self._executed_now = 0
        self._cost = sum((each.cost_usd for each in log.executions()), Decimal(0))
        self._saved = self._cost - sum((each.spend_usd for each in log.executions()), Decimal(0))
        self._giving_up = threading.Event()
        self._cap_detail: str | None = None
        self._tasks = 0

    def run(self, tasks: Sequence[ConstructionTask], workers: int) -> Mapping[str, SearchOutcome | UnfinishedTask]:
        """Search the labels of tasks.

        Returns:
            The outcome of each task, by task id.

        Raises:
            TwinbenchError: something ended the whole build, such as a full disk; recorded executions are kept.
        """
        self._tasks = len(tasks)
        Threads[ConstructionTask, str, "SearchOutcome | UnfinishedTask"]({"here": workers}).run(
            tasks, self._work_on, self._record_end, self._giving_up.set
        )
        return self._ended

    def state(self) -> BuildState:
        """Return the progress of the build."""
        return BuildState(
            tasks=self._tasks,
            done=sum(isinstance(each, SearchOutcome) for each in self._ended.values()),
            executions=len(self._log),
            executed_now=self._executed_now,
            cost_usd=self._cost,
            spent_usd=self._executor.spent_usd,
            saved_usd=self._saved,
        )

    def _record_end(self, task: ConstructionTask, ended: SearchOutcome | UnfinishedTask) -> None:
        with self._counting:
            self._ended[task.id] = ended
            if self._all_lost_alike():
                self._giving_up.set()
            self._listener(self.state(), ended)

    def _all_lost_alike(self) -> bool:
        """Return whether the first tasks were all lost to the same infrastructure cause, as the others would be."""
        causes = [each.cause if isinstance(each, UnfinishedTask) else None for each in self._ended.values()]
        first = causes[0]
        return (
            len(causes) == _FIRST_TASKS
            and first is not None
            and CAUSES[first].outcome_class is OutcomeClass.infra
            and set(causes) == {first}
        )

    def _work_on(self, task: ConstructionTask, _place: str) -> SearchOutcome | UnfinishedTask:
        try:
            return search_labels(
                task,
                self._ladder,
                self._rules,
                lambda assignment, repeat: self._execute(task, assignment, repeat),
                lambda seed: self._propose(task, seed),
            )
        except BuildStoppedError:
            return UnfinishedTask(task, None)
        except _LostExecutionError as lost:
            if lost.cause is Cause.cap:
                self._cap_detail = lost.detail
            return UnfinishedTask(task, lost.cause, lost.detail)
        except (JournalError, StoreWriteError):
            raise
        except Exception as error:
            if is_disk_failure(error):
                raise _disk_full_error(error) from error
            if isinstance(error, TwinbenchError) and not hasattr(error, "cause"):
                raise
            return UnfinishedTask(task, getattr(error, "cause", Cause.internal), describe_error(error))

    def _execute(self, task: ConstructionTask, assignment: Assignment, repeat: int) -> Execution:
        if (kept := self._log.find(task.id, assignment, repeat)) is not None:
            return kept
        if self._is_stopping() or self._giving_up.is_set():
            raise BuildStoppedError
        if self._cap_detail is not None:
            raise _LostExecutionError(Cause.cap, self._cap_detail)
        execution = self._executor.execute(task.id, assignment, repeat)
        if execution.passed is None:
            raise _LostExecutionError(execution.cause or Cause.internal, execution.detail)
        _require_requested_execution(execution, task, assignment, repeat)
        kept = self._log.add(execution)
        with self._counting:
            self._executed_now += 1
            self._cost += execution.cost_usd
            self._saved += execution.cost_usd - execution.spend_usd
            self._listener(self.state(), None)
        return kept

    def _propose(self, task: ConstructionTask, seed: Execution) -> Sequence[str]:
        if (kept := self._log.hints(task.id)) is not None:
            return kept
        try:
            hints, paid = self._hints.ask(task, seed)
        except TwinbenchError as error:
            cause = error.cause if isinstance(error, CausedError) else Cause.internal
            raise _LostExecutionError(cause, f"the proposer: {error}") from None
        self._log.add_hints(task.id, hints, paid)
        return hints


def _require_requested_execution(
    execution: Execution, task: ConstructionTask, assignment: Assignment, repeat: int
) -> None:
    """Check that an execution is the requested one.

    Raises:
        TwinbenchError: it is not, which is a bug in the executor.
    """
    asked = (task.id, assignment, repeat)
    if (execution.task, execution.assignment, execution.repeat) != asked:
        raise TwinbenchError(
            f"the executor was to execute {asked}, but returned another execution: a bug in the executor"
        )
    for number, step in enumerate(execution.steps, 1):
        if step.candidate != (wanted := assignment.candidate(number)):
            raise TwinbenchError(
                f"step {number} of {task.id} was answered by {step.candidate!r} instead of {wanted!r}: a bug in the "
                "executor"
            )


def _disk_full_error(error: Exception) -> StoreWriteError:
    origin: BaseException | None = error
    while origin is not None and not isinstance(origin, OSError):
        origin = origin.__cause__ or origin.__context__
    where = getattr(origin, "filename", None)
    reason = origin.strerror if isinstance(origin, OSError) else str(error)
    named = "the build's directory" if where is None else where
    return StoreWriteError(
        f"cannot write {named} ({reason}); all completed executions are saved: free disk space and run the same "
        "command again"
    )
