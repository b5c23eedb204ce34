"""Ways of choosing a model for each task, and what each would have solved and cost by a table of outcomes.

A policy is computed task by task and in expectation, so nothing is drawn. What it needs and the table does not know
makes the task unknown for it (NaN), and never a failure or a price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinbench.outcomes.table import Grid
from twinbench.statistics.clusters import Floats

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class Policy:
    """What a way of choosing comes to on each task; shape (tasks,)."""

    name: str
    kind: str
    """``constant``, ``mix``, ``cascade``, ``oracle`` or ``bound``."""
    models: Sequence[int]
    """The places of those that it may choose."""
    solved: Floats
    """The chance that the task is solved, from 0 to 1; NaN where it is not known."""
    cost_usd: Floats
    """NaN where it is not known."""

    @property
    def known(self) -> Booleans:
        """On which tasks both are known."""
        return np.asarray(np.isfinite(self.solved) & np.isfinite(self.cost_usd))

    def bill_usd(self, penalty_usd: float) -> Floats:
        """Cost and penalty of each task; NaN where it is not known."""
        return np.asarray(self.cost_usd + penalty_usd * (1 - self.solved))


def constant_policy(grid: Grid, number: int, name: str) -> Policy:
    """Always the same model."""
    return Policy(name, "constant", [number], grid.solved[number], grid.cost_usd[number])


def mixed_policy(grid: Grid, shares: Sequence[float], name: str) -> Policy:
    """A model by lot for each task.

    Args:
        grid: models by tasks.
        shares: the chance of each model; they add up to 1.
        name: of the policy.
    """
    drawn = np.array(shares)[:, None]
    # What is never drawn need not be known.
    used = np.flatnonzero(np.array(shares) > 0)
    return Policy(
        name, "mix", used.tolist(), (drawn * grid.solved)[used].sum(axis=0), (drawn * grid.cost_usd)[used].sum(axis=0)
    )


def oracle_policy(grid: Grid) -> Policy:
    """The cheapest model that is known to solve the task, in hindsight; where none is, the cheapest of all.

    With several trials of a model, the cheapest of those that solve the task most often. A model whose verdict is not
    known is not chosen for solving the task, so that this is no more than what hindsight could have.
    """
    most = np.fmax.reduce(grid.solved, axis=0)
    solving = (grid.solved == most) & (most > 0)
    wanted = np.where(most > 0, solving, True)
    priced = np.where(wanted & np.isfinite(grid.cost_usd), grid.cost_usd, np.inf)
    chosen, tasks = priced.argmin(axis=0), np.arange(len(grid.tasks))
    cost = priced[chosen, tasks]
    solved = np.where(most > 0, most, grid.solved[chosen, tasks])
    return Policy(
        "cheapest solving, in hindsight",
        "oracle",
        range(len(grid.models)),
        solved,
        np.where(np.isfinite(cost), cost, np.nan),
    )


def lowest_bill_policy(grid: Grid, penalty_usd: float) -> Policy:
    """The model with the lowest bill on the task, in hindsight: it gives up where solving costs more than the penalty.

    Models whose bill on the task is not known are not chosen.
    """
    bills = grid.cost_usd + penalty_usd * (1 - grid.solved)
    chosen, tasks = np.where(np.isfinite(bills), bills, np.inf).argmin(axis=0), np.arange(len(grid.tasks))
    known = np.isfinite(bills[chosen, tasks])
    solved, cost = (np.where(known, values[chosen, tasks], np.nan) for values in (grid.solved, grid.cost_usd))
    return Policy("lowest bill, in hindsight", "bound", range(len(grid.models)), solved, cost)


def cascade_policy(grid: Grid, name: str, sensitivity: float = 1.0, specificity: float = 1.0) -> Policy:
    """Each tier from the cheapest up until a verifier accepts what it did; the last one's work is taken as it is.

    Every tier that is tried is paid for. The verifier costs nothing, and errs independently of everything else.

    Args:
        grid: models by tasks, the lowest tier first.
        name: of the policy.
        sensitivity: the chance that it accepts a solution that is right.
        specificity: the chance that it rejects one that is wrong.
    """
    reached = np.ones(len(grid.tasks))
    solved, cost = np.zeros(len(grid.tasks)), np.zeros(len(grid.tasks))
    last = len(grid.models) - 1
    for number in range(last + 1):
        right, price = grid.solved[number], grid.cost_usd[number]
        goes = reached > 0  # what is not reached need not be known
        accepted_right = sensitivity if number < last else 1.0
        accepted_wrong = 1 - specificity if number < last else 1.0
        solved = np.where(goes, solved + reached * right * accepted_right, solved)
        cost = np.where(goes, cost + reached * price, cost)
        rejected = right * (1 - accepted_right) + (1 - right) * (1 - accepted_wrong)
        reached = np.where(goes, reached * rejected, 0.0)
        reached = np.where(np.isnan(reached), 1.0, reached)  # unknown from here on, as ``solved`` is
    return Policy(name, "cascade", range(len(grid.models)), solved, cost)


def upper_hull(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points of (cost, resolved) no other point and no mix of two others beats: the upper left hull.

    Returns:
        Their places, the cheapest first.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    corners: list[int] = []
    for place in order:
        x, y = points[place]
        if corners and y <= points[corners[-1]][1]:
            continue  # dearer, and no better
        while len(corners) >= 2:
            (x0, y0), (x1, y1) = points[corners[-2]], points[corners[-1]]
            if (y1 - y0) * (x - x0) > (y - y0) * (x1 - x0):
                break
            corners.pop()
        corners.append(place)
    return corners
