"""Intervals of a run's bill, cost and resolved share, and tests of pairs of runs.

A run here is anything that solves cases at a cost: a router in the live track, or a model of a table of outcomes. A
case with all its trials is one cluster, since trials of the same case are not independent.
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
"""Columns of a case's sums: number of trials, their cost in USD, number of unresolved trials."""

Ends = tuple[float, float]


@dataclass(frozen=True)
class BillDifference:
    """The difference between the bills of two runs on the same cases: the first minus the second."""

    difference_usd: float
    ends: Ends | None
    reason: str | None
    """Why there is no interval; None if there is one."""
    p: float | None
    needed_cases: int | None


NO_RESAMPLES_REASON = "not asked for: 0 resamples"
"""The reason for a missing interval if none was requested."""

_INTERVALS = ("bill_usd", "cost_usd", "resolved")


def why_no_interval(cases: int, resampling: Resampling) -> str | None:
    """Return the reason why this number of cases is too small for an interval; None if it is large enough."""
    fewest = resampling.fewest_clusters
    if cases >= fewest:
        return None
    found = f"{cases} case{'' if cases == 1 else 's'}"
    return f"only {found} with a verdict, but an interval at this level needs {fewest}"


def run_intervals(
    cases: Sequence[str], sums: Floats, penalty_usd: float, resampling: Resampling | None
) -> tuple[dict[str, Ends | None], str | None]:
    """Compute the intervals of a run's ``bill_usd``, ``cost_usd`` and ``resolved``.

    The first two are totals over all trials in USD; ``resolved`` is the share of resolved trials in percent.

    Args:
        cases: unique names of the cases.
        sums: shape (cases, 3), with columns ``TRIALS``, ``COST`` and ``UNRESOLVED``.
        penalty_usd: the penalty of an unresolved trial.
        resampling: the bootstrap settings; None for no intervals.

    Returns:
        The intervals by name, each None if it is missing, and the reason why they are missing.
    """
    reason = NO_RESAMPLES_REASON if resampling is None else why_no_interval(len(cases), resampling)
    if resampling is None or reason is not None:
        return dict.fromkeys(_INTERVALS), reason
    return {**_compute_intervals(cases, sums, penalty_usd, resampling)}, None


def _compute_intervals(
    cases: Sequence[str], sums: Floats, penalty_usd: float, resampling: Resampling
) -> dict[str, Ends]:
    """Compute the intervals for a sufficient number of cases.

    If every case is resolved, no resample contains an unresolved one. The upper end of the bill is then raised by the
    penalty of the share that may be unresolved by the exact bound of Clopper and Pearson. If no case is resolved, the
    lower end is lowered accordingly.
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
    """Compare the bills of two runs on the same cases, with the same method that compares routers in the static track.

    Args:
        cases: unique names of the cases.
        first: shape (cases, 3); a case's sums are divided by its number of trials, so that each case counts once.
        second: the same for the other run.
        penalty_usd: the penalty of an unresolved case.
        resampling: the bootstrap settings.
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
    """The comparisons of all pairs of runs, in the order of ``itertools.combinations``."""

    pairs: Sequence[BillDifference]
    p_holm: Sequence[float]
    """p-values corrected for all pairs; 1 if a pair has no p-value."""
    ranks: Sequence[tuple[int, int]]
    """The best and the worst rank that each run may have by its bill; rank 1 is the lowest bill. A run ranks behind
    another if the difference is significant after the correction."""


def compare_all(cases: Sequence[str], runs: Sequence[Floats], penalty_usd: float, resampling: Resampling) -> AllPairs:
    """Compare the bills of all pairs of runs; for the arguments see ``compare_bills``."""
    pairs = [compare_bills(cases, one, other, penalty_usd, resampling) for one, other in combinations(runs, 2)]
    p_holm = holm([1.0 if each.p is None else each.p for each in pairs])
    ahead = [-each.difference_usd for each in pairs]
    return AllPairs(pairs, p_holm, rank_ranges_from_tests(len(runs), ahead, p_holm, resampling.level))


def rank_bills(
    cases: Sequence[str], runs: Mapping[str, Floats], penalty_usd: float, resampling: Resampling | None
) -> dict[str, tuple[int, int]] | None:
    """Return the best and the worst rank that each run may have by its bill (``AllPairs.ranks``), by the run's name.

    Args:
        cases: the cases for which all runs have a verdict.
        runs: the sums of each run, by name, as for ``compare_bills``.
        penalty_usd: the penalty of an unresolved case.
        resampling: the bootstrap settings; None for no ranks, and then the result is None.
    """
    if resampling is None:
        return None
    return dict(zip(runs, compare_all(cases, list(runs.values()), penalty_usd, resampling).ranks, strict=True))


def _mean_statistic(penalty_usd: float) -> Statistic:
    """Make the statistic of a trial's mean bill, mean cost and probability of being unresolved."""

    def means(sums: Floats) -> Floats:
        totals = sums.sum(axis=-2)
        cost, unresolved = (totals[..., column] / totals[..., TRIALS] for column in (COST, UNRESOLVED))
        return np.stack([cost + penalty_usd * unresolved, cost, unresolved], axis=-1)

    return means


def _total_bill_statistic(penalty_usd: float, cases: int) -> Statistic:
    """Make the statistic of the total bill of ``cases`` cases."""
    means = _mean_statistic(penalty_usd)

    def total(sums: Floats) -> Floats:
        return cases * means(sums)[..., :1]

    return total
