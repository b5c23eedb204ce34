"""Intervals of bills and resolved shares, and tests of pairs of runs, on arrays of cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from dynamic_track.results.live_score import order_text
from twinbench.statistics import Resampling
from twinbench.statistics.bills import compare_bills, rank_bills, run_intervals
from twinbench.statistics.clusters import Floats
from twinbench.statistics.intervals import exact_bound

QUICK = Resampling(500)
PENALTY = 0.6


def names(count: int) -> list[str]:
    return [f"case-{number:03}" for number in range(count)]


def cases(unresolved: Sequence[float], trials: int = 1, seed: int = 0) -> Floats:
    """Cases with uneven costs: trials, cost in USD, unresolved trials."""
    cost = np.random.default_rng(seed).lognormal(-2, 0.6, len(unresolved))
    return trials * np.stack([np.ones(len(unresolved)), cost, np.array(unresolved, float)], axis=1)


@pytest.mark.parametrize(("resolved", "of"), [(2, 21), (19, 21), (59, 60)])
def test_the_ends_of_a_resolved_share_are_possible(resolved: int, of: int) -> None:
    found, reason = run_intervals(names(of), cases([1] * (of - resolved) + [0] * resolved), PENALTY, QUICK)
    assert reason is None
    assert found["resolved"] is not None
    low, high = found["resolved"]
    assert 0 < low < 100 * resolved / of < high < 100
    wanted = 100 * np.array(proportion_confint(resolved, of, 0.05, "wilson"))
    assert [low, high] == pytest.approx(wanted, abs=3)


def test_trials_of_one_case_are_one_case() -> None:
    unresolved = [1, 0, 0] * 7
    once, _ = run_intervals(names(21), cases(unresolved), PENALTY, QUICK)
    five_times, _ = run_intervals(names(21), cases(unresolved, trials=5), PENALTY, QUICK)
    assert once["resolved"] == pytest.approx(five_times["resolved"], rel=0.005)
    assert five_times["bill_usd"] == pytest.approx(5 * np.array(once["bill_usd"]))


def test_where_every_case_is_resolved_the_bill_reaches_up_by_the_penalty_of_the_exact_bound() -> None:
    found, _ = run_intervals(names(20), cases([0] * 20), PENALTY, QUICK)
    bill, cost = found["bill_usd"], found["cost_usd"]
    assert bill is not None
    assert cost is not None
    bound = exact_bound(20, 0.95)
    assert (bill[0], bill[1] - cost[1]) == pytest.approx((cost[0], 20 * PENALTY * bound))
    assert found["resolved"] == pytest.approx((100 - 100 * bound, 100))


def test_where_no_case_is_resolved_the_bill_reaches_down() -> None:
    found, _ = run_intervals(names(20), cases([1] * 20), PENALTY, QUICK)
    bill, cost = found["bill_usd"], found["cost_usd"]
    assert bill is not None
    assert cost is not None
    bound = exact_bound(20, 0.95)
    assert bill == pytest.approx((cost[0] + 20 * PENALTY * (1 - bound), cost[1] + 20 * PENALTY))
    assert found["resolved"] == pytest.approx((0, 100 * bound))


def test_too_few_cases_and_no_resamples_give_a_reason() -> None:
    few, reason = run_intervals(names(5), cases([0] * 5), PENALTY, QUICK)
    assert set(few.values()) == {None}
    assert reason == "only 5 cases with a verdict, but an interval at this level needs 6"
    nothing, reason = run_intervals(names(20), cases([0] * 20), PENALTY, None)
    assert set(nothing.values()) == {None}
    assert reason == "not asked for: 0 resamples"
    one = cases([0, 1, 0, 0, 0])
    found = compare_bills(names(5), one, cases([0] * 5), PENALTY, QUICK)
    assert (found.ends, found.p, found.needed_cases) == (None, None, None)


@pytest.mark.parametrize("differing", [1, 3, 5])
def test_few_cases_that_differ_prove_nothing(differing: int) -> None:
    """The bootstrap alone rejects from four on."""
    worse = cases([1] * differing + [0] * (60 - differing))
    found = compare_bills(names(60), worse, cases([0] * 60), PENALTY, Resampling())
    assert found.difference_usd == pytest.approx(differing * PENALTY)
    assert found.p is not None
    assert found.p >= 2 / 2**differing
    assert found.ends is not None
    assert found.ends[0] <= 0 < found.ends[1]


def test_many_cases_that_differ_are_a_difference() -> None:
    worse = cases([1] * 20 + [0] * 40)
    found = compare_bills(names(60), worse, cases([0] * 60), PENALTY, Resampling())
    assert found.p is not None
    assert found.p < 1e-4
    assert found.ends is not None
    assert 0 < found.ends[0] < found.difference_usd < found.ends[1]
    assert found.needed_cases is not None
    assert found.needed_cases < 60


def test_runs_that_never_differ_have_no_interval() -> None:
    one = cases([1, 0, 0] * 5)
    found = compare_bills(names(15), one, one, PENALTY, QUICK)
    assert (found.difference_usd, found.ends, found.p) == (0, None, 1)
    assert found.reason == "they differ on no case"


def test_the_same_difference_on_every_case_has_an_interval_still() -> None:
    solved = cases([0] * 20)
    found = compare_bills(names(20), solved + np.array([0, 0, 1]), solved, PENALTY, QUICK)
    reach = 20 * PENALTY * exact_bound(20, 0.95)
    assert found.ends == pytest.approx((20 * PENALTY - reach, 20 * PENALTY + reach))
    assert found.p is not None
    assert found.p < 1e-4


# --- Several runs ---------------------------------------------------------------------------------------------------


def test_runs_that_are_not_told_apart_share_their_ranks() -> None:
    good, twin, bad = cases([0] * 36 + [1] * 4), cases([0] * 35 + [1] * 5, seed=1), cases([0] * 5 + [1] * 35, seed=2)
    ranks = rank_bills(names(40), {"good": good, "twin": twin, "bad": bad}, PENALTY, Resampling())
    assert ranks == {"good": (1, 2), "twin": (1, 2), "bad": (3, 3)}
    assert order_text(["good", "twin", "bad"], ranks) == "good, twin < bad"
    assert order_text(["good", "twin", "bad"], None) == "good, twin, bad"


def test_ranks_are_corrected_for_all_pairs() -> None:
    """Seven cases on one side are a difference by themselves, and none among ten pairs."""
    base = cases([0] * 40)
    others = {f"same-{number}": base for number in range(3)}
    worse = cases([1] * 7 + [0] * 33)
    alone = rank_bills(names(40), {"base": base, "worse": worse}, PENALTY, Resampling())
    assert alone == {"base": (1, 1), "worse": (2, 2)}
    among = rank_bills(names(40), {"base": base, **others, "worse": worse}, PENALTY, Resampling())
    assert among is not None
    assert set(among.values()) == {(1, 5)}


def test_without_cases_or_resamples_nothing_is_ranked() -> None:
    none = np.zeros((0, 3))
    assert rank_bills([], {"one": none, "two": none}, PENALTY, QUICK) == {"one": (1, 2), "two": (1, 2)}
    assert rank_bills(names(20), {"one": cases([0] * 20), "two": cases([1] * 20)}, PENALTY, None) is None


def test_a_rank_that_overlaps_is_no_order() -> None:
    """The first is better than the last alone: nothing is proven of those between."""
    ranks = {"a": (1, 2), "b": (1, 3), "c": (2, 3)}
    assert order_text(["a", "b", "c"], ranks) == "a, b, c"
    assert order_text(["a"], {"a": (1, 1)}) == "a"
