"""Submissions listed, superseded and withdrawn."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from twinbench.checks import Status
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, TwinbenchError, UsageError
from twinbench.leaderboard.checking import (
    MIXED,
    check_entry,
    check_files,
    commitment_problems,
    mixed_conditions,
    named_commitments,
    shared_files,
)
from twinbench.leaderboard.entries import (
    Change,
    Entry,
    EntryScores,
    Version,
    Withdrawal,
    clear_aside,
    entry_folder,
    next_earlier,
    read_entries,
    read_entry,
    refuse_links,
    write_changes,
)
from twinbench.storage.folder_changes import lock_folder
from twinbench.submissions.manifest import Division, SubmissionManifest
from twinbench.submissions.report import Level, SignatureFound, VerificationReport

Action = Literal["added", "superseded", "verified again"]

_SHOWN = 5


@dataclass(frozen=True)
class Listed:
    """The entry that a submission got in one division."""

    division: Division
    name: str
    action: Action
    folder: Path


def add_submission(
    results: Path,
    manifest_bytes: bytes,
    report: VerificationReport,
    now: str,
    *,
    supersede: bool = False,
    after_withdrawal: bool = False,
) -> list[Listed]:
    """List a verified submission in each division that it has results in.

    Args:
        results: the folder ``results`` of a checkout.
        manifest_bytes: the submission's manifest as it is in its file.
        report: on the same file.
        now: UTC time, such as 2026-11-30T08:00:00Z.
        supersede: whether it may take the place of an entry that somebody else submitted.
        after_withdrawal: whether it may take the place of an entry that was withdrawn.

    Raises:
        UsageError: report and manifest are not of the same submission, the name is somebody else's, or what had it was
            withdrawn.
        ContentError: the manifest or an entry is not valid.
        TwinbenchError: a check failed, nothing can be listed, or the files cannot be written.
    """
    manifest = SubmissionManifest.parse(manifest_bytes, "the manifest")
    _refuse_report(manifest, manifest_bytes, report)
    with _lock(results):
        plans = [
            _plan(results, division, manifest, manifest_bytes, report, now, _Allowed(supersede, after_withdrawal))
            for division in report.divisions
        ]
        _refuse_failing(results, [entry for entry, _, _ in plans])
        write_changes(
            results, [Change(entry.division, entry.name, entry.current, earlier) for entry, _, earlier in plans]
        )
    return [
        Listed(entry.division, entry.name, action, entry_folder(results, entry.division, entry.name))
        for entry, action, _ in plans
    ]


def refuse_before_verifying(
    results: Path,
    manifest: SubmissionManifest,
    sha256: str,
    signature: SignatureFound,
    levels: Collection[Level],
    *,
    supersede: bool = False,
    after_withdrawal: bool = False,
) -> None:
    """Refuse a submission that could not be listed whatever its verification finds, by what its file says of itself.

    Args:
        results: the folder ``results`` of a checkout.
        manifest: the submission's manifest.
        sha256: of the submission's file.
        signature: the signature over the manifest.
        levels: what the verification is going to do at most.
        supersede: whether it may take the place of an entry that somebody else submitted.
        after_withdrawal: whether it may take the place of an entry that was withdrawn.

    Raises:
        UsageError: the file was listed before, or goes less far, the name is somebody else's, or what had it was
            withdrawn.
        ContentError: an entry is not valid.
        TwinbenchError: another entry has one of its commitments, or there are links among the entries.
    """
    refuse_links(results)
    allowed = _Allowed(supersede, after_withdrawal)
    for division in manifest.divisions:
        folder = entry_folder(results, division, manifest.name)
        if folder.exists():
            _refuse_version(read_entry(folder, division), manifest, sha256, signature, levels, allowed)
    claimed = {digest for part in manifest.live for digest in part.commitments}
    others = [entry for entry in read_entries(results) if entry.name != manifest.name] if claimed else []
    for entry in others:
        for digest in sorted(claimed & named_commitments(entry)):
            raise TwinbenchError(f"commitment {digest[:12]}: two entries name it: {entry.name}, {manifest.name}")


def withdraw_entry(results: Path, division: Division, name: str, reason: str, now: str) -> Path:
    """Mark an entry as withdrawn: it stays listed, apart, with the reason, and is ranked no more.

    Args:
        results: the folder ``results`` of a checkout.
        division: the entry's division.
        name: the entry's name.
        reason: why, in words.
        now: UTC time, such as 2026-11-30T08:00:00Z.

    Returns:
        The folder of the entry.

    Raises:
        UsageError: there is no such entry, it is withdrawn already, or the reason is empty or not printable.
        ContentError: the entry is not valid.
    """
    folder = entry_folder(results, division, name)
    if not reason.strip():
        raise UsageError("say why it is withdrawn, with --reason")
    try:
        withdrawal = Withdrawal.parse_content({"withdrawn_at": now, "reason": reason}, "--reason")
    except ContentError as error:
        raise UsageError(str(error)) from None
    with _lock(results):
        if not folder.is_dir():
            raise UsageError(f"there is no entry {division}/{name} in {results}")
        entry = read_entry(folder, division)
        if entry.current.withdrawal is not None:
            raise UsageError(f"{division}/{name} was withdrawn at {entry.current.withdrawal.withdrawn_at}")
        write_changes(results, [Change(division, name, replace(entry.current, withdrawal=withdrawal))])
    return folder


@contextmanager
def _lock(results: Path) -> Iterator[None]:
    """Keep others from ``results`` while entries are read, decided upon and written.

    Raises:
        TwinbenchError: others take too long, or there are links in it.
    """
    with lock_folder(results):
        refuse_links(results)
        try:
            clear_aside(results)
        except OSError as error:
            raise TwinbenchError(f"cannot write {error.filename or results} ({error.strerror or error})") from None
        yield


def _refuse_report(manifest: SubmissionManifest, manifest_bytes: bytes, report: VerificationReport) -> None:
    if report.manifest != hashlib.sha256(manifest_bytes).hexdigest() or report.name != manifest.name:
        raise UsageError("the report is for a different submission")
    failed = [check for check in report.checks if check.status is Status.failed]
    if failed:
        told = _shorten_list([f"{check.name}, {check.subject}: {check.reason}" for check in failed])
        raise TwinbenchError(
            "\n".join(
                [f"{manifest.name} is not listed: {format_count(len(failed), 'check')} of its report failed", *told]
            )
        )
    if not report.results:
        raise TwinbenchError(f"{manifest.name} is not listed: its report holds no result")


@dataclass(frozen=True)
class _Allowed:
    """What a maintainer has allowed in so many words."""

    supersede: bool
    after_withdrawal: bool


def _plan(
    results: Path,
    division: Division,
    manifest: SubmissionManifest,
    manifest_bytes: bytes,
    report: VerificationReport,
    now: str,
    allowed: _Allowed,
) -> tuple[Entry, Action, Path | None]:
    """Return the entry as it will be, what happens to it, and where the version that is current so far goes."""
    own = tuple(each for each in report.results if each.division is division)
    scores = EntryScores(name=manifest.name, division=division, added_at=now, results=own)
    version = Version(manifest, manifest_bytes, scores, report)
    folder = entry_folder(results, division, manifest.name)
    if not folder.exists():
        return Entry(division, manifest.name, version), "added", None
    entry = read_entry(folder, division)
    _refuse_version(entry, manifest, report.file.sha256, report.signature, report.levels, allowed)
    if report.file.sha256 == entry.current.report.file.sha256:
        scores = scores.model_copy(update={"added_at": entry.current.scores.added_at})
        return replace(entry, current=replace(version, scores=scores)), "verified again", None
    return Entry(division, entry.name, version, entry.versions), "superseded", next_earlier(folder)


def _refuse_version(
    entry: Entry,
    manifest: SubmissionManifest,
    sha256: str,
    signature: SignatureFound,
    levels: Collection[Level],
    allowed: _Allowed,
) -> None:
    """Refuse a file as a version of an entry: it was listed before, is somebody else's, or follows a withdrawal."""
    if sha256 == entry.current.report.file.sha256:
        _refuse_again(entry, levels)
    elif sha256 in {each.report.file.sha256 for each in entry.earlier}:
        raise UsageError(
            f"this file was listed as {entry.division}/{entry.name} before, and is superseded by another one"
        )
    else:
        if not allowed.supersede:
            _refuse_strangers(entry, manifest, signature)
        if not allowed.after_withdrawal and entry.current.withdrawal is not None:
            raise UsageError(
                f"{entry.division}/{entry.name} was withdrawn at {entry.current.withdrawal.withdrawn_at} "
                f"({entry.current.withdrawal.reason}): where you know that a new version may stand in its place, add "
                "--after-withdrawal"
            )


