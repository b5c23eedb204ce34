"""Output of commands: tables in several formats, JSON, and progress.

Text from outside (names, prefixes, errors) is always shown literally: Rich markup, HTML and terminal escapes in it have
no effect.
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

from twinbench.display.markup import TextTable, latex_table, markdown_table
from twinbench.display.wording import format_small
from twinbench.display.wording import make_printable as make_printable

_SHOW_PROGRESS_AFTER_S = 1.0
_FOLDED = 25
"""Width of a text column when testing whether a table fits: longer texts can be folded."""
_FOLDED_FOR_NUMBERS = 12
"""Smallest width of text columns when no more columns can be dropped, so that numbers are not broken."""
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
        """Whether the format is for people (rounded numbers and notes) rather than programs (column keys and all
        digits).
        """
        return self in (Format.table, Format.markdown, Format.latex)


@dataclass(frozen=True)
class Column:
    """A table column: the key of its values, its title, and how its numbers are formatted for people."""

    key: str
    title: str
    """The title for people; may contain line breaks."""
    decimals: int | None = None
    kind: type[bool | int | float | str] | None = None
    """The type of the values in Parquet, even if all are missing. None: float if ``decimals`` is set, else inferred."""
    signed: bool = False
    """Whether people see a plus sign before positive numbers."""
    drop_order: int = 0
    """If a terminal is too narrow, columns with the highest number are dropped first, and those with 0 never."""
    interval_keys: tuple[str, str] | None = None
    """Keys of the ends of an interval that people see after the number, with one decimal."""
    tiny: bool = False
    """Whether a positive number that would be rounded to 0 is shown as, for example, <0.01."""
    for_people: bool = True
    """Whether the column is part of formats for people."""
    for_programs: bool = True
    """Whether the column is part of formats for programs; a text made of other columns' values is not."""
    mark: str | None = None
    """Key of a boolean: if it is true, people see ``*`` after the cell."""


@dataclass
class Table:
    """Rows for people and for programs; programs get all digits."""

    title: str
    columns: Sequence[Column]
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: Sequence[str] = ()
    caveat: str | None = None
    """A warning that must accompany the rows: as a note for people, as an extra column for programs."""
    dimmed_if: str | None = None
    """Key of a boolean: rows in which it is true are shown dimmed."""
    hidden_if: str | None = None
    """Key of a boolean: rows in which it is true are for programs only; a note tells people about them."""


RANK_COLUMNS = (
    Column("rank", "Rank", for_programs=False),
    Column("rank_best", "Best rank", kind=int, for_people=False),
    Column("rank_worst", "Worst rank", kind=int, for_people=False),
)
"""Columns of a range of ranks, filled by ``rank_cells``."""


def rank_cells(rank: tuple[int, int] | None) -> dict[str, Any]:
    """Return the cells of ``RANK_COLUMNS``: one text for people, two numbers for programs."""
    from twinbench.statistics.comparing import rank_columns, rank_text

    return {"rank": None if rank is None else rank_text(rank), **rank_columns(rank)}


def print_json(content: Any, output: str = "-") -> None:
    """Write a JSON document to a file or standard output."""
    write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", output)


def print_table(table: Table, form: Format = Format.table, output: str = "-") -> None:
    """Write a table in one of the formats to a file or standard output."""
    if not form.for_people and table.caveat is not None:
        typer.echo(f"note: {make_printable(table.caveat)}", err=True)
        table = replace(
            table,
            columns=[*table.columns, Column("caveat", "Caveat", for_people=False)],
            rows=[{"caveat": table.caveat} | row for row in table.rows],
        )
    if form is Format.table:
        write_text(_draw(table, output), output)
    elif form.for_people:
        write = markdown_table if form is Format.markdown else latex_table
        write_text(write(_people_view(table)), output)
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
    """Convert booleans to JSON's spelling, which every CSV reader knows."""
    return str(value).lower() if isinstance(value, bool) else value


def _keys(table: Table) -> list[str]:
    """Return the keys of the columns for programs."""
    return [column.key for column in table.columns if column.for_programs]


def _people_view(table: Table, left_out: Sequence[Column] = ()) -> TextTable:
    """Return a table as people see it, without the columns in ``left_out``."""
    columns = [column for column in table.columns if column.for_people and column not in left_out]
    rows = [row for row in table.rows if table.hidden_if is None or not row.get(table.hidden_if)]
    return TextTable(
        title=make_printable(table.title),
        headers=[column.title for column in columns],
        is_numeric=[
            column.interval_keys is not None or all(isinstance(row.get(column.key), int | float | None) for row in rows)
            for column in columns
        ],
        rows=[[_cell(row.get(column.key), column) + _interval_text(row, column) for column in columns] for row in rows],
        is_dimmed=[bool(table.dimmed_if is not None and row.get(table.dimmed_if)) for row in rows],
        notes=[make_printable(note) for note in (*table.notes, *([] if table.caveat is None else [table.caveat]))],
    )


