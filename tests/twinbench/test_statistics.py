"""Intervals, tests and ranks: against scipy and statsmodels where these have them, and by what has to hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from tests.examples import examples
from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.comparing import (
    holm,
    mcnemar,
    needed_clusters,
    rank_columns,
    rank_ranges,
    rank_ranges_from_tests,
    rank_text,
    sign_test,
)
from twinbench.statistics.intervals import bca_intervals, exact_bound, p_values, share_interval
from twinbench.statistics.paired import MAX_SWAPPED_CLUSTERS, paired_p_value
from twinbench.statistics.sampling import (
    Distribution,
    bootstrap,
    resamples_per_batch,
    scale_to_integers,
    split_into_batches,
)
from twinbench.statistics.swapping import swap_test


def ratio(sums: Floats) -> Floats:
    """The second column of the first, over all strata."""
    totals = total(sums)
    return np.asarray(totals[..., 1:] / totals[..., :1])


def total(sums: Floats) -> Floats:
    """Of all strata."""
    return np.asarray(sums.sum(axis=-2))


def observed(count: int, seed: int = 0) -> Floats:
    """Observations of a size and what of it counts."""
    random = np.random.default_rng(seed)
    size = random.integers(1, 9, count)
    return np.stack([size, random.binomial(size, 0.7)], axis=1).astype(np.float64)


def one_stratum(count: int) -> Clusters:
    return Clusters.from_names([f"{number:05}" for number in range(count)])


# --- Drawing --------------------------------------------------------------------------------------------------------


def test_a_cluster_is_drawn_whole_and_within_its_stratum() -> None:
    clusters = Clusters.from_names(["b", "a", "b", "a", "c"], ["x", "x", "x", "y", "y"])
    assert (clusters.strata, clusters.sizes, len(clusters)) == (["x", "y"], [2, 2], 4)
    assert clusters.sum_by_cluster([[1.0], [10.0], [100.0], [1000.0], [10_000.0]]).tolist() == [
        [10],
        [101],
        [1000],
        [10_000],
    ]

    seen: set[float] = set()

    def watched(sums: Floats) -> Floats:
        seen.update(sums[..., 0].ravel().tolist())
        return total(sums)

    clusters = Clusters.from_names(["b", "a", "b"])
    bootstrap(clusters, [clusters.sum_by_cluster([[1.0], [10.0], [100.0]])], watched, Resampling(200))
    assert seen == {111, 20, 202}, "of two, one is drawn and counts twice"


def test_the_standard_error_of_a_sum_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(3).normal(5, 1, (40, 1))
    clusters = Clusters.from_names(
        [f"{number:02}" for number in range(40)], [f"{number // 10}" for number in range(40)]
    )
    (drawn,) = bootstrap(clusters, [values], total, Resampling(20_000))
    textbook = np.sqrt(sum(10 * np.var(values[start : start + 10], ddof=1) for start in range(0, 40, 10)))
    assert drawn.standard_error[0] == pytest.approx(textbook, rel=0.03)


# --- Strata of few clusters -----------------------------------------------------------------------------------------


def in_strata(*sizes: int) -> Clusters:
    strata = [f"{number}" for number, size in enumerate(sizes) for _ in range(size)]
    return Clusters.from_names([f"{number:03}" for number in range(len(strata))], strata)


def test_a_stratum_of_few_clusters_has_a_spread_though_they_agree() -> None:
    """Of two that agree nothing is known; all clusters together say how far one lies from another."""
    clusters, random = in_strata(2, 20), np.random.default_rng(1)
    values = np.stack([np.ones(22), np.concatenate([[1, 1], random.random(20) < 0.7])], axis=1)
    values[:2] *= 10  # half of the sample's size
    (drawn,) = bootstrap(clusters, [values], ratio, Resampling(4000))
    assert drawn.standard_error[0] > 0.5 * np.sqrt(0.7 * 0.3 / 2) * 0.6
    without = 0.5 * np.std(values[2:, 1], ddof=1) / np.sqrt(20)
    assert drawn.standard_error[0] > 1.5 * without


def test_what_is_drawn_for_a_stratum_of_few_clusters_is_centred_and_has_the_variance_of_its_parts() -> None:
    clusters, values = in_strata(3, 2, 12), observed(17, seed=4)
    best, worst = values.copy(), values.copy()
    best[:, 1], worst[:, 1] = values[:, 0], 0
    (drawn,) = bootstrap(clusters, [values], ratio, Resampling(40_000), [np.stack([best, worst])])
    assert drawn.point[0] == pytest.approx(values[:, 1].sum() / values[:, 0].sum())
    assert drawn.resampled.mean() == pytest.approx(drawn.point[0], abs=0.003)
    of_few = drawn.expected_draws[12:] * drawn.influence[12:] ** 2  # type: ignore[index]
    of_many = drawn.influence[:12] ** 2 * 12 / 11
    assert drawn.standard_error[0] ** 2 == pytest.approx(float(of_few.sum() + of_many.sum()), rel=0.05)


def test_a_single_cluster_in_a_stratum_is_no_hindrance() -> None:
    clusters, values = in_strata(1, 6, 5), observed(12, seed=5)
    (drawn,) = bootstrap(clusters, [values], ratio, Resampling(500))
    low, high = bca_intervals(drawn, 0.95)[0]
    assert low < drawn.point[0] < high


def test_in_a_difference_what_is_supposed_of_one_side_is_opposed_to_the_other() -> None:
    """Two samples that agree where they have few clusters may still differ there."""
    clusters, first = in_strata(2, 20), observed(22, seed=6)
    second = first.copy()
    second[10:, 1] = np.maximum(first[10:, 1] - 1, 0)
    ends = []
    for values in (first, second):
        best, worst = values.copy(), values.copy()
        best[:, 1], worst[:, 1] = values[:, 0], 0
        ends.append(np.stack([best, worst]))
    one, other = bootstrap(clusters, [first, second], ratio, Resampling(2000), ends)
    plain, other_plain = bootstrap(clusters, [first, second], ratio, Resampling(2000))
    assert (one - other).standard_error[0] > 1.2 * (plain - other_plain).standard_error[0]


def test_strata_of_few_clusters_are_drawn_the_same_whatever_is_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters, values = in_strata(3, 2, 12), observed(17)
    (alone,) = bootstrap(clusters, [values], ratio, Resampling(300))
    monkeypatch.setattr("twinbench.statistics.sampling._MAX_PRODUCT_ELEMENTS", 700)
    _, beside = bootstrap(clusters, [observed(17, seed=9) * 1e9, values], ratio, Resampling(300))
    assert np.array_equal(alone.resampled, beside.resampled)


def test_a_cluster_may_add_to_several_blocks() -> None:
    """The same as one block, where the statistic adds the blocks up."""
    clusters, values = in_strata(12, 3), observed(15)
    blocks = np.stack([values * 0.25, values * 0.5, values * 0.25], axis=1)
    (one,) = bootstrap(clusters, [values], ratio, Resampling(300))
    (other,) = bootstrap(clusters, [blocks], ratio, Resampling(300))
    assert other.resampled == pytest.approx(one.resampled)
    assert other.influence == pytest.approx(one.influence)


def test_the_order_of_observations_changes_nothing() -> None:
    values = observed(60)
    names = [f"case-{number % 20}" for number in range(60)]
    strata = [f"work-{number % 20 % 3}" for number in range(60)]
    shuffled = np.random.default_rng(1).permutation(60)
    there = Clusters.from_names(names, strata)
    back = Clusters.from_names([names[each] for each in shuffled], [strata[each] for each in shuffled])
    (one,) = bootstrap(there, [there.sum_by_cluster(values)], ratio, Resampling(500))
    (other,) = bootstrap(back, [back.sum_by_cluster(values[shuffled])], ratio, Resampling(500))
    assert np.array_equal(one.resampled, other.resampled)
    assert np.array_equal(bca_intervals(one, 0.95), bca_intervals(other, 0.95))


def test_another_sample_beside_it_and_what_is_drawn_at_once_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters, values = one_stratum(50), observed(50)
    (alone,) = bootstrap(clusters, [values], ratio, Resampling(300))
    monkeypatch.setattr("twinbench.statistics.sampling._MAX_PRODUCT_ELEMENTS", 700)
    _, beside = bootstrap(clusters, [observed(50, seed=9) * 1e9, values], ratio, Resampling(300))
    assert np.array_equal(alone.resampled, beside.resampled)


def test_a_matrix_product_has_at_most_a_quarter_of_a_million_elements() -> None:
    assert resamples_per_batch(one_stratum(1), np.ones((1, 1))) == 250_000
    assert resamples_per_batch(one_stratum(50), observed(50)) == 2500
    assert resamples_per_batch(one_stratum(50), np.ones((50, 3, 7))) == 250_000 // (50 * 21)
    assert resamples_per_batch(one_stratum(50), np.ones((50, 3, 7000))) == 1


def test_batches_are_full_but_for_the_last() -> None:
    assert split_into_batches(10, 4) == [4, 4, 2]
    assert split_into_batches(8, 4) == [4, 4]
    assert split_into_batches(3, 4) == [3]


def test_values_become_the_largest_integers_whose_sums_are_exact() -> None:
    values = np.array([[0.1, 0.0, -7e9], [0.3, 0.0, 5e8]])
    for clusters in (1, 2, 3, 1000):
        integers, scale = scale_to_integers(values, clusters)
        assert np.array_equal(integers, np.rint(integers))
        largest = np.abs(integers).max(axis=0)[[0, 2]]
        room = 52 - clusters.bit_length()
        assert (largest <= 2.0**room).all()
        assert (largest > 2.0 ** (room - 1)).all()
        assert integers * scale == pytest.approx(values, rel=1e-12)


def test_the_seed_decides() -> None:
    clusters, values = one_stratum(50), observed(50)

    def interval(seed: int) -> list[float]:
        return list(bca_intervals(bootstrap(clusters, [values], ratio, Resampling(500, seed=seed))[0], 0.95)[0])

    assert interval(1) == interval(1)
    assert interval(1) != interval(2)


INTERVAL = """
import json, sys
import numpy as np
from twinbench.statistics import Resampling
from twinbench.statistics.intervals import bca_intervals
from twinbench.statistics.clusters import Clusters
from twinbench.statistics.sampling import bootstrap
values = np.random.default_rng(5).lognormal(0, 2, (700, 40))
clusters = Clusters.from_names([str(number) for number in range(700)])
def ratio(sums):
    return sums.sum(axis=-2)[..., 1:] / sums.sum(axis=-2)[..., :1]

