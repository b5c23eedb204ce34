"""Trained routers in the live track: refused on tasks that they were trained on, or marked; in a strict container."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import twinbench as tb
from dynamic_track.tasks.selection import TaskChoice
from tests.banks import Row, a_row, import_rows
from tests.cli.commands import twinbench
from tests.plugins.hosting import limits
from tests.plugins.test_training import LEARNING
from twinbench.storage.store import STORE_VARIABLE, Store

SEEN = "rehearsal__slotbook-17"
RETOLD = "rehearsal__tidecache-41"
OTHER = "rehearsal__pathlatch-36"


def a_task(instance: str, text: str) -> list[Row]:
    """A trajectory of a task, whose first message is a text."""
    rows = []
    for step in (1, 2):
        row = a_row(step % 2, workload="swe", instance=instance, step=step)
        row["messages"][1]["content"] = text
        rows.append(row)
    return rows


@pytest.fixture
def model(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A router trained on one rehearsal task under its id, and on another one's problem under another id."""
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    cases, _ = TaskChoice(tasks="rehearsal").load()
    problem = next(task.problem_statement for task in cases if task.id == RETOLD)
    import_rows([*a_task(SEEN, "alpha beta gamma delta epsilon"), *a_task("copy", problem)], store, "bank")
    tb.train(f"{LEARNING}:Learns", "bank", out=tmp_path / "model", plugins=limits())
    return tmp_path / "model"


def test_a_router_is_not_run_on_tasks_that_it_was_trained_on(model: Path, tmp_path: Path) -> None:
    chosen = [word for task in (SEEN, RETOLD, OTHER) for word in ("--only", task)]
    refused = twinbench("rehearse", model, *chosen, "--runs", tmp_path / "runs")
    assert refused.code == 2
    why = f"1 of its tasks, such as {SEEN} and near-duplicates of 1 more, such as {RETOLD}"
    assert f"was trained on what it would be run on ({why})" in refused.err
    assert not (tmp_path / "runs").exists()
    run = ("dynamic", "run", model, "--run", tmp_path / "run", "--api-base", "http://127.0.0.1:9", "--run-usd", "1")
    again = twinbench(*run, *chosen, "--dry-run")
    assert again.code == 2
    assert why in again.err
    marked = twinbench(*run, *chosen, "--dry-run", "--in-sample", "--json").succeeded().json
    assert marked["identity"]["router"]["spec"] == f"{model} (in-sample)"
    unmarked = twinbench(*run, "--only", OTHER, "--dry-run", "--json").succeeded().json
    assert unmarked["identity"]["router"]["spec"] == str(model)


@pytest.mark.acceptance
@pytest.mark.usefixtures("rehearsal")
def test_what_is_run_all_the_same_says_so_everywhere_and_can_be_replayed(model: Path, tmp_path: Path) -> None:
    marked, runs = f"{model} (in-sample)", tmp_path / "runs"
    strict = ("--isolation", "strict")
    done = twinbench(
        "rehearse", model, "--only", SEEN, "--runs", runs, "--in-sample", *strict, "--resamples", "0", "--json"
    ).succeeded()
    assert [each["router"] for each in done.json["routers"]] == [marked]
    assert done.json["runs"][0]["trials"][0]["cause"] is None
    folder = Path(done.json["runs"][0]["run"])
    assert json.loads((folder / "plan.json").read_text("utf-8"))["identity"]["router"]["spec"] == marked
    assert "model (in-sample)" in twinbench("dynamic", "score", folder, "--format", "csv").succeeded().text
    replayed = twinbench("dynamic", "replay", folder, "--route", "--json").succeeded().json
    assert replayed["differences"] == [], replayed
