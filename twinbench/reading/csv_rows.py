"""Read the rows of a CSV file; each becomes a dictionary of strings, with the names in the first line as keys."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from twinbench.errors import Problem
from twinbench.reading.input_files import InputError, InputRows, open_input
from twinbench.reading.numbered import NumberedRow

SUFFIXES = (".csv", ".csv.gz")


class _Reader(Protocol):
    """The type of ``csv.reader(...)``."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def csv_rows(path: Path, name: str) -> Iterator[NumberedRow | Problem]:
    """Yield the rows of a UTF-8 CSV file, plain or gzipped, and a problem for each invalid row.

    A row must have as many cells as the first line has names. Empty lines are skipped. If the rest of the file cannot
    be read, the last problem says why.

    Args:
        path: the file.
        name: the file's name in problems.

    Raises:
        UsageError: the file cannot be opened.
    """
    with open_input(path) as file:
        reader = csv.reader(_decode_lines(InputRows(file)), strict=True)
        try:
            yield from _parse_rows(reader, name)
        except UnicodeDecodeError as error:
            yield Problem(name, reader.line_num + 1, None, f"not UTF-8: byte {error.start + 1} of the line")
        except csv.Error as error:
            yield Problem(name, max(reader.line_num, 1), None, f"not CSV: {error}")
        except InputError as error:
            yield Problem(name, reader.line_num + 1, None, str(error))


def _decode_lines(input_rows: InputRows) -> Iterator[str]:
    for number, line in enumerate(input_rows.lines()):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8")


def _parse_rows(reader: _Reader, name: str) -> Iterator[NumberedRow | Problem]:
    names = next(reader, None)
    if names is None:
        return
    if twice := sorted({each for each in names if names.count(each) > 1}):
        yield Problem(name, 1, None, f"two columns have the same name: {', '.join(map(repr, twice))}")
        return
    for cells in reader:
        if len(cells) == len(names):
            yield NumberedRow(reader.line_num, dict(zip(names, cells, strict=True)))
        elif cells:
            what = f"has {len(cells)} cells, where the first line has {len(names)} names"
            yield Problem(name, reader.line_num, None, what)
