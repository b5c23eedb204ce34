"""Intervals, and p-values that agree with them."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from twinbench.statistics.clusters import Floats
from twinbench.statistics.sampling import Distribution

_NORMAL = NormalDist()


def bca_intervals(distribution: Distribution, level: float) -> Floats:
    """Bias-corrected and accelerated bootstrap intervals, expanded for small samples.

    Source: Efron (1987), "Better bootstrap confidence intervals", JASA 82:171; Efron and Tibshirani (1993), ch. 14. The
    expansion reaches as far as Student's t instead of the normal distribution: Hesterberg (2015, The American
    Statistician 69:371), "expanded percentile".

    Returns:
        Shape (statistics, 2): lower and upper end; NaN where a resample is undefined.
    """
    bias, acceleration, freedom = _bias(distribution), _acceleration(distribution), distribution.degrees_of_freedom
    ends = np.empty((len(distribution.point), 2))
    for number in range(len(ends)):
        at = []
        for share in ((1 - level) / 2, (1 + level) / 2):
            moved = bias[number] + _student_quantile(_NORMAL.inv_cdf(share), float(freedom[number]))
            place = _NORMAL.cdf(bias[number] + moved / (1 - acceleration[number] * moved))
            at.append(round(place, 12))  # the last digits of erfc and of long sums are the machine's
        ends[number] = np.quantile(distribution.resampled[:, number], at)
    return ends


def p_values(distribution: Distribution) -> Floats:
    """Two-sided p-values of the hypothesis that a statistic is 0: below 1 - level where the BCa interval leaves 0 out.

    Beyond the outermost resample the tail is taken for a normal one, so that a correction for many comparisons does not
    end at the number of resamples. A statistic that is the same in every resample has none (NaN).

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
        if stretch <= 0:  # further out than the acceleration reaches
            moved, stretch = quantile, 1.0
        distance = abs(moved / stretch - bias[number])
        found[number] = two_sided_p(_normal_quantile(distance, float(freedom[number])))
    return found


def two_sided_p(distance: float) -> float:
    """The chance that a normal value lies that many standard errors from its mean, either way; exact far out too."""
    return math.erfc(distance / math.sqrt(2))


def exact_bound(clusters: int, level: float) -> float:
    """The most of a share, from 0 to 1, that may be true where none of the clusters showed it.

    The end of the interval of Clopper and Pearson (1934, Biometrika 26:404) at a rate of 0; by symmetry 1 less this is
    the other end at a rate of 1. It holds for strata of different shares too, for the mean share of their clusters.
    """
    return float(1 - ((1 - level) / 2) ** (1 / clusters))


def share_interval(
    share: float, variance: float, freedom: float, level: float, *, observations: float
) -> tuple[float, float]:
    """The interval of a share strictly between 0 and 1; its ends are shares that may have given the one observed.

    That of Wilson (1927, JASA 22:209) with the effective sample size share (1 - share) / variance (Korn and Graubard
    1998, Survey Methodology 24:193), and Student's t instead of the normal distribution.

    Args:
        share: as observed, from 0 to 1.
        variance: of it, by clusters.
        freedom: degrees of freedom of that variance.
        level: of the interval.
        observations: the effective sample size is never larger; the variance may be 0.
    """
    spread = share * (1 - share)
    effective = spread / max(variance, spread / observations)
    ratio = _student_quantile(_NORMAL.inv_cdf((1 + level) / 2), freedom) ** 2 / effective
    middle = (share + ratio / 2) / (1 + ratio)
    half = math.sqrt(ratio * spread + ratio * ratio / 4) / (1 + ratio)
    return middle - half, middle + half


def _student_quantile(normal: float, freedom: float) -> float:
    """Student's t quantile where the normal one is known.

    Source: the expansion of Cornish and Fisher, Abramowitz and Stegun (1964), 26.7.5; to 0.3 % from 4 degrees on.
    """
    z, square = normal, normal * normal
    first = z * (square + 1) / 4
    second = z * ((5 * square + 16) * square + 3) / 96
    third = z * (((3 * square + 19) * square + 17) * square - 15) / 384
    fourth = z * ((((79 * square + 776) * square + 1482) * square - 1920) * square - 945) / 92160
    return z + first / freedom + second / freedom**2 + third / freedom**3 + fourth / freedom**4


def _normal_quantile(student: float, freedom: float) -> float:
    """The normal quantile of a t quantile that is not negative: ``_student`` turned round."""
    least, most = 0.0, student
    for _ in range(60):
        middle = (least + most) / 2
        if _student_quantile(middle, freedom) < student:
            least = middle
        else:
            most = middle
    return most


def _bias(distribution: Distribution) -> list[float]:
    """z0: where the estimate stands among the resamples, ties half below it, kept off the very ends."""
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
