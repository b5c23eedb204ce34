"""The journal of a run: append-only JSON lines in a hash chain, from which everything else is derived.

A line is ``{"fields", "kind", "number", "prev", "sha256"}``: ``sha256`` is of the line without itself, as canonical
JSON in ASCII, and ``prev`` is the line before's. So a line that was edited, removed or moved is found and named. What
a chain cannot show is the end being cut off: whoever has to rule that out keeps ``Journal.head`` elsewhere.

A line is handed to the kernel with one write before ``append`` returns: a kill loses nothing that was appended, and
``sync`` makes it outlast the machine too.
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
from twinbench.reading.input_files import in_mib, open_regular
from twinbench.storage.files import flush_folder, make_folder

JOURNAL_FILE = "journal.jsonl"
LOCK = "writer.lock"
"""Held by the process that writes."""
_LOOKING_S = 0.5
"""Who only looks whether somebody writes holds the lock for much less."""
_MOST_SHOWN = in_mib(MOST_LINE_BYTES)
_MOST_LINE_DEPTH = MOST_DEPTH + 2
"""The line itself, and its fields with what is written in them."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_TYPES = {"fields": dict, "kind": str, "number": int, "prev": str, "sha256": str}
_LINE = re.compile(rb'(?P<body>\{.*),"sha256":"(?P<sha256>[0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal."""

    number: int
    """Counts from 1 and is the line's number too."""
    kind: str
    fields: Mapping[str, Any]
    prev: str
    """The hash of the line before."""
    sha256: str


class _Head(NamedTuple):
    """How far a journal goes."""

    number: int = 0
    sha256: str = "0" * 64
    end: int = 0
    """In bytes, whole lines only."""


class Entries(Sequence[Entry]):
    """What stands in a journal, whole lines only."""

    def __init__(self, path: Path, entries: Sequence[Entry], torn: bytes, note: str | None) -> None:
        self.path = path
        """The file."""
        self._entries = entries
        self.torn = torn
        """The start of a line that a kill cut short, or that is just being written."""
        self.note = note
        """What there is to say about that; None where the last line is whole."""

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return self._entries[index]


def read_journal(folder: Path) -> Entries:
    """The journal of a run, checked from its first line to its last; also while it is being written.

    Raises:
        JournalError: there is none, or a line is not as it was written or not where it was.
    """
    reader = _Reader(folder / JOURNAL_FILE)
    entries = list(reader)
    note = None
    if reader.torn:
        note = f"{reader.path}, line {len(entries) + 1}: ends in the middle and is left out"
    return Entries(reader.path, entries, reader.torn, note)


class Journal:
    """A journal open for writing, by one process at a time and any number of its threads."""

    def __init__(self, path: Path, fd: int, lock: FileLock, reader: _Reader, secrets: Secrets) -> None:
        """Use ``Journal.open``."""
        self.path = path
        self.torn: Path | None = None
        """Where the start of a line lies that a kill had cut short and that was taken off the end."""
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
        """Open or begin the journal in a folder, and check all that stands in it.

        Args:
            folder: ``journal/`` of a run; made where it is missing.
            secrets: what must never stand in it: a key's value, as it is or JSON-escaped, URL-quoted or in base64.

        Raises:
            JournalError: another process writes to it, it cannot be written, or it is not what was written.
        """
        path = folder / JOURNAL_FILE
        lock = FileLock(folder / LOCK, thread_local=False)
        try:
            make_folder(folder)
            lock.acquire(timeout=_LOOKING_S, poll_interval=0.01)
        except Timeout:
            raise JournalError(f"{folder} is being written by another process: wait for it or stop it") from None
        except (OSError, NotImplementedError) as error:
            raise _cannot_write(path, error) from None
        fd = None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            flush_folder(folder)
            reader = _Reader(path)
            for _ in reader:
                pass
            journal = cls(path, fd, lock, reader, Secrets(secrets))
            if reader.torn:
                journal._cut(reader.torn)
        except BaseException as error:
            if fd is not None:
                os.close(fd)
            lock.release()
            if isinstance(error, OSError):
                raise _cannot_write(path, error) from None
            raise
        return journal

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last line: with these a copy can be told from one that lacks its end."""
        with self._appending:
            return self._head.number, self._head.sha256

    def append(self, kind: str, /, *, sync: bool = False, **fields: Any) -> int:
        """Write a line; once this returns, a kill does not lose it.

        Secrets are written as ``[secret]``. Bytes are packed (``unpacked`` gives them back), and secrets in them are
        taken out before; so they are in what was packed before it was handed over. Decimals, paths and numbers that
        JSON does not have (infinite, not a number) become text.

        Args:
            kind: what the line tells.
            sync: make it outlast a crash of the machine too (fsync).
            fields: any JSON, and the types named above.

        Returns:
            The line's number.

        Raises:
            JournalError: it cannot be written; the journal then is as it was.
        """
        plain = self._secrets.plain(fields)
        kind = self._secrets.redacted(kind)
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

    def write(self, line: Line, *, sync: bool = False) -> int:
        """Write a line of a kind that is known: what was set of it; as ``append``.

        Args:
            line: what to write.
            sync: make it outlast a crash of the machine too (fsync).

        Raises:
            JournalError: it cannot be written; the journal then is as it was.
        """
        return self.append(line.kind, sync=sync, **line.written())

    def sync(self) -> None:
        """Make all that was appended outlast a crash of the machine; threads that wait for it share one fsync.

        Raises:
            JournalError: the disk does not take it; nothing more is appended then, since what it holds is unknown.
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
                raise _cannot_write(self.path, error) from None
            self._synced_to = end

    def entries(self) -> Sequence[Entry]:
        """All that was appended up to now, read and checked again."""
        with self._appending:
            end = self._head.end
        return list(_Reader(self.path, end))

    def close(self) -> None:
        """Let another process write; closing twice is as good as once."""
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
            while rest:  # once, but for a disk that fills up
                rest = rest[os.write(self._fd, rest) :]
            self._head = head
        except BaseException as error:
            try:
                os.ftruncate(self._fd, self._head.end)  # a part of the line may stand there
            except OSError as second:
                self._broken = f"a line was written in part only ({second.strerror})"
            if isinstance(error, OSError):
                raise _cannot_write(self.path, error) from None
            raise

    def _cut(self, torn: bytes) -> None:
        """Take the start of a line off the end, and keep it in a file of its own."""
        self.torn = aside = _unused(self.path.with_name(f"torn-{self._head.number + 1}.bin"))
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
    """Reads a journal line by line and checks each; knows afterwards how it ended."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        """A reader.

        Args:
            path: the file.
            end: where to stop, in bytes; None for where the file ends now, though it may be growing.
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
                        raise JournalError(f"{place}: is larger than {_MOST_SHOWN}, as no line of a journal is")
                    if not line.endswith(b"\n"):
                        self.torn = line
                        return
                    entry = self._entry(line[:-1])
                    self.head = _Head(entry.number, entry.sha256, self.head.end + len(line))
                    yield entry
        except FileNotFoundError:
            raise JournalError(f"there is no journal: {self.path} is missing") from None
        except OSError as error:
            raise JournalError(f"cannot read {self.path} ({error.strerror or error})") from None

    def _entry(self, line: bytes) -> Entry:
        expected = self.head.number + 1
        place = f"{self.path}, line {expected}"
        match = _LINE.fullmatch(line)
        if match is None:
            raise JournalError(f"{place}: is no journal line; it was edited or damaged")
        sha256 = match["sha256"].decode()
        if hashlib.sha256(match["body"] + b"}").hexdigest() != sha256:
            raise JournalError(f"{place}: was edited: its hash is not that of its content")
        entry = _parsed(line)
        if entry is None:
            raise JournalError(f"{place}: is no journal line, though its hash is right")
        if entry.number != expected:
            what = (
                "lines before it are missing" if entry.number > expected else "it stands in another place than it did"
            )
            raise JournalError(
                f"{place}: has the number {entry.number}, not {expected}: {what}, or their order changed"
            )
        if entry.prev != self.head.sha256:
            raise JournalError(f"{place}: does not follow from the line before it, which is another than it was")
        return entry


def _parsed(line: bytes) -> Entry | None:
    try:
        record = from_json(line)  # which refuses what is nested deep, and halves of surrogate pairs
    except ValueError:
        record = _parsed_slowly(line)
    if not isinstance(record, dict) or len(record) != len(_TYPES):
        return None
    for key, kind in _TYPES.items():
        if type(record.get(key)) is not kind:
            return None
    return Entry(**record)


def _parsed_slowly(line: bytes) -> Any:
    """What Python's own parser makes of a line; None where that is nothing, or nested beyond all use."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return None if _depth(line) > _MOST_LINE_DEPTH else record


def _depth(line: bytes) -> int:
    """How deep a line is nested at most; looked at closely only where it has brackets enough."""
    if line.count(b"{") + line.count(b"[") <= MOST_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", line)):
        depth += 1 if bracket[0] in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _unused(path: Path) -> Path:
    tries = 0
    candidate = path
    while candidate.exists():
        tries += 1
        candidate = path.with_name(f"{path.stem}-{tries}{path.suffix}")
    return candidate


def _cannot_write(path: Path, error: Exception) -> JournalError:
    return JournalError(f"cannot write {path} ({getattr(error, 'strerror', None) or error})")
