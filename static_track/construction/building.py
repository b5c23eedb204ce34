"""Build a bank from a configuration (or continue a build), or rebuild it from recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from static_track.banks.embedded import embedded_recordings
from static_track.banks.embedded_names import EMBEDDED
from static_track.construction.build_directory import BuildDirectory, open_directory
from static_track.construction.build_work import BuildState, BuildWork, Listener, UnfinishedTask, ignore_progress
from static_track.construction.ladder import Ladder
from static_track.construction.lines import HeaderLine
from static_track.construction.plan import BuildIdentity, BuildPlan, ExecutorIdentity, SearchIdentity
from static_track.construction.proposers import HintSource, open_proposer
from static_track.construction.publishing import Publication
from static_track.construction.recordings import (
    RECORDINGS_FILE,
    RecordedExecutor,
    RecordedProposer,
    read_header,
    recording_lines,
    unpack_recordings,
)
from static_track.construction.search import SearchOutcome
from static_track.construction.settings import BuildSettings
from twinbench.construction.execution import ConstructionTask, ExecutorContext, TaskExecutor
from twinbench.construction.finding import EXECUTORS, find_factory
from twinbench.construction.proposing import Proposer
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import did_you_mean
from twinbench.errors import TwinbenchError, UsageError
from twinbench.executing.ray_cluster import RayCluster
from twinbench.fingerprint import canonical_json
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.unexpected import describe_error

_T = TypeVar("_T")


def never_stop() -> bool:
    """Never request a stop."""
    return False


@dataclass(frozen=True)
class BuildLimits:
    """Limits of one execution of a build; they are not part of the plan."""

    cap_usd: Decimal | None = None
    """Spending cap over all executions of the build."""
    workers: int = 1
    """How many tasks are searched in parallel."""
    cluster: RayCluster | None = None
    """The Ray cluster whose nodes run containers; None: the Docker engine of this machine."""


@dataclass(frozen=True, repr=False)
class BuildResult(Tabular):
    """The result of one execution of a build."""

    directory: Path
    plan: BuildPlan
    state: BuildState
    outcomes: Sequence[SearchOutcome]
    """Results of the tasks whose search has finished."""
    unfinished_tasks: Sequence[UnfinishedTask]
    tiers_not_executed: Sequence[str]
    manifest: Mapping[str, Any] | None
    """The manifest of the published bank; None if a task is unfinished, or no task got labels."""

    @property
    def is_complete(self) -> bool:
        """Whether the search of every task has finished."""
        return not self.unfinished_tasks

    @property
    def was_stopped(self) -> bool:
        """Whether a task is unfinished because a stop of the build was requested."""
        return any(each.cause is None for each in self.unfinished_tasks)

    @property
    def caveat(self) -> str | None:
        """The caveat that must accompany numbers of the bank."""
        return self.plan.bank.caveat

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each task: its labels, or why it has none."""
        tier_of = self.plan.identity.ladder().tier_of
        found = {outcome.task.id: self._record(outcome, tier_of) for outcome in self.outcomes}
        for each in self.unfinished_tasks:
            found[each.task.id] = _task_fields(each.task) | {"open": each.cause or "stopped", "detail": each.detail}
        tasks = [found[task.id] for task in self.plan.identity.construction_tasks()]
        names = dict.fromkeys(name for task in tasks for name in task)
        return [dict.fromkeys(names) | task for task in tasks]

    def _record(self, outcome: SearchOutcome, tier_of: Mapping[str, Tier]) -> dict[str, Any]:
        locked = outcome.labelled_execution
        labels = [] if locked is None else [tier_of[step.candidate].label for step in locked.steps]
        return _task_fields(outcome.task) | {
            "steps": len(labels) or None,
            **{tier: labels.count(tier) for tier in TIER_LABELS},
            "left_out": outcome.reason,
            "executions": len(outcome.findings),
            "cost_usd": float(sum((each.execution.cost_usd for each in outcome.findings), Decimal(0))),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        left_out = [each for each in self.outcomes if each.labelled_execution is None]
        return {
            "directory": str(self.directory),
            "complete": self.is_complete,
            "tasks": self.state.tasks,
            "labelled": len(self.outcomes) - len(left_out),
            "left_out": [{"task": each.task.id, "reason": each.reason} for each in left_out],
            "open": [
                {"task": each.task.id, "cause": each.cause, "detail": each.detail} for each in self.unfinished_tasks
            ],
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
    is_stopping: Callable[[], bool] = never_stop,
    listener: Listener = ignore_progress,
    progress: Progress = no_progress,
    notify: Callable[[str], None] = lambda _: None,
) -> BuildResult:
    """Build a bank, or continue a build; nothing is executed twice.

    Args:
        settings: the configuration.
        directory: the build's directory.
        limits: the limits of this execution.
        is_stopping: returns whether a stop was requested, so that nothing new is started.
        listener: called for executions and tasks.
        progress: called as the executor prepares.
        notify: called with messages about nodes that join, are lost, or take no tasks.

    Raises:
        UsageError: the configuration is invalid, the directory has another build, or a spending cap is missing.
        ContentError: recorded executions are damaged, or a rule for publication is violated.
        TwinbenchError: something cannot be written; what was executed is kept.
    """
    with open_directory(directory) as opened:
        context = ExecutorContext(
            opened.make_executor_folder(),
            limits.cap_usd,
            limits.workers,
            is_stopping,
            progress,
            limits.cluster,
            notify,
        )
        with open_executor(settings, context) as executor:
            ladder = make_ladder(settings, executor)
            require_cap(executor, limits.cap_usd)
            with open_proposer_of(settings, ladder) as proposer:
                plan = make_plan(settings, executor, ladder, proposer.identity)
                opened.write_or_check_plan(plan)
                return _run_build(opened, plan, executor, HintSource(proposer), limits.workers, is_stopping, listener)


def rebuild(
    recordings: Path,
    directory: Path,
    *,
    is_stopping: Callable[[], bool] = never_stop,
    listener: Listener = ignore_progress,
) -> BuildResult:
    """Rebuild a bank from recordings, without models and containers; its rows are byte-identical.

    Args:
        recordings: the recordings of a build, or the name of an embedded bank.
        directory: the directory of the new build.
        is_stopping: returns whether a stop was requested, so that nothing new is started.
        listener: called for executions and tasks.

    Raises:
        UsageError: the file does not exist, or the directory has other content.
        ContentError: the recordings are damaged.
        TwinbenchError: the recordings lack an execution, or something cannot be written.
    """
    recordings = _recordings_file(recordings)
    with open_directory(directory) as opened:
        header = read_header(recordings)
        if opened.write_or_check_plan(header.plan) or not opened.has_executions:
            unpack_recordings(recordings, directory)
        executor = RecordedExecutor(header, recordings)
        return _run_build(opened, header.plan, executor, HintSource(RecordedProposer()), 1, is_stopping, listener)


def _recordings_file(named: Path) -> Path:
    """Return a file of recordings: the path as it is, or that of an embedded bank if there is no such file.

    Raises:
        UsageError: there is neither.
    """
    if named.exists():
        return named
    embedded = embedded_recordings(str(named))
    if embedded is None:
        names = [name for name in EMBEDDED if embedded_recordings(name) is not None]
        known = did_you_mean(str(named), names) or f"; embedded banks with recordings: {', '.join(names)}"
        raise UsageError(f"no file of recordings {named}{known}")
    return embedded


def _run_build(
    directory: BuildDirectory,
    plan: BuildPlan,
    executor: TaskExecutor,
    hints: HintSource,
    workers: int,
    is_stopping: Callable[[], bool],
    listener: Listener,
) -> BuildResult:
    ladder = plan.identity.ladder()
    tasks = plan.identity.construction_tasks()
    with directory.open_log() as log:
        work = BuildWork(
            executor, log, ladder, plan.identity.search_rules(), hints, is_stopping=is_stopping, listener=listener
        )
        ended = work.run(tasks, workers)
        outcomes = [each for task in tasks if isinstance(each := ended[task.id], SearchOutcome)]
        open_tasks = [each for task in tasks if isinstance(each := ended[task.id], UnfinishedTask)]
        manifest = None
        if not open_tasks and any(each.labelled_execution is not None for each in outcomes):
            spent = executor.spent_usd
            hints_usd = sum((log.hints_usd(task.id) for task in tasks), Decimal(0))
            lines = recording_lines(HeaderLine(plan=plan, spent_usd=spent), outcomes, log)
            manifest = Publication(plan, outcomes, ladder, spent, log.requests, lines, hints_usd, log.review).write(
                directory.path, RECORDINGS_FILE
            )
        return BuildResult(
            directory=directory.path,
            plan=plan,
            state=work.state(),
            outcomes=outcomes,
            unfinished_tasks=open_tasks,
            tiers_not_executed=[tier.label for tier in ladder.missing],
            manifest=manifest,
        )


def _task_fields(task: ConstructionTask) -> dict[str, Any]:
    return {"task": task.id, "workload": task.workload, "group": task.group}


@contextmanager
def open_executor(settings: BuildSettings, context: ExecutorContext) -> Iterator[TaskExecutor]:
    """The executor that a configuration names.

    Raises:
        UsageError: there is none of that kind, it refuses a setting, or could not be opened; names the file.
    """

    def opening() -> AbstractContextManager[TaskExecutor]:
        found: AbstractContextManager[TaskExecutor] = find_factory(EXECUTORS, settings.executor.kind)(
            settings.executor.settings, context
        )
        return found

    with _enter_plugin(f"{settings.source}, [executor]", opening) as executor:
        yield executor


@contextmanager
def open_proposer_of(settings: BuildSettings, ladder: Ladder) -> Iterator[Proposer]:
    """The proposer that a configuration names.

    Raises:
        UsageError: there is none of that name, it refuses a setting, or could not be opened; names the file.
    """

    def opening() -> AbstractContextManager[Proposer]:
        return open_proposer(settings.search.proposer, settings.proposer, ladder)

    with _enter_plugin(f"{settings.source}, field search.proposer", opening) as proposer:
        yield proposer


@contextmanager
def _enter_plugin(where: str, opening: Callable[[], AbstractContextManager[_T]]) -> Iterator[_T]:
    """Open an executor or proposer; errors are raised with the configuration field that names it."""
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(opening())
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        except (TwinbenchError, OSError):
            raise
        except Exception as error:
            raise UsageError(f"{where}: could not open the plugin: {describe_error(error)}") from error
        yield entered


def make_ladder(settings: BuildSettings, executor: TaskExecutor) -> Ladder:
    """Return the ladder of an executor's tiers.

    Raises:
        UsageError: the tiers do not allow a search.
    """
    try:
        return Ladder.from_tiers(executor.tiers, settings.search.cascade)
    except UsageError as error:
        raise UsageError(f"{settings.source}, [executor]: {error}") from None


def require_cap(executor: TaskExecutor, cap: Decimal | None) -> None:
    """Check that there is a spending cap if executions can cost anything.

    Raises:
        UsageError: an execution can cost something, but no cap is given.
    """
    if cap is None and any(executor.worst_case_usd(task.id) for task in executor.tasks):
        raise UsageError("executing tasks costs money: give a spending cap with --usd (see: --dry-run)")


def make_plan(
    settings: BuildSettings, executor: TaskExecutor, ladder: Ladder, proposer: Mapping[str, Any]
) -> BuildPlan:
    """Make the plan of a build.

    Raises:
        UsageError: the executor has no task, or two with the same id.
    """
    tasks = executor.tasks
    _refuse_tasks(settings, tasks)
    search = settings.search
    return BuildPlan(
        identity=BuildIdentity(
            search=SearchIdentity(step_rule=search.rule.name, cascade=search.cascade, repeats=search.repeats),
            proposer=to_plain_json(proposer),
            tiers=ladder.to_json(),
            tasks=[(task.id, task.workload, task.group) for task in tasks],
            executor=ExecutorIdentity(
                kind=_portable(settings.executor.kind), identity=to_plain_json(executor.identity)
            ),
        ),
        bank=settings.bank,
        review_share=search.review_share,
    )


def to_plain_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity as it will be read back from JSON: tuples as lists, other values as text."""
    found: dict[str, Any] = json.loads(canonical_json(identity))
    return found


def _portable(kind: str) -> str:
    """Return the kind of an executor without the folder of its file, which differs between machines."""
    target, _, attribute = kind.rpartition(":")
    return f"{Path(target).name}:{attribute}" if target.endswith(".py") else kind


def _refuse_tasks(settings: BuildSettings, tasks: Sequence[ConstructionTask]) -> None:
    ids = [task.id for task in tasks]
    if not ids:
        raise UsageError(f"{settings.source}, [executor]: the executor has no task")
    if repeated := sorted({each for each in ids if ids.count(each) > 1}):
        raise UsageError(f"{settings.source}, [executor]: two tasks have the id {repeated[0]!r}")
