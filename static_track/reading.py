"""Bank files as rows: JSON lines, gzip, JSON, Parquet, standard input.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from twinbench.errors import Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.validation import field_path

STDIN = "-"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")

_GZIP_MAGIC = b"\x1f\x8b"
_SPOOLED_IN_MEMORY = 64 * 2**20
_MOST_DIGITS = 4000  # Python reads and writes no integer of more than 4,300
_MOST_PATH_SHOWN = 200
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
    """The rows of a bank file; ``-`` reads JSON lines, plain or gzipped, from standard input.

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
    if not file.is_file():
        raise UsageError(f"{path} is no file" if file.exists() else f"no file {path}")
    if not file.name.endswith(SUFFIXES):
        raise UsageError(
            f"{path}: the ending says no format; known are {', '.join(SUFFIXES)}, and - for standard input"
        )
    sha256 = sha256_file(file)
    if file.suffix == ".parquet":
        yield Source(path, sha256, "row", _parquet(file))
    else:
        with file.open("rb") as opened:
            if file.suffix == ".json":
                yield Source(path, sha256, "row", _json_list(path, opened))
            else:
                yield Source(path, sha256, "line", _json_lines(path, opened))


class RepeatedKeyError(ValueError):
    """Keys that stand twice in one object."""

    def __init__(self, locations: Sequence[Location]) -> None:
        super().__init__("a key stands twice in one object")
        self.locations = locations
        """Where they stand, such as ``("messages", 3, "content")``."""


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
        ValueError: no JSON; so are NaN, infinities, and numbers that overflow.
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
        raise ValueError(f"{error.msg} at {place}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if locations:
        raise RepeatedKeyError(locations)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"an integer of {len(text):,} digits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text} is too large")
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
                for location in error.locations:
                    yield Problem(name, number, _shown_path(location), _TWICE)
            except ValueError as error:
                yield Problem(name, number, None, f"not JSON: {error}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield Problem(name, number + 1, None, f"the gzip data is damaged or cut short ({error})")


def _json_list(name: str, file: IO[bytes]) -> Iterator[NumberedRow | Problem]:
    try:
        content = parse_json(file.read().decode("utf-8-sig"))
    except RepeatedKeyError as error:
        for location in error.locations:
            row = location[0]
            if isinstance(row, int):
                yield Problem(name, row + 1, _shown_path(location[1:]), _TWICE, "row")
            else:
                yield Problem(name, None, _shown_path(location), _TWICE)
        return
    except ValueError as error:
        yield Problem(name, None, None, f"not JSON: {error}")
        return
    if not isinstance(content, list):
        yield Problem(name, None, None, "a .json bank is one list of rows; for a row a line use .jsonl")
        return
    for number, row in enumerate(content, 1):
        yield NumberedRow(number, row)


def _parquet(path: Path) -> Iterator[NumberedRow | Problem]:
    """Rows of a Parquet file.

    Columns of type JSON, and texts in ``messages`` and ``functions``, are parsed. A NULL column is an absent field. In
    nested columns, where Parquet gives every object all keys, a null key counts as absent.
    """
    import duckdb

    with duckdb.connect() as connection:
        try:
            result = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        except duckdb.Error as error:
            yield Problem(str(path), None, None, f"not a Parquet file: {str(error).splitlines()[0]}")
            return
        columns = [(column[0], str(column[1]).upper()) for column in result.description or []]
        number = 0
        while batch := result.fetchmany(256):
            for values in batch:
                number += 1
                row: dict[str, Any] = {}
                name = ""
                try:
                    for (name, kind), value in zip(columns, values, strict=True):
                        if value is None:
                            continue
                        as_json = isinstance(value, str) and (kind == "JSON" or name in ("messages", "functions"))
                        row[name] = parse_json(value) if as_json else _without_null_keys(value)
                except RepeatedKeyError as error:
                    for location in error.locations:
                        yield Problem(str(path), number, _shown_path((name, *location)), _TWICE, "row")
                    continue
                except ValueError as error:
                    yield Problem(str(path), number, name, f"not JSON: {error}", "row")
                    continue
                yield NumberedRow(number, row)


def _without_null_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null_keys(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null_keys(item) for item in value]
    return value
