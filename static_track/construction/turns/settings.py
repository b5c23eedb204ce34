"""The settings of the executor ``single-turn``, as ``[executor]`` of a build's configuration has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twinbench.errors import UsageError
from twinbench.reading.validation import field_path, worded
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveCandidate, LiveManifest

_SECONDS = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(_Settings):
    """An OpenAI-compatible address."""

    api_base: str
    api_key_env: str | None = None
    """The environment variable with its key; None for a server that wants none."""

    @property
    def secrets(self) -> list[str]:
        """The key, which nothing that is written may hold."""
        key = None if self.api_key_env is None else os.environ.get(self.api_key_env)
        return [key] if key else []


class JudgeSettings(Base):
    """Who judges, of which pool."""

    pool: str
    candidate: str
    """The id of the candidate; its manifest says how it is asked, and at which prices."""


class TurnSettings(_Settings):
    """The settings, checked."""

    tasks: Path
    """The file of tasks; a path is relative to the folder in which the command is given."""
    pool: str
    """The live pool whose candidates are tried, by name or path."""
    api_base: str | None = None
    """Where candidates are asked that ``bases`` does not name."""
    api_key_env: str | None = None
    bases: dict[str, Base] = {}
    """An address of its own for each candidate that has one, by its id."""
    judge: JudgeSettings | None = None
    """Needed where a task is checked by a judge."""
    call_timeout_s: _SECONDS = 300.0
    """All that one attempt of a call may take."""

    @model_validator(mode="after")
    def _key_has_an_address(self) -> TurnSettings:
        if self.api_key_env is not None and self.api_base is None:
            raise ValueError("api_key_env is the key of api_base: give that too")
        return self

    def base_of(self, candidate: LiveCandidate) -> Base:
        """Where a candidate is asked.

        Raises:
            UsageError: no address is given for it.
        """
        if (own := self.bases.get(candidate.id)) is not None:
            return own
        if self.api_base is None:
            raise UsageError(
                f"executor.api_base is missing: it says where {candidate.id} is asked; or give executor.bases an "
                "address for each candidate"
            )
        return Base(api_base=self.api_base, api_key_env=self.api_key_env)


def read_settings(content: Mapping[str, Any]) -> tuple[TurnSettings, LiveManifest]:
    """Check the settings, and read their pool.

    Raises:
        UsageError: a setting is unknown, missing or wrong; the text names each.
        ContentError: the pool's manifest is none.
    """
    try:
        settings = TurnSettings.model_validate(content)
    except ValidationError as error:
        said = (f"{_place(details['loc'])} {worded(details)}" for details in error.errors(include_url=False))
        raise UsageError("\n".join(said)) from None
    pool = live_manifest(settings.pool)
    known = {each.id for each in pool.candidates}
    if unknown := sorted(set(settings.bases) - known):
        raise UsageError(
            f"executor.bases.{unknown[0]}: pool {pool.name} has no such candidate; it has {', '.join(sorted(known))}"
        )
    for candidate in pool.candidates:
        settings.base_of(candidate)
    return settings, pool


def judge_candidate(settings: JudgeSettings) -> tuple[LiveCandidate, LiveManifest]:
    """The candidate that judges, and its pool.

    Raises:
        UsageError: there is no such pool, or no such candidate in it.
    """
    pool = live_manifest(settings.pool)
    for each in pool.candidates:
        if each.id == settings.candidate:
            return each, pool
    known = ", ".join(each.id for each in pool.candidates)
    raise UsageError(f"executor.judge.candidate: pool {pool.name} has no {settings.candidate!r}; it has {known}")


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(("executor", field_path(location))).rstrip(".")
