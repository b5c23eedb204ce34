"""Clusters drawn again: the stratified cluster bootstrap of statistics that are functions of sums.

Method: the rescaling bootstrap of Rao and Wu (1988, JASA 83:231) in the form of Rao, Wu and Yue (1992, Survey
Methodology 18:209): of the n clusters of a stratum, n - 1 are drawn with replacement, and the drawn sums are multiplied
by n / (n - 1). Drawing n of n makes variances too small by (n - 1) / n in each stratum, which is felt where workloads
have few trajectories; this has no such bias for sums, at any n from 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twinbench.statistics import Resampling

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

Statistic = Callable[[Floats], Floats]
"""From sums of shape (..., strata, columns) to values of shape (..., statistics); NaN where undefined."""

_PRODUCTS_AT_ONCE = 250_000
"""Of a matrix product. OpenBLAS gives larger ones to several threads, which wait for each other: on a busy machine that
took thirty times as long. Besides, what is so small fits a core's cache."""

FEWEST_FREEDOM = 4
"""Degrees of freedom below which intervals grow no more: nothing could be said, and a mean of five is one."""

_EXACT_BITS = 52
"""A float64 holds every whole number of up to 53 bits: sums of such numbers are exact in any order."""


@dataclass(frozen=True)
class Clusters:
    """Clusters in their strata, in an order that depends on their names alone."""

    strata: Sequence[str]
    """Names, sorted."""
    sizes: Sequence[int]
    """How many clusters each stratum has."""
    position: Ints
    """Of each observation: the place of its cluster, strata one after the other; shape (observations,)."""

    @classmethod
    def of(cls, names: Sequence[str], strata: Sequence[str] | None = None) -> Clusters:
        """The clusters of observations.

        Args:
            names: each observation's cluster (a trajectory, a case); a name may stand again in another stratum.
            strata: each observation's stratum (a workload); default: all in one.

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
        return cls(list(counts), list(counts.values()), position)

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def alone(self) -> list[str]:
        """Strata of a single cluster: nothing tells how much another one would differ."""
        return [name for name, size in zip(self.strata, self.sizes, strict=True) if size == 1]

    @cached_property
    def slices(self) -> list[slice]:
        """Of each stratum: where its clusters stand."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def sums(self, values: ArrayLike) -> Floats:
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


