"""Open bank files as databases and keep them open: opening one takes as long as scoring on it.

A bank file never changes; if another file is at its path (after a damaged one was replaced), that is opened instead.
Large files are closed, because DuckDB would keep what it has read of them in memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from twinbench.sql import sql_name, sql_text

MOST_KEPT = 4
"""How many files stay open."""

MOST_KEPT_BYTES = 64 * 2**20
"""Largest size of a file that stays open."""

Version = tuple[int, ...]
T = TypeVar("T")


@dataclass
class _OpenDatabase:
    version: Version
    database: duckdb.DuckDBPyConnection
    """A connection that nobody uses: it keeps the database open."""
    prepared: dict[Hashable, duckdb.DuckDBPyConnection] = field(default_factory=dict)
    read: dict[Hashable, Any] = field(default_factory=dict)
    """Results of ``read_once``, by key."""

    def close(self) -> None:
        for connection in (*self.prepared.values(), self.database):
            connection.close()


_open_databases: OrderedDict[Path, _OpenDatabase] = OrderedDict()
_attached: dict[Path, Version] = {}
_lock = threading.RLock()


def file_version(path: Path) -> Version:
    """Return what identifies the file at a path, to notice when it is replaced; empty if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a separate read-only connection to a bank file.

    Raises:
        duckdb.Error: the file cannot be opened.
    """
    with _lock:
        known = _current(path)
        if known is None:
            version = file_version(path)
            opened = duckdb.connect(str(path), read_only=True)
            if not _stays_open(version):
                return opened
            known = _open_databases[path] = _OpenDatabase(version, opened)
            while len(_open_databases) > MOST_KEPT:
                _open_databases.popitem(last=False)[1].close()
        _open_databases.move_to_end(path)
        # DuckDB opens a file once per process, so this is quick. A cursor would be closed with its parent connection.
        return duckdb.connect(str(path), read_only=True)


def open_and_keep(path: Path) -> None:
    """Open a bank file, if it is not too large to stay open, so that ``connect`` is quick.

    Raises:
        duckdb.Error: the file cannot be opened.
    """
    if _stays_open(file_version(path)):
        connect(path).close()


def take(path: Path, key: Hashable) -> duckdb.DuckDBPyConnection | None:
    """Take a connection that was given back under ``key``, with the views made on it; None if there is none."""
    with _lock:
        known = _current(path)
        return None if known is None else known.prepared.pop(key, None)


def give_back(path: Path, of: Hashable, connection: duckdb.DuckDBPyConnection) -> None:
    """Keep a connection to a bank file, with the views made on it, for the next ``take``."""
    with _lock:
        known = _current(path)
        if known is None or of in known.prepared or len(known.prepared) >= MOST_KEPT:
            connection.close()
        else:
            known.prepared[of] = connection


def read_once(path: Path, key: Hashable, read: Callable[[], T]) -> T:
    """Return what ``read`` reads from a bank file, cached under ``key`` while the file stays open. Callers must not
    modify it.
    """
    with _lock:
        known = _current(path)
        if known is None:
            return read()
        if key not in known.read:
            known.read[key] = read()
        found: T = known.read[key]
        return found


def attach(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Attach a sidecar file of a bank to its database and return the qualified name of its table ``base``.

    Raises:
        duckdb.Error: the file cannot be opened.
    """
    name = sql_name(path.name)
    with _lock:
        version = file_version(path)
        if _attached.get(path, version) != version:
            connection.execute(f"DETACH DATABASE IF EXISTS {name}")
        connection.execute(f"ATTACH IF NOT EXISTS {sql_text(path)} AS {name} (READ_ONLY)")
        _attached[path] = version
    return f"{name}.main.base"


def close_all() -> None:
    """Close all databases that are kept open; for callers that delete the files in the same process."""
    with _lock:
        while _open_databases:
            _open_databases.popitem()[1].close()


def _stays_open(version: Version) -> bool:
    """Return whether a file of this version stays open: it exists and is not too large."""
    return bool(version) and version[2] <= MOST_KEPT_BYTES


def _current(path: Path) -> _OpenDatabase | None:
    """Return what is kept for a path, unless another file is there now."""
    known = _open_databases.get(path)
    if known is not None and known.version != file_version(path):
        _open_databases.pop(path).close()
        return None
    return known
