"""Executions: what the search for labels asks an executor to do, and what comes of it.

The search (``static_track.construction``) knows neither agents nor containers nor providers: it names a task, which
candidate is to answer which step, and the number of the repeat. An executor does the rest: the live track's agent, one
call with an evaluator, or what was recorded of either. Source: construction.md, stages 1 to 5.
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
from twinbench.routing.usage import Usage


@dataclass(frozen=True)
class Assignment:
    """Which candidate of the pool answers which step of a task."""

    first: tuple[str, ...]
    """Candidate ids of steps 1, 2, …"""
    rest: str
    """The candidate of all later steps."""

    def candidate(self, step: int) -> str:
        """The candidate that answers a step, counted from 1."""
        return self.first[step - 1] if step <= len(self.first) else self.rest


@dataclass(frozen=True)
class ConstructionTask:
    """A task whose steps are to be labelled."""

    id: str
    workload: str
    """What its rows have as ``benchmark``."""
    group: str
    """What it shares with tasks that are not independent of it, such as the template that it was made from."""


@dataclass(frozen=True)
class ExecutedStep:
    """One call of an execution that was answered."""

    messages: Sequence[Mapping[str, Any]]
    """The conversation that the model was shown, as OpenAI chat messages without what belongs to one model alone."""
    functions: Sequence[Mapping[str, Any]] | None
    """The tools that it was offered, as OpenAI function definitions; None for none."""
    candidate: str
    """The id of the candidate that answered."""
    usage: Usage
    cost_usd: Decimal
    """What the call costs, whether it was paid now or its response was kept from an earlier execution."""


@dataclass(frozen=True)
class Execution:
    """What came of one task under one assignment."""

    task: str
    assignment: Assignment
    repeat: int
    """0, or the number of the repetition that shows whether a task is flaky; each has responses of its own."""
    passed: bool | None
    """Whether the task's own check accepts the result; None where infrastructure or the cap ended it (``cause``)."""
    steps: Sequence[ExecutedStep]
    cause: Cause | None = None
    detail: str | None = None
    spend_usd: Decimal = Decimal(0)
    """What was newly paid for it."""
    paid_calls: int = 0
    """How many calls were newly made; the others were answered from the response cache."""

    @property
    def cost_usd(self) -> Decimal:
        """What its calls cost."""
        return sum((step.cost_usd for step in self.steps), Decimal(0))


class BuildStoppedError(Exception):
    """A build was asked to stop, so an execution was not finished; the next sitting goes on with it."""


class TaskExecutor(Protocol):
    """Executes tasks; several at once from threads, as many as it was opened for."""

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        """The tasks that there are, in the order in which they are worked on."""
        ...

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """The candidates of each tier that are tried, by id, at most three, the cheapest first; empty for none."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What a label depends on, as JSON: task set, pool, models, scaffold, evaluators and their versions."""
        ...

    @property
    def spent_usd(self) -> Decimal:
        """What was paid so far, in earlier sittings too."""
        ...

    def worst_case_usd(self, task: str) -> Decimal:
        """The most that one execution of a task can cost."""
        ...

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        """Execute a task; what was begun and not finished goes on, and nothing that was paid is paid again.

        Args:
            task: its id.
            assignment: who answers.
            repeat: which repetition; responses are shared by all executions of the same repeat.

        Raises:
            BuildStoppedError: it was asked to stop; what was paid is recorded.
            OSError: what it does cannot be recorded.
        """
        ...


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is opened with, beside its own settings."""

    directory: Path
    """A folder of its own in the build's directory, for its journal and caches; it may hold an earlier sitting's."""
    cap_usd: Decimal | None
    """The most that may be paid, over all sittings; None for no cap."""
    workers: int = 1
    """Executions at once."""
    is_stopping: Callable[[], bool] = lambda: False
    """Says whether nothing new is to be begun; asked before each call."""
    progress: Progress = no_progress


class ExecutorFactory(Protocol):
    """Opens an executor; registered as an entry point of the group ``twinbench.executors``, or named by path."""

    def __call__(self, settings: Mapping[str, Any], context: ExecutorContext) -> AbstractContextManager[TaskExecutor]:
        """Open the executor that ``[executor]`` of a build's configuration describes.

        Args:
            settings: the table ``[executor]`` without ``kind``; checked by the executor.
            context: where it works, and within what.

        Raises:
            UsageError: a setting is unknown or wrong; its message names the key.
        """
        ...
