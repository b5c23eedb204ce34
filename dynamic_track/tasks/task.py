"""The definition of a task: a SWE-bench instance with everything that an agent starts from and a grader needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from dynamic_track import harness
from twinbench.display.wording import closest_words
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.validation import format_value, json_type_name


class GradingSetting(StrEnum):
    """How a task's tests are run (dynamic.md, "Resolution")."""

    closed = "closed"
    """Without network or added capabilities."""
    swebench = "swebench"
    """Like swebench itself, with a bridge network and SYS_ADMIN: for the few tasks whose gold patch needs it."""


NEWER_FIELDS = ("image", "eval_script", "log_parser", "eval_type")
"""The fields that rows of swebench 5 have and older ones lack."""

EDITS_FILE = "edits.toml"
"""The file with the edits that simulated models may make in the project of a task, including the right one."""

ANSWER_FILES = frozenset(
    {
        EDITS_FILE,
        "eval.sh",
        "gold.patch",
        "hints.md",
        "problem_assets",
        "problem_statement.md",
        "task.yaml",
        "test.patch",
        "test_assets",
        "tests.json",
    }
)
"""The files in a task's folder that its image must not contain, since an agent could read them there."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
_MAX_SUGGESTIONS = 5


@dataclass(frozen=True, slots=True)
class Task:
    """One task, as its row or folder defines it; complete, so that grading cannot find anything missing."""

    id: str
    repo: str
    version: str
    image: str
    eval_script: str
    """The script of the row. To run it, use ``harness.eval_script(task)``, which records the exit code of the test
    command.
    """
    log_parser: str
    eval_type: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    base_commit: str = ""
    problem_statement: str = ""
    """The problem that the agent is to solve; empty if the row has none, which is enough for grading but not for a run.
    """
    gold_patch: str = ""
    test_patch: str = ""
    grading_setting: GradingSetting = GradingSetting.closed
    folder: Path | None = None
    """The task's folder in a task repo, with its Dockerfile."""
    build_fingerprint: str | None = None
    """The fingerprint of the files in ``folder`` from which an image may be built."""
    always_built: bool = False
    """Whether its image is built without a request: true for our own tasks, which are in no registry."""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of everything about the task except its location."""
        return fingerprint({**self.to_row(), "grading_setting": self.grading_setting, "build": self.build_fingerprint})

    def to_row(self) -> dict[str, Any]:
        """Return the task as a row in SWE-bench's format."""
        return {
            "instance_id": self.id,
            "repo": self.repo,
            "version": self.version,
            "base_commit": self.base_commit,
            "problem_statement": self.problem_statement,
            "patch": self.gold_patch,
            "test_patch": self.test_patch,
            "image": self.image,
            "eval_script": self.eval_script,
            "log_parser": self.log_parser,
            "eval_type": self.eval_type,
            "FAIL_TO_PASS": list(self.fail_to_pass),
            "PASS_TO_PASS": list(self.pass_to_pass),
        }


class Fault(NamedTuple):
    """A problem of a row: its field (None for the row as a whole), and what is wrong."""

    field: str | None
    what: str


@dataclass(frozen=True)
class TaskSet:
    """Tasks in their order, and their source."""

    name: str
    source: str
    """A path, or ``dataset@commit`` of the Hugging Face hub."""
    tasks: tuple[Task, ...]

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the tasks' content: the same for equal tasks from another source or in another order."""
        return fingerprint(sorted(task.fingerprint for task in self.tasks))

    def task(self, task_id: str) -> Task:
        """Return the task with an id.

        Raises:
            UsageError: there is no such task; similar ids are named.
        """
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise UsageError(
            f"{self.name} has no task {task_id!r}; {suggest_ids(task_id, [each.id for each in self.tasks])}"
        )


def suggest_ids(wanted: str, ids: Sequence[str]) -> str:
    """Return the ids that are most similar to ``wanted``, as the end of a message; if none is similar, the first
    ids.
    """
    if near := closest_words(wanted.strip("*?"), ids, _MAX_SUGGESTIONS):
        return f"similar ids: {', '.join(near)}"
    more = f", … ({len(ids)} in all)" if len(ids) > _MAX_SUGGESTIONS else ""
    return f"the ids are {', '.join(ids[:_MAX_SUGGESTIONS])}{more}" if ids else "it is empty"


