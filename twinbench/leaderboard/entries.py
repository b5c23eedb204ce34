"""Entries of the leaderboard: folders ``results/entries/<division>/<name>/``, read without trust and written whole."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.reading.input_files import NO_FILE_ERRNOS, InputError, is_folder, read_regular
from twinbench.storage.files import flush_file, flush_folder, make_folder
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.fields import Document, Line, Prose, Slug
from twinbench.submissions.manifest import Division, SubmissionManifest
from twinbench.submissions.report import VerificationReport, VerifiedResult

MANIFEST_FILE = "manifest.json"
"""The submission's own manifest, byte for byte."""
SCORES_FILE = "scores.json"
VERIFICATION_FILE = "verification.json"
WITHDRAWAL_FILE = "withdrawn.json"
EARLIER_FOLDER = "earlier"
"""Holds superseded versions of an entry in folders ``1``, ``2``, …, the oldest first."""

MOST_FILE_BYTES = 2**20
"""Largest file of an entry: entries are read by people and kept in git."""
MOST_VERSIONS = 1000

_FILES = (MANIFEST_FILE, SCORES_FILE, VERIFICATION_FILE, WITHDRAWAL_FILE)
_Read = TypeVar("_Read", bound=Document)


class EntryScores(Document):
    """The content of ``scores.json``: the results of an entry in its division."""

    format: Literal["twinbench entry 1"] = "twinbench entry 1"
    name: Slug
    division: Division
    added_at: Line
    """UTC time at which the submission was listed, such as 2026-11-30T08:00:00Z."""
    results: tuple[VerifiedResult, ...]
    """The results in the verification report that belong to this division."""


class Withdrawal(Document):
    """The content of ``withdrawn.json``: since when an entry is withdrawn, and why."""

    format: Literal["twinbench withdrawal 1"] = "twinbench withdrawal 1"
    withdrawn_at: Line
    reason: Prose


@dataclass(frozen=True)
class Version:
    """One submission as an entry lists it."""

    manifest: SubmissionManifest
    manifest_bytes: bytes
    scores: EntryScores
    report: VerificationReport
    withdrawal: Withdrawal | None = None
    """None where it was never withdrawn."""


@dataclass(frozen=True)
class Entry:
    """An entry: its current version, and those that it superseded."""

    division: Division
    name: str
    current: Version
    earlier: Sequence[Version] = ()
    """Superseded versions, the oldest first."""

    @property
    def versions(self) -> Sequence[Version]:
        """All versions, the oldest first."""
        return (*self.earlier, self.current)


def entry_folder(results: Path, division: Division, name: str) -> Path:
    """Return the folder of an entry."""
    return results / "entries" / division / name


