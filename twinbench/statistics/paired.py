"""The difference between two routers on the same clusters: interval, p-value and needed sample size.

Both tracks compare routers with this. The interval comes from the paired bootstrap. The p-value is never below those
of a sign test and a randomisation test, since the bootstrap alone finds too many differences if few clusters differ
or if they are uneven. If the p-value does not reject 0, the interval is extended to contain 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twinbench.statistics import Resampling
from twinbench.statistics.comparing import needed_clusters, sign_test
from twinbench.statistics.intervals import bca_intervals, p_values
from twinbench.statistics.sampling import Distribution

MAX_SWAPPED_CLUSTERS = 1000
"""The randomisation test is run if at most this many clusters differ; with more, the bootstrap agrees."""

MIN_RELATIVE_WIDTH = 1e-9
"""A relative width of the bootstrap distribution below which all resamples count as equal."""


@dataclass(frozen=True)
class PairedDifference:
    """The interval, p-value and needed sample size of a difference."""

    ends: tuple[float, float]
    p: float
    needed: int | None
    """Clusters needed to detect this difference with power 0.8, if it is the true one; None if it is 0."""


def paired_p_value(drawn: Distribution, differing: int, swap_p_value: Callable[[], float]) -> float:
    """Return the p-value of a difference; for the arguments see ``paired_difference``."""
    p = sign_test(differing, 0)
    if differing <= MAX_SWAPPED_CLUSTERS:
        p = max(p, swap_p_value())
    return p if _has_no_spread(drawn) else max(p, p_values(drawn).item())


def _has_no_spread(drawn: Distribution) -> bool:
    return float(np.ptp(drawn.resampled)) <= MIN_RELATIVE_WIDTH * max(1.0, abs(drawn.point.item()))


def paired_difference(
    drawn: Distribution,
    clusters: int,
    differing: int,
    swap_p_value: Callable[[], float],
    resampling: Resampling,
    *,
    reach: float,
) -> PairedDifference:
    """Compute the interval, p-value and needed sample size of a difference.

    Args:
        drawn: the bootstrap distribution of the difference (its only statistic), with the same resamples of clusters
            for both routers.
        clusters: the number of clusters.
        differing: the number of clusters on which the routers differ, at least 1. The p-value is at least that of a
            sign test in which all of these favour the same router.
        swap_p_value: returns the p-value of ``swap_test``; only called if it can matter.
        resampling: the confidence level of the interval.
        reach: how far the interval extends on either side of the difference if all resamples are equal.
    """
    p = paired_p_value(drawn, differing, swap_p_value)
    [[low, high]] = bca_intervals(drawn, resampling.level).tolist()
    point, error = drawn.point.item(), drawn.standard_error.item()
    if _has_no_spread(drawn):
        low, high = low - reach, high + reach
    if p > 1 - resampling.level:
        low, high = min(low, 0.0), max(high, 0.0)
    needed = needed_clusters(point, error, clusters, level=resampling.level)
    return PairedDifference((low, high), p, None if needed is None else max(needed, resampling.fewest_clusters))
