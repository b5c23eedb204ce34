"""The journal of a run: append-only JSON lines in a hash chain, from which everything else is derived.

A line is ``{"fields", "kind", "number", "prev", "sha256"}``: ``sha256`` is of the line without itself, as canonical
JSON in ASCII, and ``prev`` is the line before's. So a line that was edited, removed or moved is found and named. What
a chain cannot show is the end being cut off: whoever has to rule that out keeps ``Journal.head`` elsewhere.

A line is handed to the kernel with one write before ``append`` returns: a kill loses nothing that was appended, and
``sync`` makes it outlast the machine too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import os
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, overload

from filelock import FileLock, Timeout

from twinbench.errors import TwinbenchError
from twinbench.reading.input_files import in_mib, open_regular
from twinbench.storage.files import flush_folder, make_folder

FILE = "journal.jsonl"
REDACTED = "[secret]"
SHORTEST_SECRET = 7
"""What is shorter is no secret but what local servers are given in a key's place (``none``, ``ollama``): its removal
would garble the names of models."""

LOCK = "writer.lock"
"""Held by the process that writes."""
_MOST_LINE_BYTES = 128 * 2**20
"""Of a line: twice a provider's largest answer. A longer one is not written, nor taken into memory to be read."""
_MOST_UNPACKED_BYTES = 2 * _MOST_LINE_BYTES
_MOST_SHOWN = in_mib(_MOST_LINE_BYTES)
_PACKED = "zlib:"
_ESCAPE = "\\u"
"""Begins what JSON writes of a character in digits."""
_LINE = re.compile(rb'(?P<body>\{.*),"sha256":"(?P<sha256>[0-9a-f]{64})"\}', re.DOTALL)


class JournalError(TwinbenchError):
    """The journal cannot be written, or is not what was written; names the file and the line."""


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

    def __init__(self, entries: Sequence[Entry], torn: bytes, note: str | None) -> None:
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
    reader = _Reader(folder / FILE)
    entries = list(reader)
    note = None
    if reader.torn:
        note = f"{reader.path}, line {len(entries) + 1}: ends in the middle and is left out"
    return Entries(entries, reader.torn, note)


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
        path = folder / FILE
        lock = FileLock(folder / LOCK, thread_local=False)
        try:
            make_folder(folder)
            lock.acquire(blocking=False)
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
            if len(line) > _MOST_LINE_BYTES:
                raise JournalError(
                    f"cannot write {self.path}: a line of kind {kind} would be larger than {_MOST_SHOWN}"
                )
            self._write(line, _Head(number, sha256, self._head.end + len(line)))
        if sync:
            self.sync()
        return number

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


class Secrets:
    """What must not be written down, in every form that it is likely to turn up in."""

    def __init__(self, values: Iterable[str]) -> None:
        """Secrets; values of fewer than ``SHORTEST_SECRET`` characters are none."""
        secrets = {value.strip() for value in values if len(value.strip()) >= SHORTEST_SECRET}
        forms = set().union(*map(_forms, secrets))
        self._texts = sorted(forms, key=lambda form: (-len(form), form))
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in self._texts]
        quoted = [_quoted_form(secret) for secret in sorted(secrets, key=lambda secret: (-len(secret), secret))]
        self._quoted = [re.compile(form) for form in quoted]
        self._quoted_bytes = [re.compile(form.encode()) for form in quoted]
        escaped = [_escaped_form(secret) for secret in sorted(secrets, key=lambda secret: (-len(secret), secret))]
        self._escaped = [re.compile(form) for form in escaped]
        self._escaped_bytes = [re.compile(form.encode()) for form in escaped]

    def redacted(self, text: str) -> str:
        """``text`` with ``[secret]`` for each secret."""
        for form in self._texts:
            text = text.replace(form, REDACTED)
        # What searches character by character is slow: it looks where there is something to find.
        for quoted in self._quoted if "%" in text or "+" in text else ():
            text = quoted.sub(REDACTED, text)
        for escaped in self._escaped if _ESCAPE in text else ():
            text = escaped.sub(REDACTED, text)
        return text

    def redacted_bytes(self, data: bytes) -> bytes:
        """The same for bytes."""
        for form in self._bytes:
            data = data.replace(form, REDACTED.encode())
        for quoted in self._quoted_bytes if b"%" in data or b"+" in data else ():
            data = quoted.sub(REDACTED.encode(), data)
        for escaped in self._escaped_bytes if _ESCAPE.encode() in data else ():
            data = escaped.sub(REDACTED.encode(), data)
        return data

    def plain(self, value: Any) -> Any:
        """``value`` as JSON can say it, without secrets.

        Raises:
            TypeError: it has something that has no form in a journal.
        """
        if isinstance(value, str):
            return self._plain_text(str(value))
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Decimal):
            return format(value, "f")
        if isinstance(value, bytes | bytearray | memoryview):
            return packed(self.redacted_bytes(bytes(value)))
        if isinstance(value, Path):
            return self.redacted(str(value))
        if isinstance(value, Mapping):
            return {self.redacted(str(key)): self.plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item) for item in value]
        raise TypeError(f"a journal has no form for a {type(value).__name__}: {value!r:.60}")

    def _plain_text(self, text: str) -> str:
        if self._texts and text.startswith(_PACKED):
            with suppress(JournalError):
                data = unpacked(text)
                cleaned = self.redacted_bytes(data)
                return text if cleaned == data else packed(cleaned)
        return self.redacted(text)