def _refuse_again(entry: Entry, levels: Collection[Level]) -> None:
    if entry.current.withdrawal is not None:
        raise UsageError(
            f"{entry.division}/{entry.name} with this file is withdrawn: {entry.current.withdrawal.reason}"
        )
    missing = [str(level) for level in entry.current.report.levels if level not in levels]
    if missing:
        raise UsageError(
            f"{entry.division}/{entry.name} is listed with a report of this file that goes further: "
            f"{', '.join(missing)}"
        )


def _refuse_strangers(entry: Entry, manifest: SubmissionManifest, now: SignatureFound) -> None:
    """Refuse a submission under the name of an entry that somebody else submitted, by signature or contact."""
    old = entry.current
    before = old.report.signature
    if before.key is not None and before.key != now.key:
        by = "is not signed" if now.key is None else f"is signed by {now.key}"
        why = f"is signed by {before.key}, and the new file {by}"
    elif before.key is None and old.manifest.contact != manifest.contact:
        why = f"was submitted by {old.manifest.contact.name}, and the contact of the new file is different"
    else:
        return
    raise UsageError(
        f"{entry.division}/{entry.name} {why}: where you know that it is for them to supersede it, add --supersede"
    )


def _refuse_failing(results: Path, new: Sequence[Entry]) -> None:
    """Refuse entries that would fail a check of the leaderboard as soon as they were written."""
    told: list[str] = []
    for entry in new:
        folder = entry_folder(results, entry.division, entry.name)
        checks = [*check_files(f"{entry.division}/{entry.name}", folder), *check_entry(entry)]
        told += [f"{each.name}, {each.subject}: {each.reason}" for each in checks if each.status is Status.failed]
    replaced = {(each.division, each.name) for each in new}
    others = [each for each in read_entries(results) if (each.division, each.name) not in replaced]
    own = {version.report.file.sha256 for entry in new for version in entry.versions}
    for sha256, entries in shared_files([*others, *new]).items():
        if sha256 in own:
            names = ", ".join(sorted({entry.name for entry in entries}))
            told.append(f"one name: the same file, {sha256[:12]}, would be listed as {names}")
    for comparable, entries in mixed_conditions([*others, *new]).items():
        if any(entry in new for entry in entries):
            told.append(f"conditions {comparable[:12]}: {MIXED}")
    named = {digest for entry in new for digest in named_commitments(entry)}
    for digest, what in commitment_problems([*others, *new]).items():
        if digest in named:
            told.append(f"commitment {digest[:12]}: {what}")
    if told:
        raise TwinbenchError("\n".join([f"{new[0].name} is not listed: it would fail checks", *_shorten_list(told)]))


def _shorten_list(told: Sequence[str]) -> list[str]:
    return [*told[:_SHOWN], *([f"… and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else [])]
