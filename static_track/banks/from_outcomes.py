"""A bank of tasks from a table of outcomes and the tasks' texts: a row a task, labelled with a tier that solved it.

The rule, which every row and the bank's caveat say:

- The label is the lowest tier whose model solved the task; of several trials, at least half of them.
- A higher tier that did not solve it is no reason for another label: the row then has ``inverted``.
- A task that no tier solved has label ``high``, or is left out.
- A task is left out where a tier below its label, or any tier of one that none solved, has no known verdict, and where
  it has no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import ParsedBank, store_bank
from static_track.banks.rows import row_problems
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.outcomes.keeping import TableInfo
from twinbench.outcomes.table import Grid
from twinbench.reading.numbered import NumberedRow
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.storage.store import Store

RULE = "the lowest tier whose model solved the task"


class Hopeless(StrEnum):
    """What is done with tasks that no tier solved."""

    leave_out = "leave-out"
    high = "high"


@dataclass(frozen=True)
class LabelCounts:
    """How many tasks of a table became rows, and how many were left out or special."""

    rows: int
    inverted: int
    """Rows whose task a tier above the label did not solve."""
    hopeless: int
    """Tasks that no tier solved."""
    unknown: int
    """Tasks that were left out since a verdict that decides the label is not known."""
    without_text: int
    """Tasks that were left out since they have no text."""

    def to_json(self) -> dict[str, Any]:
        """The counts as a JSON object."""
        return asdict(self)


def bank_from_outcomes(
    grid: Grid,
    info: TableInfo,
    tiers: Mapping[str, str],
    texts: Mapping[str, str],
    name: str,
    store: Store,
    *,
    hopeless: Hopeless = Hopeless.leave_out,
    replace: bool = False,
    progress: Progress = no_progress,
) -> tuple[BankInfo, LabelCounts]:
    """Keep a bank of labelled tasks in the store.

    Args:
        grid: the outcomes of one workload, which is that of the bank.
        info: the table with these outcomes.
        tiers: the model of each tier; two or more.
        texts: what each task asks, by task.
        name: the bank's name.
        store: the store for the bank.
        hopeless: what is done with tasks that no tier solved.
        replace: take the place of a bank of that name.
        progress: called as the work proceeds.

    Raises:
        UsageError: less than two tiers, an unknown model, a name that is taken, or no task is left.
        ContentError: a text can be no message of a bank.
    """
    if not replace:
        store.refuse_existing(name)
    order = [tier for tier in TIER_LABELS if tier in tiers]
    if len(order) < max(2, len(tiers)):
        raise UsageError(f"name the models of at least two of the tiers {', '.join(TIER_LABELS)}")
    labels = _labels(grid.select_models([tiers[tier] for tier in order]), order, hopeless)
    texted = {task: label for task, label in labels.items() if label is None or task in texts}
    kept = {task: label for task, label in texted.items() if label is not None and label.tier is not None}
    counts = LabelCounts(
        rows=len(kept),
        inverted=sum(label.inverted for label in kept.values()),
        hopeless=sum(label is not None and label.hopeless for label in labels.values()),
        unknown=sum(label is None for label in labels.values()),
        without_text=len(labels) - len(texted),
    )
    if not kept:
        raise UsageError(
            f"no task of workload {grid.workload} has both a label and a text: of {format_count(len(labels), 'task')}, "
            f"{counts.hopeless:,} solved by no tier, {counts.unknown:,} without a known verdict, "
            f"{counts.without_text:,} without a text"
        )
    caveat = _caveat(info, tiers, counts, hopeless)
    parsed, problems = ParsedBank(), []
    for number, (task, label) in enumerate(kept.items(), 1):
        row = _row(grid.workload, task, texts[task], label, caveat)
        problems += [Problem(f"task {task}", None, field, what) for field, what in row_problems(row)]
        if not problems:
            parsed.add(NumberedRow(number, row))
    if problems:
        raise ContentError(problems, hint="Nothing was imported.")
    parsed.sort_rows()
    kept_bank = store_bank(
        parsed,
        name,
        store,
        source=f"outcomes {info.name}",
        source_sha256=info.sha256,
        replace=replace,
        progress=progress,
    )
    return kept_bank, counts


@dataclass(frozen=True)
class _Label:
    tier: str | None
    """None where the task is left out, since no tier solved it."""
    inverted: bool = False
    hopeless: bool = False


def _labels(grid: Grid, order: list[str], hopeless: Hopeless) -> dict[str, _Label | None]:
    """Return the label of each task, by task; None if the table has no verdict for it."""
    found: dict[str, _Label | None] = {}
    for task, column in zip(grid.tasks, grid.solved.T, strict=True):
        solves = np.flatnonzero(column >= 0.5)  # NaN is not
        if len(solves):
            lowest = int(solves[0])
            known = bool(np.isfinite(column[:lowest]).all())
            inverted = bool((column[lowest + 1 :] < 0.5).any())
            found[task] = _Label(order[lowest], inverted=inverted) if known else None
        elif np.isfinite(column).all():
            found[task] = _Label("high" if hopeless is Hopeless.high else None, hopeless=True)
        else:
            found[task] = None
    return found


def _caveat(info: TableInfo, tiers: Mapping[str, str], counts: LabelCounts, hopeless: Hopeless) -> str:
    models = ", ".join(f"{tier} {model}" for tier, model in tiers.items())
    treated = "labelled high" if hopeless is Hopeless.high else "left out"
    return (
        f"Labels apply to tasks, not to steps: {RULE}, by the table of outcomes {info.name} ({models}). "
        f"{format_count(counts.inverted, 'row')} of {counts.rows:,} inverted: a higher tier did not solve the task. "
        f"{format_count(counts.hopeless, 'task')} solved by no tier {treated}."
    )


def _row(workload: str, task: str, text: str, label: _Label, caveat: str) -> dict[str, Any]:
    tier = Tier.from_label(label.tier or "high")
    return {
        "id": f"{workload}/{task}/1",
        "benchmark": workload,
        "instance_id": task,
        "step_index": 1,
        "total_steps": 1,
        "messages": [{"role": "user", "content": text}],
        "target_tier": tier.label,
        "target_tier_id": int(tier),
        "caveat": caveat,
        "label_rule": RULE,
        "inverted": label.inverted,
        "hopeless": label.hopeless,
    }
