"""The randomisation test of paired samples, in which the two routers are swapped at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64

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
    return swap_tests(clusters, [(first, second)], statistic, resampling)[0]


def swap_tests(
    clusters: Clusters, pairs: Sequence[tuple[Floats, Floats]], statistic: Statistic, resampling: Resampling
) -> list[Floats]:
    """Return the p-values of ``swap_test`` for several pairs of routers over the same clusters.

    The same clusters are swapped for all pairs, so the p-values of a pair do not depend on the others.
    """
    samples = [_SwappedPair.of(clusters, first, second, statistic) for first, second in pairs]
    generator = PCG64(resampling.seed)
    words = -(-len(clusters) // 64)
    size = resamples_per_batch(clusters, samples[0].moves)
    for count in split_into_batches(resampling.resamples, size):
        raw = np.asarray(generator.random_raw(count * words), "<u8").view(np.uint8).reshape(count, -1)
        swapped = np.unpackbits(raw, axis=1)[:, : len(clusters)].astype(np.float64)
        for sample in samples:
            sample.add(swapped, statistic)
    return [sample.p_values(resampling.resamples) for sample in samples]


@dataclass(frozen=True)
class _SwappedPair:
    """Two routers, and the differences between them where they are swapped at random."""

    totals: tuple[Floats, Floats]
    """The sums of each router; shape (blocks, columns)."""
    found: Floats
    """The observed differences, without sign; shape (statistics,)."""
    moves: Floats
    """What swapping a cluster takes from the first router, as integers; shape (clusters, blocks · columns)."""
    scale: Floats
    differences: list[Floats]
    """The differences between swapped routers, by batch; shape (resamples, statistics)."""

    @classmethod
    def of(cls, clusters: Clusters, first: Floats, second: Floats, statistic: Statistic) -> _SwappedPair:
        one, other = (by_block(clusters, sample).sum(axis=0) for sample in (first, second))
        flat = by_block(clusters, first - second).reshape(len(clusters), -1)
        return cls((one, other), np.abs(statistic(one) - statistic(other)), *scale_to_integers(flat, len(clusters)), [])

    def add(self, swapped: Floats, statistic: Statistic) -> None:
        """Add swaps; shape (resamples, clusters), 1 where the two are swapped."""
        one, other = self.totals
        moved = ((swapped @ self.moves) * self.scale).reshape(len(swapped), *one.shape)
        self.differences.append(statistic(one - moved) - statistic(other + moved))

    def p_values(self, resamples: int) -> Floats:
        differences = np.concatenate(self.differences)
        as_large = np.count_nonzero(~(np.abs(differences) < self.found - _ROUNDING * (1 + self.found)), axis=0)
        least = 1 / (resamples + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(as_large == 0, self.found / np.std(differences, axis=0), 0.0)
        tails = np.array([two_sided_p(float(each)) for each in np.nan_to_num(distance, posinf=0.0)])
        return np.asarray(np.where(as_large == 0, np.minimum(least, tails), (1 + as_large) * least))
