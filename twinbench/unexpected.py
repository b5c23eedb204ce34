"""Errors that nobody foresaw, as text; and those of a disk, after which nothing can be written down."""

from __future__ import annotations

import errno
import traceback

from twinbench.causes import Cause, CausedError
from twinbench.display.wording import shortened

_MOST_CHARACTERS = 500
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))


class UnexpectedError(CausedError):
    """An error that nobody foresaw, where it is handed on instead of raised; its ``__cause__`` is that error."""

    cause = Cause.internal

    def __init__(self, error: Exception) -> None:
        super().__init__(describe_error(error))
        self.__cause__ = error


def describe_error(error: BaseException) -> str:
    """An error in one line: its type and the beginning of what it says."""
    if isinstance(error, UnexpectedError):
        return str(error)
    message = " ".join(str(error).split())
    text = type(error).__name__ + (f": {message}" if message else "")
    return shortened(text, _MOST_CHARACTERS)


def traceback_text(error: BaseException) -> str:
    """The traceback of an error, as text that any file takes."""
    return "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace").decode()


def is_disk_failure(error: BaseException) -> bool:
    """Whether an error comes of a disk that is full or read-only: whatever is written next will fail too."""
    origin: BaseException | None = error
    while origin is not None:
        if isinstance(origin, OSError) and origin.errno in _DISK:
            return True
        origin = origin.__cause__ or origin.__context__
    return False
