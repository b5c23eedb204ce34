"""Read the rows of a Parquet file as JSON values.

| column type | value in a row |
|---|---|
| BOOLEAN, integers, finite FLOAT and DOUBLE, VARCHAR, ENUM | unchanged |
| JSON, and strings in a column that the caller names as JSON | the parsed JSON value |
| DECIMAL | an integer if it has no decimal places, else a string with all its digits |
| BLOB | a string if it is valid UTF-8, else refused |
| STRUCT, LIST, ARRAY, MAP | objects and lists; keys of a MAP become strings |
| NULL, also inside an object | left out |
| NaN and infinities | refused |
| all others (DATE, TIME, TIMESTAMP, INTERVAL, UUID, …) | the text that DuckDB writes; times with a zone in UTC |

A file is read twice: first the sizes of its rows, then the rows in ranges whose total size is at most that of one
allowed row. Otherwise memory could explode: DuckDB returns two thousand rows at once, and with dictionary encoding one
long string in the file becomes two thousand long strings in memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from duckdb.sqltypes import DuckDBPyType

from twinbench.errors import Problem
from twinbench.reading.input_files import MAX_ROW_BYTES, InputError, format_mib, open_input, refuse_gzip_bomb
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.strict_json import Fault, FaultyJsonError, JsonError, Location, parse_json
from twinbench.sql import sql_name, sql_text

_MEMORY_MIB = 1024
_ROW_NUMBER = "file_row_number"
"""DuckDB's virtual column with the number of a row, from 0."""
_FROM_SQL = f"FROM read_parquet(?, hive_partitioning = false, {_ROW_NUMBER} = true)"
_ROWS_AT_ONCE = 256
_BYTES_PER_VALUE = 16
"""Estimated memory of a value beyond the bytes of its text; it matters for rows with very many small values."""
_MAX_FAULTS = 20
_INTERRUPTED_MESSAGE = "Query interrupted"
"""DuckDB raises a RuntimeError with this message if a KeyboardInterrupt occurs within a query."""
_INTEGERS = ("tinyint", "smallint", "integer", "bigint", "hugeint")
_UNCHANGED_TYPES = frozenset(
    (*_INTEGERS, *(f"u{each}" for each in _INTEGERS), "boolean", "float", "double", "decimal", "blob")
)


_DuckDBConfig = dict[str, str | bool | int | float | list[str]]
"""The type of ``config`` in ``duckdb.connect``."""


@dataclass(frozen=True)
class _Column:
    name: str
    kind: DuckDBPyType
    is_json: bool

    @property
    def select_sql(self) -> str:
        """SQL expression that selects the column in a type that arrives as a plain Python value."""
        return f"CAST({sql_name(self.name)} AS {_selected_type(self.kind)})"

    @property
    def size_sql(self) -> str:
        """SQL expression for the size in bytes of the column's value in a row."""
        return _value_size_sql(self.kind, sql_name(self.name))


def parquet_rows(path: Path, name: str, json_columns: Collection[str]) -> Iterator[NumberedRow | Problem]:
    """Yield the rows of a Parquet file, and a problem for each invalid row.

    Args:
        path: the file.
        name: the file's name in problems.
        json_columns: columns whose strings are parsed as JSON, besides those of type JSON.

    Raises:
        UsageError: the file cannot be opened.
    """
    with open_input(path) as file:
        packed = file.seek(0, 2)
    # Each thread would use its own memory; what does not fit into memory is refused instead of spilled to disk.
    limits: _DuckDBConfig = {"memory_limit": f"{_MEMORY_MIB}MiB", "threads": 1, "temp_directory": ""}
    with duckdb.connect(config=limits) as connection:
        try:
            yield from _read_rows(connection, path, name, json_columns, packed)
        except InputError as error:
            yield Problem(name, None, None, str(error))


