"""Predict labels from one trait alone: a table from value to the most frequent label, cross-validated by group.

A trait has several views: its value, the range that the value is in, its remainder. Which view is used, and which label
each of its values predicts, is learnt from the other folds, so a view that fits by chance has no advantage on the test
rows.
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
"""How often groups are split into folds; a row's prediction combines all splits."""
FEWEST_ROWS = 3
FEWEST_GROUPS = 2
"""A value seen in fewer rows or groups predicts nothing: the largest class is used instead."""

_RANGES = (2, 4, 8, 16)
_MODULI = (2, 3, 4, 5, 8, 10)
_CLASSES = len(Tier)
_LEAST_VOTE = 1e-9
_ERRORS = 1.5


@dataclass(frozen=True)
class View:
    """One way to partition rows by a trait."""

    name: str
    codes: Ints
    """Shape (rows,): numbers from 0, equal for rows that this view does not distinguish."""


@dataclass(frozen=True)
class Labels:
    """The labels of a bank's rows, split into folds."""

    targets: Ints
    """Shape (rows,): tier ids."""
    groups: Ints
    """Shape (rows,): group numbers from 0; rows of one group are in one fold."""
    folds: Ints
    """Shape (deals, rows): fold numbers from 0, distinct between deals."""

    @classmethod
    def of(cls, targets: Sequence[int], groups: Sequence[str]) -> Labels:
        """Split labels into folds by group, so that each fold has about the same share of each label.

        A group's fold depends on its name alone. With equal shares, the largest class of the training folds is nearly
        always that of the test fold.
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
        """Sum values of shape (..., rows) by group."""
        return np.add.reduceat(values[..., self._order], self._starts, axis=-1)

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.groups, kind="stable")

    @cached_property
    def _starts(self) -> Ints:
        return np.searchsorted(self.groups[self._order], np.arange(int(self.groups.max()) + 1))


@dataclass(frozen=True)
class Guesses:
    """Predictions of a table for rows that it was not made from."""

    answers: Ints
    """Shape (rows,): tier ids."""
    view: str | None
    """The view that most folds used; None if none did better than the largest class."""


def views(measures: Mapping[str, Sequence[Value]], *, remainders: bool = True) -> list[View]:
    """Return the ways to partition rows by some measures; none if they are the same on every row.

    Args:
        measures: one value per row each; None if there is none.
        remainders: whether integers are partitioned by their remainders too.
    """
    found: dict[bytes, View] = {}
    for name, values in measures.items():
        for view in _views(name, values, remainders):
            if view.codes.any():  # numbered by first appearance: all 0 if nothing differs
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
    """Number equal values equally, in the order of their first appearance."""
    numbers: dict[object, int] = {}
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    keys = (None if value != value else value for value in listed)  # NaN is not itself
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def largest_class(labels: Labels, strata: Ints) -> Guesses:
    """Predict the most frequent label of each stratum for all its rows.

    It is taken from all rows, not from the other folds: if two labels are about equally frequent, the more frequent one
    of the other folds is often the less frequent one of the test fold, and every trait would seem better than that.
    """
    counts = np.zeros((int(strata.max()) + 1, _CLASSES), np.intp)
    np.add.at(counts, (strata, labels.targets), 1)
    return Guesses(np.asarray(counts.argmax(axis=1)[strata], np.intp), None)


def guesses(found: Sequence[View], labels: Labels, strata: Ints) -> Guesses:
    """Predict labels by the best of some views.

    Args:
        found: the views of one trait.
        labels: the labels of all rows.
        strata: shape (rows,), numbers from 0: a table is made for each (all 0: one table for all rows).

    Returns:
        For each row the prediction learnt from the other folds: by the views that are significantly best there when
        each group in turn is left out, or the largest class if none is significantly better.
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
    """A job that predicts labels by a trait, for a separate process."""

    trait: str
    measures: Mapping[str, Sequence[Value]] = field(repr=False)
    remainders: bool
    labels: Labels = field(repr=False)
    strata: Sequence[Ints] = field(repr=False)
    """Shape (rows,) each: tables are made for each of these."""


def look_up(lookup: Lookup, _place: None) -> tuple[Guesses, ...] | None:
    """Return the predictions with each strata; None if the trait is the same on every row."""
    found = views(lookup.measures, remainders=lookup.remainders)
    return tuple(guesses(found, lookup.labels, strata) for strata in lookup.strata) if found else None


def _sure_part(gains: Ints) -> Floats:
    """Return sums of gains minus 1.5 standard errors, since some of many views look good by chance.

    Args:
        gains: shape (folds, groups).
    """
    groups = gains.shape[1]
    return np.asarray(gains.sum(axis=1) - _ERRORS * gains.std(axis=1) * groups**0.5)


class _Table:
    """Counts of labels by a view's values, leaving out each fold in turn."""

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
        """Return, of shape (deals, rows, tiers), the label shares of each row's value in the other folds; 0 if there
        are too few rows.
        """
        fold, cell = self._labels.folds, self._cells
        counts = self._counts[fold, cell]
        rows = counts.sum(axis=-1)
        seen = (rows >= FEWEST_ROWS) & (self._groups[fold, cell] >= FEWEST_GROUPS)
        return np.asarray(counts * (seen / np.maximum(rows, 1))[..., None])

    def right_without_own_group(self) -> Truths:
        """Return, of shape (folds, rows), whether the training folds without a row's own group predict it correctly."""
        counts = self._counts[:, self._cells] - self._own
        groups = self._groups[:, self._cells] - 1
        return np.asarray(self._most(counts, groups, self._default) == self._labels.targets)

    @staticmethod
    def _most(counts: Ints, groups: Ints, default: Ints) -> Ints:
        """Return the most frequent label; ``default`` in a tie with it, or if too little was seen."""
        seen = (counts.sum(axis=-1) >= FEWEST_ROWS) & (groups >= FEWEST_GROUPS)
        most, answer = counts[..., np.arange(len(default)), default], default
        for tier in range(_CLASSES):
            more = counts[..., tier] > most
            most, answer = np.where(more, counts[..., tier], most), np.where(more, tier, answer)
        return np.asarray(np.where(seen, answer, default), np.intp)
