"""A table of outcomes in memory, and what of it stands in one workload: models by tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinbench.display.wording import format_count, did_you_mean
from twinbench.errors import UsageError
from twinbench.outcomes.columns import UNKNOWN_VERDICT
from twinbench.statistics.clusters import Floats, Ints

MAX_CELLS = 50_000_000
"""Models times tasks of one workload: what is computed of more takes gigabytes."""

DEFAULT_WORKLOAD = "tasks"
"""What the workload of outcomes is called that name none."""


@dataclass(frozen=True)
class Outcomes:
    """Outcomes, one each of the arrays' elements, in canonical order: by workload, model, task, trial."""

    workloads: Sequence[str]
    models: Sequence[str]
    tasks: Sequence[str]
    """Names, sorted; the next three arrays hold places in these."""
    workload: Ints
    model: Ints
    task: Ints
    trial: NDArray[np.int64]
    """From 0, in the order of the file where it names none."""
    resolved: NDArray[np.int8]
    """1, 0, or ``UNKNOWN``."""
    cost_usd: Floats
    """NaN where it is not known."""
    steps: Floats
    """The same."""

    def __len__(self) -> int:
        return len(self.model)

    @cached_property
    def sha256(self) -> str:
        """Of what the table says, whatever file it came in and in what order."""
        digest = hashlib.sha256()
        for names in (self.workloads, self.models, self.tasks):
            digest.update("\n".join([*map(repr, names), ""]).encode("utf-8", "backslashreplace"))
        for codes in (self.workload, self.model, self.task, self.trial, self.resolved):
            digest.update(np.ascontiguousarray(codes, "<i8").tobytes())
        for values in (self.cost_usd, self.steps):
            digest.update(np.where(np.isnan(values), -1.0, values).astype("<f8").tobytes())
        return digest.hexdigest()

    def summary(self) -> list[dict[str, Any]]:
        """Of each model in each workload: what is known of it."""
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
        """The outcomes of one workload as models by tasks.

        Args:
            workload: its name; None: the only one.

        Raises:
            UsageError: there is no such workload, or there are several and none is named, or it is too large.
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
            raise UsageError(f"the table has {what}, more than {MAX_CELLS:,} pairs of both: import a part of it")
        cell = model * shape[1] + task
        resolved, cost = self.resolved[here], self.cost_usd[here]
        known, priced = resolved != UNKNOWN_VERDICT, np.isfinite(cost)

        def summed(values: Any, where: NDArray[np.bool_]) -> Floats:
            return np.bincount(cell[where], values[where], shape[0] * shape[1]).astype(np.float64).reshape(shape)

        ones = np.ones(len(here))
        verdicts, costs = summed(ones, known), summed(ones, priced)
        with np.errstate(invalid="ignore"):
            return Grid(
                self.workloads[0] if workload is None else workload,
                tuple(self.models[number] for number in models.tolist()),
                tuple(self.tasks[number] for number in tasks.tolist()),
                summed(resolved, known) / verdicts,
                verdicts,
                summed(cost, priced) / costs,
            )


@dataclass(frozen=True)
class Grid:
    """Models by tasks in one workload; the arrays have shape (models, tasks)."""

    workload: str
    models: Sequence[str]
    tasks: Sequence[str]
    solved: Floats
    """The share of known verdicts that are resolved, 0 or 1 of a single trial; NaN where none is known."""
    verdicts: Floats
    """How many verdicts are known."""
    cost_usd: Floats
    """On average over the trials whose cost is known; NaN where none is."""

    @property
    def has_repeated_trials(self) -> bool:
        """Whether any task has several known verdicts of one model."""
        return bool((self.verdicts > 1).any())

    def select_models(self, models: Sequence[str]) -> Grid:
        """Only these models, in this order.

        Raises:
            UsageError: one is not there, or stands twice.
        """
        place = {name: number for number, name in enumerate(self.models)}
        if unknown := [name for name in models if name not in place]:
            meant = did_you_mean(unknown[0], self.models)
            raise UsageError(
                f"no model {unknown[0]!r} in workload {self.workload}: there are {', '.join(self.models)}{meant}"
            )
        if len(set(models)) < len(models):
            raise UsageError(f"a model stands twice in {', '.join(models)}")
        rows = [place[name] for name in models]
        return replace(
            self,
            models=tuple(models),
            solved=self.solved[rows],
            verdicts=self.verdicts[rows],
            cost_usd=self.cost_usd[rows],
        )

    def select_tasks(self, tasks: Sequence[str]) -> Grid:
        """Only those of these tasks that are there, in the order of the grid."""
        wanted = set(tasks)
        return self._select_places([number for number, name in enumerate(self.tasks) if name in wanted])

    def filter_tasks(self, globs: Sequence[str]) -> Grid:
        """Only tasks that match one of the globs; all where there is no glob.

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
