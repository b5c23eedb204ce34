"""Summarise a policy over all tasks of a table: resolved tasks, cost and bill, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinbench.outcomes.policies import Policy
from twinbench.statistics.bills import Ends
from twinbench.statistics.clusters import Floats


@dataclass(frozen=True)
class PolicySummary:
    """The results of a policy over all tasks; money in USD."""

    policy: Policy
    penalty_usd: float
    models: str
    """The models that it chooses from, as text for the user."""
    intervals: Mapping[str, Ends | None]
    """Intervals of ``bill_usd`` and ``cost_usd`` (totals over known tasks) and of ``resolved`` (a share in percent)."""
    on_hull: bool

    @property
    def resolved(self) -> float | None:
        """The expected number of solved tasks, of those whose verdict is known; None if none is known."""
        return float(np.nansum(self.policy.solved)) if self.verdicts else None

    @property
    def verdicts(self) -> int:
        """The number of tasks whose verdict is known."""
        return int(np.isfinite(self.policy.solved).sum())

    @property
    def tasks(self) -> int:
        """The number of tasks whose verdict and cost are both known; the bill is over these."""
        return int(self.policy.known_mask.sum())

    def _mean(self, values: Floats) -> float | None:
        here = values[self.policy.known_mask]
        return float(here.mean()) if len(here) else None

    @property
    def share(self) -> float | None:
        """The share of solved tasks in ``tasks``, in percent."""
        mean = self._mean(self.policy.solved)
        return None if mean is None else 100 * mean

    @property
    def cost_usd(self) -> float | None:
        """The total cost of ``tasks``; None if there are none."""
        return float(self.policy.cost_usd[self.policy.known_mask].sum()) if self.tasks else None

    @property
    def bill_usd(self) -> float | None:
        """The total bill of ``tasks``: their cost plus the penalty of each unsolved one; None if there are none."""
        return float(self.policy.bill_usd(self.penalty_usd)[self.policy.known_mask].sum()) if self.tasks else None

    @property
    def mean_cost_usd(self) -> float | None:
        """The mean cost of a task."""
        return self._mean(self.policy.cost_usd)

    @property
    def mean_bill_usd(self) -> float | None:
        """The mean bill of a task."""
        return self._mean(self.policy.bill_usd(self.penalty_usd))

    def to_json(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return {
            "name": self.policy.name,
            "kind": self.policy.kind,
            "models": self.models,
            "resolved": None if self.resolved is None else int_if_whole(self.resolved),
            "verdicts": self.verdicts,
            "tasks": self.tasks,
            "share": self.share,
            "cost_usd": self.cost_usd,
            "bill_usd": self.bill_usd,
            "mean_cost_usd": self.mean_cost_usd,
            "mean_bill_usd": self.mean_bill_usd,
            "on_hull": self.on_hull,
            "intervals": {name: None if ends is None else list(ends) for name, ends in self.intervals.items()},
        }


def int_if_whole(value: float) -> float | int:
    """Return a whole number as an integer, and any other number unchanged."""
    return int(value) if value == int(value) else value
