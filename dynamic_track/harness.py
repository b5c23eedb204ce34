"""The parts of SWE-bench's own code that grading needs; the only module that imports ``swebench``.

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
    """swebench cannot be imported; without it no task can be read or graded."""


class GradedTask(Protocol):
    """The parts of a task that grading reads."""

    @property
    def id(self) -> str:
        """The instance id."""

    def to_row(self) -> dict[str, Any]:
        """Return the task as a row of SWE-bench."""


class GradingSpec(Protocol):
    """The parts of swebench's ``TestSpec`` that twinbench uses."""

    @property
    def eval_script(self) -> str:
        """The script to run; unlike a row's own script, it records the exit code of the test command."""


@dataclass(frozen=True)
class Report:
    """swebench's report on the output of an eval script."""

    resolved: bool
    tests: Mapping[str, Mapping[str, list[str]]] | None
    """FAIL_TO_PASS and PASS_TO_PASS, each with its tests by ``success`` and ``failure``; None if the output contains
    nothing that swebench accepts as results."""
    hint: str | None
    """The reason and tier of a likely fault of the environment; advisory (dynamic.md, "Resolution")."""


def version() -> str:
    """Return the installed version of swebench.

    Raises:
        HarnessMissingError: swebench is not installed.
    """
    try:
        return importlib.metadata.version("swebench")
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing_error(error) from None


@cache
def log_parsers() -> frozenset[str]:
    """Return the names that a row's ``log_parser`` may have."""
    with _importing():
        from swebench.harness.log_parsers import PARSER_REGISTRY  # type: ignore[import-untyped]
    return frozenset(PARSER_REGISTRY)


@cache
def eval_types() -> frozenset[str]:
    """Return the values that a row's ``eval_type`` may have."""
    with _importing():
        from swebench.harness.constants import EvalType  # type: ignore[import-untyped]
    return frozenset(each.value for each in EvalType)


def grading_spec(task: GradedTask) -> GradingSpec:
    """Return swebench's ``TestSpec`` of a task; needs no network."""
    with _importing():
        from swebench.harness.utils import make_test_spec  # type: ignore[import-untyped]
    spec: GradingSpec = make_test_spec(task.to_row())
    return spec


def eval_script(task: GradedTask) -> str:
    """Return the script that runs a task's tests and records their exit code: always use this one, never the row's
    own.
    """
    return grading_spec(task).eval_script


def apply_commands() -> tuple[str, ...]:
    """Return the commands with which swebench applies a patch, in the order in which it tries them; the path of the
    patch file is appended to each.
    """
    with _importing():
        from swebench.harness.run_evaluation import GIT_APPLY_CMDS  # type: ignore[import-untyped]
    return tuple(GIT_APPLY_CMDS)


def report(task: GradedTask, log: Path) -> Report:
    """Return swebench's report on the output of a task's eval script, for a patch that was applied."""
    with _importing():
        from swebench.harness.grading import get_eval_report  # type: ignore[import-untyped]
        from swebench.harness.infra_failure import classify_logs  # type: ignore[import-untyped]
    # Its grading does not read the patch, it only checks whether there is one.
    prediction = {"instance_id": task.id, "model_name_or_path": "twinbench", "model_patch": ""}
    found = get_eval_report(grading_spec(task), prediction, str(log), include_tests_status=True)[task.id]
    statuses = found.get("tests_status")
    tests = None if statuses is None else {name: statuses[name] for name in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    classified: tuple[str, str] | None = classify_logs(log)
    return Report(found["resolved"], tests, None if classified is None else f"{classified[0]} ({classified[1]})")


def task_repo_files() -> dict[str, str]:
    """Return which file of a task folder contains which field of the row; other fields are in ``task.yaml``."""
    with _importing():
        from swebench.task.repo import AS_FILE, TEST_KEYS, TESTS_FILE  # type: ignore[import-untyped]
    return {**AS_FILE, **dict.fromkeys(TEST_KEYS, TESTS_FILE)}


def load_yaml(path: Path) -> Any:
    """Load a YAML file in the same way as swebench.

    Raises:
        ValueError: it is not YAML; the message names the line.
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
    """Return the row of a task folder; its files must exist and be well-formed."""
    with _importing():
        from swebench.task.repo import load_task as load
    row: dict[str, Any] = load(folder)
    return row


@contextmanager
def _importing() -> Iterator[None]:
    # Else swebench, and what it imports, reads the first .env file above site-packages.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        yield
    except ImportError as error:
        raise _missing_error(error) from None


def _missing_error(error: ImportError) -> HarnessMissingError:
    reason = "is not installed" if error.name == "swebench" else f"cannot be imported ({error})"
    return HarnessMissingError(f"swebench {reason}: the live track needs it; pip install 'twinbench[dynamic]'")
