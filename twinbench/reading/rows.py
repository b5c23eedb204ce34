"""Read files of rows (banks, predictions, tasks) as JSON lines, gzipped or not, a JSON list, or Parquet, or from stdin.

A reader yields numbered rows and problems in the order of the file; the caller decides whether to go on after a
problem. If the rest of a file cannot be read, the last problem says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twinbench.errors import Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.reading.input_files import InputError, InputRows, open_input, standard_input
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.strict_json import FaultyJsonError, JsonError, parse_json, read_list_members

STDIN = "-"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
TRAJECTORY_SUFFIXES = (".traj.json", ".traj.json.gz")
"""Suffixes of mini-swe-agent's trajectory files; each file is one run."""

JSON_COLUMNS = ("messages", "functions")
"""Columns of a bank's Parquet file whose strings are parsed as JSON."""

MAX_PROBLEMS = 1000
"""Callers stop reading after this many problems, so that a wrong file does not fill the screen or the memory."""

_STDIN_NAME = "standard input"


@dataclass(frozen=True)
class Source:
    """A file of rows, opened for reading."""

    name: str
    unit: str
    """What ``NumberedRow.number`` counts: ``line``, or ``row`` in a format without lines."""
    rows: Iterator[NumberedRow | Problem]
    digest: Callable[[], str]
    """Returns the SHA-256 (hex) of the bytes that the rows were read from; call it after all rows have been read."""

    def problem(self, number: int | None, field: str | None, what: str) -> Problem:
        """Make a problem for a row of this source."""
        return Problem(self.name, number, field, what, self.unit)


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Open a bank file or a file of predictions; ``-`` reads JSON lines, plain or gzipped, from standard input.

    Raises:
        UsageError: the file does not exist or cannot be opened, or its suffix is unknown.
    """
    if path == STDIN:
        found = InputRows(standard_input())
        yield Source(_STDIN_NAME, "line", _read_json_lines(_STDIN_NAME, found), lambda: found.sha256)
        return
    file = Path(path)
    require_file(file, SUFFIXES, also="or be - for standard input")
    if file.suffix == ".parquet":
        yield Source(path, "row", file_rows(file, path, json_columns=JSON_COLUMNS), lambda: sha256_file(file))
        return
    with open_input(file) as opened:
        found = InputRows(opened)
        yield Source(path, row_unit(file), _read_text_rows(file, path, found), lambda: found.sha256)


def require_file(path: Path, suffixes: tuple[str, ...], *, also: str | None = None) -> None:
    """Refuse a path that is not a readable file with a known suffix.

    Args:
        path: the path.
        suffixes: the known suffixes.
        also: what else is accepted, as the end of the list in the error message.

    Raises:
        UsageError: it is refused.
    """
    open_input(path).close()
    if not path.name.endswith(suffixes):
        known = ", ".join(suffixes if also is None else (*suffixes, also))
        raise UsageError(f"{path}: unknown file format; the name must end in one of {known}")


def row_unit(path: Path) -> str:
    """Return what ``NumberedRow.number`` counts in a file with this suffix: ``row`` or ``line``."""
    return "row" if path.suffix in (".json", ".parquet") else "line"


def file_rows(
    path: Path, name: str | None = None, *, json_columns: Collection[str] = ()
) -> Iterator[NumberedRow | Problem]:
    """Yield the rows and problems of a file in the format of its suffix.

    Args:
        path: the file.
        name: the file's name in problems; default: its path.
        json_columns: columns of a Parquet file whose strings are parsed as JSON, besides those of type JSON.

    Raises:
        UsageError: the file cannot be opened.
    """
    name = str(path) if name is None else name
    if path.suffix == ".parquet":
        from twinbench.reading.parquet import parquet_rows  # imported here because it loads DuckDB

        yield from parquet_rows(path, name, json_columns)
        return
    with open_input(path) as opened:
        yield from _read_text_rows(path, name, InputRows(opened))


def _read_text_rows(path: Path, name: str, input_rows: InputRows) -> Iterator[NumberedRow | Problem]:
    return _read_json_list(name, input_rows) if path.suffix == ".json" else _read_json_lines(name, input_rows)


def _read_json_lines(name: str, input_rows: InputRows) -> Iterator[NumberedRow | Problem]:
    number = 0
    try:
        # Only "\n" ends a line, as the format demands: U+2028 and U+0085 may occur inside strings.
        for number, line in enumerate(input_rows.lines(), 1):
            if not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield NumberedRow(number, parse_json(text))
            except UnicodeDecodeError as error:
                yield Problem(name, number, None, f"not UTF-8: byte {error.start + 1} of the line")
            except FaultyJsonError as error:
                yield from error.to_problems(name, number)
            except JsonError as error:
                yield Problem(name, number, None, str(error))
    except InputError as error:
        yield Problem(name, number + 1, None, str(error))


def _read_json_list(name: str, input_rows: InputRows) -> Iterator[NumberedRow | Problem]:
    number = 0
    try:
        for number, member in enumerate(read_list_members(input_rows.blocks()), 1):
            if isinstance(member, FaultyJsonError):
                yield from member.to_problems(name, number, "row")
            else:
                yield NumberedRow(number, member)
    except JsonError as error:
        yield Problem(name, None, None, str(error))
    except InputError as error:
        yield Problem(name, number + 1, None, str(error), "row")
