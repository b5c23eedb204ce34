"""``twinbench bank check``: how well a bank's labels can be predicted without reading the conversation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from static_track.banks.bank import Bank
from static_track.banks.splits import WHOLE_BANK, BankPart
from static_track.leaks.lookup import Guesses, Labels, Lookup, largest_class, look_up
from static_track.leaks.traits import Trait, read_traits
from twinbench.checks import CheckResult, Status
from twinbench.display.frames import Tabular
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.executing.executor import Executor, collect_results
from twinbench.executing.processes import Processes, usable_cores
from twinbench.executing.threads import Threads
from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Clusters, Floats
from twinbench.statistics.comparing import sign_test
from twinbench.statistics.intervals import bca_intervals, exact_bound
from twinbench.statistics.paired import MIN_RELATIVE_WIDTH
from twinbench.statistics.sampling import bootstrap

FAIL_ABOVE = 5.0
"""Points of accuracy: a check fails if the lower end of its interval is above this."""

LEVEL = 0.98
"""Level of the intervals. With some twenty traits per bank, 0.95 would give too many false warnings; docs/banks.md has
measurements."""

RESAMPLES = 5_000

_SPREAD_FROM_ROWS = 2_000
"""From this many rows on, traits are examined in several processes; with fewer, starting them is not worth it."""

_GLANCE_ROWS = 300
_GLANCE_MESSAGES = 10_000

_FEW = 30
"""With no more differing groups than this, the bootstrap is overconfident, so an exact sign test is required too."""

_RESAMPLING = Resampling(RESAMPLES, LEVEL)


def row_groups(bank: Bank) -> dict[int, str]:
    """Return the group of each row (``Bank.groups``) by row number, named by the first of its trajectories."""
    names = bank.groups()
    first = {name: str(number) for number, name in reversed(list(enumerate(names)))}
    rows = bank.cursor().execute("SELECT row_no, trajectory FROM base").fetchall()
    return {row_no: first[names[trajectory]] for row_no, trajectory in rows}


@dataclass(frozen=True)
class LeakCheck(CheckResult):
    """How well one trait predicts the labels.

    ``subject`` is the best view of the trait, ``value`` its points of accuracy over the largest class; None if the
    trait is
    the same on every row.
    """

    interval: tuple[float, float] | None = None
    """The interval of the value."""
    within_workloads: float | None = None
    """Like ``value``, relative to the largest class of each workload; None in a bank with one workload."""
    accuracy: float | None = None
    """Percent of rows whose label it predicts correctly."""
    answers: Sequence[int] = field(default=(), repr=False)
    """The predicted tiers, in the order of the report's rows; empty if the trait is the same on every row."""

    def to_json(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return super().to_json() | {
            "interval": None if self.interval is None else list(self.interval),
            "within_workloads": self.within_workloads,
            "accuracy": self.accuracy,
        }


@dataclass(frozen=True, repr=False)
class LeakReport(Tabular):
    """The label leaks of a bank, trait by trait."""

    bank: str
    rows: int
    groups: int
    largest_class: float
    """Percent of rows whose label is the largest class."""
    workload: float | None
    """Points over the largest class from knowing each row's workload; None in a bank with one workload."""
    level: float
    """Level of the intervals."""
    checks: Sequence[LeakCheck]
    notes: Sequence[str] = ()
    """What a reader has to know of the figures."""
    caveat: str | None = None
    """The bank's caveat."""
    row_nos: Sequence[int] = field(default=(), repr=False)

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check.status is Status.failed for check in self.checks)

    @property
    def found(self) -> list[LeakCheck]:
        """The checks that did not pass, the largest lift first."""
        return sorted(
            (check for check in self.checks if check.status is not Status.passed), key=lambda check: -(check.value or 0)
        )

    number_columns: ClassVar = frozenset({"value", "low", "high", "within_workloads", "accuracy"})

    def records(self) -> list[dict[str, Any]]:
        """Return one row per check, with the ends of its interval in separate columns."""
        found = []
        for check in self.checks:
            low, high = check.interval or (None, None)
            found.append(check.to_json() | {"low": low, "high": high})
        return [{key: value for key, value in row.items() if key != "interval"} for row in found]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        content = {
            "bank": self.bank,
            "rows": self.rows,
            "groups": self.groups,
            "largest_class": self.largest_class,
            "workload": self.workload,
            "level": self.level,
            "ok": not self.failed,
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
        }
        return content | ({} if self.caveat is None else {"caveat": self.caveat})


