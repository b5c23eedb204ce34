"""Several routers on the same clusters: exact tests, correction for many comparisons, ranks, needed sample sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

DEFAULT_POWER = 0.8
"""The chance to find a difference, for which sample sizes are told."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class McNemar:
    """Pairs of yes and no that differ, and how likely so lopsided a split of them is if neither side is better."""

    first_only: int
    second_only: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """The exact test of paired yes and no: trajectories passed, cases resolved.

    Of the pairs that differ, as many should favour either side: a binomial with 1/2, two-sided. Source: McNemar (1947,
    Psychometrika 12:153), in its exact conditional form. Where a case has several trials, reduce them to one yes or no
    first, or compare rates by the paired bootstrap.

    Args:
        first: one entry a cluster.
        second: the same clusters in the same order.
    """
    pairs = list(zip(first, second, strict=True))
    first_only = sum(bool(one) and not other for one, other in pairs)
    second_only = sum(bool(other) and not one for one, other in pairs)
    return McNemar(first_only, second_only, sign_test(first_only, second_only))


def sign_test(plus: int, minus: int) -> float:
    """The two-sided p-value of so uneven a split of fair coins, exact; 1 where there is none."""
    coins, rarer = plus + minus, min(plus, minus)
    ways = total = 1
    for number in range(1, rarer + 1):
        ways = ways * (coins - number + 1) // number
        total += ways
    return min(1.0, 2 * total / 2**coins) if coins < 1000 else min(1.0, _divide_by_power_of_two(2 * total, coins))


def _divide_by_power_of_two(ways: int, coins: int) -> float:
    """``ways`` of 2^``coins``, where neither need be a float."""
    surplus = max(0, ways.bit_length() - 64)
    return math.ldexp(ways >> surplus, surplus - coins)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for that many comparisons: the chance of any false difference stays below the level.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6:65. Needs no
    independence.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for done, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[number]))
        corrected[number] = largest
    return corrected


def rank_ranges(better: Mapping[tuple[int, int], bool], routers: int) -> list[tuple[int, int]]:
    """The ranks that each router may have, 1 being best: behind those that are better, ahead of those that are worse.

    If the comparisons hold together (Holm), so do the ranges: at the level, all true ranks lie in them. Source: Klein,
    Wright and Wieczorek (2020, JRSS A 183:589); Mogstad, Romano, Shaikh and Wilhelm (2024, Rev. Econ. Stud. 91:476).

    Args:
        better: by pair of routers, whether the first is better than the second, found at the level.
        routers: how many there are.
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
    """The ranks that each router may have by tests of all pairs, as of ``rank_ranges``.

    Args:
        routers: how many there are.
        ahead: of each pair, in the order of ``itertools.combinations``, how far the first is ahead of the second.
        p_values: of the same pairs, corrected for all of them.
        level: at which a difference is found.
    """
    better: dict[tuple[int, int], bool] = {}
    for (first, second), lead, p in zip(combinations(range(routers), 2), ahead, p_values, strict=True):
        better[first, second] = p <= 1 - level and lead > 0
        better[second, first] = p <= 1 - level and lead < 0
    return rank_ranges(better, routers)


def rank_columns(rank: tuple[int, int] | None) -> dict[str, int | None]:
    """A range of ranks as the columns of a table; None where there is none."""
    best, worst = rank or (None, None)
    return {"rank_best": best, "rank_worst": worst}


def rank_text(rank: tuple[int, int]) -> str:
    """A range of ranks for people: ``2``, or ``1–3``."""
    return str(rank[0]) if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}"


def needed_clusters(
    difference: float, standard_error: float, clusters: int, *, level: float = 0.95, power: float = DEFAULT_POWER
) -> int | None:
    """How many clusters it takes to find a difference of this size, if it is the true one.

    The normal approximation: the standard error falls with the root of the number, the mix of strata staying as it is.
    Of one comparison, without a correction for several.

    Args:
        difference: what was found.
        standard_error: of it, in this sample.
        clusters: how many this sample has.
        level: that of the interval that shall leave 0 out.
        power: the chance that it does.

    Returns:
        At least 2; None where there is no difference, so that no number would do.
    """
    if not difference or not math.isfinite(difference) or not math.isfinite(standard_error):
        return None
    least = detectable_mean(standard_error, level=level, power=power)
    return max(2, math.ceil(clusters * (least / difference) ** 2))


def detectable_mean(standard_error: float, *, level: float = 0.95, power: float = DEFAULT_POWER) -> float:
    """The smallest difference that a sample with this standard error finds, by the normal approximation.

    Args:
        standard_error: of the difference.
        level: that of the interval that shall leave 0 out.
        power: the chance that it does.
    """
    return (_NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power)) * standard_error