def entry_folders(results: Path) -> Iterator[tuple[Division, Path]]:
    """Return the folders of all entries in order: by division, then by name.

    Raises:
        UsageError: ``results`` is not a directory.
    """
    if not is_folder(results):
        raise UsageError(f"{results} is not a directory; give the folder results of a checkout with --results")
    for division in Division:
        for folder in folders_in(results / "entries" / division):
            yield division, folder


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder by name, without links and hidden ones; empty where there is no such folder."""
    if folder.is_symlink() or not is_folder(folder):
        return []
    return sorted(
        each for each in folder.iterdir() if each.is_dir() and not each.is_symlink() and not each.name.startswith(".")
    )


def read_entries(results: Path) -> list[Entry]:
    """Read all entries in order: by division, then by name.

    Raises:
        UsageError: ``results`` is not a directory.
        ContentError: an entry is not valid; every problem names its file.
    """
    return [read_entry(folder, division) for division, folder in entry_folders(results)]


def read_entry(folder: Path, division: Division) -> Entry:
    """Read an entry from its folder.

    Raises:
        ContentError: it is not valid, or its files are not of that division and name.
    """
    current = read_version(folder, division, folder.name)
    earlier = [
        read_version(each, division, folder.name)
        for each in sorted(folders_in(folder / EARLIER_FOLDER), key=_number_of)[:MOST_VERSIONS]
    ]
    return Entry(division, folder.name, current, earlier)


def read_version(folder: Path, division: Division, name: str) -> Version:
    """Read one version of an entry.

    Raises:
        ContentError: a file is missing, too large or not valid, or belongs to another entry.
    """
    data = read_small(folder / MANIFEST_FILE)
    manifest = SubmissionManifest.parse(data, str(folder / MANIFEST_FILE))
    scores = _parse(EntryScores, folder / SCORES_FILE)
    report = _parse(VerificationReport, folder / VERIFICATION_FILE)
    problems = [
        Problem(str(folder / file), None, field, f"is {found!r}, and its folder is that of {wanted!r}")
        for file, field, found, wanted in (
            (MANIFEST_FILE, "name", manifest.name, name),
            (SCORES_FILE, "name", scores.name, name),
            (SCORES_FILE, "division", scores.division, division),
            (VERIFICATION_FILE, "name", report.name, name),
        )
        if found != wanted
    ]
    if problems:
        raise ContentError(problems)
    path = folder / WITHDRAWAL_FILE
    withdrawal = _parse(Withdrawal, path) if path.exists() or path.is_symlink() else None
    return Version(manifest, data, scores, report, withdrawal)


def read_commitments(results: Path) -> Iterator[tuple[Path, Commitment | ContentError]]:
    """Read the commitments under ``results/commitments/`` by name, or return why one is not valid."""
    folder = results / "commitments"
    if folder.is_symlink() or not is_folder(folder):
        return
    for path in sorted(folder.glob("*.json")):
        try:
            commitment = Commitment.parse(read_small(path), str(path))
            if path.name != commitment.file_name:
                what = f"its name has to be that of its digest, {commitment.file_name}"
                raise ContentError([Problem(str(path), None, None, what)])
            yield path, commitment
        except ContentError as error:
            yield path, error


def read_small(path: Path) -> bytes:
    """Return the content of a file of an entry.

    Raises:
        ContentError: it is missing, a link, no file, or too large.
    """
    try:
        if path.is_symlink():
            raise ContentError([Problem(str(path), None, None, "is a link, and a file of an entry must be none")])
        return read_regular(path, MOST_FILE_BYTES)
    except InputError as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None
    except OSError as error:
        what = "is missing or no file" if error.errno in NO_FILE_ERRNOS else f"cannot be read ({error.strerror})"
        raise ContentError([Problem(str(path), None, None, what)]) from None


def write_version(folder: Path, version: Version, *, earlier: Path | None = None) -> None:
    """Write a version as the current one of an entry: all of it or nothing.

    Args:
        folder: the entry's folder.
        version: what becomes current.
        earlier: the folder for the version that was current so far; None: it is replaced.

    Raises:
        TwinbenchError: a file would be too large, or the disk does not take it; the entry is as it was.
    """
    contents = {
        MANIFEST_FILE: version.manifest_bytes,
        SCORES_FILE: version.scores.text().encode(),
        VERIFICATION_FILE: version.report.text().encode(),
    }
    if version.withdrawal is not None:
        contents[WITHDRAWAL_FILE] = version.withdrawal.text().encode()
    for name, data in contents.items():
        if len(data) > MOST_FILE_BYTES:
            raise TwinbenchError(
                f"{name} of {version.manifest.name} would have {len(data):,} bytes, and a file of an entry may have "
                f"{MOST_FILE_BYTES:,}"
            )
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        make_folder(aside)
        if (old := folder / EARLIER_FOLDER).is_dir():
            shutil.copytree(old, aside / EARLIER_FOLDER)
        if earlier is not None:
            kept = aside / EARLIER_FOLDER / earlier.name
            kept.mkdir(parents=True)
            for name in _FILES:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, kept / name)
        for name, data in contents.items():
            (aside / name).write_bytes(data)
            flush_file(aside / name)
        _replace_folder(aside, folder)
    except OSError as error:
        raise TwinbenchError(f"cannot write {folder} ({error.strerror or error})") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def next_earlier(folder: Path) -> Path:
    """Return where the version that is current so far is kept when it is superseded."""
    numbers = [_number_of(each) for each in folders_in(folder / EARLIER_FOLDER)]
    return folder / EARLIER_FOLDER / str(max(numbers, default=0) + 1)


def _replace_folder(new: Path, target: Path) -> None:
    """Put a folder in the place of another one, which is moved aside first and removed in the end."""
    old = new.with_suffix(".old")
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        with suppress(OSError):
            old.rename(target)
        raise
    flush_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _parse(kind: type[_Read], path: Path) -> _Read:
    return kind.parse(read_small(path), str(path))


def _number_of(folder: Path) -> int:
    return int(folder.name) if folder.name.isascii() and folder.name.isdecimal() and len(folder.name) < 7 else 10**9


def is_own_file(path: Path, folder: Path) -> bool:
    """Return whether a file of an entry's folder is one that an entry has."""
    parts = path.relative_to(folder).parts
    if len(parts) == 1:
        return parts[0] in _FILES
    return len(parts) == 3 and parts[0] == EARLIER_FOLDER and parts[1].isdecimal() and parts[2] in _FILES


def files_below(folder: Path) -> Iterator[Path]:
    """Return every file and link below a folder; links are not followed."""
    for place, folders, files in os.walk(folder):
        for name in sorted((*files, *(each for each in folders if (Path(place) / each).is_symlink()))):
            yield Path(place) / name
