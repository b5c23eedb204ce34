"""Files of rows, of banks, predictions and tasks alike: JSON lines, gzip, JSON, Parquet, standard input.

A reader yields numbered rows and the problems it met, in the order of the file; whether to go on after a problem is the
caller's choice.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.validation import field_path

STDIN = "-"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")

JSON_COLUMNS = ("messages", "functions")
"""Columns of a bank's Parquet file whose texts are JSON."""

_GZIP_MAGIC = b"\x1f\x8b"
_SPOOLED_IN_MEMORY = 64 * 2**20
_MOST_DIGITS = 4000  # Python reads and writes no integer of more than 4,300
_MOST_PATH_SHOWN = 200
_MOST_NUMBER_SHOWN = 40
_TWICE = "stands twice in one object"

Location = tuple[int | str, ...]
"""The keys and positions that lead to a value."""


@dataclass(frozen=True)
class NumberedRow:
    """A parsed row and where it stands, counted from 1."""

    number: int
    row: Any


@dataclass(frozen=True)
class Source:
    """A file of rows that was opened for reading."""

    name: str
    sha256: str
    unit: str
    """What ``NumberedRow.number`` counts: lines, or rows of a format without lines."""
    rows: Iterator[NumberedRow | Problem]

    def problem(self, number: int | None, field: str | None, what: str) -> Problem:
        """A problem of one row of this source."""
        return Problem(self.name, number, field, what, self.unit)


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """The rows of a bank file or of predictions; ``-`` reads JSON lines, plain or gzipped, from standard input.

    Raises:
        UsageError: no such file, or an ending that says no known format.
    """
    if path == STDIN:
        with tempfile.SpooledTemporaryFile(_SPOOLED_IN_MEMORY) as spooled:
            digest = hashlib.sha256()
            while block := sys.stdin.buffer.read(2**20):
                digest.update(block)
                spooled.write(block)
            spooled.seek(0)
            yield Source("standard input", digest.hexdigest(), "line", _json_lines("standard input", spooled))
        return
    file = Path(path)
    require_file(file, SUFFIXES, also="and - for standard input")
    yield Source(path, sha256_file(file), unit_of(file), file_rows(file, path, json_columns=JSON_COLUMNS))


def require_file(path: Path, suffixes: tuple[str, ...], *, also: str | None = None) -> None:
    """Refuse what is no file, or has an ending that says no format.

    Args:
        path: the file.
        suffixes: the endings that are known.
        also: what else may be given, as the end of a list.

    Raises:
        UsageError: it is refused.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file" if path.exists() else f"no file {path}")
    if not path.name.endswith(suffixes):
        known = ", ".join(suffixes if also is None else (*suffixes, also))
        raise UsageError(f"{path}: the ending says no format; known are {known}")


def unit_of(path: Path) -> str:
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
    """
    name = str(path) if name is None else name
    if path.suffix == ".parquet":
        yield from _parquet(path, name, json_columns)
        return
    with path.open("rb") as file:
        yield from _json_list(name, file) if path.suffix == ".json" else _json_lines(name, file)


class NotJsonError(ValueError):
    """What is no JSON, and where."""

    def __init__(self, what: str, *, cut_short: bool = False) -> None:
        super().__init__(what)
        self.cut_short = cut_short
        """Whether nothing is wrong but that it ends too early."""


class RepeatedKeyError(ValueError):
    """Keys that stand twice in one object."""

    def __init__(self, locations: Sequence[Location]) -> None:
        super().__init__("a key stands twice in one object")
        self.locations = locations
        """Where they stand, such as ``("messages", 3, "content")``."""

    def problems(
        self, source: str, number: int | None = None, unit: str = "line", *, within: Location = ()
    ) -> list[Problem]:
        """Each of them as a problem of the object in ``source`` that has this number, or of the file as a whole."""
        return [Problem(source, number, _shown_path((*within, *each)), _TWICE, unit) for each in self.locations]


class _Objects:
    """Makes dictionaries of JSON objects and remembers those in which a key stood twice."""

    def __init__(self) -> None:
        self.repeated: dict[int, tuple[dict[str, Any], list[str]]] = {}
        """Dictionary and repeated keys, by the dictionary's identity."""

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self.repeated[id(found)] = (
                found,
                [key for key, times in Counter(k for k, _ in pairs).items() if times > 1],
            )
        return found

    def locations(self, value: Any, path: Location) -> Iterator[Location]:
        """Where in ``value`` the repeated keys stand."""
        if isinstance(value, dict):
            _, keys = self.repeated.get(id(value), ({}, []))
            yield from ((*path, key) for key in keys)
            for key, item in value.items():
                yield from self.locations(item, (*path, key))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                yield from self.locations(item, (*path, position))


