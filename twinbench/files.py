"""Writing a user's file so that the old one stays until the new one is whole."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from twinbench.errors import TwinbenchError


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A path to write to that becomes ``target`` when all went well.

    A link is followed, and what is no plain file (a device, a pipe) is written to as it is: putting a file in its place
    would take it away from everybody.

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
        temporary.replace(target)
    except OSError as error:
        raise TwinbenchError(f"cannot write {target} ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
