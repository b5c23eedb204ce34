"""Files of rows, of banks, predictions and tasks alike: JSON lines, gzip, JSON, Parquet, standard input.

A reader yields numbered rows and the problems it met, in the order of the file; whether to go on after a problem is the
caller's choice. What makes the rest of a file unreadable is its last problem.
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
from twinbench.reading.strict_json import FaultyJsonError, JsonError, read_list_members, parse_json

STDIN = "-"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
TRAJECTORY_SUFFIXES = (".traj.json", ".traj.json.gz")
"""Of the files of mini-swe-agent, each of which is one run."""

JSON_COLUMNS = ("messages", "functions")
"""Columns of a bank's Parquet file whose texts are JSON."""

MAX_PROBLEMS = 1000
"""After as many, callers read no further, so that a file of another kind does not fill the screen or the memory."""

_STDIN_NAME = "standard input"


@dataclass(frozen=True)
class Source:
    """A file of rows that was opened for reading."""

    name: str
    unit: str
    """What ``NumberedRow.number`` counts: lines, or rows of a format without lines."""
    rows: Iterator[NumberedRow | Problem]
    digest: Callable[[], str]
    """The SHA-256 (hex) of the file, once all rows were read: so it is of the very bytes that they were read from."""

    def problem(self, number: int | None, field: str | None, what: str) -> Problem:
        """A problem of one row of this source."""
        return Problem(self.name, number, field, what, self.unit)


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """The rows of a bank file or of predictions; ``-`` reads JSON lines, plain or gzipped, from standard input.

    Raises:
        UsageError: no such file, an ending that says no known format, or it cannot be opened.
    """
    if path == STDIN:
        found = InputRows(standard_input())
        yield Source(_STDIN_NAME, "line", _read_json_lines(_STDIN_NAME, found), lambda: found.sha256)
        return
    file = Path(path)
    require_file(file, SUFFIXES, also="and - for standard input")
    if file.suffix == ".parquet":
        yield Source(path, "row", file_rows(file, path, json_columns=JSON_COLUMNS), lambda: sha256_file(file))
        return
    with open_input(file) as opened:
        found = InputRows(opened)
        yield Source(path, row_unit(file), _read_text_rows(file, path, found), lambda: found.sha256)


def require_file(path: Path, suffixes: tuple[str, ...], *, also: str | None = None) -> None:
    """Refuse what is no file, cannot be opened, or has an ending that says no format.

    Args:
        path: the file.
        suffixes: the endings that are known.
        also: what else may be given, as the end of a list.

    Raises:
        UsageError: it is refused.
    """
    open_input(path).close()
    if not path.name.endswith(suffixes):
        known = ", ".join(suffixes if also is None else (*suffixes, also))
        raise UsageError(f"{path}: the ending says no format; known are {known}")


def row_unit(path: Path) -> str:
    """What ``NumberedRow.number`` counts in a file of that ending."""
    return "row" if path.suffix in (".json", ".parquet") else "line"


def file_rows(
    path: Path, name: str | None = None, *, json_columns: Collection[str] = ()
) -> Iterator[NumberedRow | Problem]:
    """The rows of a file that is there, in the format that its ending says.

    Args:
        path: the file.
        name: what problems call it; default: its path.
        json_columns: columns of a Parquet file whose texts are JSON, beside those of type JSON.

    Raises:
        UsageError: it cannot be opened.
    """
    name = str(path) if name is None else name
    if path.suffix == ".parquet":
        from twinbench.reading.parquet import parquet_rows  # it loads DuckDB

        yield from parquet_rows(path, name, json_columns)
        return
    with open_input(path) as opened:
        yield from _read_text_rows(path, name, InputRows(opened))


def _read_text_rows(path: Path, name: str, input_rows: InputRows) -> Iterator[NumberedRow | Problem]:
    return _read_json_list(name, input_rows) if path.suffix == ".json" else _read_json_lines(name, input_rows)


def _read_json_lines(name: str, input_rows: InputRows) -> Iterator[NumberedRow | Problem]:
    number = 0
    try:
        # Lines end with "\n" only, as the format wants: U+2028 and U+0085 stand inside strings.
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
