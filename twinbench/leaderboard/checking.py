"""Checks of the whole leaderboard: entries that hold together, and commitments that are each of one run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from twinbench.checks import CheckResult, Status
from twinbench.display.wording import format_count
from twinbench.errors import ContentError
from twinbench.leaderboard.entries import (
    MOST_FILE_BYTES,
    Entry,
    Version,
    entry_folders,
    files_below,
    is_own_file,
    read_commitments,
    read_entry,
    require_folder,
    waiting_folders,
)
from twinbench.leaderboard.protocols import CurrentProtocols, is_current
from twinbench.storage.folder_changes import lock_folder
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.manifest import Division
from twinbench.submissions.report import Level, VerifiedResult


def check_entries(results: Path, protocols: CurrentProtocols) -> list[CheckResult]:
    """Check all entries and commitments of a folder ``results``.

    Args:
        results: the folder.
        protocols: the current protocols.

    Raises:
        UsageError: ``results`` is not a directory.
        TwinbenchError: another process has written there for too long.
    """
    require_folder(results)
    with lock_folder(results, shared=True):
        return _check_entries(results, protocols)


def _check_entries(results: Path, protocols: CurrentProtocols) -> list[CheckResult]:
    found: list[CheckResult] = []
    entries: list[Entry] = []
    for division, folder in entry_folders(results):
        subject = f"{division}/{folder.name}"
        found += _check_files(subject, folder)
        try:
            entry = read_entry(folder, division)
        except ContentError as error:
            found += [_record_failure("entry", subject, str(each)) for each in error.problems]
            continue
        found.append(
            _passed("entry", subject, f"{format_count(len(entry.versions), 'version')}, each with all its files")
        )
        found += _check_entry(entry, protocols)
        entries.append(entry)
    found += _check_strays(results)
    found += _check_same_files(entries)
    found += _check_commitments(results, entries)
    return found


def commitment_problems(entries: Sequence[Entry]) -> Mapping[str, str]:
    """Return by digest what is wrong with the commitments that entries name: each must belong to one run of one entry.

    A commitment that is used twice means that a run was made twice, and that the better one was submitted.
    """
    names: dict[str, set[str]] = defaultdict(set)
    heads: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for version in entry.versions:
            for result in version.scores.results:
                for digest in result.commitments:
                    names[digest].add(entry.name)
                    heads[digest].add(_run_of(version, result))
    problems = {}
    for digest in sorted(names):
        if len(names[digest]) > 1:
            problems[digest] = f"two entries name it: {', '.join(sorted(names[digest]))}"
        elif len(heads[digest]) > 1:
            [name] = names[digest]
            problems[digest] = (
                f"{format_count(len(heads[digest]), 'run')} of {name} name it, but a commitment covers one run"
            )
    return problems


def _run_of(version: Version, result: VerifiedResult) -> str:
    """Return what identifies a run: the hash of its journal's last line."""
    for part in version.manifest.live:
        if part.run == result.subject and part.head is not None:
            return part.head.sha256
    return f"{version.report.file.sha256} {result.subject}"


def _check_files(subject: str, folder: Path) -> Iterator[CheckResult]:
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            yield _record_failure("files", subject, f"{name} is not a regular file")
        elif not is_own_file(path, folder):
            yield _record_failure("files", subject, f"{name} does not belong in an entry")
        elif (size := path.stat().st_size) > MOST_FILE_BYTES:
            yield _record_failure(
                "files", subject, f"{name} has {size:,} bytes, and may have {MOST_FILE_BYTES:,}", size
            )


def _check_entry(entry: Entry, protocols: CurrentProtocols) -> Iterator[CheckResult]:
    subject = f"{entry.division}/{entry.name}"
    for number, version in enumerate(entry.versions, 1):
        place = subject if version is entry.current else f"{subject}, version {number}"
        yield _check_digests(place, entry.division, version)
        yield _check_report(place, version)
        yield _check_division(place, entry.division, version)
    added = [version.scores.added_at for version in entry.versions]
    if added != sorted(added):
        yield _record_failure("history", subject, "its versions are not in the order in which they were added")
    if any(not is_current(result, protocols) for result in entry.current.scores.results):
        yield _passed(
            "protocol", subject, "follows an earlier protocol; it is listed apart and not ranked with later ones"
        )