def _draw(table: Table, output: str) -> str:
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
    shown = _fit_to_width(table, console.width)
    drawn = RichTable(title=Text(shown.title), title_justify="left", header_style="bold")
    keep_whole = _width(shown, _FOLDED_FOR_NUMBERS) <= console.width
    for head, numbers in zip(shown.headers, shown.is_numeric, strict=True):
        justify: Literal["left", "right"] = "right" if numbers else "left"
        drawn.add_column(Text(head), justify=justify, overflow="fold", no_wrap=numbers and keep_whole)
    for cells, dim in zip(shown.rows, shown.is_dimmed, strict=True):
        drawn.add_row(*map(Text, cells), style="dim" if dim else None)
    console.print(drawn)
    for note in shown.notes:
        console.print(Text(note), soft_wrap=True)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def _fit_to_width(table: Table, width: int) -> TextTable:
    """Return a table as people see it within ``width`` characters, dropping columns until it fits."""
    spared: list[Column] = []
    more = [column for column in table.columns if column.for_people and column.drop_order]
    more.sort(key=lambda column: column.drop_order)
    shown = _people_view(table)
    while more and _width(shown) > width:
        spared.append(more.pop())
        shown = _people_view(table, spared)
    if spared:
        titles = "; ".join(column.title.replace("\n", " ") for column in table.columns if column in spared)
        shown = replace(shown, notes=[f"Not shown, because {width} characters are too narrow: {titles}.", *shown.notes])
    return shown


def _width(shown: TextTable, most: int = _FOLDED) -> int:
    """Return the width of a table in characters if only texts longer than ``most`` are folded."""
    from rich.cells import cell_len

    total = 1
    for number, head in enumerate(shown.headers):
        longest = max((cell_len(line) for row in shown.rows for line in row[number].split("\n")), default=0)
        if not shown.is_numeric[number]:
            longest = min(longest, most)
        total += 3 + max(longest, *(cell_len(line) for line in head.split("\n")))
    return total


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return "–"
    if column.tiny and isinstance(value, float) and value >= 0:
        return format_small(value, column.decimals or 0)
    if isinstance(value, float) and column.decimals is not None:
        sign = "+" if column.signed and round(value, column.decimals) > 0 else ""
        return f"{value:{sign},.{column.decimals}f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return make_printable(value)


def _interval_text(row: dict[str, Any], column: Column) -> str:
    if column.mark is not None and row.get(column.mark):
        return " *"
    low, high = (None, None) if column.interval_keys is None else map(row.get, column.interval_keys)
    return "" if low is None or high is None else f" [{low:,.1f}, {high:,.1f}]"


def _parquet(table: Table) -> bytes:
    import duckdb

    from twinbench.storage.parquet_files import sql_type, write_columns
    from twinbench.storage.temporary_folders import temporary_folder

    found = []
    for column in table.columns:
        if column.for_programs:
            values = [row.get(column.key) for row in table.rows]
            kind = column.kind or (None if column.decimals is None else float)
            found.append((column.key, sql_type(values) if kind is None else _SQL_TYPES[kind], values))
    with temporary_folder() as folder, duckdb.connect() as connection:
        path = folder / "table.parquet"
        write_columns(connection, path, found)
        return path.read_bytes()


def write_text(text: str, output: str) -> None:
    """Write text to a file, or to standard output if ``output`` is ``-``."""
    if output == "-":
        typer.echo(text, nl=False)
    else:
        _write_bytes(text.encode(), output)


def append_text(text: str, path: str) -> None:
    """Append text to a file, which is created if missing.

    Raises:
        TwinbenchError: the file cannot be written.
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
    from twinbench.storage.files import atomic_write

    with atomic_write(Path(output)) as path:
        path.write_bytes(content)


class _Progress:
    """Shows on standard error what is going on, after one second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown: Any = None
        self._stages: dict[str, Any] = {}
        self._said: set[str] = set()

    def __call__(self, what: str, done: int, total: int | None) -> None:
        with suppress(OSError):  # a lost terminal must not fail the work
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
        """Clear the progress line."""
        if self._shown is not None:
            with suppress(OSError):
                self._shown.stop()


def print_notice(text: str) -> None:
    """Tell people on standard error what happens while a command works."""
    with suppress(OSError):  # a lost terminal must not fail the work
        typer.echo(make_printable(text), err=True)


@contextmanager
def progress() -> Iterator[_Progress]:
    """Yield a callable ``(what, done, total)`` that shows the progress of anything that takes over a second."""
    shown = _Progress()
    try:
        yield shown
    finally:
        shown.close()
