"""Writes tables as Parquet files, with DuckDB."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.sql import sql_name, sql_text

if TYPE_CHECKING:
    import duckdb

Column = tuple[str, str, Sequence[Any]]
"""Name, SQL type and values."""


def write_columns(connection: duckdb.DuckDBPyConnection, path: Path, columns: Sequence[Column]) -> None:
    """Write columns of the same length.

    Raises:
        duckdb.IOException: the file cannot be written.
    """
    selected = ", ".join(
        f"unnest(CAST(${number} AS {kind}[])) AS {sql_name(name)}" for number, (name, kind, _) in enumerate(columns, 1)
    )
    values = [list(column) for _, _, column in columns]
    connection.execute(f"COPY (SELECT {selected}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)", values)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows; the columns get the types that DuckDB infers from their JSON.

    Raises:
        OSError, duckdb.IOException: the file cannot be written.
    """
    import duckdb

    lines = path.with_suffix(".jsonl")
    lines.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows), "utf-8")
    with duckdb.connect() as connection:
        read = f"read_json({sql_text(lines)}, format = 'newline_delimited', sample_size = -1)"
        connection.execute(
            f"COPY (SELECT * FROM {read}) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)"  # noqa: S608
        )
    lines.unlink()


def type_of(values: Sequence[Any]) -> str:
    """Return the SQL type of a column of plain values; other values than booleans and numbers become strings."""
    present = [value for value in values if value is not None]
    for kind, python in (("BOOLEAN", bool), ("BIGINT", int), ("DOUBLE", int | float)):
        if present and all(isinstance(value, python) for value in present):
            return kind
    return "VARCHAR"
