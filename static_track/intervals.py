"""How sure the headline is: intervals of a router's metrics, and of the differences between routers.

A trajectory is a cluster, a workload a stratum. What is drawn again are the parts that trajectories add to the sums of
``scoring.sql``, so a resample is scored by the same rules, and nothing is billed twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from static_track.scoring import SCORES
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import McNemar, holm, mcnemar, needed_clusters, rank_ranges
from twinbench.statistics.intervals import bca, exact_bound
from twinbench.statistics.paired import NO_SPREAD, paired_difference
from twinbench.statistics.sampling import Clusters, Distribution, Floats, bootstrap
from twinbench.statistics.swapping import swap_test
from twinbench.wording import trajectories

ROWS, PASSING, EXACT, IF_PASSING, D, N = range(6)
"""Columns of a trajectory's parts."""

_READ_BY: Mapping[str, Sequence[int]] = {
    "row_pass": (PASSING,),
    "row_exact": (EXACT,),
    "traj_pass": (IF_PASSING,),
    "cost_save": (D, N),
    "combined": (PASSING, EXACT, IF_PASSING, D, N),
}
"""The columns, beside the rows, that each metric reads."""

_RATES = ("row_pass", "row_exact", "traj_pass")
"""Metrics that are rates: between 0 and 100, and at either end without any spread."""


@dataclass(frozen=True)
class Parts:
    """What each trajectory of one router adds to the headline."""

    workloads: Sequence[str]
    instances: Sequence[str]
    values: NDArray[np.int64]
    """Shape (trajectories, 6): rows, passing rows, exact rows, rows if the trajectory passes, parts of *D* and *N* in
    femtodollars."""
    groups: Sequence[str] = ()
    """The group of each trajectory: what is independent of other groups. Default: each trajectory's instance."""

    def __post_init__(self) -> None:
        if not self.groups:
            object.__setattr__(self, "groups", self.instances)

    def metrics(self) -> dict[str, float | None]:
        """The headline by these sums: to the last bit what ``scoring.sql`` says."""
        names = np.asarray(self.workloads, object)
        totals = [
            [float(_total(column)) for column in self.values[names == workload].T] for workload in sorted(set(names))
        ]
        found = headline(np.array(totals)).tolist()
        return {name: None if np.isnan(value) else value for name, value in zip(SCORES, found, strict=True)}


def parts_by(result: duckdb.DuckDBPyConnection) -> dict[Any, Parts]:
    """A query's trajectories by their column ``whose``, in the order in which they come.

    Groups are its column ``group_name``, where it has one, else ``instance_id``.
    """
    columns = result.fetchnumpy()
    whose = columns["whose"]
    groups = columns.get("group_name", columns["instance_id"])
    values = np.stack(
        [
            np.asarray(columns[name], np.int64)
            for name in ("rows", "passing_rows", "exact_rows", "rows_if_passing", "d", "n")
        ],
        axis=1,
    )
    starts = [0, *(np.flatnonzero(whose[1:] != whose[:-1]) + 1).tolist(), len(whose)]
    return {
        whose[start]: Parts(
            columns["workload"][start:end].tolist(),
            columns["instance_id"][start:end].tolist(),
            values[start:end],
            groups[start:end].tolist(),
        )
        for start, end in pairwise(starts)
        if end > start
    }


