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
from typing import Any

import typer

from twinbench.display.wording import printable as printable

_SHOW_PROGRESS_AFTER_S = 1.0


class Format(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    parquet = "parquet"
    jsonl = "jsonl"


@dataclass(frozen=True)
class Column:
    """A column: the key of its values, how people see it, and how its numbers are written for them."""

    key: str
    title: str
    decimals: int | None = None
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
    Column("rank_best", "Best rank", for_people=False),
    Column("rank_worst", "Worst rank", for_people=False),
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
    if form is not Format.table and table.caveat is not None:
        typer.echo(f"note: {printable(table.caveat)}", err=True)
        table = replace(
            table,
            columns=[*table.columns, Column("caveat", "Caveat", for_people=False)],
            rows=[{"caveat": table.caveat} | row for row in table.rows],
        )
    if form is Format.table:
        write_text(_drawn(table, output), output)
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


def _drawn(table: Table, output: str) -> str:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    to_terminal = output == "-" and sys.stdout.isatty()
    drawn = RichTable(title=Text(printable(table.title)), title_justify="left", header_style="bold")
    columns = [column for column in table.columns if column.for_people]
    rows = [row for row in table.rows if table.left_out is None or not row.get(table.left_out)]
    for column in columns:
        numbers = column.around is not None or all(isinstance(row.get(column.key), int | float | None) for row in rows)
        drawn.add_column(Text(column.title), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        dim = table.dimmed is not None and row.get(table.dimmed)
        cells = [Text(_cell(row.get(column.key), column) + _around(row, column)) for column in columns]
        drawn.add_row(*cells, style="dim" if dim else None)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=to_terminal or None,
        width=None if to_terminal else 200,
        highlight=False,
        soft_wrap=False,
    )
    console.print(drawn)
    for note in (*table.notes, *([] if table.caveat is None else [table.caveat])):
        console.print(Text(printable(note)), soft_wrap=True)
    return "".join(line.rstrip() + "\n" for line in buffer.getvalue().splitlines())


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return "–"
    if column.tiny and isinstance(value, float) and 0 < value < (least := 10.0 ** -(column.decimals or 0)):
        return f"<{least:.{column.decimals}f}"
    if isinstance(value, float) and column.decimals is not None:
        return f"{value:,.{column.decimals}f}"
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

    values = {key: [row.get(key) for row in table.rows] for key in _keys(table)}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        path = Path(folder) / "table.parquet"
        write_columns(connection, path, [(key, type_of(column), column) for key, column in values.items()])
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
