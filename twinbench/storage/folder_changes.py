"""Changes of whole folders: one process at a time, and from the old content to the new one in a single step."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twinbench.errors import TwinbenchError

LOCK_TIMEOUT_S = 60.0
"""How long a command waits for another one that works in the same folder."""

_POLL_S = 0.02
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
"""What a system or a file system answers that cannot exchange two names."""


@contextmanager
def lock_folder(folder: Path, *, shared: bool = False, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of a folder, which leaves no file behind and ends with the process, however that ends.

    On systems without such locks nothing is done.

    Args:
        folder: a folder that exists.
        shared: whether others may hold it at the same time, shared too: for those who only read.
        timeout_s: how long to wait for others.

    Raises:
        TwinbenchError: others still hold it, or the folder cannot be opened.
    """
    if sys.platform == "win32":  # pragma: no cover
        yield
        return
    import fcntl

    deadline = time.monotonic() + timeout_s
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise TwinbenchError(f"cannot open {folder} ({error.strerror or error})") from None
    try:
        while True:
            try:
                fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TwinbenchError(
                        f"another process is working in {folder}: wait for it or stop it, and try again"
                    ) from None
                time.sleep(_POLL_S)
            except OSError as error:
                raise TwinbenchError(f"cannot lock {folder} ({error.strerror or error})") from None
        yield
    finally:
        os.close(fd)


def exchange_names(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders in a single step: at no moment is one of the names missing.

    Returns:
        False where the system cannot do so, and nothing was done.

    Raises:
        OSError: the names cannot be exchanged; nothing was done.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))
