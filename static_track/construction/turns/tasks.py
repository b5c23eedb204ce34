"""The tasks of the executor ``single-turn``: a file of rows, each a conversation to answer and a check of the answer.

A row has ``id``, ``workload``, ``group``, ``messages``, ``check`` and possibly ``functions``, ``response_format`` and
``max_tokens``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from static_track.construction.turns.evaluating import AnswerCheck, CheckKind, find_check_kind
from static_track.construction.turns.schemas import Schema
from twinbench.construction.execution import ConstructionTask
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.rows import MAX_PROBLEMS, SUFFIXES, file_rows, require_file, row_unit
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.text.messages import find_message_problems

_NO_NAMES = (".", "..")


def _task_id(value: str) -> str:
    if value in _NO_NAMES or any(character in value for character in "/\\\0"):
        raise ValueError("cannot be a task's id: it must not be a path")
    return value


def _messages(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for number, message in enumerate(value):
        for path, what in find_message_problems(message):
            raise ValueError(f"message {number}{path} {what}")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class CheckFields(BaseModel):
    """How an answer is checked: the kind of check, and its fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Name

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the check, without its kind."""
        return dict(self.model_extra or {})


class TaskRow(BaseModel):
    """A row of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[Name, AfterValidator(_task_id)]
    workload: Name
    """The ``benchmark`` of its rows in a bank."""
    group: Name
    """A name shared by tasks that are not independent, such as the template they were made from."""
    messages: Annotated[list[dict[str, Any]], Field(min_length=1), AfterValidator(_messages)]
    """OpenAI chat messages, the last of which is to be answered."""
    functions: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    """The tools that the model is offered, as OpenAI function definitions."""
    response_format: Schema | None = None
    """JSON schema that the provider is to enforce; None for free text."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    """``max_tokens`` of an answer; None for the candidate's own."""
    check: CheckFields


@dataclass(frozen=True)
class TurnTask:
    """A task with its check."""

    row: TaskRow
    evaluator: AnswerCheck

    @property
    def task(self) -> ConstructionTask:
        """The task as the search sees it."""
        return ConstructionTask(self.row.id, self.row.workload, self.row.group)

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools in the form of a request."""
        return [{"type": "function", "function": each} for each in self.row.functions or ()]


@dataclass(frozen=True)
class TurnTasks:
    """The tasks of a file."""

    tasks: Sequence[TurnTask]
    fingerprint: str
    """Fingerprint of the file's content."""
    evaluators: Mapping[str, Any]
    """What verdicts depend on besides the tasks, by kind of check."""


def read_tasks(path: Path) -> TurnTasks:
    """Read and validate a whole file of tasks, so that nothing is spent on tasks that cannot be checked.

    Raises:
        UsageError: the file does not exist.
        ContentError: the file is invalid; every problem is named, up to a limit.
    """
    require_file(path, SUFFIXES)
    found: list[TurnTask] = []
    problems: list[Problem] = []
    kinds: dict[str, CheckKind] = {}
    ids: set[str] = set()
    for each in _read_rows(path, kinds, ids):
        if isinstance(each, Problem):
            problems.append(each)
        else:
            found.append(each)
        if len(problems) >= MAX_PROBLEMS:
            break
    if not found and not problems:
        problems = [Problem(str(path), None, None, "has no tasks")]
    if problems:
        raise ContentError(problems)
    evaluators = {each.row.check.kind: kinds[each.row.check.kind].identity(each.evaluator) for each in found}
    content = [each.row.model_dump(mode="json", exclude_unset=True) for each in found]
    return TurnTasks(found, fingerprint(content), evaluators)


def _read_rows(path: Path, kinds: dict[str, CheckKind], ids: set[str]) -> Iterator[TurnTask | Problem]:
    unit = row_unit(path)
    for each in file_rows(path, json_columns=("messages", "functions", "response_format", "check")):
        if isinstance(each, Problem):
            yield each
            continue
        try:
            row = TaskRow.model_validate(each.row)
        except ValidationError as error:
            yield from _problems(error, path, each.number, unit)
            continue
        if row.id in ids:
            yield Problem(str(path), each.number, "id", f"{row.id!r:.80} is in the file twice", unit)
            continue
        ids.add(row.id)
        try:
            if row.check.kind not in kinds:
                kinds[row.check.kind] = find_check_kind(row.check.kind)
            evaluator = kinds[row.check.kind].open(**row.check.fields)
        except UsageError as error:
            yield Problem(str(path), each.number, "check.kind", str(error), unit)
        except ValidationError as error:
            yield from _problems(error, path, each.number, unit, "check")
        except (TypeError, ValueError) as error:
            yield Problem(str(path), each.number, "check", str(error), unit)
        else:
            yield TurnTask(row, evaluator)


def _problems(error: ValidationError, path: Path, number: int | None, unit: str, *within: str) -> Iterator[Problem]:
    for details in error.errors(include_url=False):
        yield Problem(
            str(path), number, field_path((*within, *details["loc"])) or None, describe_validation_error(details), unit
        )
