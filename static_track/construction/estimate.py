"""Estimate a build before it starts: the largest number of executions, and what they can cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from static_track.construction.build_directory import open_directory
from static_track.construction.building import make_ladder, make_plan, open_executor, open_proposer_of
from static_track.construction.ladder import Ladder
from static_track.construction.plan import PLAN_FILE
from static_track.construction.settings import BuildSettings
from twinbench.construction.execution import Assignment, ExecutorContext
from twinbench.display.progress import Progress, no_progress
from twinbench.storage.temporary_folders import temporary_folder

ASSUMED_STEPS = 9
"""Assumed steps of a task if no task was executed so far; from the example in construction.md."""


@dataclass(frozen=True)
class BuildEstimate:
    """The largest number of executions that a build can need in total, and their cost."""

    tasks: int
    tiers: Mapping[str, list[str]]
    tiers_not_executed: tuple[str, ...]
    seeds: int
    """Number of tasks whose seed execution passed, so that their number of steps is known."""
    assumed_steps: int
    """Assumed number of steps of every other task."""
    kept_executions: int
    most_executions: int
    """(tiers below the strongest) · (their candidates) · (steps), with seeds and repeats, of all tasks."""
    worst_usd: Decimal
    """The most that all these executions can cost, in USD."""

    def to_json(self) -> dict[str, Any]:
        """The estimate as a JSON object."""
        return {
            "tasks": self.tasks,
            "tiers": dict(self.tiers),
            "tiers_not_executed": list(self.tiers_not_executed),
            "seeds": self.seeds,
            "assumed_steps": self.assumed_steps,
            "kept_executions": self.kept_executions,
            "most_executions": self.most_executions,
            "worst_usd": float(self.worst_usd),
        }


def estimate(
    settings: BuildSettings, directory: Path, *, steps: int | None = None, progress: Progress = no_progress
) -> BuildEstimate:
    """The most that a build can take; nothing is executed.

    Args:
        settings: the configuration.
        directory: the build's directory; if it exists, its seeds give the number of steps of tasks.
        steps: how many are assumed of a task without a seed; default: the mean of the seeds, else ``ASSUMED_STEPS``.
        progress: called as the executor prepares tasks.

    Raises:
        UsageError: the configuration is refused, or the directory contains a build with a different configuration.
        ContentError: executions that are kept are damaged.
    """
    with temporary_folder() as folder:
        context = ExecutorContext(folder, None, progress=progress)
        with open_executor(settings, context) as executor:
            ladder = make_ladder(settings, executor)
            with open_proposer_of(settings, ladder) as proposer:
                plan = make_plan(settings, executor, ladder, proposer.identity)
            known: dict[str, int] = {}
            kept = 0
            if (directory / PLAN_FILE).exists():
                with open_directory(directory) as opened:
                    opened.refuse_other(plan)
                    with opened.open_log() as log:
                        kept = len(log)
                        for task in executor.tasks:
                            for candidate in ladder.strongest:
                                seed = log.find(task.id, Assignment((), candidate), 0)
                                if seed is not None and seed.passed:
                                    known[task.id] = len(seed.steps)
            mean = math.ceil(sum(known.values()) / len(known)) if known else ASSUMED_STEPS
            assumed = mean if steps is None else steps
            most = {
                task.id: _max_executions(ladder, known.get(task.id, assumed), settings.search.repeats)
                for task in executor.tasks
            }
            worst = sum((count * executor.worst_case_usd(task) for task, count in most.items()), Decimal(0))
            return BuildEstimate(
                tasks=len(most),
                tiers=ladder.to_json(),
                tiers_not_executed=tuple(tier.label for tier in ladder.missing),
                seeds=len(known),
                assumed_steps=assumed,
                kept_executions=kept,
                most_executions=sum(most.values()),
                worst_usd=worst,
            )


def _max_executions(ladder: Ladder, steps: int, repeats: int) -> int:
    return ladder.max_executions(steps) + 2 * repeats
