"""The DuckDB file of a bank: its tables, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from static_track.banks.token_base import BaseRow
from twinbench.sql import sql_file

SCHEMA_VERSION = 4
"""Version of the file's schema. Version 1 had no banks without labels; its files are read as they are. Up to version 2,
text in Anthropic's blocks was not counted, and up to 3, groups were not stored: banks with such blocks or groups are
rewritten when they are opened."""

_ROWS_A_BATCH = 2000


@dataclass(frozen=True, slots=True)
class TrajectoryRow:
    """A row of the table ``trajectory``."""

    trajectory: int
    workload: str
    instance_id: str
    heldout: bool
    group_name: str | None
    """The group's name; None if the trajectory is a group by itself."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A row of the table ``step``."""

    row_no: int
    id: str
    trajectory: int
    step_index: int
    total_steps: int
    messages: Sequence[int]
    functions_id: int | None
    extra: str


def own_group(workload: str, instance_id: str) -> str:
    """Return the group name of a trajectory whose rows name no group; unique within a bank."""
    return f"{workload.replace('%', '%25').replace('/', '%2F')}/{instance_id}"


def group_name_sql(connection: duckdb.DuckDBPyConnection, bank: str | None = None) -> str:
    """Return the SQL expression for the group of a row of ``trajectory``: the named group, else as in ``own_group``.

    It also works for files up to schema 3, whose table has no group column.

    Args:
        connection: a connection to the bank's file.
        bank: the quoted name under which the file is attached; None if it is the opened file itself.
    """
    table = "trajectory" if bank is None else f"{bank}.main.trajectory"
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []  # noqa: S608 - made of our own words
    alone = "replace(replace(workload, '%', '%25'), '/', '%2F') || '/' || instance_id"
    return f"coalesce(group_name, {alone})" if "group_name" in {column[0] for column in described} else alone


def write_bank_file(
    path: Path,
    *,
    meta: Mapping[str, str],
    trajectories: Iterable[TrajectoryRow],
    messages: Sequence[tuple[int, str]],
    functions: Sequence[str],
    steps: Iterable[StepRow],
    base: Iterable[BaseRow],
) -> None:
    """Write a new bank file.

    Args:
        path: the file to write, which must not exist.
        meta: metadata of the bank, by key.
        trajectories: in canonical order.
        messages: semantic id and exact form of each unique message.
        functions: each unique ``functions`` field as JSON.
        steps: in canonical order.
        base: in canonical order.

    Raises:
        duckdb.Error: the file cannot be written.
    """
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql_file(__package__, "bank_schema.sql"))
        connection.execute("BEGIN")
        _insert(connection, "meta", ["VARCHAR", "VARCHAR"], meta.items())
        types = ["INTEGER", "VARCHAR", "VARCHAR", "BOOLEAN", "VARCHAR"]
        _insert(connection, "trajectory", types, (astuple(row) for row in trajectories))
        numbered = ((number, semantic, text) for number, (semantic, text) in enumerate(messages))
        _insert(connection, "message", ["INTEGER", "INTEGER", "VARCHAR"], numbered)
        _insert(connection, "functions", ["INTEGER", "VARCHAR"], enumerate(functions))
        types = ["INTEGER", "VARCHAR", "INTEGER", "INTEGER", "INTEGER", "INTEGER[]", "INTEGER", "VARCHAR"]
        _insert(connection, "step", types, (astuple(row) for row in steps))
        insert_base(connection, base)
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")  # closing would do it too, but would not report a full disk


def write_base_file(path: Path, base: Iterable[BaseRow]) -> None:
    """Write a sidecar file with the table ``base`` for another tokenizer set."""
    schema = sql_file(__package__, "bank_schema.sql")
    with duckdb.connect(str(path)) as connection:
        connection.execute(schema[schema.index("CREATE TABLE base") :])
        insert_base(connection, base)
        connection.execute("CHECKPOINT")  # as in write_bank_file


def insert_base(connection: duckdb.DuckDBPyConnection, base: Iterable[BaseRow]) -> None:
    """Insert rows into the table ``base``."""
    types = ["INTEGER", "INTEGER", "INTEGER", "UTINYINT", "INTEGER[4]", "INTEGER[4]", "INTEGER", "INTEGER[4]"]
    _insert(connection, "base", types, (astuple(row) for row in base))


def _insert(
    connection: duckdb.DuckDBPyConnection, table: str, types: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert rows in batches of columns, which is much faster than row by row and needs no data frame library."""
    columns = ", ".join(f"unnest(CAST(${number} AS {kind}[]))" for number, kind in enumerate(types, 1))
    for batch in _batches(rows):
        connection.execute(
            f"INSERT INTO {table} SELECT {columns}", [list(column) for column in zip(*batch, strict=True)]
        )


def _batches(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    iterator = iter(rows)
    while batch := list(islice(iterator, _ROWS_A_BATCH)):
        yield batch
