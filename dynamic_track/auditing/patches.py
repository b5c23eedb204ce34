"""What a patch does to each file, as unidiff reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

_HEAD = re.compile(r"^(?:\+\+\+|---) (?:[ab]/)?(?P<path>[^\t\r\n]+)", re.MULTILINE)
_NO_FILE = "/dev/null"


@dataclass(frozen=True)
class PatchedFile:
    """What a patch does to one file."""

    path: str
    is_new: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    """The headings of hunks and the unchanged lines: they show where in the file the change is."""


def patched_files(patch: str) -> list[PatchedFile]:
    """Read the files of a unified diff; a renamed file counts under both names.

    For a diff that is cut short or malformed, which neither git nor patch applies, return the files that its headers
    name.
    """
    try:
        files = PatchSet(patch)
    except UnidiffParseError:
        named = dict.fromkeys(_plain(match["path"]) for match in _HEAD.finditer(patch))
        return [PatchedFile(path) for path in named if path != _NO_FILE]
    found: list[PatchedFile] = []
    for file in files:
        if file.is_rename:
            found.append(PatchedFile(_plain(file.source_file).removeprefix("a/")))
        lines = [line for hunk in file for line in hunk]
        found.append(
            PatchedFile(
                _plain(file.path),
                file.is_added_file,
                tuple(_text(line.value) for line in lines if line.is_added),
                tuple(_text(line.value) for line in lines if line.is_removed),
                (*(hunk.section_header for hunk in file), *(_text(line.value) for line in lines if line.is_context)),
            )
        )
    return found


def _plain(path: str) -> str:
    return path.strip().strip('"')


def _text(line: str) -> str:
    return line.rstrip("\r\n")
