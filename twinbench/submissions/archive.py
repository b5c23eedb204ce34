"""Archives of submissions: written so that equal content gives equal bytes (with one zlib), and read with bounds.

An archive is a zip file of plain files. What is refused is refused before anything is unpacked: links, names that lead
elsewhere or occur twice, encryption, archives that claim more than the bounds below. Reading a file gives as many
bytes as its entry says, or an error.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import TypeAdapter, ValidationError

from twinbench.display.wording import format_count, shorten
from twinbench.reading.input_files import format_mib, open_input
from twinbench.reading.validation import describe_validation_error
from twinbench.storage.files import atomic_write
from twinbench.submissions.fields import ArchivePath

MOST_FILES = 50_000
MOST_FILE_BYTES = 512 * 2**20
"""Maximum size of one file in an archive, unpacked."""
MOST_TOTAL_BYTES = 2 * 2**30
"""Maximum size of all files together, unpacked."""
MOST_ARCHIVE_BYTES = 2**30
_SIZE_LIMITS = f"a file may have {format_mib(MOST_FILE_BYTES)}, and all together {format_mib(MOST_TOTAL_BYTES)}"

_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR = (stat.S_IFREG | 0o644) << 16
_BLOCK_BYTES = 2**20
_END = struct.Struct("<4s4H2LH")
"""The end of a zip file: signature, numbers of disks, entries here and in all, size and place of the directory."""
_ENTRY = struct.Struct("<4s6H3L5H2L")
"""An entry of the directory; three lengths of what follows it are fields 10 to 12."""
_END_SIGNATURE, _ENTRY_SIGNATURE = b"PK\x05\x06", b"PK\x01\x02"
_MOST_COMMENT = 2**16
_MOST_DIRECTORY_BYTES = MOST_FILES * 400
_ENCRYPTED = 0x1
_PATH: TypeAdapter[str] = TypeAdapter(ArchivePath)


class ArchiveError(ValueError):
    """Raised when an archive is refused; the message is the end of a sentence about the archive."""


def write_archive(target: Path, files: Mapping[str, Path | bytes]) -> None:
    """Write an archive; the same files give the same bytes wherever zlib is the same.

    Args:
        target: the file to write, which is replaced only when the new one is complete.
        files: content, or the file that has it, by the path in the archive.

    Raises:
        TwinbenchError: it cannot be written.
        ArchiveError: it would not be read again, by one of the bounds.
        OSError: a file cannot be read.
    """
    if len(files) > MOST_FILES:
        raise ArchiveError(f"has {len(files):,} files, and an archive may have {MOST_FILES:,}")
    total = 0
    with atomic_write(target) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as archive:
        for name in sorted(files):
            content = files[name]
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3  # as on Unix, whatever the machine
            entry.external_attr = _REGULAR
            entry.compress_type = zipfile.ZIP_DEFLATED
            size = content.stat().st_size if isinstance(content, Path) else len(content)
            total += size
            if size > MOST_FILE_BYTES or total > MOST_TOTAL_BYTES:
                raise ArchiveError(f"{name}: {_SIZE_LIMITS}")
            if isinstance(content, bytes):
                archive.writestr(entry, content, compresslevel=6)
                continue
            entry.file_size = size
            with content.open("rb") as source, archive.open(entry, "w") as packed:
                while block := source.read(_BLOCK_BYTES):
                    packed.write(block)


@dataclass(frozen=True)
class Archive:
    """An archive that was opened: every entry is a plain file with a name of its own, within the bounds."""

    path: Path
    sizes: Mapping[str, int]
    """The size of each file in bytes, unpacked, by its path."""
    _zip: zipfile.ZipFile

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces.

        Raises:
            ArchiveError: there is no such file, or its data is damaged.
        """
        if name not in self.sizes:
            raise ArchiveError(f"has no file {name}")
        try:
            with self._zip.open(name) as file:
                while block := file.read(_BLOCK_BYTES):
                    yield block
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise ArchiveError(f"{name}: its data is damaged ({shorten(str(error), 200)})") from None

    def read(self, name: str, most: int) -> bytes:
        """Return the content of a file.

        Raises:
            ArchiveError: there is no such file, it is larger than ``most`` bytes, or its data is damaged.
        """
        if self.sizes.get(name, 0) > most:
            raise ArchiveError(f"{name} has {self.sizes[name]:,} bytes, and may have {most:,}")
        return b"".join(self.blocks(name))

    def extract(self, below: str, folder: Path) -> None:
        """Write all files below a path of the archive into a folder.

        Args:
            below: such as ``router``.
            folder: is made; the files are plain, and everybody may read them.

        Raises:
            ArchiveError: data is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        for name in self.sizes:
            if not name.startswith(f"{below}/"):
                continue
            parts = name.removeprefix(f"{below}/").split("/")
            place = folder
            for part in parts[:-1]:
                place /= part
                place.mkdir(exist_ok=True)
                place.chmod(0o755)
            with (place / parts[-1]).open("xb") as file:
                for block in self.blocks(name):
                    file.write(block)
            (place / parts[-1]).chmod(0o644)


@contextmanager
def open_archive(path: Path, *, skip_folders: bool = False) -> Iterator[Archive]:
    """Open an archive for reading and validate every entry.

    Args:
        path: the archive.
        skip_folders: ignore entries that are folders, as wheels have them; otherwise they are refused.

    Raises:
        UsageError: there is no such file.
        ArchiveError: not a zip archive, or an entry is not allowed.
    """
    with open_input(path) as file:
        _refuse_directory(file)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise ArchiveError(f"not a zip file ({shorten(str(error), 200)})") from None
        with archive:
            entries = archive.infolist()
            if skip_folders:
                entries = [entry for entry in entries if not _is_empty_folder(entry)]
            yield Archive(path, _check_entries(entries), archive)


def _refuse_directory(file: BinaryIO) -> None:
    """Count the entries of an archive before anything is made of them."""
    size = os.fstat(file.fileno()).st_size
    if size > MOST_ARCHIVE_BYTES:
        raise ArchiveError(f"is larger than {format_mib(MOST_ARCHIVE_BYTES)}, which is the most that it may have")
    start = max(0, size - _MOST_COMMENT - _END.size)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise ArchiveError("not a zip file, or truncated")
    _, disk, first, here, entries, directory, place, comment = _END.unpack_from(tail, at)
    if disk or first or here != entries or at + _END.size + comment != len(tail):
        raise ArchiveError("is not a single zip file")
    if entries > MOST_FILES or directory > _MOST_DIRECTORY_BYTES:
        raise ArchiveError(f"has {format_count(entries, 'file')} or more, and may have {MOST_FILES:,}")
    if place + directory != start + at:
        raise ArchiveError("has more than its files in it, or is larger than zip files without extensions can be")
    file.seek(place)
    data = file.read(directory)
    position = found = 0
    while position < len(data):
        if found == entries or len(data) - position < _ENTRY.size:
            raise ArchiveError("has a directory that does not fit its number of files")
        fields = _ENTRY.unpack_from(data, position)
        if fields[0] != _ENTRY_SIGNATURE:
            raise ArchiveError("has a damaged directory")
        position += _ENTRY.size + sum(fields[10:13])
        found += 1
    if found != entries or position != len(data):
        raise ArchiveError("has a directory that does not fit its number of files")
    file.seek(0)


def _is_empty_folder(entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a plain folder whose name is a path within the archive."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if not entry.is_dir() or entry.file_size or kind not in (0, stat.S_IFDIR):
        return False
    _check_path(entry.filename.removesuffix("/"))
    return entry.orig_filename == entry.filename


def _check_entries(entries: list[zipfile.ZipInfo]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    seen: dict[str, str] = {}
    total = 0
    for entry in entries:
        name = _name(entry)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise ArchiveError(f"{name}: is not a regular file (a link, a folder or a device)")
        if entry.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"{name}: is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"{name}: is packed in a way that is not read here")
        if (other := seen.setdefault(name.casefold(), name)) != name or name in sizes:
            raise ArchiveError(f"{name}: is in it twice" + ("" if other == name else f", also as {other}"))
        total += entry.file_size
        if entry.file_size > MOST_FILE_BYTES or total > MOST_TOTAL_BYTES:
            raise ArchiveError(f"{name}: {_SIZE_LIMITS}")
        sizes[name] = entry.file_size
    for name in sizes:
        folder = name
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in sizes or seen.get(folder.casefold()) is not None:
                raise ArchiveError(f"{name}: {folder} is a file, and no folder")
    return sizes


def _name(entry: zipfile.ZipInfo) -> str:
    if entry.orig_filename != entry.filename:
        raise ArchiveError(f"a name in it is not what it seems: {entry.orig_filename[:100]!a}")
    return _check_path(entry.filename)


def _check_path(name: str) -> str:
    try:
        return _PATH.validate_python(name)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise ArchiveError(f"a name in it {describe_validation_error(details)}: {name[:100]!a}") from None
