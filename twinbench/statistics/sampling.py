"""Clusters drawn again: the stratified cluster bootstrap of statistics that are functions of sums.

Method: the rescaling bootstrap of Rao and Wu (1988, JASA 83:231) in the form of Rao, Wu and Yue (1992, Survey
Methodology 18:209): of the n clusters of a stratum, n - 1 are drawn with replacement, and the drawn sums are multiplied
by n / (n - 1). Drawing n of n makes variances too small by (n - 1) / n in each stratum, which is felt where workloads
have few trajectories; this has no such bias for sums, at any n from 2.

A stratum of few clusters does not know its own spread: two clusters that agree show none. Strata of less than
``FEWEST_ALONE`` beside others, or of less than ``FEWEST_OF_SEVERAL`` that hold several units each, are collapsed with
the others (Cochran 1977, Sampling Techniques, 5A.12): a draw is of their own
clusters' deviations, or of those of all clusters in units of the stratum's size, or of what might have been supposed of
its own clusters (two pseudo-observations in the spirit of Agresti and Coull 1998, The American Statistician 52:119).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats, Ints

Statistic = Callable[[Floats], Floats]
"""From sums of shape (..., strata, columns) to values of shape (..., statistics); NaN where undefined."""

_MAX_PRODUCT_ELEMENTS = 250_000
"""Of a matrix product. OpenBLAS gives larger ones to several threads, which wait for each other: on a busy machine that
took thirty times as long. Besides, what is so small fits a core's cache."""

MIN_FREEDOM = 4
"""Degrees of freedom below which intervals grow no more: nothing could be said, and a mean of five is one."""

POOLED_FREEDOM = 2
"""How many degrees of freedom the deviations of all clusters count for, where a stratum has few of its own."""

PRIOR_FREEDOM = 0.5
"""The same for what is supposed of the stratum's own clusters: a half all at their best, a half all at their worst."""