def _shown_path(location: Location) -> str:
    """A location as messages name it; a key may be of any length, and hold what no text holds."""
    path = field_path(location)
    path = path if len(path) <= _MOST_PATH_SHOWN else f"{path[:_MOST_PATH_SHOWN]}…"
    return path.encode("utf-8", "backslashreplace").decode()


def parse_json(text: str) -> Any:
    """JSON as the standard has it, and no key twice in an object: which of the two is meant, nobody can tell.

    Raises:
        RepeatedKeyError: a key stands twice in an object.
        NotJsonError: no JSON; so are NaN, infinities, and numbers that overflow.
    """
    objects = _Objects()
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=objects,
        )
        locations = list(objects.locations(value, ())) if objects.repeated else []
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        cut = error.pos >= len(text.rstrip()) or "Unterminated" in error.msg
        raise NotJsonError(f"{error.msg.removesuffix(' at')} at {place}", cut_short=cut) from None
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    if locations:
        raise RepeatedKeyError(locations)
    return value


def whole_json(data: bytes, name: str, unit: str = "row") -> Any:
    """A file's content as one JSON value.

    Args:
        data: the file's bytes.
        name: what problems call it.
        unit: what the members of a list are called, by whose number a repeated key in one of them is named.

    Raises:
        ContentError: it is no UTF-8 or no JSON, or keys stand twice in an object.
    """
    try:
        return parse_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        what = f"not UTF-8: byte {error.start + 1}"
    except RepeatedKeyError as error:
        problems = []
        for location in error.locations:
            first, within = (location[0] + 1, location[1:]) if isinstance(location[0], int) else (None, location)
            problems.append(Problem(name, first, _shown_path(within), _TWICE, unit))
        raise ContentError(problems) from None
    except ValueError as error:
        what = f"not JSON: {error}"
    raise ContentError([Problem(name, None, None, what)])


def _refuse_constant(name: str) -> float:
    raise NotJsonError(f"{name} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise NotJsonError(f"an integer of {len(text):,} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NotJsonError(f"the number {text[:_MOST_NUMBER_SHOWN]} is too large")
    return number


def _json_lines(name: str, file: IO[bytes]) -> Iterator[NumberedRow | Problem]:
    compressed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    number = 0
    try:
        # A binary file's lines end with "\n" only, as the format wants: U+2028 and U+0085 stand inside strings.
        for number, line in enumerate(gzip.GzipFile(fileobj=file) if compressed else file, 1):
            if not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield NumberedRow(number, parse_json(text))
            except UnicodeDecodeError as error:
                yield Problem(name, number, None, f"not UTF-8: byte {error.start + 1} of the line")
            except RepeatedKeyError as error:
                yield from error.problems(name, number)
            except ValueError as error:
                yield Problem(name, number, None, f"not JSON: {error}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Problem(name, number + 1, None, f"the gzip data is damaged or cut short ({error})")


def _json_list(name: str, file: IO[bytes]) -> Iterator[NumberedRow | Problem]:
    try:
        content = whole_json(file.read(), name)
    except ContentError as error:
        yield from error.problems
        return
    if not isinstance(content, list):
        yield Problem(name, None, None, "a .json file is one list of rows; for a row a line use .jsonl")
        return
    for number, row in enumerate(content, 1):
        yield NumberedRow(number, row)


def _parquet(path: Path, name: str, json_columns: Collection[str]) -> Iterator[NumberedRow | Problem]:
    """Rows of a Parquet file.

    Columns of type JSON, and texts in ``json_columns``, are parsed. A NULL column is an absent field. In nested
    columns, where Parquet gives every object all keys, a null key counts as absent.
    """
    import duckdb

    number = 0
    with duckdb.connect() as connection:
        try:
            result = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            columns = [(column[0], str(column[1]).upper()) for column in result.description or []]
            parsed = {column for column, kind in columns if kind == "JSON" or column in json_columns}
            while batch := result.fetchmany(256):
                for values in batch:
                    number += 1
                    row = {column: value for (column, _), value in zip(columns, values, strict=True)}
                    yield from _parquet_row(name, number, row, parsed)
        except duckdb.Error as error:
            yield Problem(name, None, None, f"not a Parquet file: {str(error).splitlines()[0]}")


def _parquet_row(
    name: str, number: int, columns: dict[str, Any], parsed: Collection[str]
) -> Iterator[NumberedRow | Problem]:
    row: dict[str, Any] = {}
    for column, value in columns.items():
        try:
            if value is not None:
                is_json = column in parsed and isinstance(value, str)
                row[column] = parse_json(value) if is_json else _without_null_keys(value)
        except RepeatedKeyError as error:
            yield from error.problems(name, number, "row", within=(column,))
            return
        except ValueError as error:
            yield Problem(name, number, column, f"not JSON: {error}", "row")
            return
    yield NumberedRow(number, row)


def _without_null_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null_keys(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null_keys(item) for item in value]
    return value