def headline(sums: Floats) -> Floats:
    """The five metrics of sums by workload: ``score`` of ``scoring.sql`` once more, for resamples.

    Args:
        sums: shape (..., workloads, 6), workloads in their order.

    Returns:
        Shape (..., 5) in the order of ``SCORES``; NaN where undefined.
    """
    totals = sums.sum(axis=-2)
    rows = totals[..., ROWS]
    cost_save = np.zeros(rows.shape)
    billed = np.zeros(rows.shape, bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = [100 * totals[..., column] / rows for column in (PASSING, EXACT, IF_PASSING)]
        for workload in range(sums.shape[-2]):  # added one by one, as SQL does
            part = sums[..., workload, :]
            saved = part[..., ROWS] / rows * (100 * part[..., N] / part[..., D])
            has_d = part[..., D] != 0
            cost_save = np.where(has_d, cost_save + saved, cost_save)
            billed |= has_d
    cost_save = np.where(billed, cost_save, np.nan)
    combined = (rates[0] + rates[1] + rates[2] + cost_save) / 4
    return np.stack([*rates, cost_save, combined], axis=-1)


@dataclass(frozen=True)
class Interval:
    """Where a value may lie, or why that cannot be said."""

    ends: tuple[float, float] | None
    reason: str | None = None

    def to_json(self) -> list[float] | None:
        """The two ends as JSON."""
        return None if self.ends is None else list(self.ends)


@dataclass(frozen=True)
class Difference:
    """How far one router is ahead of another in one metric."""

    difference: float | None
    """The first less the second, in percentage points; None where either is undefined."""
    interval: Interval
    p: float | None
    p_holm: float | None
    """Corrected for all pairs of the same table."""
    needed_trajectories: int | None
    """To find a difference of this size with power 0.8, if it is the true one."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "difference": self.difference,
            "interval": self.interval.to_json(),
            "no_interval": self.interval.reason,
            "p": self.p,
            "p_holm": self.p_holm,
            "needed_trajectories": self.needed_trajectories,
        }


class Sample:
    """Several routers on the same trajectories, drawn again together."""

    def __init__(self, routers: Sequence[Parts], resampling: Resampling) -> None:
        """Take routers.

        Args:
            routers: at least one; all over the same trajectories in the same order.
            resampling: how often, and from which seed.
        """
        self._resampling = resampling
        self._clusters = Clusters.of(routers[0].instances, routers[0].workloads)
        self._order = np.argsort(self._clusters.position)
        self._parts = [router.values[self._order] for router in routers]
        self._metrics = [router.metrics() for router in routers]
        self._swaps: dict[tuple[int, int], Floats] = {}

    @property
    def too_little(self) -> str | None:
        """Why the sample allows no intervals, as a sentence; None where it does."""
        fewest = self._resampling.fewest_clusters
        if self._clusters.alone:
            named = ", ".join(self._clusters.alone)
            return f"too little: a single trajectory in {named}, so nothing tells how another one would do"
        if len(self._clusters) < fewest:
            return f"too little: {trajectories(len(self._clusters))}, and an interval at this level needs {fewest}"
        return None

    @cached_property
    def _distributions(self) -> list[Distribution]:
        samples = [parts.astype(np.float64) for parts in self._parts]
        drawn = bootstrap(self._clusters, samples, headline, self._resampling)
        exact = [np.array([np.nan if value is None else value for value in each.values()]) for each in self._metrics]
        return [replace(each, point=point) for each, point in zip(drawn, exact, strict=True)]

    def intervals(self, router: int) -> dict[str, Interval]:
        """Of each metric: BCa intervals; where a rate is 0 or 100, exact ones of Clopper and Pearson."""
        if self.too_little is not None:
            return dict.fromkeys(SCORES, Interval(None, self.too_little))
        metrics = self._metrics[router]
        distribution = self._distributions[router]
        ends = bca(distribution, self._resampling.level)
        open_end = 100 * exact_bound(len(self._clusters), self._resampling.level)
        found: dict[str, Interval] = {}
        below = above = 0.0  # of the mean of four: what parts without spread may still be off by
        for number, name in enumerate(SCORES):
            value = metrics[name]
            if name == "combined":
                ends[number] += (-below / 4, above / 4)
            if name in _RATES and value == 100:
                found[name] = Interval((100 - open_end, 100.0))
                below += open_end
            elif name in _RATES and value == 0:
                found[name] = Interval((0.0, open_end))
                above += open_end
            else:
                found[name] = self._interval(value, distribution.resampled[:, number], ends[number])
        return found

    def _interval(self, value: float | None, resampled: Floats, ends: Floats) -> Interval:
        if value is None:
            return Interval(None, "undefined")
        if np.isnan(resampled).any():
            return Interval(None, "too little: in some resamples it is undefined")
        if ends[1] - ends[0] <= NO_SPREAD:
            return Interval(None, "the same on every trajectory")
        return Interval((float(ends[0]), float(ends[1])))

    def differences(self, first: int, second: int) -> dict[str, Difference]:
        """Of each metric, by the paired bootstrap, p-values as yet uncorrected."""
        return {name: self._difference(name, first, second) for name in SCORES}

    def _difference(self, name: str, first: int, second: int) -> Difference:
        one, other = self._metrics[first][name], self._metrics[second][name]
        if one is None or other is None:
            return Difference(None, Interval(None, "undefined"), None, None, None)
        if self.too_little is not None:
            return Difference(one - other, Interval(None, self.too_little), None, None, None)
        read = list(_READ_BY[name])
        differing = int(np.any(self._parts[first][:, read] != self._parts[second][:, read], axis=1).sum())
        if not differing:
            return Difference(one - other, Interval(None, "they differ on no trajectory"), 1.0, None, None)
        number = SCORES.index(name)
        distribution = self._paired(first, second, number)
        if np.isnan(distribution.resampled).any():
            reason = "too little: in some resamples it is undefined"
            return Difference(one - other, Interval(None, reason), None, None, None)
        found = paired_difference(
            distribution,
            len(self._clusters),
            differing,
            lambda: float(self._swapped(first, second)[number]),
            self._resampling,
            reach=200 * exact_bound(len(self._clusters), self._resampling.level),
        )
        low, high = (min(max(end, -100.0), 100.0) if name in _RATES else end for end in found.ends)
        return Difference(one - other, Interval((low, high)), found.p, None, found.needed)

    def _paired(self, first: int, second: int, number: int) -> Distribution:
        both = self._distributions[first] - self._distributions[second]
        part = slice(number, number + 1)
        return replace(
            both, point=both.point[part], resampled=both.resampled[:, part], influence=both.influence[:, part]
        )

    def _swapped(self, first: int, second: int) -> Floats:
        if (first, second) not in self._swaps:
            one, other = (self._parts[router].astype(np.float64) for router in (first, second))
            self._swaps[first, second] = swap_test(self._clusters, one, other, headline, self._resampling)
        return self._swaps[first, second]

    def mcnemar(self, first: int, second: int) -> McNemar:
        """Trajectories that only one of two routers passes."""
        return mcnemar(self._passes(first), self._passes(second))

    def mcnemar_needed(self, found: McNemar) -> int | None:
        """How many trajectories it takes to find such a split, if it is the true one."""
        size = len(self._clusters)
        differ, ahead = found.first_only + found.second_only, found.first_only - found.second_only
        error = (differ - ahead**2 / size) ** 0.5 / size
        return self._needed(ahead / size, error)

    def _needed(self, difference: float, error: float) -> int | None:
        needed = needed_clusters(difference, error, len(self._clusters), level=self._resampling.level)
        return None if needed is None else max(needed, self._resampling.fewest_clusters)

    def _passes(self, router: int) -> list[bool]:
        passes: list[bool] = (self._parts[router][:, IF_PASSING] > 0).tolist()
        return passes

    def ranks(self, routers: Sequence[int], metric: str = "combined") -> dict[int, tuple[int, int]]:
        """The ranks that each of some routers may have in a metric; those without a value are left out.

        A router is behind another where the difference is found at the level after Holm's correction for all pairs.
        """
        ranked = [router for router in routers if self._metrics[router][metric] is not None]
        pairs = list(combinations(range(len(ranked)), 2))
        found = [self._difference(metric, ranked[first], ranked[second]) for first, second in pairs]
        corrected = holm([1.0 if each.p is None else each.p for each in found])
        better: dict[tuple[int, int], bool] = {}
        for (first, second), each, p in zip(pairs, found, corrected, strict=True):
            ahead = each.difference or 0.0
            better[first, second] = p <= 1 - self._resampling.level and ahead > 0
            better[second, first] = p <= 1 - self._resampling.level and ahead < 0
        return dict(zip(ranked, rank_ranges(better, len(ranked)), strict=True))


def _total(column: NDArray[np.int64]) -> int:
    """The exact sum of whole numbers, which may be larger than any of 64 bits."""
    return (int((column >> 32).sum()) << 32) + int((column & 0xFFFFFFFF).sum())
