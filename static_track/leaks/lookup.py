"""Labels predicted by one trait alone: a table from value to the most frequent label, cross-validated by group.

A trait is seen in several views: the value itself, the range it is in, its remainder. Which view is used, and what each
of its values stands for, is learnt from the other folds, so a view that fits by chance has no advantage on the rows
that it is judged on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from twinbench.routing.tiers import Tier

Value = int | float | str | None
Ints = NDArray[np.intp]
Truths = NDArray[np.bool_]
Floats = NDArray[np.float64]

FOLDS = 10
DEALS = 3
"""How often groups are dealt into folds; a row's answer is what all deals say together."""
FEWEST_ROWS = 3
FEWEST_GROUPS = 2
"""A value seen in fewer rows or groups than that stands for nothing: the largest class is answered."""

_RANGES = (2, 4, 8, 16)
_MODULI = (2, 3, 4, 5, 8, 10)
_CLASSES = len(Tier)
_LEAST_VOTE = 1e-9
_ERRORS = 1.5


@dataclass(frozen=True)
class View:
    """One way to sort rows by a trait."""

    name: str
    codes: Ints
    """Shape (rows,): numbers from 0, equal for rows that this view cannot tell apart."""


@dataclass(frozen=True)
class Labels:
    """The labels of a bank's rows, dealt into folds."""

    targets: Ints
    """Shape (rows,): tier ids."""
    groups: Ints
    """Shape (rows,): numbers from 0; rows of one group stand in one fold."""
    folds: Ints
    """Shape (deals, rows): numbers from 0, no fold in two deals."""

    @classmethod
    def of(cls, targets: Sequence[int], groups: Sequence[str]) -> Labels:
        """Labels dealt into folds by group, so that each fold has about the same share of each label.

        Which group goes where follows from its name alone. With equal shares, the largest class is hardly ever another
        one in the folds that are learnt from than in the one that is judged.
        """
        names = {name: number for number, name in enumerate(sorted(set(groups)))}
        numbers = np.array([names[name] for name in groups], np.intp)
        tiers = np.array(targets, np.intp)
        counts = np.zeros((len(names), _CLASSES), np.intp)
        np.add.at(counts, (numbers, tiers), 1)
        most = counts.argmax(axis=1)
        folds = min(FOLDS, len(names))
        dealt = np.empty((DEALS, len(names)), np.intp)
        for deal in range(DEALS):
            digests = {name: hashlib.sha256(f"{deal} {name}".encode()).digest() for name in names}
            by_label = sorted(names, key=lambda name: (most[names[name]], digests[name]))
            dealt[deal, [names[name] for name in by_label]] = np.arange(len(names)) % folds + deal * folds
        return cls(tiers, numbers, dealt[:, numbers])

    def by_group(self, values: Ints) -> Ints:
        """Sums by group of values of shape (..., rows)."""
        return np.add.reduceat(values[..., self._order], self._starts, axis=-1)

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.groups, kind="stable")

    @cached_property
    def _starts(self) -> Ints:
        return np.searchsorted(self.groups[self._order], np.arange(int(self.groups.max()) + 1))


@dataclass(frozen=True)
class Guesses:
    """What a table answered for rows that it was not made from."""

    answers: Ints
    """Shape (rows,): tier ids."""
    view: str | None
    """The view that most folds used; None where none did better than the largest class."""


def views(measures: Mapping[str, Sequence[Value]], *, remainders: bool = True) -> list[View]:
    """The ways to sort rows by some measures; none where they are the same on every row.

    Args:
        measures: one value a row each; None where there is none.
        remainders: whether whole numbers are sorted by their remainders too.
    """
    found: dict[bytes, View] = {}
    for name, values in measures.items():
        for view in _views(name, values, remainders):
            if view.codes.any():  # numbered by first appearance: all 0 where nothing differs
                found.setdefault(view.codes.tobytes(), view)
    return list(found.values())


def _views(name: str, values: Sequence[Value], remainders: bool) -> list[View]:
    present = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in present):
        return [View(name, _numbered(values))]
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    distinct = np.unique(numbers[~np.isnan(numbers)])
    found = [View(name, _numbered(numbers))] if 2 * len(distinct) <= len(values) else []
    for count in _RANGES:
        if len(distinct) > count:
            edges = np.unique(np.quantile(numbers[~np.isnan(numbers)], np.arange(1, count) / count))
            ranges = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
            found.append(View(f"{name}, in {count} ranges", _numbered(ranges)))
    if remainders and len(distinct) > 2 and all(isinstance(value, int) for value in present):
        for modulus in _MODULI:
            left = [None if value is None else int(value) % modulus for value in values]
            found.append(View(f"{name}, remainder by {modulus}", _numbered(left)))
    return found


def _numbered(values: Sequence[object] | NDArray[np.generic]) -> Ints:
    """Equal values by equal numbers, in the order of their first appearance."""
    numbers: dict[object, int] = {}
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    keys = (None if value != value else value for value in listed)  # NaN is not itself
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def largest_class(labels: Labels, strata: Ints) -> Guesses:
    """The most frequent label of each stratum, for all its rows.

    Of all rows, not of the other folds alone: where two labels are about equally frequent, the larger one of the other
    folds is often the smaller one of the fold that is judged, and everything would seem better than that.
    """
    counts = np.zeros((int(strata.max()) + 1, _CLASSES), np.intp)
    np.add.at(counts, (strata, labels.targets), 1)
    return Guesses(np.asarray(counts.argmax(axis=1)[strata], np.intp), None)


