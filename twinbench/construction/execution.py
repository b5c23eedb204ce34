"""The interface of executors, which execute tasks for the search for labels.

The search (``static_track.construction``) knows nothing of agents, containers or providers. It names a task, the
candidate that should answer each step, and the number of the repeat; an executor does the rest. Executors are the live
track's agent, a single call with an evaluator, and recordings of either. Source: construction.md, stages 1 to 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from twinbench.causes import Cause
from twinbench.display.progress import Progress, no_progress
from twinbench.executing.ray_cluster import RayCluster
from twinbench.routing.usage import Usage


@dataclass(frozen=True)
class Assignment:
    """The candidates of the pool that answer the steps of a task."""

    first: tuple[str, ...]
    """Ids of the candidates that answer steps 1, 2, …"""
    rest: str
    """Id of the candidate that answers all later steps."""

    def candidate(self, step: int) -> str:
        """Return the id of the candidate that answers a step; steps are counted from 1."""
        return self.first[step - 1] if step <= len(self.first) else self.rest


@dataclass(frozen=True)
class ConstructionTask:
    """A task whose steps are to be labelled."""

    id: str
    workload: str
    """The value of ``benchmark`` in the bank's rows."""
    group: str
    """A name shared by tasks that are not independent of each other, such as that of their common template."""


@dataclass(frozen=True)
class ExecutedStep:
    """One answered call of an execution."""

    messages: Sequence[Mapping[str, Any]]
    """The prompt, as OpenAI chat messages without fields that only one model understands."""
    functions: Sequence[Mapping[str, Any]] | None
    """The tools that were offered, as OpenAI function definitions; None if there were none."""
    candidate: str
    """The id of the candidate that answered."""
    usage: Usage
    cost_usd: Decimal
    """The cost of the call, also if its response came from the cache and nothing was paid now."""


@dataclass(frozen=True)
class Execution:
    """The result of executing one task under one assignment."""

    task: str
    assignment: Assignment
    repeat: int
    """0, or the number of a repetition that tests whether the task is flaky; repetitions do not share responses."""
    passed: bool | None
    """Whether the task's own check accepts the result; None if infrastructure or the cap ended it (``cause``)."""
    steps: Sequence[ExecutedStep]
    cause: Cause | None = None
    detail: str | None = None
    spend_usd: Decimal = Decimal(0)
    """The amount that was newly paid for it."""
    paid_calls: int = 0
    """The number of calls that were newly paid for; the others were answered from the response cache."""

    @property
    def cost_usd(self) -> Decimal:
        """The cost of all its calls, including those from the response cache."""
        return sum((step.cost_usd for step in self.steps), Decimal(0))


class BuildStoppedError(Exception):
    """Raised when the build is interrupted during an execution; run the command again to continue."""


class TaskExecutor(Protocol):
    """Executes tasks; may be called by several threads at once, up to ``ExecutorContext.workers``."""

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """All tasks, in the order in which they are executed."""
        ...

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """For each tier, the ids of the candidates to try: at most three, the cheapest first; may be empty."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that a label depends on, as JSON: task set, pool, models, scaffold, evaluators and their versions."""
        ...

    @property
    def spent_usd(self) -> Decimal:
        """The total amount paid so far, including earlier runs of the command."""
        ...

    def worst_case_usd(self, task: str) -> Decimal:
        """Return the largest possible cost of one execution of a task."""
        ...

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Execute a task; an unfinished execution is continued, and nothing that was paid for is paid again.

        Args:
            task: the id of the task.
            assignment: the candidates that answer its steps.
            repeat: the number of the repetition; all executions of the same repeat share responses.

        Raises:
            BuildStoppedError: a stop of the build was requested; all payments are recorded.
            OSError: the execution cannot be recorded.
        """
        ...


@dataclass(frozen=True)
class ExecutorContext:
    """The context in which an executor is opened, besides its own settings."""

    directory: Path
    """The executor's folder in the build's directory, for its journal and caches; it may contain those of an earlier
    run of the command."""
    cap_usd: Decimal | None
    """The spending cap over all runs of the command; None for no cap."""
    workers: int = 1
    """The number of executions at the same time."""
    is_stopping: Callable[[], bool] = lambda: False
    """Returns whether a stop of the build was requested; checked before each call."""
    progress: Progress = no_progress
    cluster: RayCluster | None = None
    """The Ray cluster whose nodes run containers; None: the Docker engine of this machine."""
    notify: Callable[[str], None] = lambda _: None
    """Called with messages about nodes that join, are lost, or take no tasks."""


class ExecutorFactory(Protocol):
    """Opens an executor; registered as an entry point of the group ``twinbench.executors``, or named by path."""

    def __call__(self, settings: Mapping[str, Any], context: ExecutorContext) -> AbstractContextManager[TaskExecutor]:
        """Open the executor that the table ``[executor]`` of a build's configuration describes.

        Args:
            settings: the table ``[executor]`` without ``kind``; validated by the executor.
            context: the folder, limits and callbacks of the build.

        Raises:
            UsageError: a setting is unknown or invalid; the message names the key.
        """
        ...
