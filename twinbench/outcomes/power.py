"""Compare models pair by pair on a table, and compute the differences that a planned experiment could detect.

Shares of resolved tasks are compared by McNemar's exact test, over the tasks whose verdicts are known for both models;
bills and costs by the paired bootstrap. p-values are corrected for all pairs (Holm), and ranks are given as the ranges
that these p-values allow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from twinbench.display.frames import Tabular
from twinbench.errors import UsageError
from twinbench.outcomes.keeping import TableInfo
from twinbench.outcomes.noise import Agreement
from twinbench.outcomes.pilot import Pilot
from twinbench.outcomes.predictability import Predictability
from twinbench.outcomes.table import Grid
from twinbench.statistics import Resampling
from twinbench.statistics.bills import compare_all, compare_bills
from twinbench.statistics.clusters import Clusters, Floats, Ints
from twinbench.statistics.comparing import DEFAULT_POWER, holm, rank_ranges
from twinbench.statistics.paired import paired_difference
from twinbench.statistics.planning import detectable_difference, needed_tasks, sign_test_p_values, sign_test_power
from twinbench.statistics.sampling import bootstrap

MAX_LISTED_MODELS = 8
"""Up to this many models, every pair is listed, with costs and intervals."""


@dataclass(frozen=True)
class PairOfModels:
    """The comparison of two models on tasks whose verdicts are known for both; shares in percent, money in USD."""

    first: str
    second: str
    tasks: int
    difference: float | None
    """Difference in the share of resolved tasks, in percentage points: the first minus the second; None if no task has
    a verdict of both."""
    interval: tuple[float, float] | None
    first_only: float
    second_only: float
    p: float | None
    p_holm: float | None
    detectable: float | None
    """The smallest true difference, in percentage points, that the planned tasks detect with the planned power."""
    power: float | None
    """The probability that the planned tasks detect the planned difference."""
    needed: int | None
    """The number of tasks needed to detect the planned difference with the planned power."""
    cost: Mapping[str, Any]
    bill: Mapping[str, Any]
    """Like ``cost``, the mean per task: ``difference_usd``, ``interval``, ``p``, ``p_holm``, ``needed_tasks``."""

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as a JSON object."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return found | {
            "interval": None if self.interval is None else list(self.interval),
            "cost": dict(self.cost),
            "bill": dict(self.bill),
        }


@dataclass(frozen=True)
class RankedModel:
    """A model's result and its rank among all models that were compared."""

    model: str
    resolved: float | None
    """None where no verdict is known."""
    verdicts: int
    share: float | None
    """Resolved tasks in percent of the known verdicts."""
    rank: tuple[int, int]
    """The best and the worst rank that it may have by resolved tasks."""
    group: int
    """Models of a group do not differ significantly from its best model; group 1 is that of the best model of all."""
    mean_cost_usd: float | None
    bill_rank: tuple[int, int] | None
    """The best and the worst rank that it may have by its bill; None if not every pair was compared."""

    def to_json(self) -> dict[str, Any]:
        """Return the ranked model as a JSON object."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        bill = None if self.bill_rank is None else list(self.bill_rank)
        return found | {"rank": list(self.rank), "bill_rank": bill}


@dataclass(frozen=True)
class Plan:
    """The plan of an experiment: number of tasks, difference to detect, power and confidence level."""

    tasks: int
    difference: float
    """The difference in the share of resolved tasks, in percentage points."""
    power: float = DEFAULT_POWER
    level: float = 0.95


@dataclass(frozen=True, repr=False)
class Power(Tabular):
    """The comparison of models on the tasks of a table, and what an experiment with the planned tasks could detect."""

    info: TableInfo
    workload: str
    tasks: int
    penalty_usd: float
    plan: Plan
    models: Sequence[RankedModel]
    """The models, the best first."""
    pairs: Sequence[PairOfModels]
    """The comparisons of all pairs; empty for more than ``MAX_LISTED_MODELS`` models."""
    all_pairs: int
    told_apart: int
    """The number of pairs with a significant difference in resolved tasks."""
    differing: float | None
    """The share of tasks, in percent, on which two models differ: the median over pairs."""
    detectable: float | None
    """For that share, the smallest difference, in percentage points, that the planned tasks detect."""
    needed: int | None
    """For that share, the number of tasks needed to detect the planned difference."""
    agreement: Sequence[Agreement] = ()
    pilot: Pilot | None = None
    text: Sequence[Predictability] = ()
    resampling: Resampling | None = field(default=None)

    @property
    def caveat(self) -> str | None:
        """The note of the table, which has to be shown with the figures; None if there is none."""
        return self.info.note or None

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command prints it with ``--json``."""
        return {
            "table": {"name": self.info.name, "sha256": self.info.sha256, "caveat": self.caveat},
            "workload": self.workload,
            "tasks": self.tasks,
            "penalty_usd": self.penalty_usd,
            "plan": {name: getattr(self.plan, name) for name in self.plan.__dataclass_fields__},
            "models": [each.to_json() for each in self.models],
            "pairs": [each.to_json() for each in self.pairs],
            "all_pairs": self.all_pairs,
            "told_apart": self.told_apart,
            "differing": self.differing,
            "detectable": self.detectable,
            "needed": self.needed,
            "agreement": [each.to_json() for each in self.agreement],
            "pilot": None if self.pilot is None else self.pilot.to_json(),
            "text": [each.to_json() for each in self.text],
        }

    def records(self) -> list[dict[str, Any]]:
        """Return one row per model."""
        rows = []
        for each in self.models:
            row = each.to_json()
            for name in ("rank", "bill_rank"):
                row[f"{name}_best"], row[f"{name}_worst"] = row.pop(name) or (None, None)
            rows.append({"workload": self.workload, **row})
        return rows


