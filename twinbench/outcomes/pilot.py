"""A pilot: a few tasks whose results best preserve the order of models on all tasks, checked on models left out."""

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
"""With fewer, a fold leaves so few models to learn from that nothing is."""

RANDOM_CHOICES = 100
"""Random choices of tasks that a pilot is compared with, over all folds."""


@dataclass(frozen=True)
class Pilot:
    """Tasks to try first, and how well tasks that are chosen like them rank models that had no part in the choice."""

    tasks: Sequence[str]
    """In the order in which they were chosen, so that the first of them are a smaller pilot."""
    seed: int
    models: int
    agreement: float | None
    """Of models left out: Kendall's tau of the ranks by the pilot and by all tasks, from -1 to 1; None where there are
    too few models to leave any out."""
    random_agreement: float | None
    """The same of as many random tasks, on average."""
    random_between: tuple[float, float] | None
    """Where 90 % of the random choices lie."""

    def to_json(self) -> dict[str, Any]:
        """The pilot as a JSON object."""
        return {
            "tasks": list(self.tasks),
            "seed": self.seed,
            "models": self.models,
            "agreement": self.agreement,
            "random_agreement": self.random_agreement,
            "random_between": None if self.random_between is None else list(self.random_between),
        }


def choose_pilot(grid: Grid, size: int, seed: int = 0) -> Pilot:
    """The tasks of a pilot.

    Tasks are added one by one: each time the one with which the sum over the chosen tasks goes best along with the sum
    over all, models being the observations. A task's own spread counts twice, as if it were tried once more, so that a
    task that happens to agree with the order of few models is not preferred to one that many agree with.

    Args:
        grid: of one workload. Verdicts that are not known count as the model's average, so that they move nothing.
        size: of the pilot.
        seed: deals models to folds, breaks ties and draws the random choices.

    Raises:
        UsageError: there are no more tasks than that, or less than three models.
    """
    if not 1 <= size < len(grid.tasks):
        raise UsageError(f"--pilot {size}: workload {grid.workload} has {len(grid.tasks)} tasks, a pilot has fewer")
    if len(grid.models) < 3:
        raise UsageError(f"a pilot preserves the order of three models or more; there are {len(grid.models)}")
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
    """The places of the chosen tasks, in the order in which they were chosen; of equals the first.

    Args:
        solved: shape (models, tasks).
        size: how many.
    """
    centred = solved - solved.mean(axis=0)
    along = centred.T @ centred.sum(axis=1)
    spread = (centred**2).sum(axis=0)
    free = spread > 0
    shared = np.zeros(len(along))  # of each task with the sum of those that are chosen
    total, variance = 0.0, 0.0
    chosen: list[int] = []
    for _ in range(size):
        grown = variance + 2 * shared + 2 * spread
        score = np.where(free, (total + along) / np.sqrt(np.where(free, grown, 1.0)), -np.inf)
        place = int(score.argmax())
        if not np.isfinite(score[place]):  # all others are alike for every model: they tell nothing, and take nothing
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
    """Agreement on models left out, that of random tasks, and where most of these lie."""
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
    """Kendall's tau over pairs of which one is asked about; a tie in either order counts as neither.

    Args:
        part: scores by which models are ranked.
        whole: their true scores.
        of: true for the models that are asked about, whose pairs with all models count.
    """
    pairs = np.sign(part[of][:, None] - part[None, :]) * np.sign(whole[of][:, None] - whole[None, :])
    return float(pairs.sum() / max(1, pairs.size - int(np.sum(of))))
