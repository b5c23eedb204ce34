"""Runs as outcomes, for a table of those: what became of each trial, in the columns that ``outcomes import`` knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamic_track.results.loading import LoadedRun, load_run
from dynamic_track.running.folders import PLAN_FILE
from dynamic_track.running.origin import Origin


@dataclass(frozen=True)
class RunOutcomes:
    """The outcomes of a run."""

    rows: list[dict[str, Any]]
    fingerprint: str
    """Fingerprint of the run and of the outcome of every trial."""
    note: str | None
    """A caveat that has to be shown with the figures; None if there is none."""


def is_run(path: Path) -> bool:
    """Whether a path is the directory of a run."""
    return (path / PLAN_FILE).is_file()


def run_outcomes(path: Path) -> RunOutcomes:
    """Return the trials of a run, one row each; those without a verdict have ``resolved`` None.

    Raises:
        UsageError, ContentError, JournalError: see ``load_run``.
    """
    run = load_run(path)
    model = model_of(run)
    rows = [
        {
            "model": model,
            "instance_id": trial.id,
            "resolved": trial.resolved,
            "cost_usd": float(trial.cost_usd),
            "workload": str(run.plan.sources["tasks"]).rstrip("/").rpartition("/")[2] or "tasks",
            "trial": f"{run.plan.seed}/{trial.trial}",
            "steps": trial.steps,
        }
        for trial in run.trials
    ]
    return RunOutcomes(rows, run.fingerprint, None if run.origin is Origin.real else run.origin.value)


def model_of(run: LoadedRun) -> str:
    """Return a run's name in a table of models: the candidate that gave every answer, or else the router."""
    answered = {candidate for trial in run.trials for candidate, calls in trial.models.items() if calls}
    return answered.pop() if len(answered) == 1 else run.display_router
