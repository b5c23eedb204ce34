"""How sure bills are: intervals of a run's bill, cost and resolved share, and tests of pairs of runs.

A run is whatever solved cases at a cost: a router in the live track, a model of a table of outcomes. A case with all
its trials is a cluster: trials of one case, under one seed or several, are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.comparing import holm, rank_ranges_from_tests
from twinbench.statistics.intervals import bca_intervals, exact_bound, share_interval
from twinbench.statistics.paired import paired_difference
from twinbench.statistics.sampling import Statistic, bootstrap
from twinbench.statistics.swapping import swap_test

TRIALS, COST, UNRESOLVED = range(3)
"""Columns of a case's sums: its trials, what they cost in USD, how many of them are unresolved."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class BillDifference:
    """How far the bill of one run is from that of another, over the cases of both; the first less the second."""

    difference_usd: float
    ends: Ends | None
    reason: str | None
    """Why there is no interval."""
    p: float | None
    needed_cases: int | None


NO_RESAMPLES_REASON = "not asked for: 0 resamples"
"""Why there is no interval where nobody asked for one."""

_INTERVALS = ("bill_usd", "cost_usd", "resolved")


def why_no_interval(cases: int, resampling: Resampling) -> str | None:
    """Why so many cases allow no interval, as a sentence; None where they do."""
    fewest = resampling.fewest_clusters
    if cases >= fewest:
        return None
    found = f"{cases} case{'' if cases == 1 else 's'}"
    return f"too little: {found} with a verdict, but an interval at this level needs {fewest}"


def run_intervals(
    cases: Sequence[str], sums: Floats, penalty_usd: float, resampling: Resampling | None
) -> tuple[dict[str, Ends | None], str | None]:
    """Intervals of a run, and why there are none.

    Those of ``bill_usd`` and ``cost_usd`` are of all trials, that of the ``resolved`` share is in percent.

    Args:
        cases: their names, each once.
        sums: shape (cases, 3), ``TRIALS``, ``COST`` and ``UNRESOLVED``.
        penalty_usd: for an unresolved trial.
        resampling: how cases are drawn again; None: no intervals are wanted.
    """
    reason = NO_RESAMPLES_REASON if resampling is None else why_no_interval(len(cases), resampling)
    if resampling is None or reason is not None:
        return dict.fromkeys(_INTERVALS), reason
    return {**_compute_intervals(cases, sums, penalty_usd, resampling)}, None


def _compute_intervals(
    cases: Sequence[str], sums: Floats, penalty_usd: float, resampling: Resampling
) -> dict[str, Ends]:
    """The same where there are enough cases.

    Where every case is resolved, resampling never draws an unresolved one. The bill then reaches up by the penalty of
    as many cases as may be unresolved by the exact bound of Clopper and Pearson; where none is resolved, down.
    """
    clusters = Clusters.from_names(cases)
    [drawn] = bootstrap(clusters, [clusters.sum_by_cluster(sums)], _mean_statistic(penalty_usd), resampling)
    trials = float(sums[:, TRIALS].sum())
    bill, cost, _ = trials * bca_intervals(drawn, resampling.level)
    unresolved = float(drawn.point[2])
    reach = exact_bound(len(clusters), resampling.level)
    if unresolved == 0:
        share = (0.0, reach)
        bill[1] += trials * penalty_usd * reach
    elif unresolved == 1:
        share = (1 - reach, 1.0)
        bill[0] -= trials * penalty_usd * reach
    else:
        variance, freedom = float(drawn.standard_error[2]) ** 2, float(drawn.degrees_of_freedom[2])
        share = share_interval(unresolved, variance, freedom, resampling.level, observations=trials)
    return {
        "bill_usd": (float(bill[0]), float(bill[1])),
        "cost_usd": (float(cost[0]), float(cost[1])),
        "resolved": (100 * (1 - share[1]), 100 * (1 - share[0])),
    }


