"""Tasks: from the hub, from files and from task repos; what is refused, and how; what swebench makes of them."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynamic_track import harness
from dynamic_track.tasks.sources import HUB_DATASETS, load_tasks
from dynamic_track.tasks.task import GradingSetting, Task, TaskSet, read_task, suggest_ids
from tests.dynamic_track.tasks.task_rows import EVAL_SCRIPT, Row, a_row, verified_rows, write_repo, write_rows
from tests.examples import thinned
from tests.timing import HANG_S
from tests.twinbench.hub import COMMIT, Hub, dataset_hub
from twinbench.errors import ContentError, UsageError
from twinbench.reading.rows import SUFFIXES
from twinbench.storage.manifest_files import heldout_instances

VERIFIED = HUB_DATASETS["SWE-bench Verified"]


def a_task(instance_id: str = "acme__rocket-1", **fields: Any) -> Task:
    task = read_task(a_row(instance_id, **fields))
    assert isinstance(task, Task)
    return task


def refusal(tasks: str | Path, dataset: str | None = None) -> str:
    with pytest.raises(ContentError) as refused:
        load_tasks(str(tasks), dataset)
    return str(refused.value)


# What is read


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_rows_is_read_in_its_order_and_to_the_letter(tmp_path: Path, suffix: str) -> None:
    rows = [a_row("b__b-2", problem_statement="crlf\r\n\u2028 and 😀"), a_row("a__a-1"), a_row("c__c-3")]
    found = load_tasks(write_rows(tmp_path / f"tasks{suffix}", rows))

    assert [task.id for task in found.tasks] == ["b__b-2", "a__a-1", "c__c-3"]
    assert (found.name, found.source) == (f"tasks{suffix}", str(tmp_path / f"tasks{suffix}"))
    for task, row in zip(found.tasks, rows, strict=True):
        row.pop("hints_text")
        assert task.to_row() == row
        assert task.grading_setting is GradingSetting.closed
        assert task.folder is None


def test_lists_of_tests_may_be_json_texts(tmp_path: Path) -> None:
    as_text = a_row() | {"FAIL_TO_PASS": '["a", "b[\\"x\\"]"]', "PASS_TO_PASS": "[]"}
    (task,) = load_tasks(write_rows(tmp_path / "tasks.jsonl", [as_text])).tasks
    assert (task.fail_to_pass, task.pass_to_pass) == (("a", 'b["x"]'), ())


def test_a_task_repo_is_read_with_its_folders(tmp_path: Path) -> None:
    rows = [a_row("b__b-2", grading_setting="swebench"), a_row("a__a-1", problem_statement="crlf\r\n")]
    found = load_tasks(str(write_repo(tmp_path / "repo", rows)))

    assert [task.id for task in found.tasks] == ["a__a-1", "b__b-2"]
    assert [task.folder for task in found.tasks] == [tmp_path / "repo/tasks/a__a-1", tmp_path / "repo/tasks/b__b-2"]
    assert [task.grading_setting for task in found.tasks] == ["closed", "swebench"]
    assert found.tasks[0].problem_statement == "crlf\r\n"
    assert (found.name, found.source) == ("repo", str(tmp_path / "repo"))


def test_a_deprecated_task_of_a_repo_is_left_out(tmp_path: Path) -> None:
    rows = [a_row("a__a-1"), a_row("b__b-2", split="deprecated", FAIL_TO_PASS=[])]
    assert [task.id for task in load_tasks(str(write_repo(tmp_path, rows))).tasks] == ["a__a-1"]


def test_empty_columns_that_swebench_pads_rows_with_are_no_assets(tmp_path: Path) -> None:
    padded: list[Any] = ["", "{}", "null", {}, {"test_patch": [], "patch": []}, '{"test_patch": []}']
    rows = [a_row(f"a__a-{number}", image_assets=assets) for number, assets in enumerate(padded)]
    assert len(load_tasks(write_rows(tmp_path / "tasks.jsonl", rows)).tasks) == len(padded)


def test_a_row_that_can_be_graded_but_not_run_is_a_task(tmp_path: Path) -> None:
    bare = a_row(problem_statement=None, patch=None, test_patch=None, base_commit=None)
    (task,) = load_tasks(write_rows(tmp_path / "tasks.jsonl", [bare])).tasks
    assert (task.problem_statement, task.gold_patch, task.test_patch, task.base_commit) == ("", "", "", "")


def test_the_rehearsal_is_read_from_where_it_ships() -> None:
    found = load_tasks("rehearsal")
    assert (found.name, found.source) == ("rehearsal", "rehearsal")
    assert len(found.tasks) >= 6
    assert all(task.folder is not None and (task.folder / "Dockerfile").is_file() for task in found.tasks)
    assert all(task.problem_statement and task.gold_patch and task.test_patch for task in found.tasks)


def test_equal_tasks_have_an_equal_fingerprint_whatever_they_come_from(tmp_path: Path) -> None:
    as_lists = [a_row("a__a-1"), a_row("b__b-2", created_at="2026-01-01")]
    as_texts = [row | {name: json.dumps(row[name]) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")} for row in as_lists]
    sets = [
        load_tasks(write_rows(tmp_path / f"{number}{suffix}", rows))
        for suffix in SUFFIXES
        for number, rows in enumerate((as_lists, as_texts, as_lists[::-1]))
    ]
    assert len({each.fingerprint for each in sets}) == 1


@pytest.mark.parametrize(
    "field",
    ["repo", "version", "base_commit", "problem_statement", "patch", "test_patch", "image", "eval_script"],
)
def test_the_fingerprint_is_of_every_text(field: str) -> None:
    changed = str(a_row()[field]).replace("o", "0").replace("4", "5")
    assert a_task(**{field: changed}).fingerprint != a_task().fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        {"FAIL_TO_PASS": ["another"]},
        {"PASS_TO_PASS": []},
        {"log_parser": "parse_log_django"},
        {"eval_type": "fail_only"},
        {"grading_setting": "swebench"},
    ],
)
def test_the_fingerprint_is_of_how_a_task_is_graded(fields: Row) -> None:
    assert a_task(**fields).fingerprint != a_task().fingerprint


def test_the_fingerprint_is_of_what_an_image_is_built_from(tmp_path: Path) -> None:
    repo = write_repo(tmp_path, [a_row()])
    folder = repo / "tasks" / "acme__rocket-1"
    seen = [load_tasks(str(repo)).fingerprint]
    for path in ("Dockerfile", "source/rocket.py", "source/.hidden"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("changed", "utf-8")
        seen.append(load_tasks(str(repo)).fingerprint)
    assert len(set(seen)) == 4
    for path in ("hints.md", "source/__pycache__/rocket.pyc"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("changed", "utf-8")
        assert load_tasks(str(repo)).fingerprint == seen[-1]


def test_a_task_is_found_by_id_and_near_ids_are_named() -> None:
    found = TaskSet("some", "here", (a_task("acme__rocket-1"), a_task("acme__crane-2")))
    assert found.task("acme__crane-2") is found.tasks[1]
    with pytest.raises(UsageError, match="some has no task 'acme__rokcet-1'; similar ids: acme__rocket-1, "):
        found.task("acme__rokcet-1")
    assert suggest_ids("anything", []) == "it is empty"


# Named splits


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rows(tmp_path_factory.mktemp("verified") / "verified.parquet", verified_rows())


def test_verified_is_500_tasks_sorted_by_id(verified: str) -> None:
    found = load_tasks("verified", verified)
    ids = [task.id for task in found.tasks]
    assert len(ids) == 500
    assert ids == sorted(ids)
    assert (found.name, found.source) == ("verified", verified)


def test_heldout100_is_its_100_tasks(verified: str) -> None:
    found = load_tasks("heldout100", verified)
    assert [task.id for task in found.tasks] == sorted(heldout_instances())


def test_heldout100_needs_no_more_than_its_100_rows(tmp_path: Path) -> None:
    rows = [row for row in verified_rows() if row["instance_id"] in heldout_instances()]
    assert len(load_tasks("heldout100", write_rows(tmp_path / "rows.jsonl", rows)).tasks) == 100


def test_heldout100_names_what_is_missing(tmp_path: Path) -> None:
    gone = sorted(heldout_instances())[:2]
    rows = [row for row in verified_rows() if row["instance_id"] not in gone]
    said = refusal("heldout100", write_rows(tmp_path / "rows.jsonl", rows))
    assert said.endswith(f"rows.jsonl: lacks 2 of the 100 tasks of heldout100: {', '.join(gone)}")


def test_verified_counts(tmp_path: Path) -> None:
    said = refusal("verified", write_rows(tmp_path / "rows.jsonl", verified_rows()[1:]))
    assert said.endswith("rows.jsonl: has 499 tasks, verified has 500")


def test_the_real_500_load_and_their_eval_scripts_record_the_exit_code(shared: Path) -> None:
    file = str(shared / "tasks" / "swebench_verified.jsonl.gz")
    found = load_tasks("verified", file)
    assert len(found.tasks) == 500
    assert found.fingerprint == load_tasks(file).fingerprint
    for task in found.tasks:
        lines = harness.eval_script(task).split("\n")
        end = lines.index(f": '{harness.END_MARKER}'")
        assert lines[end - 1] == "SWEBENCH_TEST_EXIT_CODE=$?"
        assert lines[end + 1] == 'echo ">>>>> Test Exit Code: $SWEBENCH_TEST_EXIT_CODE"'
    assert [task.id for task in load_tasks("heldout100", file).tasks] == sorted(heldout_instances())


# What is refused


@pytest.mark.parametrize(
    "field",
    [
        "instance_id",
        "image",
        "eval_script",
        "log_parser",
        "eval_type",
        "repo",
        "version",
        "FAIL_TO_PASS",
        "PASS_TO_PASS",
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_missing_field_is_named_with_its_line(tmp_path: Path, field: str, suffix: str) -> None:
    path = write_rows(tmp_path / f"tasks{suffix}", [a_row("a__a-1"), a_row("b__b-2") | {field: None}])
    unit = "row" if suffix == ".parquet" else "line"
    assert refusal(path).split("\n")[0] == f"{path}, {unit} 2, field {field}: is missing"


def test_rows_for_an_older_swebench_get_a_hint(tmp_path: Path) -> None:
    old = a_row(image=None, eval_script=None, log_parser=None, eval_type=None)
    said = refusal(write_rows(tmp_path / "tasks.jsonl", [old])).split("\n")
    assert len(said) == 5
    assert said[-1] == (
        "rows made for swebench before version 5 lack image, eval_script, log_parser, eval_type; "
        "SWE-bench/SWE-bench_Verified on the hub has them"
    )


NO_TESTS = "is neither a list of test names nor such a list as JSON text"
WRONG: list[tuple[Row, str]] = [
    ({"version": 4.3}, "field version: is 4.3, but must be a string in quotes"),
    ({"repo": ["acme"]}, "field repo: is a list, but must be a string in quotes"),
    ({"repo": ""}, "field repo: is empty"),
    ({"problem_statement": 5}, "field problem_statement: is 5, but must be a string in quotes"),
    ({"patch": "half \ud800"}, "field patch: has half a surrogate pair at character 6, which no file can hold"),
    ({"image": "two words"}, "field image: is not the name of an image (found 'two words')"),
    (
        {"log_parser": "parse_log_pytst"},
        "field log_parser: swebench does not know 'parse_log_pytst'; similar: parse_log_pytest",
    ),
    ({"eval_type": "all"}, "field eval_type: swebench does not know 'all'; similar: "),
    ({"FAIL_TO_PASS": []}, "field FAIL_TO_PASS: is empty, so no test would show that the task is solved"),
    ({"FAIL_TO_PASS": "[]"}, "field FAIL_TO_PASS: is empty, so no test would show that the task is solved"),
    ({"FAIL_TO_PASS": "test_a"}, f"field FAIL_TO_PASS: {NO_TESTS}"),
    ({"FAIL_TO_PASS": '{"a": 1}'}, f"field FAIL_TO_PASS: {NO_TESTS}"),
    ({"FAIL_TO_PASS": [1]}, f"field FAIL_TO_PASS: {NO_TESTS}"),
    ({"FAIL_TO_PASS": "[" * 100_000}, f"field FAIL_TO_PASS: {NO_TESTS}"),
    ({"PASS_TO_PASS": {"a": "b"}}, f"field PASS_TO_PASS: {NO_TESTS}"),
    ({"PASS_TO_PASS": ["\udfff"]}, "field PASS_TO_PASS: has half a surrogate pair at character 1"),
    ({"grading_setting": "open"}, "field grading_setting: must be one of closed, swebench (found 'open')"),
    ({"image_assets": {"test_patch": [{"path": "a.png"}]}}, "field image_assets: names files to add before grading"),
    ({"image_assets": '{"test_patch": ["a.png"]}'}, "field image_assets: names files to add before grading"),
    (
        {"eval_script": "#!/bin/bash\npytest\n"},
        f"field eval_script: has no line with '{harness.END_MARKER}', but needs one: otherwise the exit code of",
    ),
    (
        {"eval_script": f"{EVAL_SCRIPT}\n: '>>>>> End Test Output'\n"},
        "field eval_script: has 2 lines with '>>>>> End Test Output', but needs one",
    ),
    (
        {"eval_script": ": '>>>>> End Test Output'\n: '>>>>> Start Test Output'\n"},
        "field eval_script: has '>>>>> End Test Output' before '>>>>> Start Test Output'",
    ),
]


@pytest.mark.parametrize(("fields", "said"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_field_is_refused(tmp_path: Path, fields: Row, said: str) -> None:
    path = write_rows(tmp_path / "tasks.jsonl", [a_row(**fields)])
    assert any(line.startswith(f"{path}, line 1, {said}") for line in refusal(path).split("\n"))


@pytest.mark.parametrize("instance_id", ["../../etc", "a/b", ".hidden", "-x", "a b", "a\nb", "x" * 201, "ü"])
def test_an_id_that_could_name_no_directory_is_refused(tmp_path: Path, instance_id: str) -> None:
    said = refusal(write_rows(tmp_path / "tasks.jsonl", [a_row(instance_id)]))
    assert "line 1, field instance_id: must have at most 200 letters, digits, " in said


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "tasks.jsonl", [a_row("a__a-1"), a_row("b__b-2"), a_row("a__a-1", version="5")])
    assert refusal(path) == f"{path}, line 3, field instance_id: a__a-1 is already at line 1"


def test_every_problem_is_named(tmp_path: Path) -> None:
    rows = [a_row("a__a-1", image=None, version=4), a_row("b__b-2"), a_row("c__c-3", eval_type="none")]
    path = Path(write_rows(tmp_path / "tasks.jsonl", rows))
    path.write_text(path.read_text("utf-8") + "{broken\n[1]\n\n", "utf-8")
    problems = [line.partition(": ")[0] for line in refusal(path).split("\n")[:-1]]
    assert problems == [
        f"{path}, line 1, field version",
        f"{path}, line 1, field image",
        f"{path}, line 3, field eval_type",
        f"{path}, line 4",
        f"{path}, line 5",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", ": contains no task"),
        ("a.json", b"[]", ": contains no task"),
        ("a.json", b"{}", ": a .json file is one list of rows; for a row a line use .jsonl"),
        ("a.json", b"[1,\n2", ": not JSON: Expecting ',' delimiter at line 2, column 2"),
        ("a.jsonl", b"\xff\n", ", line 1: not UTF-8: byte 1"),
        ("a.jsonl", b"[" * 100_000, ", line 1: not JSON: "),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 1000, mtime=0)[:30], ": the gzip data is damaged or cut short"),
        ("a.parquet", b"PAR1 is not enough", ": not a Parquet file: "),
        ("a.jsonl", b'\n{"repo": "a", "repo": "b"}\n', ", line 2, field repo: occurs twice in one object"),
        ("a.json", b'[1, {"x": [{"y": 0, "y": 0}]}]', ", row 2, field x[0].y: occurs twice in one object"),
        ("a.jsonl", b'{}\n{"version": [NaN]}\n', ", line 2, field version[0]: NaN is not a JSON number"),
        ("a.json", b'[{}, {"x": {"y": Infinity}}]', ", row 2, field x.y: Infinity is not a JSON number"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refusal(tmp_path / name)


FORMS = r"verified, heldout100, rehearsal, a file of rows \(.*\), or a folder in task-repo format \(with tasks/\)"


@pytest.mark.parametrize(
    ("tasks", "dataset", "said"),
    [
        ("verfied", None, f"no tasks 'verfied': give {FORMS}"),
        ("there/is/none", None, "no file there/is/none"),
        ("none.jsonl", None, "no file none.jsonl"),
        (__file__, None, "unknown file format; the name must end in one of .jsonl, "),
        (str(Path(__file__).parent), None, f"is not a task repo: it has no folder tasks/; give {FORMS}"),
        ("verified", "none.parquet", "no file none.parquet"),
        ("verified", str(Path(__file__).parent), "is not a file"),
        ("rehearsal", "a.jsonl", "--dataset is only for verified and heldout100; rehearsal needs no data set"),
    ],
)
def test_what_is_no_source_of_tasks_is_refused(tasks: str, dataset: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_tasks(tasks, dataset)


# Task repos that are refused


def removed(path: Path) -> None:
    path.unlink()


def writing(content: str | bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("eval.sh", removed, "eval.sh: is missing"),
    ("gold.patch", removed, "gold.patch: is missing"),
    ("tests.json", removed, "tests.json: is missing"),
    ("task.yaml", removed, "acme__rocket-1: has no task.yaml, so it is not a task"),
    ("eval.sh", writing("pytest\n"), "eval.sh: has no line with '>>>>> Start Test Output', but needs one"),
    ("gold.patch", writing(b"caf\xe9"), "gold.patch: not UTF-8: byte 4"),
    ("tests.json", writing("{"), "tests.json: not JSON: "),
    ("tests.json", writing(b"\xef\xbb\xbf{}"), "tests.json: not JSON: it begins with a byte order mark"),
    ("tests.json", writing("[]"), "tests.json: is not a JSON object"),
    ("tests.json", writing('{"PASS_TO_PASS": []}'), "tests.json, field FAIL_TO_PASS: is missing"),
    ("tests.json", writing('{"FAIL_TO_PASS": [], "PASS_TO_PASS": []}'), "tests.json, field FAIL_TO_PASS: is empty"),
    ("task.yaml", writing("a: b: c\n"), "task.yaml: mapping values are not allowed here at line 1"),
    ("task.yaml", writing("a: 2026-13-45\n"), "task.yaml: month must be in 1..12"),
    ("task.yaml", writing("- a\n"), "task.yaml: is not a YAML mapping of fields"),
    ("task.yaml", writing(b"\xff"), "task.yaml: not UTF-8: byte 1"),
    ("tests.json", writing('{"a": [], "a": []}'), "tests.json, field a: occurs twice in one object"),
    ("task.yaml", writing("version: 4.3\n"), "task.yaml, field version: is 4.3, but must be a string in quotes"),
    (
        "task.yaml",
        writing("instance_id: other\n"),
        "task.yaml, field instance_id: is other, but its folder is named acme__",
    ),
]


@pytest.mark.parametrize(("file", "damage", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_damaged_task_folder_is_refused_by_file(
    tmp_path: Path, file: str, damage: Callable[[Path], None], said: str
) -> None:
    repo = write_repo(tmp_path, [a_row("acme__crane-2"), a_row()])
    damage(repo / "tasks" / "acme__rocket-1" / file)
    lines = refusal(repo).split("\n")
    prefix = f"{repo}/tasks/" if said.startswith("acme") else f"{repo}/tasks/acme__rocket-1/"
    assert any(line.startswith(prefix + said) for line in lines), lines
    assert not any("crane" in line for line in lines)


def test_a_repo_without_a_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks" / ".git").mkdir(parents=True)
    assert refusal(tmp_path) == f"{tmp_path}: contains no task"


# The hub


def from_hub(
    home: Path, hub: Hub | None, tasks: str = "heldout100", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Load tasks in a process of its own, since huggingface_hub reads its settings when it is imported."""
    script = """
import json, sys
from dynamic_track.tasks.sources import load_tasks
from twinbench.errors import TwinbenchError
try:
    found = load_tasks(sys.argv[1])
except TwinbenchError as error:
    from twinbench.api.outcomes import texts

    try:  # where texts of tasks are asked for there is no such option
        texts(sys.argv[1])
    except TwinbenchError as told:
        assert "--dataset" not in str(told) and "give a file of its rows instead" in str(told), told
    sys.exit(f"{type(error).__name__}: {error}")
print(json.dumps({"name": found.name, "source": found.source, "ids": [task.id for task in found.tasks]}))
"""
    return subprocess.run(
        [sys.executable, "-c", script, tasks],
        env={
            **os.environ,
            "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.url,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            **environment,
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )


@pytest.mark.acceptance
def test_the_hub_is_asked_for_the_test_split_and_its_copy_does_without_the_hub(tmp_path: Path, verified: str) -> None:
    rows = verified_rows()
    parts = [Path(write_rows(tmp_path / f"{start}.parquet", rows[start : start + 250])) for start in (0, 250)]
    files = {
        "README.md": b"# Verified",
        "data/test-00000-of-00002.parquet": parts[0].read_bytes(),
        "data/test-00001-of-00002.parquet": parts[1].read_bytes(),
        "data/train-00000-of-00001.parquet": b"not asked for",
        "data/latest.parquet": b"not asked for",
    }
    with dataset_hub(VERIFIED, files) as hub:
        first = from_hub(tmp_path / "hf", hub, "verified")
        downloads = {line.rpartition("/")[2] for line in hub.asked if line.startswith("GET /datasets/")}
    offline = from_hub(tmp_path / "hf", None)
    told_offline = from_hub(tmp_path / "hf", None, HF_HUB_OFFLINE="1")

    assert first.returncode == 0, first.stderr
    assert downloads == {"test-00000-of-00002.parquet", "test-00001-of-00002.parquet"}
    found = json.loads(first.stdout)
    assert found["source"] == f"{VERIFIED}@{COMMIT}"
    assert found["ids"] == sorted(row["instance_id"] for row in rows)
    for later in (offline, told_offline):
        assert later.returncode == 0, later.stderr
        again = json.loads(later.stdout)
        assert again["source"] == found["source"]
        assert again["ids"] == sorted(heldout_instances())


@pytest.mark.acceptance
def test_rows_of_the_hub_are_refused_by_their_file(tmp_path: Path) -> None:
    part = Path(write_rows(tmp_path / "part.parquet", [a_row("a__a-1"), a_row("b__b-2", version="")]))
    with dataset_hub(VERIFIED, {"test.parquet": part.read_bytes()}) as hub:
        done = from_hub(tmp_path / "hf", hub)
    assert f"ContentError: {VERIFIED}@{COMMIT}/test.parquet, row 2, field version: is empty" in done.stderr


@pytest.mark.acceptance
def test_an_id_that_stands_twice_in_the_parts_of_a_data_set_names_both(tmp_path: Path) -> None:
    part = Path(write_rows(tmp_path / "part.parquet", [a_row()])).read_bytes()
    with dataset_hub(VERIFIED, {"data/test-0.parquet": part, "data/test-1.parquet": part}) as hub:
        done = from_hub(tmp_path / "hf", hub)
    source = f"{VERIFIED}@{COMMIT}"
    twice = "field instance_id: acme__rocket-1 is already at row 1 of"
    wanted = f"{source}/test-1.parquet, row 1, {twice} {source}/test-0.parquet"
    assert wanted in done.stderr


WHAT_TO_DO = "with --dataset FILE its rows are read from a local .jsonl, .jsonl.gz, .json or .parquet file"


@pytest.mark.parametrize(
    ("settings", "said"),
    thinned(
        [
            ({"status": 404}, "404"),
            ({"status": 401}, "401"),
            ({"listing": b"<html>log in</html>"}, "JSONDecodeError"),
            ({"status": 503}, "503"),
            ({"files": {"README.md": b""}}, "it has no Parquet file of a split named test"),
        ],
        2,
    ),
)
def test_a_hub_that_answers_badly_is_a_clear_error(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with dataset_hub(VERIFIED, **{"files": {"test.parquet": b""}, **settings}) as hub:
        done = from_hub(tmp_path / "hf", hub)
    assert done.returncode == 1
    wanted = rf"HubError: {VERIFIED} could not be read from the Hugging Face hub \(.*{said}.*\); {WHAT_TO_DO}"
    assert re.fullmatch(wanted, done.stderr.strip()), done.stderr


def test_a_hub_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    done = from_hub(tmp_path / "hf", None)
    assert done.returncode == 1
    assert re.fullmatch(rf"HubError: .*Connection refused\); {WHAT_TO_DO}", done.stderr.strip()), done.stderr


def test_a_hub_that_never_answers_is_given_up_on_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub = Hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        done = from_hub(tmp_path / "hf", hub, HF_HUB_ETAG_TIMEOUT="1")
    assert done.returncode == 1
    assert re.fullmatch(rf"HubError: .*timed out\); {WHAT_TO_DO}", done.stderr.strip()), done.stderr


# swebench


@pytest.mark.parametrize(
    ("exit_code", "output", "resolved"),
    [
        (0, "PASSED test_rocket.py::test_flies\nPASSED test_rocket.py::test_stands", True),
        (1, "PASSED test_rocket.py::test_flies\nPASSED test_rocket.py::test_stands", False),
        (1, "FAILED test_rocket.py::test_flies\nPASSED test_rocket.py::test_stands", False),
        (0, "PASSED test_rocket.py::test_flies\nFAILED test_rocket.py::test_stands", False),
    ],
)
def test_what_the_composed_script_prints_is_judged_with_the_exit_code_of_the_tests(
    tmp_path: Path, exit_code: int, output: str, resolved: bool
) -> None:
    task = a_task(eval_script=EVAL_SCRIPT.format(testbed=tmp_path), PASS_TO_PASS=["test_rocket.py::test_stands"])
    (tmp_path / "run_tests.sh").write_text(f"cat <<'END'\n{output}\nEND\nexit {exit_code}\n", "utf-8")
    ran = subprocess.run(
        ["bash", "-c", harness.eval_script(task)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    (tmp_path / "log").write_text(ran.stdout, "utf-8")

    report = harness.report(task, tmp_path / "log")
    assert f"Test Exit Code: {exit_code}" in ran.stdout
    assert report.resolved is resolved
    if exit_code and "FAILED" not in output:
        assert report.tests is None
    else:
        assert report.tests is not None
        assert set(report.tests) == {"FAIL_TO_PASS", "PASS_TO_PASS"}
        assert bool(report.tests["FAIL_TO_PASS"]["failure"]) is ("FAILED test_rocket.py::test_flies" in output)


def test_a_log_of_a_failing_environment_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("fatal: Could not resolve host: example.org\n", "utf-8")
    report = harness.report(a_task(), tmp_path / "log")
    assert not report.resolved
    assert report.hint == "network_unreachable (environment)"


def test_a_patch_is_applied_with_swebench_s_own_commands() -> None:
    commands = harness.apply_commands()
    assert commands[0] == "git apply --verbose"
    assert commands[-1].startswith("patch ")


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )


def test_swebench_is_imported_late_and_reads_no_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET_OF_THE_USER=1\n", "utf-8")
    done = run_python(f"""
import sys
import dynamic_track.tasks.sources, dynamic_track.tasks.selection
from dynamic_track import harness
assert not [name for name in sys.modules if name.partition(".")[0] in ("swebench", "huggingface_hub", "duckdb")]
harness.log_parsers()
import dotenv, os
dotenv.load_dotenv({str(tmp_path / ".env")!r})
assert "SECRET_OF_THE_USER" not in os.environ
""")
    assert done.returncode == 0, done.stderr


def test_without_swebench_the_message_says_what_to_install(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "tasks.jsonl", [a_row()])
    done = run_python(f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "swebench":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NotInstalled())
from dynamic_track.harness import HarnessMissingError
from dynamic_track.tasks.sources import load_tasks
try:
    load_tasks({path!r})
except HarnessMissingError as error:
    print(error)
""")
    wanted = "swebench is not installed: the live track needs it; pip install 'twinbench[dynamic]'"
    assert done.stdout.strip() == wanted, done.stderr


def test_a_swebench_that_cannot_be_imported_is_told_from_none(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "tasks.jsonl", [a_row()])
    done = run_python(f"""
import sys
sys.modules["datasets"] = None
from dynamic_track.harness import HarnessMissingError
from dynamic_track.tasks.sources import load_tasks
try:
    load_tasks({path!r})
except HarnessMissingError as error:
    print(error)
""")
    assert done.stdout.startswith("swebench cannot be imported (import of datasets halted"), done.stderr
    assert done.stdout.strip().endswith("pip install 'twinbench[dynamic]'")
