"""Images of a few files, made for a test and removed after it."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from twinbench.containers.engine import Engine

_MACHINE = slice(18, 20)
"""Where an ELF header names the machine."""


def program(machine: int | None = None) -> bytes:
    """A program that is found and cannot run: this machine's bash without its libraries, or for another machine.

    Args:
        machine: its number in ELF; None for this one.
    """
    content = bytearray(Path("/bin/bash").read_bytes())
    if machine is not None:
        content[_MACHINE] = machine.to_bytes(2, "little")
    return bytes(content)


@contextmanager
def image_of_files(engine: Engine, contents: Mapping[str, bytes]) -> Iterator[str]:
    """The name of an image that holds some executable files and nothing else.

    Args:
        engine: where.
        contents: by path, without the leading slash.
    """
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for path, content in contents.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    name = f"twinbench-test-{os.getpid()}-{uuid.uuid4().hex[:8]}:latest"
    import_image(engine, name, written.getvalue())
    try:
        yield name
    finally:
        engine.client.images.remove(name, force=True)


def import_image(engine: Engine, name: str, archive: bytes) -> None:
    """Make an image of the files of a tar archive, under a name with its tag."""
    repository, _, tag = name.partition(":")
    engine.client.api.import_image_from_data(archive, repository=repository, tag=tag)
