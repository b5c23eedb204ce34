"""Confidence intervals of bootstrap distributions and of shares, and p-values that are consistent with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from twinbench.statistics.clusters import Floats
from twinbench.statistics.sampling import Distribution

_NORMAL = NormalDist()


def bca_intervals(distribution: Distribution, level: float) -> Floats:
    """Compute bias-corrected and accelerated (BCa) bootstrap intervals, expanded for small samples.

    Source: Efron (1987), "Better bootstrap confidence intervals", JASA 82:171; Efron and Tibshirani (1993), ch. 14. The
    expansion uses quantiles of Student's t instead of the normal distribution: Hesterberg (2015, The American
    Statistician 69:371), "expanded percentile".

    Returns:
        Shape (statistics, 2): lower and upper end; NaN if a resample is undefined.
    """
    bias, acceleration, freedom = _bias(distribution), _acceleration(distribution), distribution.degrees_of_freedom
    ends = np.empty((len(distribution.point), 2))
    for number in range(len(ends)):
        at = []
        for share in ((1 - level) / 2, (1 + level) / 2):
            moved = bias[number] + _student_quantile(_NORMAL.inv_cdf(share), float(freedom[number]))
            place = _NORMAL.cdf(bias[number] + moved / (1 - acceleration[number] * moved))
            at.append(round(place, 12))  # the last digits of erfc and of long sums differ between machines
        ends[number] = _quantiles(distribution.resampled[:, number], at)
    return ends


def _quantiles(values: Floats, shares: Sequence[float]) -> Floats:
    """Return quantiles by linear interpolation, as ``numpy.quantile`` does; NaN if a value is NaN.

    ``numpy.quantile`` imports ``numpy.ma`` when it is first called, which takes longer than all intervals of a table.
    """
    last = len(values) - 1
    places = np.array(shares) * last
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, last)
    ordered = np.partition(values, [*below, *above, last])  # NaN is sorted last
    if np.isnan(ordered[last]):
        return np.full(len(places), np.nan)
    return np.asarray(ordered[below] + (places - below) * (ordered[above] - ordered[below]))


def p_values(distribution: Distribution) -> Floats:
    """Return two-sided p-values of the hypothesis that a statistic is 0, consistent with the BCa interval.

    A p-value is below 1 - level if the interval at that level excludes 0. Beyond the outermost resample a normal tail
    is assumed, so that p-values can be smaller than one over the number of resamples. A statistic that is the same in
    every resample has no p-value (NaN).

    Returns:
        Shape (statistics,).
    """
    bias, acceleration, freedom = _bias(distribution), _acceleration(distribution), distribution.degrees_of_freedom
    error = distribution.standard_error
    resamples = len(distribution.resampled)
    outermost = _NORMAL.inv_cdf(1 / (resamples + 1))
    found = np.full(len(distribution.point), np.nan)
    for number, values in enumerate(distribution.resampled.T):
        if not error[number] > 0 or np.isnan(values).any():
            continue
        below = (np.count_nonzero(values < 0) + np.count_nonzero(values == 0) / 2) / resamples
        centre = -float(values.mean()) / float(error[number])
        if below == 0:
            quantile = min(outermost, centre)
        elif below == 1:
            quantile = max(-outermost, centre)
        else:
            quantile = _NORMAL.inv_cdf(below)
        moved = quantile - bias[number]
        stretch = 1 + acceleration[number] * moved
        if stretch <= 0:  # the acceleration formula is not valid this far out
            moved, stretch = quantile, 1.0
        distance = abs(moved / stretch - bias[number])
        found[number] = two_sided_p(_normal_quantile(distance, float(freedom[number])))
    return found


def two_sided_p(distance: float) -> float:
    """Return the two-sided p-value of a standard normal value; also accurate far in the tails."""
    return math.erfc(distance / math.sqrt(2))


def exact_bound(clusters: int, level: float) -> float:
    """Return the upper confidence bound, from 0 to 1, of a share that was observed as 0 in all clusters.

    This is the end of the interval of Clopper and Pearson (1934, Biometrika 26:404) at an observed share of 0; by
    symmetry, 1 minus this is the lower end at an observed share of 1. For strata with different shares it bounds the
    mean share of the clusters.
    """
    return float(1 - ((1 - level) / 2) ** (1 / clusters))


def share_interval(
    share: float, variance: float, freedom: float, level: float, *, observations: float
) -> tuple[float, float]:
    """Return the interval of a share that is strictly between 0 and 1.

    The method is that of Wilson (1927, JASA 22:209) with the effective sample size share (1 - share) / variance (Korn
    and Graubard 1998, Survey Methodology 24:193), and Student's t instead of the normal distribution.

    Args:
        share: the observed share, from 0 to 1.
        variance: the variance of the share, estimated from clusters; may be 0.
        freedom: the degrees of freedom of that variance.
        level: the confidence level.
        observations: an upper limit of the effective sample size.
    """
    spread = share * (1 - share)
    effective = spread / max(variance, spread / observations)
    ratio = _student_quantile(_NORMAL.inv_cdf((1 + level) / 2), freedom) ** 2 / effective
    middle = (share + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * spread + ratio * ratio / 4) / (1 + ratio)
    return middle - half, middle + half


def _student_quantile(normal: float, freedom: float) -> float:
    """Convert a quantile of the normal distribution to that of Student's t at the same probability.

    Source: the Cornish-Fisher expansion, Abramowitz and Stegun (1964), 26.7.5; its error is at most 0.3 % from 4
    degrees of freedom on.
    """
    z, square = normal, normal * normal
    first = z * (square + 1) / 4
    second = z * ((5 * square + 16) * square + 3) / 96
    third = z * (((3 * square + 19) * square + 17) * square - 15) / 384
    fourth = z * ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) / 92160
    return z + first / freedom + second / freedom**2 + third / freedom**3 + fourth / freedom**4


def _normal_quantile(student: float, freedom: float) -> float:
    """Convert a non-negative quantile of Student's t to the normal one: the inverse of ``_student_quantile``."""
    least, most = 0.0, student
    for _ in range(60):
        middle = (least + most) / 2
        if _student_quantile(middle, freedom) < student:
            least = middle
        else:
            most = middle
    return most


def _bias(distribution: Distribution) -> list[float]:
    """Return BCa's z0: the normal quantile of the share of resamples below the estimate (ties count half)."""
    resamples = len(distribution.resampled)
    below = np.count_nonzero(distribution.resampled < distribution.point, axis=0)
    equal = np.count_nonzero(distribution.resampled == distribution.point, axis=0)
    share = np.clip((below + equal / 2) / resamples, 1 / (resamples + 1), resamples / (resamples + 1))
    return [_NORMAL.inv_cdf(float(each)) for each in share]


def _acceleration(distribution: Distribution) -> list[float]:
    squares, cubes = distribution.cumulant(2), distribution.cumulant(3)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = cubes / (6 * squares**1.5)
    return [float(each) for each in np.where(squares > 0, found, 0.0)]
