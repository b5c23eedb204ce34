"""Checks of the whole leaderboard: entries that hold together, and commitments that are each of one run."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from twinbench.leaderboard.numbers import number_problem
from twinbench.leaderboard.protocols import CurrentProtocols, conditions_of, is_current
from twinbench.storage.folder_changes import lock_folder
from twinbench.submissions.commitment import Commitment
from twinbench.submissions.manifest import Division
from twinbench.submissions.report import Level, VerifiedResult

MIXED = "results that claim the same conditions name different ones: bank or pool, or protocol"


@dataclass(frozen=True)
class Examined:
    """What the checks of a leaderboard found, and which of its entries may be shown."""

    checks: Sequence[CheckResult]
    entries: Sequence[Entry]
    """Those that passed every check."""
    refused: Mapping[str, str]
    """The first reason for each entry, by division and name, that failed one; strays beside the entries by path."""


def check_entries(results: Path, protocols: CurrentProtocols) -> Sequence[CheckResult]:
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
        return examine_entries(results, protocols).checks


def examine_entries(results: Path, protocols: CurrentProtocols) -> Examined:
    """Check all entries and commitments, and tell the entries that failed from those that did not.

    The caller holds the lock of ``results``.

    Raises:
        UsageError: ``results`` is not a directory.
    """
    found: list[CheckResult] = []
    entries: list[Entry] = []
    refused: dict[str, str] = {}

    def refuse(subject: str, checks: Iterable[CheckResult]) -> None:
        for check in checks:
            found.append(check)
            if check.status is Status.failed:
                refused.setdefault(subject, check.reason)

    for division, folder in entry_folders(results):
        subject = f"{division}/{folder.name}"
        refuse(subject, check_files(subject, folder))
        try:
            entry = read_entry(folder, division)
        except ContentError as error:
            refuse(subject, [_record_failure("entry", subject, str(each)) for each in error.problems])
            continue
        number = format_count(len(entry.versions), "version")
        refuse(subject, [_passed("entry", subject, f"{number}, each with all its files"), *check_entry(entry)])
        if any(not is_current(result, protocols) for result in entry.current.scores.results):
            what = "follows an earlier protocol; it is listed apart and not ranked with later ones"
            found.append(_passed("protocol", subject, what))
        entries.append(entry)
    for check in _check_strays(results):
        refuse(check.subject, [check])
    for sha256, own in shared_files(entries).items():
        names = ", ".join(sorted({entry.name for entry in own}))
        check = _record_failure("one name", names, f"the same file, {sha256[:12]}, is listed under several names")
        found.append(check)
        for entry in own:
            refused.setdefault(f"{entry.division}/{entry.name}", check.reason)
    for comparable, own in mixed_conditions(entries).items():
        check = _record_failure("conditions", comparable[:12], MIXED)
        found.append(check)
        for entry in own:
            refused.setdefault(f"{entry.division}/{entry.name}", f"conditions {comparable[:12]}: {MIXED}")
    problems = commitment_problems(entries)
    found += _check_commitments(results, entries, problems)
    for entry in entries:
        for digest in sorted(named_commitments(entry) & problems.keys()):
            refused.setdefault(f"{entry.division}/{entry.name}", f"commitment {digest[:12]}: {problems[digest]}")
    shown = [entry for entry in entries if f"{entry.division}/{entry.name}" not in refused]
    return Examined(found, shown, refused)


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


def named_commitments(entry: Entry) -> set[str]:
    """Return the digests of all commitments that an entry's versions name."""
    return {digest for version in entry.versions for each in version.scores.results for digest in each.commitments}


def shared_files(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return by SHA-256 the entries of each submitted file that is listed under several names."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        for sha256 in {version.report.file.sha256 for version in entry.versions}:
            found[sha256].append(entry)
    return {sha256: own for sha256, own in sorted(found.items()) if len({entry.name for entry in own}) > 1}


def mixed_conditions(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return by fingerprint the entries of conditions that are not the same for all results which say that they are."""
    found: dict[tuple[Division, str], list[tuple[Entry, str]]] = defaultdict(list)
    for entry in entries:
        for version in entry.versions:
            for result in version.scores.results:
                found[entry.division, result.comparable].append((entry, conditions_of(result)))
    return {
        comparable: [entry for entry, _ in own]
        for (_, comparable), own in sorted(found.items())
        if len({conditions for _, conditions in own}) > 1
    }


def check_files(subject: str, folder: Path) -> Iterator[CheckResult]:
    """Find files in an entry's folder that do not belong there."""
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


def check_entry(entry: Entry) -> Iterator[CheckResult]:
    """Check whatever can be told from an entry alone, on disk or about to be written."""
    subject = f"{entry.division}/{entry.name}"
    for number, version in enumerate(entry.versions, 1):
        place = subject if version is entry.current else f"{subject}, version {number}"
        yield _check_digests(place, entry.division, version)
        yield _check_report(place, version)
        yield _check_division(place, entry.division, version)
        for result in version.scores.results:
            if (problem := number_problem(result)) is not None:
                yield _record_failure("numbers", place, f"{result.subject}: {problem}")
    added = [version.scores.added_at for version in entry.versions]
    if added != sorted(added):
        yield _record_failure("history", subject, "its versions are not in the order in which they were added")


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
            yield _record_failure(
                "files", path.name, "is a link, and the folders of entries and commitments may be none"
            )
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


def _check_commitments(results: Path, entries: Sequence[Entry], problems: Mapping[str, str]) -> Iterator[CheckResult]:
    posted: dict[str, Commitment] = {}
    for path, found in read_commitments(results):
        if isinstance(found, ContentError):
            yield _record_failure("commitment", path.name, str(found.problems[0]))
        else:
            posted[found.digest] = found
    for digest, what in problems.items():
        yield _record_failure("commitment", digest[:12], what)
    used: dict[str, str] = {}
    for entry in entries:
        used |= dict.fromkeys(named_commitments(entry), f"{entry.division}/{entry.name}")
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
