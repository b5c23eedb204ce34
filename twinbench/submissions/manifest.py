"""The manifest of a submission: what was submitted, by whom, with the digest of every file."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from twinbench.submissions.fields import (
    Amount,
    ArchivePath,
    Count,
    Digest,
    Document,
    Line,
    Prose,
    Slug,
    WebAddress,
)

MANIFEST_FILE = "submission.json"
"""The manifest's name in an archive."""

MOST_PARTS = 200
"""Sets of predictions or runs of one submission."""


class Division(StrEnum):
    """A table of the leaderboard; results of two divisions are never in one ranking."""

    static = "static"
    """Predictions on a bank, scored by the locked static protocol."""
    live = "live"
    """Runs with real models of a locked pool, on a set of tasks that everybody has, without overrides."""
    open = "open"
    """Other runs with real models: other pools, own tasks, a network or another image in the containers."""
    rehearsal = "rehearsal"
    """Runs with simulated models."""


class Contact(Document):
    """The submitter."""

    name: Line
    email: Line | None = None
    url: WebAddress | None = None


class SubmittedRouter(Document):
    """The router of a submission."""

    spec: Line
    """The spec that loads it from within the archive's folder ``router``; for a closed one its name or address."""
    closed: bool = False
    """Whether its code is not part of the submission."""
    identity: dict[str, Any] | None = None
    """Everything that its fingerprint is of: its files and distributions with their digests and versions, arguments,
    Python, limits; None for a closed router."""
    fingerprint: Digest | None = None
    files: tuple[ArchivePath, ...] = Field(default=(), max_length=100_000)
    """Its files in the archive, all below ``router/``."""
    included: tuple[ArchivePath, ...] = Field(default=(), max_length=100_000)
    """Those of its files that it may read and that its fingerprint is not of."""


class SplitOfBank(Document):
    """How a bank was split, so that anybody can split it in the same way."""

    name: Line
    shares: dict[Line, Annotated[float, Field(gt=0, le=1)]] = Field(min_length=1, max_length=100)
    """The share of each part; the sum is 1."""
    seed: Annotated[int, Field(ge=-(10**12), le=10**12, strict=True)]
    near_duplicates: bool
    """Whether trajectories that begin nearly alike are in one part."""


class StaticPart(Document):
    """Predictions on one bank, with the scores that they are said to have."""

    predictions: ArchivePath
    bank: Line
    bank_sha256: Digest
    """SHA-256 of the bank's canonical export."""
    part: Line | None = None
    """The part of a split; None for the whole bank."""
    part_fingerprint: Digest | None = None
    split: SplitOfBank | None = None
    """The split that the part is of; None for the whole bank, and for the held-out part."""
    protocol: Digest
    """Fingerprint of static manifest and tokenizer set."""
    order_seed: Count = 0
    rows: Count
    scores: dict[Line, Amount | None]
    """The metrics of the headline, in percent."""
    in_sample: bool = False
    """Whether the router was trained on rows that it is scored on."""
    division: Division = Division.static


class JournalHead(Document):
    """The last line of a run's journal."""

    line: Count
    sha256: Digest


class LivePart(Document):
    """One live run, with what it is said to have come to."""

    run: ArchivePath
    """The run's directory in the archive."""
    spec: Line
    """The router's spec as in the run's plan."""
    plan: Digest
    """Fingerprint of the run's identity and cases."""
    pool: Line
    pool_fingerprint: Digest
    pool_file: ArchivePath | None = None
    """The pool's manifest in the archive, where it is not one that ships with twinbench."""
    cases: Count
    trials: Count
    resolved: Count
    unresolved: Count
    infra: Count
    cost_usd: Amount
    bill_usd: Amount
    head: JournalHead | None = None
    commitments: tuple[Digest, ...] = Field(default=(), max_length=1000)
    """Digests of the commitments that were written before its executions."""
    in_sample: bool = False
    """Whether the router was trained on tasks that it was run on."""
    division: Division


class ArchivedFile(Document):
    """A file of the archive."""

    sha256: Digest
    bytes: Count


class SubmissionManifest(Document):
    """The content of ``submission.json``: everything about a submission but the files themselves."""

    format: Literal["twinbench submission 1"] = "twinbench submission 1"
    name: Slug
    """Name of the entry; a later submission of the same name supersedes it."""
    title: Line
    """The name that tables show."""
    description: Prose = ""
    contact: Contact
    licence: Line
    """The licence of the submission's files, as an SPDX expression or in words."""
    links: tuple[WebAddress, ...] = Field(default=(), max_length=20)
    twinbench: Line
    """Version of twinbench that packed it."""
    router: SubmittedRouter
    static: tuple[StaticPart, ...] = Field(default=(), max_length=MOST_PARTS)
    live: tuple[LivePart, ...] = Field(default=(), max_length=MOST_PARTS)
    files: dict[ArchivePath, ArchivedFile]
    """Every file of the archive but the manifest and its signature."""

    @property
    def divisions(self) -> tuple[Division, ...]:
        """The divisions that the submission claims results in, in the order of the enumeration."""
        found = {part.division for part in self.static} | {part.division for part in self.live}
        return tuple(each for each in Division if each in found)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every file."""
        return {path: each.bytes for path, each in self.files.items()}
