"""Open and read input files without blocking on pipes, within size limits, and with the file's name in every error.

The limits bound what a reader must hold in memory at once, so a small gzipped file cannot fill the memory.
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

MAX_EMPTY_LINES = 1_000_000
"""Most consecutive empty lines: small files can unpack to billions of them."""

MAX_ROW_BYTES = 64 * 2**20
"""Largest size of one row. A row is one request, and no provider accepts requests of more than 50 MB."""

MAX_DOCUMENT_BYTES = 256 * 2**20
"""Largest unpacked size of a file that is one JSON document."""

MAX_UNPACKED_BYTES = 512 * 2**20
MAX_UNPACKED_RATIO = 200
"""A gzipped file of rows is refused as a decompression bomb if it unpacks to more than ``MAX_UNPACKED_BYTES`` and to
more than this many times its packed size. Banks compress four to ten times."""

NO_FILE_ERRNOS = (errno.ENOENT, errno.ENOTDIR, 0)
"""``errno`` of the errors that ``open_regular`` raises if there is no regular file; 0 stands for a pipe or device."""

_GZIP_FIRST_BYTE = b"\x1f"
"""No JSON document and no text file that is read here begins with this byte."""
_BLOCK_BYTES = 2**20


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


class InputError(ValueError):
    """An input cannot be read, or not to its end; the message continues a sentence that begins with its name."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device is refused immediately instead of blocking.

    Raises:
        OSError: it cannot be opened or is not a regular file; ``filename`` is ``path``.
    """
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
    )  # opening a pipe without a writer would block
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(0, "is not a file", str(path))


def open_input(path: Path) -> BinaryIO:
    """Open a file that a user named.

    Raises:
        UsageError: it cannot be opened or is not a regular file.
    """
    try:
        return open_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"no file {path}") from None
    except OSError as error:
        if error.errno == 0:
            raise UsageError(f"{path} is not a file") from None
        raise UsageError(f"cannot read {path} ({error.strerror})") from None


def path_exists(path: Path) -> bool:
    """Return whether a path that a user named exists, as a file, a folder or anything else.

    Raises:
        UsageError: missing permissions prevent the check.
    """
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror})") from None


def is_folder(path: Path) -> bool:
    """Return whether a path that a user named is a folder; False if missing permissions prevent the check."""
    try:
        return path.is_dir()
    except OSError:
        return False


def standard_input() -> BinaryIO:
    """Return standard input as a binary stream.

    Raises:
        UsageError: standard input is closed.
    """
    if sys.stdin is None:
        raise UsageError("standard input is closed, so nothing can be read from it")
    return sys.stdin.buffer


def read_document(file: BinaryIO, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the whole content of a file, unpacked if it is gzipped.

    Args:
        file: the opened file, at its beginning. A gzipped file is read twice, so it must not be a pipe.
        max_bytes: the largest unpacked size.

    Raises:
        InputError: the file is larger, damaged or cannot be read.
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
            ):  # measure first, so that a bomb is never kept in memory
                size += len(block)
                if size > max_bytes:
                    raise _too_large_error(max_bytes)
            file.seek(0)
        return read_up_to(gzip.GzipFile(fileobj=file) if packed else file, max_bytes)


def read_regular(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the content of an untrusted file.

    Raises:
        OSError: it cannot be opened or is not a regular file; a pipe or a device is refused without blocking.
        InputError: it has more than ``max_bytes`` bytes or cannot be read.
    """
    with open_regular(path) as file:
        return read_up_to(file, max_bytes)


def read_up_to(file: _Readable, max_bytes: int) -> bytes:
    """Return the rest of a file, a pipe or a device.

    Raises:
        InputError: it has more than ``max_bytes`` bytes or cannot be read.
    """
    with _translate_errors():
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise _too_large_error(max_bytes)
    return data


class InputRows:
    """Reads a file of rows, or standard input, as lines or blocks; unpacks gzip and computes a digest on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._raw = _DigestingReader(file)
        self._unpacked = 0

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of the packed bytes read so far; of the whole file once the last row has been read."""
        return self._raw.digest.hexdigest()

    def lines(self) -> Iterator[bytes]:
        r"""Yield the lines; only "\n" ends a line.

        Raises:
            InputError: a line is larger than ``MAX_ROW_BYTES``, more than ``MAX_EMPTY_LINES`` empty lines follow each
                other, the input is a decompression bomb, or reading fails.
        """
        empty = 0
        with _translate_errors():
            stream, packed = self._stream()
            while line := stream.readline(MAX_ROW_BYTES + 1):
                if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
                    raise InputError(f"is larger than {format_mib(MAX_ROW_BYTES)}, the limit of a row")
                empty = empty + 1 if line.isspace() else 0
                if empty > MAX_EMPTY_LINES:
                    raise InputError(f"more than {MAX_EMPTY_LINES:,} empty lines follow each other here")
                if packed:
                    self._add_unpacked(len(line))
                yield line

    def blocks(self) -> Iterator[bytes]:
        """Yield the content in blocks of at most one MiB.

        Raises:
            InputError: the input is a decompression bomb, or reading fails.
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
    """Refuse an input that expands to far more than its compressed size (see ``MAX_UNPACKED_RATIO``).

    Args:
        unpacked: bytes decompressed so far.
        packed: compressed bytes read so far.

    Raises:
        InputError: it is refused.
    """
    if unpacked > MAX_UNPACKED_BYTES and unpacked > MAX_UNPACKED_RATIO * packed:
        raise InputError(
            f"expands to more than {format_mib(MAX_UNPACKED_BYTES)}, {MAX_UNPACKED_RATIO} times its compressed size "
            "(possible decompression bomb); if the file is genuine, decompress it first"
        )


def format_mib(size: int) -> str:
    """Format a number of bytes in MiB, such as "64 MiB"."""
    return f"{size // 2**20:,} MiB"


class _DigestingReader(io.RawIOBase):
    """A raw stream that passes on what is read from a file and computes its digest and size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        # ``read1`` returns what is available now, so a pipe with an active writer does not block.
        read = self._file.read1 if isinstance(self._file, io.BufferedReader) else self._file.read
        data = read(len(view))
        view[: len(data)] = data
        self.digest.update(data)
        self.size += len(data)
        return len(data)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn gzip and OS errors into ``InputError``; the message does not name the file, so the caller has to."""
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
    return InputError(f"is larger than {format_mib(max_bytes)}, the limit")
