"""Intervals of scores: from the sums of the scores, for kept scores as for new ones, none where there is too little."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.banks.bank import Bank
from static_track.banks.embedded_names import DEFAULT_BANK
from static_track.board import Board
from static_track.evaluator import Evaluator
from static_track.intervals import Interval, RouterSample
from static_track.metrics import SCORES
from static_track.trajectory_parts import IF_PASSING, PASSING, ROWS, N, TrajectoryParts, headline
from tests import strategies
from tests.banks import Row, a_trajectory, import_rows
from tests.examples import examples
from tests.static_track import in_memory
from twinbench.errors import UsageError
from twinbench.statistics import Resampling
from twinbench.statistics.intervals import exact_bound
from twinbench.storage.store import Store

QUICK = Resampling(resamples=200)
ROUTERS = ["depth-rule?mid=2&high=4", "sticky?at_least=mid"]


def rows_of(count: int, seed: int = 0, workloads: tuple[str, ...] = ("bfcl", "swebench")) -> list[Row]:
    """Trajectories with labels at random."""
    drawn = random.Random(seed)  # noqa: S311 - no secret
    return [
        row
        for number in range(count)
        for row in a_trajectory(
            [drawn.choice([0, 0, 1, 2, 3]) for _ in range(drawn.randint(1, 5))],
            workload=workloads[number % len(workloads)],
            instance=f"i-{number}",
        )
    ]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    store = Store(tmp_path_factory.mktemp("intervals") / "store")
    import_rows(rows_of(24), store)
    with Bank.open("bank", store) as opened:
        yield opened


def intervals(board: Board) -> dict[str, Any]:
    """Of every router, with its rank."""
    return {
        entry["router"]: (entry["intervals"], entry["no_interval"], entry["rank"])
        for entry in board.to_json()["routers"]
    }


@st.composite
def scored_banks(draw: st.DrawFn) -> tuple[list[Row], list[dict[str, int | None]]]:
    rows = draw(strategies.banks())
    return rows, draw(st.lists(strategies.predictions(rows), min_size=1, max_size=3))


# --- The same numbers -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@examples(10, 150)
@given(scored_banks())
def test_the_sums_that_are_drawn_again_give_the_printed_metrics_to_the_last_bit(
    case: tuple[list[Row], list[dict[str, int | None]]],
) -> None:
    rows, answers = case
    parsed = in_memory.parsed(rows)
    scorer = in_memory.scorer_of(parsed)
    scorer.load([in_memory.in_row_order(parsed, each) for each in answers])
    parts = scorer.parts()
    for number, printed in enumerate(scorer.scores()):
        assert parts[number].metrics() == dict(printed.scores)


def test_sums_beyond_64_bits_are_exact() -> None:
    large = 2**62 + 1
    values = np.array([[1, 1, 1, 1, large, large - 3]] * 5)
    found = TrajectoryParts(["w"] * 5, list("abcde"), values).metrics()
    assert found["cost_save"] == 100 * float(5 * (large - 3)) / float(5 * large)


def test_a_resample_is_scored_as_a_bank_would_be() -> None:
    sums = np.array([[[10, 8, 5, 6, 100, 40], [30, 30, 3, 30, 0, 0]]], np.float64)
    assert headline(sums).tolist() == [[95.0, 20.0, 90.0, 0.25 * 40, (95 + 20 + 90 + 10) / 4]]


# --- What is kept ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_kept_score_has_the_intervals_of_a_new_one(bank: Bank) -> None:
    new = intervals(Evaluator(bank, no_cache=True).board(ROUTERS, resampling=QUICK))
    kept = intervals(Evaluator(bank).board(ROUTERS, resampling=QUICK))
    assert kept == new
    assert any(ends is not None for ends in kept[ROUTERS[0]][0].values())


def test_other_settings_are_other_intervals_of_the_same_kept_score(bank: Bank) -> None:
    def interval(resampling: Resampling) -> list[float]:
        found: list[float] = intervals(Evaluator(bank).board(ROUTERS, resampling=resampling))[ROUTERS[0]][0]["combined"]
        return found

    low, high = interval(QUICK)
    assert interval(QUICK) == [low, high]
    wide_low, wide_high = interval(Resampling(200, level=0.99))
    assert wide_low < low < high < wide_high
    assert interval(Resampling(200, seed=1)) != [low, high]


@pytest.mark.slow
def test_a_kept_score_without_its_trajectories_is_made_again(bank: Bank) -> None:
    before = intervals(Evaluator(bank).board(ROUTERS, resampling=QUICK))
    for path in (bank.store.root / "scores").rglob("trajectories.parquet"):
        path.write_bytes(b"no parquet")
    assert intervals(Evaluator(bank).board(ROUTERS, resampling=QUICK)) == before


def test_without_resampling_nothing_is_said(bank: Bank) -> None:
    board = Evaluator(bank).board(ROUTERS).to_json()
    assert board["resampling"] is None
    assert {(entry["intervals"], entry["rank"]) for entry in board["routers"]} == {(None, None)}


@pytest.mark.slow
def test_the_order_of_rows_and_the_other_routers_change_nothing(bank: Bank, tmp_path: Path) -> None:
    shuffled = rows_of(24)
    random.Random(4).shuffle(shuffled)  # noqa: S311 - no secret
    store = Store(tmp_path / "store")
    import_rows(shuffled, store)
    with Bank.open("bank", store) as other:
        there = intervals(Evaluator(other).board(ROUTERS[:1], resampling=QUICK))
    here = intervals(Evaluator(bank).board(ROUTERS, resampling=QUICK))
    assert there[ROUTERS[0]][:2] == here[ROUTERS[0]][:2]
    assert there["always-low"][:2] == here["always-low"][:2]


# --- Too little, and the ends ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (a_trajectory([0, 1, 3]), "1 trajectory, but an interval at this level needs 6"),
        (rows_of(4), "4 trajectories, but an interval at this level needs 6"),
        (
            [*rows_of(12), *a_trajectory([1] * 60, workload="rare")],
            "workload rare has 59 % of all rows in only 1 trajectory",
        ),
    ],
)
def test_too_little_gives_a_reason_instead_of_an_interval(rows: list[Row], said: str, store: Store) -> None:
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        board = Evaluator(bank).board(["sticky"], resampling=QUICK)
        comparison = Evaluator(bank).compare(["sticky", "always-low"], [], QUICK).to_json()
    ranked = len(board.entries) - 2
    for ends, reasons, rank in intervals(board).values():
        assert ends == dict.fromkeys(SCORES)
        assert set(reasons) == set(SCORES)
        assert all(said in reason for reason in reasons.values())
        assert rank in ([1, ranked], None)
    for each in comparison["pairs"][0]["differences"].values():
        assert each["interval"] is each["p"] is each["p_holm"] is each["needed_trajectories"] is None
        assert said in each["no_interval"]
        assert each["difference"] is not None
    assert comparison["pairs"][0]["mcnemar"]["p"] <= 1  # it is exact, so it holds for few


def test_a_rate_of_0_or_100_has_an_exact_interval(bank: Bank) -> None:
    found = intervals(Evaluator(bank).board(["always-high"], resampling=QUICK))
    bound = 100 * exact_bound(24, 0.95)
    assert bound == pytest.approx(14.247, abs=0.001)
    for metric in ("row_pass", "traj_pass"):
        assert found["always-high"][0][metric] == [100 - bound, 100]
    assert found["always-high"][0]["cost_save"] is None
    assert found["always-high"][1] == {"cost_save": "the same on every trajectory"}
    low, high = found["always-high"][0]["combined"]
    assert high - low > 2 * bound / 4  # what may be amiss with its parts is in the mean too


def test_a_rate_of_0_has_an_exact_interval() -> None:
    values = np.array([[3, 1, 0, 0, 100, -10 - number] for number in range(12)])
    found = RouterSample([TrajectoryParts(["w"] * 12, [str(number) for number in range(12)], values)], QUICK).intervals(
        0
    )
    for metric in ("row_exact", "traj_pass"):
        assert found[metric].to_json() == pytest.approx([0, 100 * exact_bound(12, 0.95)])


def test_what_is_undefined_has_no_interval() -> None:
    values = np.array([[3, 0, 0, 0, 0, 0]] * 8)
    sample = RouterSample([TrajectoryParts(["w"] * 8, [str(number) for number in range(8)], values)] * 2, QUICK)
    assert sample.intervals(0)["cost_save"].reason == "undefined"
    assert sample.differences(0, 1)["combined"].difference is None
    assert sample.ranks([0, 1]) == {}


def test_the_ends_of_a_rate_are_possible() -> None:
    found = RouterSample([passing([True] * 2 + [False] * 19)], QUICK).intervals(0)["traj_pass"].to_json()
    assert found is not None
    assert 0 < found[0] < 100 * 2 / 21 < found[1] < 35


def test_where_every_trajectory_passes_cost_save_reaches_down_by_what_may_fail() -> None:
    values = np.array([[2, 2, 1, 2, 100, 60 + number] for number in range(20)])
    found = RouterSample(
        [TrajectoryParts(["w"] * 20, [f"{number:02}" for number in range(20)], values)], QUICK
    ).intervals(0)
    assert found["cost_save"].ends is not None
    low, high = found["cost_save"].ends
    assert low < 69.5 - 100 * exact_bound(20, 0.95)
    assert 69.5 < high < 75


# --- Few trajectories in a workload ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_embedded_bank_has_intervals(embedded_store: Store) -> None:
    with Bank.open(DEFAULT_BANK, embedded_store) as bank:
        board = Evaluator(bank).board(["sticky"], resampling=QUICK)
    found = intervals(board)["sticky"]
    assert all(ends is not None for ends in found[0].values())
    assert found[1] == {}


def in_workloads(sizes: dict[str, int], rate: float = 0.7, rows: int = 3) -> TrajectoryParts:
    """Trajectories of workloads, of which that share passes."""
    drawn = random.Random(1)  # noqa: S311 - no secret
    workloads = [name for name, size in sizes.items() for _ in range(size)]
    values = []
    for number in range(len(workloads)):
        passes = drawn.random() < rate
        exact = drawn.randint(0, 2) if passes else drawn.randint(0, 1)
        values.append([rows, rows if passes else 1, exact, rows * passes, 100 + number, 60 if passes else -40])
    return TrajectoryParts(workloads, [f"{number:03}" for number in range(len(workloads))], np.array(values))


def test_a_single_trajectory_of_a_workload_takes_no_interval_away() -> None:
    sample = RouterSample([in_workloads({"a": 12, "alone": 1})], QUICK)
    assert sample.why_no_interval is None
    overall = sample.intervals(0)
    assert all(each.ends is not None for each in overall.values())
    by_workload = sample.by_workload(0)
    assert all(each.ends is not None for each in by_workload["a"].values())
    for each in by_workload["alone"].values():
        assert each.ends is None
        assert each.reason == "only 1 trajectory, but an interval at this level needs 6"


def test_an_interval_of_a_workload_is_that_of_a_bank_of_it_alone() -> None:
    both, alone = in_workloads({"a": 12, "b": 9}), in_workloads({"a": 12})
    assert RouterSample([both], QUICK).by_workload(0)["a"] == RouterSample([alone], QUICK).intervals(0)


def test_two_dear_trajectories_that_pass_do_not_make_an_interval_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = in_workloads({"a": 18, "dear": 2}, rate=0.8)
    values = parts.values.copy()
    values[18:] = [12, 12, 6, 12, 5000, 3000]

    def widths() -> dict[str, float]:
        found = RouterSample([TrajectoryParts(parts.workloads, parts.instances, values)], QUICK).intervals(0)
        return {name: each.ends[1] - each.ends[0] for name, each in found.items() if each.ends is not None}

    collapsed = widths()
    monkeypatch.setattr("twinbench.statistics.clusters.MIN_CLUSTERS_ALONE", 2)
    by_themselves = widths()
    assert set(collapsed) == set(by_themselves) == set(SCORES)
    for name in ("row_pass", "traj_pass", "cost_save", "combined"):
        assert collapsed[name] > 1.2 * by_themselves[name]


# --- Groups ---------------------------------------------------------------------------------------------------------


def several_draws(groups: int = 21, draws: int = 5) -> TrajectoryParts:
    """Several trajectories of each task, which all turn out alike."""
    one = in_workloads({"w": groups})
    values = np.repeat(one.values, draws, axis=0)
    names = [name for name in one.instances for _ in range(draws)]
    return TrajectoryParts(
        ["w"] * len(names), [f"{name}-{place % draws}" for place, name in enumerate(names)], values, names
    )


@pytest.mark.parametrize(("groups", "small"), [(99, True), (100, False)])
def test_fewer_than_a_hundred_groups_of_several_are_few(groups: int, small: bool) -> None:
    assert RouterSample([several_draws(groups, 2)], QUICK)._clusters.is_small == [small]


def test_draws_of_one_task_are_one_group() -> None:
    parts = several_draws()
    sample, once = RouterSample([parts], QUICK), RouterSample([in_workloads({"w": 21})], QUICK)
    assert (sample.groups, once.groups) == (21, 21)
    by_trajectory = RouterSample([TrajectoryParts(parts.workloads, parts.instances, parts.values)], QUICK)
    assert by_trajectory.groups == 105
    widths = {
        name: {metric: each.ends[1] - each.ends[0] for metric, each in found.intervals(0).items() if each.ends}
        for name, found in (("groups", sample), ("once", once), ("trajectories", by_trajectory))
    }
    for metric in SCORES:
        # Not the same to the last point: that all draws of a task turn out alike is learned from the tasks.
        assert 0.85 < widths["groups"][metric] / widths["once"][metric] < 1.35
        assert widths["groups"][metric] > 1.8 * widths["trajectories"][metric]


@pytest.mark.parametrize("grouped", [False, True])
def test_what_saves_nothing_wherever_has_no_interval_of_cost_save(grouped: bool) -> None:
    """As always-high: not by chance, so nothing is supposed of it, and no end lies above what is possible."""
    parts = several_draws()
    values = parts.values.copy()
    values[:, PASSING] = values[:, IF_PASSING] = values[:, ROWS]
    values[:, N] = 0
    alike = TrajectoryParts(parts.workloads, parts.instances, values, parts.groups if grouped else ())
    found = RouterSample([alike], QUICK).intervals(0)
    assert found["cost_save"] == Interval(None, "the same on every trajectory")
    assert found["traj_pass"].ends is not None


def test_tests_count_groups() -> None:
    """Five trajectories of one task that differ are one difference."""
    first = several_draws()
    values = first.values.copy()
    flipped = slice(0, 5)
    assert (values[flipped, 3] > 0).all()
    values[flipped, 1:4], values[flipped, 5] = 0, -40
    second = TrajectoryParts(first.workloads, first.instances, values, first.groups)
    sample = RouterSample([first, second], QUICK)
    split = sample.mcnemar(0, 1)
    assert (split.first_only, split.second_only, split.p) == (1, 0, 1)
    found = sample.differences(0, 1)["traj_pass"]
    assert found.p is not None
    assert found.p >= 0.9
    few = RouterSample([several_draws(5)], QUICK)
    assert few.why_no_interval == "only 5 groups, but an interval at this level needs 6"


def test_a_group_may_reach_over_workloads_and_is_drawn_as_one() -> None:
    parts = in_workloads({"a": 14, "b": 12})
    names = list(parts.instances)
    names[14:20] = names[0:6]  # six of b are near-duplicates of six of a
    sample = RouterSample([TrajectoryParts(parts.workloads, parts.instances, parts.values, names)], QUICK)
    assert sample.groups == 20
    assert sample.why_no_interval is None
    apart = RouterSample([parts], QUICK)
    for metric, each in sample.intervals(0).items():
        other = apart.intervals(0)[metric].ends
        assert each.ends is not None
        assert other is not None
        value = parts.metrics()[metric]
        assert value is not None
        assert each.ends[0] < value < each.ends[1]
        assert each.ends != other


def test_equal_instances_of_two_workloads_are_two_groups_by_default() -> None:
    parts = in_workloads({"a": 8, "b": 8})
    same = [f"{number % 8}" for number in range(16)]
    assert RouterSample([TrajectoryParts(parts.workloads, same, parts.values)], QUICK).groups == 16
    named = [f"task-{number % 8}" for number in range(16)]
    assert RouterSample([TrajectoryParts(parts.workloads, same, parts.values, named)], QUICK).groups == 8


# --- Comparing ------------------------------------------------------------------------------------------------------


def passing(flags: list[bool], rows: int = 2) -> TrajectoryParts:
    """A router that passes these trajectories whole and fails the others whole; what it costs is the same."""
    values = [[rows, rows * flag, 0, rows * flag, 100 + number, 10] for number, flag in enumerate(flags)]
    return TrajectoryParts(["w"] * len(flags), [f"{number:04}" for number in range(len(flags))], np.array(values))


def test_routers_that_never_differ_are_tied() -> None:
    one = passing([True, False] * 10)
    sample = RouterSample([one, one], QUICK)
    for each in sample.differences(0, 1).values():
        assert (each.difference, each.p, each.needed_trajectories) == (0, 1, None)
        assert each.interval.reason == "they differ on no trajectory"
    assert sample.ranks([0, 1]) == {0: (1, 2), 1: (1, 2)}


@pytest.mark.parametrize("differing", [1, 3, 5])
def test_few_trajectories_that_differ_prove_nothing(differing: int) -> None:
    sample = RouterSample(
        [passing([True] * 100), passing([number >= differing for number in range(100)])], Resampling()
    )
    found = sample.differences(0, 1)["traj_pass"]
    assert found.p is not None
    assert found.p >= sample.mcnemar(0, 1).p > 0.05
    assert found.interval.ends is not None
    assert found.interval.ends[0] <= 0 < found.interval.ends[1]
    assert sample.ranks([0, 1], "traj_pass") == {0: (1, 2), 1: (1, 2)}


def test_all_against_none_has_an_interval_still() -> None:
    sample = RouterSample([passing([True] * 20), passing([False] * 20)], QUICK)
    found = sample.differences(0, 1)["traj_pass"]
    assert found.difference == 100
    assert found.interval.to_json() == pytest.approx([100 - 200 * exact_bound(20, 0.95), 100])
    assert found.p is not None
    assert 2 / 2**20 <= found.p < 1e-4
    assert sample.ranks([0, 1], "traj_pass") == {0: (1, 1), 1: (2, 2)}


def test_a_comparison_is_of_every_pair_once_and_corrected_for_all(bank: Bank) -> None:
    routers = [*ROUTERS, "always-high", "random"]
    comparison = Evaluator(bank).compare(routers, [], Resampling())
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [
        (routers[first], routers[second]) for first in range(4) for second in range(first + 1, 4)
    ]
    scores = {entry.router: entry.score.scores for entry in comparison.entries}
    for pair in comparison.pairs:
        for metric, each in pair.differences.items():
            assert each.difference == (scores[pair.first][metric] or 0) - (scores[pair.second][metric] or 0)
            assert each.p is not None
            assert each.p_holm is not None
            assert each.p <= each.p_holm <= min(1, 6 * each.p)
    assert set(comparison.ranks) == set(SCORES)


@pytest.mark.parametrize("routers", [[], ["sticky"], ["sticky", "sticky"]])
def test_a_comparison_needs_two(routers: list[str], bank: Bank) -> None:
    with pytest.raises(UsageError, match="two different routers"):
        Evaluator(bank).compare(routers, [], QUICK)


def test_twice_the_trajectories_are_needed_for_a_difference_of_0_7_times_the_size() -> None:
    def needed(ahead: int) -> int:
        first = [number < 30 + ahead for number in range(400)]
        second = [number >= 370 for number in range(400)]
        sample = RouterSample([passing(first), passing(second)], Resampling())
        found = sample.differences(0, 1)["traj_pass"].needed_trajectories
        exact = sample.mcnemar_needed(sample.mcnemar(0, 1))
        assert found is not None
        assert exact is not None
        assert found == pytest.approx(exact, rel=0.1)
        return found

    assert needed(10) / needed(14) == pytest.approx(2 * 70 / 74, rel=0.15)