def check_bank(bank: Bank, *, split: BankPart = WHOLE_BANK, progress: Progress = no_progress) -> LeakReport:
    """Check how well each feature besides the text predicts a bank's labels alone.

    Args:
        bank: an opened bank.
        split: only this part.
        progress: called as the check proceeds.

    Raises:
        UsageError: the bank has no labels, or a single group.
    """
    if not bank.info.labelled:
        raise UsageError(f"the bank {bank.info.name!r} has no labels that could leak")
    group_of = row_groups(bank)
    of_row = {
        row_no: (target, workload)
        for row_no, target, workload in bank.cursor()
        .execute("SELECT row_no, target, workload FROM base JOIN trajectory USING (trajectory)")
        .fetchall()
    }
    seen = read_traits(bank, split, progress)
    names = [group_of[row_no] for row_no in seen.row_nos]
    if len(set(names)) < 2:
        raise UsageError(
            f"{format_count(len(names), 'row')} of {bank.info.name!r} in "
            f"{format_count(len(set(names)), 'group')}: at least two "
            "groups are needed to check for leaks"
        )
    examination = Examination(
        seen.traits,
        [of_row[row_no][0] for row_no in seen.row_nos],
        names,
        [of_row[row_no][1] for row_no in seen.row_nos],
    )
    return LeakReport(
        bank=bank.info.name,
        rows=len(names),
        groups=len(set(names)),
        largest_class=examination.largest_class,
        workload=examination.workload,
        level=LEVEL,
        checks=examination.checks(progress),
        notes=examination.notes,
        caveat=bank.info.caveat,
        row_nos=seen.row_nos,
    )


def glance(bank: Bank, progress: Progress = no_progress) -> list[LeakCheck]:
    """Find significant leaks in a sample of a bank's trajectories that takes about a second, the largest lift first.

    Args:
        bank: an opened bank; without labels, or with too few groups, nothing is found.
        progress: called as the check proceeds.
    """
    if not bank.info.labelled:
        return []
    sizes = (
        bank.cursor()
        .execute("SELECT trajectory, count(*), sum(len(messages)), min(row_no) FROM step GROUP BY trajectory")
        .fetchall()
    )
    sizes.sort(key=lambda each: hashlib.sha256(f"{bank.info.sha256} {each[0]}".encode()).digest())
    chosen: list[int] = []
    first_rows: list[int] = []
    rows = messages = 0
    for trajectory, more_rows, more_messages, first in sizes:
        rows, messages = rows + more_rows, messages + more_messages
        if chosen and (rows > _GLANCE_ROWS or messages > _GLANCE_MESSAGES):
            break
        chosen.append(trajectory)
        first_rows.append(first)
    if not enough_groups(bank, first_rows):
        return []
    return check_bank(bank, split=BankPart(None, tuple(sorted(chosen))), progress=progress).found


def enough_groups(bank: Bank, row_nos: Collection[int]) -> bool:
    """Return whether some rows have enough groups for anything to be significant."""
    group_of = row_groups(bank)
    return len({group_of[row_no] for row_no in row_nos}) >= _RESAMPLING.fewest_clusters


