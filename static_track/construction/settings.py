"""The configuration of a build (a TOML file), validated completely before anything is executed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from static_track.banks.rows import MOST_CAVEAT_CHARACTERS
from static_track.construction.ladder import MOST_CANDIDATES
from static_track.construction.step_rules import StepRule, parse_step_rule
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import InputError, open_input, read_document
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.storage.store import check_name

EXAMPLE_FILE = Path(__file__).with_name("example.toml")
"""A commented configuration, which ``bank build --example`` prints."""

MOST_REPEATS = 100
_MOST_BYTES = 2**20


class ConfigurationError(ContentError):
    """An invalid configuration: exit code 2."""

    exit_code = 2


def _require_nonblank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _step_rule(text: str) -> str:
    return parse_step_rule(text).name


def _bank_name(text: str) -> str:
    try:
        check_name("bank", text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


_NonBlank = Annotated[str, AfterValidator(_require_nonblank)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BankSection(_Section):
    """The section ``[bank]``: what the manifest and the rows say about the bank."""

    name: Annotated[str, AfterValidator(_bank_name)]
    """The bank's name in a store."""
    licence: _NonBlank
    description: str = ""
    caveat: Annotated[_NonBlank, Field(max_length=MOST_CAVEAT_CHARACTERS)] | None = None
    ranks_nothing: bool = False
    """Whether results on the bank rank nothing, as every row then says."""
    sources: list[_NonBlank] = []

    def to_json(self) -> dict[str, Any]:
        """The section as JSON, in which ``ranks_nothing`` is absent where it is false."""
        return self.model_dump(mode="json", exclude=None if self.ranks_nothing else {"ranks_nothing"})


class SearchSection(_Section):
    """The section ``[search]``: how labels are searched for."""

    step_rule: Annotated[str, AfterValidator(_step_rule)] = "equal"
    repeats: Annotated[int, Field(ge=0, le=MOST_REPEATS)] = 0
    proposer: _NonBlank = "aggressive"
    cascade: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = MOST_CANDIDATES
    review_share: Annotated[float, Field(ge=0, le=1)] = 0.1

    @property
    def rule(self) -> StepRule:
        """The step rule."""
        return parse_step_rule(self.step_rule)


class ExecutorSection(BaseModel):
    """The section ``[executor]``; everything except ``kind`` is checked by the executor."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    kind: _NonBlank

    @property
    def settings(self) -> dict[str, Any]:
        """The executor's own settings."""
        return dict(self.model_extra or {})


class _File(_Section):
    bank: BankSection
    search: SearchSection = SearchSection()
    executor: ExecutorSection
    proposer: dict[str, Any] = {}


@dataclass(frozen=True)
class BuildSettings:
    """A validated configuration."""

    source: str
    """The file's path, for messages."""
    bank: BankSection
    search: SearchSection
    executor: ExecutorSection
    proposer: Mapping[str, Any]
    """The table ``[proposer]``."""


def read_settings(path: Path, *, repeats: int | None = None) -> BuildSettings:
    """Read a configuration file.

    Args:
        path: the file.
        repeats: overrides the file's ``search.repeats``.

    Raises:
        UsageError: the file does not exist.
        ConfigurationError: the configuration is invalid; the problems name file and key.
    """
    try:
        with open_input(path) as file:
            content = tomllib.loads(read_document(file, _MOST_BYTES).decode())
    except InputError as error:
        raise ConfigurationError([Problem(str(path), None, None, str(error))]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([Problem(str(path), None, None, f"not a TOML file: {error}")]) from None
    try:
        read = _File.model_validate(content)
    except ValidationError as error:
        problems = [
            Problem(str(path), None, field_path(each["loc"]), describe_validation_error(each))
            for each in error.errors()
        ]
        raise ConfigurationError(problems, hint="See: twinbench bank build --example") from None
    search = read.search if repeats is None else read.search.model_copy(update={"repeats": repeats})
    return BuildSettings(str(path), read.bank, search, read.executor, read.proposer)


def example() -> str:
    """Return a commented example configuration."""
    return EXAMPLE_FILE.read_text("utf-8")
