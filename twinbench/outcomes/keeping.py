"""Store and open tables of outcomes, one Parquet file each; some ship with twinbench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from pydantic import TypeAdapter, ValidationError

from twinbench.errors import ContentError, TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.outcomes.columns import UNKNOWN_VERDICT
from twinbench.outcomes.reading import ReadOutcomes
from twinbench.outcomes.table import Outcomes
from twinbench.sql import sql_text
from twinbench.storage import resources
from twinbench.storage.store import Store, outcomes_hint

_METADATA_KEY = "twinbench"
"""Key in the metadata of the Parquet file whose value is the table's ``TableInfo`` as JSON."""
_MAX_TEXT_CHARACTERS = 2000


@dataclass(frozen=True)
class TableInfo:
    """The description of a table, which can be read without its outcomes."""

    name: str
    sha256: str
    """The SHA-256 of the table's content, independent of the format and order of the imported file."""
    source: str
    """The names of the imported files."""
    source_sha256: str
    """The SHA-256 of the imported file; for several files, the fingerprint of their SHA-256."""
    outcomes: int
    models: int
    tasks: int
    workloads: tuple[str, ...]
    unknown_verdicts: int
    unknown_costs: int
    """Number of empty or zero costs, both of which count as unknown."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The column of the file from which each field was read, by field."""
    origin: str = ""
    """Where the file is from, as the user described it."""
    licence: str = ""
    note: str = ""
    """A limitation of the data that has to be shown with its numbers."""
    imported: str = ""
    shipped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the description as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Table:
    """A table of outcomes in memory."""

    info: TableInfo
    outcomes: Outcomes


@dataclass(frozen=True)
class Provenance:
    """The statements of the user who imports a table: origin, licence and a note for its users."""

    origin: str = ""
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name, text in asdict(self).items():
            if len(text) > _MAX_TEXT_CHARACTERS:
                raise UsageError(f"--{name} has {len(text):,} characters; at most {_MAX_TEXT_CHARACTERS:,} are allowed")

    def with_note(self, more: str | None) -> Provenance:
        """Return the same with more text in front of the note."""
        return (
            self if more is None else Provenance(self.origin, self.licence, "; ".join(filter(None, (more, self.note))))
        )


