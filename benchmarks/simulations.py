"""Worlds of known truth: banks and runs from populations whose metrics can be computed, for checking intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from static_track.trajectory_parts import TrajectoryParts, headline
from twinbench.statistics.clusters import Floats

_FEMTODOLLARS = 1e12
"""A trajectory's cost at high, in whole numbers as scoring has them."""

_ROWS, _SIGMA = 6, 0.65
"""Rows of a trajectory on average; of the logarithm of its cost, as on swemini_g3p_dev."""

_PASSING_IN_FAILING, _EXACT_OF_PASSING = 0.2, 0.7
_SAVED, _SPENT = 0.6, 0.3
"""Of a trajectory's cost at high: saved where it passes, spent in vain where it fails."""


@dataclass(frozen=True)
class BankWorld:
    """A population of banks: workloads whose tasks pass with their own probability.

    The smallest workloads have longer and dearer trajectories than the others.
    """

    sizes: Sequence[int]
    """Groups of each workload."""
    rate: float
    """The probability that a trajectory passes."""
    long: float = 1
    """How many times as many rows a trajectory of the smallest workloads has."""
    dear: float = 1
    """How many times as much a row of theirs costs."""
    harder: float = 0
    """How much more rarely than the others they pass."""
    draws: int = 1
    """Trajectories of each task."""
    alike: float = 0
    """How far draws of one task agree: the correlation of their passing."""

    def _workloads(self) -> tuple[Floats, Floats, Floats]:
        """Of each: rows and cost of a trajectory on average, and its rate."""
        smallest = np.array(self.sizes) == min(self.sizes)
        rows = np.where(smallest, _ROWS * self.long, _ROWS)
        cost = np.where(smallest, self.long * self.dear, 1.0)
        return rows, cost, self.rate + self.harder * np.where(smallest, -0.5, 0.5)

    @property
    def truth(self) -> Floats:
        """The metrics of endlessly many groups, from expectations."""
        rows, cost, rate = self._workloads()
        passing = rate * rows + (1 - rate) * _PASSING_IN_FAILING * (rows - 1)
        saved = cost * (rate * _SAVED - (1 - rate) * _SPENT)
        columns = [rows, passing, _EXACT_OF_PASSING * passing, rate * rows, cost, saved]
        return headline(np.stack(columns, axis=1) * np.array(self.sizes)[:, None])

    def draw(self, random: np.random.Generator) -> TrajectoryParts:
        """A bank, with one router's results."""
        mean_rows, mean_cost, rates = self._workloads()
        of_group = np.repeat(np.arange(len(self.sizes)), self.sizes)
        groups = len(of_group)
        chance = rates[of_group]
        if self.alike:
            spread = 1 / self.alike - 1
            chance = random.beta(chance * spread, (1 - chance) * spread)
        group = np.repeat(np.arange(groups), self.draws)
        workload, count = of_group[group], groups * self.draws
        size = random.lognormal(-(_SIGMA**2) / 2, _SIGMA, groups)[group]
        rows = 1 + random.poisson(mean_rows[workload] - 1, count)
        cost = np.rint(size * mean_cost[workload] * _FEMTODOLLARS)
        passes = random.random(count) < chance[group]
        passing = np.where(passes, rows, random.binomial(rows - 1, _PASSING_IN_FAILING))
        exact = random.binomial(passing, _EXACT_OF_PASSING)
        saved = np.rint(np.where(passes, _SAVED, -_SPENT) * cost)
        values = np.stack([rows, passing, exact, np.where(passes, rows, 0), cost, saved], axis=1).astype(np.int64)
        names = [f"task-{number:03}" for number in group]
        instances = [f"{name}-{place % self.draws}" for place, name in enumerate(names)]
        return TrajectoryParts([f"{number}" for number in workload], instances, values, names)


@dataclass(frozen=True)
class CaseWorld:
    """A population of runs: cases of uneven cost, resolved with the same probability by either router."""

    cases: int
    rate: float
    """The probability that a case is resolved."""
    shared: float = 0
    """Of the cases: on how many both routers have the identical outcome and cost."""
    ahead: float = 0
    """How much more often than the second the first resolves a case."""
    penalty_usd: float = 0.6
    cost_usd: float = 0.15

    @property
    def names(self) -> list[str]:
        """Of the cases."""
        return [f"{number:03}" for number in range(self.cases)]

    @property
    def truth(self) -> dict[str, float]:
        """Bill and cost of all cases, and the resolved share in percent, of the second router."""
        cost = self.cases * self.cost_usd
        unresolved = 1 - self.rate
        return {
            "bill_usd": cost + self.cases * self.penalty_usd * unresolved,
            "cost_usd": cost,
            "resolved": 100 * self.rate,
        }

    def draw(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Two runs: of each case a trial, its cost in USD, and whether it is unresolved."""
        hard = random.lognormal(-0.5 * 0.6**2, 0.6, self.cases)
        first = self._run(random, hard, min(self.rate + self.ahead, 1.0))
        second = self._run(random, hard, self.rate)
        same = round(self.shared * self.cases)
        first[:same] = second[:same]
        return first, second

    def _run(self, random: np.random.Generator, hard: Floats, rate: float) -> Floats:
        cost = self.cost_usd * hard * random.lognormal(-0.5 * 0.4**2, 0.4, self.cases)
        return np.stack([np.ones(self.cases), cost, random.random(self.cases) >= rate], axis=1)
