"""Tables with aligned columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from gridwrap.align import ALIGNMENTS, pad
from gridwrap.width import text_width
from gridwrap.wrap import NARROWEST, wrap

SEPARATOR = " | "
CROSSING = "-+-"


@dataclass(frozen=True)
class Column:
    """A column by its title; ``max_width`` is None for as wide as its widest cell."""

    title: str
    align: str = "left"
    max_width: int | None = None

    def __post_init__(self) -> None:
        if self.align not in ALIGNMENTS:
            raise ValueError(f"align is one of {', '.join(ALIGNMENTS)}, got {self.align!r}")
        if self.max_width is not None and self.max_width < NARROWEST:
            raise ValueError(f"a column is at least {NARROWEST} columns wide, got {self.max_width}")

    def lines(self, cell: str) -> list[str]:
        """The lines that a cell takes in this column."""
        return cell.split("\n") if self.max_width is None else wrap(cell, self.max_width)


class Table:
    """Rows of text under titles."""

    def __init__(self, columns: Sequence[Column]) -> None:
        if not columns:
            raise ValueError("a table has at least one column")
        self._columns = list(columns)
        self._rows: list[tuple[str, ...]] = []

    def add(self, *cells: object) -> None:
        """Adds a row.

        Raises:
            ValueError: the number of cells is not that of the columns.
        """
        if len(cells) != len(self._columns):
            raise ValueError(f"a row has {len(self._columns)} cells, got {len(cells)}")
        self._rows.append(tuple(map(str, cells)))

    def render(self) -> str:
        """The whole table, without a line end after the last row."""
        titles = tuple(column.title for column in self._columns)
        blocks = [self._block(cells) for cells in (titles, *self._rows)]
        widths = [
            max(text_width(line) for block in blocks for line in block[index]) for index in range(len(self._columns))
        ]
        header, *rows = [self._lines(block, widths) for block in blocks]
        rule = CROSSING.join("-" * width for width in widths)
        return "\n".join([*header, rule, *(line for row in rows for line in row)])

    def _block(self, cells: Sequence[str]) -> list[list[str]]:
        """Each cell as its lines."""
        return [column.lines(cell) for column, cell in zip(self._columns, cells, strict=True)]

    def _lines(self, block: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
        height = max(map(len, block))
        lines = []
        for number in range(height):
            texts = [cell[number] if number < len(cell) else "" for cell in block]
            padded = [
                pad(text, width, column.align)
                for text, width, column in zip(texts, widths, self._columns, strict=True)
            ]
            lines.append(SEPARATOR.join(padded))
        return lines