def read_task(row: Any, *, folder: Path | None = None, build_fingerprint: str | None = None) -> Task | list[Fault]:
    """Read the task of a row, or return everything that is wrong with it."""
    if not isinstance(row, Mapping):
        return [Fault(None, f"is {json_type_name(row)}; a task must be an object")]
    fields = _Fields(row)
    task = Task(
        id=fields.instance_id(),
        repo=fields.text("repo"),
        version=fields.text("version"),
        image=fields.image(),
        eval_script=fields.eval_script(),
        log_parser=fields.one_of("log_parser", harness.log_parsers),
        eval_type=fields.one_of("eval_type", harness.eval_types),
        fail_to_pass=fields.tests("FAIL_TO_PASS"),
        pass_to_pass=fields.tests("PASS_TO_PASS", may_be_empty=True),
        base_commit=fields.text("base_commit", needed=False),
        problem_statement=fields.text("problem_statement", needed=False),
        gold_patch=fields.text("patch", needed=False),
        test_patch=fields.text("test_patch", needed=False),
        grading_setting=fields.grading_setting(),
        folder=folder,
        build_fingerprint=build_fingerprint,
    )
    fields.check_no_assets()
    return fields.faults or task


class _Fields:
    """A row's fields, checked one by one; a wrong field is recorded and read as empty."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row
        self.faults: list[Fault] = []

    def text(self, field: str, *, needed: bool = True) -> str:
        value = self._row.get(field)
        if value is None or value == "":
            return self._add_problem(field, "is missing" if value is None else "is empty") if needed else ""
        if not isinstance(value, str):
            nested = isinstance(value, dict | list)
            return self._add_problem(
                field, f"is {json_type_name(value) if nested else format_value(value)}, but must be a string in quotes"
            )
        return value if self._encodable(field, value) else ""

    def instance_id(self) -> str:
        value = self.text("instance_id")
        if value and not _ID.fullmatch(value):
            # The id is the name of a directory of a run, and of a container.
            return self._add_problem(
                "instance_id",
                "must have at most 200 letters, digits, '_', '-', '.' and '+', and start with a letter or digit "
                f"(found {format_value(value)})",
            )
        return value

    def image(self) -> str:
        value = self.text("image")
        if any(character.isspace() for character in value):
            return self._add_problem("image", f"is not the name of an image (found {format_value(value)})")
        return value

    def eval_script(self) -> str:
        value = self.text("eval_script")
        if not value:
            return ""
        start, end = (
            [number for number, line in enumerate(value.split("\n")) if marker in line]
            for marker in (harness.START_MARKER, harness.END_MARKER)
        )
        for marker, lines in ((harness.START_MARKER, start), (harness.END_MARKER, end)):
            if len(lines) != 1:
                found = "no line" if not lines else f"{len(lines)} lines"
                self._add_problem(
                    "eval_script",
                    f"has {found} with '{marker}', but needs one: otherwise the exit code of the tests is not recorded",
                )
        if len(start) == len(end) == 1 and start > end:
            self._add_problem("eval_script", f"has '{harness.END_MARKER}' before '{harness.START_MARKER}'")
        return value

    def one_of(self, field: str, known: Callable[[], Iterable[str]]) -> str:
        value = self.text(field)
        if value and value not in (names := sorted(known())):
            near = closest_words(value, names, _MAX_SUGGESTIONS) or names
            return self._add_problem(
                field, f"swebench does not know {value!r}; similar: {', '.join(near[:_MAX_SUGGESTIONS])}"
            )
        return value

    def tests(self, field: str, *, may_be_empty: bool = False) -> tuple[str, ...]:
        value = self._row.get(field)
        if value is None:
            self._add_problem(field, "is missing")
            return ()
        value = _parse_json(value)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._add_problem(field, "is neither a list of test names nor such a list as JSON text")
            return ()
        if not value and not may_be_empty:
            self._add_problem(field, "is empty, so no test would show that the task is solved")
        return tuple(value) if all(self._encodable(field, each) for each in value) else ()

    def grading_setting(self) -> GradingSetting:
        value = self._row.get("grading_setting") or GradingSetting.closed
        try:
            return GradingSetting(value)
        except ValueError:
            self._add_problem(
                "grading_setting", f"must be one of {', '.join(GradingSetting)} (found {format_value(value)})"
            )
            return GradingSetting.closed

    def check_no_assets(self) -> None:
        assets = _parse_json(self._row.get("image_assets"))
        if any(assets.values()) if isinstance(assets, Mapping) else assets:
            self._add_problem("image_assets", "names files to add before grading, which twinbench does not support")

    def _encodable(self, field: str, value: str) -> bool:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            self._add_problem(
                field, f"has half a surrogate pair at character {error.start + 1}, which no file can hold"
            )
            return False
        return True

    def _add_problem(self, field: str, what: str) -> str:
        self.faults.append(Fault(field, what))
        return ""


def _parse_json(value: Any) -> Any:
    """Return the value of a column's JSON text; any other value unchanged."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
