"""The table of routers: who stands in it, what is kept and when it is asked again."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from static_track import references
from static_track.banks.bank import Bank
from static_track.board import Board
from static_track.evaluator import Evaluator
from static_track.results import ResultCache
from tests.banks import a_row, a_trajectory, import_rows, write_jsonl
from twinbench.errors import ContentError, UsageError
from twinbench.routing.router import Call
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.storage.published import published_results
from twinbench.storage.store import Store

ROWS = [
    *a_trajectory([0, 1, 3], instance="i-1"),
    *a_trajectory([2, 0], instance="i-2"),
    *a_trajectory([0, 0, 1, 2], workload="bfcl", instance="i-1"),
]
COUNTING_ROUTER = """
    import sibling

    class Counting:
        def __init__(self, log: str, tier: str = "mid") -> None:
            self._log = log
            self._tier = tier

        def route(self, call):
            with open(self._log, "a") as log:
                log.write(".")
            return sibling.confirmed(self._tier)
"""
SIBLING = """
    def confirmed(tier):
        return tier
"""


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the bank and the scores of its references, which take the longest."""
    store = Store(tmp_path_factory.mktemp("kept") / "store")
    import_rows(ROWS, store)
    with Bank.open("bank", store) as opened:
        Evaluator(opened).board([])
    return store


@pytest.fixture
def bank(store: Store, _kept: Store) -> Iterator[Bank]:
    shutil.copytree(_kept.root, store.root)
    with Bank.open("bank", store) as opened:
        yield opened


class Counted:
    """A router of a file, and how often it was asked so far."""

    def __init__(self, folder: Path) -> None:
        self.file = write(folder / "counting.py", COUNTING_ROUTER)
        self.sibling = write(folder / "sibling.py", SIBLING)
        self._log = folder / "log"

    def spec(self, more: str = "") -> str:
        return f"{self.file}:Counting?log={self._log}{more}"

    def asked(self) -> int:
        """Decisions since the last look."""
        count = self._log.stat().st_size if self._log.exists() else 0
        self._log.unlink(missing_ok=True)
        return count


def write(path: Path, code: str) -> Path:
    path.write_text(textwrap.dedent(code), "utf-8")
    return path


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    folder = tmp_path / "routers"
    folder.mkdir()
    return Counted(folder)


def names(board: Board) -> list[tuple[str, bool]]:
    return [(entry.router, entry.reference) for entry in board.entries]


# --- Who stands in the table ----------------------------------------------------------------------------------------


def test_those_asked_for_come_first_and_in_order_then_every_reference(bank: Bank, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"id": row["id"], "tier_id": 3} for row in ROWS])
    board = Evaluator(bank).board(["sticky", "depth-rule?mid=4"], [str(path)])
    assert names(board) == [
        ("sticky", False),
        ("depth-rule?mid=4", False),
        (f"predictions:{path}", False),
        *((name, True) for name in references.NAMES),
    ]
    constants = [f"always-{label}" for label in TIER_LABELS]
    assert list(references.NAMES) == [*constants, "random", "labels", "cost-optimal"]


def test_a_broken_prediction_file_is_refused_before_a_router_is_asked(
    bank: Bank, counted: Counted, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"id": row["id"], "tier_id": 9} for row in ROWS])
    with pytest.raises(ContentError):
        Evaluator(bank).board([counted.spec()], [str(path)])
    assert counted.asked() == 0


def test_a_reference_that_was_asked_for_stands_once_and_as_a_router(bank: Bank) -> None:
    board = Evaluator(bank).board(["random", "always-high"])
    assert names(board)[:2] == [("random", False), ("always-high", False)]
    assert [name for name, reference in names(board) if reference] == [
        name for name in references.NAMES if name not in ("random", "always-high")
    ]


def test_a_reference_with_arguments_is_another_router(bank: Bank) -> None:
    board = Evaluator(bank).board(["random?seed=7"])
    assert ("random?seed=7", False) in names(board)
    assert ("random", True) in names(board)


def test_two_instances_of_a_class_have_a_line_and_a_score_each(bank: Bank) -> None:
    class Fixed:
        def __init__(self, tier: Tier) -> None:
            self._tier = tier

        def route(self, call: Call) -> Tier:
            return self._tier

    board = Evaluator(bank).board([Fixed(Tier.LOW), Fixed(Tier.HIGH)])
    by_name = {entry.router: entry.score.scores for entry in board.entries}
    assert names(board)[:2] == [("instance:Fixed", False), ("instance:Fixed#2", False)]
    assert by_name["instance:Fixed"] == by_name["always-low"]
    assert by_name["instance:Fixed#2"] == by_name["always-high"]


