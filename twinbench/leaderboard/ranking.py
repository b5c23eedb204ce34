"""Rank groups of results that are known by an estimate and an interval alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval; higher values are better."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranking:
    """The groups and ranks of results, in the order of the results."""

    groups: Sequence[int]
    """The group of each result, from 1. Within a group no result is shown to be better than another, and each result of
    a later group has one in the group before it that is shown to be better."""
    ranks: Sequence[tuple[int, int]]
    """The ranks that each result may have, from best to worst: behind those that are shown to be better, ahead of those
    that are shown to be worse."""


def rank_estimates(estimates: Sequence[Estimate], level: float) -> Ranking:
    """Group results by what is shown of their differences, all pairs tested together.

    A difference is judged by the ends of both intervals (Zou and Donner 2008, Statistics in Medicine 27:1693), as if
    the results were of independent samples. Results on the same tasks mostly go up and down together, so their
    differences are better known than that: such a test misses some, and finds no more false ones. Holm's correction for
    all pairs keeps the chance of any false difference below 1 - ``level``.

    Args:
        estimates: the estimate of each result.
        level: the level of the intervals, and of the ranking.
    """
    size = len(estimates)
    better = _better_pairs(estimates, level)
    ranks = [
        (1 + int(above), size - int(below)) for above, below in zip(better.sum(axis=0), better.sum(axis=1), strict=True)
    ]
    groups = np.zeros(size, dtype=np.int64)
    number = 0
    while (left := np.flatnonzero(groups == 0)).size:
        number += 1
        beaten = better[np.ix_(left, left)].any(axis=0)
        groups[left[~beaten]] = number
    return Ranking([int(each) for each in groups], ranks)


def _better_pairs(estimates: Sequence[Estimate], level: float) -> npt.NDArray[np.bool_]:
    """Return a matrix with, for each two results, whether the first is shown to be better."""
    value, low, high = (
        np.array([getattr(each, name) for each in estimates], dtype=np.float64) for name in ("value", "low", "high")
    )
    z = _NORMAL.inv_cdf((1 + level) / 2)
    below, above = np.maximum(value - low, 0) / z, np.maximum(high - value, 0) / z
    lead = value[:, None] - value[None, :]
    error = np.hypot(below[:, None], above[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(lead > 0, lead / error, 0.0)  # infinite where neither could be anything else
    first, second = np.nonzero(lead > 0)
    order = np.argsort(-distance[first, second], kind="stable")
    pairs = len(estimates) * (len(estimates) - 1) // 2
    found = np.zeros_like(lead, dtype=np.bool_)
    for done, number in enumerate(order.tolist()):
        if distance[first[number], second[number]] < _NORMAL.inv_cdf(1 - (1 - level) / (2 * (pairs - done))):
            break
        found[first[number], second[number]] = True
    return found
