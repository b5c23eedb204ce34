"""What a check of an answer is, what it may use, and how it is found by name.

A check is opened with the fields that a task gives it, and says of the answers so far whether the task is passed, is
failed or goes on. It keeps nothing in between: the same answers always get the same evaluation.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from twinbench.calls.completion import ToolCall
from twinbench.construction.finding import find_factory

EVALUATORS = "twinbench.evaluators"
"""The group of entry points that open checks."""


@dataclass(frozen=True)
class Answer:
    """What a model answered in one step."""

    text: str
    tool_calls: Sequence[ToolCall] = ()


@dataclass(frozen=True)
class Evaluation:
    """What a check says of the answers so far."""

    passed: bool | None
    """None: the task goes on, with ``reply`` as the next message to the model."""
    reason: str = ""
    """Why it is not passed, in words."""
    reply: str = ""


PASSED = Evaluation(passed=True)


def failed(reason: str) -> Evaluation:
    """Say that the task is failed, and why."""
    return Evaluation(passed=False, reason=reason)


def goes_on(reply: str) -> Evaluation:
    """Say that the task goes on, and what the model is told."""
    return Evaluation(passed=None, reply=reply)


@dataclass(frozen=True)
class ProgramResult:
    """What a program did in its container."""

    output: str
    """What it wrote, standard output and error as they came."""
    exit_code: int | None
    """None where it did not exit by itself."""
    timed_out: bool = False


class Tools(Protocol):
    """What a check may use beside the answers."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The task's own messages, which the first answer is to."""
        ...

    def run_program(self, files: Mapping[str, str], command: str, timeout_s: float) -> ProgramResult:
        """Run a command in a container that has no network and these files.

        Args:
            files: content by name; all lie in the folder in which the command runs.
            command: for bash.
            timeout_s: how long it may take.

        Raises:
            CausedError: there is no engine or image, or the container was ended from outside.
        """
        ...

    def ask_judge(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str:
        """Ask the judge that the configuration names, at the expense of the build.

        Args:
            messages: what it is shown.
            schema: JSON schema of its answer.

        Raises:
            CausedError: no attempt brought an answer, or the cap leaves no room for one.
        """
        ...


class Evaluator(Protocol):
    """Checks the answers to one task."""

    @property
    def version(self) -> int:
        """Of its rules: part of what a label depends on."""
        ...

    @property
    def needs_containers(self) -> bool:
        """Whether it runs programs."""
        ...

    @property
    def needs_judge(self) -> bool:
        """Whether it asks a judge."""
        ...

    @property
    def most_steps(self) -> int:
        """After so many answers it is sure to say that the task is passed or failed."""
        ...

    @property
    def longest_reply(self) -> int:
        """Characters of a reply at most, for the estimate of what a task can cost."""
        ...

    def evaluate(self, answers: Sequence[Answer], tools: Tools) -> Evaluation:
        """Say whether a task is passed, failed or goes on.

        Args:
            answers: all of this execution so far, the newest last.
            tools: what it may use.

        Raises:
            CausedError: infrastructure kept it from saying so.
        """
        ...


class Check(BaseModel):
    """What checks that come with twinbench have in common: their fields are those of a task's ``check``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: ClassVar[int] = 1
    needs_containers: ClassVar[bool] = False
    needs_judge: ClassVar[bool] = False

    @property
    def most_steps(self) -> int:
        """One answer is all that it needs."""
        return 1

    @property
    def longest_reply(self) -> int:
        """It never replies."""
        return 0


@dataclass(frozen=True)
class FoundEvaluator:
    """What opens a check, and what its verdicts depend on."""

    kind: str
    """As tasks name it."""
    open: Callable[..., Evaluator]
    """Called with the fields of a task's ``check`` but ``kind``; raises ValueError or TypeError for wrong ones."""

    def identity(self, evaluator: Evaluator) -> dict[str, Any]:
        """What the verdicts of a check depend on: its version; of one's own, the source too."""
        found: dict[str, Any] = {"version": evaluator.version}
        if ":" in self.kind:
            file = inspect.getsourcefile(self.open)
            found["sha256"] = None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return found


def find_evaluator(kind: str) -> FoundEvaluator:
    """What opens the checks of a kind.

    Args:
        kind: the name of an entry point, ``package.module:attribute``, or ``path/to/file.py:attribute``.

    Raises:
        UsageError: nothing is found there.
    """
    return FoundEvaluator(kind, find_factory(EVALUATORS, kind))
