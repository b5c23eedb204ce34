"""Entries of the leaderboard: folders ``results/entries/<division>/<name>/``, read without trust and written whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from twinbench.display.wording import make_printable, shorten
from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.reading.input_files import NO_FILE_ERRNOS, InputError, is_folder, read_regular
from twinbench.storage.files import flush_file, flush_folder, make_folder
from twinbench.storage.folder_changes import exchange_names
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

ASIDE_FOLDER = ".adding"
"""Beside ``entries``: holds what is being written, as long as that takes."""

_FILES = (MANIFEST_FILE, SCORES_FILE, VERIFICATION_FILE, WITHDRAWAL_FILE)
_Read = TypeVar("_Read", bound=Document)
_SLUG = TypeAdapter(Slug)


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
    """Return the folder of an entry: every path of an entry that is named by somebody is made here.

    Raises:
        UsageError: the name is not one that an entry may have, such as one that leads to another folder.
    """
    if not _is_slug(name):
        what = "has to be of 2 to 64 small letters, digits, dots, hyphens and underscores, such as my-router"
        raise UsageError(f"{shorten(make_printable(name), 80)!r} is no name of an entry: it {what}")
    return results / "entries" / Division(division) / name


def refuse_links(results: Path) -> None:
    """Refuse to work in a folder ``results`` with links in it: what is behind them is somewhere else.

    What the leaderboard neither reads nor writes, such as ``published``, may be a link.

    Raises:
        TwinbenchError: there is a link among entries and commitments, or in the place of their folders.
    """
    for top in (results / "entries", results / "commitments", results / ASIDE_FOLDER):
        for path in (top, *files_below(top)):
            if path.is_symlink():
                raise TwinbenchError(
                    f"{make_printable(str(path))} is a link, and no entry, no commitment and no folder of them may be "
                    "one: what is behind it is somewhere else. Remove it"
                )


def entry_folders(results: Path) -> Iterator[tuple[Division, Path]]:
    """Return the folders of all entries in order: by division, then by name.

    Raises:
        UsageError: ``results`` is not a directory.
    """
    require_folder(results)
    for division in Division:
        for folder in folders_in(results / "entries" / division):
            yield division, folder


def require_folder(results: Path) -> None:
    """Refuse what is no folder.

    Raises:
        UsageError: ``results`` is not a directory.
    """
    if not is_folder(results):
        raise UsageError(f"{results} is not a directory; give the folder results of a checkout with --results")


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


@dataclass(frozen=True)
class Change:
    """A version that is to become the current one of an entry."""

    division: Division
    name: str
    version: Version
    earlier: Path | None = None
    """The folder for the version that was current so far; None: it is replaced."""


def write_version(folder: Path, version: Version, *, earlier: Path | None = None) -> None:
    """Write a version as the current one of the entry in ``folder``; see ``write_changes``."""
    division = Division(folder.parent.name)
    write_changes(folder.parents[2], [Change(division, folder.name, version, earlier)])


def write_changes(results: Path, changes: Sequence[Change]) -> None:
    """Write versions as the current ones of their entries: all of them or none.

    Everything is written aside first, into a folder beside ``entries``, and then takes its place in one step for each
    entry: whoever is killed leaves the old entry or the new one. The caller holds the lock of ``results``.

    Raises:
        TwinbenchError: a file would be too large, or the disk does not take it; the entries are as they were.
    """
    contents = [_contents(change.version) for change in changes]
    aside = results / ASIDE_FOLDER
    done: list[tuple[Path, Path, bool]] = []
    try:
        clear_aside(results)
        make_folder(aside)
        (aside / ".gitignore").write_text("*\n", "utf-8")
        prepared = []
        for change, files in zip(changes, contents, strict=True):
            folder = entry_folder(results, change.division, change.name)
            _prepare(new := aside / "new" / change.division / change.name, folder, files, change.earlier)
            prepared.append((new, folder))
        for new, folder in prepared:
            make_folder(folder.parent)
            make_folder(old := aside / "old" / folder.parent.name)
            replaced = folder.exists()
            _replace_folder(new, folder, old / folder.name)
            done.append((new, folder, replaced))
        for parent in {folder.parent for _, folder in prepared}:
            flush_folder(parent)
    except OSError as error:
        for new, folder, replaced in reversed(done):
            with suppress(OSError):
                _take_back(new, folder, aside / "old" / folder.parent.name / folder.name, replaced=replaced)
        raise TwinbenchError(f"cannot write {error.filename or results} ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            clear_aside(results)


def clear_aside(results: Path) -> None:
    """Remove what a command that was killed left beside the entries, and put back an entry that it had moved aside.

    The caller holds the lock of ``results``.

    Raises:
        OSError: an entry cannot be put back.
    """
    aside = results / ASIDE_FOLDER
    for division, folder in waiting_folders(results):
        make_folder((target := entry_folder(results, division, folder.name)).parent)
        folder.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def waiting_folders(results: Path) -> list[tuple[Division, Path]]:
    """Return entries that a killed command had moved aside and that have no other version in their place."""
    return [
        (division, folder)
        for division in Division
        for folder in folders_in(results / ASIDE_FOLDER / "old" / division)
        if not (results / "entries" / division / folder.name).exists()
    ]


def _contents(version: Version) -> dict[str, bytes]:
    """Return the files of a version by name."""
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
    return contents


def _prepare(new: Path, folder: Path, contents: Mapping[str, bytes], earlier: Path | None) -> None:
    """Write the whole folder of an entry aside: what it has of earlier versions, and the current one."""
    make_folder(new)
    if (old := folder / EARLIER_FOLDER).is_dir():
        shutil.copytree(old, new / EARLIER_FOLDER, symlinks=True)
    if earlier is not None:
        kept = new / EARLIER_FOLDER / earlier.name
        kept.mkdir(parents=True)
        for name in _FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, kept / name)
    for name, data in contents.items():
        (new / name).write_bytes(data)
    for path in files_below(new):
        flush_file(path)
    for place, _, _ in os.walk(new):
        flush_folder(Path(place))


def next_earlier(folder: Path) -> Path:
    """Return where the version that is current so far is kept when it is superseded."""
    numbers = [_number_of(each) for each in folders_in(folder / EARLIER_FOLDER)]
    return folder / EARLIER_FOLDER / str(max(numbers, default=0) + 1)


def _replace_folder(new: Path, target: Path, old: Path) -> None:
    """Put a folder in the place of another one, whose content is then aside."""
    if not target.exists():
        new.rename(target)
    elif not exchange_names(new, target):
        target.rename(old)  # a kill between these two lines is mended by ``clear_aside``
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise


def _take_back(new: Path, target: Path, old: Path, *, replaced: bool) -> None:
    """Undo ``_replace_folder``."""
    if not replaced:
        target.rename(new)
    elif not old.exists():
        exchange_names(new, target)
    else:
        target.rename(new)
        old.rename(target)


def _is_slug(name: str) -> bool:
    try:
        _SLUG.validate_python(name)
    except ValidationError:
        return False
    return True


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
