"""Writing a file so that the old one stays until the new one is whole, and the new one outlasts a crash."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinbench.errors import TwinbenchError


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A path to write to that becomes ``target`` when all went well.

    Content and name are flushed (fsync), in that order: after a crash of the machine there is the old file or the whole
    new one, and what is written later cannot tell of a file that is not there. A link is followed, and what is no plain
    file (a device, a pipe) is written to as it is: putting a file in its place would take it away from everybody.

    Raises:
        TwinbenchError: the file cannot be written; what stood there before is unchanged.
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
    """Make a folder and those around it that are missing, so that their names outlast a crash of the machine.

    Raises:
        OSError: it cannot be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        flush_folder(folder.parent)


def flush_file(path: Path) -> None:
    """Make a file's content outlast a crash of the machine (fsync).

    Raises:
        OSError: the disk does not take it.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make the names in a folder outlast a crash of the machine.

    Where folders cannot be flushed, they last anyway or nothing helps.
    """
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
