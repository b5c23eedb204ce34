"""Collect outcomes from rows, validate them, and sort them into the canonical order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinbench.errors import Problem
from twinbench.outcomes.columns import UNKNOWN_VERDICT, VERDICTS, parse_cost, parse_steps, parse_verdict
from twinbench.outcomes.table import DEFAULT_WORKLOAD, Outcomes
from twinbench.reading.rows import MAX_PROBLEMS
from twinbench.reading.validation import format_value
from twinbench.statistics.clusters import Ints

_MAX_NAME_CHARACTERS = 500


def read_name(value: Any) -> str:
    """A name without the spaces around it; whole numbers are names too, as a file may write them without quotes.

    Raises:
        ValueError: it is none.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    text = text.strip() if isinstance(text, str) else ""
    if not text or len(text) > _MAX_NAME_CHARACTERS or not text.isprintable():
        raise ValueError(f"must be a name of up to {_MAX_NAME_CHARACTERS} characters (found {format_value(value)})")
    return text


@dataclass
class _NameTable:
    """Numbers names in the order of their first occurrence."""

    numbers: dict[str, int] = field(default_factory=dict)

    def number_of(self, name: Any) -> int:
        """Return the number of a name; integers are accepted as names, since files may write them without quotes.

        Raises:
            ValueError: it is not a valid name.
        """
        try:
            return self.numbers[name]
        except (KeyError, TypeError):
            pass
        text = read_name(name)
        return self.numbers.setdefault(text, len(self.numbers))

    def sorted_names(self) -> tuple[list[str], Ints]:
        """Return the sorted names, and for each number the index of its name among them."""
        names = list(self.numbers)
        order = sorted(range(len(names)), key=names.__getitem__)
        places = np.empty(len(names), np.intp)
        places[order] = np.arange(len(names))
        return [names[number] for number in order], places


_BATCH_ROWS = 8192
"""Number of rows that are converted at once, column by column, which is three times as fast as row by row."""

_ReadValue = Callable[[Any], Any]


class _Source:
    """Collects the rows of one source and converts them into arrays."""

    def __init__(
        self, into: OutcomeCollector, name: str, unit: str, columns: Mapping[str, str], constants: Mapping[str, str]
    ) -> None:
        self.name, self.unit = name, unit
        self._into = into
        self._rows: list[tuple[int, dict[str, Any]]] = []
        self._place = len(into.sources)
        into.sources.append(self)
        self._columns = columns
        self._fixed = {key: into.names[key].number_of(value) for key, value in constants.items() if key not in columns}

    def add(self, number: int, row: Any) -> None:
        if isinstance(row, dict):
            self._rows.append((number, row))
            if len(self._rows) >= _BATCH_ROWS:
                self.flush()
        else:
            self._into.problems.append(Problem(self.name, number, None, "a row must be a JSON object", self.unit))

    def flush(self) -> None:
        """Convert the buffered rows."""
        rows, self._rows = self._rows, []
        codes = np.empty((len(rows), 7), np.int64)
        for column, key in enumerate(("workload", "model", "task", "trial")):
            known = self._into.names[key]
            codes[:, column] = self._read_column(rows, key, known.numbers, known.number_of, -1)
        codes[:, 4] = self._read_column(rows, "resolved", VERDICTS, parse_verdict, UNKNOWN_VERDICT)
        codes[:, 5] = self._place
        codes[:, 6] = [number for number, _ in rows]
        values = np.empty((len(rows), 2))
        for column, (key, read) in enumerate((("cost_usd", parse_cost), ("steps", parse_steps))):
            values[:, column] = self._read_column(rows, key, {}, read, math.nan)
        self._into.parts.append((codes, values))

    def _read_column(
        self,
        rows: Sequence[tuple[int, dict[str, Any]]],
        field: str,
        known: Mapping[Any, Any],
        read: _ReadValue,
        none: Any,
    ) -> list[Any]:
        key = self._columns.get(field)
        if key is None:
            return [self._fixed.get(field, none)] * len(rows)
        try:
            if known:
                return [known[row.get(key)] for _, row in rows]
        except (KeyError, TypeError):
            pass
        found = []
        for number, row in rows:
            try:
                found.append(read(row.get(key)))
            except ValueError as error:
                found.append(none)
                self._into.problems.append(Problem(self.name, number, key, str(error), self.unit))
        return found


