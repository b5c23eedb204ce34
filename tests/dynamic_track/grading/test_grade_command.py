"""`twinbench dynamic`, as a person or a script runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.tasks.task_rows import a_row, write_rows

CASE = "rehearsal__slotbook-17"


@pytest.fixture
def patch(tmp_path: Path, rehearsal: Sequence[Task]) -> Path:
    path = tmp_path / "gold.patch"
    path.write_text(next(task.gold_patch for task in rehearsal if task.id == CASE), newline="")
    return path


def test_one_patch_as_json_with_exit_code_0_whatever_the_verdict(tmp_path: Path, patch: Path) -> None:
    empty = tmp_path / "empty.patch"
    empty.write_text("")
    for path, resolved, cause in ((patch, True, None), (empty, False, "empty"), ("/dev/null", False, "empty")):
        result = twinbench("dynamic", "grade", "--patch", path, "--case", CASE, "--json", "--store", tmp_path)
        assert result.code == 0, result.err
        content = result.json
        assert (content["id"], content["resolved"], content["cause"]) == (CASE, resolved, cause)


def test_a_file_of_predictions_in_both_formats(tmp_path: Path, patch: Path) -> None:
    rows: list[dict[str, str | None]] = [
        {"instance_id": CASE, "model_name_or_path": "gold", "model_patch": patch.read_text()},
        {"instance_id": "rehearsal__tidecache-41", "model_name_or_path": "gold", "model_patch": None},
    ]
    lines = tmp_path / "predictions.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_id = tmp_path / "preds.json"
    by_id.write_text(json.dumps({str(row["instance_id"]): row for row in rows}))
    for path in (lines, by_id):
        result = twinbench("dynamic", "grade", "--predictions", path, "--json", "--store", tmp_path)
        assert result.code == 0, result.err
        content = result.json
        assert (content["cases"], content["resolved"], content["unresolved"], content["infra"]) == (2, 1, 1, 0)
        assert len(content["missing"]) == len(load_tasks("rehearsal").tasks) - 2
    table = twinbench("dynamic", "grade", "--predictions", lines, "--store", tmp_path, "--only", "*slotbook*")
    assert "1 case: 1 resolved, 0 unresolved, 0 infra" in table.text


def test_an_image_that_cannot_be_had_is_exit_code_1_and_no_verdict(tmp_path: Path, patch: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [a_row("lost__lost-1", image="127.0.0.1:9/lost/lost:1")])
    result = twinbench(
        *("dynamic", "grade", "--patch", patch, "--case", "lost__lost-1", "--tasks", rows),
        *("--json", "--store", tmp_path),
    )
    assert result.code == 1
    content = result.json
    assert (content["resolved"], content["cause"]) == (None, "image")
    assert "127.0.0.1:9" in content["detail"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--patch FILE with --case ID"),
        (("--patch", "x.patch"), "--patch FILE with --case ID"),
        (("--patch", "x.patch", "--case", CASE), "file x.patch does not exist"),
        (("--predictions", "x.jsonl"), "no file x.jsonl"),
        (("--predictions", "x.csv"), "no file x.csv"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: Sequence[str], said: str, tmp_path: Path) -> None:
    result = twinbench("dynamic", "grade", *arguments, "--store", tmp_path)
    assert result.code == 2
    assert said in result.err


def test_a_case_that_is_no_task_is_named_with_what_is_near(tmp_path: Path) -> None:
    patch = tmp_path / "x.patch"
    patch.write_text("")
    result = twinbench("dynamic", "grade", "--patch", patch, "--case", "rehearsal__slotbok-17", "--store", tmp_path)
    assert result.code == 2
    assert CASE in result.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"instance_id": "x"\n', "line 1"),
        ('{"instance_id": "a", "model_patch": ""}\n{"instance_id": "a", "model_patch": ""}\n', "appears twice"),
        ('{"model_patch": ""}\n', "field instance_id"),
        ('{"instance_id": "a"}\n', "field model_patch"),
        ('{"instance_id": "a", "model_patch": 3}\n', "field model_patch"),
        ('{"instance_id": "a", "model_patch": "\\ud800"}\n', "surrogate"),
        ("[]\n", "a JSON object"),
        ("", "no prediction"),
    ],
)
def test_malformed_predictions_are_named_by_line_and_field(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(text)
    result = twinbench("dynamic", "grade", "--predictions", path, "--store", tmp_path)
    assert result.code == 1
    assert said in result.err
    assert str(path) in result.err


def test_doctor_lists_how_tasks_grade_here(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    result = twinbench("dynamic", "doctor", "--tasks", "rehearsal", "--only", "*slotbook*", "--json")
    assert result.code == 0, result.err
    content = result.json
    assert {check["status"] for check in content["checks"]} == {"pass"}
    assert [check["subject"] for check in content["checks"] if check["name"] == "grades"] == [CASE]


@pytest.mark.acceptance
def test_doctor_names_tasks_that_do_not_grade(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    task = next(task for task in rehearsal if task.id == CASE)
    never = {**task.to_row(), "instance_id": "never", "FAIL_TO_PASS": ["tests/test_agenda.py::test_that_is_not_there"]}
    always = {**task.to_row(), "instance_id": "always", "FAIL_TO_PASS": list(task.pass_to_pass[:1])}
    rows = write_rows(tmp_path / "rows.jsonl", [task.to_row(), never, always])
    result = twinbench("dynamic", "doctor", "--tasks", rows, "--json")
    assert result.code == 1
    found = {check["subject"]: check for check in result.json["checks"] if check["name"] == "grades"}
    assert {task: check["status"] for task, check in found.items()} == {CASE: "pass", "never": "fail", "always": "fail"}
    assert "not graded as resolved" in found["never"]["reason"]
    assert "without any patch" in found["always"]["reason"]
    assert "never" in result.err
    assert "always" in result.err
