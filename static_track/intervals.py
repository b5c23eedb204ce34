"""Intervals of a router's metrics, and of differences between routers.

Groups of trajectories are the clusters, workloads the strata. What is resampled are the trajectories' contributions to
the sums of ``scoring.sql``, so a resample is scored by the same rules without computing costs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from static_track.metrics import SCORES
from static_track.trajectory_parts import EXACT, IF_PASSING, PASSING, ROWS, D, N, TrajectoryParts, headline
from twinbench.display.wording import format_count, format_trajectories
from twinbench.statistics import Resampling
from twinbench.statistics.clusters import MIN_CLUSTERS_OF_SEVERAL, Clusters, Floats
from twinbench.statistics.comparing import McNemar, holm, mcnemar, needed_clusters, rank_ranges_from_tests
from twinbench.statistics.intervals import bca_intervals, exact_bound, share_interval
from twinbench.statistics.paired import MAX_SWAPPED_CLUSTERS, MIN_RELATIVE_WIDTH, paired_difference, paired_p_value
from twinbench.statistics.sampling import Distribution, bootstrap, by_block
from twinbench.statistics.swapping import swap_tests

_COLUMNS_OF_METRIC: Mapping[str, Sequence[int]] = {
    "row_pass": (PASSING,),
    "row_exact": (EXACT,),
    "traj_pass": (IF_PASSING,),
    "cost_save": (D, N),
    "combined": (PASSING, EXACT, IF_PASSING, D, N),
}
"""The columns, besides the rows, that each metric depends on."""

_PAIRS_AT_ONCE = 50
"""How many pairs of routers are tested with the same random swaps; 10,000 resamples of 50 pairs take 20 MB."""

_RATES = ("row_pass", "row_exact", "traj_pass")
"""Metrics that are rates: between 0 and 100, with no variance at either end."""


@dataclass(frozen=True)
class Interval:
    """The interval of a value, or the reason why there is none."""

    ends: tuple[float, float] | None
    reason: str | None = None

    def to_json(self) -> list[float] | None:
        """Return the two ends as JSON."""
        return None if self.ends is None else list(self.ends)


@dataclass(frozen=True)
class Difference:
    """The difference between two routers in one metric."""

    difference: float | None
    """The first router's value minus the second's, in percentage points; None if either is undefined."""
    interval: Interval
    p: float | None
    p_holm: float | None
    """The p-value corrected for all pairs of the table (Holm)."""
    needed_trajectories: int | None
    """Trajectories needed to detect a difference of this size with power 0.8, if it is the true one."""

    def to_json(self) -> dict[str, Any]:
        """Return the difference as a JSON object."""
        return {
            "difference": self.difference,
            "interval": self.interval.to_json(),
            "no_interval": self.interval.reason,
            "p": self.p,
            "p_holm": self.p_holm,
            "needed_trajectories": self.needed_trajectories,
        }


class RouterSample:
    """Several routers on the same trajectories, resampled together.

    The unit of resampling is a group of trajectories, within the workload that has most of its rows; a group may span
    several workloads.
    """

    def __init__(self, routers: Sequence[TrajectoryParts], resampling: Resampling) -> None:
        """Make a sample.

        Args:
            routers: the routers' parts, at least one; all over the same trajectories in the same order.
            resampling: how often to resample, and with which seed.
        """
        self._resampling = resampling
        self._routers = routers
        self._trajectories = _Groups.of(routers[0])
        self._clusters = self._trajectories.clusters
        self._metrics = [router.metrics() for router in routers]
        self._swaps: dict[tuple[int, int], Floats] = {}

    @property
    def groups(self) -> int:
        """The number of groups, which are the unit of resampling and tests."""
        return len(self._clusters)

    @cached_property
    def why_no_interval(self) -> str | None:
        """Why the sample is too small for intervals; None if it is not."""
        fewest = self._resampling.fewest_clusters
        if self.groups < fewest:
            return f"only {self._format_size(self.groups)}, but an interval at this level needs {fewest}"
        rows = self._trajectories.sum_by_group(self._routers[0].values[:, [ROWS]])
        shares = np.array([rows[part].sum() for part in self._clusters.slices]) / rows.sum()
        alike = shares**2 / np.array(self._clusters.sizes)
        if any(self._clusters.is_small) and alike.sum() > 1 / fewest:
            most = int(alike.argmax())
            return (
                f"workload {self._clusters.strata[most]} has {100 * shares[most]:.0f} % of all rows in "
                f"only {self._format_size(self._clusters.sizes[most])}; the effective number is {1 / alike.sum():.1f}, "
                f"but an interval at this level needs {fewest}"
            )
        return None

    def _format_size(self, number: int) -> str:
        return format_trajectories(number) if self._trajectories.single else format_count(number, "group")

    @cached_property
    def _sums(self) -> list[Floats]:
        return [self._trajectories.sum_by_group(router.values) for router in self._routers]

    @cached_property
    def _distributions(self) -> list[Distribution]:
        supposed = None
        if any(self._clusters.is_small):
            supposed = [self._trajectories.sum_by_group(_best_and_worst(router.values)) for router in self._routers]
        drawn = bootstrap(self._clusters, self._sums, headline, self._resampling, supposed)
        exact = [np.array([np.nan if value is None else value for value in each.values()]) for each in self._metrics]
        return [replace(each, point=point) for each, point in zip(drawn, exact, strict=True)]

    def intervals(self, router: int) -> dict[str, Interval]:
        """Return the interval of each metric: Wilson for rates (Clopper–Pearson at 0 or 100), BCa for others."""
        if self.why_no_interval is not None:
            return dict.fromkeys(SCORES, Interval(None, self.why_no_interval))
        metrics = self._metrics[router]
        distribution = self._distributions[router]
        ends = bca_intervals(distribution, self._resampling.level)
        open_end = 100 * exact_bound(self.groups, self._resampling.level)
        found: dict[str, Interval] = {}
        below = above = 0.0  # possible error of Combined from parts without variance
        for number, name in enumerate(SCORES):
            value = metrics[name]
            if name == "combined":
                ends[number] = self._widen(ends[number], value, below / 4, above / 4)
            if name == "cost_save" and value is not None and self._has_constant_savings(router):
                # By construction, not by chance, as for always-high, which never saves anything.
                found[name] = Interval(None, "the same on every trajectory")
                continue
            if name == "cost_save":
                # A failing trajectory loses all of its D, so if none failed, as much of D may be lost as may fail.
                if metrics["traj_pass"] == 100:
                    ends[number] = self._widen(ends[number], value, open_end, 0)
                    below += open_end
                elif metrics["traj_pass"] == 0:
                    ends[number] = self._widen(ends[number], value, 0, open_end)
                    above += open_end
            if name in _RATES and value == 100:
                found[name] = Interval((100 - open_end, 100.0))
                below += open_end
            elif name in _RATES and value == 0:
                found[name] = Interval((0.0, open_end))
                above += open_end
            else:
                found[name] = self._interval(value, distribution.select(number), ends[number], rate=name in _RATES)
        return found

    def _has_constant_savings(self, router: int) -> bool:
        """Return whether a router saves the same share of *D* on every group of a workload."""
        sums = by_block(self._clusters, self._sums[router])
        for block in range(sums.shape[1]):
            d, n = sums[:, block, D], sums[:, block, N]
            saved = n[d > 0] / d[d > 0]
            if saved.size and float(np.ptp(saved)) > MIN_RELATIVE_WIDTH:
                return False
        return True

    def _widen(self, ends: Floats, value: float | None, below: float, above: float) -> Floats:
        """Widen an interval by exact bounds; if a prior was used, keep the wider of both."""
        if value is None or not any(self._clusters.is_small):
            return np.array([ends[0] - below, ends[1] + above])
        return np.array([min(ends[0], value - below), max(ends[1], value + above)])

    def by_workload(self, router: int) -> dict[str, dict[str, Interval]]:
        """Return the intervals of each workload's own metrics, as if it were the whole bank."""
        found = {}
        parts = self._routers[router]
        workloads = np.asarray(parts.workloads, object)
        names = sorted(set(parts.workloads))
        if len(names) == 1:
            return {names[0]: self.intervals(router)}
        for workload in names:
            (places,) = np.nonzero(workloads == workload)
            own = TrajectoryParts(
                [workload] * len(places),
                [parts.instances[place] for place in places.tolist()],
                parts.values[places],
                [parts.groups[place] for place in places.tolist()],
            )
            found[workload] = RouterSample([own], self._resampling).intervals(0)
        return found

    def _interval(self, value: float | None, drawn: Distribution, ends: Floats, *, rate: bool) -> Interval:
        if value is None:
            return Interval(None, "undefined")
        if np.isnan(drawn.resampled).any():
            return Interval(None, "undefined in some resamples")
        if ends[1] - ends[0] <= MIN_RELATIVE_WIDTH:
            return Interval(None, "the same on every trajectory")
        if not rate:
            return Interval((float(ends[0]), float(ends[1])))
        variance, freedom = float(drawn.standard_error[0]) ** 2 / 1e4, float(drawn.degrees_of_freedom[0])
        rows = float(self._routers[0].values[:, ROWS].sum())
        low, high = share_interval(value / 100, variance, freedom, self._resampling.level, observations=rows)
        return Interval((100 * low, 100 * high))

    def differences(self, first: int, second: int) -> dict[str, Difference]:
        """Return the difference in each metric by the paired bootstrap, with uncorrected p-values."""
        return {name: self._difference(name, first, second) for name in SCORES}

    def _difference(self, name: str, first: int, second: int) -> Difference:
        one, other = self._metrics[first][name], self._metrics[second][name]
        if one is None or other is None:
            return Difference(None, Interval(None, "undefined"), None, None, None)
        if self.why_no_interval is not None:
            return Difference(one - other, Interval(None, self.why_no_interval), None, None, None)
        differing = self._count_differing_groups(name, first, second)
        if not differing:
            return Difference(one - other, Interval(None, "they differ on no trajectory"), 1.0, None, None)
        drawn = self._difference_distribution(name, first, second)
        if np.isnan(drawn.resampled).any():
            reason = "undefined in some resamples"
            return Difference(one - other, Interval(None, reason), None, None, None)
        swapped = partial(self._swap_p_value, name, first, second)
        reach = 200 * exact_bound(self.groups, self._resampling.level)
        found = paired_difference(drawn, self.groups, differing, swapped, self._resampling, reach=reach)
        low, high = (min(max(end, -100.0), 100.0) if name in _RATES else end for end in found.ends)
        return Difference(one - other, Interval((low, high)), found.p, None, found.needed)

    def _p(self, name: str, first: int, second: int) -> float:
        """Return the p-value of a difference; 1 if there is none."""
        differing = self._count_differing_groups(name, first, second)
        if self.why_no_interval is not None or not differing:
            return 1.0
        drawn = self._difference_distribution(name, first, second)
        if np.isnan(drawn.resampled).any():
            return 1.0
        return paired_p_value(drawn, differing, partial(self._swap_p_value, name, first, second))

    def _count_differing_groups(self, name: str, first: int, second: int) -> int:
        """Return in how many groups two routers differ in what a metric depends on."""
        read = list(_COLUMNS_OF_METRIC[name])
        apart = self._sums[first][..., read] != self._sums[second][..., read]
        return int(apart.reshape(self.groups, -1).any(axis=1).sum())

    def _difference_distribution(self, name: str, first: int, second: int) -> Distribution:
        number = SCORES.index(name)
        return self._distributions[first].select(number) - self._distributions[second].select(number)

    def _swap_p_value(self, name: str, first: int, second: int) -> float:
        if (first, second) not in self._swaps:
            self._test_swaps([(first, second)])
        return float(self._swaps[first, second][SCORES.index(name)])

    def _needs_swaps(self, name: str, first: int, second: int) -> bool:
        differing = self._count_differing_groups(name, first, second)
        return 0 < differing <= MAX_SWAPPED_CLUSTERS and (first, second) not in self._swaps

    def _test_swaps(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Test pairs of routers by swapping them, several pairs with the same random swaps."""
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[start : start + _PAIRS_AT_ONCE]
            sums = [(self._sums[first], self._sums[second]) for first, second in some]
            self._swaps |= zip(some, swap_tests(self._clusters, sums, headline, self._resampling), strict=True)

    def mcnemar(self, first: int, second: int) -> McNemar:
        """Compare in how many groups only one of two routers passes more trajectories."""
        one, other = (
            self._clusters.sum_by_cluster(router.values[:, IF_PASSING] > 0) for router in self._two(first, second)
        )
        return mcnemar((one > other).tolist(), (other > one).tolist())

    def _two(self, first: int, second: int) -> tuple[TrajectoryParts, TrajectoryParts]:
        return self._routers[first], self._routers[second]

    def mcnemar_needed(self, found: McNemar) -> int | None:
        """Return how many trajectories are needed to detect such a split, if it is the true one."""
        size = self.groups
        differ, ahead = found.first_only + found.second_only, found.first_only - found.second_only
        error = (differ - ahead**2 / size) ** 0.5 / size
        return self._needed(ahead / size, error)

    def _needed(self, difference: float, error: float) -> int | None:
        needed = needed_clusters(difference, error, self.groups, level=self._resampling.level)
        return None if needed is None else max(needed, self._resampling.fewest_clusters)

    def ranks(self, routers: Sequence[int], metric: str = "combined") -> dict[int, tuple[int, int]]:
        """Return the range of ranks of each router in a metric; routers without a value are left out.

        A router is behind another if their difference is significant after Holm's correction for all pairs.
        """
        ranked = [router for router in routers if self._metrics[router][metric] is not None]
        pairs = list(combinations(ranked, 2))
        values = [each[metric] or 0.0 for each in self._metrics]
        if self.why_no_interval is None:
            self._test_swaps([pair for pair in pairs if self._needs_swaps(metric, *pair)])
        corrected = holm([self._p(metric, first, second) for first, second in pairs])
        ahead = [values[first] - values[second] for first, second in pairs]
        ranks = rank_ranges_from_tests(len(ranked), ahead, corrected, self._resampling.level)
        return dict(zip(ranked, ranks, strict=True))


@dataclass(frozen=True)
class _Groups:
    """The groups of trajectories, and the workloads that they count for."""

    clusters: Clusters
    """The groups, each assigned to the workload that has most of its rows."""
    block: NDArray[np.intp] | None
    """The workload number of each trajectory; None if every trajectory is in its group's workload."""
    order: NDArray[np.intp]
    """A canonical order of trajectories, so that sums do not depend on the input order."""
    single: bool
    """Whether every group has one trajectory."""

    @classmethod
    def of(cls, parts: TrajectoryParts) -> _Groups:
        """Find the groups of a router's trajectories.

        A group named like each of its trajectories is a default group: it stays within its workload, so that equal
        instance ids in two workloads are two groups. Any other name is one group across workloads.
        """
        named = {group for group, instance in zip(parts.groups, parts.instances, strict=True) if group != instance}
        homes = _main_workloads(parts, named)
        strata = [homes.get(group, workload) for group, workload in zip(parts.groups, parts.workloads, strict=True)]
        single = len(set(zip(parts.groups, strata, strict=True))) == len(strata)
        clusters = Clusters.from_names(
            list(parts.groups), strata, min_clusters_alone=None if single else MIN_CLUSTERS_OF_SEVERAL
        )
        workloads = {workload: number for number, workload in enumerate(sorted(set(parts.workloads)))}
        reaches = strata != list(parts.workloads)
        block = np.array([workloads[workload] for workload in parts.workloads], np.intp) if reaches else None
        keys = sorted(range(len(strata)), key=lambda place: (parts.workloads[place], parts.instances[place]))
        return cls(clusters, block, np.array(keys, np.intp), single)

    def sum_by_group(self, values: NDArray[Any]) -> Floats:
        """Sum values of trajectories, of shape (..., trajectories, columns), by group.

        Returns:
            Shape (..., groups, columns), or (..., groups, workloads, columns) if groups span workloads.
        """
        if self.single and self.block is None:
            return np.asarray(values[..., np.argsort(self.clusters.position), :], np.float64)
        blocks = () if self.block is None else (int(self.block.max()) + 1,)
        place = self.clusters.position[self.order]
        at = (place,) if self.block is None else (place, self.block[self.order])
        summed = np.zeros((*values.shape[:-2], len(self.clusters), *blocks, values.shape[-1]))
        np.add.at(summed, (..., *at, slice(None)), values[..., self.order, :].astype(np.float64))
        return summed


def _main_workloads(parts: TrajectoryParts, named: set[str]) -> dict[str, str]:
    """Return the workload with most rows for each of these groups; the first by name if several tie."""
    rows: dict[str, dict[str, int]] = {}
    for group, workload, size in zip(parts.groups, parts.workloads, parts.values[:, ROWS].tolist(), strict=True):
        if group in named:
            of_group = rows.setdefault(group, {})
            of_group[workload] = of_group.get(workload, 0) + size
    return {group: min(found, key=lambda name: (-found[name], name)) for group, found in rows.items()}


def _best_and_worst(values: NDArray[np.int64]) -> Floats:
    """Return the trajectories as if each passed, and as if each failed, with typical shares of passing and exact rows.

    Costs are unchanged: a passing trajectory adds *D* minus its cost to *N*, a failing one subtracts its cost.

    Returns:
        Shape (2, trajectories, 6).
    """
    passes = values[:, IF_PASSING] > 0
    rows, columns = values[:, ROWS].astype(np.float64), values.astype(np.float64)
    best, worst = columns.copy(), columns.copy()
    for supposed, those, otherwise in ((best, passes, 1.0), (worst, ~passes, 0.0)):
        for column in (PASSING, EXACT):
            share = columns[those, column].sum() / rows[those].sum() if those.any() else otherwise
            supposed[:, column] = rows * share
    best[:, IF_PASSING], worst[:, IF_PASSING] = rows, 0
    best[:, N] += np.where(passes, 0, columns[:, D])
    worst[:, N] -= np.where(passes, columns[:, D], 0)
    return np.stack([best, worst])
