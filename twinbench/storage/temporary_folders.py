"""Temporary folders that a later process removes if this one is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_PREFIX = "twinbench-"
_OWNER = ".owner"
"""A file whose lock the process that made a folder holds as long as it lives, whatever ends it."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a temporary folder, which is removed after the block, or by a later process if this one is killed."""
    _remove_those_before()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        made = folder / f"{_OWNER}.partial"
        with made.open("xb") as file:
            if _lock(file.fileno()):
                made.rename(folder / _OWNER)  # under its name it was locked always
            yield folder


def remove_abandoned_folders() -> int:
    """Remove this user's temporary folders whose processes have ended, and return how many there were."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # such as one that is being removed
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _OWNER).open("rb") as file:
                if _lock(file.fileno()):
                    shutil.rmtree(folder)
                    removed += 1
    return removed


@cache
def _remove_those_before() -> None:
    """Remove abandoned folders, once in a process."""
    remove_abandoned_folders()


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed; return whether nobody else has locked it and files can be locked here."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
