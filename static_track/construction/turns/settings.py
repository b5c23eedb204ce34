"""The settings of the executor ``single-turn`` (the section ``[executor]`` of a build's configuration)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twinbench.errors import UsageError
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveCandidate, LiveManifest

_SECONDS = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiAddress(_Settings):
    """An OpenAI-compatible API address."""

    api_base: str
    api_key_env: str | None = None
    """The environment variable with its API key; None if it needs none."""

    @property
    def secrets(self) -> list[str]:
        """The API key, which must never be written to a file."""
        key = None if self.api_key_env is None else os.environ.get(self.api_key_env)
        return [key] if key else []


class JudgeSettings(ApiAddress):
    """The LLM judge: its address, pool and candidate."""

    pool: str
    candidate: str
    """The candidate's id; the pool has its parameters and prices."""


class TurnSettings(_Settings):
    """The validated settings."""

    tasks: Path
    """The file of tasks; a relative path starts from the current directory."""
    pool: str
    """The live pool whose candidates are tried, by name or path."""
    api_base: str | None = None
    """The address of candidates that ``bases`` does not name."""
    api_key_env: str | None = None
    bases: dict[str, ApiAddress] = {}
    """Separate addresses of some candidates, by candidate id."""
    judge: JudgeSettings | None = None
    """Required if a task is checked by an LLM judge."""
    call_timeout_s: _SECONDS = 300.0
    """Time limit of one attempt of a call."""

    @model_validator(mode="after")
    def _key_has_an_address(self) -> TurnSettings:
        if self.api_key_env is not None and self.api_base is None:
            raise ValueError("api_key_env is the key of api_base: give that too")
        return self

    def address_of(self, candidate: LiveCandidate) -> ApiAddress:
        """Return the address of a candidate.

        Raises:
            UsageError: no address is given for it.
        """
        if (own := self.bases.get(candidate.id)) is not None:
            return own
        if self.api_base is None:
            raise UsageError(
                f"executor.api_base is missing: give the address of {candidate.id} there, or an address for each "
                "candidate in executor.bases"
            )
        return ApiAddress(api_base=self.api_base, api_key_env=self.api_key_env)


def read_settings(content: Mapping[str, Any]) -> tuple[TurnSettings, LiveManifest]:
    """Check the settings, and read their pool.

    Raises:
        UsageError: settings are unknown, missing or wrong; the text names each.
        ContentError: the pool's manifest is invalid.
    """
    try:
        settings = TurnSettings.model_validate(content)
    except ValidationError as error:
        said = (
            f"{_place(details['loc'])} {describe_validation_error(details)}"
            for details in error.errors(include_url=False)
        )
        raise UsageError("\n".join(said)) from None
    pool = live_manifest(settings.pool)
    known = {each.id for each in pool.candidates}
    if unknown := sorted(set(settings.bases) - known):
        raise UsageError(
            f"executor.bases.{unknown[0]}: pool {pool.name} has no such candidate; it has {', '.join(sorted(known))}"
        )
    for candidate in pool.candidates:
        settings.address_of(candidate)
    return settings, pool


def judge_candidate(settings: JudgeSettings) -> tuple[LiveCandidate, LiveManifest]:
    """Return the candidate that judges, and its pool.

    Raises:
        UsageError: the pool does not exist, or has no such candidate.
    """
    pool = live_manifest(settings.pool)
    for each in pool.candidates:
        if each.id == settings.candidate:
            return each, pool
    known = ", ".join(each.id for each in pool.candidates)
    raise UsageError(f"executor.judge.candidate: pool {pool.name} has no {settings.candidate!r}; it has {known}")


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(("executor", field_path(location))).rstrip(".")
