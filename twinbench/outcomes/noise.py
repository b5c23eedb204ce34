"""The agreement between results of the same model: over its trials, or between two tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinbench.outcomes.table import Grid
from twinbench.statistics import Resampling
from twinbench.statistics.bills import Ends, why_no_interval
from twinbench.statistics.clusters import Clusters
from twinbench.statistics.intervals import bca_intervals
from twinbench.statistics.sampling import bootstrap


@dataclass(frozen=True)
class Agreement:
    """The probability, in percent, that two results of the same model on a task are equal."""

    model: str
    other: str
    """The model's name in the other table; for trials, the same name."""
    tasks: int
    """The number of tasks with at least two results."""
    share: float | None
    """The agreement in percent; None if there is no such task."""
    interval: Ends | None

    def to_json(self) -> dict[str, Any]:
        """Return the agreement as a JSON object."""
        between = None if self.interval is None else list(self.interval)
        return {
            "model": self.model,
            "other": self.other,
            "tasks": self.tasks,
            "share": self.share,
            "interval": between,
        }


def agreement_between_trials(grid: Grid, resampling: Resampling | None) -> list[Agreement]:
    """Compute the agreement between trials for each model with several trials of a task, over all pairs of trials."""
    found = []
    for number, model in enumerate(grid.models):
        several = np.flatnonzero(grid.verdicts[number] > 1)
        if not len(several):
            continue
        trials = grid.verdicts[number, several]
        solved = grid.solved[number, several] * trials
        failed = trials - solved
        same = (solved * (solved - 1) + failed * (failed - 1)) / (trials * (trials - 1))
        names = [grid.tasks[place] for place in several.tolist()]
        found.append(_summarise_agreement(model, model, names, same, resampling))
    return found


def agreement_between_tables(
    grid: Grid, other: Grid, other_names: Mapping[str, str], resampling: Resampling | None
) -> list[Agreement]:
    """Compute the agreement between two tables for each model that is in both.

    Args:
        grid: the outcomes of the first table.
        other: the outcomes of the second table.
        other_names: the names of models in the second table, where they differ from those in the first.
        resampling: the bootstrap settings for intervals; None for no intervals.
    """
    place = {name: number for number, name in enumerate(other.models)}
    tasks = {name: number for number, name in enumerate(other.tasks)}
    shared = [number for number, name in enumerate(grid.tasks) if name in tasks]
    there = [tasks[grid.tasks[number]] for number in shared]
    found = []
    for number, model in enumerate(grid.models):
        called = other_names.get(model, model)
        if called not in place:
            continue
        first, second = grid.solved[number, shared], other.solved[place[called], there]
        known = np.isfinite(first) & np.isfinite(second)
        agree = (first * second + (1 - first) * (1 - second))[known]
        names = [grid.tasks[task] for task, here in zip(shared, known, strict=True) if here]
        found.append(_summarise_agreement(model, called, names, agree, resampling))
    return found


def _summarise_agreement(
    model: str, other: str, names: list[str], agreement: np.ndarray[Any, Any], resampling: Resampling | None
) -> Agreement:
    size = len(names)
    if not size:
        return Agreement(model, other, 0, None, None)
    ends = None
    if resampling is not None and why_no_interval(size, resampling) is None:
        clusters = Clusters.from_names(names)
        sums = clusters.sum_by_cluster(np.column_stack([np.ones(size), agreement]))
        [drawn] = bootstrap(
            clusters,
            [sums],
            lambda each: 100 * each.sum(axis=-2)[..., 1:] / each.sum(axis=-2)[..., :1],
            resampling,
        )
        [[low, high]] = bca_intervals(drawn, resampling.level).tolist()
        ends = (low, high)
    return Agreement(model, other, size, 100 * float(agreement.mean()), ends)