def _read_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, json_columns: Collection[str], packed: int
) -> Iterator[NumberedRow | Problem]:
    # DuckDB takes the path as a glob pattern, and would turn a folder such as day=1 into a column.
    source = [str(path.absolute()).replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")]
    with _translate_errors("not a Parquet file"):
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute("FROM read_parquet(?, hive_partitioning = false) LIMIT 0", source).description or []
        columns = [_Column(column, kind, str(kind) == "JSON" or column in json_columns) for column, kind, *_ in found]
        _refuse_column_names(connection, source, [column.name for column in columns])
    with _translate_errors("cannot be read"):
        ranges, problem = _plan_ranges(connection, source, name, columns, packed)
        selected = ", ".join(column.select_sql for column in columns)
        for first, last in ranges:
            number = first
            query = f"SELECT {selected} {_FROM_SQL} WHERE {_ROW_NUMBER} BETWEEN {first} AND {last}"
            result = connection.execute(query, source)
            while batch := result.fetchmany(_ROWS_AT_ONCE):
                for values in batch:
                    number += 1
                    yield from _convert_row(name, number, columns, values)
    if problem is not None:
        yield problem


@contextmanager
def _translate_errors(what: str) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise InputError(
            f"needs more than {_MEMORY_MIB:,} MiB of memory: write it with smaller pages, or as .jsonl"
        ) from None
    except duckdb.Error as error:
        raise InputError(f"{what}: {str(error).splitlines()[0]}") from None
    except RuntimeError as error:  # raised by DuckDB's Python binding for a name that is not valid UTF-8
        if str(error) == _INTERRUPTED_MESSAGE:
            raise
        raise InputError(f"{what}: {error}") from None


def _refuse_column_names(connection: duckdb.DuckDBPyConnection, source: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse column names that DuckDB cannot tell apart: it ignores case, and renames the second of two equal names.

    Raises:
        InputError: a name is refused.
    """
    if any(column.lower() == _ROW_NUMBER for column in columns):
        raise InputError(f"has a column named {_ROW_NUMBER}, which DuckDB reserves: rename the column")
    names = {column for (column,) in connection.execute("SELECT name FROM parquet_schema(?)", source).fetchall()}
    for column in columns:
        if column not in names:
            raise InputError(f"has two columns whose names differ only in case: DuckDB calls one of them {column!r}")


def _plan_ranges(
    connection: duckdb.DuckDBPyConnection, source: Sequence[str], name: str, columns: Sequence[_Column], packed: int
) -> tuple[list[tuple[int, int]], Problem | None]:
    """Split the rows into ranges that are small enough to be read at once.

    Returns:
        The ranges (first and last row, from 0), and the problem of the first row that is too large; it ends the ranges.
    """
    ranges: list[tuple[int, int]] = []
    first = number = total = size = 0
    problem = None
    result = connection.execute(f"SELECT {', '.join(column.size_sql for column in columns)} {_FROM_SQL}", source)
    while problem is None and (batch := result.fetchmany(_ROWS_AT_ONCE)):
        for sizes in batch:
            of_row = int(sum(sizes))
            total += of_row
            problem = _find_size_problem(name, number + 1, columns, sizes, total, packed)
            if problem is not None:
                break
            if size + of_row > MAX_ROW_BYTES and number > first:
                ranges.append((first, number - 1))
                first, size = number, 0
            size += of_row
            number += 1
    if number > first:
        ranges.append((first, number - 1))
    return ranges, problem


def _find_size_problem(
    name: str, number: int, columns: Sequence[_Column], sizes: Sequence[int], total: int, packed: int
) -> Problem | None:
    if sum(sizes) > MAX_ROW_BYTES:
        largest = max(zip(sizes, columns, strict=True), key=lambda found: found[0])[1].name
        what = f"the row is larger than {format_mib(MAX_ROW_BYTES)}, the limit"
        return Problem(name, number, largest, what, "row")
    try:
        refuse_gzip_bomb(total, packed)
    except InputError as error:
        return Problem(name, number, None, str(error), "row")
    return None


def _convert_row(
    name: str, number: int, columns: Sequence[_Column], values: Sequence[Any]
) -> Iterator[NumberedRow | Problem]:
    row: dict[str, Any] = {}
    faults: list[Fault] = []
    for column, value in zip(columns, values, strict=True):
        if value is None:
            continue
        here = (column.name,)
        plain = _to_json_value(value, here, faults)
        if column.is_json and isinstance(plain, str):
            try:
                plain = parse_json(plain)
            except FaultyJsonError as error:
                faults += [Fault((*here, *fault.location), fault.what) for fault in error.faults]
            except JsonError as error:
                faults.append(Fault(here, str(error)))
        row[column.name] = plain
    if faults:
        yield from (fault.to_problem(name, number, "row") for fault in faults[:_MAX_FAULTS])
    else:
        yield NumberedRow(number, row)


def _to_json_value(value: Any, here: Location, faults: list[Fault]) -> Any:
    """Convert a value to one that JSON can express; add a fault for each part that it cannot."""
    if isinstance(value, float) and not math.isfinite(value):
        what = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        faults.append(Fault(here, f"{what} is not a JSON number: write NULL for a missing value"))
        return None
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else f"{value:f}"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            faults.append(Fault(here, f"holds bytes that are not text: invalid UTF-8 at byte {error.start + 1}"))
            return None
    if isinstance(value, dict):
        names = {key: _to_json_value(key, here, faults) for key in value}
        return {
            names[key]: _to_json_value(item, (*here, names[key]), faults)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        return [_to_json_value(item, (*here, position), faults) for position, item in enumerate(value)]
    return value


def _selected_type(kind: DuckDBPyType) -> str:
    """Return the SQL type that a column is cast to; types without a JSON equivalent become VARCHAR."""
    if kind.id in _UNCHANGED_TYPES:
        return str(kind)
    if kind.id in ("list", "array"):
        return f"{_selected_type(_child_types(kind)['child'])}[]"
    if kind.id == "struct":
        fields = (f"{sql_name(name)} {_selected_type(each)}" for name, each in _child_types(kind).items())
        return f"STRUCT({', '.join(fields)})"
    if kind.id == "map":
        key, value = _child_types(kind)["key"], _child_types(kind)["value"]
        return f"MAP({'BLOB' if key.id == 'blob' else 'VARCHAR'}, {_selected_type(value)})"
    return "VARCHAR"  # a JSON column becomes its text, which is not validated yet


def _value_size_sql(kind: DuckDBPyType, value: str, depth: int = 0) -> str:
    """Return an SQL expression for the size in bytes of a value.

    Args:
        kind: the value's type.
        value: the value as an SQL expression.
        depth: how many lambda expressions enclose it; makes their parameter names unique.
    """
    item = f"x{depth}"
    if kind.id in ("varchar", "blob"):
        return f"coalesce({'octet_length' if kind.id == 'blob' else 'strlen'}({value}), 0) + {_BYTES_PER_VALUE}"
    if kind.id in ("list", "array"):
        of_item = _value_size_sql(_child_types(kind)["child"], item, depth + 1)
        return f"coalesce(list_sum(list_transform({value}, lambda {item}: {of_item})), 0) + {_BYTES_PER_VALUE}"
    if kind.id == "map":
        parts = {"map_keys": _child_types(kind)["key"], "map_values": _child_types(kind)["value"]}
        sizes = [
            f"coalesce(list_sum(list_transform({part}({value}), lambda {item}: "
            f"{_value_size_sql(each, item, depth + 1)})), 0)"
            for part, each in parts.items()
        ]
        return f"{' + '.join(sizes)} + {_BYTES_PER_VALUE}"
    if kind.id == "struct":
        fields = (
            _value_size_sql(each, f"struct_extract({value}, {sql_text(name)})", depth)
            for name, each in _child_types(kind).items()
        )
        return " + ".join((*fields, str(_BYTES_PER_VALUE)))
    return str(_BYTES_PER_VALUE)


def _child_types(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    return {str(name): child for name, child in kind.children if isinstance(child, DuckDBPyType)}
