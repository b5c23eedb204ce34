"""Clusters in their strata: what is independent of what, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MIN_CLUSTERS_ALONE = 10
"""Clusters of a stratum from which on it is drawn from its own clusters alone, where there are several strata."""

MIN_CLUSTERS_OF_SEVERAL = 100
"""The same, also of a sole stratum, where a cluster holds several units that may be alike: how alike they are has to be
learned from the clusters too; where most units pass, from the few clusters that do not."""


@dataclass(frozen=True)
class Clusters:
    """Clusters in their strata, in an order that depends on their names alone."""

    strata: Sequence[str]
    """Names, sorted."""
    sizes: Sequence[int]
    """How many clusters each stratum has."""
    position: Ints
    """Of each observation: the place of its cluster, strata one after the other; shape (observations,)."""
    min_clusters_alone: int = 0
    """Strata of less clusters than this are not drawn from their own clusters alone."""

    @classmethod
    def from_names(
        cls, names: Sequence[str], strata: Sequence[str] | None = None, *, min_clusters_alone: int | None = None
    ) -> Clusters:
        """The clusters of observations.

        Args:
            names: each observation's cluster (a trajectory, a case); a name may stand again in another stratum.
            strata: each observation's stratum (a workload); default: all in one.
            fewest_alone: clusters from which on a stratum is drawn from its own clusters alone; default:
                ``FEWEST_ALONE`` where there are several strata, else any number is.

        Raises:
            ValueError: nothing was observed.
        """
        if not names:
            raise ValueError("nothing was observed")
        pairs = list(zip([""] * len(names) if strata is None else strata, names, strict=True))
        place = {pair: number for number, pair in enumerate(sorted(set(pairs)))}
        counts: dict[str, int] = {}
        for stratum, _ in place:
            counts[stratum] = counts.get(stratum, 0) + 1
        position = np.fromiter((place[pair] for pair in pairs), np.intp, len(pairs))
        if min_clusters_alone is None:
            min_clusters_alone = MIN_CLUSTERS_ALONE if len(counts) > 1 else 0
        return cls(list(counts), list(counts.values()), position, min_clusters_alone)

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def single_cluster_strata(self) -> list[str]:
        """Strata of a single cluster: nothing tells how much another one would differ."""
        return [name for name, size in zip(self.strata, self.sizes, strict=True) if size == 1]

    @property
    def is_small(self) -> list[bool]:
        """Of each stratum: whether it has too few clusters to be drawn from them alone."""
        return [size < self.min_clusters_alone for size in self.sizes]

    @cached_property
    def slices(self) -> list[slice]:
        """Of each stratum: where its clusters stand."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def sum_by_cluster(self, values: ArrayLike) -> Floats:
        """The sums of observations over each cluster.

        Args:
            values: shape (observations, ...).

        Returns:
            Shape (clusters, ...).
        """
        observed = np.asarray(values, np.float64)
        summed = np.zeros((len(self), *observed.shape[1:]))
        np.add.at(summed, self.position, observed)
        return summed
