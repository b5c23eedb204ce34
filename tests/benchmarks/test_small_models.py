"""The tasks of the bank small-models: what they are drawn from, and that each check tells right from wrong."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.small_models.making import TEMPLATES, all_tasks, write_tasks
from benchmarks.small_models.templates import EASY, HARD, MIDDLE, MadeTask
from static_track.construction.turns.evaluating import Answer, CheckContext, Evaluation, ProgramResult
from static_track.construction.turns.programs import Programs
from static_track.construction.turns.tasks import TurnTask, read_tasks
from twinbench.containers.engine import Engine


class Here:
    """Programs of our own templates are run in this process, which takes a thousandth of what a container takes."""

    messages: Sequence[Mapping[str, Any]] = ()

    def run_program(self, files: Mapping[str, str], _command: str, _timeout_s: float) -> ProgramResult:
        said = io.StringIO()
        modules = {Path(name).stem: types.ModuleType(Path(name).stem) for name in files}
        before = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        try:
            with contextlib.redirect_stdout(said):
                for name, text in files.items():  # the test is the last
                    exec(compile(text, name, "exec"), vars(modules[Path(name).stem]))  # noqa: S102
        except Exception as error:  # noqa: BLE001 - a test that fails raises whatever it raises
            return ProgramResult(said.getvalue() + traceback.format_exception_only(error)[-1], 1)
        finally:
            for name, module in before.items():
                del sys.modules[name]
                if module is not None:
                    sys.modules[name] = module
        return ProgramResult(said.getvalue(), 0)

    def ask_judge(self, _messages: Sequence[Mapping[str, Any]], _schema: Mapping[str, Any]) -> str:
        raise AssertionError("no task of this bank is judged")


class Contained(Here):
    """Programs run where a build runs them."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def run_program(self, files: Mapping[str, str], command: str, timeout_s: float) -> ProgramResult:
        return self._programs.run(files, command, timeout_s, task="a")


def last_evaluation(task: TurnTask, answers: Sequence[str], tools: CheckContext) -> Evaluation:
    found = Evaluation(passed=None)
    for number in range(1, len(answers) + 1):
        found = task.evaluator.evaluate([Answer(text) for text in answers[:number]], tools)
        assert (found.passed is None) == (number < len(answers))
    return found


@pytest.fixture(scope="module")
def made() -> list[MadeTask]:
    return all_tasks()


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> list[TurnTask]:
    path = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    write_tasks(path)
    return list(read_tasks(path).tasks)


def test_there_are_as_many_templates_and_tasks_as_the_bank_needs(made: Sequence[MadeTask]) -> None:
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES)
    single = [each for each in made if each.row["workload"] != "repairs"]
    assert len({each.row["group"] for each in single}) >= 100
    assert 350 <= len(single) <= 450
    levels = Counter(each.level for each in single)
    assert set(levels) == {EASY, MIDDLE, HARD}
    assert min(levels.values()) > 0.25 * len(single)
    assert len({each.row["group"] for each in made if each.row["workload"] == "repairs"}) >= 20
    assert len({str(each.row["messages"]) for each in made}) >= 0.97 * len(made)


def test_tasks_follow_from_the_seed_alone(made: Sequence[MadeTask]) -> None:
    assert [each.row for each in all_tasks()] == [each.row for each in made]
    assert [each.row for each in all_tasks(seed=2)] != [each.row for each in made]


def test_each_check_passes_the_reference_and_fails_a_wrong_answer(
    made: Sequence[MadeTask], read: Sequence[TurnTask]
) -> None:
    for each, task in zip(made, read, strict=True):
        right, wrong = (last_evaluation(task, answers, Here()) for answers in (each.reference, each.wrong))
        assert (right.passed, wrong.passed) == (True, False), (task.row.id, right.reason)


@pytest.mark.acceptance
def test_each_check_that_runs_programs_does_so_in_a_container_too(
    engine: Engine, base_image: str, made: Sequence[MadeTask], read: Sequence[TurnTask]
) -> None:
    tools = Contained(Programs(engine, lambda: None))
    for each, task in zip(made, read, strict=True):
        if task.evaluator.needs_containers and each.row["id"].endswith("-1"):
            right, wrong = (last_evaluation(task, answers, tools) for answers in (each.reference, each.wrong))
            assert (right.passed, wrong.passed) == (True, False), (task.row.id, right.reason)
