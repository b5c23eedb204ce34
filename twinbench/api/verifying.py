"""Verify a submission without trust: what was submitted, which claims hold, and what may be listed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from twinbench.causes import CausedError
from twinbench.checks import Status
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, UsageError
from twinbench.fingerprint import sha256_file
from twinbench.plugins.limits import NOT_LOADED, PluginLimits
from twinbench.reading.input_files import open_input
from twinbench.storage.store import Store
from twinbench.storage.temporary_folders import remove_abandoned_folders, temporary_folder
from twinbench.submissions.archive import Archive, ArchiveError, open_archive
from twinbench.submissions.doubts import doubts_left
from twinbench.submissions.fields import printable_line
from twinbench.submissions.findings import Findings
from twinbench.submissions.manifest import MANIFEST_FILE, Division, LivePart, SubmissionManifest
from twinbench.submissions.report import Level, SignatureFound, SubmissionFile, VerificationReport, VerifiedResult
from twinbench.submissions.router_files import (
    ROUTER_FOLDER,
    compare_identity,
    describe_match,
    is_in_archive,
    place_router,
    wheel_problems,
    wheels_beside,
)
from twinbench.submissions.sampling import make_nonce
from twinbench.submissions.signing import MOST_SIGNATURE_BYTES, SIGNATURE_FILE, SignatureError, check_signature
from twinbench.submissions.trained import TrainedRouter, read_trained_routers

if TYPE_CHECKING:
    from dynamic_track.submission.verifying import VerifiedRun

MOST_MANIFEST_BYTES = 32 * 2**20
ASKED_ROWS = 200
"""Default of about how many rows of each bank the router decides again."""


@dataclass(frozen=True)
class Repetition:
    """How many parts of each live run are repeated; None: nothing, 0: everything."""

    grade: int | None = None
    """How many patches of each run are graded again."""
    replay: int | None = None
    """How many cases of each run are replayed, with the router called again if its files are there."""
    rerun: int | None = None
    """How many cases of each run are run again with real models."""
    run_usd: str | None = None
    """The most that the reruns of a run may spend."""
    api_base: str | None = None
    api_key_env: str | None = None
    router: str | None = None
    """The router that reruns of a closed one ask."""
    rerun_dir: Path | None = None
    """Where the run directories of reruns go, which the same nonce continues; None: beside the working directory's
    other files, under the entry's name."""
    workers: int = 2
    build: bool = False
    """Build images from the tasks' Dockerfiles."""

    @property
    def is_wanted(self) -> bool:
        """Whether anything is done again."""
        return any(each is not None for each in (self.grade, self.replay, self.rerun))


@dataclass(frozen=True, kw_only=True)
class VerificationRequest:
    """How far a verification goes, and what it may use."""

    nonce: str | None = None
    """The nonce with which samples are drawn, beside the file's digest; None: a new one."""
    ask: int | None = ASKED_ROWS
    """About how many rows of each bank the router decides again; 0: all, None: none."""
    signers: Path | None = None
    """The maintainer's file of allowed signers."""
    commitments: Path | None = None
    """The folder of commitments that were posted."""
    against: Sequence[Path] = ()
    """Directories of other runs, or other submissions, which must not have the same responses."""
    tasks: str | None = None
    dataset: str | None = None
    repetition: Repetition = field(default_factory=Repetition)
    store: Path | str | None = None

    def samples(self, levels: Collection[Level]) -> dict[Level, int | Literal["all"]]:
        """Return how much of these levels is to be done."""
        wanted = {
            Level.ask: self.ask,
            Level.grade: self.repetition.grade,
            Level.replay: self.repetition.replay,
            Level.rerun: self.repetition.rerun,
        }
        return {level: number or "all" for level, number in wanted.items() if level in levels and number is not None}


