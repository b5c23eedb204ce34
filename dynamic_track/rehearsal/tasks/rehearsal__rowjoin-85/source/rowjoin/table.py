"""Rows under named columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rowjoin.kinds import Kind, Value


@dataclass(frozen=True)
class Table:
    """Columns with their kinds in order, and rows of as many values."""

    columns: Mapping[str, Kind]
    rows: Sequence[tuple[Value, ...]]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """The rows as values by column."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def position(self, column: str) -> int:
        """Where a column stands.

        Raises:
            KeyError: there is no such column.
        """
        names = list(self.columns)
        if column not in names:
            raise KeyError(f"no column {column!r} among {', '.join(names)}")
        return names.index(column)

    def values(self, column: str) -> list[Value]:
        """The values of a column from top to bottom."""
        position = self.position(column)
        return [row[position] for row in self.rows]

    def select(self, *columns: str) -> "Table":
        """The same rows with only these columns, in this order."""
        positions = [self.position(column) for column in columns]
        kinds = {column: self.columns[column] for column in columns}
        return Table(kinds, [tuple(row[position] for position in positions) for row in self.rows])
