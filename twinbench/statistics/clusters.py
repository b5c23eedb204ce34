"""Group observations into clusters (independent of each other) and clusters into strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MIN_CLUSTERS_ALONE = 10
"""If there are several strata, one with at least this many clusters is resampled from its own clusters alone."""

MIN_CLUSTERS_OF_SEVERAL = 100
"""The same limit if clusters hold several correlated units, also for a single stratum: more clusters are needed to
estimate how strongly the units of a cluster correlate, particularly if most units pass."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of a sample, sorted by stratum and name."""

    strata: Sequence[str]
    """Sorted names of the strata."""
    sizes: Sequence[int]
    """The number of clusters of each stratum."""
    position: Ints
    """The index of each observation's cluster, counted through all strata; shape (observations,)."""
    min_clusters_alone: int
    """Strata with fewer clusters than this are small: they are not resampled from their own clusters alone."""

    @classmethod
    def from_names(
        cls, names: Sequence[str], strata: Sequence[str] | None = None, *, min_clusters_alone: int | None = None
    ) -> Clusters:
        """Group observations into clusters.

        Args:
            names: the name of each observation's cluster (a trajectory, a case); the same name in another stratum is
                another cluster.
            strata: the stratum (a workload) of each observation; default: a single stratum.
            min_clusters_alone: strata with fewer clusters are small (see ``is_small``); default:
                ``MIN_CLUSTERS_ALONE`` if there are several strata, else 0.

        Raises:
            ValueError: there are no observations.
        """
        if not names:
            raise ValueError("there are no observations")
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
        """Names of the strata with only one cluster, which give no information on how much clusters vary."""
        return [name for name, size in zip(self.strata, self.sizes, strict=True) if size == 1]

    @property
    def is_small(self) -> list[bool]:
        """For each stratum, whether it has too few clusters to be resampled from them alone."""
        return [size < self.min_clusters_alone for size in self.sizes]

    @cached_property
    def slices(self) -> list[slice]:
        """For each stratum, the slice of its clusters among all clusters."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def sum_by_cluster(self, values: ArrayLike) -> Floats:
        """Sum the values of observations over each cluster.

        Args:
            values: shape (observations, ...).

        Returns:
            Shape (clusters, ...).
        """
        observed = np.asarray(values, np.float64)
        summed = np.zeros((len(self), *observed.shape[1:]))
        np.add.at(summed, self.position, observed)
        return summed
