"""Writes files so that the old file stays until the new one is complete, and the new one survives a crash."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinbench.errors import TwinbenchError


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Provide a path to write to that becomes ``target`` if everything went well.

    Content and name are flushed (fsync), in that order: after a crash of the machine there is either the old file or
    the complete new one, and nothing that is written later refers to a missing file. A link is followed, and anything
    that is not a plain file (a device, a pipe) is written to directly, since replacing it would remove it.

    Raises:
        TwinbenchError: the file cannot be written; the old content is unchanged.
    """
    if target.is_dir():
        raise TwinbenchError(f"cannot write {target}: it is a folder")
    if target.exists() and not target.is_file():
        try:
            yield target
        except OSError as error:
            raise TwinbenchError(f"cannot write {target} ({error.strerror or error})") from None
        return
    target = target.resolve()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield temporary
        flush_file(temporary)
        temporary.replace(target)
        flush_folder(target.parent)
    except OSError as error:
        raise TwinbenchError(f"cannot write {target} ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, so that their names survive a crash of the machine.

    Raises:
        OSError: the folder cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        flush_folder(folder.parent)


def flush_file(path: Path) -> None:
    """Make sure that a file's content survives a crash of the machine (fsync).

    Raises:
        OSError: the disk does not accept it.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make sure that the names in a folder survive a crash of the machine.

    On systems where folders cannot be flushed, nothing is done.
    """
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