def compute_power(
    grid: Grid,
    info: TableInfo,
    plan: Plan,
    *,
    penalty_usd: float,
    resampling: Resampling | None,
    agreement: Sequence[Agreement] = (),
    pilot: Pilot | None = None,
    text: Sequence[Predictability] = (),
) -> Power:
    """Compare models pair by pair, and compute what a planned experiment could detect.

    Args:
        grid: the outcomes of one workload, restricted to the models and tasks of interest.
        info: the table of the outcomes.
        plan: the planned experiment.
        penalty_usd: the penalty of an unresolved task, for bills.
        resampling: the bootstrap settings for intervals, costs and bills; None to leave these out.
        agreement: the agreement between results of the same model, which is added to the result.
        pilot: the pilot tasks, which are added to the result.
        text: how well texts predict verdicts, which is added to the result.

    Raises:
        UsageError: there are fewer than two models, or too many with several trials for resampling.
    """
    models = len(grid.models)
    if models < 2:
        raise UsageError(f"a comparison needs at least two models; workload {grid.workload} has {models}")
    counts = _PairCounts.from_grid(grid)
    first, second = np.triu_indices(models, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        differing = (counts.ahead + counts.ahead.T) / counts.tasks
        lead = (counts.ahead - counts.ahead.T) / counts.tasks
    p = _pair_p_values(grid, counts, first, second, resampling)
    corrected = np.array(holm(np.nan_to_num(p, nan=1.0).tolist()))
    found = corrected <= 1 - plan.level
    better = {
        pair: True
        for one, other, here in zip(
            first[found].tolist(), second[found].tolist(), lead[first, second][found], strict=True
        )
        for pair in [(one, other) if here > 0 else (other, one)]
    }
    ranks = rank_ranges(better, models)
    usual = differing[first, second]
    usual = usual[np.isfinite(usual)]
    median = float(np.median(usual)) if len(usual) else None
    listed = models <= MAX_LISTED_MODELS
    money = _PairMoney.from_grid(grid, penalty_usd, resampling) if listed and resampling is not None else None
    pairs = []
    if listed:
        for place, (one, other) in enumerate(combinations(range(models), 2)):
            share = float(differing[one, other])
            pairs.append(
                _compare_pair(grid, one, other, share, plan, resampling, (p[place], corrected[place]), money, place)
            )
    return Power(
        info,
        grid.workload,
        len(grid.tasks),
        penalty_usd,
        plan,
        _rank_models(grid, ranks, better, None if money is None else money.ranks),
        pairs,
        len(first),
        int(found.sum()),
        None if median is None else 100 * median,
        None
        if median is None
        else _to_points(detectable_difference(plan.tasks, median, level=plan.level, power=plan.power)),
        None if median is None else needed_tasks(plan.difference / 100, median, level=plan.level, power=plan.power),
        agreement,
        pilot,
        text,
        resampling,
    )


@dataclass(frozen=True)
class _PairCounts:
    """Numbers of tasks by pair of models; the arrays have shape (models, models)."""

    tasks: Floats
    """Tasks whose verdicts are known for both."""
    ahead: Floats
    """Tasks that the first solves and the second does not; with several trials, the expected number."""

    @classmethod
    def from_grid(cls, grid: Grid) -> _PairCounts:
        known = np.isfinite(grid.solved).astype(np.float64)
        solved = np.nan_to_num(grid.solved)
        return cls(known @ known.T, solved @ (known - solved).T)


def _pair_p_values(grid: Grid, counts: _PairCounts, first: Ints, second: Ints, resampling: Resampling | None) -> Floats:
    """Return the uncorrected p-value of each pair's difference in resolved tasks.

    It is exact for single trials. With several trials it comes from resampling, and is NaN without resampling.
    """
    if not grid.has_repeated_trials:
        ahead = np.rint(counts.ahead).astype(np.intp)
        return sign_test_p_values(ahead[first, second], ahead[second, first])
    found = np.full(len(first), np.nan)
    if resampling is None:
        return found
    if len(grid.models) > MAX_LISTED_MODELS:
        raise UsageError(
            "models with several trials are compared by resampling, which takes long: name at most "
            f"{MAX_LISTED_MODELS} of "
            f"the {len(grid.models)} with --models, or give --resamples 0"
        )
    for place, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        names, sums = _task_sums(grid, (one, other), grid.solved[[one, other]], np.zeros((2, len(grid.tasks))))
        compared = compare_bills(names, sums[0], sums[1], 1.0, resampling)
        found[place] = np.nan if compared.p is None else compared.p
    return found


def _task_sums(grid: Grid, models: Sequence[int], solved: Floats, cost: Floats) -> tuple[list[str], list[Floats]]:
    """Return the names of the tasks that are known for all these models, and each model's sums for ``bills``."""
    known = np.asarray(np.isfinite(solved).all(axis=0) & np.isfinite(cost).all(axis=0))
    names = [name for name, here in zip(grid.tasks, known, strict=True) if here]
    ones = np.ones(len(names))
    return names, [
        np.stack([ones, cost[place, known], 1 - solved[place, known]], axis=1) for place in range(len(models))
    ]


@dataclass(frozen=True)
class _PairMoney:
    """Comparisons of the costs and bills of all pairs, over the tasks that are known for all models."""

    tasks: int
    cost: Sequence[Mapping[str, Any]]
    bill: Sequence[Mapping[str, Any]]
    ranks: Sequence[tuple[int, int]]

    @classmethod
    def from_grid(cls, grid: Grid, penalty_usd: float, resampling: Resampling) -> _PairMoney | None:
        names, sums = _task_sums(grid, range(len(grid.models)), grid.solved, grid.cost_usd)
        if not names:
            return None
        size = len(names)
        found = []
        ranks: Sequence[tuple[int, int]] = ()
        for penalty in (0.0, penalty_usd):
            compared = compare_all(names, sums, penalty, resampling)
            ranks = compared.ranks
            found.append(
                [
                    {
                        "tasks": size,
                        "difference_usd": each.difference_usd / size,
                        "interval": None if each.ends is None else [end / size for end in each.ends],
                        "p": each.p,
                        "p_holm": corrected,
                        "needed_tasks": each.needed_cases,
                    }
                    for each, corrected in zip(compared.pairs, compared.p_holm, strict=True)
                ]
            )
        return cls(size, found[0], found[1], ranks)


def _compare_pair(
    grid: Grid,
    one: int,
    other: int,
    differing: float,
    plan: Plan,
    resampling: Resampling | None,
    p: tuple[float, float],
    money: _PairMoney | None,
    place: int,
) -> PairOfModels:
    solved = grid.solved[[one, other]]
    known = np.asarray(np.isfinite(solved).all(axis=0))
    here = solved[:, known]
    size = here.shape[1]
    points = 100 * float((here[0] - here[1]).mean()) if size else None
    interval = None
    if resampling is not None and size >= resampling.fewest_clusters and (here[0] != here[1]).any():
        names = [name for name, found in zip(grid.tasks, known, strict=True) if found]
        interval = _difference_interval(names, here, p[0], resampling)
    asked = {"level": plan.level, "power": plan.power}
    return PairOfModels(
        grid.models[one],
        grid.models[other],
        size,
        points,
        interval,
        float((here[0] * (1 - here[1])).sum()),
        float((here[1] * (1 - here[0])).sum()),
        None if np.isnan(p[0]) or not size else float(p[0]),
        None if np.isnan(p[0]) or not size else float(p[1]),
        _to_points(detectable_difference(plan.tasks, differing, **asked)) if size else None,
        sign_test_power(plan.tasks, differing, plan.difference / 100, level=plan.level) if size else None,
        needed_tasks(plan.difference / 100, differing, **asked) if size else None,
        {} if money is None else money.cost[place],
        {} if money is None else money.bill[place],
    )


def _difference_interval(names: Sequence[str], solved: Floats, p: float, resampling: Resampling) -> tuple[float, float]:
    """Compute the interval of the difference in points by bootstrap; it contains 0 unless ``p`` rejects that."""
    clusters = Clusters.from_names(names)
    ones = np.ones(len(names))
    sums = [clusters.sum_by_cluster(np.column_stack([ones, each])) for each in solved]

    def share(drawn: Floats) -> Floats:
        totals = drawn.sum(axis=-2)
        return np.asarray(100 * totals[..., 1:] / totals[..., :1])

    drawn = bootstrap(clusters, sums, share, resampling)
    differing = int((solved[0] != solved[1]).sum())
    found = paired_difference(drawn[0] - drawn[1], len(names), differing, lambda: p, resampling, reach=100 / len(names))
    return found.ends


def _rank_models(
    grid: Grid,
    ranks: Sequence[tuple[int, int]],
    better: Mapping[tuple[int, int], bool],
    bill_ranks: Sequence[tuple[int, int]] | None,
) -> list[RankedModel]:
    resolved = np.nansum(grid.solved, axis=1)
    verdicts = np.isfinite(grid.solved).sum(axis=1)
    shares = [100 * one / of if of else None for one, of in zip(resolved.tolist(), verdicts.tolist(), strict=True)]
    order = sorted(range(len(shares)), key=lambda place: (-(shares[place] or 0.0), grid.models[place]))
    group, best = 0, -1
    found = []
    for place in order:
        if best < 0 or better.get((best, place), False):
            group, best = group + 1, place
        costs = grid.cost_usd[place]
        found.append(
            RankedModel(
                grid.models[place],
                float(resolved[place]) if verdicts[place] else None,
                int(verdicts[place]),
                shares[place],
                ranks[place],
                group,
                float(np.nanmean(costs)) if np.isfinite(costs).any() else None,
                None if bill_ranks is None else bill_ranks[place],
            )
        )
    return found


def _to_points(share: float | None) -> float | None:
    return None if share is None else 100 * share