def guesses(found: Sequence[View], labels: Labels, strata: Ints) -> Guesses:
    """Labels predicted by the best of some views.

    Args:
        found: of one trait.
        labels: of all rows.
        strata: shape (rows,), numbers from 0: a table is made for each (all 0: one table for all rows).

    Returns:
        For each row what was learnt from the other folds: the view that surely does best there when each group in turn
        is left out, or the largest class where none surely does better.
    """
    default = largest_class(labels, strata).answers
    right_anyhow = default == labels.targets
    folds = int(labels.folds.max()) + 1
    learnt_from = (labels.folds[:, None] != np.arange(folds).reshape(DEALS, -1, 1)).reshape(folds, -1)
    votes = np.zeros((len(default), _CLASSES))
    votes[np.arange(len(default)), default] = _LEAST_VOTE
    most, best = None, 0.0
    for view in found:
        table = _Table(view, labels, strata, default)
        gains = (table.right_without_own_group().astype(np.intp) - right_anyhow) * learnt_from
        weights = np.maximum(_sure_part(labels.by_group(gains)), 0)
        if weights.any():
            votes += (weights[labels.folds, None] * table.shares()).sum(axis=0)
            if weights.sum() > best:
                most, best = view.name, float(weights.sum())
    return Guesses(np.asarray(votes.argmax(axis=1), np.intp), most)


@dataclass(frozen=True)
class Lookup:
    """Labels to be predicted by a trait: a job for a process of its own, which needs numpy and little else."""

    trait: str
    measures: Mapping[str, Sequence[Value]] = field(repr=False)
    remainders: bool
    labels: Labels = field(repr=False)
    strata: Sequence[Ints] = field(repr=False)
    """Shape (rows,) each: once for each, tables are made."""


def look_up(lookup: Lookup, _place: None) -> tuple[Guesses, ...] | None:
    """What is predicted with each strata; None where the trait is the same on every row."""
    found = views(lookup.measures, remainders=lookup.remainders)
    return tuple(guesses(found, lookup.labels, strata) for strata in lookup.strata) if found else None


def _sure_part(gains: Ints) -> Floats:
    """Sums of gains less 1.5 standard errors: of many views some seem good by chance, more so where groups are few.

    Args:
        gains: shape (folds, groups).
    """
    groups = gains.shape[1]
    return np.asarray(gains.sum(axis=1) - _ERRORS * gains.std(axis=1) * groups**0.5)


class _Table:
    """Labels counted by a view's values, without each fold in turn."""

    def __init__(self, view: View, labels: Labels, strata: Ints, default: Ints) -> None:
        self._labels = labels
        self._default = default
        folds = int(labels.folds.max()) + 1
        _, cells = np.unique(strata * (view.codes.max() + 1) + view.codes, return_inverse=True)
        self._cells = cells.astype(np.intp)
        size = int(self._cells.max()) + 1
        counts = np.zeros((folds, size, _CLASSES), np.intp)
        for dealt in labels.folds:
            np.add.at(counts, (dealt, self._cells, labels.targets), 1)
        self._counts = counts.sum(axis=0) // DEALS - counts
        pairs, first, self._pair = np.unique(
            self._cells * (labels.groups.max() + 1) + labels.groups, return_index=True, return_inverse=True
        )
        groups = np.zeros((folds, size), np.intp)
        for dealt in labels.folds:
            np.add.at(groups, (dealt[first], self._cells[first]), 1)
        self._groups = groups.sum(axis=0) // DEALS - groups
        own = np.zeros((len(pairs), _CLASSES), np.intp)
        np.add.at(own, (self._pair, labels.targets), 1)
        self._own = own[self._pair]

    def shares(self) -> Floats:
        """Shape (deals, rows, tiers): the labels of a row's value in the folds that it is not in, 0 where too few."""
        fold, cell = self._labels.folds, self._cells
        counts = self._counts[fold, cell]
        rows = counts.sum(axis=-1)
        seen = (rows >= FEWEST_ROWS) & (self._groups[fold, cell] >= FEWEST_GROUPS)
        return np.asarray(counts * (seen / np.maximum(rows, 1))[..., None])

    def right_without_own_group(self) -> Truths:
        """Shape (folds, rows): whether a row is answered right by the other groups of the folds learnt from."""
        counts = self._counts[:, self._cells] - self._own
        groups = self._groups[:, self._cells] - 1
        return np.asarray(self._most(counts, groups, self._default) == self._labels.targets)

    @staticmethod
    def _most(counts: Ints, groups: Ints, default: Ints) -> Ints:
        """The most frequent label, ``default`` in a tie with it and where too little was seen."""
        seen = (counts.sum(axis=-1) >= FEWEST_ROWS) & (groups >= FEWEST_GROUPS)
        most, answer = counts[..., np.arange(len(default)), default], default
        for tier in range(_CLASSES):
            more = counts[..., tier] > most
            most, answer = np.where(more, counts[..., tier], most), np.where(more, tier, answer)
        return np.asarray(np.where(seen, answer, default), np.intp)
