"""Unexpected errors as text, and a test for disk errors after which nothing can be recorded."""

from __future__ import annotations

import errno
import traceback

from twinbench.causes import Cause, CausedError
from twinbench.display.wording import shorten

_MOST_CHARACTERS = 500
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


class UnexpectedError(CausedError):
    """Wraps an unexpected error that is returned instead of raised; ``__cause__`` is that error."""

    cause = Cause.internal

    def __init__(self, error: Exception) -> None:
        super().__init__(describe_error(error))
        self.__cause__ = error


def describe_error(error: BaseException) -> str:
    """Describe an error in one line: its type and the beginning of its message."""
    if isinstance(error, UnexpectedError):
        return str(error)
    message = " ".join(str(error).split())
    text = type(error).__name__ + (f": {message}" if message else "")
    return shorten(text, _MOST_CHARACTERS)


def traceback_text(error: BaseException) -> str:
    """Return an error's traceback as text that can be written as UTF-8."""
    return "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode()


def is_disk_failure(error: BaseException) -> bool:
    """Return whether an error comes from a disk that is full or read-only, so that further writes will fail too."""
    origin: BaseException | None = error
    while origin is not None:
        if isinstance(origin, OSError) and origin.errno in _DISK:
            return True
        origin = origin.__cause__ or origin.__context__
    return False
