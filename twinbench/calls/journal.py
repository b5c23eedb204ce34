"""The journal of a run: append-only JSON lines in a hash chain, from which all results are derived.

A line is ``{"fields", "kind", "number", "prev", "sha256"}``: ``sha256`` is the hash of the line without that field, as
canonical ASCII JSON, and ``prev`` is the hash of the previous line. So a line that was edited, removed or moved is
detected. A chain cannot show that its end was cut off: to rule that out, keep ``Journal.head`` elsewhere.

``append`` hands a line to the kernel with one write before it returns: a killed process loses nothing that was
appended. ``sync`` makes it survive a crash of the machine too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, overload

from filelock import FileLock, Timeout
from pydantic_core import from_json

from twinbench.calls.lines import Line
from twinbench.calls.packing import MOST_DEPTH, MOST_LINE_BYTES
from twinbench.calls.redaction import Secrets
from twinbench.errors import JournalError
from twinbench.reading.input_files import format_mib, open_regular
from twinbench.storage.files import flush_folder, make_folder

JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "writer.lock"
"""Lock file of the process that writes the journal."""
_LOCK_TIMEOUT_S = 0.5
"""How long to wait for the lock; a process that only checks for a writer holds it for much less."""
_MOST_SHOWN = format_mib(MOST_LINE_BYTES)
_MOST_LINE_DEPTH = MOST_DEPTH + 2
"""Nesting depth of a line: the line, its ``fields`` object, and the fields' values."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_TYPES = {"fields": dict, "kind": str, "number": int, "prev": str, "sha256": str}
_LINE = re.compile(rb'(?P<body>\{.*),"sha256":"(?P<sha256>[0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    number: int
    """The line's number in the file, from 1."""
    kind: str
    fields: Mapping[str, Any]
    prev: str
    """The hash of the previous line."""
    sha256: str


class _Head(NamedTuple):
    """The last line of a journal: its number, hash and end."""

    number: int = 0
    sha256: str = "0" * 64
    end: int = 0
    """Offset in bytes of the end of the last complete line."""


class Entries(Sequence[Entry]):
    """The complete lines of a journal."""

    def __init__(self, path: Path, entries: Sequence[Entry], torn: bytes, note: str | None) -> None:
        self.path = path
        """The file."""
        self._entries = entries
        self.torn = torn
        """An incomplete last line: cut short by a kill, or just being written."""
        self.note = note
        """A note about the incomplete line, for the user; None if the last line is complete."""

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return self._entries[index]


def read_journal(folder: Path) -> Entries:
    """Read a run's journal and verify it from the first line to the last; works while it is being written, too.

    Raises:
        JournalError: there is no journal, or a line was edited, removed or moved.
    """
    reader = _Reader(folder / JOURNAL_FILE)
    entries = list(reader)
    note = None
    if reader.torn:
        note = f"{reader.path}, line {len(entries) + 1}: the line is incomplete and is ignored"
    return Entries(reader.path, entries, reader.torn, note)


class Journal:
    """A journal open for writing, by one process at a time and any number of its threads."""

    def __init__(self, path: Path, fd: int, lock: FileLock, reader: _Reader, secrets: Secrets) -> None:
        """Not for callers: use ``Journal.open``."""
        self.path = path
        self.torn: Path | None = None
        """The file that an incomplete last line was moved to; None if there was none."""
        self._fd = fd
        self._lock = lock
        self._secrets = secrets
        self._head = reader.head  # one attribute, so that an interrupt finds the old state or the new one
        self._synced_to = 0
        self._broken: str | None = None
        self._appending = threading.Lock()
        self._syncing = threading.Lock()

    @classmethod
    def open(cls, folder: Path, secrets: Iterable[str] = ()) -> Self:
        """Open or create the journal in a folder, and verify all its lines.

        Args:
            folder: ``journal/`` of a run; created if it is missing.
            secrets: values that must never be written to it, such as API keys; their JSON-escaped, URL-quoted and
                base64 forms are removed too.

        Raises:
            JournalError: another process writes to it, it cannot be written, or a line was changed.
        """
        path = folder / JOURNAL_FILE
        lock = FileLock(folder / LOCK_FILE, thread_local=False)
        try:
            make_folder(folder)
            lock.acquire(timeout=_LOCK_TIMEOUT_S, poll_interval=0.01)
        except Timeout:
            raise JournalError(f"another process is writing the journal in {folder}: wait for it or stop it") from None
        except (OSError, NotImplementedError) as error:
            raise _write_error(path, error) from None
        fd = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            flush_folder(folder)
            reader = _Reader(path)
            for _ in reader:
                pass
            journal = cls(path, fd, lock, reader, Secrets(secrets))
            if reader.torn:
                journal._cut_torn_line(reader.torn)
        except BaseException as error:
            if fd is not None:
                os.close(fd)
            lock.release()
            if isinstance(error, OSError):
                raise _write_error(path, error) from None
            raise
        return journal

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last line; with these a truncated copy can be detected."""
        with self._appending:
            return self._head.number, self._head.sha256

    def append(self, kind: str, /, *, sync: bool = False, **fields: Any) -> int:
        """Append a line; once this returns, it survives a kill of the process.

        Secrets are replaced by ``[secret]``, also within bytes and within text that was packed before. Bytes are packed
        (``unpack`` restores them). Decimals, paths and non-finite numbers become text.

        Args:
            kind: the kind of line.
            sync: make it survive a crash of the machine too (fsync).
            fields: JSON values and the types named above.

        Returns:
            The line's number.

        Raises:
            JournalError: the line cannot be written; the journal is unchanged.
        """
        plain = self._secrets.to_plain_json(fields)
        kind = self._secrets.redact(kind)
        with self._appending:
            self._refuse_if_broken()
            number = self._head.number + 1
            record = {"fields": plain, "kind": kind, "number": number, "prev": self._head.sha256}
            body = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
            sha256 = hashlib.sha256(body.encode()).hexdigest()
            line = f'{body[:-1]},"sha256":"{sha256}"}}\n'.encode()
            if len(line) > MOST_LINE_BYTES:
                raise JournalError(
                    f"cannot write {self.path}: a line of kind {kind} would be larger than {_MOST_SHOWN}"
                )
            self._write(line, _Head(number, sha256, self._head.end + len(line)))
        if sync:
            self.sync()
        return number

    def append_line(self, line: Line, *, sync: bool = False) -> int:
        """Append a line given as a model, with the fields that were set, like ``append``.

        Args:
            line: the line to write.
            sync: make it survive a crash of the machine too (fsync).

        Raises:
            JournalError: the line cannot be written; the journal is unchanged.
        """
        return self.append(line.kind, sync=sync, **line.to_fields())

    def sync(self) -> None:
        """Make everything appended so far survive a crash of the machine; threads that wait for it share one fsync.

        Raises:
            JournalError: fsync failed; the journal then refuses further lines, since the disk's state is unknown.
        """
        with self._appending:
            self._refuse_if_broken()
            wanted = self._head.end
        with self._syncing:
            if self._synced_to >= wanted:
                return
            with self._appending:
                self._refuse_if_broken()
                end = self._head.end
            try:
                os.fsync(self._fd)
            except OSError as error:
                with self._appending:
                    self._broken = f"an fsync failed before ({error.strerror})"
                raise _write_error(self.path, error) from None
            self._synced_to = end

    def entries(self) -> Sequence[Entry]:
        """Read and verify again all lines that were appended up to now."""
        with self._appending:
            end = self._head.end
        return list(_Reader(self.path, end))

    def close(self) -> None:
        """Close the journal, so that another process can write it. Closing twice is allowed."""
        with self._syncing, self._appending:
            if self._fd < 0:
                return
            os.close(self._fd)
            self._fd = -1
            self._broken = "it is closed"
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: bytes, head: _Head) -> None:
        rest = memoryview(line)
        try:
            while rest:  # one write, except on a disk that fills up
                rest = rest[os.write(self._fd, rest) :]
            self._head = head
        except BaseException as error:
            try:
                os.ftruncate(self._fd, self._head.end)  # a part of the line may have been written
            except OSError as second:
                self._broken = f"a line was written in part only ({second.strerror})"
            if isinstance(error, OSError):
                raise _write_error(self.path, error) from None
            raise

    def _cut_torn_line(self, torn: bytes) -> None:
        """Remove an incomplete last line from the journal and keep it in a file of its own."""
        self.torn = aside = _unused_path(self.path.with_name(f"torn-{self._head.number + 1}.bin"))
        with aside.open("xb") as file:
            file.write(torn)
            file.flush()
            os.fsync(file.fileno())
        flush_folder(aside.parent)
        os.ftruncate(self._fd, self._head.end)
        os.fsync(self._fd)

    def _refuse_if_broken(self) -> None:
        if self._broken is not None:
            raise JournalError(f"cannot write {self.path}: {self._broken}; open the journal again")


class _Reader:
    """Reads a journal line by line and verifies each; ``head`` and ``torn`` then tell how it ended."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        """Make a reader.

        Args:
            path: the journal file.
            end: the offset in bytes at which to stop; None for the file's current end, though it may be growing.
        """
        self.path = path
        self.head = _Head()
        self.torn = b""
        self._stop = end

    def __iter__(self) -> Iterator[Entry]:
        try:
            with open_regular(self.path) as file:
                stop = os.fstat(file.fileno()).st_size if self._stop is None else self._stop
                while self.head.end < stop:
                    line = file.readline(MOST_LINE_BYTES + 1)
                    if len(line) > MOST_LINE_BYTES:
                        place = f"{self.path}, line {self.head.number + 1}"
                        raise JournalError(
                            f"{place}: the line is larger than {_MOST_SHOWN}, the limit of a journal line"
                        )
                    if not line.endswith(b"\n"):
                        self.torn = line
                        return
                    entry = self._verify_line(line[:-1])
                    self.head = _Head(entry.number, entry.sha256, self.head.end + len(line))
                    yield entry
        except FileNotFoundError:
            raise JournalError(f"there is no journal: {self.path} is missing") from None
        except OSError as error:
            raise JournalError(f"cannot read {self.path} ({error.strerror or error})") from None

    def _verify_line(self, line: bytes) -> Entry:
        expected = self.head.number + 1
        place = f"{self.path}, line {expected}"
        match = _LINE.fullmatch(line)
        if match is None:
            raise JournalError(f"{place}: not a journal line; it was edited or damaged")
        sha256 = match["sha256"].decode()
        if hashlib.sha256(match["body"] + b"}").hexdigest() != sha256:
            raise JournalError(f"{place}: the line was edited: its hash does not match its content")
        entry = _parse(line)
        if entry is None:
            raise JournalError(f"{place}: not a journal line, though its hash matches")
        if entry.number != expected:
            what = "lines before it are missing" if entry.number > expected else "the line was moved or repeated"
            raise JournalError(
                f"{place}: the line has the number {entry.number}, not {expected}: {what}, or the order changed"
            )
        if entry.prev != self.head.sha256:
            raise JournalError(f"{place}: its prev is not the hash of the previous line, which was replaced")
        return entry


def _parse(line: bytes) -> Entry | None:
    try:
        record = from_json(line)  # which refuses what is nested deep, and halves of surrogate pairs
    except ValueError:
        record = _parse_leniently(line)
    if not isinstance(record, dict) or len(record) != len(_TYPES):
        return None
    for key, kind in _TYPES.items():
        if type(record.get(key)) is not kind:
            return None
    return Entry(**record)


def _parse_leniently(line: bytes) -> Any:
    """Parse a line with Python's own parser; None if it is not JSON or is nested too deeply."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return None if _depth(line) > _MOST_LINE_DEPTH else record


def _depth(line: bytes) -> int:
    """Return the largest nesting depth of a line; counted only if the line has enough brackets to matter."""
    if line.count(b"{") + line.count(b"[") <= MOST_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", line)):
        depth += 1 if bracket[0] in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _unused_path(path: Path) -> Path:
    tries = 0
    candidate = path
    while candidate.exists():
        tries += 1
        candidate = path.with_name(f"{path.stem}-{tries}{path.suffix}")
    return candidate


def _write_error(path: Path, error: Exception) -> JournalError:
    return JournalError(f"cannot write {path} ({getattr(error, 'strerror', None) or error})")
