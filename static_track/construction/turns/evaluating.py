"""Checks of answers: their interface, what they may use, and how they are found by name.

A check is made with the fields that a task gives it, and decides from the answers so far whether the task is passed,
failed, or continues. It keeps no state: the same answers always get the same evaluation.
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

ENTRY_POINTS = "twinbench.evaluators"
"""The entry point group of checks."""


@dataclass(frozen=True)
class Answer:
    """A model's answer in one step."""

    text: str
    tool_calls: Sequence[ToolCall] = ()


@dataclass(frozen=True)
class Evaluation:
    """What a check concludes from a model's answers so far: passed, failed, or that the task continues."""

    passed: bool | None
    """Whether the task is passed; None: it continues, with ``reply`` as the next message to the model."""
    reason: str = ""
    """Why the task is not passed."""
    reply: str = ""


PASSED = Evaluation(passed=True)


def fail(reason: str) -> Evaluation:
    """Make the evaluation of a failed task."""
    return Evaluation(passed=False, reason=reason)


def continue_with(reply: str) -> Evaluation:
    """Make the evaluation of a task that continues with a reply."""
    return Evaluation(passed=None, reply=reply)


@dataclass(frozen=True)
class ProgramResult:
    """The result of a program that ran in a container."""

    output: str
    """Standard output and error, interleaved."""
    exit_code: int | None
    """The exit code; None if the program did not exit by itself."""
    timed_out: bool = False


class CheckContext(Protocol):
    """What a check may use besides the answers."""

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The task's messages, before the first answer."""
        ...

    def run_program(self, files: Mapping[str, str], command: str, timeout_s: float) -> ProgramResult:
        """Run a command in a container without network.

        Args:
            files: content by name, put into the command's working directory.
            command: a bash command.
            timeout_s: the time limit.

        Raises:
            CausedError: there is no engine or image, or the container was stopped from outside.
        """
        ...

    def ask_judge(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str:
        """Ask the LLM judge that the configuration names; the call is billed to the build.

        Args:
            messages: the messages to send.
            schema: JSON schema of the answer.

        Raises:
            CausedError: every attempt failed, or the spending cap is reached.
        """
        ...


class AnswerCheck(Protocol):
    """Checks the answers to one task."""

    @property
    def version(self) -> int:
        """Version of the check's rules, on which labels depend."""
        ...

    @property
    def needs_containers(self) -> bool:
        """Whether the check runs programs."""
        ...

    @property
    def needs_judge(self) -> bool:
        """Whether the check asks an LLM judge."""
        ...

    @property
    def max_steps(self) -> int:
        """The number of answers after which the check always decides that the task is passed or failed."""
        ...

    @property
    def max_reply_characters(self) -> int:
        """Largest number of characters of a reply, for cost estimates."""
        ...

    def evaluate(self, answers: Sequence[Answer], tools: CheckContext) -> Evaluation:
        """Decide whether a task is passed, failed or continues.

        Args:
            answers: all answers of this execution so far, the newest last.
            tools: the tools that the check may use.

        Raises:
            CausedError: an infrastructure problem prevented the decision.
        """
        ...


class Check(BaseModel):
    """Base class of the built-in checks: their fields are those of a task's ``check``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: ClassVar[int] = 1
    needs_containers: ClassVar[bool] = False
    needs_judge: ClassVar[bool] = False

    @property
    def max_steps(self) -> int:
        """One answer is enough."""
        return 1

    @property
    def max_reply_characters(self) -> int:
        """There are no replies."""
        return 0


@dataclass(frozen=True)
class CheckKind:
    """A kind of check: how to make one, and what its verdicts depend on."""

    kind: str
    """The kind's name in tasks."""
    open: Callable[..., AnswerCheck]
    """Makes a check from the fields of a task's ``check`` except ``kind``; raises ValueError or TypeError for wrong
    ones.
    """

    def identity(self, evaluator: AnswerCheck) -> dict[str, Any]:
        """Return what a check's verdicts depend on: its version, and for user checks the source too."""
        found: dict[str, Any] = {"version": evaluator.version}
        if ":" in self.kind:
            file = inspect.getsourcefile(self.open)
            found["sha256"] = None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return found


def find_check_kind(kind: str) -> CheckKind:
    """Find a kind of check.

    Args:
        kind: the name of an entry point, ``package.module:attribute``, or ``path/to/file.py:attribute``.

    Raises:
        UsageError: the kind is not found.
    """
    return CheckKind(kind, find_factory(ENTRY_POINTS, kind))
