"""What commands print: tables in several formats, JSON, and progress.

Text that we did not write (names, prefixes, errors) is shown as text: no Rich markup, no HTML and no terminal escape
in it takes effect.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import typer

from twinbench.display.markup import ShownTable, latex_table, markdown_table
from twinbench.display.wording import printable as printable

_SHOW_PROGRESS_AFTER_S = 1.0
_FOLDED = 25
"""Characters that a text takes at most when it is asked whether a table fits: a longer one can be folded."""
_FOLDED_FOR_NUMBERS = 12
"""The same where nothing more can be left out: before a number is broken, texts are as narrow as that."""
_SQL_TYPES: dict[type, str] = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}


class Format(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"
    markdown = "markdown"
    latex = "latex"

    @property
    def for_people(self) -> bool:
        """Whether people read it: rounded numbers and notes, where programs get names and all digits."""
        return self in (Format.table, Format.markdown, Format.latex)


@dataclass(frozen=True)
class Column:
    """A column: the key of its values, how people see it, and how its numbers are written for them."""

    key: str
    title: str
    """Its lines are broken where the title has a line break."""
    decimals: int | None = None
    kind: type[bool | int | float | str] | None = None
    """The type of its values in Parquet, also where no row has one. None: a number with ``decimals`` is a float, and
    anything else is what the values are."""
    signed: bool = False
    """Whether people see the sign of a positive number too."""
    spare: int = 0
    """Where a terminal is too narrow for all columns, those with the highest number are left out first, and those with
    0 never."""
    around: tuple[str, str] | None = None
    """Keys of the ends of an interval that people see behind the number, with one decimal."""
    tiny: bool = False
    """Whether a positive number that would be shown as 0 is shown as less than the smallest that is not."""
    for_people: bool = True
    """Whether it is drawn."""
    for_programs: bool = True
    """Whether it is written in the other formats; a column of text that is made of others' values is for people."""
    mark: str | None = None
    """Key of a truth value: people see ``*`` behind the cell where it holds."""


@dataclass
class Table:
    """Rows for people and for programs; programs get all digits."""

    title: str
    columns: Sequence[Column]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: Sequence[str] = ()
    caveat: str | None = None
    """What must be said wherever the rows are shown: below them, and in formats for programs as a column of its own."""
    dimmed: str | None = None
    """Key of a truth value: rows in which it holds are drawn back."""
    left_out: str | None = None
    """Key of a truth value: rows in which it holds are for programs alone, and a note tells people of them."""


RANK_COLUMNS = (
    Column("rank", "Rank", for_programs=False),
    Column("rank_best", "Best rank", kind=int, for_people=False),
    Column("rank_worst", "Worst rank", kind=int, for_people=False),
)
"""A range of ranks, as ``rank_cells`` gives its cells."""


def rank_cells(rank: tuple[int, int] | None) -> dict[str, Any]:
    """The cells of ``RANK_COLUMNS``: one text for people, two numbers for programs."""
    from twinbench.statistics.comparing import rank_columns, rank_text

    return {"rank": None if rank is None else rank_text(rank), **rank_columns(rank)}


def print_json(content: Any, output: str = "-") -> None:
    """Write one JSON document, to a file or standard output."""
    write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", output)


def print_table(table: Table, form: Format = Format.table, output: str = "-") -> None:
    """Write a table in one of the formats, to a file or standard output."""
    if not form.for_people and table.caveat is not None:
        typer.echo(f"note: {printable(table.caveat)}", err=True)
        table = replace(
            table,
            columns=[*table.columns, Column("caveat", "Caveat", for_people=False)],
            rows=[{"caveat": table.caveat} | row for row in table.rows],
        )
    if form is Format.table:
        write_text(_drawn(table, output), output)
    elif form.for_people:
        write = markdown_table if form is Format.markdown else latex_table
        write_text(write(_shown(table)), output)
    elif form is Format.csv:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        keys = _keys(table)
        writer.writerow(keys)
        writer.writerows([_csv_cell(row.get(key)) for key in keys] for row in table.rows)
        write_text(buffer.getvalue(), output)
    elif form is Format.jsonl:
        keys = _keys(table)
        lines = [json.dumps({key: row.get(key) for key in keys}, ensure_ascii=False) for row in table.rows]
        write_text("".join(line + "\n" for line in lines), output)
    else:
        _write_bytes(_parquet(table), output)


def _csv_cell(value: Any) -> Any:
    """Truth values as JSON writes them: every reader of CSV knows these."""
    return str(value).lower() if isinstance(value, bool) else value


def _keys(table: Table) -> list[str]:
    """The columns that programs get."""
    return [column.key for column in table.columns if column.for_programs]


def _shown(table: Table, left_out: Sequence[Column] = ()) -> ShownTable:
    """What people see of a table, without some of its columns."""
    columns = [column for column in table.columns if column.for_people and column not in left_out]
    rows = [row for row in table.rows if table.left_out is None or not row.get(table.left_out)]
    return ShownTable(
        title=printable(table.title),
        heads=[column.title for column in columns],
        numbers=[
            column.around is not None or all(isinstance(row.get(column.key), int | float | None) for row in rows)
            for column in columns
        ],
        rows=[[_cell(row.get(column.key), column) + _around(row, column) for column in columns] for row in rows],
        dimmed=[bool(table.dimmed is not None and row.get(table.dimmed)) for row in rows],
        notes=[printable(note) for note in (*table.notes, *([] if table.caveat is None else [table.caveat]))],
    )