def test_labels_score_100_but_for_their_cost_and_cost_optimal_saves_at_least_as_much(bank: Bank) -> None:
    scores = {entry.router: entry.score.scores for entry in Evaluator(bank).board([]).entries}
    labels, optimal = scores["labels"], scores["cost-optimal"]
    assert (labels["row_pass"], labels["row_exact"], labels["traj_pass"]) == (100, 100, 100)
    assert (optimal["row_pass"], optimal["traj_pass"]) == (100, 100)
    assert optimal["cost_save"] is not None
    assert labels["cost_save"] is not None
    assert optimal["cost_save"] >= labels["cost_save"]


def test_the_published_row_of_always_high_follows_from_the_label_counts(store: Store) -> None:
    published = published_results()
    counts = published["official_bank"]["rows_by_workload_and_tier"]
    rows = [
        a_row(tier, workload=workload, instance=f"{tier}-{number}")
        for workload, of_tier in counts.items()
        for tier, count in enumerate(of_tier)
        for number in range(count)
    ]
    info = import_rows(rows, store, "counts")
    (row,) = (row for row in published["static_970_rows"] if row["router"] == "always-high")
    assert info.rows == published["official_bank"]["rows"]
    with Bank.open("counts", store) as bank:
        (scores,) = (e.score.scores for e in Evaluator(bank).board([]).entries if e.router == "always-high")
    assert {name: round(value or 0, 2) for name, value in scores.items()} == {
        name: value for name, value in row.items() if name != "router"
    }


# --- What is kept ---------------------------------------------------------------------------------------------------


def test_the_same_router_on_the_same_bank_is_not_asked_twice_unless_fresh(bank: Bank, counted: Counted) -> None:
    first = Evaluator(bank).board([counted.spec()])
    assert counted.asked() == len(ROWS)
    again = Evaluator(bank).board([counted.spec()])
    assert counted.asked() == 0
    assert again.to_json(legacy=True) == first.to_json(legacy=True)  # the measured latency too
    Evaluator(bank, no_cache=True).board([counted.spec()])
    assert counted.asked() == len(ROWS)


def test_predictions_that_were_kept_serve_the_score_and_the_other_way_round(bank: Bank, counted: Counted) -> None:
    predicted = Evaluator(bank).predictions(counted.spec())
    assert counted.asked() == len(ROWS)
    Evaluator(bank).board([counted.spec()])
    again = Evaluator(bank).predictions(counted.spec())
    assert counted.asked() == 0
    assert again.fingerprint == predicted.fingerprint
    assert list(again.latencies_ms or ()) == list(predicted.latencies_ms or ())


@pytest.mark.acceptance
def test_a_part_and_a_bank_of_other_rows_are_asked_about_anew(bank: Bank, counted: Counted, store: Store) -> None:
    Evaluator(bank).board([counted.spec()])
    counted.asked()
    Evaluator(bank, split=part_of(bank)).board([counted.spec()])
    assert 0 < counted.asked() < len(ROWS)
    import_rows(ROWS[:-1], store, replace=True)
    with Bank.open("bank", store) as other:
        Evaluator(other).board([counted.spec()])
    assert counted.asked() == len(ROWS) - 1


def part_of(bank: Bank) -> str:
    bank.make_split("default", "train=1,test=1", seed=0)
    return "train"


def test_the_same_rows_under_another_name_are_the_same_bank(bank: Bank, counted: Counted, store: Store) -> None:
    Evaluator(bank).board([counted.spec()])
    counted.asked()
    import_rows(ROWS[::-1], store, "twin")
    with Bank.open("twin", store) as twin:
        Evaluator(twin).board([counted.spec()])
    assert counted.asked() == 0


@pytest.mark.parametrize("change", ["file", "sibling", "argument"])
def test_an_edit_of_what_a_router_depends_on_has_it_asked_again(change: str, bank: Bank, counted: Counted) -> None:
    before = Evaluator(bank).board([counted.spec()]).entries[0]
    counted.asked()
    more = ""
    if change == "file":
        write(counted.file, COUNTING_ROUTER.replace('"mid"', '"high"'))
    elif change == "sibling":
        write(counted.sibling, SIBLING.replace("return tier", "return 'high'"))
    else:
        more = "&tier=high"
    after = Evaluator(bank).board([counted.spec(more)]).entries[0]
    assert counted.asked() == len(ROWS)
    assert before.score.scores != after.score.scores
    assert after.score.scores["row_pass"] == 100


