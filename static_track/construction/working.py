"""The searches of a build, side by side: each task's in one thread, over the executions that are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from static_track.construction.execution_log import ExecutionLog
from static_track.construction.ladder import Ladder
from static_track.construction.proposers import Hints
from static_track.construction.search import Outcome, SearchRules, search
from twinbench.causes import CAUSES, Cause, CausedError, Counts
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
class OpenTask:
    """A task whose search is not over: something that says nothing of any label ended it for now."""

    task: ConstructionTask
    cause: Cause | None
    """None where the build was stopped."""
    detail: str | None = None


@dataclass(frozen=True)
class BuildState:
    """How far a build is."""

    tasks: int
    done: int
    """Tasks whose search is over."""
    executions: int
    """Whole ones, kept in this sitting and before."""
    executed_now: int
    cost_usd: Decimal
    """What the calls of all whole executions cost."""
    spent_usd: Decimal
    """What was paid, over all sittings."""
    saved_usd: Decimal
    """What calls would have cost that were answered from the response cache."""


Listener = Callable[[BuildState, "Outcome | OpenTask | None"], None]
"""Told after each execution (None) and of each task whose search ends, by one thread at a time."""


def tell_nobody(_state: BuildState, _ended: Outcome | OpenTask | None) -> None:
    """Tells nobody."""


class _LostExecutionError(Exception):
    """An execution came to no verdict."""

    def __init__(self, cause: Cause, detail: str | None) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class Work:
    """Searches the labels of all tasks of a build."""

    def __init__(
        self,
        executor: TaskExecutor,
        log: ExecutionLog,
        ladder: Ladder,
        rules: SearchRules,
        hints: Hints,
        *,
        is_stopping: Callable[[], bool],
        listener: Listener = tell_nobody,
    ) -> None:
        """Take what the searches need.

        Args:
            executor: executes what is not kept.
            log: keeps what was executed.
            ladder: the tiers.
            rules: of the search.
            hints: asks the proposer.
            is_stopping: says whether no further execution is to be begun.
            listener: told how far the build is.
        """
        self._executor = executor
        self._log = log
        self._ladder = ladder
        self._rules = rules
        self._hints = hints
        self._is_stopping = is_stopping
        self._listener = listener
        self._counting = threading.Lock()
        self._ended: dict[str, Outcome | OpenTask] = {}
        self._executed_now = 0
        self._cost = sum((each.cost_usd for each in log.executions()), Decimal(0))
        self._saved = self._cost - sum((each.spend_usd for each in log.executions()), Decimal(0))
        self._giving_up = threading.Event()
        self._cap_detail: str | None = None
        self._tasks = 0

    def run(self, tasks: Sequence[ConstructionTask], workers: int) -> Mapping[str, Outcome | OpenTask]:
        """Search the labels of tasks.

        Returns:
            What came of each, by the task's id.

        Raises:
            TwinbenchError: something that ends the whole build, such as a full disk; what was kept stays.
        """
        self._tasks = len(tasks)
        Threads[ConstructionTask, str, "Outcome | OpenTask"]({"here": workers}).run(
            tasks, self._work_on, self._end, self._giving_up.set
        )
        return self._ended

    def state(self) -> BuildState:
        """How far the build is."""
        return BuildState(
            tasks=self._tasks,
            done=sum(isinstance(each, Outcome) for each in self._ended.values()),
            executions=len(self._log),
            executed_now=self._executed_now,
            cost_usd=self._cost,
            spent_usd=self._executor.spent_usd,
            saved_usd=self._saved,
        )

    def _end(self, task: ConstructionTask, ended: Outcome | OpenTask) -> None:
        with self._counting:
            self._ended[task.id] = ended
            if self._all_lost_alike():
                self._giving_up.set()
            self._listener(self.state(), ended)

    def _all_lost_alike(self) -> bool:
        """Whether the first tasks that ended are all lost to the same infrastructure: so would be the others."""
        causes = [each.cause if isinstance(each, OpenTask) else None for each in self._ended.values()]
        first = causes[0]
        return (
            len(causes) == _FIRST_TASKS
            and first is not None
            and CAUSES[first].counts is Counts.infra
            and set(causes) == {first}
        )

    def _work_on(self, task: ConstructionTask, _place: str) -> Outcome | OpenTask:
        try:
            return search(
                task,
                self._ladder,
                self._rules,
                lambda assignment, repeat: self._execute(task, assignment, repeat),
                lambda seed: self._propose(task, seed),
            )
        except BuildStoppedError:
            return OpenTask(task, None)
        except _LostExecutionError as lost:
            if lost.cause is Cause.cap:
                self._cap_detail = lost.detail
            return OpenTask(task, lost.cause, lost.detail)
        except (JournalError, StoreWriteError):
            raise
        except Exception as error:
            if is_disk_failure(error):
                raise _full(error) from error
            if isinstance(error, TwinbenchError) and not hasattr(error, "cause"):
                raise
            return OpenTask(task, getattr(error, "cause", Cause.internal), describe_error(error))

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
        _refuse_another(execution, task, assignment, repeat)
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


def _refuse_another(execution: Execution, task: ConstructionTask, assignment: Assignment, repeat: int) -> None:
    """Refuse an execution that is not the one that was asked for: no label may rest on it.

    Raises:
        TwinbenchError: it is another.
    """
    asked = (task.id, assignment, repeat)
    if (execution.task, execution.assignment, execution.repeat) != asked:
        raise TwinbenchError(f"the executor was asked for {asked}, and gave another execution: this is a bug of it")
    for number, step in enumerate(execution.steps, 1):
        if step.candidate != (wanted := assignment.candidate(number)):
            raise TwinbenchError(
                f"the executor had step {number} of {task.id} answered by {step.candidate!r} where {wanted!r} was "
                "asked for: this is a bug of it"
            )


def _full(error: Exception) -> StoreWriteError:
    origin: BaseException | None = error
    while origin is not None and not isinstance(origin, OSError):
        origin = origin.__cause__ or origin.__context__
    where = getattr(origin, "filename", None)
    reason = origin.strerror if isinstance(origin, OSError) else str(error)
    named = "the build's directory" if where is None else where
    return StoreWriteError(
        f"cannot write {named} ({reason}): every whole execution before is kept; free some disk and run the same "
        "command again"
    )