def _drawn(table: Table, output: str) -> str:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    to_terminal = output == "-" and sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=to_terminal or None,
        width=None if to_terminal else 200,
        highlight=False,
        soft_wrap=False,
    )
    shown = _fitting(table, console.width)
    drawn = RichTable(title=Text(shown.title), title_justify="left", header_style="bold")
    keep_whole = _width(shown, _FOLDED_FOR_NUMBERS) <= console.width
    for head, numbers in zip(shown.heads, shown.numbers, strict=True):
        justify: Literal["left", "right"] = "right" if numbers else "left"
        drawn.add_column(Text(head), justify=justify, overflow="fold", no_wrap=numbers and keep_whole)
    for cells, dim in zip(shown.rows, shown.dimmed, strict=True):
        drawn.add_row(*map(Text, cells), style="dim" if dim else None)
    console.print(drawn)
    for note in shown.notes:
        console.print(Text(note), soft_wrap=True)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def _fitting(table: Table, width: int) -> ShownTable:
    """What people see of a table in so many characters: what can be spared is left out until the rest fits."""
    spared: list[Column] = []
    more = [column for column in table.columns if column.for_people and column.spare]
    more.sort(key=lambda column: column.spare)
    shown = _shown(table)
    while more and _width(shown) > width:
        spared.append(more.pop())
        shown = _shown(table, spared)
    if spared:
        titles = "; ".join(column.title.replace("\n", " ") for column in table.columns if column in spared)
        shown = replace(shown, notes=[f"Not shown, for want of room in {width} characters: {titles}.", *shown.notes])
    return shown


def _width(shown: ShownTable, most: int = _FOLDED) -> int:
    """How many characters a table takes that breaks no cell but texts which are longer than ``most``."""
    from rich.cells import cell_len

    total = 1
    for number, head in enumerate(shown.heads):
        longest = max((cell_len(line) for row in shown.rows for line in row[number].split("\n")), default=0)
        if not shown.numbers[number]:
            longest = min(longest, most)
        total += 3 + max(longest, *(cell_len(line) for line in head.split("\n")))
    return total


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return "–"
    if column.tiny and isinstance(value, float) and 0 < value < (least := 10.0 ** -(column.decimals or 0)):
        return f"<{least:.{column.decimals}f}"
    if isinstance(value, float) and column.decimals is not None:
        sign = "+" if column.signed and round(value, column.decimals) > 0 else ""
        return f"{value:{sign},.{column.decimals}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return printable(value)


def _around(row: dict[str, Any], column: Column) -> str:
    if column.mark is not None and row.get(column.mark):
        return " *"
    low, high = (None, None) if column.around is None else map(row.get, column.around)
    return "" if low is None or high is None else f" [{low:,.1f}, {high:,.1f}]"


def _parquet(table: Table) -> bytes:
    import tempfile

    import duckdb

    from twinbench.storage.parquet_files import type_of, write_columns

    found = []
    for column in table.columns:
        if column.for_programs:
            values = [row.get(column.key) for row in table.rows]
            kind = column.kind or (None if column.decimals is None else float)
            found.append((column.key, type_of(values) if kind is None else _SQL_TYPES[kind], values))
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "table.parquet"
        write_columns(connection, path, found)
        return path.read_bytes()


def write_text(text: str, output: str) -> None:
    """Write text to a file, or to standard output where ``output`` is ``-``."""
    if output == "-":
        typer.echo(text, nl=False)
    else:
        _write_bytes(text.encode(), output)


def append_text(text: str, path: str) -> None:
    """Add text to the end of a file, which is made where it is not there.

    Raises:
        TwinbenchError: it cannot be written.
    """
    from twinbench.errors import TwinbenchError

    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise TwinbenchError(f"cannot write {path}: {error.strerror or error}") from None


def _write_bytes(content: bytes, output: str) -> None:
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from twinbench.storage.files import written

    with written(Path(output)) as path:
        path.write_bytes(content)


class _Progress:
    """Shows what is going on, once it has gone on for a second, on standard error."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown: Any = None
        self._stages: dict[str, Any] = {}
        self._said: set[str] = set()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        with suppress(OSError):  # a terminal that is gone is no reason for the work to fail
            self._show(what, done, total)

    def _show(self, what: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._started < _SHOW_PROGRESS_AFTER_S:
            return
        if not sys.stderr.isatty():
            if what not in self._said:
                self._said.add(what)
                typer.echo(f"{what} …", err=True)
            return
        if self._shown is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._shown = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=Console(stderr=True),
                transient=True,
            )
            self._shown.start()
        if what not in self._stages:
            self._stages[what] = self._shown.add_task(what, total=total)
        self._shown.update(self._stages[what], completed=done, total=total)

    def close(self) -> None:
        """Clear the line."""
        if self._shown is not None:
            with suppress(OSError):
                self._shown.stop()


@contextmanager
def progress() -> Iterator[_Progress]:
    """A callable ``(what, done, total)`` that shows anything that takes over a second."""
    shown = _Progress()
    try:
        yield shown
    finally:
        shown.close()