@dataclass
class OutcomeCollector:
    """Outcomes collected so far, and the problems of invalid rows."""

    problems: list[Problem] = field(default_factory=list)
    names: dict[str, _NameTable] = field(
        default_factory=lambda: {key: _NameTable() for key in ("workload", "model", "task", "trial")}
    )
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    """Pairs of arrays with one row per outcome. Columns of the first: numbers of workload, model, task and trial (-1 if
    the file has no trials), verdict, number of the source, number of the row. Columns of the second: cost in USD,
    steps."""
    sources: list[_Source] = field(default_factory=list)

    @property
    def has_too_many_problems(self) -> bool:
        """Whether there are so many problems that reading should stop."""
        return len(self.problems) > MAX_PROBLEMS

    def __len__(self) -> int:
        return sum(len(codes) for codes, _ in self.parts)

    @contextmanager
    def add_source(
        self, name: str, unit: str, columns: Mapping[str, str], constants: Mapping[str, str]
    ) -> Iterator[Callable[[int, Any], None]]:
        """Collect the rows of one source; all of them are converted when the block ends.

        Args:
            name: the source's name in problems.
            unit: what the row numbers count: ``line``, ``row`` or ``task``.
            columns: by field, the key in a row that has its value.
            constants: by field, the value for all rows if the rows have no key for the field.

        Yields:
            A function that is called with the number of each row and the row.
        """
        source = _Source(self, name, unit, columns, {"workload": DEFAULT_WORKLOAD, **constants})
        yield source.add
        source.flush()

    def to_outcomes(self) -> Outcomes | None:
        """Return all outcomes in canonical order; None if two of them are for the same trial, which adds problems."""
        codes = np.concatenate([part for part, _ in self.parts])
        values = np.concatenate([part for _, part in self.parts])
        lists = []
        places = []
        for column, names in enumerate(self.names[key] for key in ("workload", "model", "task")):
            # Names that occur in no valid row, such as the default workload, are left out.
            used = np.unique(codes[:, column])
            ordered, place = names.sorted_names()
            ranks = np.full(len(ordered), -1, np.intp)
            kept = np.sort(place[used])
            ranks[kept] = np.arange(len(kept))
            lists.append([ordered[number] for number in kept.tolist()])
            places.append(ranks[place[codes[:, column]]])
        trial = self._trial_numbers(codes[:, 3])
        order = np.lexsort((trial, places[2], places[1], places[0]))
        sorted_codes = [each[order] for each in places]
        trial = trial[order]
        same = np.flatnonzero(
            np.all([np.diff(each) == 0 for each in (*sorted_codes, trial)], axis=0) if len(order) > 1 else []
        )
        if len(same):
            self._report_duplicates(codes, order, same)
            return None
        values = values[order]
        workloads, models, tasks = lists
        workload, model, task = sorted_codes
        return Outcomes(
            workloads,
            models,
            tasks,
            workload,
            model,
            task,
            trial,
            codes[order, 4].astype(np.int8),
            values[:, 0].copy(),
            values[:, 1].copy(),
        )

    def _trial_numbers(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return trial numbers: the file's own if its trials are integers, else by the order of the trials' names."""
        names, places = self.names["trial"].sorted_names()
        if not names:
            return np.zeros(len(codes), np.int64)
        if all(name.isdecimal() and len(name) < 18 for name in names):
            numbers = np.array([int(name) for name in names], np.int64)
        else:
            numbers = np.arange(len(names), dtype=np.int64)
        return np.where(codes < 0, 0, numbers[places[np.maximum(codes, 0)]])

    def _report_duplicates(self, codes: NDArray[np.int64], order: Ints, same: Ints) -> None:
        tasks, models = list(self.names["task"].numbers), list(self.names["model"].numbers)
        for place in same[:MAX_PROBLEMS].tolist():
            earlier, later = codes[order[place]], codes[order[place + 1]]
            source, first = self.sources[int(later[5])], self.sources[int(earlier[5])]
            at = f"{first.unit} {int(earlier[6])}" + ("" if first is source else f" of {first.name}")
            what = (
                f"{models[int(later[1])]} on {tasks[int(later[2])]} is already at {at}: "
                "if a model tried a task several times, a column must contain the trial (--column trial=NAME)"
            )
            self.problems.append(Problem(source.name, int(later[6]), None, what, source.unit))