_EXACT_BITS = 52
"""A float64 holds every whole number of up to 53 bits: sums of such numbers are exact in any order."""


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
    """Shape (parts, statistics): what the deviation of the statistic is made of. Each cluster is a part, by leaving it
    out; in strata of few clusters each deviation that may be drawn is one."""
    max_freedom: int
    """Clusters less strata, those of few clusters being one."""
    expected_draws: Floats | float = 1.0
    """Shape (parts, 1): how often a part is drawn on average."""
    mirror: tuple[Floats, Floats] | None = None
    """``resampled`` and ``influence`` with the best and the worst that was supposed of clusters exchanged; None where
    nothing was. In a difference one side is supposed at its best where the other is at its worst."""

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
        """That of one statistic."""
        one = slice(number, number + 1)
        resampled, influence = self.resampled[:, one], self.influence[:, one]
        opposed = None if self.mirror is None else (self.mirror[0][:, one], self.mirror[1][:, one])
        return Distribution(self.point[one], resampled, influence, self.max_freedom, self.expected_draws, opposed)

    def cumulant(self, order: int) -> Floats:
        """The sum of the influences to that power, each as often as it is drawn; shape (statistics,)."""
        return np.asarray(np.sum(self.expected_draws * self.influence**order, axis=0))

    @property
    def degrees_of_freedom(self) -> Floats:
        """The degrees of freedom of each standard error, shape (statistics,).

        By matching moments, as Satterthwaite (1946, Biometrics Bull. 2:110): 2 V^2 / Var(V), where V is the sum of the
        squared influences. Where few clusters carry most of the deviation (long bills), they are fewer than clusters
        less strata. Of Var(V), what goes along with the estimate itself is left out (for a rate, all of it): an
        interval that is corrected for skew has taken that into account.
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
        """Shape (statistics,)."""
        return np.asarray(np.std(self.resampled, axis=0, ddof=1))


def bootstrap(
    clusters: Clusters,
    samples: Sequence[Floats],
    statistic: Statistic,
    resampling: Resampling,
    pseudo_observations: Sequence[Floats] | None = None,
) -> list[Distribution]:
    """Statistics of samples over the same clusters, and of resamples that are the same for all of them.

    The same clusters, values and seed give the same floats, whatever the order of observations, the other samples, the
    number of threads, and the release of numpy: draws are taken from the raw bits of PCG64, and sums are of whole
    numbers that a float holds exactly (values are rounded to 52 bits less those of the number of clusters).

    Args:
        clusters: what is drawn; a sole stratum has at least two.
        samples: each of shape (clusters, columns), in the order of ``clusters``, as ``clusters.sums`` gives them; or
            (clusters, blocks, columns), where a cluster adds to several rows of the sums that ``statistic`` takes. The
            first column is a cluster's size.
        statistic: what is computed of the sums by stratum, or by block.
        resampling: how often, and from which seed.
        supposed: of each sample, its clusters at their best and at their worst, shape (2, *sample); used for strata of
            few clusters. None: nothing is supposed.

    Raises:
        ValueError: the sole stratum has a single cluster.
    """
    if clusters.single_cluster_strata and len(clusters.sizes) == 1:
        raise ValueError(f"a single cluster in {', '.join(map(repr, clusters.single_cluster_strata))}")
    borrowing = [
        _describe_small_strata(clusters, sample, statistic, each)
        for sample, each in zip(
            samples,
            repeat(None) if pseudo_observations is None else pseudo_observations,
            strict=pseudo_observations is not None,
        )
    ]
    scaled = [scale_to_integers(sample.reshape(len(sample), -1), len(clusters)) for sample in samples]
    generator = np.random.PCG64(resampling.seed)
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
    """The sums of each resample by stratum or block; strata of few clusters stay as they are."""
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
    """What is drawn for a stratum of few clusters: deviations of the statistic, one for each of its clusters."""

    size: int
    """How many clusters it has."""
    deviations: Floats
    """Shape (parts, statistics); their mean by ``chances`` is 0. The last two are what is supposed."""
    chances: NDArray[np.uint64]
    """Of each part, as whole numbers of the same unit."""
    has_prior: bool

    @property
    def mirror(self) -> _SmallStratum:
        """The same with best and worst exchanged."""
        order = np.arange(len(self.deviations))
        if self.has_prior:
            order[-2:] = order[-1:-3:-1]
        return replace(self, deviations=self.deviations[order])

    @property
    def expected_draws(self) -> Floats:
        """How often each part is drawn on average."""
        return np.asarray(self.size * (self.chances / self.chances.sum()))


def _add_small_strata(values: Floats, times: Sequence[Floats], small_strata: Sequence[_SmallStratum]) -> Floats:
    """Statistics of resamples with what was drawn for strata of few clusters."""
    for drawn, each in zip(times, small_strata, strict=True):
        whole, scale = scale_to_integers(each.deviations, each.size)
        values = values + (drawn @ whole) * scale
    return values


def _describe_small_strata(
    clusters: Clusters, sample: Floats, statistic: Statistic, pseudo_observations: Floats | None
) -> list[_SmallStratum]:
    """Of each stratum of few clusters, in the order of strata: what is drawn for it."""
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
"""Of a numerical derivative: its error is of the order of the square."""


def _directional_derivatives(totals: Floats, directions: Floats, statistic: Statistic) -> Floats:
    """How far sums move the statistic to first order, where they are added: its derivative towards them.

    Args:
        totals: shape (blocks, columns).
        directions: shape (n, blocks, columns).
        statistic: of such sums.

    Returns:
        Shape (n, statistics).
    """
    return (statistic(totals + _DERIVATIVE_STEP * directions) - statistic(totals - _DERIVATIVE_STEP * directions)) / (
        2 * _DERIVATIVE_STEP
    )


def by_block(clusters: Clusters, sample: Floats) -> Floats:
    """What each cluster adds to each row of the sums, a stratum by default; shape (clusters, blocks, columns)."""
    if sample.ndim == 3:
        return sample
    placed = np.zeros((len(clusters), len(clusters.sizes), sample.shape[1]))
    for number, part in enumerate(clusters.slices):
        placed[part, number] = sample[part]
    return placed


def resamples_per_batch(clusters: Clusters, sample: Floats) -> int:
    """How many resamples' sums to make together."""
    return max(1, _MAX_PRODUCT_ELEMENTS // (len(clusters) * int(np.prod(sample.shape[1:]))))


def split_into_batches(whole: int, most: int) -> list[int]:
    """A number in parts of at most so many."""
    return [min(most, whole - start) for start in range(0, whole, most)]


def scale_to_integers(values: Floats, clusters: int) -> tuple[Floats, Floats]:
    """Values as whole numbers whose sums are exact, and the power of two that each column was divided by."""
    largest = np.max(np.abs(values), axis=0)
    room = _EXACT_BITS - int(clusters).bit_length()
    _, exponent = np.frexp(np.where(largest > 0, largest, 1.0))
    scale = np.ldexp(1.0, exponent - room)
    return np.rint(values / scale), np.asarray(scale)


def _draw_clusters(generator: np.random.PCG64, clusters: Clusters, resamples: int) -> Floats:
    """How often each cluster was drawn; shape (resamples, clusters). Those of strata of few clusters were not.

    A draw is 32 bits, taken to a range by multiplication (Lemire 2019), which favours none by more than n in 2^32.
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


def _draw_parts(generator: np.random.PCG64, chances: NDArray[np.uint64], resamples: int, draws: int) -> Floats:
    """How often each part was drawn in so many draws; shape (resamples, parts)."""
    ends = np.cumsum(chances)
    at = (_draw_uint32(generator, resamples, draws) * ends[-1]) >> np.uint64(32)
    return _count_by_row(np.searchsorted(ends, at, side="right"), len(chances))


def _draw_uint32(generator: np.random.PCG64, resamples: int, draws: int) -> NDArray[np.uint64]:
    """Numbers of 32 bits, shape (resamples, draws)."""
    raw = np.asarray(generator.random_raw(resamples * ((draws + 1) // 2)), "<u8")
    return raw.view("<u4").reshape(resamples, -1)[:, :draws].astype(np.uint64)


def _count_by_row(chosen: Ints, of: int) -> Floats:
    """How often each number stands in each row."""
    rows = len(chosen)
    flat = (chosen + (np.arange(rows) * of)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * of).astype(np.float64).reshape(rows, of)


def _jackknife_influence(clusters: Clusters, sample: Floats, statistic: Statistic) -> Floats:
    """The stratified jackknife: what each statistic loses with each cluster, in units of its deviation.

    Clusters of strata of few have no part in it.
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
