"""SWE-bench's own code, as much of it as grading needs; the only module that imports ``swebench``.

It is imported inside functions: any part of ``swebench.harness`` takes seconds, since it loads modal, datasets and
pandas.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from twinbench.errors import TwinbenchError

START_MARKER = ">>>>> Start Test Output"
END_MARKER = ">>>>> End Test Output"


class HarnessMissingError(TwinbenchError):
    """swebench cannot be imported, and without it no task is read or graded."""


class GradedTask(Protocol):
    """What grading reads of a task."""

    @property
    def id(self) -> str:
        """The instance id."""

    def row(self) -> dict[str, Any]:
        """The task as a row of SWE-bench."""


class GradingSpec(Protocol):
    """What twinbench uses of swebench's ``TestSpec``."""

    @property
    def eval_script(self) -> str:
        """The script to run; other than a row's own, it records the exit code of the test command."""


@dataclass(frozen=True)
class Report:
    """What swebench says of the output of an eval script."""

    resolved: bool
    tests: Mapping[str, Mapping[str, list[str]]] | None
    """FAIL_TO_PASS and PASS_TO_PASS, each with its tests by ``success`` and ``failure``; None where the output holds
    nothing that swebench accepts as results."""
    hint: str | None
    """The reason and tier of a likely fault of the environment; advisory (dynamic.md, "Resolution")."""


def version() -> str:
    """The version of swebench that is installed.

    Raises:
        HarnessMissingError: none is.
    """
    try:
        return importlib.metadata.version("swebench")
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing(error) from None


@cache
def log_parsers() -> frozenset[str]:
    """The names that a row's ``log_parser`` may have."""
    with _importing():
        from swebench.harness.log_parsers import PARSER_REGISTRY  # type: ignore[import-untyped]
    return frozenset(PARSER_REGISTRY)


@cache
def eval_types() -> frozenset[str]:
    """The values that a row's ``eval_type`` may have."""
    with _importing():
        from swebench.harness.constants import EvalType  # type: ignore[import-untyped]
    return frozenset(each.value for each in EvalType)


def grading_spec(task: GradedTask) -> GradingSpec:
    """The ``TestSpec`` that swebench makes of a task; needs no network."""
    with _importing():
        from swebench.harness.utils import make_test_spec  # type: ignore[import-untyped]
    spec: GradingSpec = make_test_spec(task.row())
    return spec


def eval_script(task: GradedTask) -> str:
    """The script that runs a task's tests and records their exit code: always this one, never the row's own."""
    return grading_spec(task).eval_script


def apply_commands() -> tuple[str, ...]:
    """The commands that swebench applies a patch with, in the order it tries them; the path of a file follows each."""
    with _importing():
        from swebench.harness.run_evaluation import GIT_APPLY_CMDS  # type: ignore[import-untyped]
    return tuple(GIT_APPLY_CMDS)


def report(task: GradedTask, log: Path) -> Report:
    """What swebench makes of the output of a task's eval script, for a patch that was applied."""
    with _importing():
        from swebench.harness.grading import get_eval_report  # type: ignore[import-untyped]
        from swebench.harness.infra_failure import classify_logs  # type: ignore[import-untyped]
    # Its grading reads no patch, it only asks whether there is one.
    prediction = {"instance_id": task.id, "model_name_or_path": "twinbench", "model_patch": ""}
    found = get_eval_report(grading_spec(task), prediction, str(log), include_tests_status=True)[task.id]
    statuses = found.get("tests_status")
    tests = None if statuses is None else {name: statuses[name] for name in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    classified: tuple[str, str] | None = classify_logs(log)
    return Report(found["resolved"], tests, None if classified is None else f"{classified[0]} ({classified[1]})")


def task_repo_files() -> dict[str, str]:
    """Which file of a task folder holds which field of the row; fields that are not named are in ``task.yaml``."""
    with _importing():
        from swebench.task.repo import AS_FILE, TEST_KEYS, TESTS_FILE  # type: ignore[import-untyped]
    return {**AS_FILE, **dict.fromkeys(TEST_KEYS, TESTS_FILE)}


def load_yaml(path: Path) -> Any:
    """A YAML file as swebench reads it.

    Raises:
        ValueError: it is not YAML, worded with its line.
    """
    with _importing():
        from swebench.task.repo import load_yaml as load
        from yaml import YAMLError
    try:
        return load(path)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(what if mark is None else f"{what} at line {mark.line + 1}") from None


def load_task(folder: Path) -> dict[str, Any]:
    """The row that a folder of a task repo stands for; its files must be there and well formed."""
    with _importing():
        from swebench.task.repo import load_task as load
    row: dict[str, Any] = load(folder)
    return row


@contextmanager
def _importing() -> Iterator[None]:
    # Else swebench, and what it imports, reads the first .env file that lies above site-packages.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        yield
    except ImportError as error:
        raise _missing(error) from None


def _missing(error: ImportError) -> HarnessMissingError:
    reason = "is not installed" if error.name == "swebench" else f"cannot be imported ({error})"
    return HarnessMissingError(f"swebench {reason}: the live track needs it; pip install 'twinbench[dynamic]'")