@dataclass(frozen=True)
class Distribution:
    """Statistics of one sample, of resamples of it, and how much each cluster moves them.

    The difference of two distributions over the same clusters is that of the paired differences: both were computed
    from the same draws.
    """

    point: Floats
    """Shape (statistics,)."""
    resampled: Floats
    """Shape (resamples, statistics)."""
    influence: Floats
    """Shape (clusters, statistics): each cluster's part of the statistic's deviation, from leaving it out."""
    most_freedom: int
    """Clusters less strata."""

    def __sub__(self, other: Distribution) -> Distribution:
        return Distribution(
            self.point - other.point,
            self.resampled - other.resampled,
            self.influence - other.influence,
            self.most_freedom,
        )

    @property
    def freedom(self) -> Floats:
        """The degrees of freedom of each standard error, shape (statistics,).

        By matching moments, as Satterthwaite (1946, Biometrics Bull. 2:110): 2 V^2 / Var(V), where V is the sum of the
        squared influences. Where few clusters carry most of the deviation (long bills), they are fewer than clusters
        less strata. Of Var(V), what goes along with the estimate itself is left out (for a rate, all of it): an
        interval that is corrected for skew has taken that into account.
        """
        squares = self.influence**2
        variance = squares.sum(axis=0)
        spread = np.sum((squares - squares.mean(axis=0)) ** 2, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread -= np.where(variance > 0, np.sum(self.influence**3, axis=0) ** 2 / variance, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(spread > 1e-9 * variance**2, 2 * variance**2 / spread, self.most_freedom)
        return np.clip(found, min(self.most_freedom, FEWEST_FREEDOM), self.most_freedom)

    @property
    def standard_error(self) -> Floats:
        """Shape (statistics,)."""
        return np.asarray(np.std(self.resampled, axis=0, ddof=1))


def bootstrap(
    clusters: Clusters, samples: Sequence[Floats], statistic: Statistic, resampling: Resampling
) -> list[Distribution]:
    """Statistics of samples over the same clusters, and of resamples that are the same for all of them.

    The same clusters, values and seed give the same floats, whatever the order of observations, the other samples, the
    number of threads, and the release of numpy: draws are taken from the raw bits of PCG64, and sums are of whole
    numbers that a float holds exactly (values are rounded to 52 bits less those of the number of clusters).

    Args:
        clusters: none of them alone in its stratum.
        samples: each of shape (clusters, columns), in the order of ``clusters``, as ``clusters.sums`` gives them.
        statistic: what is computed of the sums by stratum.
        resampling: how often, and from which seed.

    Raises:
        ValueError: a stratum has a single cluster.
    """
    if clusters.alone:
        raise ValueError(f"a single cluster in {', '.join(map(repr, clusters.alone))}")
    scaled = [whole_numbers(sample, len(clusters)) for sample in samples]
    parts = list(zip(clusters.slices, clusters.sizes, strict=True))
    generator = np.random.PCG64(resampling.seed)
    step = at_once(clusters, samples[0])
    drawn: list[list[Floats]] = [[] for _ in samples]
    for start in range(0, resampling.resamples, step):
        counts = _drawn(generator, clusters, min(step, resampling.resamples - start))
        for (whole, scale), into in zip(scaled, drawn, strict=True):
            sums = [(counts[:, part] @ whole[part]) * scale * (size / (size - 1)) for part, size in parts]
            into.append(statistic(np.stack(sums, axis=1)))
    return [
        Distribution(
            statistic(np.stack([sample[part].sum(axis=0) for part in clusters.slices])),
            np.concatenate(resampled),
            _influence(clusters, sample, statistic),
            len(clusters) - len(clusters.sizes),
        )
        for sample, resampled in zip(samples, drawn, strict=True)
    ]


def at_once(clusters: Clusters, sample: Floats) -> int:
    """How many resamples to make together."""
    return max(1, _PRODUCTS_AT_ONCE // (len(clusters) * int(sample.shape[1])))


def whole_numbers(values: Floats, clusters: int) -> tuple[Floats, Floats]:
    """Values as whole numbers whose sums are exact, and the power of two that each column was divided by."""
    largest = np.max(np.abs(values), axis=0)
    room = _EXACT_BITS - int(clusters).bit_length()
    _, exponent = np.frexp(np.where(largest > 0, largest, 1.0))
    scale = np.ldexp(1.0, exponent - room)
    return np.rint(values / scale), np.asarray(scale)


def _drawn(generator: np.random.PCG64, clusters: Clusters, resamples: int) -> Floats:
    """How often each cluster was drawn; shape (resamples, clusters).

    A draw is 32 bits, taken to a range by multiplication (Lemire 2019), which favours none by more than n in 2^32.
    """
    draws = len(clusters) - len(clusters.sizes)
    raw = np.asarray(generator.random_raw(resamples * ((draws + 1) // 2)), "<u8")
    bits = raw.view("<u4").reshape(resamples, -1)[:, :draws].astype(np.uint64)
    sizes = np.repeat(clusters.sizes, np.asarray(clusters.sizes) - 1).astype(np.uint64)
    starts = np.repeat([part.start for part in clusters.slices], np.asarray(clusters.sizes) - 1)
    chosen = ((bits * sizes) >> np.uint64(32)).astype(np.intp) + starts
    chosen += (np.arange(resamples) * len(clusters))[:, None]
    counted = np.bincount(chosen.ravel(), minlength=resamples * len(clusters))
    return counted.astype(np.float64).reshape(resamples, len(clusters))


def _influence(clusters: Clusters, sample: Floats, statistic: Statistic) -> Floats:
    """The stratified jackknife: what each statistic loses with each cluster, in units of its deviation."""
    by_stratum = np.stack([sample[part].sum(axis=0) for part in clusters.slices])
    found = []
    for number, (part, size) in enumerate(zip(clusters.slices, clusters.sizes, strict=True)):
        without = np.repeat(by_stratum[None], size, axis=0)
        without[:, number] = (by_stratum[number] - sample[part]) * (size / (size - 1))
        values = statistic(without)
        found.append((values.mean(axis=0) - values) * ((size - 1) / size))
    return np.concatenate(found)
