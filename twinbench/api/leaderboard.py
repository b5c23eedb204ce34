"""The leaderboard as a library: ``import twinbench as tb``.

tb.build_leaderboard("site", results="results")
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from static_track.banks.build_output import ROWS_FILE
from static_track.banks.embedded import embedded_manifest
from static_track.banks.embedded_names import EMBEDDED
from static_track.evaluator import locked_protocol
from twinbench.api.verifying import VerificationRequest, verify_submission
from twinbench.checks import CheckResult
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.leaderboard.adding import Listed, add_submission, refuse_before_verifying, withdraw_entry
from twinbench.leaderboard.checking import check_entries
from twinbench.leaderboard.entries import MOST_FILE_BYTES
from twinbench.leaderboard.protocols import CurrentProtocols, KnownBank
from twinbench.leaderboard.site import Site, make_site, refuse_other_folder
from twinbench.reading.input_files import InputError, open_input, read_up_to
from twinbench.reading.strict_json import parse_document
from twinbench.storage.manifest_files import live_manifest, published_banks
from twinbench.submissions.archive import Archive, ArchiveError, open_archive
from twinbench.submissions.manifest import MANIFEST_FILE, Division, SubmissionManifest
from twinbench.submissions.report import Level, SignatureFound, VerificationReport
from twinbench.submissions.signing import MOST_SIGNATURE_BYTES, SIGNATURE_FILE, SignatureError, check_signature

RESULTS = "results"
"""The folder of entries and commitments in a checkout."""

_VERIFIED_HERE = (Level.verify, Level.ask)
"""What a verification does at most where a submission is listed without a report."""


def add_to_leaderboard(
    file: Path | str,
    report: Path | str | None = None,
    *,
    results: Path | str = RESULTS,
    supersede: bool = False,
    after_withdrawal: bool = False,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> list[Listed]:
    """List a submission that was verified, in each division that it has results in.

    Args:
        file: the submission.
        report: the JSON of its verification; None: it is verified now, as ``verify_submission`` does unasked.
        results: the folder of entries and commitments.
        supersede: whether it may take the place of an entry that, by signature or contact, somebody else submitted.
        after_withdrawal: whether it may take the place of an entry that was withdrawn.
        store: the store with the banks, if it is verified now.
        progress: called as the work proceeds.

    Raises:
        UsageError: a file does not exist, they are not of the same submission, the name is somebody else's, or what had
            it was withdrawn.
        ContentError: a file or an entry is not valid.
        TwinbenchError: a check of the report failed, the entry would fail one of the leaderboard, or it cannot be
            written.
    """
    _require_folder(results)
    path = Path(file)
    given = None if report is None else _read_report(Path(report))
    try:
        with open_archive(path) as archive:
            manifest = archive.read(MANIFEST_FILE, MOST_FILE_BYTES)
            signature = _read_signature(archive, manifest) if given is None else given.signature
    except (ArchiveError, SignatureError) as error:
        raise ContentError([Problem(str(file), None, None, str(error))]) from None
    if given is None:  # a verification takes minutes and containers: what can be refused without it is refused first
        parsed = SubmissionManifest.parse(manifest, f"{file}, {MANIFEST_FILE}")
        refuse_before_verifying(
            Path(results),
            parsed,
            sha256_file(path),
            signature,
            _VERIFIED_HERE,
            supersede=supersede,
            after_withdrawal=after_withdrawal,
        )
    found = given or _verify(path, Path(results), store, progress)
    if sha256_file(Path(file)) != found.file.sha256:
        raise UsageError(f"{report or 'the report'} does not match {file}: SHA-256 differs")
    return add_submission(
        Path(results), manifest, found, _now(), supersede=supersede, after_withdrawal=after_withdrawal
    )


def withdraw_from_leaderboard(division: str, name: str, reason: str, *, results: Path | str = RESULTS) -> Path:
    """Mark an entry as withdrawn; it stays listed, apart, with the reason.

    Args:
        division: static, live, open or rehearsal.
        name: the entry's name.
        reason: why, in words.
        results: the folder of entries and commitments.

    Returns:
        The folder of the entry.

    Raises:
        UsageError: there is no such entry, it is withdrawn already, or the name is none that an entry may have.
        ContentError: the entry is not valid.
        TwinbenchError: the entry cannot be written, or there is a link among entries and commitments.
    """
    _require_folder(results)
    if division not in set(Division):
        raise UsageError(f"there is no division {division!r}: use one of {', '.join(Division)}")
    return withdraw_entry(Path(results), Division(division), name, reason, _now())


def check_leaderboard(*, results: Path | str = RESULTS) -> list[CheckResult]:
    """Check that all entries and commitments are consistent.

    Args:
        results: the folder of entries and commitments.

    Raises:
        UsageError: it is not a directory.
        TwinbenchError: another process has written there for too long.
    """
    return list(check_entries(Path(results), current_protocols()))


def build_leaderboard(out: Path | str, *, results: Path | str = RESULTS) -> Site:
    """Write the leaderboard as static pages and JSON into a folder, in the place of an earlier site.

    An entry that fails a check is left out, and named with the reason in ``not_shown`` of what is returned.

    Args:
        out: the folder of the site.
        results: the folder of entries and commitments.

    Raises:
        UsageError: ``results`` is not a directory, or ``out`` contains something other than a site.
        TwinbenchError: there is a link among entries and commitments, or the site cannot be written.
        PlotsMissingError: the plotting library is not installed.
    """
    refuse_other_folder(Path(out))
    site = make_site(Path(results), current_protocols())
    site.write(Path(out))
    return site


def current_protocols() -> CurrentProtocols:
    """Return what counts now: the locked static protocol, the locked live pool and the banks of this twinbench."""
    return CurrentProtocols(static=locked_protocol(), live=live_manifest().fingerprint, banks=known_banks())


def known_banks() -> dict[str, KnownBank]:
    """Return the embedded banks by the SHA-256 of their content, and published ones by that of their file."""
    found = {bank.sha256: KnownBank(bank.name) for bank in published_banks()}
    for name in EMBEDDED:
        manifest = embedded_manifest(name)
        known = KnownBank(name, manifest.get("caveat"), manifest.get("ranks_nothing") is True)
        found[manifest["sha256"][ROWS_FILE]] = known
    return found


def _verify(file: Path, results: Path, store: Path | str | None, progress: Progress) -> VerificationReport:
    commitments = results / "commitments"
    request = VerificationRequest(commitments=commitments if commitments.is_dir() else None, store=store)
    return verify_submission(file, request, progress=progress)


def _read_signature(archive: Archive, manifest: bytes) -> SignatureFound:
    """Return whose key signed a manifest.

    Raises:
        ArchiveError: the archive is damaged.
        SignatureError: the signature is not of this manifest.
    """
    if SIGNATURE_FILE not in archive.sizes:
        return SignatureFound(signed=False)
    return check_signature(manifest, archive.read(SIGNATURE_FILE, MOST_SIGNATURE_BYTES), None)


def _read_report(path: Path) -> VerificationReport:
    """Read the JSON of a verification, which says first whether all is well."""
    try:
        with open_input(path) as file:
            data = read_up_to(file, MOST_FILE_BYTES)
    except InputError as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None
    content: Any = parse_document(data, str(path))
    if not isinstance(content, dict):
        raise ContentError([Problem(str(path), None, None, "is not a report of twinbench submit verify --json")])
    return VerificationReport.parse_content({key: value for key, value in content.items() if key != "ok"}, str(path))


def _require_folder(results: Path | str) -> None:
    if not Path(results).is_dir():
        raise UsageError(f"{results} is not a directory; give the folder results of a checkout with --results")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