def store_table(
    read: ReadOutcomes, name: str, store: Store, provenance: Provenance, *, replace: bool = False
) -> TableInfo:
    """Write outcomes to the store as the table ``name``; if any row is invalid, nothing is written.

    Raises:
        UsageError: the name exists and ``replace`` is False, or it is that of a shipped table.
        ContentError: there are invalid rows; nothing was written.
        StoreWriteError: the store cannot be written; nothing was changed.
    """
    require_free_name(name, store, replace=replace)
    outcomes = None if read.collector.problems or not len(read.collector) else read.collector.to_outcomes()
    if read.collector.problems:
        raise ContentError(read.collector.problems, hint="Nothing was imported.")
    if outcomes is None:
        raise UsageError("the input contains no outcomes")
    files = read.digests
    info = TableInfo(
        name=name,
        sha256=outcomes.sha256,
        source=", ".join(file for file, _ in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else ""),
        source_sha256=files[0][1] if len(files) == 1 else fingerprint(sorted(digest for _, digest in files)),
        outcomes=len(outcomes),
        models=len(outcomes.models),
        tasks=len(outcomes.tasks),
        workloads=tuple(outcomes.workloads),
        unknown_verdicts=int((outcomes.resolved == UNKNOWN_VERDICT).sum()),
        unknown_costs=int(np.isnan(outcomes.cost_usd).sum()),
        columns=read.columns,
        origin=provenance.origin,
        licence=provenance.licence,
        note=provenance.note,
        imported=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with store.writing_outcomes(name, replace=replace) as temporary:
        try:
            _write_outcomes(outcomes, info, temporary)
        except duckdb.Error as error:
            raise store.write_error(temporary, error) from None
    return info


def require_free_name(name: str, store: Store, *, replace: bool) -> None:
    """Refuse the name of an existing table before a large file is read.

    Raises:
        UsageError: the name exists and ``replace`` is False, or it is that of a shipped table.
    """
    if name in shipped_names():
        raise UsageError(f"the name {name!r} is that of a table that ships with twinbench; choose another --name")
    if store.outcomes_file(name).exists() and not replace:
        raise UsageError(f"a table of outcomes named {name!r} exists; choose another --name, or --replace it")


def shipped_names() -> list[str]:
    """Return the names of the tables that ship with twinbench."""
    return sorted(path.stem for path in resources.published_dir().glob("outcomes/*.parquet"))


def list_tables(store: Store) -> tuple[list[TableInfo], list[TwinbenchError]]:
    """Return the descriptions of all readable tables, shipped ones first, and the errors of the others."""
    found: list[TableInfo] = []
    damaged: list[TwinbenchError] = []
    for name in (*shipped_names(), *store.outcomes_names()):
        try:
            found.append(table_info(name, store))
        except TwinbenchError as error:
            damaged.append(error)
    return found, damaged


def table_info(name: str, store: Store) -> TableInfo:
    """Read the description of a table.

    Raises:
        UsageError: there is no such table.
        TwinbenchError: its file is damaged.
    """
    with duckdb.connect() as connection:
        return _read_info(connection, *_find_file(name, store))


def open_table(name: str, store: Store) -> Table:
    """Read a table with its outcomes.

    Raises:
        UsageError: there is no such table.
        TwinbenchError: its file is damaged.
    """
    path, shipped = _find_file(name, store)
    with duckdb.connect() as connection:
        info = _read_info(connection, path, shipped)
        try:
            outcomes = _read_outcomes(connection, path)
        except duckdb.Error as error:
            raise _damage_error(path, error) from None
    return Table(info, outcomes)


def remove_table(name: str, store: Store) -> None:
    """Remove a table from the store.

    Raises:
        UsageError: there is no such table, or it ships with twinbench.
    """
    if name in shipped_names():
        raise UsageError(f"{name} ships with twinbench and cannot be removed")
    _find_file(name, store)
    store.remove_outcomes(name)


def _find_file(name: str, store: Store) -> tuple[Path, bool]:
    """Return the file of a table, and whether it ships with twinbench."""
    if name in shipped_names():
        return resources.published_dir() / "outcomes" / f"{name}.parquet", True
    path = store.outcomes_file(name)
    if not path.is_file():
        known = ", ".join((*shipped_names(), *store.outcomes_names()))
        bring = f"bring one with: twinbench outcomes import FILE --name {name}"
        raise UsageError(
            outcomes_hint(name) or f"no table of outcomes {name!r} in {store.root} (tables: {known}); {bring}"
        )
    return path, False


def _damage_error(path: Path, error: Exception) -> TwinbenchError:
    return TwinbenchError(f"{path} is damaged ({str(error).splitlines()[0]}): import the table again with --replace")


def _read_info(connection: duckdb.DuckDBPyConnection, path: Path, shipped: bool) -> TableInfo:
    try:
        query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = ?"
        [(content,)] = connection.execute(query, [str(path), _METADATA_KEY.encode()]).fetchall()
        found = TypeAdapter(TableInfo).validate_python(json.loads(content))
    except (duckdb.Error, ValueError, ValidationError) as error:
        raise _damage_error(path, error) from None
    return TableInfo(**(asdict(found) | {"shipped": shipped, "name": path.stem}))


_NAMES = ("workload", "model", "task")
_NUMBERS = ("trial", "resolved", "cost_usd", "steps")


def _write_outcomes(outcomes: Outcomes, info: TableInfo, path: Path) -> None:
    """Write the outcomes in their order, with names as strings, so that any Parquet reader can use the file."""
    columns = {name: np.ascontiguousarray(getattr(outcomes, name)) for name in (*_NAMES, *_NUMBERS)}
    with duckdb.connect() as connection:
        connection.register("outcomes", {**columns, "place": np.arange(len(outcomes))})
        for name, names in zip(_NAMES, (outcomes.workloads, outcomes.models, outcomes.tasks), strict=True):
            connection.execute(
                f"CREATE TABLE {name}s AS SELECT unnest($1::VARCHAR[]) AS name, unnest(range(len($1))) AS code",
                [list(names)],
            )
        metadata = sql_text(json.dumps(info.to_json()))
        connection.execute(f"""
            COPY (
                SELECT workloads.name AS workload, models.name AS model, tasks.name AS task, trial::INTEGER AS trial,
                    CASE WHEN resolved >= 0 THEN resolved = 1 END AS resolved,
                    CASE WHEN NOT isnan(cost_usd) THEN cost_usd END AS cost_usd,
                    CASE WHEN NOT isnan(steps) THEN steps END AS steps
                FROM outcomes
                JOIN workloads ON workloads.code = workload
                JOIN models ON models.code = model
                JOIN tasks ON tasks.code = task
                ORDER BY place
            ) TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{ {_METADATA_KEY}: {metadata} }})
        """)  # noqa: S608 - names of ours and quoted texts


def _read_outcomes(connection: duckdb.DuckDBPyConnection, path: Path) -> Outcomes:
    names: list[Sequence[str]] = []
    for name in _NAMES:
        found = connection.execute(f"SELECT DISTINCT {name} FROM read_parquet(?)", [str(path)]).fetchall()  # noqa: S608
        names.append(sorted(each for (each,) in found))
        connection.execute(
            f"CREATE TABLE {name}s AS SELECT unnest($1::VARCHAR[]) AS name, unnest(range(len($1))) AS code",
            [list(names[-1])],
        )
    columns = connection.execute(
        """
        SELECT workloads.code AS workload, models.code AS model, tasks.code AS task, trial::BIGINT AS trial,
            coalesce(resolved::TINYINT, -1)::TINYINT AS resolved,
            coalesce(cost_usd, 'nan'::DOUBLE) AS cost_usd, coalesce(steps, 'nan'::DOUBLE) AS steps
        FROM read_parquet(?) AS outcomes
        JOIN workloads ON workloads.name = workload
        JOIN models ON models.name = model
        JOIN tasks ON tasks.name = task
        """,
        [str(path)],
    ).fetchnumpy()
    columns = {name: np.asarray(values) for name, values in columns.items()}
    order = np.lexsort([columns[name] for name in ("trial", "task", "model", "workload")])
    workloads, models, tasks = names
    workload, model, task, trial, resolved, cost_usd, steps = (
        np.asarray(columns[name])[order] for name in (*_NAMES, *_NUMBERS)
    )
    return Outcomes(workloads, models, tasks, workload, model, task, trial, resolved, cost_usd, steps)