def _check_digests(place: str, division: Division, version: Version) -> CheckResult:
    if version.report.manifest != hashlib.sha256(version.manifest_bytes).hexdigest():
        return _record_failure("digests", place, "manifest.json is not the one that verification.json is about")
    own = tuple(each for each in version.report.results if each.division is division)
    if version.scores.results != own:
        return _record_failure("digests", place, "the results in scores.json are not those of verification.json")
    return _passed("digests", place, "manifest and results are those of the report")


def _check_report(place: str, version: Version) -> CheckResult:
    failed = [check for check in version.report.checks if check.status is Status.failed]
    if failed:
        return _record_failure("report", place, f"{failed[0].name} of {failed[0].subject} failed: {failed[0].reason}")
    if Level.verify not in version.report.levels or not version.report.checks:
        return _record_failure("report", place, "the report holds no verification")
    return _passed("report", place, f"{format_count(len(version.report.checks), 'check')}, none of which failed")


def _check_division(place: str, division: Division, version: Version) -> CheckResult:
    if not version.scores.results:
        return _record_failure("division", place, "it has no result")
    for result in version.scores.results:
        if result.division is not division:
            return _record_failure("division", place, f"the result of {result.subject} has division {result.division}")
        if result.simulated != (division is Division.rehearsal):
            what = "comes from simulated models" if result.simulated else "comes from no simulated models"
            return _record_failure("division", place, f"the result of {result.subject} {what}")
        if (result.kind == "static") != (division is Division.static):
            return _record_failure("division", place, f"the result of {result.subject} has kind {result.kind}")
    return _passed("division", place, f"all results have division {division}")


def _check_strays(results: Path) -> Iterator[CheckResult]:
    """Find stray files in ``entries``, which belong to no entry."""
    top = results / "entries"
    divisions = {str(division) for division in Division}
    for path in (top, results / "commitments"):
        if path.is_symlink():
            yield _record_failure("files", path.name, "is a link, and nothing below the folder of results may be one")
    for division, waiting in waiting_folders(results):
        what = "a command was killed as it wrote; the next leaderboard add or withdraw puts the entry back"
        yield _record_failure("files", f"{division}/{waiting.name}", what)
    for folder in (top, *(top / name for name in sorted(divisions))):
        for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
            allowed = path.name in divisions if folder == top else not path.name.startswith(".")
            if path.is_symlink() or not path.is_dir() or not allowed:
                name = path.relative_to(results).as_posix()
                yield _record_failure(
                    "files", name, "belongs to no entry: entries are folders entries/<division>/<name>"
                )


def _check_same_files(entries: Sequence[Entry]) -> Iterator[CheckResult]:
    names: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        for version in entry.versions:
            names[version.report.file.sha256].add(entry.name)
    for sha256, found in sorted(names.items()):
        if len(found) > 1:
            told = ", ".join(sorted(found))
            yield _record_failure("one name", told, f"the same file, {sha256[:12]}, is listed under several names")


def _check_commitments(results: Path, entries: Sequence[Entry]) -> Iterator[CheckResult]:
    posted: dict[str, Commitment] = {}
    for path, found in read_commitments(results):
        if isinstance(found, ContentError):
            yield _record_failure("commitment", path.name, str(found.problems[0]))
        else:
            posted[found.digest] = found
    problems = commitment_problems(entries)
    for digest, what in problems.items():
        yield _record_failure("commitment", digest[:12], what)
    used: dict[str, str] = {}
    for entry in entries:
        for version in entry.versions:
            for result in version.scores.results:
                used |= dict.fromkeys(result.commitments, f"{entry.division}/{entry.name}")
    for digest, name in sorted(used.items()):
        if digest in problems:
            continue
        if digest in posted:
            yield _passed("commitment", digest[:12], f"of {name} alone")
        else:
            what = f"{name} names it, but it is not under results/commitments"
            yield CheckResult("commitment", digest[:12], Status.warned, what)
    for digest, commitment in posted.items():
        if digest not in used:
            what = f"of {commitment.router} on {format_count(len(commitment.cases), 'case')}, made {commitment.made_at}"
            advice = "a run that was announced and never submitted"
            yield CheckResult("commitment without a result", digest[:12], Status.warned, what, advice=advice)


def _passed(name: str, subject: str, reason: str) -> CheckResult:
    return CheckResult(name, subject, Status.passed, reason)


def _record_failure(name: str, subject: str, reason: str, value: float | None = None) -> CheckResult:
    return CheckResult(name, subject, Status.failed, reason, value)
