"""Choose a pilot: a few tasks that rank models as all tasks do, validated on models that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinbench.errors import UsageError
from twinbench.outcomes.table import Grid
from twinbench.statistics.clusters import Floats, Ints

FOLDS = 5
MIN_MODELS = 6
"""With fewer models, the folds leave too few of them to choose tasks by."""

RANDOM_CHOICES = 100
"""Number of random choices of tasks that a pilot is compared with."""


@dataclass(frozen=True)
class Pilot:
    """Tasks to try first, and how well tasks that are chosen by the same method rank models that were left out."""

    tasks: Sequence[str]
    """The tasks in the order in which they were chosen, so that the first of them form a smaller pilot."""
    seed: int
    models: int
    agreement: float | None
    """Kendall's tau, from -1 to 1, between the ranks by the pilot and by all tasks for models that were left out; None
    if there are too few models to leave any out."""
    random_agreement: float | None
    """The mean of the same for as many random tasks."""
    random_between: tuple[float, float] | None
    """The range that contains 90 % of the random choices."""

    def to_json(self) -> dict[str, Any]:
        """Return the pilot as a JSON object."""
        return {
            "tasks": list(self.tasks),
            "seed": self.seed,
            "models": self.models,
            "agreement": self.agreement,
            "random_agreement": self.random_agreement,
            "random_between": None if self.random_between is None else list(self.random_between),
        }


def choose_pilot(grid: Grid, size: int, seed: int = 0) -> Pilot:
    """Choose the tasks of a pilot.

    Tasks are added one by one. Each time, the task is added that gives the highest correlation, over models, between
    the number of solved pilot tasks and the number of all solved tasks. A task's own variance counts twice, as if it
    were tried once more, so that tasks that agree with the order of few models by chance are not preferred.

    Args:
        grid: the outcomes of one workload. Unknown verdicts count as the model's average, so that they have no effect.
        size: the number of tasks of the pilot.
        seed: the seed for assigning models to folds, breaking ties and drawing the random choices.

    Raises:
        UsageError: there are not more than ``size`` tasks, or there are fewer than three models.
    """
    if not 1 <= size < len(grid.tasks):
        raise UsageError(f"--pilot {size}: must be less than the {len(grid.tasks)} tasks of workload {grid.workload}")
    if len(grid.models) < 3:
        raise UsageError(f"a pilot needs the results of at least three models; there are {len(grid.models)}")
    random = np.random.default_rng(seed)
    known = np.isfinite(grid.solved)
    average = np.nansum(grid.solved, axis=1) / np.maximum(known.sum(axis=1), 1)
    solved = np.where(known, grid.solved, average[:, None])
    order = random.permutation(len(grid.tasks))
    chosen = order[choose_tasks(solved[:, order], size)]
    found = _check_on_models_left_out(solved[:, order], size, random) if len(grid.models) >= MIN_MODELS else None
    agreement, by_chance, between = found or (None, None, None)
    tasks = [grid.tasks[place] for place in chosen.tolist()]
    return Pilot(tasks, seed, len(grid.models), agreement, by_chance, between)


def choose_tasks(solved: Floats, size: int) -> Ints:
    """Return the indices of the chosen tasks in the order of their choice; in a tie, the first task is chosen.

    Args:
        solved: shape (models, tasks).
        size: the number of tasks to choose.
    """
    centred = solved - solved.mean(axis=0)
    along = centred.T @ centred.sum(axis=1)
    spread = (centred**2).sum(axis=0)
    free = spread > 0
    shared = np.zeros(len(along))  # covariance of each task with the sum of the chosen ones
    total, variance = 0.0, 0.0
    chosen: list[int] = []
    for _ in range(size):
        grown = variance + 2 * shared + 2 * spread
        score = np.where(free, (total + along) / np.sqrt(np.where(free, grown, 1.0)), -np.inf)
        place = int(score.argmax())
        if not np.isfinite(score[place]):  # the other tasks do not distinguish models, so any will do
            rest = [each for each in range(len(along)) if each not in set(chosen)]
            return np.array([*chosen, *rest[: size - len(chosen)]], np.intp)
        chosen.append(place)
        free[place] = False
        total, variance = total + along[place], grown[place]
        shared += centred.T @ centred[:, place]
    return np.array(chosen, np.intp)


def _check_on_models_left_out(
    solved: Floats, size: int, random: np.random.Generator
) -> tuple[float, float, tuple[float, float]]:
    """Return the agreement on models left out, the mean of random choices, and the range of 90 % of these."""
    models, tasks = solved.shape
    fold = random.permutation(models) % FOLDS
    whole = solved.mean(axis=1)
    draws = [random.choice(tasks, size, replace=False) for _ in range(RANDOM_CHOICES)]
    mine: list[float] = []
    others: list[list[float]] = []
    for number in range(FOLDS):
        out = fold == number
        chosen = choose_tasks(solved[~out], size)
        mine.append(rank_agreement(solved[:, chosen].mean(axis=1), whole, out))
        others.append([rank_agreement(solved[:, draw].mean(axis=1), whole, out) for draw in draws])
    weights = [int((fold == number).sum()) for number in range(FOLDS)]
    by_draw = np.average(np.array(others), axis=0, weights=weights)
    low, high = np.quantile(by_draw, [0.05, 0.95]).tolist()
    return float(np.average(mine, weights=weights)), float(by_draw.mean()), (low, high)


def rank_agreement(part: Floats, whole: Floats, of: Floats) -> float:
    """Compute Kendall's tau between two scores of models; a tie in either of them counts as zero.

    Args:
        part: the models' scores on the chosen tasks.
        whole: the models' scores on all tasks.
        of: true for the models of interest; only pairs that include one of them count.
    """
    pairs = np.sign(part[of][:, None] - part[None, :]) * np.sign(whole[of][:, None] - whole[None, :])
    return float(pairs.sum() / max(1, pairs.size - int(np.sum(of))))
