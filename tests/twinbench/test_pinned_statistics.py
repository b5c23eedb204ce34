"""Intervals, tests and plans of fixed samples are what every earlier release computed.

Published tables are computed again by whoever verifies them, so a value that changes is a break, however small. That
the values are right is for the other tests, which compare with scipy, statsmodels and simulations. After a change that
is meant, or for further values, ``python -m tests.twinbench.test_pinned_statistics`` writes them down anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinbench.statistics import Resampling
from twinbench.statistics.auc import stratified_auc
from twinbench.statistics.bills import compare_all, rank_bills, run_intervals
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.comparing import (
    detectable_mean,
    holm,
    mcnemar,
    needed_clusters,
    rank_ranges_from_tests,
    sign_test,
)
from twinbench.statistics.intervals import (
    _normal_quantile,
    _student_quantile,
    bca_intervals,
    exact_bound,
    p_values,
    share_interval,
)
from twinbench.statistics.paired import paired_difference
from twinbench.statistics.planning import (
    _binomial,
    _critical_counts,
    _log_factorials,
    _round_up_to_power_of_two,
    detectable_difference,
    needed_tasks,
    sign_test_p_values,
    sign_test_power,
)
from twinbench.statistics.sampling import Distribution, bootstrap
from twinbench.statistics.swapping import swap_tests

PINNED = Path(__file__).with_name("pinned_statistics.json")
RESAMPLING = Resampling(400, seed=3)
LAYOUTS: dict[str, tuple[int, ...]] = {
    "one stratum": (23,),
    "strata of many": (12, 10, 15),
    "small strata": (1, 2, 9, 10, 25),
    "only small strata": (3, 2, 5),
    "single clusters": (1, 1, 1, 4),
}


def observed(count: int, start: int) -> Floats:
    """Sizes, two uneven counts and a long bill of so many clusters; plain arithmetic, the same in every numpy."""
    number = np.arange(start, start + count)
    size = 1 + number * 7 % 5
    return np.stack(
        [size, number * 5 % (size + 1), number * 11 % (size + 1), 2.0 ** (number * 13 % 9) / 8 + size], axis=1
    ).astype(np.float64)


def shares(sums: Floats) -> Floats:
    """Three ratios, and one value that is no ratio."""
    totals = sums.sum(axis=-2)
    return np.concatenate([totals[..., 1:] / totals[..., :1], np.sqrt(totals[..., 3:] * totals[..., 1:2])], axis=-1)


def clusters_of(sizes: tuple[int, ...], min_clusters_alone: int | None = None) -> Clusters:
    strata = [f"s{number}" for number, size in enumerate(sizes) for _ in range(size)]
    names = [f"{number:03}" for number in range(len(strata))]
    return Clusters.from_names(names, strata, min_clusters_alone=min_clusters_alone)


def ends_of(sample: Floats) -> Floats:
    """A sample at its best and at its worst."""
    best, worst = sample.copy(), sample.copy()
    best[..., 1:3], worst[..., 1:3] = sample[..., :1], 0
    return np.stack([best, worst])


def described(drawn: Distribution) -> dict[str, Any]:
    """Everything that a distribution says."""
    mirror = None if drawn.mirror is None else [each.sum(axis=0).tolist() for each in drawn.mirror]
    return {
        "point": drawn.point.tolist(),
        "first resamples": drawn.resampled[:3].tolist(),
        "last resample": drawn.resampled[-1].tolist(),
        "influence": [drawn.influence[:3].tolist(), drawn.influence[-3:].tolist()],
        "expected draws": np.ravel(drawn.expected_draws)[-4:].tolist(),
        "mirror": mirror,
        "max freedom": drawn.max_freedom,
        "freedom": drawn.degrees_of_freedom.tolist(),
        "standard error": drawn.standard_error.tolist(),
        "cumulants": [drawn.cumulant(order).tolist() for order in (2, 3)],
        "p": p_values(drawn).tolist(),
        "intervals": {level: bca_intervals(drawn, level).tolist() for level in (0.8, 0.95, 0.99)},
        "last statistic": bca_intervals(drawn.select(len(drawn.point) - 1), 0.95).tolist(),
    }


def bootstraps() -> Iterator[tuple[str, Any]]:
    for name, sizes in LAYOUTS.items():
        clusters = clusters_of(sizes)
        first, second = observed(len(clusters), 3), observed(len(clusters), 8)
        second[:, 0] = first[:, 0]
        one, other = bootstrap(clusters, [first, second], shares, RESAMPLING)
        yield name, described(one)
        yield f"{name}: a difference", described(one - other)
        one, other = bootstrap(clusters, [first, second], shares, RESAMPLING, [ends_of(first), ends_of(second)])
        yield f"{name}, with pseudo-observations", described(one)
        yield f"{name}, with pseudo-observations: a difference", described(one - other)
        blocks = np.stack([first * 0.25, first[::-1] * 0.5, first], axis=1)
        (several,) = bootstrap(clusters, [blocks], shares, RESAMPLING, [ends_of(blocks)])
        yield f"{name}: several blocks", described(several)
    sample = observed(30, 5)
    (drawn,) = bootstrap(clusters_of((30,), min_clusters_alone=100), [sample], shares, RESAMPLING, [ends_of(sample)])
    yield "one small stratum", described(drawn)
    uneven = observed(40, 2)
    uneven[7, 1:] *= 1000  # one cluster makes nearly all of the variance: the least degrees of freedom
    (drawn,) = bootstrap(clusters_of((40,)), [uneven], shares, RESAMPLING)
    yield "one cluster outweighs all", described(drawn)
    (drawn,) = bootstrap(clusters_of((3,)), [observed(3, 2)], shares, RESAMPLING)
    yield "three clusters", described(drawn)
    counts = observed(60, 1)[:, 1:3]  # many resamples equal the point
    yield "whole numbers", described(Distribution(np.array([2.0, 1.0]), counts, counts - 1.5, 20))
    near, outlier = observed(50, 4)[:, :1], np.zeros((50, 1))
    outlier[7] = 3.0  # far out, where the acceleration has no meaning any more
    for far in (-90, -13, 13, 90):
        drawn = Distribution(np.full(1, 2.0 + far), near + far, np.sign(far) * outlier, 40)
        yield f"{far} from 0", described(drawn)
    uneven = np.where(np.arange(50) % 25, 0.1, 90.0)[:, None]  # all on one side of 0, though the mean is near it
    for sign in (-1, 1):
        yield f"uneven, {sign}", described(Distribution(np.full(1, 3.0 * sign), sign * uneven, sign * outlier, 40))
    still = observed(50, 4)[:, [1, 0, 2]] * [1, 0, 1]  # the second statistic never changes
    yield "one that never changes", described(Distribution(still.mean(axis=0) + 0.1, still, still - 1, 30))
    spread = observed(50, 4)[:, 3:]
    for point in (0.0, 1e3):  # beyond all resamples
        yield f"a point of {point}", described(Distribution(np.full(1, point), spread, spread - 9, 12))


def comparisons() -> Iterator[tuple[str, Any]]:
    clusters = clusters_of((4, 12, 70))
    first, second, third = observed(86, 3), observed(86, 3), observed(86, 40)
    second[::9, 1] += 0.5
    third[:, 0] = first[:, 0]
    swapped = swap_tests(clusters, [(first, second), (first, third), (first, first)], shares, RESAMPLING)
    yield "swapped", [each.tolist() for each in swapped]
    for name, other, differing in (("near", second, 10), ("far", third, 80), ("equal", first, 1)):
        pair = bootstrap(clusters, [first, other], shares, RESAMPLING)
        for statistic in (0, 3):
            drawn = pair[0].select(statistic) - pair[1].select(statistic)
            found = paired_difference(drawn, 86, differing, lambda: 0.03, RESAMPLING, reach=0.25)
            yield f"paired, {name}, {statistic}", [*found.ends, found.p, found.needed]
    yield "sign tests", [sign_test(*each) for each in ((0, 0), (0, 6), (3, 12), (40, 20), (700, 640), (5000, 4800))]
    yield (
        "many sign tests",
        sign_test_p_values(np.array([[0, 3, 5], [40, 700, 0]]), np.array([[6, 12, 5], [20, 640, 0]])).tolist(),
    )
    paired = mcnemar([True, True, False, True, False], [False, True, True, False, False])
    yield "mcnemar", [paired.first_only, paired.second_only, paired.p]
    yield "holm", holm([0.01, 0.04, 0.03, 0.005, 0.6])
    yield "needed", [needed_clusters(*each, power=0.9, level=0.9) for each in ((0.1, 0.04, 80), (9.0, 0.1, 20))]
    yield "detectable mean", [detectable_mean(0.04), detectable_mean(0.04, level=0.8, power=0.6)]
    yield "ranks", rank_ranges_from_tests(3, [0.5, -0.5, -1.0], [0.06, 0.049, 0.001], 0.95)
    scores, truth = np.arange(40) * 7 % 13 / 13, (np.arange(40) * 5 % 9 < 4).astype(np.intp)
    for name, strata in (
        ("of three strata", np.arange(40) % 3),
        ("where most strata have one class", np.arange(40) // 2),
    ):
        auc = stratified_auc(scores, truth, strata)
        assert auc is not None
        yield f"auc {name}", [auc.value, auc.standard_error, auc.pairs, *auc.interval(0.9), *auc.interval(0.999999)]


def runs() -> Iterator[tuple[str, Any]]:
    cases = [f"case {number}" for number in range(24)]
    number = np.arange(24)
    dear = np.stack([np.full(24, 3), 0.5 + number * 7 % 11 / 4, number * 5 % 4], axis=1).astype(np.float64)
    cheap = np.stack([np.full(24, 3), 0.2 + number * 7 % 11 / 9, number * 3 % 4], axis=1).astype(np.float64)
    solved, failed = dear.copy(), dear.copy()
    solved[:, 2], failed[:, 2] = 0, 3
    for name, sums in (("dear", dear), ("cheap", cheap), ("all resolved", solved), ("none resolved", failed)):
        yield f"a run: {name}", run_intervals(cases, sums, 0.6, RESAMPLING)
    for few in (1, 5):
        yield f"a run of {few}", run_intervals(cases[:few], dear[:few], 0.6, RESAMPLING)
    found = compare_all(cases, [dear, cheap, solved], 0.6, RESAMPLING)
    yield "runs compared", [[each.difference_usd, each.ends, each.p, each.needed_cases] for each in found.pairs]
    yield "runs ranked", [found.p_holm, found.ranks, rank_bills(cases, {"a": dear, "b": solved}, 0.6, RESAMPLING)]


def plans() -> Iterator[tuple[str, Any]]:
    points = (
        (10, 0.5, 0.4),
        (60, 0.2, 0.1),
        (64, 0.9, 0.3),
        (400, 0.15, 0.06),
        (50, 0.1, 0.2),
        (5, 0.5, 0.5),
        (0, 1, 1),
    )
    yield "power", [sign_test_power(*each) for each in points]
    yield "power at other levels", [sign_test_power(80, 0.3, 0.15, level=level) for level in (0.8, 0.9, 0.99)]
    yield "detectable", [detectable_difference(tasks, 0.2, power=0.7) for tasks in (5, 20, 100, 500)]
    yield "needed", [needed_tasks(*each) for each in ((0.3, 0.4), (0.05, 0.1), (0.001, 0.3), (0.0, 0.3), (1.0, 1.0))]
    for level in (0.95, 0.8, 0.999):
        yield f"critical counts at {level}", _critical_counts(128, level).tolist()
    yield "powers of two", [_round_up_to_power_of_two(number) for number in (0, 1, 64, 65, 128, 1000)]
    for count, chance in ((40, 0.3), (3000, 0.01), (7, 1.0)):
        low, found = _binomial(count, chance, _log_factorials(count))
        yield f"binomial of {count} at {chance}", [low, len(found), found[:3].tolist(), float(found.sum())]


def ends() -> Iterator[tuple[str, Any]]:
    quantiles = (-3.1, -0.7, 0.0, 0.3, 1.9, 4.2)
    for freedom in (4.0, 5.5, 30.0, 1e6):
        yield f"Student at {freedom}", [_student_quantile(each, freedom) for each in quantiles]
        yield f"normal at {freedom}", [_normal_quantile(each, freedom) for each in (0.0, 0.4, 2.1, 7.5)]
    yield "exact bounds", [exact_bound(clusters, level) for clusters in (1, 14, 300) for level in (0.9, 0.95)]
    drawn = ((0.2, 0.01, 9.0, 0.95, 40.0), (0.9, 0.0, 60.0, 0.99, 21.0), (0.5, 1e-9, 5.0, 0.8, 1e3))
    yield "shares", [share_interval(*each[:4], observations=each[4]) for each in drawn]


def computed() -> dict[str, Any]:
    """All values, as JSON has them."""
    kinds = (bootstraps, comparisons, runs, plans, ends)
    return json.loads(json.dumps({kind.__name__: dict(kind()) for kind in kinds}))  # type: ignore[no-any-return]


def flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its place."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{place}/{key}")
    elif isinstance(value, list):
        yield f"{place}/length", len(value)
        for number, each in enumerate(value):
            yield from flat(each, f"{place}/{number}")
    else:
        yield place, value


def test_every_value_is_as_it_was() -> None:
    found, pinned = dict(flat(computed())), dict(flat(json.loads(PINNED.read_text("utf-8"))))
    assert found.keys() == pinned.keys()
    changed = {
        place: (found[place], value)
        for place, value in pinned.items()
        if found[place] != value and found[place] != pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True)
    }
    assert changed == {}


if __name__ == "__main__":
    lines = (f"{json.dumps(kind)}: {json.dumps(values)}" for kind, values in computed().items())
    PINNED.write_text("{\n" + ",\n".join(lines).replace("}, ", "},\n ") + "\n}\n", "utf-8")
