"""Compare several routers on the same clusters: exact tests, Holm's correction, ranks, needed sample sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

DEFAULT_POWER = 0.8
"""The default power (probability of detecting a true difference) for sample sizes."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class McNemar:
    """The numbers of pairs in which only the first or only the second is true, and the p-value of McNemar's test."""

    first_only: int
    second_only: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Run McNemar's exact test on paired binary results, such as trajectories passed or cases resolved.

    Under the null hypothesis, a pair that differs favours either side with probability 1/2 (two-sided binomial test).
    Source: McNemar (1947, Psychometrika 12:153), in its exact conditional form. If a case has several trials, reduce
    them to one result first, or compare rates with the paired bootstrap.

    Args:
        first: the first router's result on each cluster.
        second: the second router's results on the same clusters in the same order.
    """
    pairs = list(zip(first, second, strict=True))
    first_only = sum(bool(one) and not other for one, other in pairs)
    second_only = sum(bool(other) and not one for one, other in pairs)
    return McNemar(first_only, second_only, sign_test(first_only, second_only))


def sign_test(plus: int, minus: int) -> float:
    """Return the exact two-sided p-value of ``plus`` heads and ``minus`` tails of a fair coin; 1 if both are 0."""
    coins, rarer = plus + minus, min(plus, minus)
    ways = total = 1
    for number in range(1, rarer + 1):
        ways = ways * (coins - number + 1) // number
        total += ways
    return min(1.0, 2 * total / (1 << coins))  # exact to the last bit, however large the two integers are


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons, which controls the probability of at least one false positive.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6:65. The tests
    need not be independent.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for done, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[number]))
        corrected[number] = largest
    return corrected


def rank_ranges(better: Mapping[tuple[int, int], bool], routers: int) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each router may have; rank 1 is the best.

    A router ranks behind every router that is significantly better, and ahead of every one that is significantly
    worse. If the comparisons hold simultaneously (Holm), all true ranks lie within the ranges at the same level.
    Source: Klein, Wright and Wieczorek (2020, JRSS A 183:589); Mogstad, Romano, Shaikh and Wilhelm (2024, Rev. Econ.
    Stud. 91:476).

    Args:
        better: by pair of routers, whether the first is significantly better than the second.
        routers: the number of routers.
    """
    return [
        (
            1 + sum(better.get((other, router), False) for other in range(routers)),
            routers - sum(better.get((router, other), False) for other in range(routers)),
        )
        for router in range(routers)
    ]


def rank_ranges_from_tests(
    routers: int, ahead: Sequence[float], p_values: Sequence[float], level: float
) -> list[tuple[int, int]]:
    """Compute ``rank_ranges`` from the tests of all pairs of routers.

    Args:
        routers: the number of routers.
        ahead: for each pair, in the order of ``itertools.combinations``, how much better the first is than the second.
        p_values: the corrected p-values of the same pairs.
        level: a difference is significant if its p-value is at most 1 - level.
    """
    better: dict[tuple[int, int], bool] = {}
    for (first, second), lead, p in zip(combinations(range(routers), 2), ahead, p_values, strict=True):
        better[first, second] = p <= 1 - level and lead > 0
        better[second, first] = p <= 1 - level and lead < 0
    return rank_ranges(better, routers)


def rank_columns(rank: tuple[int, int] | None) -> dict[str, int | None]:
    """Return a range of ranks as two table columns; both are None if there is no range."""
    best, worst = rank or (None, None)
    return {"rank_best": best, "rank_worst": worst}


def rank_text(rank: tuple[int, int]) -> str:
    """Format a range of ranks, such as ``2`` or ``1–3``."""
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def needed_clusters(
    difference: float, standard_error: float, clusters: int, *, level: float = 0.95, power: float = DEFAULT_POWER
) -> int | None:
    """Return how many clusters are needed to detect a difference of this size, assuming that it is the true one.

    Uses the normal approximation: the standard error falls with the square root of the number of clusters, with the
    same mix of strata. For a single comparison, without correction for multiple ones.

    Args:
        difference: the observed difference.
        standard_error: the standard error of the difference in this sample.
        clusters: the number of clusters of this sample.
        level: the confidence level of the interval that has to exclude 0.
        power: the probability that it does.

    Returns:
        At least 2; None if the difference is 0, since no number is sufficient then.
    """
    if not difference or not math.isfinite(difference) or not math.isfinite(standard_error):
        return None
    least = detectable_mean(standard_error, level=level, power=power)
    return max(2, math.ceil(clusters * (least / difference) ** 2))


def detectable_mean(standard_error: float, *, level: float = 0.95, power: float = DEFAULT_POWER) -> float:
    """Return the smallest difference that is detectable with a given standard error, by the normal approximation.

    Args:
        standard_error: the standard error of the difference.
        level: the confidence level of the interval that has to exclude 0.
        power: the probability that it does.
    """
    return (_NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power)) * standard_error
