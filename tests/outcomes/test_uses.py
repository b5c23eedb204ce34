"""Where tables of outcomes help: banks of tasks made of them, and runs that are planned by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.banks import write_jsonl
from tests.cli.commands import twinbench
from tests.outcomes.tables import INFO, POOL, SHIPPED, TIERS, World, grid_of, outcome, write_csv
from twinbench.outcomes.foreseen import make_forecast
from twinbench.storage.store import STORE_VARIABLE, Store

VERDICTS: dict[str, tuple[Any, Any]] = {
    "both": (1, 1),
    "high": (0, 1),
    "inverted": (1, 0),
    "hopeless": (0, 0),
    "open": ("", 1),
    "silent": (1, 1),
}


@pytest.fixture
def made(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table ``t`` of two models, and a file with a text of every task but one."""
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    rows = [outcome(model, task, each[place], 1) for task, each in VERDICTS.items() for place, model in enumerate("ab")]
    twinbench("outcomes", "import", write_csv(tmp_path / "t.csv", rows), "--name", "t").succeeded()
    texts = [{"task": task, "text": f"Mend {task}."} for task in VERDICTS if task != "silent"]
    return write_jsonl(tmp_path / "texts.jsonl", texts)


def rows_of(bank: str, folder: Path) -> dict[str, dict[str, Any]]:
    target = folder / f"{bank}.jsonl"
    twinbench("bank", "export", bank, "-o", target).succeeded()
    return {row["instance_id"]: row for row in map(json.loads, target.read_text("utf-8").splitlines())}


def test_a_bank_of_outcomes_has_a_row_a_task_and_says_what_its_labels_are(made: Path, tmp_path: Path) -> None:
    command = ("bank", "from-outcomes", "t", "--tiers", "low=a,high=b", "--text", made)
    ran = twinbench(*command, "--name", "bank").succeeded()
    assert "Labels apply to tasks, not to steps: the lowest tier whose model solved the task" in ran.text
    assert "1 row of 3 inverted" in ran.text
    assert "1 task solved by no tier left out" in ran.text
    assert "1 without a known verdict, 1 without a text" in ran.text
    found = rows_of("bank", tmp_path)
    assert {task: (row["target_tier"], row["inverted"]) for task, row in found.items()} == {
        "both": ("low", False),
        "high": ("high", False),
        "inverted": ("low", True),
    }
    assert found["both"]["messages"] == [{"role": "user", "content": "Mend both."}]
    assert "Labels apply to tasks" in twinbench("static", "score", "sticky", "--bank", "bank").succeeded().text
    kept = twinbench(*command, "--name", "all", "--hopeless", "high", "--json").succeeded().json
    assert kept["tasks"] == {"rows": 4, "inverted": 1, "hopeless": 1, "unknown": 1, "without_text": 1}
    assert rows_of("all", tmp_path)["hopeless"]["target_tier"] == "high"
    again = twinbench(*command, "--name", "all")
    assert (again.code, "choose another --name, or --replace it" in again.err) == (2, True)
    nothing = twinbench(*command[:-1], write_jsonl(tmp_path / "no.jsonl", [{"task": "x", "text": "y"}]), "--name", "no")
    assert nothing.code == 2
    assert "of 6 tasks, 1 solved by no tier, 1 without a known verdict, 5 without a text" in nothing.err
    for texts, said in (
        (
            [{"task": "both", "text": "one"}, {"task": "both", "text": "two"}],
            "both is in the file already",
        ),
        ([{"task": "both", "text": " "}], "has no text in any of"),
        ([{"text": "one"}], "has no name in any of"),
    ):
        ran = twinbench(*command[:-1], write_jsonl(tmp_path / "wrong.jsonl", texts), "--name", "wrong")
        assert (ran.code, said in ran.err) == (1, True), ran.err


def test_cases_that_can_show_something_are_told_from_those_that_cannot() -> None:
    world, random = World((-1.0, 1.0), (0.02, 0.9)), np.random.default_rng(6)
    grid = world.draw(random, 600)
    tiers = {"low": "m-0", "high": "m-1"}
    many = make_forecast(grid, INFO, tiers, grid.tasks, trials=2, penalty_usd=2)
    few = make_forecast(grid, INFO, tiers, [*grid.tasks[:6], "not-there"], penalty_usd=2)
    assert many.can_show
    assert not few.can_show
    assert (few.cases, len(few.headroom.tasks)) == (7, 6)
    low = float(grid.cost_usd[0].sum())
    assert many.cost_usd()["low"] == pytest.approx(2 * low), "two trials"
    same = make_forecast(grid_of(np.ones((2, 40))), INFO, tiers, [f"t-{n:04}" for n in range(40)], penalty_usd=2)
    assert (same.detectable_usd, same.can_show) == (None, False)


def test_a_dry_run_says_what_a_table_of_outcomes_knows_of_its_cases(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = [task["id"] for task in twinbench("dynamic", "tasks", "--json").succeeded().json["tasks"]]
    rows = [
        outcome(model, case, int(place or number % 3 > 0), 0.1 + 0.4 * place, benchmark="rehearsal")
        for number, case in enumerate(cases)
        for place, model in enumerate("ab")
    ]
    twinbench("outcomes", "import", write_csv(tmp_path / "r.csv", rows), "--name", "r").succeeded()
    run = ("dynamic", "run", "always-low", "--run", "run", "--api-base", "http://127.0.0.1:9/v1", "--run-usd", "2")
    known = ("--outcomes", "r", "--tiers", "low=a,high=b")
    told = twinbench(*run, "--dry-run", *known).succeeded().text
    assert "by the outcomes r, which has 21 of 21 cases: always low 2.10, always high 10.50 USD" in told
    assert "21 cases detect" in told
    found = twinbench(*run, "--dry-run", *known, "--trials", "3", "--json").succeeded().json["outcomes"]
    assert found["cost_usd"] == pytest.approx({"low": 6.3, "high": 31.5})
    assert found["best_single"] == "low"
    assert not Path("run").exists()
    for more, said in (
        (known, "--outcomes requires --dry-run"),
        (("--dry-run", *known[:2]), "requires --dry-run and --tiers"),
        (("--dry-run", *known[2:]), "--tiers requires --outcomes"),
        (("--dry-run", "--outcomes", SHIPPED, *TIERS), "has none of the 21 cases"),
    ):
        ran = twinbench(*run, *more)
        assert (ran.code, said in ran.err) == (2, True), ran.err


def test_the_library_foresees_the_hundred_of_the_paper() -> None:
    from twinbench.api.outcomes import foresee_cases, named_splits

    found = foresee_cases(SHIPPED, POOL, sorted(named_splits()["heldout100"]))
    assert {tier: round(usd) for tier, usd in found.cost_usd().items()} == {
        "low": 16,
        "mid": 19,
        "mid_high": 42,
        "high": 71,
    }
    assert found.detectable_points is not None
    assert found.detectable_points > 8
