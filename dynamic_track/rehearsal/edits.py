"""What simulated models may do to the project of a task: the edits that the task declares, each with its effect."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dynamic_track.tasks.task import EDITS_FILE, Task
from twinbench.errors import ContentError, Problem
from twinbench.fingerprint import fingerprint
from twinbench.reading.validation import describe_validation_error, field_path


class EditKind(StrEnum):
    """The effect of an edit on the project."""

    right = "right"
    """All tests pass, the hidden ones too."""
    partial = "partial"
    """The issue's own example and the project's tests pass, hidden tests do not."""
    wrong = "wrong"
    """The issue's own example still fails; the project's tests pass."""
    breaking = "breaking"
    """Tests of the project that passed before fail."""


class Subject(StrEnum):
    """What kind of code a task is about, as its issue shows: models are not equally good at every kind."""

    text = "text"
    """Reading and writing text: parsers, formats, templates, merges."""
    numbers = "numbers"
    """Money, units, dates, intervals, geometry."""
    state = "state"
    """State that changes over time: caches, histories, schedules, stocks, permissions, shared objects."""


_Lines = Annotated[str, Field(pattern=r"\n$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(_Model):
    """Lines of a file, and the lines that replace them."""

    file: Annotated[str, Field(pattern=r"^[\w./-]+$")]
    old: _Lines
    """Must occur exactly once in the file."""
    new: str


class Edit(_Model):
    """An edit that a model may make in the unchanged project."""

    kind: EditKind
    says: Annotated[str, Field(min_length=1)]
    """What the model writes in its answer when it makes the edit."""
    changes: Annotated[tuple[Change, ...], Field(min_length=1)]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the edit changes, each once."""
        return tuple(dict.fromkeys(change.file for change in self.changes))

    @cached_property
    def name(self) -> str:
        """A name that distinguishes the edit from the other edits of its task, and does not give away its kind."""
        return fingerprint([change.model_dump() for change in self.changes])[:12]


class TaskEdits(_Model):
    """The edits that a task declares, with its subject and its symptom."""

    subject: Subject = Subject.text
    symptom: _Lines
    """A command that fails as long as the issue's own example fails."""
    edits: Annotated[tuple[Edit, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_unique_edits(self) -> TaskEdits:
        names = [edit.name for edit in self.edits]
        if len(set(names)) < len(names):
            raise ValueError("contains two edits that make the same changes")
        return self

    def edits_of_kind(self, kind: EditKind) -> tuple[Edit, ...]:
        """Return the edits of a kind."""
        return tuple(edit for edit in self.edits if edit.kind is kind)

    @property
    def faulty_files(self) -> tuple[str, ...]:
        """The files with the fault: those that the right edits change."""
        return tuple(dict.fromkeys(file for edit in self.edits_of_kind(EditKind.right) for file in edit.files))


def read_edits(folder: Path) -> TaskEdits:
    """Read the edits that a task's folder declares.

    Raises:
        ContentError: there is no file of edits, or something is wrong with it; every problem is named.
    """
    path = folder / EDITS_FILE
    try:
        content: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
        found = TaskEdits.model_validate(content)
    except FileNotFoundError:
        what = "is missing; without it, no simulated model can make an edit"
        raise ContentError([Problem(str(path), None, None, what)]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None
    except ValidationError as error:
        found_wrong = error.errors(include_url=False)
        problems = [
            Problem(str(path), None, field_path(each["loc"]) or None, describe_validation_error(each))
            for each in found_wrong
        ]
        raise ContentError(problems) from None
    if problems := list(_find_misplaced_changes(path, found)):
        raise ContentError(problems)
    return found


def has_edits(task: Task) -> bool:
    """Return whether a task declares edits."""
    return task.folder is not None and (task.folder / EDITS_FILE).is_file()


def read_task_edits(task: Task) -> TaskEdits:
    """Read the edits that a task declares.

    Raises:
        ContentError: the task declares no edits, or something is wrong with them.
    """
    if task.folder is None:
        what = "does not come from a task repo, so it declares no edits for simulated models"
        raise ContentError([Problem(task.id, None, None, what)])
    return read_edits(task.folder)


def _find_misplaced_changes(path: Path, found: TaskEdits) -> list[Problem]:
    """Find changes whose file does not exist, or whose old lines do not occur exactly once in it."""
    problems = []
    for index, edit in enumerate(found.edits):
        for place, change in enumerate(edit.changes):
            field = f"edits[{index}].changes[{place}]"
            file = path.parent / "source" / change.file
            try:
                times = file.read_text("utf-8").count(change.old)
            except OSError:
                what = f"{change.file} is not a file of the project"
                problems.append(Problem(str(path), None, f"{field}.file", what))
                continue
            if times != 1:
                what = f"occurs {times} times in {change.file}; it must occur once"
                problems.append(Problem(str(path), None, f"{field}.old", what))
    return problems
