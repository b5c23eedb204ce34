"""The contribution of each trajectory to a router's headline metrics; a score is computed from sums of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from static_track.metrics import SCORES
from twinbench.statistics.clusters import Floats

ROWS, PASSING, EXACT, IF_PASSING, D, N = range(6)
"""Columns of a trajectory's contributions."""


@dataclass(frozen=True)
class Parts:
    """The contribution of each trajectory of one router to the headline metrics."""

    workloads: Sequence[str]
    instances: Sequence[str]
    values: NDArray[np.int64]
    """Shape (trajectories, 6): rows, passing rows, exact rows, rows if the trajectory passes, parts of *D* and *N* in
    femtodollars."""
    groups: Sequence[str] = ()
    """The group of each trajectory; groups are independent of each other. Default: the trajectory's instance."""

    def __post_init__(self) -> None:
        if not self.groups:
            object.__setattr__(self, "groups", self.instances)

    def metrics(self) -> dict[str, float | None]:
        """Return the headline metrics from these sums, bit-identical to ``scoring.sql``."""
        names = np.asarray(self.workloads, object)
        totals = [
            [float(_total(column)) for column in self.values[names == workload].T] for workload in sorted(set(names))
        ]
        found = headline(np.array(totals)).tolist()
        return {name: None if np.isnan(value) else value for name, value in zip(SCORES, found, strict=True)}


def parts_by(result: duckdb.DuckDBPyConnection) -> dict[Any, Parts]:
    """Group a query's trajectories by their column ``whose``, in their order.

    Groups are its column ``group_name``, if it has one, else ``instance_id``.
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
    """Compute the five metrics from sums by workload, like ``score`` in ``scoring.sql``, for resamples.

    Args:
        sums: shape (..., workloads, 6), workloads in their order.

    Returns:
        Shape (..., 5) in the order of ``SCORES``; NaN if undefined.
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


def _total(column: NDArray[np.int64]) -> int:
    """Return the exact sum of integers, which may exceed 64 bits."""
    return (int((column >> 32).sum()) << 32) + int((column & 0xFFFFFFFF).sum())
