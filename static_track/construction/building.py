"""A bank built: one sitting, from the configuration to rows or to what is still open; or again from recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from static_track.construction.build_directory import BuildDirectory, open_directory
from static_track.construction.ladder import Ladder
from static_track.construction.lines import HeaderLine
from static_track.construction.plan import ExecutorIdentity, Identity, Plan, SearchIdentity
from static_track.construction.proposers import Hints, open_proposer
from static_track.construction.publishing import Publication
from static_track.construction.recordings import (
    RECORDINGS_FILE,
    RecordedExecutor,
    RecordedProposer,
    read_header,
    recording_lines,
    unpack_recordings,
)
from static_track.construction.search import Outcome
from static_track.construction.settings import BuildSettings
from static_track.construction.working import BuildState, Listener, OpenTask, Work, tell_nobody
from twinbench.construction.execution import ConstructionTask, ExecutorContext, TaskExecutor
from twinbench.construction.finding import EXECUTORS, find_factory
from twinbench.construction.proposing import Proposer
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import canonical_json
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.unexpected import describe_error

_T = TypeVar("_T")


def never() -> bool:
    """Asks for no stop."""
    return False


@dataclass(frozen=True)
class BuildLimits:
    """What a sitting may take; none of it is part of the plan."""

    cap_usd: Decimal | None = None
    """The most that may be paid, over all sittings."""
    workers: int = 1
    """Tasks at once."""


@dataclass(frozen=True, repr=False)
class Build(Tabular):
    """What one sitting of a build came to."""

    directory: Path
    plan: Plan
    state: BuildState
    outcomes: Sequence[Outcome]
    """Of the tasks whose search is over."""
    open_tasks: Sequence[OpenTask]
    tiers_not_executed: Sequence[str]
    manifest: Mapping[str, Any] | None
    """What was published; None where a task is open, or none got labels."""

    @property
    def is_complete(self) -> bool:
        """Whether the search for every task is over."""
        return not self.open_tasks

    @property
    def was_stopped(self) -> bool:
        """Whether a task is open because the build was asked to stop."""
        return any(each.cause is None for each in self.open_tasks)

    @property
    def caveat(self) -> str | None:
        """What anyone who is shown numbers of the bank must be told."""
        return self.plan.bank.caveat

    def records(self) -> list[dict[str, Any]]:
        """A record for each task: its labels, or why it has none."""
        tier_of = self.plan.identity.ladder().tier_of
        found = {outcome.task.id: self._record(outcome, tier_of) for outcome in self.outcomes}
        for each in self.open_tasks:
            found[each.task.id] = _place(each.task) | {"open": each.cause or "stopped", "detail": each.detail}
        tasks = [found[task.id] for task in self.plan.identity.construction_tasks()]
        names = dict.fromkeys(name for task in tasks for name in task)
        return [dict.fromkeys(names) | task for task in tasks]

    def _record(self, outcome: Outcome, tier_of: Mapping[str, Tier]) -> dict[str, Any]:
        locked = outcome.locked
        labels = [] if locked is None else [tier_of[step.candidate].label for step in locked.steps]
        return _place(outcome.task) | {
            "steps": len(labels) or None,
            **{tier: labels.count(tier) for tier in TIER_LABELS},
            "left_out": outcome.reason,
            "executions": len(outcome.findings),
            "cost_usd": float(sum((each.execution.cost_usd for each in outcome.findings), Decimal(0))),
        }

    def to_json(self) -> dict[str, Any]:
        """The sitting as a JSON object."""
        left_out = [each for each in self.outcomes if each.locked is None]
        return {
            "directory": str(self.directory),
            "complete": self.is_complete,
            "tasks": self.state.tasks,
            "labelled": len(self.outcomes) - len(left_out),
            "left_out": [{"task": each.task.id, "reason": each.reason} for each in left_out],
            "open": [{"task": each.task.id, "cause": each.cause, "detail": each.detail} for each in self.open_tasks],
            "executions": self.state.executions,
            "executed_now": self.state.executed_now,
            "cost_usd": float(self.state.cost_usd),
            "spent_usd": float(self.state.spent_usd),
            "saved_usd": float(self.state.saved_usd),
            "tiers_not_executed": list(self.tiers_not_executed),
            "manifest": self.manifest,
        }


def build(
    settings: BuildSettings,
    directory: Path,
    limits: BuildLimits,
    *,
    is_stopping: Callable[[], bool] = never,
    listener: Listener = tell_nobody,
    progress: Progress = no_progress,
) -> Build:
    """Build a bank, or go on with one; what was executed is not executed again.

    Args:
        settings: the configuration.
        directory: of the build.
        limits: of this sitting.
        is_stopping: says whether nothing new is to be begun.
        listener: told of executions and tasks.
        progress: told of what the executor prepares.

    Raises:
        UsageError: the configuration is refused, the directory holds something else, or a cap is missing.
        ContentError: executions that are kept are damaged, or a rule for publication is broken.
        TwinbenchError: something cannot be written; what was executed is kept.
    """
    with open_directory(directory) as opened:
        context = ExecutorContext(opened.make_executor_folder(), limits.cap_usd, limits.workers, is_stopping, progress)
        with open_executor(settings, context) as executor:
            ladder = ladder_of(settings, executor)
            refuse_without_cap(executor, limits.cap_usd)
            with open_proposer_of(settings, ladder) as proposer:
                plan = plan_of(settings, executor, ladder, proposer.identity)
                opened.keep_plan(plan)
                return _work(opened, plan, executor, Hints(proposer), limits.workers, is_stopping, listener)


def rebuild(
    recordings: Path,
    directory: Path,
    *,
    is_stopping: Callable[[], bool] = never,
    listener: Listener = tell_nobody,
) -> Build:
    """Build a bank once more from what was recorded, without models and containers; its rows are the same bytes.

    Args:
        recordings: of a build.
        directory: of this build.
        is_stopping: says whether nothing new is to be begun.
        listener: told of executions and tasks.

    Raises:
        UsageError: there is no such file, or the directory holds something else.
        ContentError: the recordings are damaged.
        TwinbenchError: an execution is missing in them, or something cannot be written.
    """
    with open_directory(directory) as opened:
        header = read_header(recordings)
        opened.keep_plan(header.plan)
        if not opened.has_executions:
            unpack_recordings(recordings, directory)
        executor = RecordedExecutor(header, recordings)
        return _work(opened, header.plan, executor, Hints(RecordedProposer()), 1, is_stopping, listener)


def _work(
    directory: BuildDirectory,
    plan: Plan,
    executor: TaskExecutor,
    hints: Hints,
    workers: int,
    is_stopping: Callable[[], bool],
    listener: Listener,
) -> Build:
    ladder = plan.identity.ladder()
    tasks = plan.identity.construction_tasks()
    with directory.log() as log:
        work = Work(
            executor, log, ladder, plan.identity.rules_of_search(), hints, is_stopping=is_stopping, listener=listener
        )
        ended = work.run(tasks, workers)
        outcomes = [each for task in tasks if isinstance(each := ended[task.id], Outcome)]
        open_tasks = [each for task in tasks if isinstance(each := ended[task.id], OpenTask)]
        manifest = None
        if not open_tasks and any(each.locked is not None for each in outcomes):
            spent = executor.spent_usd
            hints_usd = sum((log.hints_usd(task.id) for task in tasks), Decimal(0))
            lines = recording_lines(HeaderLine(plan=plan, spent_usd=spent), outcomes, log)
            manifest = Publication(plan, outcomes, ladder, spent, log.requests, lines, hints_usd, log.review).write(
                directory.path, RECORDINGS_FILE
            )
        return Build(
            directory=directory.path,
            plan=plan,
            state=work.state(),
            outcomes=outcomes,
            open_tasks=open_tasks,
            tiers_not_executed=[tier.label for tier in ladder.missing],
            manifest=manifest,
        )


def _place(task: ConstructionTask) -> dict[str, Any]:
    return {"task": task.id, "workload": task.workload, "group": task.group}


@contextmanager
def open_executor(settings: BuildSettings, context: ExecutorContext) -> Iterator[TaskExecutor]:
    """The executor that a configuration names.

    Raises:
        UsageError: there is none of that kind, it refuses a setting, or it cannot be opened; names the file.
    """

    def opening() -> AbstractContextManager[TaskExecutor]:
        found: AbstractContextManager[TaskExecutor] = find_factory(EXECUTORS, settings.executor.kind)(
            settings.executor.settings, context
        )
        return found

    with _entered(f"{settings.source}, [executor]", opening) as executor:
        yield executor


@contextmanager
def open_proposer_of(settings: BuildSettings, ladder: Ladder) -> Iterator[Proposer]:
    """The proposer that a configuration names.

    Raises:
        UsageError: there is none of that name, it refuses a setting, or it cannot be opened; names the file.
    """

    def opening() -> AbstractContextManager[Proposer]:
        return open_proposer(settings.search.proposer, settings.proposer, ladder)

    with _entered(f"{settings.source}, field search.proposer", opening) as proposer:
        yield proposer


@contextmanager
def _entered(where: str, opening: Callable[[], AbstractContextManager[_T]]) -> Iterator[_T]:
    """What a plugin opens; what goes wrong meanwhile is said with the place in the configuration that names it."""
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(opening())
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        except (TwinbenchError, OSError):
            raise
        except Exception as error:
            raise UsageError(f"{where}: it cannot be opened: {describe_error(error)}") from error
        yield entered


def ladder_of(settings: BuildSettings, executor: TaskExecutor) -> Ladder:
    """The tiers of an executor.

    Raises:
        UsageError: they allow no search.
    """
    try:
        return Ladder.of(executor.tiers, settings.search.cascade)
    except UsageError as error:
        raise UsageError(f"{settings.source}, [executor]: {error}") from None


def refuse_without_cap(executor: TaskExecutor, cap: Decimal | None) -> None:
    """Refuse to spend without a cap.

    Raises:
        UsageError: an execution can cost something, and no cap is given.
    """
    if cap is None and any(executor.worst_case_usd(task.id) for task in executor.tasks):
        raise UsageError("executions cost something: give the most that may be spent, as --usd (see: --dry-run)")


def plan_of(settings: BuildSettings, executor: TaskExecutor, ladder: Ladder, proposer: Mapping[str, Any]) -> Plan:
    """The plan of a build.

    Raises:
        UsageError: the executor has no task, or two of the same id.
    """
    tasks = executor.tasks
    _refuse_tasks(settings, tasks)
    search = settings.search
    return Plan(
        identity=Identity(
            search=SearchIdentity(step_rule=search.rule.name, cascade=search.cascade, repeats=search.repeats),
            proposer=as_json(proposer),
            tiers=ladder.to_json(),
            tasks=[(task.id, task.workload, task.group) for task in tasks],
            executor=ExecutorIdentity(kind=_portable(settings.executor.kind), identity=as_json(executor.identity)),
        ),
        bank=settings.bank,
        review_share=search.review_share,
    )


def as_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity as reading it back will give it: lists for tuples, texts for what JSON does not have."""
    found: dict[str, Any] = json.loads(canonical_json(identity))
    return found


def _portable(kind: str) -> str:
    """The kind of an executor without the folder of its file, which is another on another machine."""
    target, _, attribute = kind.rpartition(":")
    return f"{Path(target).name}:{attribute}" if target.endswith(".py") else kind


def _refuse_tasks(settings: BuildSettings, tasks: Sequence[ConstructionTask]) -> None:
    ids = [task.id for task in tasks]
    if not ids:
        raise UsageError(f"{settings.source}, [executor]: there is no task")
    if repeated := sorted({each for each in ids if ids.count(each) > 1}):
        raise UsageError(f"{settings.source}, [executor]: two tasks are called {repeated[0]!r}")