def verify_submission(
    file: Path | str,
    request: VerificationRequest | None = None,
    *,
    plugins: Callable[[], PluginLimits] | None = None,
    tell: Callable[[str], None] = print,
    progress: Progress = no_progress,
) -> VerificationReport:
    """Verify a submission: everything is read within bounds, nothing of it is executed outside strict isolation.

    Args:
        file: the submission.
        request: how far to go.
        plugins: makes the limits under which the submission's router is called, which must be of strict isolation;
            used only if it is called. Default: strict isolation on this machine's Docker engine.
        tell: called with the power of reruns before anything is spent.
        progress: called as the work proceeds.

    Returns:
        The report, with ``ok`` false where a check failed.

    Raises:
        UsageError: there is no such file, or a name in the request is wrong.
    """
    request = request or VerificationRequest()
    path = Path(file)
    open_input(path).close()  # which says what is wrong with it
    remove_abandoned_folders()  # of verifications that were killed
    verification = _Verification(path, request, plugins or _strict_limits, tell, progress)
    return verification.report()


class _Verification:
    """One verification, from the file to the report."""

    def __init__(
        self,
        path: Path,
        request: VerificationRequest,
        plugins: Callable[[], PluginLimits],
        tell: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self._request = request
        self._plugins = plugins
        self._tell = tell
        self._progress = progress
        self._findings = Findings()
        self._file = SubmissionFile(name=printable_line(path.name), sha256=sha256_file(path), bytes=path.stat().st_size)
        self._path = path
        self._nonce = request.nonce or make_nonce()
        self._levels = [Level.verify]
        self._signature = SignatureFound(signed=False)
        self._manifest: SubmissionManifest | None = None
        self._manifest_sha256: str | None = None
        self._results: list[VerifiedResult] = []
        self._trained: list[TrainedRouter] = []
        self._recorded = True
        self._placed: str | None = None

    def report(self) -> VerificationReport:
        """Verify, and return the report."""
        import twinbench

        try:
            with open_archive(self._path) as archive:
                self._findings.add("archive", self._file.name, Status.passed, f"{len(archive.sizes):,} plain files")
                self._verify(archive)
        except ArchiveError as error:
            self._findings.add("archive", self._file.name, Status.failed, str(error))
        manifest = self._manifest
        return VerificationReport(
            name=None if manifest is None else manifest.name,
            file=self._file,
            manifest=self._manifest_sha256,
            twinbench=twinbench.__version__,
            verified_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            nonce=self._nonce,
            levels=tuple(each for each in Level if each in self._levels),
            samples=self._request.samples(self._levels),
            signature=self._signature,
            checks=tuple(self._findings.checks),
            results=tuple(self._results),
            doubts=() if manifest is None else doubts_left(manifest, self._levels, self._signature),
        )

    def _verify(self, archive: Archive) -> None:
        content = archive.read(MANIFEST_FILE, MOST_MANIFEST_BYTES)
        self._manifest_sha256 = hashlib.sha256(content).hexdigest()
        try:
            manifest = SubmissionManifest.parse(content, MANIFEST_FILE)
        except ContentError as error:
            for problem in error.problems[:20]:
                self._findings.add("manifest", MANIFEST_FILE, Status.failed, str(problem))
            return
        self._manifest = manifest
        self._findings.add("manifest", MANIFEST_FILE, Status.passed, f"{manifest.name}, by {manifest.contact.name}")
        self._progress("comparing digests", 0, None)
        digests: dict[str, str] = {}
        problems = _digest_problems(archive, manifest, digests)
        told = f"{format_count(len(manifest.files), 'file')} as the manifest has them"
        if not self._findings.judge("digests", MANIFEST_FILE, problems, told):
            return
        self._check_signature(archive, content)
        with ExitStack() as stack:
            outer = stack.enter_context(temporary_folder())
            folder = outer / "submission"
            folder.mkdir()
            for each in (outer, folder):
                each.chmod(0o755)  # a router in strict isolation is another user
            for top in sorted({name.partition("/")[0] for name in archive.sizes if "/" in name}):
                archive.extract(top, folder / top)
            self._findings.judge(
                "router-files",
                ROUTER_FOLDER,
                chain(
                    compare_identity(manifest.router, digests, archive.read),
                    wheel_problems(manifest.router, folder / ROUTER_FOLDER),
                ),
                describe_match(manifest.router),
            )
            if (wheels := wheels_beside(manifest.router)) is not None:
                what = (
                    "wheels beside a trained router are not part of its fingerprint: of a live run nobody can tell "
                    "whether these were used"
                )
                self._findings.add("router-files", wheels, Status.warned, what)
            try:
                self._trained = read_trained_routers(archive)
            except (ArchiveError, ValueError) as error:
                self._findings.add("in-sample", ROUTER_FOLDER, Status.failed, str(error))
            self._verify_static(manifest, folder)
            self._verify_live(manifest, folder)

    def _check_signature(self, archive: Archive, content: bytes) -> None:
        if SIGNATURE_FILE not in archive.sizes:
            what = "not signed: nobody can tell whether a later submission of this name is by the same people"
            self._findings.add("signature", MANIFEST_FILE, Status.warned, what)
            return
        try:
            signature = archive.read(SIGNATURE_FILE, MOST_SIGNATURE_BYTES)
            self._signature = check_signature(content, signature, self._request.signers)
        except SignatureError as error:
            self._findings.add("signature", MANIFEST_FILE, Status.failed, str(error))
            return
        who = (
            f"by {self._signature.signer}"
            if self._signature.signer
            else "by a key that no file of signers was given for"
        )
        self._findings.add("signature", MANIFEST_FILE, Status.passed, f"{who}: {self._signature.key}")

    def _verify_static(self, manifest: SubmissionManifest, folder: Path) -> None:
        if not manifest.static and not self._trained:
            return
        from static_track.submission import AskedAgain, StaticVerification

        verification = StaticVerification(
            manifest.router.spec, Store(self._request.store), self._findings, self._progress
        )
        for each in self._trained:
            self._recorded &= verification.check_training(each, manifest.static)
        if not manifest.static:
            return
        again: AskedAgain | None = None
        limits = self._limits_for_asking(manifest, folder)
        if limits is not None and (spec := self._place(manifest, folder)) is not None:
            rows = None if self._request.ask == 0 else self._request.ask
            again = AskedAgain(
                spec,
                limits,
                rows,
                self._file.sha256,
                self._nonce,
                elsewhere=not is_in_archive(manifest.router),
                included=frozenset(name.removeprefix(f"{ROUTER_FOLDER}/") for name in manifest.router.included),
            )
        known: set[tuple[str, str | None]] = set()
        for part in manifest.static:
            if (scored := (part.bank_sha256, part.part_fingerprint)) in known:
                what = "another result of this submission has the same rows: one of them is the better of two"
                self._findings.add("part", part.predictions, Status.failed, what)
            known.add(scored)
            if part.division is not Division.static:
                what = f"claimed is {part.division}, and predictions on a bank are {Division.static}"
                self._findings.add("division", part.predictions, Status.failed, what)
            if part.predictions not in manifest.files:
                self._findings.add("rows", part.predictions, Status.failed, "is not in the archive")
                continue
            result = verification.verify(part, folder / part.predictions, self._trained, again, recorded=self._recorded)
            if result is not None:
                self._results.append(result)
        if self._findings.was_done("decisions"):
            self._levels.append(Level.ask)

    def _place(self, manifest: SubmissionManifest, folder: Path) -> str | None:
        """Return the spec that loads the router from its extracted files; None if nothing may be called.

        That is so if it is closed, and if its files are not those of its fingerprint.
        """
        if manifest.router.closed or self._findings.failed("router-files", ROUTER_FOLDER):
            return None
        if self._placed is None:
            try:
                self._placed = place_router(manifest.router, folder / ROUTER_FOLDER)
            except UsageError as error:
                self._findings.add("router-files", ROUTER_FOLDER, Status.failed, str(error))
        return self._placed

    def _limits_for_asking(self, manifest: SubmissionManifest, folder: Path) -> PluginLimits | None:
        """Return the limits under which the router is called again; None if it is not, with a check that says why."""
        why = None
        if self._request.ask is None:
            why = "the router was not called again (--ask): its predictions may be anybody's"
        elif manifest.router.closed:
            why = "the router is closed and cannot be called again: its predictions may be anybody's"
        elif self._place(manifest, folder) is None:
            why = "the router's files are not those of its fingerprint: it was not called"
        else:
            try:
                return self._require_strict_limits()
            except CausedError as error:  # everything else can be verified without an engine
                why = f"the router was not called again, since there is no strict isolation here: {error}"
        self._findings.add("decisions", ROUTER_FOLDER, Status.warned, why, level=Level.ask)
        return None

    def _require_strict_limits(self) -> PluginLimits:
        limits = self._plugins()
        if limits.isolation is None:
            raise UsageError("a submission's router is called in strict isolation only")
        return limits

    def _verify_live(self, manifest: SubmissionManifest, folder: Path) -> None:
        if not manifest.live:
            return
        from dynamic_track.submission.tasks_here import TasksHere
        from dynamic_track.submission.verifying import verify_run
        from dynamic_track.tasks.sources import load_tasks

        here = TasksHere(self._request.tasks, self._request.dataset)
        if here.tasks is not None:
            load_tasks(here.tasks, here.dataset)  # what is wrong with it is the maintainer's own
        verified: list[VerifiedRun] = []
        committed: set[str] = set()
        earlier = [run for number, path in enumerate(self._request.against) for run in _runs_at(path, folder, number)]
        for part in manifest.live:
            run = folder / part.run
            if not run.is_dir():
                self._findings.add("readable", part.run, Status.failed, "is not in the archive")
                continue
            pool_file = folder / part.pool_file if part.pool_file in manifest.files else None
            found = verify_run(
                part,
                run,
                manifest.router,
                self._findings,
                pool_file=pool_file,
                here=here,
                posted=self._request.commitments,
                against=earlier,
                trained=self._trained,
                recorded=self._recorded,
                progress=self._progress,
            )
            if (other := _same_run(part, manifest.live)) is not None:
                what = f"{other.run} of this submission is the same run: a run counts once"
                self._findings.add("reused-trace", part.run, Status.failed, what)
            for digest in sorted(committed.intersection(part.commitments)):
                what = f"another run of this submission has the same commitment, {digest}: it is the better of two"
                self._findings.add("commitment", part.run, Status.failed, what)
            committed |= set(part.commitments)
            earlier = [*earlier, run]
            if found is not None:
                if self._request.repetition.is_wanted:
                    verified.append(found)  # otherwise one run is in memory at a time
                if found.result is not None:
                    self._results.append(found.result)
        self._repeat(manifest, verified, folder)

    def _repeat(self, manifest: SubmissionManifest, runs: Sequence[VerifiedRun], folder: Path) -> None:
        """Do parts of the runs again, as far as the request says."""
        from dynamic_track.submission.repeating import Rerun, Sampling, grade_again, replay_again, run_again

        wanted, sampling = self._request.repetition, Sampling(self._file.sha256, self._nonce)
        if wanted.grade is not None and runs:
            self._levels.append(Level.grade)
            for run in runs:
                grade_again(
                    run,
                    wanted.grade,
                    sampling,
                    self._findings,
                    workers=wanted.workers,
                    build=wanted.build,
                    progress=self._progress,
                )
        router = self._place(manifest, folder)
        if wanted.replay is not None and runs:
            self._levels.append(Level.replay)
            limits = None if router is None else self._require_strict_limits()
            for run in runs:
                replay_again(
                    run,
                    wanted.replay,
                    sampling,
                    self._findings,
                    router=router,
                    plugins=limits,
                    build=wanted.build,
                    progress=self._progress,
                )
        if wanted.rerun is None or not runs:
            return
        if wanted.api_base is None:
            raise UsageError("--rerun needs --api-base, the gateway of the models")
        if manifest.router.closed and wanted.router is None:
            raise UsageError("the router is closed: --rerun needs --router, where it can be called")
        trusted = not self._findings.failed("router-files", ROUTER_FOLDER)
        router = wanted.router or router
        if router is None or not trusted:
            what = "the router's files are not those of its fingerprint: nothing was run again"
            self._findings.add("rerun", ROUTER_FOLDER, Status.failed, what, level=Level.rerun)
            return
        self._levels.append(Level.rerun)
        rerun = Rerun(
            wanted.rerun,
            router,
            self._require_strict_limits() if wanted.router is None else PluginLimits(),
            wanted.api_base,
            wanted.api_key_env,
            wanted.run_usd,
            wanted.rerun_dir or Path(f"rerun-{manifest.name}-{self._nonce[:8]}"),
            len(runs),
            wanted.workers,
            wanted.build,
        )
        for run in runs:
            try:
                run_again(run, rerun, sampling, self._findings, tell=self._tell, progress=self._progress)
            except NOT_LOADED as error:
                what = f"the router cannot be loaded: {error}"
                self._findings.add("rerun", run.part.run, Status.failed, what, level=Level.rerun)


def _same_run(part: LivePart, parts: Sequence[LivePart]) -> LivePart | None:
    """Return the part before another one that is the same run, going by claims that are checks of their own.

    A journal's last line follows from all before it. A rehearsal follows from its plan, so two of one plan are the
    same, whenever they were made; other runs of one plan are told apart by their responses (``reused-trace``).
    """
    for other in parts:
        if other is part:
            return None
        copied = part.run == other.run or (part.head is not None and part.head == other.head)
        rehearsed = part.plan == other.plan and part.division is other.division is Division.rehearsal
        if copied or rehearsed:
            return other
    return None


def _runs_at(path: Path, folder: Path, number: int) -> Iterator[Path]:
    """Yield a run's directory, or those of an earlier submission.

    Args:
        path: a directory, or a submission.
        folder: the folder in which a submission's runs are unpacked.
        number: tells it from others.

    Raises:
        UsageError: it is neither.
    """
    if path.is_dir():
        yield path
        return
    try:
        with open_archive(path) as archive:
            archive.extract("runs", folder / f"against-{number}")
    except ArchiveError as error:
        raise UsageError(f"--against {path}: {error}") from None
    yield from sorted(plan.parent for plan in (folder / f"against-{number}").glob("*/plan.json"))


def _strict_limits() -> PluginLimits:
    from twinbench.containers.engine import Engine
    from twinbench.containers.strict import StrictIsolation

    return PluginLimits(isolation=StrictIsolation(Engine.connect()))


def _digest_problems(archive: Archive, manifest: SubmissionManifest, digests: dict[str, str]) -> Iterator[str]:
    """Find files that are not as the manifest has them; fills ``digests``."""
    there = set(archive.sizes) - {MANIFEST_FILE, SIGNATURE_FILE}
    for name in sorted(set(manifest.files) - there):
        yield f"{name}: is named in the manifest, and not in the archive"
    for name in sorted(there - set(manifest.files)):
        yield f"{name}: is in the archive, and the manifest does not name it"
    for name in sorted(there & set(manifest.files)):
        digest = hashlib.sha256()
        for block in archive.blocks(name):
            digest.update(block)
        digests[name] = digest.hexdigest()
        told = manifest.files[name]
        if digests[name] != told.sha256 or archive.sizes[name] != told.bytes:
            yield f"{name}: has other content than the manifest says"
