"""Bank files opened as databases, which stay open for the next time: to open one takes as long as to score on it.

A bank file never changes; where another one stands at its path (a damaged one was mended), that is opened instead.
Large files are closed, as what DuckDB has read of them would stay in memory.
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
"""Files that stay open."""

MOST_KEPT_BYTES = 64 * 2**20
"""Of a file that stays open."""

Version = tuple[int, ...]
T = TypeVar("T")


@dataclass
class _Kept:
    version: Version
    database: duckdb.DuckDBPyConnection
    """Nobody's: as long as there is a connection, the database stays open."""
    prepared: dict[Hashable, duckdb.DuckDBPyConnection] = field(default_factory=dict)
    read: dict[Hashable, Any] = field(default_factory=dict)
    """What was read of it, for who reads the same again."""

    def close(self) -> None:
        for connection in (*self.prepared.values(), self.database):
            connection.close()


_kept: OrderedDict[Path, _Kept] = OrderedDict()
_attached: dict[Path, Version] = {}
_lock = threading.RLock()


def file_version(path: Path) -> Version:
    """What differs when another file stands at a path; empty where none does."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def connect(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection of one's own to a bank file, for reading.

    Raises:
        duckdb.Error: it cannot be opened.
    """
    with _lock:
        known = _current(path)
        if known is None:
            version = file_version(path)
            opened = duckdb.connect(str(path), read_only=True)
            if not version or version[2] > MOST_KEPT_BYTES:
                return opened
            known = _kept[path] = _Kept(version, opened)
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)[1].close()
        _kept.move_to_end(path)
        # DuckDB has a file open once in a process, so this is quick. A cursor would end with the connection it is of.
        return duckdb.connect(str(path), read_only=True)


def take(path: Path, of: Hashable) -> duckdb.DuckDBPyConnection | None:
    """A connection that was given back under ``of``, with the views that were made on it; None where there is none."""
    with _lock:
        known = _current(path)
        return None if known is None else known.prepared.pop(of, None)


def give_back(path: Path, of: Hashable, connection: duckdb.DuckDBPyConnection) -> None:
    """Keep a connection to a bank file and the views that were made on it for who needs the same ones next."""
    with _lock:
        known = _current(path)
        if known is None or of in known.prepared or len(known.prepared) >= MOST_KEPT:
            connection.close()
        else:
            known.prepared[of] = connection


def read_once(path: Path, what: Hashable, read: Callable[[], T]) -> T:
    """What ``read`` reads of a bank file, kept under ``what`` as long as the file stays open. Not to be changed."""
    with _lock:
        known = _current(path)
        if known is None:
            return read()
        if what not in known.read:
            known.read[what] = read()
        found: T = known.read[what]
        return found


def attach(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Attach a sidecar file of a bank to its database and say what its table ``base`` is called.

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
    """Close what nobody uses: for who takes away the disk under it in the same process."""
    with _lock:
        while _kept:
            _kept.popitem()[1].close()


def _current(path: Path) -> _Kept | None:
    """What is kept of a path, unless another file stands there now."""
    known = _kept.get(path)
    if known is not None and known.version != file_version(path):
        _kept.pop(path).close()
        return None
    return known
