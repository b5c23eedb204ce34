"""A table of outcomes in memory, and the grid of models by tasks of one workload."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinbench.display.wording import did_you_mean, format_count
from twinbench.errors import UsageError
from twinbench.outcomes.columns import UNKNOWN_VERDICT
from twinbench.statistics.clusters import Floats, Ints

MAX_CELLS = 50_000_000
"""Largest size of a grid (models times tasks); computations on larger ones would need gigabytes of memory."""

DEFAULT_WORKLOAD = "tasks"
"""The workload of outcomes that do not name one."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes as parallel arrays, one element per outcome, sorted by workload, model, task and trial."""

    workloads: Sequence[str]
    models: Sequence[str]
    tasks: Sequence[str]
    """Sorted names, like ``workloads`` and ``models``; the next three arrays contain indices into these."""
    workload: Ints
    model: Ints
    task: Ints
    trial: NDArray[np.int64]
    """The trial's number as in the file, or from 0 in the order of the trials' names; 0 if the file has no trials."""
    resolved: NDArray[np.int8]
    """1 for resolved, 0 for unresolved, or ``UNKNOWN_VERDICT``."""
    cost_usd: Floats
    """NaN if it is unknown."""
    steps: Floats
    """NaN if it is unknown."""

    def __len__(self) -> int:
        return len(self.model)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the content, independent of the format and order of the imported file."""
        digest = hashlib.sha256()
        for names in (self.workloads, self.models, self.tasks):
            digest.update("\n".join([*map(repr, names), ""]).encode("utf-8", "backslashreplace"))
        for codes in (self.workload, self.model, self.task, self.trial, self.resolved):
            digest.update(np.ascontiguousarray(codes, "<i8").tobytes())
        for values in (self.cost_usd, self.steps):
            digest.update(np.where(np.isnan(values), -1.0, values).astype("<f8").tobytes())
        return digest.hexdigest()

    def summary(self) -> list[dict[str, Any]]:
        """Return one row for each model in each workload, with its numbers of tasks and outcomes and its total cost."""
        rows = []
        for place, workload in enumerate(self.workloads):
            here = self.workload == place
            for number in np.unique(self.model[here]).tolist():
                mine = here & (self.model == number)
                resolved, cost = self.resolved[mine], self.cost_usd[mine]
                priced = int(np.isfinite(cost).sum())
                rows.append(
                    {
                        "workload": workload,
                        "model": self.models[number],
                        "tasks": len(np.unique(self.task[mine])),
                        "outcomes": int(mine.sum()),
                        "resolved": int((resolved == 1).sum()),
                        "unknown_verdicts": int((resolved == UNKNOWN_VERDICT).sum()),
                        "cost_usd": float(np.nansum(cost)) if priced else None,
                        "unknown_costs": int(mine.sum()) - priced,
                    }
                )
        return rows

    def grid(self, workload: str | None = None) -> Grid:
        """Return the outcomes of one workload as a grid of models by tasks.

        Args:
            workload: the name of the workload; may be None if there is only one.

        Raises:
            UsageError: there is no such workload, none is named although there are several, or the grid is too large.
        """
        if workload is None and len(self.workloads) > 1:
            raise UsageError(f"the table has several workloads: name one with --workload: {', '.join(self.workloads)}")
        if workload is not None and workload not in self.workloads:
            raise UsageError(f"no workload {workload!r} in the table: there are {', '.join(self.workloads)}")
        here = np.flatnonzero(self.workload == (0 if workload is None else list(self.workloads).index(workload)))
        models, model = np.unique(self.model[here], return_inverse=True)
        tasks, task = np.unique(self.task[here], return_inverse=True)
        shape = (len(models), len(tasks))
        if shape[0] * shape[1] > MAX_CELLS:
            what = f"{format_count(shape[0], 'model')} and {format_count(shape[1], 'task')}"
            raise UsageError(f"the table has {what}, which is more than {MAX_CELLS:,} pairs: import a part of it")
        cell = model * shape[1] + task
        resolved, cost = self.resolved[here], self.cost_usd[here]
        known, priced = resolved != UNKNOWN_VERDICT, np.isfinite(cost)

        def sum_by_cell(values: Any, where: NDArray[np.bool_]) -> Floats:
            return np.bincount(cell[where], values[where], shape[0] * shape[1]).astype(np.float64).reshape(shape)

        ones = np.ones(len(here))
        verdicts, costs = sum_by_cell(ones, known), sum_by_cell(ones, priced)
        with np.errstate(invalid="ignore"):
            return Grid(
                self.workloads[0] if workload is None else workload,
                tuple(self.models[number] for number in models.tolist()),
                tuple(self.tasks[number] for number in tasks.tolist()),
                sum_by_cell(resolved, known) / verdicts,
                verdicts,
                sum_by_cell(cost, priced) / costs,
            )


@dataclass(frozen=True)
class Grid:
    """The outcomes of models by tasks in one workload; the arrays have shape (models, tasks)."""

    workload: str
    models: Sequence[str]
    tasks: Sequence[str]
    solved: Floats
    """The share of known verdicts that are resolved (0 or 1 for a single trial); NaN if none is known."""
    verdicts: Floats
    """The number of known verdicts."""
    cost_usd: Floats
    """The mean cost of the trials whose cost is known; NaN if none is."""

    @property
    def has_repeated_trials(self) -> bool:
        """Whether any task has several known verdicts for the same model."""
        return bool((self.verdicts > 1).any())

    def select_models(self, models: Sequence[str]) -> Grid:
        """Return the grid with only these models, in this order.

        Raises:
            UsageError: a model is not in the grid, or is named twice.
        """
        place = {name: number for number, name in enumerate(self.models)}
        if unknown := [name for name in models if name not in place]:
            meant = did_you_mean(unknown[0], self.models)
            raise UsageError(
                f"no model {unknown[0]!r} in workload {self.workload}: there are {', '.join(self.models)}{meant}"
            )
        if len(set(models)) < len(models):
            raise UsageError(f"a model is named twice in {', '.join(models)}")
        rows = [place[name] for name in models]
        return replace(
            self,
            models=tuple(models),
            solved=self.solved[rows],
            verdicts=self.verdicts[rows],
            cost_usd=self.cost_usd[rows],
        )

    def select_tasks(self, tasks: Sequence[str]) -> Grid:
        """Return the grid with only these tasks, in the grid's order; unknown tasks are ignored."""
        wanted = set(tasks)
        return self._select_places([number for number, name in enumerate(self.tasks) if name in wanted])

    def filter_tasks(self, globs: Sequence[str]) -> Grid:
        """Return the grid with only the tasks that match one of the globs; all tasks if there are no globs.

        Raises:
            UsageError: a glob matches no task.
        """
        if not globs:
            return self
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in self.tasks):
                raise UsageError(f"--only {glob!r} matches no task of workload {self.workload}")
        kept = [number for number, name in enumerate(self.tasks) if any(fnmatchcase(name, glob) for glob in globs)]
        return self._select_places(kept)

    def _select_places(self, places: Sequence[int]) -> Grid:
        return replace(
            self,
            tasks=tuple(self.tasks[place] for place in places),
            solved=self.solved[:, places],
            verdicts=self.verdicts[:, places],
            cost_usd=self.cost_usd[:, places],
        )
