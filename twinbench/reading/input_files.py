"""Files as they are read: opened without waiting for anybody, read within bounds, and named in every error.

A bound is on what a reader would have to keep at once, so memory stays flat whatever a file unpacks to.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from twinbench.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_EMPTY_LINES = 1_000_000
"""Lines that hold nothing, one after the other: small files can unpack to billions of them."""
MAX_ROW_BYTES = 64 * 2**20
"""Of one row. A row is one request, and no provider takes one of more than 50 MB."""

MAX_DOCUMENT_BYTES = 256 * 2**20
"""Of a file that is one JSON document, unpacked."""

MAX_UNPACKED_BYTES = 512 * 2**20
MAX_UNPACKED_RATIO = 200
"""Of packed rows: more than ``MOST_UNPACKED_BYTES`` that are more than so many times the packed ones are a bomb. Banks
pack to a fourth or a tenth."""

NO_FILE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, 0)
"""``errno`` of what ``open_regular`` raises where no file is to be had; 0 where something else is there."""

_GZIP_FIRST_BYTE = b"\x1f"
"""No JSON, and no text that is read here, begins with it."""
_BLOCK_BYTES = 2**20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


class InputError(ValueError):
    """Why an input is not read, or not read any further, as the end of a sentence about it."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; what is none (a pipe, a device) is refused at once and never waited for.

    Raises:
        OSError: it cannot be opened, or is no file; ``filename`` is ``path``.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    )  # a pipe without a writer would be waited for
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(0, "is no file", str(path))


def open_input(path: Path) -> BinaryIO:
    """Open a file that a user named.

    Raises:
        UsageError: it cannot be opened, or is no file.
    """
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"no file {path}") from None
    except OSError as error:
        if error.errno == 0:
            raise UsageError(f"{path} is no file") from None
        raise UsageError(f"cannot read {path} ({error.strerror})") from None


def path_exists(path: Path) -> bool:
    """Whether there is a file or folder, or anything else, at a path that a user named.

    Raises:
        UsageError: nobody who may not look at it can tell.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})") from None


def is_folder(path: Path) -> bool:
    """Whether there is a folder at a path that a user named, as far as one may look."""
    try:
        return path.is_dir()
    except OSError:
        return False


def standard_input() -> BinaryIO:
    """The bytes of standard input.

    Raises:
        UsageError: it is closed.
    """
    if sys.stdin is None:
        raise UsageError("standard input is closed, so nothing can be read from it")
    return sys.stdin.buffer


def read_document(file: BinaryIO, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The whole content of a file, unpacked where it is packed with gzip.

    Args:
        file: opened, at its beginning. A packed one is read twice, so it must be a file and no pipe.
        most: bytes that it may have, unpacked.

    Raises:
        InputError: it is larger, damaged or cannot be read.
    """
    with _translate_errors():
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise _too_large_error(max_bytes)
        packed = file.read(1) == _GZIP_FIRST_BYTE
        file.seek(0)
        if packed:
            size = 0
            for block in _read_blocks(
                gzip.GzipFile(fileobj=file)
            ):  # counted first, and kept only if it is small enough
                size += len(block)
                if size > max_bytes:
                    raise _too_large_error(max_bytes)
            file.seek(0)
        return read_up_to(gzip.GzipFile(fileobj=file) if packed else file, max_bytes)


def read_regular(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The content of a file that a stranger may have put there.

    Raises:
        OSError: it cannot be opened, or is no file (a pipe, a device), which is never waited for.
        InputError: it is more than ``most`` bytes, or cannot be read.
    """
    with open_regular(path) as file:
        return read_up_to(file, max_bytes)


def read_up_to(file: _Readable, max_bytes: int) -> bytes:
    """All that is left in a file, a pipe or a device.

    Raises:
        InputError: it is more than ``most`` bytes, or cannot be read.
    """
    with _translate_errors():
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise _too_large_error(max_bytes)
    return data


class InputRows:
    """The bytes of a file of rows or of standard input, unpacked where they are packed with gzip."""

    def __init__(self, file: BinaryIO) -> None:
        self._raw = _DigestingReader(file)
        self._unpacked = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of the bytes, as they are packed; of all of them once the last row was read."""
        return self._raw.digest.hexdigest()

    def lines(self) -> Iterator[bytes]:
        r"""The lines, which end with "\n" only.

        Raises:
            InputError: one is larger than ``MOST_LINE_BYTES``, more than ``MOST_EMPTY_LINES`` follow each other, there
                is more than packed rows may unpack to, or it cannot be read any further.
        """
        empty = 0
        with _translate_errors():
            stream, packed = self._stream()
            while line := stream.readline(MAX_ROW_BYTES + 1):
                if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
                    raise InputError(
                        f"is larger than {format_mib(MAX_ROW_BYTES)}, which is the most that a row may have"
                    )
                empty = empty + 1 if line.isspace() else 0
                if empty > MOST_EMPTY_LINES:
                    raise InputError(f"more than {MOST_EMPTY_LINES:,} empty lines follow each other here")
                if packed:
                    self._add_unpacked(len(line))
                yield line

    def blocks(self) -> Iterator[bytes]:
        """The content, in pieces of about a megabyte.

        Raises:
            InputError: there is more than packed rows may unpack to, or it cannot be read any further.
        """
        with _translate_errors():
            stream, packed = self._stream()
            for block in _read_blocks(stream):
                if packed:
                    self._add_unpacked(len(block))
                yield block

    def _stream(self) -> tuple[_Readable, bool]:
        buffered = io.BufferedReader(self._raw, _BLOCK_BYTES)
        packed = buffered.peek(1)[:1] == _GZIP_FIRST_BYTE
        return (gzip.GzipFile(fileobj=buffered), True) if packed else (buffered, False)

    def _add_unpacked(self, size: int) -> None:
        self._unpacked += size
        refuse_gzip_bomb(self._unpacked, self._raw.size)


def refuse_gzip_bomb(unpacked: int, packed: int) -> None:
    """Refuse rows that unpack to far more than what they are packed in.

    Raises:
        InputError: they do.
    """
    if unpacked > MAX_UNPACKED_BYTES and unpacked > MAX_UNPACKED_RATIO * packed:
        raise InputError(
            f"unpacks to more than {format_mib(MAX_UNPACKED_BYTES)} and {MAX_UNPACKED_RATIO} times what it is packed in: what is "
            "really so large can be read as .jsonl, unpacked"
        )


def format_mib(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size // 2**20:,} MiB"


class _DigestingReader(io.RawIOBase):
    """Passes on what is read from a file, and makes its digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        # What is there, as with a pipe that somebody is still writing to.
        read = self._file.read1 if isinstance(self._file, io.BufferedReader) else self._file.read
        data = read(len(view))
        view[: len(data)] = data
        self.digest.update(data)
        self.size += len(data)
        return len(data)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Say in our words what reading raises; none of it names a file, so whoever opened it has to."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"the gzip data is damaged or cut short ({error})") from None
    except OSError as error:
        raise InputError(f"cannot be read any further ({error.strerror or error})") from None


def _read_blocks(file: _Readable) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


def _too_large_error(max_bytes: int) -> InputError:
    return InputError(f"is larger than {format_mib(max_bytes)}, which is the most that it may have")
