"""In which order routers are asked: it tells them nothing, and changes no honest router's score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from tests.banks import Row, a_row, import_rows
from tests.cli.commands import twinbench
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store

TRAJECTORIES_OF_A_LABEL = 10

COUNTER = f'''
class Counter:
    """Knows nothing but how many sessions were started before."""

    def __init__(self):
        self.started = 0
        self.place = {{}}

    def start(self, session):
        self.place[session] = self.started
        self.started += 1

    def route(self, call):
        return ["low", "mid", "mid_high", "high"][min(3, self.place[call.session] // {TRAJECTORIES_OF_A_LABEL})]
'''


class Steady:
    """Decides by the call alone, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def route(self, call: Call) -> Decision:
        self.asked.append(call.session)
        return Decision(Tier(len(str(call.messages)) % 4), score=0.5)


def sorted_by_label() -> list[Row]:
    rows = []
    for number in range(4 * TRAJECTORIES_OF_A_LABEL):
        row = a_row(number // TRAJECTORIES_OF_A_LABEL, instance=f"i-{number:02}", total_steps=1)
        rows.append(row | {"messages": [{"role": "user", "content": f"Do it{'!' * (number % 7)}"}]})
    return rows


@pytest.fixture
def banked(store: Store) -> Store:
    import_rows(sorted_by_label(), store, "sorted")
    return store


@pytest.fixture
def counter(tmp_path: Path) -> str:
    path = tmp_path / "counter.py"
    path.write_text(COUNTER, "utf-8")
    return f"{path}:Counter"


@pytest.mark.slow
def test_a_router_that_counts_sessions_scores_no_better_than_chance(banked: Store, counter: str) -> None:
    exact = []
    for order_seed in range(3):
        board = tb.score(counter, "sorted", order_seed=order_seed, resampling=None, store=banked.root)
        found = {entry.router: entry.score.scores["row_exact"] or 0.0 for entry in board.entries}
        exact.append(found[counter])
        assert found["labels"] == 100
    # By chance 25 % of 40 rows, with a standard deviation of 7 points; in the bank's order it was 100.
    assert all(each <= 25 + 3 * 7 for each in exact), exact


@pytest.mark.slow
def test_and_it_does_not_pass_the_check(banked: Store, counter: str) -> None:
    ran = twinbench("router", "check", counter, "--bank", "sorted", "--store", banked.root, "--json")
    assert ran.code == 1
    checks = {each["name"]: each for each in ran.json["checks"]}
    assert [name for name, each in checks.items() if each["status"] == "fail"] == ["order of sessions"]
    assert "decided differently" in checks["order of sessions"]["reason"]
    assert ran.json["order_seed"] == 0


@pytest.mark.slow
def test_the_order_changes_nothing_for_a_router_that_decides_by_the_call(banked: Store) -> None:
    def told(order_seed: int) -> tuple[list[str], list[Any]]:
        router = Steady()
        board = tb.score(router, "sorted", order_seed=order_seed, store=banked.root)
        return router.asked, [
            {key: value for key, value in entry.to_json().items() if key != "latency_ms"} for entry in board.entries
        ]

    (first, scores), (other, others) = told(0), told(1)
    assert first != other
    assert sorted(first) == sorted(other)
    assert scores == others
    assert told(0)[0] == first


def test_answers_stand_in_the_order_of_the_bank_s_rows(banked: Store, tmp_path: Path) -> None:
    target = tmp_path / "p.jsonl"
    command = ("static", "predict", "depth-rule", "--bank", "sorted", "--store", banked.root, "-o", target, "--json")
    assert twinbench(*command, "--order-seed", "3").succeeded().json["order_seed"] == 3
    dealt = target.read_text("utf-8")
    twinbench(*command).succeeded()
    assert target.read_text("utf-8") == dealt
    with Bank.open("sorted", banked) as bank:
        assert [line.split('"')[3] for line in dealt.splitlines()] == list(bank.row_ids)
        assert list(Evaluator(bank).predictions(Steady()).row_nos) == list(range(40))


@pytest.mark.slow
def test_answers_are_kept_by_order_and_json_says_which_it_was(banked: Store, tmp_path: Path) -> None:
    log = tmp_path / "log"
    router = tmp_path / "logging_router.py"
    router.write_text(
        "class Logging:\n"
        "    def route(self, call):\n"
        f"        open({str(log)!r}, 'a').write('.')\n"
        "        return 'low'\n",
        "utf-8",
    )

    def asked(order_seed: int) -> int:
        before = len(log.read_text()) if log.exists() else 0
        command = ("static", "score", f"{router}:Logging", "--bank", "sorted", "--resamples", "0", "--json")
        ran = twinbench(*command, "--order-seed", str(order_seed), "--store", banked.root).succeeded()
        assert ran.json["order_seed"] == order_seed
        return len(log.read_text()) - before

    assert [asked(0), asked(0), asked(7), asked(7)] == [40, 0, 40, 0]


@pytest.mark.slow
def test_a_table_names_another_order_than_the_usual_one(banked: Store) -> None:
    command = ("static", "score", "--bank", "sorted", "--resamples", "0", "--store", banked.root)
    assert "order" not in twinbench(*command).succeeded().text
    assert "in the order of --order-seed 5" in twinbench(*command, "--order-seed", "5").succeeded().text


def test_an_order_seed_that_is_none_is_wrong_usage(banked: Store) -> None:
    for wrong in ("-1", "x"):
        ran = twinbench("static", "score", "--bank", "sorted", "--order-seed", wrong, "--store", banked.root)
        assert ran.code == 2
        assert "--order-seed" in ran.err
