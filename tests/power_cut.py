"""What a power cut would leave of files that this process writes: what was flushed, under names that were flushed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """A folder of which only what was flushed (fsync) outlasts a power cut.

    A file's content outlasts it as far as it reached at the last flush of the file, and a name in a folder as of the
    last flush of the folder. File systems keep more, but none promises to. The folder itself is there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._reaches: dict[int, int] = {}
        """Of each file, by its inode, up to which byte it is flushed."""
        self._names: dict[int, dict[str, int]] = {}
        """Of each folder, by its inode, the flushed names and the inodes that they stand for."""

    def flushed(self, fd: int) -> None:
        """Note that a file or a folder was flushed."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(fd) as entries:
                self._names[status.st_ino] = {entry.name: entry.inode() for entry in entries}
        else:
            self._reaches[status.st_ino] = status.st_size

    def forget(self, path: Path) -> None:
        """Note that a name is about to go: another file may get its inode."""
        if path.exists():
            self._reaches.pop(path.stat().st_ino, None)

    def left(self, path: Path) -> bytes | None:
        """What a power cut now would leave of a file; None where it would not be there, or as another one."""
        inode: int | None = self._root.stat().st_ino
        for name in path.relative_to(self._root).parts:
            inode = None if inode is None else self._names.get(inode, {}).get(name)
        if inode is None or path.stat().st_ino != inode or inode not in self._reaches:
            return None
        return path.read_bytes()[: self._reaches[inode]]

    def keeps(self, path: Path) -> bool:
        """Whether a power cut now would leave the whole file."""
        return self.left(path) == path.read_bytes()


@contextmanager
def disk(root: Path, before_write: Callable[[bytes], None] = lambda _: None) -> Iterator[Disk]:
    """Watch what this process flushes below a folder.

    Args:
        root: the folder.
        before_write: called with what a journal is about to write.
    """
    if os.name != "posix":
        pytest.skip("folders can only be flushed on POSIX systems")
    watched = Disk(root)
    fsync, replace, unlink, write = os.fsync, os.replace, os.unlink, os.write

    def watched_fsync(fd: int) -> None:
        fsync(fd)
        watched.flushed(fd)

    def watched_replace(source: Any, target: Any, **more: Any) -> None:
        watched.forget(Path(target))
        replace(source, target, **more)

    def watched_unlink(path: Any, **more: Any) -> None:
        if "dir_fd" not in more:
            watched.forget(Path(path))
        unlink(path, **more)

    def watched_write(fd: int, data: Any) -> int:
        before_write(bytes(data))
        return write(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", watched_fsync)
        patch.setattr(os, "replace", watched_replace)
        patch.setattr(os, "unlink", watched_unlink)
        patch.setattr(os, "write", watched_write)
        yield watched