def packed(data: bytes) -> str:
    """``data`` compressed and as text, as large payloads are kept; ``unpacked`` gives it back.

    Raises:
        JournalError: it is larger than ``unpacked`` unpacks.
    """
    if len(data) > _MOST_UNPACKED_BYTES:
        raise JournalError(f"data of {len(data):,} bytes is too large for a journal")
    return _PACKED + base64.b64encode(zlib.compress(data)).decode()


def unpacked(text: str) -> bytes:
    """What ``packed`` made text of.

    Raises:
        JournalError: it made no such text.
    """
    if not text.startswith(_PACKED):
        raise JournalError(f"no packed data: {text[:20]!r}")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text[len(_PACKED) :], validate=True), _MOST_UNPACKED_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise JournalError(f"packed data is damaged: {error}") from None
    if not unpacker.eof:
        larger = len(data) > _MOST_UNPACKED_BYTES
        raise JournalError(
            f"packed data is {'larger than any that was packed' if larger else 'damaged: it is cut short'}"
        )
    return data


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
                    line = file.readline(_MOST_LINE_BYTES + 1)
                    if len(line) > _MOST_LINE_BYTES:
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
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    types = {"fields": dict, "kind": str, "number": int, "prev": str, "sha256": str}
    if record.keys() != types.keys() or any(type(record[key]) is not kind for key, kind in types.items()):
        return None
    return Entry(**record)


def _forms(secret: str) -> set[str]:
    """A secret as it is, JSON-escaped once and twice, and in base64, alone or within something longer."""
    once = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped = once | {json.dumps(text)[1:-1] for text in once}
    escaped |= {text.replace("/", "\\/") for text in (secret, *once)}  # as PHP and some gateways write JSON
    data = secret.encode("utf-8", "surrogatepass")
    encoded = set()
    for before in range(3):
        # Where it begins in a group of three bytes decides its base64; only characters that are its own count.
        text = base64.b64encode(bytes(before) + data).decode()
        own = text[-(-8 * before // 6) : 8 * (before + len(data)) // 6]
        encoded |= {own, own.translate(str.maketrans("+/", "-_"))}
    encoded |= {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()}
    return {secret, *escaped, *encoded}


def _quoted_form(secret: str) -> str:
    """A pattern for a secret in a URL: which characters are quoted, and in which letters, differs between encoders."""
    parts = []
    for byte in secret.encode("utf-8", "surrogatepass"):
        code, char = f"%(?i:{byte:02x})", re.escape(chr(byte))
        if byte >= 0x80:
            parts.append(code)
        elif byte == ord(" "):
            parts.append(rf"(?: |\+|{code})")
        else:
            parts.append(char if chr(byte).isalnum() else f"(?:{char}|{code})")
    return "".join(parts)


def _escaped_form(secret: str) -> str:
    """A pattern for a secret in JSON, any of whose characters may be escaped, also as JSON within JSON."""
    parts = []
    for char in secret:
        units = char.encode("utf-16-be", "surrogatepass")
        codes = (f"(?i:{units[place : place + 2].hex()})" for place in range(0, len(units), 2))
        # JSON within JSON doubles backslashes: eight are three deep. Without a bound a long run of them takes quadratic
        # time, in which no other thread runs.
        coded = "".join(rf"\\{{1,8}}u{code}" for code in codes)
        plain = rf"\\{{0,8}}{re.escape(char)}" if char in '"\\/' else re.escape(char)
        parts.append(f"(?:{plain}|{coded})")
    return "".join(parts)


def _unused(path: Path) -> Path:
    tries = 0
    candidate = path
    while candidate.exists():
        tries += 1
        candidate = path.with_name(f"{path.stem}-{tries}{path.suffix}")
    return candidate


def _cannot_write(path: Path, error: Exception) -> JournalError:
    return JournalError(f"cannot write {path} ({getattr(error, 'strerror', None) or error})")
