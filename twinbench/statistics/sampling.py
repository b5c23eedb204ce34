"""The stratified cluster bootstrap of statistics that are functions of sums.

Method: the rescaling bootstrap of Rao and Wu (1988, JASA 83:231) in the form of Rao, Wu and Yue (1992, Survey
Methodology 18:209): of the n clusters of a stratum, n - 1 are drawn with replacement, and the drawn sums are multiplied
by n / (n - 1). Drawing n of n clusters would make variances too small by the factor (n - 1) / n in each stratum, which
matters for workloads with few trajectories; this method has no such bias for sums, for any n from 2.

A stratum with few clusters does not show its own variance: two clusters that agree show none. Such small strata have
fewer than ``MIN_CLUSTERS_ALONE`` clusters beside other strata, or fewer than ``MIN_CLUSTERS_OF_SEVERAL`` clusters of
several units each. They are collapsed with the others (Cochran 1977, Sampling Techniques, 5A.12). A draw for a small
stratum is one of three: the deviation of one of its own clusters; the deviation of any cluster, scaled to the stratum's
size; or one of two pseudo-observations, its clusters at their best and at their worst (in the spirit of Agresti and
Coull 1998, The American Statistician 52:119).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats, Ints

Statistic = Callable[[Floats], Floats]
"""A function from sums of shape (..., strata, columns) to values of shape (..., statistics); NaN if undefined."""

_MAX_PRODUCT_ELEMENTS = 250_000
"""Largest matrix that enters a product. OpenBLAS splits larger products over several threads that wait for each other,
which took thirty times as long on a busy machine. Matrices of this size also fit into a core's cache."""

MIN_FREEDOM = 4
"""Lower limit of the degrees of freedom: with fewer, intervals would be too wide to be useful."""

POOLED_FREEDOM = 2
"""Weight, in degrees of freedom, of the deviations of all clusters in the draws for a small stratum."""

PRIOR_FREEDOM = 0.5
"""Weight, in degrees of freedom, of the pseudo-observations of a small stratum: half best, half worst."""

_EXACT_BITS = 52
"""A float64 represents every integer of up to 53 bits, so sums of smaller integers are exact in any order."""


