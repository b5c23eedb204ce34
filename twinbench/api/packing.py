"""Put a submission together: router, predictions, runs, who and under which licence, with a digest of everything."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import display_spec, format_count
from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.plugins.spec import parse_spec
from twinbench.reading.input_files import open_input, read_document
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.storage.store import Store
from twinbench.submissions.archive import ArchiveError, write_archive
from twinbench.submissions.fields import Document, Line, Prose, Slug, WebAddress
from twinbench.submissions.manifest import (
    MANIFEST_FILE,
    ArchivedFile,
    Contact,
    LivePart,
    StaticPart,
    SubmissionManifest,
    SubmittedRouter,
)
from twinbench.submissions.router_files import GatheredRouter, gather_router, hash_and_size
from twinbench.submissions.secrets import SecretFinder, SecretFound, own_secrets
from twinbench.submissions.signing import SIGNATURE_FILE, sign

EXAMPLE = """\
# The submitter and the submission; for: twinbench submit pack --info submission.toml
name = "my-router"                      # of the entry: small letters, digits, "-", "." and "_"
title = "My router"                     # what tables show
description = "Decides by the length of the conversation."
licence = "Apache-2.0"                  # of everything that is submitted: an SPDX expression, or words
links = ["https://example.org/my-router"]

[contact]
name = "Ada Lovelace"
email = "ada@example.org"               # or url = "https://…"
"""
_MOST_INFO_BYTES = 2**20
_MOST_SECRETS_SHOWN = 20
_ADVICE = "What is none, such as a test's key in a repository: --no-secret FILE:LINE, once you looked at it"


class SubmissionInfo(Document):
    """The submitter's statements: name and contact, title, licence."""

    name: Slug
    title: Line
    description: Prose = ""
    licence: Line
    links: tuple[WebAddress, ...] = Field(default=(), max_length=20)
    contact: Contact


@dataclass(frozen=True)
class PackedSubmission:
    """A submission that was put together, and perhaps written."""

    manifest: SubmissionManifest
    output: Path | None
    """The file; None where nothing was written."""
    signed: bool
    missing: tuple[str, ...]
    """What a reviewer will find missing or strange, as sentences."""
    secrets: tuple[SecretFound, ...] = ()
    """Places that look like secrets; with any of them nothing is written."""

    def to_json(self) -> dict[str, Any]:
        """Return the submission as a JSON object."""
        return {
            "output": None if self.output is None else str(self.output),
            "signed": self.signed,
            "files": len(self.manifest.files),
            "bytes": sum(self.manifest.sizes.values()),
            "divisions": [str(each) for each in self.manifest.divisions],
            "missing": list(self.missing),
            "secrets": [str(each) for each in self.secrets],
            "manifest": self.manifest.model_dump(mode="json"),
        }


@dataclass
class _Parts:
    """The parts of a submission, as they are gathered."""

    static: list[StaticPart] = field(default_factory=list)
    live: list[LivePart] = field(default_factory=list)
    files: dict[str, Path | bytes] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Asking:
    """How routers are evaluated on banks."""

    order_seed: int
    in_sample: bool
    no_cache: bool
    plugins: PluginLimits | None
    store: Store
    progress: Progress


def read_info(path: Path) -> SubmissionInfo:
    """Read submitter and submission from a TOML file.

    Raises:
        UsageError: there is no such file.
        ContentError: it is not what ``EXAMPLE`` shows; every problem is named with its field.
    """
    with open_input(path) as file:
        try:
            content = tomllib.loads(read_document(file, _MOST_INFO_BYTES).decode())
        except (ValueError, RecursionError) as error:
            raise ContentError([Problem(str(path), None, None, f"not a TOML file: {error}")]) from None
    return make_info(content, str(path))