def compare_bills(
    cases: Sequence[str], first: Floats, second: Floats, penalty_usd: float, resampling: Resampling
) -> BillDifference:
    """Compare the bills of two runs on the same cases, by the functions that compare routers in the static track.

    Args:
        cases: their names, each once.
        first: shape (cases, 3), a case's sums divided by its trials, so that each case counts once.
        second: the same of the other run.
        penalty_usd: for an unresolved case.
        resampling: how cases are drawn again.
    """
    size = len(cases)
    total = _total_bill_statistic(penalty_usd, size)
    difference = float(np.sum((first - second)[:, [COST, UNRESOLVED]] * [1.0, penalty_usd]))
    if (reason := why_no_interval(size, resampling)) is not None:
        return BillDifference(difference, None, reason, None, None)
    clusters = Clusters.from_names(cases)
    one, other = clusters.sum_by_cluster(first), clusters.sum_by_cluster(second)
    differing = int((one != other).any(axis=1).sum())
    if not differing:
        return BillDifference(difference, None, "they differ on no case", 1.0, None)
    drawn = bootstrap(clusters, [one, other], total, resampling)
    found = paired_difference(
        drawn[0] - drawn[1],
        size,
        differing,
        lambda: float(swap_test(clusters, one, other, total, resampling)[0]),
        resampling,
        reach=size * penalty_usd * exact_bound(size, resampling.level),
    )
    return BillDifference(difference, found.ends, None, found.p, found.needed)


@dataclass(frozen=True)
class AllPairs:
    """Each of several runs compared with each behind it, in the order of ``itertools.combinations``."""

    pairs: Sequence[BillDifference]
    p_holm: Sequence[float]
    """Corrected for all pairs; 1 where a pair has no p-value."""
    ranks: Sequence[tuple[int, int]]
    """The ranks that each run may have by its bill, 1 being the lowest: a run is behind another where the difference is
    found at the level after the correction."""


def compare_all(cases: Sequence[str], runs: Sequence[Floats], penalty_usd: float, resampling: Resampling) -> AllPairs:
    """Compare the bills of all pairs of runs; arguments as of ``compare_bills``."""
    pairs = [compare_bills(cases, one, other, penalty_usd, resampling) for one, other in combinations(runs, 2)]
    p_holm = holm([1.0 if each.p is None else each.p for each in pairs])
    ahead = [-each.difference_usd for each in pairs]
    return AllPairs(pairs, p_holm, rank_ranges_from_tests(len(runs), ahead, p_holm, resampling.level))


def rank_bills(
    cases: Sequence[str], runs: Mapping[str, Floats], penalty_usd: float, resampling: Resampling | None
) -> dict[str, tuple[int, int]] | None:
    """The ranks that each run may have by its bill (``AllPairs.ranks``), by name; None where nothing is to be tested.

    Args:
        cases: that all runs have a verdict of.
        runs: by name, as of ``compare_bills``.
        penalty_usd: for an unresolved case.
        resampling: how cases are drawn again; None: nothing is tested.
    """
    if resampling is None:
        return None
    return dict(zip(runs, compare_all(cases, list(runs.values()), penalty_usd, resampling).ranks, strict=True))


def _mean_statistic(penalty_usd: float) -> Statistic:
    """Bill, cost and unresolved share of a trial on average."""

    def means(sums: Floats) -> Floats:
        totals = sums.sum(axis=-2)
        cost, unresolved = (totals[..., column] / totals[..., TRIALS] for column in (COST, UNRESOLVED))
        return np.stack([cost + penalty_usd * unresolved, cost, unresolved], axis=-1)

    return means


def _total_bill_statistic(penalty_usd: float, cases: int) -> Statistic:
    """The bill of so many cases."""
    means = _mean_statistic(penalty_usd)

    def total(sums: Floats) -> Floats:
        return cases * means(sums)[..., :1]

    return total
