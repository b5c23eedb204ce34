"""Policies that choose a model for each task, and what they would have solved and cost by a table of outcomes.

The result of a policy on a task is an expected value, so nothing is sampled. If the table lacks a value that the policy
needs, the task is unknown for it (NaN); it does not count as a failure or as free.
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
    """The expected result of a policy on each task; the arrays have shape (tasks,)."""

    name: str
    kind: str
    """``constant``, ``mix``, ``cascade``, ``oracle`` or ``bound``."""
    models: Sequence[int]
    """The indices of the models that it may choose."""
    solved: Floats
    """The probability that the task is solved, from 0 to 1; NaN if it is unknown."""
    cost_usd: Floats
    """The expected cost; NaN if it is unknown."""

    @property
    def known_mask(self) -> Booleans:
        """A boolean mask of shape (tasks,): the tasks whose probability and cost are both known."""
        return np.asarray(np.isfinite(self.solved) & np.isfinite(self.cost_usd))

    def bill_usd(self, penalty_usd: float) -> Floats:
        """Return the expected cost plus penalty of each task; NaN if it is unknown."""
        return np.asarray(self.cost_usd + penalty_usd * (1 - self.solved))


def constant_policy(grid: Grid, number: int, name: str) -> Policy:
    """Make the policy that always chooses the same model."""
    return Policy(name, "constant", [number], grid.solved[number], grid.cost_usd[number])


def mixed_policy(grid: Grid, shares: Sequence[float], name: str) -> Policy:
    """Make the policy that chooses a model at random for each task.

    Args:
        grid: the outcomes of models by tasks.
        shares: the probability of each model; they add up to 1.
        name: the name of the policy.
    """
    drawn = np.array(shares)[:, None]
    # Results of models that are never chosen need not be known.
    used = np.flatnonzero(np.array(shares) > 0)
    return Policy(
        name, "mix", used.tolist(), (drawn * grid.solved)[used].sum(axis=0), (drawn * grid.cost_usd)[used].sum(axis=0)
    )


def oracle_policy(grid: Grid) -> Policy:
    """Make the policy that chooses, in hindsight, the cheapest model that is known to solve the task.

    If no model is known to solve it, the cheapest of all is chosen. With several trials per model, the cheapest of the
    models that solve the task most often is chosen. A model with an unknown verdict counts as not solving the task, so
    that the result is never better than true hindsight.
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
    """Make the policy that chooses, in hindsight, the model with the lowest bill on each task.

    It lets a task fail if solving it costs more than the penalty. Models with an unknown bill are not chosen.
    """
    bills = grid.cost_usd + penalty_usd * (1 - grid.solved)
    chosen, tasks = np.where(np.isfinite(bills), bills, np.inf).argmin(axis=0), np.arange(len(grid.tasks))
    known = np.isfinite(bills[chosen, tasks])
    solved, cost = (np.where(known, values[chosen, tasks], np.nan) for values in (grid.solved, grid.cost_usd))
    return Policy("lowest bill, in hindsight", "bound", range(len(grid.models)), solved, cost)


def cascade_policy(grid: Grid, name: str, sensitivity: float = 1.0, specificity: float = 1.0) -> Policy:
    """Make the policy that tries the tiers from the lowest up until a verifier accepts a solution.

    The last tier's solution is always accepted, and every tier that is tried is paid for. The verifier costs nothing,
    and its errors are independent of everything else.

    Args:
        grid: the outcomes of models by tasks, the lowest tier first.
        name: the name of the policy.
        sensitivity: the probability that the verifier accepts a correct solution.
        specificity: the probability that the verifier rejects a wrong solution.
    """
    reached = np.ones(len(grid.tasks))
    solved, cost = np.zeros(len(grid.tasks)), np.zeros(len(grid.tasks))
    last = len(grid.models) - 1
    for number in range(last + 1):
        right, price = grid.solved[number], grid.cost_usd[number]
        goes = reached > 0  # results of tiers that are not reached need not be known
        accepted_right = sensitivity if number < last else 1.0
        accepted_wrong = 1 - specificity if number < last else 1.0
        solved = np.where(goes, solved + reached * right * accepted_right, solved)
        cost = np.where(goes, cost + reached * price, cost)
        rejected = right * (1 - accepted_right) + (1 - right) * (1 - accepted_wrong)
        reached = np.where(goes, reached * rejected, 0.0)
        reached = np.where(np.isnan(reached), 1.0, reached)  # unknown from here on, as ``solved`` is
    return Policy(name, "cascade", range(len(grid.models)), solved, cost)


def upper_hull(points: Sequence[tuple[float, float]]) -> list[int]:
    """Find the points of (cost, resolved) on the upper left convex hull: no other point or mix of two points is better.

    Returns:
        The indices of these points, the cheapest first.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1]))
    corners: list[int] = []
    for place in order:
        x, y = points[place]
        if corners and y <= points[corners[-1]][1]:
            continue  # more expensive and not better
        while len(corners) >= 2:
            (x0, y0), (x1, y1) = points[corners[-2]], points[corners[-1]]
            if (y1 - y0) * (x - x0) > (y - y0) * (x1 - x0):
                break
            corners.pop()
        corners.append(place)
    return corners
