"""Loads shipped manifests by name, and a user's own by path.

``pools/locked.toml`` contains the fingerprint that each shipped manifest must have.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twinbench.display.wording import did_you_mean
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import NO_FILE_ERRNOS, InputError, open_regular, read_document
from twinbench.reading.validation import describe_validation_error, field_path, format_value
from twinbench.routing.tiers import Tier
from twinbench.storage import resources
from twinbench.storage.locks import locked_fingerprints
from twinbench.storage.manifests import (
    KINDS,
    AnyManifest,
    BanksManifest,
    LiveManifest,
    PublishedBank,
    SplitsManifest,
    StaticManifest,
)

DEFAULT_STATIC = "static-2026-04"
DEFAULT_LIVE = "live-2026-04"
DEFAULT_SPLITS = "splits-2026-04"
DEFAULT_BANKS = "banks-2026-04"

_MOST_BYTES = 2**22
"""The largest size of a manifest; the longest of ours has some ten thousand bytes."""

_MOST_EXPONENT = 40
"""The largest exponent of a number: no price needs more, and converting 1e999999999 to an int would take forever."""

_MAX_SHOWN_CHARACTERS = 60


def manifest_names() -> list[str]:
    """Return the names of the shipped manifests."""
    return sorted(path.stem for path in resources.pools_dir().glob("*.toml") if path.name != "locked.toml")


def load_manifest(name_or_path: str) -> AnyManifest:
    """Load a shipped manifest by name, or a user's own by path.

    Raises:
        UsageError: it is neither a name nor a file, or cannot be read.
        ContentError: the file is not a manifest; every wrong field is named.
    """
    path = Path(name_or_path)
    if name_or_path in manifest_names():
        path = resources.pools_dir() / f"{name_or_path}.toml"
    try:
        with open_regular(path) as file:
            content = tomllib.loads(read_document(file, _MOST_BYTES).decode(), parse_float=_decimal)
    except InputError as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None
    except ValueError as error:  # not TOML, not UTF-8, or an unusable number
        raise ContentError([Problem(str(path), None, None, f"not a TOML file: {error}")]) from None
    except RecursionError:
        raise ContentError([Problem(str(path), None, None, "not a TOML file: nested too deeply")]) from None
    except OSError as error:
        if error.errno in NO_FILE_ERRNOS:
            known = manifest_names()
            what = f"give a file or one of {', '.join(known)}{did_you_mean(name_or_path, known)}"
            raise UsageError(f"no pool manifest {name_or_path!r}: {what}") from None
        raise UsageError(f"cannot read {path} ({error.strerror})") from None
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        wrong = f"must be one of {', '.join(KINDS)} (found {format_value(kind)})" if "kind" in content else "is missing"
        raise ContentError([Problem(str(path), None, "kind", wrong)])
    try:
        return KINDS[kind].model_validate(content)
    except ValidationError as error:
        # A list whose members are not valid is also reported as too short, which adds nothing.
        found = [details for details in error.errors() if details["type"] != "too_short" or not details["input"]]
        raise ContentError([_problem(path, details) for details in found]) from None


@cache
def _load_shipped(name: str) -> AnyManifest:
    """Return a shipped manifest, which is read only once; a user's own file may change in the meantime."""
    return load_manifest(name)


def _load_named(name: str) -> AnyManifest:
    return _load_shipped(name) if name in manifest_names() else load_manifest(name)


def static_manifest(name: str = DEFAULT_STATIC) -> StaticManifest:
    """Load the static manifest with this name or path."""
    manifest = _load_named(name)
    if not isinstance(manifest, StaticManifest):
        raise UsageError(f"{name} is a manifest of kind {manifest.kind!r}, but a static one is needed")
    return manifest


def live_manifest(name: str = DEFAULT_LIVE) -> LiveManifest:
    """Load the live manifest with this name or path."""
    manifest = _load_named(name)
    if not isinstance(manifest, LiveManifest):
        raise UsageError(f"{name} is a manifest of kind {manifest.kind!r}, but a live one is needed")
    return manifest


@cache
def live_models(name: str = DEFAULT_LIVE) -> dict[Tier, str]:
    """Return the model of each tier's default candidate in a live pool."""
    manifest = live_manifest(name)
    return {Tier.from_label(each.tier): each.model for each in manifest.candidates if each.tier_default}


@cache
def heldout_instances() -> frozenset[str]:
    """Return the instance ids of heldout100: no split for training and no ``fit`` may contain them (dynamic.md,
    "Splits").
    """
    manifest = load_manifest(DEFAULT_SPLITS)
    assert isinstance(manifest, SplitsManifest)  # noqa: S101 - the kind of the shipped file
    return manifest.instances("heldout100")


def published_banks(manifest_name: str = DEFAULT_BANKS) -> tuple[PublishedBank, ...]:
    """Return the banks of a manifest of banks (given by name or path).

    Raises:
        UsageError: the manifest has the wrong kind.
        ContentError: the file is not a manifest.
    """
    manifest = load_manifest(manifest_name)
    if not isinstance(manifest, BanksManifest):
        raise UsageError(f"{manifest_name} is a manifest of kind {manifest.kind!r}, but one of banks is needed")
    return tuple(manifest.banks)


def published_bank(name: str, manifest_name: str = DEFAULT_BANKS) -> PublishedBank:
    """Return a published bank by its name in a manifest of banks (given by name or path).

    Raises:
        UsageError: there is no such bank, or the manifest has the wrong kind.
        ContentError: the file is not a manifest.
    """
    banks = published_banks(manifest_name)
    for bank in banks:
        if bank.name == name:
            return bank
    known = [bank.name for bank in banks]
    raise UsageError(f"{manifest_name} has no bank {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")


def check_manifest(name_or_path: str) -> list[Problem]:
    """Return what is wrong with a manifest; a shipped one must also have its locked fingerprint."""
    try:
        manifest = load_manifest(name_or_path)
    except ContentError as error:
        return list(error.problems)
    if name_or_path not in manifest_names():
        return []
    locked = locked_fingerprints().get(manifest.name)
    if locked != manifest.fingerprint:
        what = f"its fingerprint is {manifest.fingerprint}, not the locked {locked}: a released manifest was edited"
        return [Problem(f"{manifest.name}.toml", None, None, what)]
    return []


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if number and number.is_finite() and abs(number.adjusted()) > _MOST_EXPONENT:
        raise ValueError(f"the number {text[:_MAX_SHOWN_CHARACTERS]} is too large or too small")
    return number


def _problem(path: Path, details: Mapping[str, Any]) -> Problem:
    return Problem(str(path), None, field_path(details["loc"]) or None, describe_validation_error(details))
