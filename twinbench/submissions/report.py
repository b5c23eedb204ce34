"""The report of a verification: what was checked of a submission, how far, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from twinbench.checks import Status
from twinbench.submissions.fields import (
    Amount,
    Count,
    Digest,
    Document,
    Line,
    Prose,
    Reason,
    Slug,
)
from twinbench.submissions.manifest import Division


class Level(StrEnum):
    """How far a verification goes; each finds kinds of tampering that those before it cannot."""

    verify = "verify"
    """The archive alone: digests, costs from raw usage, the audit, predictions scored again."""
    ask = "ask"
    """The router is called again, under strict isolation."""
    grade = "grade"
    """Patches are graded again."""
    replay = "replay"
    """Commands of recorded cases are run again."""
    rerun = "rerun"
    """Cases are run again with real models."""


class ReportedCheck(Document):
    """The result of one check of one subject."""

    name: Line
    subject: Line
    """A file, a run, a case, predictions, or the submission as a whole."""
    status: Status
    value: Amount | None = None
    reason: Reason
    level: Level = Level.verify


class Doubt(Document):
    """Something that a forger could still get past at the levels that were run."""

    what: Prose
    closed_by: Prose
    """What a maintainer does about it."""


class SignatureFound(Document):
    """The signature of a submission, as far as it was verified."""

    signed: bool
    key: Line | None = None
    """Fingerprint of the key, as ``ssh-keygen -l`` shows it."""
    signer: Line | None = None
    """The owner of the key by the maintainer's file of signers; None if no such file was given."""


class VerifiedResult(Document):
    """One row of the leaderboard, as the verification itself computed it: nothing here is taken from claims."""

    division: Division
    kind: Literal["static", "live"]
    subject: Line
    """The bank and its part, or the run's directory in the archive."""
    comparable: Digest
    """Results with the same one were made under the same conditions, and may be ranked together."""
    in_sample: bool = False
    """Whether the router was trained on rows that it is scored on; such a result is never ranked."""
    simulated: bool = False
    setting: dict[str, JsonValue]
    """The conditions in words: for a static result ``bank``, ``protocol``, ``order_seed``, ``resampling`` as in the
    JSON of ``static score``; for a live one ``pool``, ``tasks``, ``agent``, ``grader``, ``penalty_usd``, ``cases``,
    ``trials``."""
    score: dict[str, JsonValue]
    """For a static result the router's object in the JSON of ``static score``; for a live one the JSON of ``dynamic
    score`` for the run, without its trials."""
    references: tuple[dict[str, JsonValue], ...] = Field(default=(), max_length=50)
    """For a static result: the references of the same table, in the same form."""
    commitments: tuple[Digest, ...] = Field(default=(), max_length=1000)
    """For a live result: the commitments with which the run was compared."""


class SubmissionFile(Document):
    """The file that was verified."""

    name: Line
    sha256: Digest
    bytes: Count


class VerificationReport(Document):
    """Everything that is known of a submission after a verification."""

    format: Literal["twinbench verification 1"] = "twinbench verification 1"
    name: Slug | None
    """Name of the entry; None where the manifest could not be read."""
    file: SubmissionFile
    manifest: Digest | None
    """SHA-256 of ``submission.json``, as bytes."""
    twinbench: Line
    verified_at: Line
    """UTC time, such as 2026-11-30T08:00:00Z."""
    nonce: Line
    """What samples were drawn with, beside the file's digest; made by the maintainer after receipt."""
    levels: tuple[Level, ...]
    """What was done, ``verify`` first."""
    samples: dict[Level, Annotated[int, Field(ge=1, le=10**9, strict=True)] | Literal["all"]] = Field(
        default_factory=dict
    )
    """How much of each level was to be done: about how many rows of a bank, how many cases of a run."""
    signature: SignatureFound
    checks: tuple[ReportedCheck, ...]
    results: tuple[VerifiedResult, ...]
    """What may be listed; empty where the files could not be read."""
    doubts: tuple[Doubt, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.status is not Status.failed for check in self.checks)

    @property
    def divisions(self) -> tuple[Division, ...]:
        """The divisions of the results, in the order of the enumeration."""
        found = {result.division for result in self.results}
        return tuple(each for each in Division if each in found)

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object, with ``ok`` first."""
        return {"ok": self.ok, **self.model_dump(mode="json")}

    def records(self) -> Iterable[dict[str, Any]]:
        """Return a row for each check."""
        return [check.model_dump(mode="json") for check in self.checks]
