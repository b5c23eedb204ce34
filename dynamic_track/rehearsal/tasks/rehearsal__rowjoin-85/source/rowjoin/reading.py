"""Tables from CSV text."""

import csv
from collections.abc import Mapping

from rowjoin.kinds import Kind, fits, kind_of, value_of
from rowjoin.table import Table


class TableError(ValueError):
    """A text that is no table; the message names the line."""


def read_csv(text: str, kinds: Mapping[str, Kind] | None = None) -> Table:
    """The table in a text whose first line names the columns.

    Args:
        text: the whole text.
        kinds: the kinds of some columns; those of the others are found from their cells.

    Raises:
        TableError: there is no header, a column twice, a row of another length, or a cell that is not of its kind.
    """
    header, *rows = list(csv.reader(text.splitlines())) or [[]]
    if not header:
        raise TableError("line 1: there are no columns")
    if len(set(header)) < len(header):
        raise TableError("line 1: a column is named twice")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise TableError(f"line {number}: {len(row)} cells for {len(header)} columns")
    given = kinds or {}
    columns: dict[str, Kind] = {}
    for position, name in enumerate(header):
        cells = [row[position] for row in rows]
        columns[name] = given.get(name) or kind_of(cells)
        for number, cell in enumerate(cells, start=2):
            if cell and not fits(cell, columns[name]):
                raise TableError(f"line {number}: {cell!r} is not of kind {columns[name].value}")
    found = list(columns.values())
    return Table(columns, [tuple(map(value_of, row, found)) for row in rows])