def make_info(content: Mapping[str, Any], source: str) -> SubmissionInfo:
    """Check submitter and submission.

    Raises:
        ContentError: something is missing or is not what belongs there.
    """
    try:
        return SubmissionInfo.model_validate(content)
    except ValidationError as error:
        problems = [
            Problem(source, None, field_path(each["loc"]) or None, describe_validation_error(each))
            for each in error.errors(include_url=False)
        ]
        raise ContentError(problems, hint="twinbench submit pack --example prints what belongs there") from None


def pack_submission(
    router: str,
    info: SubmissionInfo | Path | str,
    *,
    banks: Sequence[str] = (),
    runs: Sequence[Path | str] = (),
    predictions: Mapping[str, Path | str] | None = None,
    closed: bool = False,
    include: Sequence[str] = (),
    no_secrets: Sequence[str] = (),
    order_seed: int = 0,
    in_sample: bool = False,
    output: Path | str | None = None,
    sign_with: Path | str | None = None,
    plugins: PluginLimits | None = None,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> PackedSubmission:
    """Put a submission together, and write it where no secret is found in it.

    Args:
        router: the router's spec; of a closed one a name.
        info: the submitter and the submission, or the TOML file with them.
        banks: the banks whose predictions are submitted, each as ``NAME`` or ``NAME:PART``; the router is called where
            the store has no predictions yet.
        runs: directories of live runs.
        predictions: files of predictions by bank, for a router that cannot be called here.
        closed: leave the router's files out.
        include: globs of further files that the router reads, relative to its folder; with any, the router is asked
            again.
        no_secrets: places, as ``FILE:LINE``, that look like a secret and are none; never the value of a variable.
        order_seed: the seed of the order in which the router sees trajectories.
        in_sample: also submit a trained router's predictions on what it was trained on; the manifest says so, and
            they are never ranked.
        output: the file to write; None: nothing is written.
        sign_with: an OpenSSH key.
        plugins: limits of the router's process; the same as in the runs.
        store: the folder of banks and results; default as on the command line.
        progress: called as the work proceeds.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    import twinbench

    about = info if isinstance(info, SubmissionInfo) else read_info(Path(info))
    if not banks and not runs and not predictions:
        raise UsageError("a submission has results: name banks (--bank), predictions (--predictions) or runs (--run)")
    try:
        gathered = _gather(router, closed=closed, include=include, plugins=plugins)
        parts = _Parts(files=dict(gathered.files), missing=list(gathered.notes))
        # Cached predictions do not depend on files that a router opens by itself, and these are such files.
        asking = _Asking(order_seed, in_sample, bool(include), plugins, Store(store), progress)
        for bank in banks:
            _add_predictions(parts, router, bank, None, asking)
        for bank, path in (predictions or {}).items():
            _add_predictions(parts, router, bank, str(path), asking)
        for number, run in enumerate(map(Path, runs), 1):
            _add_run(parts, run, number, gathered.described)
        manifest = SubmissionManifest(
            **about.model_dump(),
            twinbench=twinbench.__version__,
            router=gathered.described,
            static=tuple(parts.static),
            live=tuple(parts.live),
            files={
                name: ArchivedFile(sha256=sha, bytes=size) for name, (sha, size) in hash_and_size(parts.files).items()
            },
        )
    except ValidationError as error:  # such as the name of a file that no archive may have
        details = error.errors(include_url=False)[0]
        raise UsageError(
            f"cannot be submitted: {field_path(details['loc'])} {describe_validation_error(details)}"
        ) from None
    progress("looking for secrets", 0, None)
    suspicious = list(_find_secrets({**parts.files, MANIFEST_FILE: manifest.text().encode()}))
    if unknown := sorted(set(no_secrets) - {each.place for each in suspicious}):
        raise UsageError(f"--no-secret {unknown[0]}: nothing there looks like one")
    found = tuple(each for each in suspicious if each.is_own or each.place not in no_secrets)
    parts.missing += _missing(manifest, signed=sign_with is not None)
    if output is None:
        return PackedSubmission(manifest, None, sign_with is not None, tuple(parts.missing), found)
    if found:
        shown = "\n".join(map(str, found[:_MOST_SECRETS_SHOWN]))
        more = f"\n… and {len(found) - _MOST_SECRETS_SHOWN} more" if len(found) > _MOST_SECRETS_SHOWN else ""
        raise TwinbenchError(f"nothing was written, since it holds what looks like a secret:\n{shown}{more}\n{_ADVICE}")
    content = manifest.text().encode()
    everything = {**parts.files, MANIFEST_FILE: content}
    if sign_with is not None:
        everything[SIGNATURE_FILE] = sign(content, Path(sign_with))
    progress("writing", 0, None)
    try:
        write_archive(Path(output), everything)
    except ArchiveError as error:
        raise UsageError(f"{output}: {error}") from None
    return PackedSubmission(manifest, Path(output), sign_with is not None, tuple(parts.missing))


def _gather(router: str, *, closed: bool, include: Sequence[str], plugins: PluginLimits | None) -> GatheredRouter:
    if closed:
        return GatheredRouter(SubmittedRouter(spec=display_spec(router), closed=True), {})
    if parse_spec(router).kind == "endpoint":
        raise UsageError(f"{router} is an endpoint, whose code is not here: --closed says so")
    return gather_router(load_router(router, plugins), include)


def _add_predictions(parts: _Parts, router: str, bank: str, file: str | None, asking: _Asking) -> None:
    from static_track.submission import pack_predictions

    name, _, part = bank.partition(":")
    packed = pack_predictions(
        router,
        name,
        split=part or None,
        predictions=file,
        order_seed=asking.order_seed,
        in_sample=asking.in_sample,
        no_cache=asking.no_cache,
        plugins=asking.plugins,
        store=asking.store,
        progress=asking.progress,
    )
    if packed.part.predictions in parts.files:
        raise UsageError(f"the bank {bank} is named twice")
    parts.static.append(packed.part)
    parts.files[packed.part.predictions] = packed.content
    parts.missing += packed.notes


def _add_run(parts: _Parts, run: Path, number: int, router: SubmittedRouter) -> None:
    from dynamic_track.submission.packing import pack_run

    packed = pack_run(run, f"run-{number}")
    if not router.closed and packed.router_fingerprint != router.fingerprint:
        raise UsageError(
            f"{run} was made with another router than {router.spec} is now ({packed.part.spec}), or under other "
            "conditions: pack the files, arguments and options (such as --decision-timeout) that it was made with"
        )
    if packed.part.head is not None and any(packed.part.head == other.head for other in parts.live):
        raise UsageError(f"the run {run} is named twice")
    for name, path in packed.files.items():
        parts.files[name] = path
    parts.live.append(packed.part)
    parts.missing += packed.notes


def _find_secrets(files: Mapping[str, Path | bytes]) -> Iterator[SecretFound]:
    finder = SecretFinder(own_secrets())
    for name in sorted(files):
        content = files[name]
        yield from finder.find(name, content.read_bytes() if isinstance(content, Path) else content)


def _missing(manifest: SubmissionManifest, *, signed: bool) -> Iterator[str]:
    """Yield what a reviewer will find missing."""
    if manifest.router.closed:
        yield "the router is closed: its decisions cannot be repeated, so nobody can tell whether it decided"
    if not manifest.live:
        yield "no live run: nothing shows what the router is worth with real models"
    if not manifest.static:
        yield "no predictions: it is in no table of the static track"
    if not signed:
        yield "not signed: nobody can tell whether a later submission of this name is by the same people"
    if manifest.contact.email is None and manifest.contact.url is None:
        yield "no address in contact: nobody can ask back"
    if not manifest.description:
        yield "no description"
    names = {name for name in manifest.files if name.endswith((".pkl", ".pickle", ".joblib", ".pt", ".bin"))}
    if names:
        told = format_count(len(names), "file")
        yield f"{told} that only a program can read, such as {min(names)}: loaded in strict isolation alone"
