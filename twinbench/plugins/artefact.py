"""What training leaves: a folder with all that a trained router needs, which is itself named as a router.

``artefact.json`` says what it is and has a digest of every other file: ``learned/`` is what the router saved, ``code/``
its own modules as they were when it was trained, ``seen.json`` what tells whether a bank holds something that it was
trained on. Nothing in ``learned/`` is ever read by twinbench: only the router's own process does that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_file
from twinbench.plugins.artefact_names import CODE, LEARNED, MANIFEST
from twinbench.reading.validation import describe_validation_error, field_path

SEEN = "seen.json"
WHEELS = "wheels"
"""A folder that may be put beside them: wheels that the router may import under strict isolation."""

MOST_MANIFEST_BYTES = 2**24


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
    python: str
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
        what = f"{field_path(first['loc']) or 'the whole'}: {describe_validation_error(first)}"
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
        with path.open("rb") as file:
            content = file.read(MOST_MANIFEST_BYTES)
        manifest = parse_manifest(content)
        for name, sha256 in manifest.files.items():
            if (folder / name).is_symlink() or sha256_file(folder / name) != sha256:
                raise UsageError(f"the trained router {folder} is damaged: {name} is not what it was; train it again")
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        what = f"{error.filename or path} cannot be read ({error.strerror or error})"
        raise UsageError(f"the trained router {folder} is damaged: {what}") from None
    return Artefact(folder.resolve(), manifest, hashlib.sha256(content).hexdigest())
