"""Forecast the cost and the statistical power of a planned run from a table of outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.outcomes.headroom import Headroom, compute_headroom
from twinbench.outcomes.keeping import TableInfo
from twinbench.outcomes.table import Grid
from twinbench.statistics.comparing import DEFAULT_POWER, detectable_mean
from twinbench.statistics.planning import detectable_difference


@dataclass(frozen=True)
class Forecast:
    """The expected cost of planned cases, and the differences that they can detect; money in USD."""

    headroom: Headroom
    """The headroom of routing on those planned cases that are in the table."""
    cases: int
    trials: int
    detectable_usd: float | None
    """The smallest detectable difference between the total bills of the best single model and of a router, if the
    router's bills vary from it like the lowest bills in hindsight do; None if those never differ."""
    detectable_points: float | None
    """The smallest detectable difference in the share of resolved cases, in percentage points."""

    @property
    def can_show(self) -> bool:
        """Whether the cases can detect the saving of a router that achieves the lowest bill in hindsight."""
        return self.detectable_usd is not None and self.detectable_usd <= self.saving_usd

    @property
    def scale(self) -> float:
        """The factor that extrapolates from the cases in the table to all planned cases."""
        return self.cases / max(1, self.headroom.saving.tasks)

    @property
    def saving_usd(self) -> float:
        """The largest possible saving by choosing a model for each case, extrapolated to all planned cases."""
        return (self.headroom.saving.usd or 0.0) * self.scale

    def cost_usd(self) -> dict[str, float]:
        """Return, by tier, the cost of all trials of all cases if the tier's model did all of them."""
        found = {}
        for each in self.headroom.of_kind("constant"):
            found[each.policy.name] = (each.mean_cost_usd or 0.0) * self.cases * self.trials
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the forecast as a JSON object."""
        return {
            "table": self.headroom.info.name,
            "caveat": self.headroom.caveat,
            "cases": self.cases,
            "known_cases": len(self.headroom.tasks),
            "cost_usd": self.cost_usd(),
            "best_single": self.headroom.saving.against,
            "saving_usd": self.saving_usd,
            "detectable_usd": self.detectable_usd,
            "detectable_points": self.detectable_points,
            "can_show": self.can_show,
        }

    def sentences(self) -> list[str]:
        """Return the forecast as sentences for the user."""
        found, saving = self.headroom, self.headroom.saving
        alone = ", ".join(f"always {tier} {usd:.2f}" for tier, usd in self.cost_usd().items())
        points = self.detectable_points
        least = "no difference" if points is None else f"a difference of {points:.1f} points"
        cases = format_count(self.cases, "case")
        bound = (
            f"a model chosen for each case could save at most {self.saving_usd:.2f} USD of the bill of always "
            f"{saving.against}; {cases} {'detects' if self.cases == 1 else 'detect'} "
        )
        if self.detectable_usd is None:
            alike = "the two never differ" if saving.tasks > 1 else "one known case says nothing of the spread"
            bound += f"nothing of that, since {alike}"
        else:
            bound += f"a difference of {self.detectable_usd:.2f} USD with a chance of {100 * DEFAULT_POWER:.0f} %: " + (
                "they can show a router that comes near the bound"
                if self.can_show
                else "they cannot show that one saves money"
            )
        return [
            f"by the outcomes {found.info.name}, which has {len(found.tasks):,} of {cases}: {alone} USD",
            bound,
            f"in the share of resolved cases {'it detects' if self.cases == 1 else 'they detect'} {least}",
            *([found.caveat] if found.caveat else []),
        ]


def make_forecast(
    grid: Grid,
    info: TableInfo,
    tiers: Mapping[str, str],
    cases: Sequence[str],
    *,
    trials: int = 1,
    penalty_usd: float,
) -> Forecast:
    """Forecast the cost of planned cases and the differences that they can detect.

    Args:
        grid: the outcomes of one workload.
        info: the table of the outcomes.
        tiers: the model of each tier.
        cases: the planned cases.
        trials: the number of trials of each case.
        penalty_usd: the penalty of an unresolved case.

    Raises:
        UsageError: the table has none of the cases, or lacks a model.
    """
    here = grid.select_tasks(cases)
    if not here.tasks:
        raise UsageError(f"the table {info.name} has none of the {format_count(len(cases), 'case')} in {grid.workload}")
    found = compute_headroom(here, info, tiers, penalty_usd=penalty_usd, resampling=None)
    if found.saving.usd is None:
        raise UsageError(f"the table {info.name} has no verdict and cost of every tier on any of the cases")
    best = next(each for each in found.policies if each.policy.name == found.saving.against)
    bound = found.of_kind("bound")[0]
    both = np.all([each.policy.known_mask for each in found.of_kind("constant")], axis=0)
    differences = (best.policy.bill_usd(penalty_usd) - bound.policy.bill_usd(penalty_usd))[both]
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    solved = here.select_models(list(found.tiers.values())).solved
    differ = [
        float(np.nanmean(np.abs(solved[one] - solved[other])))
        for one in range(len(solved))
        for other in range(one)
        if np.isfinite(solved[one] - solved[other]).any()
    ]
    usual = float(np.median(differ)) if differ else 0.0
    points = detectable_difference(len(cases), usual)
    return Forecast(
        found,
        len(cases),
        trials,
        None if spread == 0 else len(cases) * detectable_mean(spread / math.sqrt(len(cases))),
        None if points is None else 100 * points,
    )
