"""Files of outcomes in the forms in which people have them, and what of them is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

import twinbench as tb
from tests.banks import write_jsonl
from tests.cli.commands import twinbench
from tests.outcomes.tables import outcome, write_csv
from tests.reports.journals import HIGH, LOW, Call, Case, write_live_run
from twinbench.errors import ContentError, UsageError
from twinbench.outcomes.keeping import open_table
from twinbench.outcomes.table import Outcomes
from twinbench.storage.store import STORE_VARIABLE, Store

EMPTY_LINES = gzip.compress(b"model,task,resolved" + b"\n" * 1_000_100)

ROWS = [
    outcome("a", "t-1", 1, 0.5, benchmark="one", trial=0),
    outcome("a", "t-2", 0, 0.25, benchmark="one", trial=0),
    outcome("b", "t-1", "", 0, benchmark="one", trial=0),
    outcome("b", "t-2", 1, "", benchmark="two", trial=0),
]


@pytest.fixture(autouse=True)
def _own_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))


def imported(*paths: Path, store: Store, **more: Any) -> Outcomes:
    tb.import_outcomes(paths, "t", store=store.root, **more)
    return open_table("t", store).outcomes


def described(outcomes: Outcomes) -> list[tuple[Any, ...]]:
    """Workload, model, task, resolved, cost of each."""
    return [
        (
            outcomes.workloads[outcomes.workload[place]],
            outcomes.models[outcomes.model[place]],
            outcomes.tasks[outcomes.task[place]],
            int(outcomes.resolved[place]),
            None if outcomes.cost_usd[place] != outcomes.cost_usd[place] else float(outcomes.cost_usd[place]),
        )
        for place in range(len(outcomes))
    ]


WANTED = [
    ("one", "a", "t-1", 1, 0.5),
    ("one", "a", "t-2", 0, 0.25),
    ("one", "b", "t-1", -1, None),
    ("two", "b", "t-2", 1, None),
]


def test_every_form_of_rows_says_the_same_and_what_is_unknown_stays_so(store: Store, tmp_path: Path) -> None:
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(write_csv(tmp_path / "rows.csv", ROWS).read_bytes()))
    plain = [row | {"resolved": {1: True, 0: False, "": None}[row["resolved"]]} for row in ROWS]
    for row in plain:
        row["cost"] = row["cost"] or None
    lines = write_jsonl(tmp_path / "rows.jsonl", reversed(plain))
    listed = tmp_path / "rows.json"
    listed.write_text(json.dumps(plain), "utf-8")
    parquet = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM read_json('{lines}')) TO '{parquet}' (FORMAT parquet)")
    found = set()
    for path in (tmp_path / "rows.csv", packed, lines, listed, parquet):
        outcomes = imported(path, store=store, replace=True)
        assert described(outcomes) == WANTED, path
        found.add(outcomes.sha256)
    assert len(found) == 1
    info = open_table("t", store).info
    assert (info.unknown_verdicts, info.unknown_costs, info.workloads) == (1, 2, ("one", "two"))


DETAILS = {"t-1": {"cost": 0.5, "api_calls": 3, "resolved": True}, "t-2": {"cost": 0.0, "resolved": False}}


def test_json_of_one_model_is_called_by_its_folder_or_as_one_says(store: Store, tmp_path: Path) -> None:
    nested = tmp_path / "results" / "model-x" / "instance_results" / "swe-bench.json"
    board = tmp_path / "results" / "model-y" / "per_instance_details.json"
    for path in (nested, board):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(DETAILS), "utf-8")
    (tmp_path / "results" / "scores.json").write_text('[{"score": 1}]', "utf-8")
    ran = twinbench("outcomes", "import", nested, "--name", "one").succeeded()
    assert "is read as the tasks of model 'model-x'" in ran.err
    assert [row["model"] for row in twinbench("outcomes", "show", "one", "--json").json["by_model"]] == ["model-x"]
    outcomes = imported(tmp_path / "results", store=store)
    assert described(outcomes) == [
        ("swe-bench", "model-x", "t-1", 1, 0.5),
        ("swe-bench", "model-x", "t-2", 0, None),
        ("tasks", "model-y", "t-1", 1, 0.5),
        ("tasks", "model-y", "t-2", 0, None),
    ]
    assert outcomes.steps[0] == 3
    assert described(imported(nested, store=store, replace=True, model="z", workload="w"))[0][:2] == ("w", "z")
    (tmp_path / "results" / "model-z").mkdir()
    (tmp_path / "results" / "torn.json").write_text('{"t-1": {"resol', "utf-8")
    with pytest.raises(ContentError, match=r"torn\.json: not JSON"):
        imported(tmp_path / "results", store=store, replace=True)
    with pytest.raises(UsageError, match="is not a run directory and contains no"):
        imported(tmp_path / "results" / "model-z", store=Store(tmp_path / "x"), replace=True)


def test_a_leaderboard_has_a_workload_a_board_and_leaves_out_results_without_details(
    store: Store, tmp_path: Path
) -> None:
    again = {"name": "A (x)", "folder": "2026_a", "per_instance_details": {"t-1": {"resolved": False}}}
    results: list[Mapping[str, Any]] = [
        {"name": "A (x)", "per_instance_details": DETAILS},
        {"name": "B", "cost": 1},
        again,
    ]
    path = tmp_path / "leaderboards.json"
    path.write_text(json.dumps({"leaderboards": [{"name": "bash-only", "results": results}]}), "utf-8")
    assert described(imported(path, store=store)) == [
        ("bash-only", "A (x)", "t-1", 1, 0.5),
        ("bash-only", "A (x)", "t-2", 0, None),
        ("bash-only", "A (x) (2026_a)", "t-1", 0, None),
    ]


def test_runs_of_ours_come_in_with_the_candidate_or_the_router_and_say_that_they_are_rehearsals(
    store: Store, tmp_path: Path
) -> None:
    always = [Case("a__a-1", [Call(LOW)]), Case("b__b-2", [Call(LOW)], resolved=False)]
    one = write_live_run(tmp_path / "one", always, router="always-low", simulated=True)
    mixed = [Case("a__a-1", [Call(LOW), Call(HIGH)]), Case("b__b-2", resolved=None, cause="engine")]
    two = write_live_run(tmp_path / "two", mixed, router="sticky")
    assert described(imported(one, two, store=store)) == [
        ("rehearsal", LOW, "a__a-1", 1, 0.001),
        ("rehearsal", LOW, "b__b-2", 0, 0.001),
        ("rehearsal", "sticky", "a__a-1", 1, 0.002),
        ("rehearsal", "sticky", "b__b-2", -1, 0.002),
    ]
    info = open_table("t", store).info
    assert "simulated models" in info.note
    assert info.note in twinbench("outcomes", "show", "t").text


def test_columns_of_other_names_are_guessed_with_a_word_or_named(tmp_path: Path) -> None:
    rows = [{"LLM": "a", "Task": "t", "passed": "yes", "usd": 3, "my steps": 4}]
    path = write_csv(tmp_path / "odd.csv", rows)
    ran = twinbench("outcomes", "import", path, "--name", "odd", "--column", "cost_usd=usd").succeeded()
    for field, column in (("model", "LLM"), ("task", "Task"), ("resolved", "passed")):
        assert f"note: column '{column}' is read as {field}" in ran.err
    shown = twinbench("outcomes", "show", "odd", "--json").json
    assert shown["columns"] == {"model": "LLM", "task": "Task", "resolved": "passed", "cost_usd": "usd"}
    assert shown["by_model"][0]["cost_usd"] == 3.0


@pytest.mark.parametrize(
    ("rows", "options", "code", "said"),
    [
        ([outcome("a", "t", "maybe")], (), 1, "line 2, field resolved: must be true or false"),
        ([outcome("a", "t", 1, -1)], (), 1, "line 2, field cost: must be USD from 0"),
        ([outcome("a", "t", 1, "inf")], (), 1, "field cost: must be USD from 0"),
        ([outcome("", "t")], (), 1, "field model: must be a name"),
        ([outcome("a", "t"), outcome("a", "t", 0)], (), 1, "line 3: a on t is already at line 2"),
        ([{"model": "a", "resolved": 1}], (), 2, "no column for task (columns: 'model', 'resolved')"),
        ([{"task": "a", "resolved": 1}], (), 2, "or name the model of the whole file with --model NAME"),
        ([outcome("a", "t")], ("--column", "cost_usd=nope"), 2, "there is no such column"),
        ([outcome("a", "t")], ("--column", "colour=x"), 2, "FIELD is one of model, task, resolved"),
        ([outcome("a", "t")], ("--name", "openhands-verified"), 2, "ships with twinbench"),
        ([outcome("a", "t")], ("--model", ""), 2, "the model of all outcomes must be a name"),
        ([outcome("a", "t")], ("--workload", "a\x1b[31m"), 2, "the workload of all outcomes must be a name"),
        ([outcome(" a", "t"), outcome("a ", " t", 0)], (), 1, "line 3: a on t is already at line 2"),
    ],
)
def test_what_is_wrong_is_named_by_its_place_and_nothing_is_imported(
    tmp_path: Path, store: Store, rows: list[dict[str, Any]], options: tuple[str, ...], code: int, said: str
) -> None:
    ran = twinbench("outcomes", "import", write_csv(tmp_path / "wrong.csv", rows), "--name", "wrong", *options)
    assert (ran.code, ran.out) == (code, b"")
    assert said in ran.err
    assert store.outcomes_names() == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"", "the file contains no outcomes"),
        ("x.csv", b"model,task,model\n", "two columns have the same name: 'model'"),
        ("x.csv", b"model,task,resolved\na,b\n", "line 2: has 2 cells, where the first line has 3 names"),
        ("x.csv", b"model,task,resolved\na,\xff,1\n", "not UTF-8"),
        ("x.csv.gz", b"\x1f\x8b\x08garbage", "gzip data is damaged"),
        ("x.csv.gz", EMPTY_LINES, "more than 1,000,000 empty lines follow each other here"),
        ("x.jsonl.gz", EMPTY_LINES, "more than 1,000,000 empty lines follow each other here"),
        ("x.json", b'{"t-1": {"cost": 1}}', "JSON in an unknown format"),
        ("x.json", b'{"t-1": {"resolved": 1, "resolved": 0}}', "occurs twice in one object"),
        ("x.jsonl", b'{"model": "a"\n', "not JSON"),
        ("x.parquet", b"no", "not a Parquet file"),
        ("x.txt", b"no", "unknown file format"),
    ],
)
def test_damaged_files_are_refused_in_words(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    ran = twinbench("outcomes", "import", tmp_path / name, "--name", "x")
    assert ran.code in (1, 2)
    assert said in ran.err
    assert "bug in twinbench" not in ran.err


def test_trials_of_a_column_are_no_twins_and_are_averaged(store: Store, tmp_path: Path) -> None:
    rows = [outcome("a", "t", number % 2, 1 + number, seed=f"s-{number}") for number in range(4)]
    outcomes = imported(write_csv(tmp_path / "trials.csv", rows), store=store)
    grid = outcomes.grid()
    assert (grid.solved[0, 0], grid.verdicts[0, 0], grid.cost_usd[0, 0]) == (0.5, 4, 2.5)
    assert grid.has_repeated_trials


def test_a_name_is_taken_once_and_tables_are_listed_and_removed(tmp_path: Path, store: Store) -> None:
    path = write_csv(tmp_path / "rows.csv", ROWS)
    twinbench("outcomes", "import", path, "--name", "mine", "--licence", "ours").succeeded()
    again = twinbench("outcomes", "import", path, "--name", "mine")
    assert (again.code, "choose another --name, or --replace it" in again.err) == (2, True)
    listed = twinbench("outcomes", "list", "--json").json["tables"]
    assert [(each["name"], each["shipped"]) for each in listed] == [("openhands-verified", True), ("mine", False)]
    store.outcomes_file("torn").write_bytes(store.outcomes_file("mine").read_bytes()[:-9])
    damaged = twinbench("outcomes", "list")
    assert damaged.code == 1
    assert "torn.parquet is damaged" in damaged.err
    assert "mine" in damaged.text
    twinbench("outcomes", "rm", "mine").succeeded()
    assert "no table of outcomes 'mine'" in twinbench("outcomes", "show", "mine").err
    assert "ships with twinbench and cannot be removed" in twinbench("outcomes", "rm", "openhands-verified").err


def test_the_library_refuses_as_the_command_does(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "rows.csv", [outcome("a", "t", "maybe")])
    with pytest.raises(ContentError, match="Nothing was imported"):
        tb.import_outcomes(path, "x", store=store.root)
    monkeypatch.chdir(tmp_path)
    for name in (str(path), path.name):
        with pytest.raises(UsageError, match=r"twinbench outcomes import .*rows\.csv --name rows, and then give rows"):
            tb.open_outcomes(name, store=store.root)
    with pytest.raises(UsageError, match="no table of outcomes 'x'"):
        tb.open_outcomes("x", store=store.root)
