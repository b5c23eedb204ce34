"""The headroom of routing on a table of outcomes: compare constant policies, mixes, cascades and choices in hindsight.

All results hold for the table, with its scaffold, prices and dates. Policies choose a model for a whole task, since
outcomes of whole tasks say nothing about switching within a task. The choice in hindsight is not a possible router, and
part of its advantage is chance: it would also show a headroom for models that solve tasks at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from twinbench.display.frames import Tabular
from twinbench.errors import UsageError
from twinbench.outcomes.keeping import TableInfo
from twinbench.outcomes.policies import (
    Policy,
    cascade_policy,
    constant_policy,
    lowest_bill_policy,
    mixed_policy,
    oracle_policy,
    upper_hull,
)
from twinbench.outcomes.summaries import PolicySummary, int_if_whole
from twinbench.outcomes.table import Grid
from twinbench.routing.tiers import TIER_LABELS
from twinbench.statistics import Resampling
from twinbench.statistics.bills import Ends, run_intervals, why_no_interval
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.intervals import bca_intervals
from twinbench.statistics.sampling import bootstrap

PENALTIES = (0.0, 0.15, 0.3, 0.6, 1.2, 2.4)
"""Penalties of an unresolved task, in USD, for which the best single model is listed besides the chosen penalty."""


@dataclass(frozen=True)
class Saving:
    """The saving of the lowest bill in hindsight against the best single model: an upper bound for any router."""

    against: str
    """The tier of the single model with the lowest bill."""
    tasks: int
    """The number of tasks whose verdict and cost are known for every tier; others cannot say what choosing saves."""
    usd: float | None
    """The saving; None if there are no such tasks."""
    share: float | None
    """The saving in percent of the best single model's bill; None if that is 0."""
    interval: Ends | None
    """The bootstrap interval of ``usd``."""
    share_interval: Ends | None
    reason: str | None
    """Why there are no intervals; None if there are."""

    def to_json(self) -> dict[str, Any]:
        """Return the saving as a JSON object."""
        return {
            "against": self.against,
            "tasks": self.tasks,
            "usd": self.usd,
            "share": self.share,
            "interval": None if self.interval is None else list(self.interval),
            "share_interval": None if self.share_interval is None else list(self.share_interval),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Inversions:
    """The number of tasks that a lower tier solves and a higher one does not, by pair of tiers and in total."""

    tasks: int
    """The number of tasks with at least one such pair of tiers."""
    known: int
    """The number of tasks whose verdict is known for every tier."""
    pairs: Sequence[Mapping[str, Any]]
    """For each pair of tiers: ``lower``, ``higher``, and the numbers of tasks ``lower_only`` and ``higher_only``."""

    def to_json(self) -> dict[str, Any]:
        """Return the inversions as a JSON object."""
        share = 100 * self.tasks / self.known if self.known else None
        return {"tasks": self.tasks, "known": self.known, "share": share, "pairs": [dict(each) for each in self.pairs]}


@dataclass(frozen=True, repr=False)
class Headroom(Tabular):
    """The possible gain of routing between some models on the tasks of one workload."""

    info: TableInfo
    workload: str
    tiers: Mapping[str, str]
    """The model of each tier, the lowest first."""
    tasks: Sequence[str]
    penalty_usd: float
    policies: Sequence[PolicySummary]
    """Constant policies first, then mixes, cascades and the two choices in hindsight."""
    saving: Saving
    inversions: Inversions
    kinds: Mapping[str, int]
    """Number of tasks solved by all tiers (``solved_by_all``), by some (``contested``) or by none (``hopeless``), and
    of those for which missing verdicts leave this open (``unknown``)."""
    best_single: Sequence[Mapping[str, Any]]
    """For each penalty, the tier with the lowest bill, and the mean bill of every tier."""
    splits: Sequence[Mapping[str, Any]]
    """Results of each tier on the named splits that are completely in the table: resolved tasks, cost and bill."""
    resampling: Resampling | None = field(default=None)

    def of_kind(self, kind: str) -> list[PolicySummary]:
        """Return the policies of one kind, such as ``constant``."""
        return [each for each in self.policies if each.policy.kind == kind]

    @property
    def oracle(self) -> PolicySummary:
        """The policy that chooses, in hindsight, the cheapest model that solves each task."""
        return self.of_kind("oracle")[0]

    @property
    def caveat(self) -> str | None:
        """The note of the table, which has to be shown with the figures; None if there is none."""
        return self.info.note or None

    def to_json(self) -> dict[str, Any]:
        """Return the result as the command prints it with ``--json``."""
        resampling = self.resampling
        drawn = None if resampling is None else {name: getattr(resampling, name) for name in _RESAMPLING}
        of_tier = {each.policy.name: each for each in self.of_kind("constant")}
        return {
            "table": {"name": self.info.name, "sha256": self.info.sha256, "caveat": self.caveat},
            "workload": self.workload,
            "tasks": len(self.tasks),
            "penalty_usd": self.penalty_usd,
            "resampling": drawn,
            "models": [{"tier": tier, "model": model, **of_tier[tier].to_json()} for tier, model in self.tiers.items()],
            "mixes": [each.to_json() for each in self.of_kind("mix")],
            "cascade": [each.to_json() for each in self.of_kind("cascade")],
            "oracle": self.oracle.to_json(),
            "lowest_bill": self.of_kind("bound")[0].to_json(),
            "saving": self.saving.to_json(),
            "inversions": self.inversions.to_json(),
            "kinds": dict(self.kinds),
            "best_single": [dict(each) for each in self.best_single],
            "splits": [dict(each) for each in self.splits],
        }

    def records(self) -> list[dict[str, Any]]:
        """Return one row per policy; the ends of its intervals are in separate columns."""
        rows = []
        for each in self.policies:
            row = each.to_json()
            for name, ends in row.pop("intervals").items():
                row[f"{name}_low"], row[f"{name}_high"] = ends or (None, None)
            rows.append({"workload": self.workload, **row})
        return rows


_RESAMPLING = ("resamples", "level", "seed")


def compute_headroom(
    grid: Grid,
    info: TableInfo,
    tiers: Mapping[str, str],
    *,
    penalty_usd: float,
    resampling: Resampling | None,
    sensitivity: float | None = None,
    specificity: float | None = None,
    splits: Mapping[str, frozenset[str]] | None = None,
) -> Headroom:
    """Compute the headroom of routing between the models of some tiers.

    Args:
        grid: the outcomes of one workload, restricted to the tasks of interest.
        info: the table of the outcomes.
        tiers: the model of each tier; at least two.
        penalty_usd: the penalty of an unresolved task.
        resampling: the bootstrap settings for intervals; None for no intervals.
        sensitivity: the probability that the verifier of a second cascade accepts a correct solution. The second
            cascade is left out if this and ``specificity`` are None; if only one of them is None, it counts as 1.
        specificity: the probability that the verifier rejects a wrong solution.
        splits: named sets of tasks; results are included for those that are completely in the table.

    Raises:
        UsageError: a model is not in the table, there are fewer than two tiers, or a tier's model has no known cost or
            no known verdict.
    """
    order = [tier for tier in TIER_LABELS if tier in tiers]
    if len(order) < len(tiers) or len(order) < 2:
        raise UsageError(f"name the models of at least two of the tiers {', '.join(TIER_LABELS)}")
    chosen = grid.select_models([tiers[tier] for tier in order])
    policies = _make_policies(chosen, order, penalty_usd, sensitivity, specificity)
    for each in policies[: len(order)]:
        if not each.known_mask.any():
            what = "verdict" if np.isnan(each.solved).all() else "cost"
            raise UsageError(
                f"the table has no {what} for {tiers[each.name]}, the model of tier {each.name}, on any task"
            )
    corners = _hull_corners(policies)
    summaries = [
        PolicySummary(
            each,
            penalty_usd,
            chosen.models[number] if each.kind == "constant" else ", ".join(order[place] for place in each.models),
            _policy_intervals(chosen.tasks, each, penalty_usd, resampling),
            number in corners,
        )
        for number, each in enumerate(policies)
    ]
    constants = summaries[: len(order)]
    return Headroom(
        info,
        grid.workload,
        {tier: tiers[tier] for tier in order},
        chosen.tasks,
        penalty_usd,
        summaries,
        _compute_saving(chosen, constants, policies[-1], penalty_usd, resampling),
        _count_inversions(chosen, order),
        _count_kinds(chosen),
        [_best_tier_at(constants, penalty) for penalty in sorted({*PENALTIES, penalty_usd})],
        [
            {
                "name": name,
                "tasks": len(wanted),
                "models": _summarise_split(chosen.select_tasks(sorted(wanted)), order, penalty_usd),
            }
            for name, wanted in (splits or {}).items()
            if wanted < set(chosen.tasks)
        ],
        resampling,
    )


def _make_policies(
    grid: Grid, order: Sequence[str], penalty_usd: float, sensitivity: float | None, specificity: float | None
) -> list[Policy]:
    found = [constant_policy(grid, number, tier) for number, tier in enumerate(order)]
    found.append(mixed_policy(grid, [1 / len(order)] * len(order), "any tier by lot"))
    points = [_point(each) for each in found[: len(order)]]
    corners = upper_hull(points)
    for lower, higher in pairwise(corners):
        shares = [0.5 if number in (lower, higher) else 0.0 for number in range(len(order))]
        found.append(mixed_policy(grid, shares, f"{order[lower]} or {order[higher]} by lot"))
    found.append(cascade_policy(grid, "cascade, perfect verifier"))
    if sensitivity is not None or specificity is not None:
        right, wrong = 1.0 if sensitivity is None else sensitivity, 1.0 if specificity is None else specificity
        name = f"cascade, verifier accepts {right:.0%} of right and rejects {wrong:.0%} of wrong"
        found.append(cascade_policy(grid, name, right, wrong))
    return [*found, oracle_policy(grid), lowest_bill_policy(grid, penalty_usd)]


def _point(policy: Policy) -> tuple[float, float]:
    known = policy.known_mask
    if not known.any():
        return float("inf"), 0.0
    return float(policy.cost_usd[known].mean()), float(policy.solved[known].mean())


def _hull_corners(policies: Sequence[Policy]) -> set[int]:
    """Return the indices of the constant policies on the convex hull: no mix of others is as good at the same cost."""
    constants = [number for number, each in enumerate(policies) if each.kind == "constant"]
    return {constants[place] for place in upper_hull([_point(policies[number]) for number in constants])}


def _policy_intervals(
    tasks: Sequence[str], policy: Policy, penalty_usd: float, resampling: Resampling | None
) -> dict[str, Ends | None]:
    known = policy.known_mask
    names = [name for name, here in zip(tasks, known, strict=True) if here]
    sums = np.stack([np.ones(len(names)), policy.cost_usd[known], 1 - policy.solved[known]], axis=1)
    return run_intervals(names, sums, penalty_usd, resampling)[0]


def _compute_saving(
    grid: Grid,
    constants: Sequence[PolicySummary],
    hindsight: Policy,
    penalty_usd: float,
    resampling: Resampling | None,
) -> Saving:
    """Compute what the lowest bill in hindsight saves against the best single model, of tasks known for every tier."""
    here = np.all([each.policy.known_mask for each in constants], axis=0)
    priced = [each for each in constants if each.mean_bill_usd is not None]
    if not here.any():
        best = min(priced, key=lambda each: each.mean_bill_usd or 0.0)
        return Saving(best.policy.name, 0, None, None, None, None, "no task has a verdict and a cost of every tier")
    best = min(constants, key=lambda each: float(each.policy.bill_usd(penalty_usd)[here].mean()))
    bills = np.stack([policy.bill_usd(penalty_usd)[here] for policy in (best.policy, hindsight)], axis=1)
    total, least = bills.sum(axis=0).tolist()
    size = len(bills)
    reason = "not asked for: 0 resamples" if resampling is None else why_no_interval(size, resampling)
    ends: list[Ends | None] = [None, None]
    if resampling is not None and reason is None:
        names = [name for name, known in zip(grid.tasks, here, strict=True) if known]
        clusters = Clusters.from_names(names)
        sums = clusters.sum_by_cluster(np.column_stack([np.ones(size), bills]))

        def saving_statistic(sums: Floats) -> Floats:
            totals = sums.sum(axis=-2)
            usd = totals[..., 1] - totals[..., 2]
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(totals[..., 1] > 0, 100 * usd / totals[..., 1], 0.0)
            return np.stack([size * usd / totals[..., 0], share], axis=-1)

        [drawn] = bootstrap(clusters, [sums], saving_statistic, resampling)
        ends = [(float(low), float(high)) for low, high in bca_intervals(drawn, resampling.level)]
    return Saving(
        best.policy.name,
        size,
        total - least,
        100 * (total - least) / total if total > 0 else None,
        ends[0],
        ends[1],
        reason,
    )


def _count_inversions(grid: Grid, order: Sequence[str]) -> Inversions:
    solved = grid.solved
    pairs = []
    inverted = np.zeros(len(grid.tasks), bool)
    for higher in range(1, len(order)):
        for lower in range(higher):
            lower_only = solved[lower] > solved[higher]
            inverted |= lower_only
            pairs.append(
                {
                    "lower": order[lower],
                    "higher": order[higher],
                    "lower_only": int(lower_only.sum()),
                    "higher_only": int((solved[lower] < solved[higher]).sum()),
                }
            )
    return Inversions(int(inverted.sum()), int(np.isfinite(solved).all(axis=0).sum()), pairs)


def _count_kinds(grid: Grid) -> dict[str, int]:
    solved = grid.solved
    some = (solved > 0).any(axis=0)
    every = (solved == 1).all(axis=0)
    unsolved = (solved < 1).any(axis=0)
    known = np.isfinite(solved).all(axis=0)
    counts = {
        "solved_by_all": int(every.sum()),
        "contested": int((some & unsolved).sum()),
        "hopeless": int((~some & known).sum()),
    }
    return {**counts, "unknown": len(grid.tasks) - sum(counts.values())}


def _best_tier_at(constants: Sequence[PolicySummary], penalty_usd: float) -> dict[str, Any]:
    """Find the tier with the lowest mean bill at a penalty, over the tasks that are known for all tiers."""
    everywhere = np.all([each.policy.known_mask for each in constants], axis=0)
    bills = {
        each.policy.name: float(each.policy.bill_usd(penalty_usd)[everywhere].mean()) if everywhere.any() else None
        for each in constants
    }
    known = {name: bill for name, bill in bills.items() if bill is not None}
    best = min(known, key=lambda name: known[name]) if known else None
    return {"penalty_usd": penalty_usd, "tier": best, "mean_bill_usd": bills}


def _summarise_split(grid: Grid, order: Sequence[str], penalty_usd: float) -> list[dict[str, Any]]:
    found = []
    for number, tier in enumerate(order):
        each = PolicySummary(constant_policy(grid, number, tier), penalty_usd, grid.models[number], {}, on_hull=False)
        found.append(
            {
                "tier": tier,
                "model": grid.models[number],
                "resolved": None if each.resolved is None else int_if_whole(each.resolved),
                "verdicts": each.verdicts,
                "cost_usd": each.cost_usd,
                "bill_usd": each.bill_usd,
            }
        )
    return found
