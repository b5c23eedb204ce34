"""A policy over all tasks of a table: what it solves, costs and is billed, with intervals."""

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
    """A policy over all tasks; money in USD."""

    policy: Policy
    penalty_usd: float
    models: str
    """Which it chooses from, as people read it."""
    intervals: Mapping[str, Ends | None]
    """Of ``bill_usd`` and ``cost_usd``, both of all known tasks, and of the ``resolved`` share in percent."""
    on_hull: bool

    @property
    def resolved(self) -> float | None:
        """Tasks that are solved, in expectation, of those whose verdict is known; None where none is."""
        return float(np.nansum(self.policy.solved)) if self.verdicts else None

    @property
    def verdicts(self) -> int:
        """Tasks whose verdict is known."""
        return int(np.isfinite(self.policy.solved).sum())

    @property
    def tasks(self) -> int:
        """Tasks whose verdict and cost are known: those that the bill is of."""
        return int(self.policy.known.sum())

    def _mean(self, values: Floats) -> float | None:
        here = values[self.policy.known]
        return float(here.mean()) if len(here) else None

    @property
    def share(self) -> float | None:
        """Percent of ``tasks`` that are solved."""
        mean = self._mean(self.policy.solved)
        return None if mean is None else 100 * mean

    @property
    def cost_usd(self) -> float | None:
        """Of ``tasks``; None where there are none."""
        return float(self.policy.cost_usd[self.policy.known].sum()) if self.tasks else None

    @property
    def bill_usd(self) -> float | None:
        """Of ``tasks``: cost, and the penalty of each that is not solved; None where there are none."""
        return float(self.policy.bill_usd(self.penalty_usd)[self.policy.known].sum()) if self.tasks else None

    @property
    def mean_cost_usd(self) -> float | None:
        """Of a task."""
        return self._mean(self.policy.cost_usd)

    @property
    def mean_bill_usd(self) -> float | None:
        """Of a task."""
        return self._mean(self.policy.bill_usd(self.penalty_usd))

    def to_json(self) -> dict[str, Any]:
        """The policy as a JSON object."""
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
    """A count that is whole as an integer."""
    return int(value) if value == int(value) else value