(drawn,) = bootstrap(clusters, [values], ratio, Resampling())
json.dump(bca_intervals(drawn, 0.95).tolist(), sys.stdout)
"""


def test_the_number_of_threads_changes_nothing() -> None:
    def with_threads(number: int) -> object:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(number))
        done = subprocess.run([sys.executable, "-c", INTERVAL], capture_output=True, check=True, env=environment)
        return json.loads(done.stdout)

    assert with_threads(1) == with_threads(4)


def test_a_single_cluster_is_refused() -> None:
    clusters = Clusters.from_names(["a", "a"], ["y", "y"])
    assert clusters.single_cluster_strata == ["y"]
    with pytest.raises(ValueError, match="'y'"):
        bootstrap(clusters, [observed(1)], ratio, Resampling())


def test_nothing_observed_is_refused() -> None:
    with pytest.raises(ValueError, match="no observations"):
        Clusters.from_names([])


@pytest.mark.parametrize(
    "wrong", [{"resamples": 99}, {"resamples": 10**7}, {"level": 1.0}, {"level": 0.4}, {"level": 1e-9}, {"seed": -1}]
)
def test_a_resampling_that_tells_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"a level from 0\.5 to 0\.999, a seed of at least 0"):
        Resampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "fewest"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_an_interval_needs_so_many_clusters(level: float, fewest: int) -> None:
    assert Resampling(level=level).fewest_clusters == fewest


# --- Intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_interval_is_scipys_but_for_the_small_sample() -> None:
    values = observed(400)
    (drawn,) = bootstrap(one_stratum(400), [values], ratio, Resampling(20_000))
    wanted = stats.bootstrap(
        (values[:, 1], values[:, 0]),
        lambda part, whole, axis: part.sum(axis) / whole.sum(axis),
        paired=True,
        n_resamples=20_000,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    assert bca_intervals(drawn, 0.95)[0] == pytest.approx([wanted.low, wanted.high], abs=0.0015)


@pytest.mark.parametrize(("freedom", "level"), [*product((4, 5, 10, 100), (0.8, 0.95)), (10, 0.99), (100, 0.99)])
def test_the_expansion_reaches_as_far_as_students_t(freedom: int, level: float) -> None:
    quantiles = stats.norm.ppf((np.arange(200_001) + 0.5) / 200_001)[:, None]  # no bias, no skew
    drawn = Distribution(np.zeros(1), quantiles, quantiles, freedom)
    assert bca_intervals(drawn, level)[0, 1] == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=0.004)
    (p,) = p_values(Distribution(np.full(1, 2.5), quantiles + 2.5, quantiles, freedom))
    assert p == pytest.approx(2 * stats.t.sf(2.5, freedom), rel=0.01)


@pytest.mark.parametrize("clusters", [1, 14, 100, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_bound_at_a_rate_of_0_is_that_of_clopper_and_pearson(clusters: int, level: float) -> None:
    low, high = proportion_confint(0, clusters, 1 - level, "beta")
    assert (low, exact_bound(clusters, level)) == pytest.approx((0, high))
    assert 1 - exact_bound(clusters, level) == pytest.approx(
        proportion_confint(clusters, clusters, 1 - level, "beta")[0]
    )


@pytest.mark.parametrize(("found", "of"), [(2, 21), (1, 20), (11, 20), (59, 60)])
def test_the_interval_of_a_share_is_wilsons_of_the_effective_size(found: int, of: int) -> None:
    share = found / of
    one_each = share_interval(share, share * (1 - share) / of, 10_000, 0.95, observations=of)
    assert one_each == pytest.approx(proportion_confint(found, of, 0.05, "wilson"), abs=1e-4)
    three_alike = share_interval(share, share * (1 - share) / of, 10_000, 0.95, observations=3 * of)
    assert three_alike == one_each
    no_variance = share_interval(share, 0.0, 10_000, 0.95, observations=of)
    assert no_variance == pytest.approx(one_each)
    few = share_interval(share, share * (1 - share) / of, 10, 0.95, observations=of)
    assert 0 < few[0] < one_each[0] < share < one_each[1] < few[1] < 1


@pytest.mark.parametrize("shift", [-0.5, 0.3])
def test_the_interval_moves_by_the_bias(shift: float) -> None:
    """A point away from the median of the resamples moves both ends by twice as much, in normal quantiles."""
    quantiles = stats.norm.ppf((np.arange(200_001) + 0.5) / 200_001)[:, None]
    drawn = Distribution(np.full(1, shift), quantiles, quantiles, 10_000)
    assert bca_intervals(drawn, 0.95)[0] == pytest.approx(2 * shift + stats.norm.ppf([0.025, 0.975]), abs=0.01)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_interval_of_skewed_clusters_reaches_further_on_the_long_side(sign: int) -> None:
    quantiles = stats.norm.ppf((np.arange(200_001) + 0.5) / 200_001)[:, None]
    influence = sign * (np.random.default_rng(3).lognormal(0, 0.8, (300, 1)) - 1.38)
    drawn = Distribution(np.zeros(1), quantiles, influence, 10_000)
    acceleration = np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5)
    reach = stats.t.ppf([0.025, 0.975], drawn.degrees_of_freedom[0])
    assert bca_intervals(drawn, 0.95)[0] == pytest.approx(reach / (1 - acceleration * reach), abs=0.01)
    assert abs(bca_intervals(drawn, 0.95)[0].sum()) > 0.2


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_p_value_of_skewed_clusters_agrees_with_their_interval(sign: int) -> None:
    """An interval of the level 1 - p ends at 0: without bias and acceleration it would not."""
    values = np.random.default_rng(6).lognormal(0, 1, 60)
    columns = np.stack([np.ones(60), sign * (values - 1.2)], axis=1)
    (drawn,) = bootstrap(one_stratum(60), [columns], ratio, Resampling(20_000))
    (p,) = p_values(drawn)
    low, high = bca_intervals(drawn, 1 - p)[0]
    assert 0.001 < p < 0.2
    assert min(abs(low), abs(high)) < 0.02 * (high - low)
    plain = 2 * min((drawn.resampled < 0).mean(), (drawn.resampled > 0).mean())
    assert abs(p - plain) > 0.2 * plain


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.4, 0.4))
def test_a_p_value_is_below_the_level_where_the_interval_leaves_0_out(seed: int, shift: float) -> None:
    random = np.random.default_rng(seed)
    values = np.stack([np.ones(40), random.normal(shift, 1, 40)], axis=1)
    (drawn,) = bootstrap(one_stratum(40), [values], ratio, Resampling(1000))
    ((low, high),), (p,) = bca_intervals(drawn, 0.95), p_values(drawn)
    if abs(p - 0.05) > 0.005:  # quantiles lie between two resamples, a p-value on one
        assert (p < 0.05) == (low > 0 or high < 0)


def test_a_difference_is_of_the_same_draws() -> None:
    clusters, values = one_stratum(80), observed(80)
    better = values + np.array([0, 0.1])
    one, other = bootstrap(clusters, [better, values], ratio, Resampling(500))
    paired = one - other
    assert paired.point[0] == pytest.approx(0.1 * 80 / values[:, 0].sum())
    assert paired.standard_error[0] < 0.2 * one.standard_error[0]
    assert p_values(paired)[0] < 1e-6


def test_a_value_that_never_changes_has_no_p_value() -> None:
    (drawn,) = bootstrap(one_stratum(20), [np.ones((20, 2))], ratio, Resampling(200))
    assert np.isnan(p_values(drawn - drawn)[0])


def test_bills_of_cases_with_several_trials_can_be_compared() -> None:
    """As the live track will: a case is a cluster, and each trial an observation with a bill."""
    random = np.random.default_rng(2)
    cases, trials = [f"case-{number}" for number in range(60) for _ in range(3)], 180
    hard = np.repeat(random.lognormal(0, 1, 60), 3)
    dear, cheap = hard * random.lognormal(0, 0.2, trials), 0.8 * hard * random.lognormal(0, 0.2, trials)
    clusters = Clusters.from_names(cases)
    samples = [clusters.sum_by_cluster(np.stack([np.ones(trials), bill], axis=1)) for bill in (dear, cheap)]
    one, other = bootstrap(clusters, samples, ratio, Resampling())
    assert one.point[0] == pytest.approx(dear.mean())
    low, high = bca_intervals(one - other, 0.95)[0]
    assert 0 < low < (dear - cheap).mean() < high


# --- Comparing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_only", "second_only"), [(0, 0), (0, 6), (5, 5), (3, 12), (40, 20), (700, 640)])
def test_mcnemar_is_statsmodels_exact_one(first_only: int, second_only: int) -> None:
    first = [True] * first_only + [False] * second_only + [True, False]
    second = [False] * first_only + [True] * second_only + [True, False]
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (first_only, second_only)
    if first_only + second_only:
        wanted = statsmodels_mcnemar([[1, first_only], [second_only, 1]], exact=True).pvalue
        assert found.p == pytest.approx(wanted, rel=1e-9)
    else:
        assert found.p == 1


def test_a_sign_test_of_very_many_is_a_number() -> None:
    assert sign_test(10_500, 9_500) == pytest.approx(stats.binomtest(9_500, 20_000).pvalue, rel=1e-9)
    assert sign_test(5000, 0) == 0


@pytest.mark.slow
@examples(3, 20)  # each call of multipletests collects all garbage of the process
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_nothing_to_correct_is_nothing() -> None:
    assert holm([]) == []


def test_a_rank_is_a_range_within_a_tie() -> None:
    better = {(0, 3): True, (1, 3): True, (2, 3): True}
    assert rank_ranges(better, 4) == [(1, 3), (1, 3), (1, 3), (4, 4)]
    assert rank_ranges({(0, 2): True}, 3) == [(1, 2), (1, 3), (2, 3)]
    assert rank_ranges({}, 1) == [(1, 1)]


def test_a_router_is_ahead_where_its_test_says_so() -> None:
    """At the level itself a difference is significant; its sign says which of the two is ahead."""
    pairs = {"ahead": [0.5, -0.5, 0.0], "p_values": [0.25, 0.25, 0.0]}
    assert rank_ranges_from_tests(3, **pairs, level=0.75) == [(2, 2), (2, 3), (1, 2)]
    assert rank_ranges_from_tests(3, **pairs, level=0.8) == [(1, 3), (1, 3), (1, 3)]
    assert rank_ranges_from_tests(2, [-2.0], [0.01], 0.95) == [(2, 2), (1, 1)]


def test_a_rank_is_a_number_or_a_range() -> None:
    assert (rank_text((2, 2)), rank_text((1, 3))) == ("2", "1–3")
    assert rank_columns((1, 3)) == {"rank_best": 1, "rank_worst": 3}
    assert rank_columns(None) == {"rank_best": None, "rank_worst": None}


@pytest.mark.parametrize(("difference", "power"), [*product((0.2, 0.05), (0.8, 0.9))])
def test_so_many_clusters_find_the_difference_with_that_power(difference: float, power: float) -> None:
    needed = needed_clusters(difference, 1 / 100**0.5, 100, power=power)  # values of standard deviation 1
    assert needed is not None
    reached = stats.norm.cdf(difference * needed**0.5 - stats.norm.ppf(0.975))
    assert power <= reached <= power + 0.01


def test_no_number_finds_what_is_not_there() -> None:
    assert needed_clusters(0.0, 1.0, 100) is None
    assert needed_clusters(float("nan"), 1.0, 100) is None


# --- Swapping -------------------------------------------------------------------------------------------------------


def test_the_swap_test_is_scipys_permutation_test_of_pairs() -> None:
    random = np.random.default_rng(4)
    one, other = random.lognormal(0.15, 1, (2, 60)) * [[1.0], [0.8]]
    samples = [np.stack([np.ones(60), values], axis=1) for values in (one, other)]
    (p,) = swap_test(one_stratum(60), samples[0], samples[1], ratio, Resampling(20_000))
    wanted = stats.permutation_test(
        (one, other),
        lambda first, second, axis: first.mean(axis) - second.mean(axis),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
    )
    assert p == pytest.approx(wanted.pvalue, abs=0.015)


@pytest.mark.parametrize(("differing", "p"), [(1000, 0.5), (1001, 0.0)])
def test_beyond_a_thousand_clusters_that_differ_nothing_is_swapped(differing: int, p: float) -> None:
    equal = np.zeros((200, 1))
    drawn = Distribution(np.ones(1), equal + 1, np.ones((5, 1)), 4)
    assert MAX_SWAPPED_CLUSTERS == 1000
    assert paired_p_value(drawn, differing, lambda: 0.5) == pytest.approx(p)


def test_few_clusters_that_differ_cannot_be_significant_by_swapping() -> None:
    first = np.ones((50, 2))
    second = first.copy()
    second[:4, 1] = 0
    (p,) = swap_test(one_stratum(50), first, second, ratio, Resampling(4000))
    assert p == pytest.approx(2 / 2**4, abs=0.02)


def test_swapping_twins_changes_nothing() -> None:
    values = observed(30)
    assert swap_test(one_stratum(30), values, values, ratio, Resampling(200))[0] == 1


def test_a_large_difference_is_not_bounded_by_the_number_of_swaps() -> None:
    values = observed(400)
    (p,) = swap_test(one_stratum(400), values + np.array([0, 2.0]), values, ratio, Resampling(200))
    assert 0 < p < 1e-6
