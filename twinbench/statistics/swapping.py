"""The randomisation test of paired samples, in which the two routers are swapped at random."""

from __future__ import annotations

import numpy as np

from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.intervals import two_sided_p
from twinbench.statistics.sampling import (
    Statistic,
    by_block,
    resamples_per_batch,
    scale_to_integers,
    split_into_batches,
)

_ROUNDING = 1e-9


def swap_test(
    clusters: Clusters, first: Floats, second: Floats, statistic: Statistic, resampling: Resampling
) -> Floats:
    """Return two-sided p-values of the hypothesis that two routers are interchangeable on every cluster.

    On each cluster the two are swapped with probability 1/2; p is the share of random swaps whose difference is at
    least as large as the observed one. If the hypothesis is true, the test is exact, however few clusters differ and
    however uneven they are. Source: Fisher (1935) and Pitman (1937); as approximate randomisation, Noreen (1989).

    Args:
        clusters: the clusters of both samples.
        first: shape (clusters, columns) or (clusters, blocks, columns), as for ``bootstrap``.
        second: the same for the second router.
        statistic: the function of the sums by stratum, or by block.
        resampling: the number of random swaps and the seed.

    Returns:
        Shape (statistics,). If no swap has so large a difference, the p-value is that of a normal tail, at most 1 /
        (resamples + 1).
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
