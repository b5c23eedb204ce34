"""The randomisation test of pairs: what a difference would be if it did not matter which router is which."""

from __future__ import annotations

import numpy as np

from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.intervals import two_sided_p
from twinbench.statistics.sampling import (
    Statistic,
    resamples_per_batch,
    by_block,
    split_into_batches,
    scale_to_integers,
)

_ROUNDING = 1e-9


def swap_test(
    clusters: Clusters, first: Floats, second: Floats, statistic: Statistic, resampling: Resampling
) -> Floats:
    """Two-sided p-values of the hypothesis that two routers are interchangeable on every cluster.

    On each cluster the two are swapped with a chance of a half; p is how often the difference is then as large as the
    one that was found. Where the hypothesis is true the test is exact, however few clusters differ and however uneven
    they are. Source: Fisher (1935) and Pitman (1937); as approximate randomisation, Noreen (1989).

    Args:
        clusters: of both samples.
        first: shape (clusters, columns) or (clusters, blocks, columns), as for ``bootstrap``.
        second: the same.
        statistic: of sums by stratum, or by block.
        resampling: how many swaps are drawn, and from which seed.

    Returns:
        Shape (statistics,); at least 1 in as many as were drawn and one, or, where none was as large, what a normal
        tail makes of it.
    """
    totals = [by_block(clusters, sample).sum(axis=0) for sample in (first, second)]
    found = np.abs(statistic(totals[0]) - statistic(totals[1]))
    flat = by_block(clusters, first - second).reshape(len(clusters), -1)
    whole, scale = scale_to_integers(flat, len(clusters))
    generator = np.random.PCG64(resampling.seed)
    words = -(-len(clusters) // 64)
    moves = []
    for count in split_into_batches(resampling.resamples, resamples_per_batch(clusters, flat)):
        raw = np.asarray(generator.random_raw(count * words), "<u8").view(np.uint8).reshape(count, -1)
        bits = np.unpackbits(raw, axis=1)[:, : len(clusters)].astype(np.float64)
        moves.append(((bits @ whole) * scale).reshape(count, *totals[0].shape))
    moved = np.concatenate(moves)
    differences = statistic(totals[0] - moved) - statistic(totals[1] + moved)
    as_large = np.count_nonzero(~(np.abs(differences) < found - _ROUNDING * (1 + found)), axis=0)
    least = 1 / (resampling.resamples + 1)
    p = (1 + as_large) * least
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(as_large == 0, found / np.std(differences, axis=0), 0.0)
    tails = np.array([two_sided_p(float(each)) for each in np.nan_to_num(distance, posinf=0.0)])
    return np.asarray(np.where(as_large == 0, np.minimum(least, tails), p))