def test_an_instance_is_never_kept(bank: Bank, store: Store) -> None:
    class Counting:
        asked = 0

        def route(self, call: Call) -> str:
            self.asked += 1
            return "low"

    router = Counting()
    Evaluator(bank).board([router])
    Evaluator(bank).board([router])
    assert router.asked == 2 * len(ROWS)
    with ResultCache(store).connect() as connection:
        kept = connection.execute("SELECT DISTINCT router FROM predictions").fetchall()
    assert sorted(name for (name,) in kept) == sorted(references.NAMES)


def test_a_router_that_was_given_up_on_is_asked_again(store: Store, tmp_path: Path) -> None:
    import_rows([a_row(instance=f"i-{number}") for number in range(12)], store)
    log = tmp_path / "log"
    failing = f"""
        class Failing:
            def route(self, call):
                open({str(log)!r}, "a").write(".")
                raise RuntimeError("down")
    """
    spec = f"{write(tmp_path / 'failing.py', failing)}:Failing"
    for times in (1, 2):
        with Bank.open("bank", store) as bank:
            entry = Evaluator(bank).board([spec]).entries[0]
        assert entry.given_up
        assert entry.score.counts["errors"] == 12
        assert "down" in (entry.first_error or "")
        assert log.stat().st_size == 10 * times


def test_what_is_kept_can_be_queried(bank: Bank, store: Store) -> None:
    board = Evaluator(bank).board(["depth-rule?mid=4"])
    with ResultCache(store).connect() as connection:
        combined = dict(connection.execute("SELECT router, combined FROM scores").fetchall())
        rows = connection.execute("SELECT sum(rows) FROM trajectories WHERE router = 'labels'")
        assert rows.fetchone() == (len(ROWS),)
        d_usd = connection.execute("SELECT sum(d_usd) FROM workloads WHERE router = 'labels'").fetchone()
        assert connection.execute("SELECT count(*) FROM predictions WHERE router = 'labels'").fetchone() == (len(ROWS),)
    assert combined == {entry.router: entry.score.scores["combined"] for entry in board.entries}
    (labels,) = (entry for entry in board.entries if entry.router == "labels")
    assert d_usd is not None
    assert d_usd[0] == pytest.approx(sum(block["d_usd"] for block in labels.score.by_workload.values()))


def test_a_store_without_results_has_views_of_none(store: Store) -> None:
    with ResultCache(store).connect() as connection, pytest.raises(duckdb.CatalogException):
        connection.execute("FROM scores")


# --- What cannot be scored ------------------------------------------------------------------------------------------


def test_a_router_that_does_not_exist_is_wrong_usage(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody"):
        Evaluator(bank).board(["nobody"])
    with pytest.raises(UsageError, match=r"file .*missing\.py does not exist"):
        Evaluator(bank).board([f"{tmp_path / 'missing.py'}:Mine"])


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([{"id": ROWS[0]["id"], "tier_id": 4}], "line 1, field tier_id: must be 0, 1, 2 or 3"),
        ([{"id": "nobody", "tier_id": 1}], "line 1, field id: the bank has no row 'nobody'"),
        ([{"id": ROWS[0]["id"], "tier_id": 0}] * 2, "line 2, field id: 'swebench/i-1/1' is a duplicate of line 1"),
    ],
)
def test_a_prediction_file_that_is_refused_names_its_line(
    records: list[dict[str, Any]], said: str, bank: Bank, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", records)
    with pytest.raises(ContentError) as refused:
        Evaluator(bank).board([], [str(path)])
    assert f"{path}, {said}" in str(refused.value)


def test_a_row_without_a_prediction_is_an_error_and_rows_of_other_parts_are_left_out(
    bank: Bank, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"id": row["id"], "tier_id": 3} for row in ROWS[1:]])
    whole = Evaluator(bank).board([], [str(path)]).entries[0].score
    assert whole.counts["errors"] == 1
    part = Evaluator(bank, split=part_of(bank)).board([], [str(path)])
    assert part.rows < len(ROWS)
    assert part.entries[0].score.counts["rows"] == part.rows
