"""What training leaves: a folder with all that a trained router needs, which is itself named as a router.

``artefact.json`` says what it is and has a digest of every other file: ``learned/`` is what the router saved, ``code/``
its own modules as they were when it was trained, ``seen.json`` what tells whether a bank holds something that it was
trained on. Nothing in ``learned/`` is ever read by twinbench: only the router's own process does that.

Two things may be in the folder without a digest: ``wheels/``, which the user adds, and bytecode that Python has written
into ``code/``, which the router's process neither reads nor writes.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_file
from twinbench.plugins.artefact_names import CODE, LEARNED, MANIFEST
from twinbench.reading.input_files import read_regular
from twinbench.reading.validation import describe_validation_error, field_path, format_value

SEEN = "seen.json"
WHEELS = "wheels"
"""A folder that may be put beside them: wheels that the router may import under strict isolation."""

MOST_MANIFEST_BYTES = 2**24

_BYTECODE = "__pycache__"
_NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
"""The name of a built-in router, a module or a class; modules may be imported by names with a hyphen."""


def check_path(path: str) -> str:
    """Return the path of a file in an artefact if it is valid.

    Raises:
        ValueError: it may lead out of the folder, or to a place that is not for such files.
    """
    parts = PurePosixPath(path).parts
    if not path.isprintable() or "\\" in path or ":" in path or ".." in parts or path != "/".join(parts):
        raise ValueError(f"{path!a} is not a valid path in an artefact")
    if path != SEEN and (len(parts) < 2 or parts[0] not in (LEARNED, CODE)):
        raise ValueError(f"{path!a} is none of {LEARNED}/…, {CODE}/… and {SEEN}")
    return path


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
InnerPath = Annotated[str, AfterValidator(check_path)]


class _CommandEntry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Code(_CommandEntry):
    """The code that was trained."""

    fingerprint: Sha256
    """Fingerprint of code, settings and versions together."""
    python: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
    files: dict[str, Sha256]
    """The digest of each of its own files, by name."""
    distributions: dict[str, str]
    """Version by name."""


class TrainingData(_CommandEntry):
    """What it was trained on."""

    fingerprint: Sha256
    """Fingerprint of the rows and of how they were counted and priced."""
    bank: str
    bank_sha256: Sha256
    part: str | None
    """The part of the bank; None for all of it."""
    rows: int
    trajectories: int
    groups: int


class Manifest(_CommandEntry):
    """The manifest of an artefact."""

    kind: Literal["trained router"]
    twinbench: str
    """The version that made it."""
    router: str
    """The spec that was trained, without the folders of the machine."""
    origin: Literal["built-in", "file", "module"]
    target: str
    """The built-in router's name, the file below ``code/``, or the module."""
    attribute: str
    settings: dict[str, str]
    """The arguments of the spec."""
    seed: int
    code: Code
    data: TrainingData
    files: dict[InnerPath, Sha256]
    """The digest of every other file."""

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        """Refuse a router or a record of its training that is not among the files whose digests are kept."""
        if self.origin == "file":
            if f"{CODE}/{self.target}" not in self.files:
                raise ValueError(f"target: {format_value(self.target)} is none of the files in {CODE}/ that are listed")
        elif not _NAME.fullmatch(self.target):
            raise ValueError(f"target: {format_value(self.target)} is not the name of a {self.origin} router")
        if not _NAME.fullmatch(self.attribute):
            raise ValueError(f"attribute: {format_value(self.attribute)} is not the name of a class or function")
        if SEEN not in self.files:
            raise ValueError(f"files: {SEEN} is not listed, which says what the router was trained on")
        return self


class Artefact:
    """The folder of a trained router, opened and checked."""

    def __init__(self, folder: Path, manifest: Manifest, fingerprint: str) -> None:
        self.folder = folder
        self.manifest = manifest
        self.fingerprint = fingerprint
        """Fingerprint of the manifest, and so of every file."""

    @property
    def wheels(self) -> Path | None:
        """The folder of wheels in it; None if there is none."""
        folder = self.folder / WHEELS
        return folder if folder.is_dir() else None

    @property
    def seen(self) -> Path:
        """The file that records what it was trained on."""
        return self.folder / SEEN


def parse_manifest(data: bytes) -> Manifest:
    """Parse the manifest of an artefact.

    Raises:
        ValueError: it is not a manifest that training of this release writes; the message says what is wrong and where.
    """
    try:
        return Manifest.model_validate_json(data.decode())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = describe_validation_error(first)
        if first["loc"] or first["type"] != "value_error":  # our own message about several fields names them itself
            what = f"{field_path(first['loc']) or 'the whole'}: {what}"
    except ValueError:  # no UTF-8
        what = "no text"
    raise ValueError(f"no trained router of this release ({what})")


def read_artefact(folder: Path) -> Artefact:
    """An artefact, every file held against its digest.

    Raises:
        UsageError: it is none, or not as it was when it was made.
    """
    path = folder / MANIFEST
    try:
        content = read_regular(path, MOST_MANIFEST_BYTES)
        manifest = parse_manifest(content)
        damage = find_damage(folder, manifest)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        damage = f"{error.filename or path} cannot be read ({error.strerror or error})"
    else:
        if damage is None:
            return Artefact(folder.resolve(), manifest, hashlib.sha256(content).hexdigest())
    raise UsageError(f"the trained router {folder} is damaged: {damage}")


def find_damage(folder: Path, manifest: Manifest) -> str | None:
    """Return what is not as the manifest of an artefact has it, and what to do; None if all is.

    Raises:
        OSError: something in the folder cannot be read.
    """
    for name, mode in _entries(folder):
        if not stat.S_ISREG(mode):  # a link may lead to anything, and a pipe blocks who reads it
            what = "a link" if stat.S_ISLNK(mode) else "no plain file"
            return f"{name!a} is {what}, and training leaves plain files only; put the file itself there, or remove it"
        if name not in manifest.files and name != MANIFEST and not _needs_no_digest(name):
            return f"{name!a} was not there after training; remove it, or train it again"
    for name, sha256 in manifest.files.items():
        if sha256_file(folder / name) != sha256:
            return f"{name} is not what it was; train it again"
    return None


def _entries(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the path of everything below a folder but folders, relative to it, and its type and mode."""

    def refuse(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        for name in sorted([*folders, *names]):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                yield path.relative_to(folder).as_posix(), mode


def _needs_no_digest(name: str) -> bool:
    """Whether a file in an artefact may be there without a digest."""
    path = PurePosixPath(name)
    is_bytecode = path.parts[0] == CODE and path.parent.name == _BYTECODE and path.suffix == ".pyc"
    return path.parts[0] == WHEELS or is_bytecode
