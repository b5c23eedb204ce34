"""Folds of a bank for cross-validation: each row is predicted once, by a router that was trained on other rows.

Whole groups are held out, with all that begins nearly like them. Instances of heldout100 are predicted, and never
trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from static_track.banks.bank import Bank
from static_track.banks.near_duplicates import find_groups as near_duplicates
from static_track.banks.splits import HELDOUT, BankPart, TrajectoryLabel, merge_groups, plan_split
from twinbench.display.wording import format_count
from twinbench.errors import UsageError

FEWEST = 2


@dataclass(frozen=True)
class Fold:
    """The trajectories that are predicted together, and those that a router is trained on for that, by number."""

    name: str
    test: tuple[int, ...]
    train: tuple[int, ...]


@dataclass(frozen=True)
class Folds:
    """A bank, or a part of it, in folds."""

    by: str
    """``group`` or ``workload``."""
    seed: int
    """Seed of the draw of folds; unused if folds are workloads."""
    folds: Sequence[Fold]

    @property
    def title(self) -> str:
        """A description of the folds, for a table."""
        if self.by == "workload":
            return f"each of {format_count(len(self.folds), 'workload')} left out in turn"
        return f"{len(self.folds)} folds by group (seed {self.seed})"

    def to_json(self) -> dict[str, Any]:
        """The folds as a JSON object."""
        sizes = [
            {"name": each.name, "trajectories": len(each.test), "trained_on": len(each.train)} for each in self.folds
        ]
        return {"by": self.by, "seed": self.seed, "folds": sizes}


def folds_by_group(bank: Bank, split: BankPart, count: int, seed: int) -> Folds:
    """Make folds of about the same size, dealt like the parts of a split: by workload and highest label.

    Args:
        bank: opened.
        split: the part that is predicted and trained on.
        count: how many.
        seed: another one deals otherwise.

    Raises:
        UsageError: fewer than two, or more than there are groups to hold out.
    """
    if count < FEWEST:
        raise UsageError(f"{format_count(count, 'fold')}: cross-validation needs {FEWEST} at least")
    labels, together = _part(bank, split)
    plan = plan_split("folds", labels, {str(number): 1 / count for number in range(1, count + 1)}, seed, [], together)
    parts = {name: plan.parts.get(name, ()) for name in plan.shares}
    if not all(parts.values()):
        independent = len({min(members) for members in _units(labels, together)})
        raise UsageError(
            f"{count} folds of {format_count(independent, 'group')}: some would be empty; use fewer, at least {FEWEST}"
        )
    held_out = plan.parts.get(HELDOUT, ())
    dealt = {name: held_out[place::count] for place, name in enumerate(parts)}
    return Folds(
        "group",
        seed,
        [
            Fold(
                name,
                tuple(sorted((*numbers, *dealt[name]))),
                tuple(sorted(number for other, train in parts.items() if other != name for number in train)),
            )
            for name, numbers in parts.items()
        ],
    )


def folds_by_workload(bank: Bank, split: BankPart) -> Folds:
    """A fold for each workload, predicted by what was trained on the others.

    Raises:
        UsageError: there are less than two workloads.
    """
    labels, together = _part(bank, split)
    workloads = sorted({label.workload for label in labels})
    if len(workloads) < FEWEST:
        raise UsageError(
            f"{bank.info.name!r} has {format_count(len(workloads), 'workload')}: to leave one out takes two"
        )
    held_out = {label.trajectory for label in labels if label.heldout}
    folds = []
    for workload in workloads:
        test = {label.trajectory for label in labels if label.workload == workload}
        alike = {number for members in together if test.intersection(members) for number in members}
        train = {label.trajectory for label in labels} - test - alike - held_out
        if not train:
            raise UsageError(f"without the workload {workload!r} there is nothing to train on")
        folds.append(Fold(workload, tuple(sorted(test)), tuple(sorted(train))))
    return Folds("workload", 0, folds)


def _part(bank: Bank, split: BankPart) -> tuple[list[TrajectoryLabel], list[tuple[int, ...]]]:
    """The trajectories of a part, and which of all trajectories belong together."""
    wanted = None if split.trajectories is None else set(split.trajectories)
    labels = [label for label in bank.labels() if wanted is None or label.trajectory in wanted]
    return labels, merge_groups([*near_duplicates(bank.first_messages()), *bank.named_groups()])


def _units(labels: Sequence[TrajectoryLabel], together: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The trajectories that are not held out, those that belong together as one."""
    joined = {number: members for members in together for number in members}
    return [joined.get(label.trajectory, (label.trajectory,)) for label in labels if not label.heldout]
