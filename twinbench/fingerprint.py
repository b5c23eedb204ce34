"""Names for content: equal content has an equal fingerprint, on every machine."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

SHORT = 12


def canonical_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and no spaces; numbers that are not JSON's raise ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def fingerprint(value: Any) -> str:
    """The SHA-256 (hex) of ``value`` as canonical JSON; Decimals and paths count as their text."""
    return sha256_text(canonical_json(value))


def sha256_text(text: str) -> str:
    """The SHA-256 (hex) of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 (hex) of a file's bytes.

    Raises:
        OSError: it cannot be read; ``filename`` is its path, also where it fails midway.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = str(path)
        raise


@cache
def sha256_installed(path: Path) -> str:
    """As ``sha256_file``, read once a process: of a file that came with a package, which changes by an installation."""
    return sha256_file(path)


def short(full: str) -> str:
    """The start of a fingerprint, enough for a table."""
    return full[:SHORT]
