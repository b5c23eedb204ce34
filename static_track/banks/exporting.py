"""Export a bank to a file: every imported row with all its fields."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from static_track.banks.bank import Bank
from static_track.banks.rows import ROW_FIELDS, compact_json
from twinbench.errors import TwinbenchError, UsageError
from twinbench.reading.rows import STDIN, SUFFIXES
from twinbench.sql import sql_name, sql_text
from twinbench.storage.files import written

_TYPED = {"id": "VARCHAR", "benchmark": "VARCHAR", "instance_id": "VARCHAR", "target_tier": "VARCHAR"} | dict.fromkeys(
    ("step_index", "total_steps", "target_tier_id"), "INTEGER"
)


def export_bank(bank: Bank, target: str, split: str | None = None) -> None:
    """Write a bank, or a part of it, to a file or to standard output (``-``).

    The file's suffix determines the format: ``.jsonl``, ``.jsonl.gz``, ``.json`` or ``.parquet``.
    JSON lines are the canonical export, whose SHA-256 is the bank's. Gzip and Parquet contain the same rows.

    Raises:
        UsageError: the suffix is unknown, or the part does not exist.
        TwinbenchError: the file cannot be written.
    """
    bank.split(split)  # fail before a file is created
    if target == STDIN:
        _write_lines(sys.stdout.buffer, bank.lines(split))
        sys.stdout.buffer.flush()
        return
    if not target.endswith(SUFFIXES):
        raise UsageError(f"{target}: unknown suffix; use {', '.join(SUFFIXES)}, or - for standard output")
    with written(Path(target)) as path:
        if target.endswith(".parquet"):
            _write_parquet(path, bank, split)
            return
        with path.open("wb") as file:
            if target.endswith(".gz"):
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as compressed:
                    _write_lines(compressed, bank.lines(split))
            elif target.endswith(".json"):
                for position, line in enumerate(bank.lines(split)):
                    file.write(("[\n" if position == 0 else ",\n").encode() + line.encode())
                file.write(b"\n]\n")
            else:
                _write_lines(file, bank.lines(split))


def canonical_sha256(bank: Bank, split: str | None = None) -> str:
    """Return the SHA-256 (hex) of the canonical export of a bank, or of a part of it.

    Raises:
        UsageError: the part does not exist.
    """
    digest = hashlib.sha256()
    for line in bank.lines(split):
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _write_lines(file: IO[bytes] | gzip.GzipFile, lines: Iterable[str]) -> None:
    for line in lines:
        file.write(line.encode())
        file.write(b"\n")


def _write_parquet(path: Path, bank: Bank, split: str | None) -> None:
    """Write one column per field. All but the protocol's plain fields are JSON, so that null and absent stay
    distinct.
    """
    import duckdb

    extra = sorted({key for row in bank.rows(split) for key in row if key not in ROW_FIELDS})
    _refuse_as_columns([*ROW_FIELDS, *extra])
    columns = {name: _TYPED.get(name, "JSON") for name in (*ROW_FIELDS, *extra)}
    names = ", ".join(map(sql_name, columns))
    chunk: list[dict[str, object]] = []
    with duckdb.connect() as connection:
        declared = ", ".join(f"{sql_name(name)} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TABLE bank ({declared})")

        def flush() -> None:
            values = [
                [None if name not in row else row[name] if kind != "JSON" else compact_json(row[name]) for row in chunk]
                for name, kind in columns.items()
            ]
            unnested = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(columns.values(), 1))
            connection.execute(f"INSERT INTO bank ({names}) SELECT {unnested}", values)
            chunk.clear()

        for row in bank.rows(split):
            chunk.append(row)
            if len(chunk) == 256:
                flush()
        if chunk:
            flush()
        try:
            connection.execute(f"COPY bank TO {sql_text(path)} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.IOException as error:
            no_space = os.strerror(errno.ENOSPC)  # DuckDB wraps the system's message in its own text
            raise OSError(no_space if no_space in str(error) else str(error).splitlines()[0]) from None


def _refuse_as_columns(fields: Iterable[str]) -> None:
    """Refuse fields that cannot be columns of one file: DuckDB, which reads them back, ignores case in names."""
    seen: dict[str, str] = {"": "nothing"}
    for field in fields:
        if (other := seen.setdefault(field.lower(), field)) != field:
            raise TwinbenchError(
                f"Parquet cannot store both fields {field!r} and {other!r}: export as .jsonl, .jsonl.gz or .json"
            )