@dataclass(frozen=True)
class Distribution:
    """The bootstrap distribution of statistics: their values for the sample and for resamples, and their influences.

    Subtracting two distributions over the same clusters gives the distribution of paired differences, since both were
    computed from the same resamples.
    """

    point: Floats
    """The statistics of the sample; shape (statistics,)."""
    resampled: Floats
    """The statistics of the resamples; shape (resamples, statistics)."""
    influence: Floats
    """Contributions to the deviation of the statistics; shape (parts, statistics). Each cluster is a part, whose
    influence is found by leaving it out; in small strata each deviation that can be drawn is a part."""
    max_freedom: int
    """The number of clusters minus that of strata, where all small strata count as one."""
    expected_draws: Floats | float = 1.0
    """How often each part is drawn on average; shape (parts, 1)."""
    mirror: tuple[Floats, Floats] | None = None
    """``resampled`` and ``influence`` with the best and the worst pseudo-observation exchanged; None if there are none.
    A difference uses them for its second side, so that one side is at its best while the other is at its worst."""

    def __sub__(self, other: Distribution) -> Distribution:
        resampled, influence = other.mirror or (other.resampled, other.influence)
        return Distribution(
            self.point - other.point,
            self.resampled - resampled,
            self.influence - influence,
            self.max_freedom,
            self.expected_draws,
        )

    def select(self, number: int) -> Distribution:
        """Return the distribution of one statistic."""
        one = slice(number, number + 1)
        resampled, influence = self.resampled[:, one], self.influence[:, one]
        opposed = None if self.mirror is None else (self.mirror[0][:, one], self.mirror[1][:, one])
        return Distribution(self.point[one], resampled, influence, self.max_freedom, self.expected_draws, opposed)

    def cumulant(self, order: int) -> Floats:
        """Return the sum of the influences to a power, weighted by ``expected_draws``; shape (statistics,)."""
        return np.asarray(np.sum(self.expected_draws * self.influence**order, axis=0))

    @property
    def degrees_of_freedom(self) -> Floats:
        """The degrees of freedom of each standard error; shape (statistics,).

        They are found by matching moments, as by Satterthwaite (1946, Biometrics Bull. 2:110): 2 V^2 / Var(V), where V
        is the sum of the squared influences. If few clusters contribute most of the deviation (long bills), they are
        fewer than clusters minus strata. The part of Var(V) that is correlated with the estimate itself is left out
        (for a rate, this is all of it), since an interval that is corrected for skewness already accounts for it.
        """
        squares = self.expected_draws * self.influence**2
        variance = squares.sum(axis=0)
        spread = np.sum((squares - squares.mean(axis=0)) ** 2, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread -= np.where(variance > 0, self.cumulant(3) ** 2 / variance, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(spread > 1e-9 * variance**2, 2 * variance**2 / spread, self.max_freedom)
        return np.clip(found, min(self.max_freedom, MIN_FREEDOM), self.max_freedom)

    @property
    def standard_error(self) -> Floats:
        """The standard error of each statistic; shape (statistics,)."""
        return np.asarray(np.std(self.resampled, axis=0, ddof=1))


def bootstrap(
    clusters: Clusters,
    samples: Sequence[Floats],
    statistic: Statistic,
    resampling: Resampling,
    pseudo_observations: Sequence[Floats] | None = None,
) -> list[Distribution]:
    """Compute the bootstrap distributions of several samples over the same clusters, with the same resamples for all.

    The result is reproducible to the last bit: it depends only on the clusters, values and seed, not on the order of
    observations, the other samples, the number of threads or the numpy release. Resamples are drawn from the raw bits
    of PCG64, and sums are taken of integers that a float represents exactly (values are rounded to 52 bits minus those
    of the number of clusters).

    Args:
        clusters: the clusters that are resampled; if there is only one stratum, at least two.
        samples: each of shape (clusters, columns), as ``clusters.sum_by_cluster`` returns them; or of shape (clusters,
            blocks, columns), if a cluster contributes to several rows of the sums that ``statistic`` takes. The first
            column is a cluster's size.
        statistic: the function of the sums by stratum, or by block.
        resampling: the number of resamples and the seed.
        pseudo_observations: for each sample, its clusters at their best and at their worst, shape (2, *sample); used
            for small strata. None for no pseudo-observations.

    Raises:
        ValueError: the only stratum has a single cluster.
    """
    if clusters.single_cluster_strata and len(clusters.sizes) == 1:
        raise ValueError(
            f"the only stratum has a single cluster: {', '.join(map(repr, clusters.single_cluster_strata))}"
        )
    borrowing = [
        _describe_small_strata(clusters, sample, statistic, each)
        for sample, each in zip(
            samples,
            repeat(None) if pseudo_observations is None else pseudo_observations,
            strict=pseudo_observations is not None,
        )
    ]
    scaled = [scale_to_integers(sample.reshape(len(sample), -1), len(clusters)) for sample in samples]
    generator = PCG64(resampling.seed)
    generators = [generator.jumped(number) for number in range(1, 1 + len(borrowing[0]))]
    sums: list[list[Floats]] = [[] for _ in samples]
    times: list[list[Floats]] = [[] for _ in generators]
    for count in split_into_batches(resampling.resamples, resamples_per_batch(clusters, samples[0])):
        counts = _draw_clusters(generator, clusters, count)
        for drawn, each, few in zip(times, generators, borrowing[0], strict=True):
            drawn.append(_draw_parts(each, few.chances, count, few.size))
        for found, sample, (whole, scale) in zip(sums, samples, scaled, strict=True):
            found.append(_sum_resamples(clusters, sample, whole, scale, counts))
    all_times = [np.concatenate(drawn) for drawn in times]
    return [
        _make_distribution(clusters, sample, statistic, each, statistic(np.concatenate(resampled)), all_times)
        for sample, each, resampled in zip(samples, borrowing, sums, strict=True)
    ]


def _sum_resamples(clusters: Clusters, sample: Floats, whole: Floats, scale: Floats, counts: Floats) -> Floats:
    """Sum each resample by stratum or block; small strata keep the sums of the sample."""
    sums = []
    for part, size, few in zip(clusters.slices, clusters.sizes, clusters.is_small, strict=True):
        if few:
            sums.append(np.broadcast_to(whole[part].sum(axis=0) * scale, (len(counts), whole.shape[1])))
        else:
            sums.append((counts[:, part] @ whole[part]) * scale * (size / (size - 1)))
    if sample.ndim == 2:
        return np.stack(sums, axis=1)
    return np.asarray(np.add.reduce(sums)).reshape(len(counts), *sample.shape[1:])


def _make_distribution(
    clusters: Clusters,
    sample: Floats,
    statistic: Statistic,
    small_strata: Sequence[_SmallStratum],
    values: Floats,
    times: Sequence[Floats],
) -> Distribution:
    point = statistic(by_block(clusters, sample).sum(axis=0))
    influence = _jackknife_influence(clusters, sample, statistic)
    if not small_strata:
        return Distribution(point, values, influence, len(clusters) - len(clusters.sizes))
    weight = np.concatenate([np.ones(len(influence)), *(each.expected_draws for each in small_strata)])[:, None]
    turned = np.concatenate([influence, *(each.mirror.deviations for each in small_strata)])
    influence = np.concatenate([influence, *(each.deviations for each in small_strata)])
    most = len(clusters) - (len(clusters.sizes) - len(small_strata)) - 1
    resampled = _add_small_strata(values, times, small_strata)
    opposed = _add_small_strata(values, times, [each.mirror for each in small_strata])
    return Distribution(point, resampled, influence, max(most, 1), weight, (opposed, turned))


@dataclass(frozen=True)
class _SmallStratum:
    """How a small stratum is resampled: for each of its clusters, one of several deviations is drawn."""

    size: int
    """The number of its clusters."""
    deviations: Floats
    """The deviations, with a mean of 0 weighted by ``chances``; shape (parts, statistics). If there are
    pseudo-observations, the last two parts are theirs."""
    chances: NDArray[np.uint64]
    """The probability of each part, as an integer multiple of a common unit."""
    has_prior: bool

    @property
    def mirror(self) -> _SmallStratum:
        """The same stratum with the best and the worst pseudo-observation exchanged."""
        order = np.arange(len(self.deviations))
        if self.has_prior:
            order[-2:] = order[-1:-3:-1]
        return replace(self, deviations=self.deviations[order])

    @property
    def expected_draws(self) -> Floats:
        """How often each part is drawn on average; shape (parts,)."""
        return np.asarray(self.size * (self.chances / self.chances.sum()))


def _add_small_strata(values: Floats, times: Sequence[Floats], small_strata: Sequence[_SmallStratum]) -> Floats:
    """Add the deviations that were drawn for small strata to the statistics of resamples."""
    for drawn, each in zip(times, small_strata, strict=True):
        whole, scale = scale_to_integers(each.deviations, each.size)
        values = values + (drawn @ whole) * scale
    return values


def _describe_small_strata(
    clusters: Clusters, sample: Floats, statistic: Statistic, pseudo_observations: Floats | None
) -> list[_SmallStratum]:
    """Return how each small stratum is resampled, in the order of strata."""
    if not any(clusters.is_small):
        return []
    placed = by_block(clusters, sample)
    totals = placed.sum(axis=0)
    moves = _directional_derivatives(totals, placed, statistic)
    sizes = [float(placed[part, :, 0].sum()) for part in clusters.slices]
    of_a_cluster = np.repeat(
        [number / size for number, size in zip(clusters.sizes, sizes, strict=True)], clusters.sizes
    )
    all_moves = moves * of_a_cluster[:, None]
    all_moves = (all_moves - all_moves.mean(axis=0)) * np.sqrt(len(clusters) / (len(clusters) - 1))
    found = []
    for part, number, size, few in zip(clusters.slices, clusters.sizes, sizes, clusters.is_small, strict=True):
        if not few:
            continue
        own = (moves[part] - moves[part].mean(axis=0)) * np.sqrt(number / max(number - 1, 1))
        parts = [own, all_moves * (size / number)]
        each_own, each_of_all = 4 * len(clusters) * (number - 1), 4 * POOLED_FREEDOM * number
        chances = [each_own] * number + [each_of_all] * len(clusters)
        if pseudo_observations is not None:
            ends = np.stack([by_block(clusters, each)[part].mean(axis=0) for each in pseudo_observations])
            parts.append(_directional_derivatives(totals, ends, statistic))
            chances += [round(2 * PRIOR_FREEDOM * number * len(clusters))] * 2
        share = np.array(chances, np.uint64)
        deviations = np.concatenate(parts)
        deviations -= np.average(deviations, axis=0, weights=share.astype(np.float64))
        found.append(_SmallStratum(number, deviations, share, pseudo_observations is not None))
    return found


_DERIVATIVE_STEP = 1e-4
"""The step of the numerical derivative, whose error is of the order of the step's square."""


def _directional_derivatives(totals: Floats, directions: Floats, statistic: Statistic) -> Floats:
    """Compute the derivative of a statistic in several directions: its first-order change if they are added to sums.

    Args:
        totals: the sums at which the derivative is taken; shape (blocks, columns).
        directions: shape (n, blocks, columns).
        statistic: a function of such sums.

    Returns:
        Shape (n, statistics).
    """
    return (statistic(totals + _DERIVATIVE_STEP * directions) - statistic(totals - _DERIVATIVE_STEP * directions)) / (
        2 * _DERIVATIVE_STEP
    )


def by_block(clusters: Clusters, sample: Floats) -> Floats:
    """Return a sample as each cluster's contribution to each block; shape (clusters, blocks, columns).

    A sample without blocks gets one block per stratum.
    """
    if sample.ndim == 3:
        return sample
    placed = np.zeros((len(clusters), len(clusters.sizes), sample.shape[1]))
    for number, part in enumerate(clusters.slices):
        placed[part, number] = sample[part]
    return placed


def resamples_per_batch(clusters: Clusters, sample: Floats) -> int:
    """Return how many resamples are summed in one matrix product."""
    return max(1, _MAX_PRODUCT_ELEMENTS // (len(clusters) * int(np.prod(sample.shape[1:]))))


def split_into_batches(whole: int, most: int) -> list[int]:
    """Split a number into parts of at most ``most``."""
    return [min(most, whole - start) for start in range(0, whole, most)]


def scale_to_integers(values: Floats, clusters: int) -> tuple[Floats, Floats]:
    """Scale values to integers whose sums over clusters are exact in floating point.

    Returns:
        The integers (as floats), and the power of two that each column was divided by.
    """
    largest = np.max(np.abs(values), axis=0)
    room = _EXACT_BITS - int(clusters).bit_length()
    _, exponent = np.frexp(np.where(largest > 0, largest, 1.0))
    scale = np.ldexp(1.0, exponent - room)
    return np.rint(values / scale), np.asarray(scale)


def _draw_clusters(generator: PCG64, clusters: Clusters, resamples: int) -> Floats:
    """Draw resamples and count how often each cluster was drawn; shape (resamples, clusters).

    Clusters of small strata are not drawn.

    A draw is 32 bits, mapped to a range by multiplication (Lemire 2019), whose bias is at most n in 2^32.
    """
    by_themselves = [
        (part.start, size)
        for part, size, few in zip(clusters.slices, clusters.sizes, clusters.is_small, strict=True)
        if not few
    ]
    sizes = np.array([size for _, size in by_themselves], np.int64)
    bits = _draw_uint32(generator, resamples, int((sizes - 1).sum()))
    starts = np.repeat(np.array([start for start, _ in by_themselves], np.intp), sizes - 1)
    chosen = ((bits * np.repeat(sizes, sizes - 1).astype(np.uint64)) >> np.uint64(32)).astype(np.intp) + starts
    return _count_by_row(chosen, len(clusters))


def _draw_parts(generator: PCG64, chances: NDArray[np.uint64], resamples: int, draws: int) -> Floats:
    """Draw parts with given probabilities and count how often each was drawn; shape (resamples, parts)."""
    ends = np.cumsum(chances)
    at = (_draw_uint32(generator, resamples, draws) * ends[-1]) >> np.uint64(32)
    return _count_by_row(np.searchsorted(ends, at, side="right"), len(chances))


def _draw_uint32(generator: PCG64, resamples: int, draws: int) -> NDArray[np.uint64]:
    """Draw random 32-bit numbers; shape (resamples, draws)."""
    raw = np.asarray(generator.random_raw(resamples * ((draws + 1) // 2)), "<u8")
    return raw.view("<u4").reshape(resamples, -1)[:, :draws].astype(np.uint64)


def _count_by_row(chosen: Ints, of: int) -> Floats:
    """Count how often each number from 0 to ``of`` - 1 occurs in each row."""
    rows = len(chosen)
    flat = (chosen + (np.arange(rows) * of)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * of).astype(np.float64).reshape(rows, of)


def _jackknife_influence(clusters: Clusters, sample: Floats, statistic: Statistic) -> Floats:
    """Compute the influence of each cluster on each statistic by the stratified jackknife.

    Clusters of small strata are left out.
    """
    totals = by_block(clusters, sample).sum(axis=0)
    found = []
    for number, (part, size, few) in enumerate(zip(clusters.slices, clusters.sizes, clusters.is_small, strict=True)):
        if few:
            continue
        own = sample[part]
        if sample.ndim == 2:
            without = np.repeat(totals[None], size, axis=0)
            without[:, number] = (totals[number] - own) * (size / (size - 1))
        else:
            stratum = own.sum(axis=0)
            without = totals - stratum + (stratum - own) * (size / (size - 1))
        values = statistic(without)
        found.append((values.mean(axis=0) - values) * ((size - 1) / size))
    return np.concatenate(found) if found else np.zeros((0, len(statistic(totals))))
