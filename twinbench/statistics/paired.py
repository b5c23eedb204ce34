"""The difference between two routers on the same clusters: interval, p-value and needed sample size.

Both tracks compare by this. The paired bootstrap gives the interval. Its p-value is never below what a sign test and a
randomisation test allow, because the bootstrap alone finds too many differences where few clusters differ or where they
are uneven; where the p-value does not reject 0, the interval holds it.
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
"""Clusters that differ, up to which they are swapped: with more, the bootstrap says the same in less time."""

MIN_RELATIVE_WIDTH = 1e-9
"""An interval narrower than that is none: every resample is the same."""


@dataclass(frozen=True)
class PairedDifference:
    """What may be said of a difference."""

    ends: tuple[float, float]
    p: float
    needed: int | None
    """Clusters to find a difference of this size with power 0.8, if it is the true one; None where it is 0."""


def paired_p_value(drawn: Distribution, differing: int, swap_p_value: Callable[[], float]) -> float:
    """The p-value of a difference, as of ``paired_difference``."""
    p = sign_test(differing, 0)
    if differing <= MAX_SWAPPED_CLUSTERS:
        p = max(p, swap_p_value())
    return p if _has_no_spread(drawn) else max(p, float(p_values(drawn)[0]))


def _has_no_spread(drawn: Distribution) -> bool:
    return float(np.ptp(drawn.resampled)) <= MIN_RELATIVE_WIDTH * max(1.0, abs(float(drawn.point[0])))


def paired_difference(
    drawn: Distribution,
    clusters: int,
    differing: int,
    swap_p_value: Callable[[], float],
    resampling: Resampling,
    *,
    reach: float,
) -> PairedDifference:
    """Interval, p-value and needed sample size of a difference.

    Args:
        drawn: the difference as the only statistic, drawn with both routers on the same clusters.
        clusters: how many there are.
        differing: on how many of them the routers differ, at least 1. No test can do better than to find all of these
            on one side (the sign test).
        swapped: gives the p-value of ``swap_test``; asked where it can matter.
        resampling: the level of the interval.
        reach: how far beyond the difference the interval goes where every resample is the same.
    """
    p = paired_p_value(drawn, differing, swap_p_value)
    low, high = (float(end) for end in bca_intervals(drawn, resampling.level)[0])
    point, error = float(drawn.point[0]), float(drawn.standard_error[0])
    if _has_no_spread(drawn):
        low, high = low - reach, high + reach
    if p > 1 - resampling.level:
        low, high = min(low, 0.0), max(high, 0.0)
    needed = needed_clusters(point, error, clusters, level=resampling.level)
    return PairedDifference((low, high), p, None if needed is None else max(needed, resampling.fewest_clusters))