class Examination:
    """Rows with their traits and labels, and how well each trait predicts the labels."""

    def __init__(
        self, traits: Sequence[Trait], targets: Sequence[int], groups: Sequence[str], workloads: Sequence[str]
    ) -> None:
        """Make an examination.

        Args:
            traits: the traits of all rows.
            targets: the tier id of each row.
            groups: the group of each row; at least two distinct ones.
            workloads: the workload of each row.
        """
        self._traits = traits
        self._labels = Labels.of(targets, groups)
        self._clusters = Clusters.from_names(groups)
        numbers = {name: number for number, name in enumerate(sorted(set(workloads)))}
        self._several = len(numbers) > 1
        self._workloads = np.array([numbers[name] for name in workloads], np.intp)
        self._one = np.zeros_like(self._workloads)
        self._base = largest_class(self._labels, self._one)
        self._known = largest_class(self._labels, self._workloads)

    @property
    def largest_class(self) -> float:
        """Percent of rows whose label is the largest class."""
        return self._accuracy(self._base)

    @property
    def workload(self) -> float | None:
        """Points over the largest class from knowing each row's workload; None if there is only one."""
        return self._accuracy(self._known) - self._accuracy(self._base) if self._several else None

    @property
    def notes(self) -> list[str]:
        """Notes on how to read the figures."""
        fewest, size = _RESAMPLING.fewest_clusters, len(self._clusters)
        found = [] if size >= fewest else [f"{format_count(size, 'group')} are too few: a check needs {fewest}."]
        if self._several:
            found.append(
                "A feature that identifies workloads predicts the differences between their labels; the points within "
                "workloads exclude that."
            )
        return found

    def checks(
        self, progress: Progress = no_progress, executor: Executor[Any, None, Any] | None = None
    ) -> list[LeakCheck]:
        """Check each trait.

        Args:
            progress: called after each trait.
            executor: runs the predictions, trait by trait; default: processes if there are enough rows.
        """
        strata = (self._one, self._workloads) if self._several else (self._one,)
        lookups = [
            Lookup(trait.name, trait.measures, trait.has_remainders, self._labels, strata) for trait in self._traits
        ]

        def done(number: int) -> None:
            progress("predicting labels", number, len(lookups))

        done(0)
        found = collect_results(executor or _executor(len(self._one)), lookups, look_up, on_progress=done)
        alone = [None if each is None else each[0] for each in found]
        within = [
            float(100 * self._gain(each[1], self._known).mean()) if each is not None and self._several else None
            for each in found
        ]
        progress("drawing groups again", 0, None)
        intervals = iter(self._intervals([each for each in alone if each is not None]))
        return [
            _constant(trait) if each is None else self._check(trait, each, next(intervals), points)
            for trait, each, points in zip(self._traits, alone, within, strict=True)
        ]

    def _accuracy(self, guessed: Guesses) -> float:
        return float(100 * (guessed.answers == self._labels.targets).mean())

    def _gain(self, guessed: Guesses, base: Guesses) -> Floats:
        """Return, of shape (rows,), 1 where only the first is right, -1 where only the second is."""
        right = self._labels.targets
        return np.asarray((guessed.answers == right).astype(np.float64) - (base.answers == right))

    def _intervals(self, guessed: Sequence[Guesses]) -> list[tuple[float, float] | None]:
        """Return the interval of each lift in points; None if there are too few groups."""
        if not guessed or len(self._clusters) < _RESAMPLING.fewest_clusters:
            return [None] * len(guessed)
        gains = [self._gain(each, self._base) for each in guessed]
        sums = self._clusters.sum_by_cluster(np.stack([np.ones(len(self._one)), *gains], axis=1))
        [drawn] = bootstrap(self._clusters, [sums], _lifts, _RESAMPLING)
        found: list[tuple[float, float] | None] = []
        for (low, high), column in zip(bca_intervals(drawn, LEVEL).tolist(), sums.T[1:], strict=True):
            differing = int(np.count_nonzero(column))
            if differing and high - low < MIN_RELATIVE_WIDTH:  # the same in every group
                reach = 100 * exact_bound(len(self._clusters), LEVEL)
                low, high = max(low - reach, -100.0), min(high + reach, 100.0)
            better = int(np.count_nonzero(column > 0))
            if 0 < differing <= _FEW and sign_test(better, differing - better) > 1 - LEVEL:
                low, high = min(low, 0.0), max(high, 0.0)
            found.append((low, high))
        return found

    def _check(
        self, trait: Trait, alone: Guesses, interval: tuple[float, float] | None, within: float | None
    ) -> LeakCheck:
        value = float(100 * self._gain(alone, self._base).mean())
        accuracy = self._accuracy(alone)
        low = 0.0 if interval is None else interval[0]
        status = Status.failed if low > FAIL_ABOVE else Status.warned if low > 0 else Status.passed
        if status != "pass":
            reason = f"predicts {accuracy:.1f} % of the labels, the largest class {self.largest_class:.1f} %"
        elif interval is None:
            reason = f"{format_count(len(self._clusters), 'group')} are too few to tell"
        elif value > 0:
            reason = "not significant"
        else:
            reason = "no better than the largest class"
        subject = alone.view or trait.name
        return LeakCheck(
            trait.name,
            subject,
            status,
            reason,
            value,
            interval=interval,
            within_workloads=within,
            accuracy=accuracy,
            answers=alone.answers.tolist(),
        )


def _executor(rows: int) -> Executor[Any, None, Any]:
    cores = usable_cores()
    return Processes(cores) if cores > 1 and rows >= _SPREAD_FROM_ROWS else Threads({None: 1})


def _constant(trait: Trait) -> LeakCheck:
    reason = "the same on every row" if any(map(_any, trait.measures.values())) else "no row has this"
    return LeakCheck(trait.name, trait.name, Status.passed, reason)


def _any(values: Sequence[object]) -> bool:
    return any(value is not None for value in values)


def _lifts(sums: Floats) -> Floats:
    """Return points of accuracy from sums over rows; the first column counts rows."""
    totals = sums.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * totals[..., 1:] / totals[..., :1])
