"""Commitments: what a run will be of, made known before anybody can know what comes of it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from twinbench.fingerprint import fingerprint
from twinbench.submissions.fields import Count, Digest, Document, Line


class Commitment(Document):
    """What one execution of a run will consist of: a small file, to be posted before the run."""

    format: Literal["twinbench commitment 1"] = "twinbench commitment 1"
    plan: Digest
    """Fingerprint of the run's identity and cases, which each execution in the journal names."""
    router: Line
    """The router's spec, without folders of the machine."""
    router_fingerprint: Digest | None
    """None for a router whose code is not known, such as an endpoint."""
    pool: Line
    pool_fingerprint: Digest
    tasks: Digest | None
    """Fingerprint of the set of tasks."""
    cases: tuple[Line, ...] = Field(max_length=100_000)
    trials: Count
    made_at: Line
    """UTC time, such as 2026-11-30T08:00:00Z."""
    nonce: Digest
    """Drawn at random, so that each run has its own commitment, also where plans are the same."""
    digest: Digest
    """SHA-256 of everything above as canonical JSON; it is also the name of the file under ``results/commitments/``."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.digest != self.made_digest:
            raise ValueError(f"the digest is not that of the content, which is {self.made_digest}")
        return self

    @property
    def made_digest(self) -> str:
        """The digest that the content has."""
        return fingerprint(self.model_dump(mode="json", exclude={"digest"}))

    @property
    def file_name(self) -> str:
        """The name of its file under ``results/commitments/``."""
        return f"{self.digest}.json"
