"""Fingerprints (SHA-256) of content: equal content has the same fingerprint on every machine."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

SHORT = 12


def canonical_json(value: Any) -> str:
    """Return ``value`` as JSON with sorted keys and no spaces; NaN and infinities raise ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)


def fingerprint(value: Any) -> str:
    """Return the SHA-256 (hex) of ``value`` as canonical JSON; Decimals and paths count as their text."""
    return sha256_text(canonical_json(value))


def sha256_text(text: str) -> str:
    """Return the SHA-256 (hex) of ``text`` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes.

    Raises:
        OSError: it is no regular file or cannot be read; ``filename`` is its path even if reading fails midway.
    """
    try:
        # Opening a pipe that nobody writes to would block for ever, and a device may have no end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "is not a file")
        with os.fdopen(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        error.filename = str(path)
        raise


@cache
def sha256_installed(path: Path) -> str:
    """Like ``sha256_file``, but read once per process; for files of an installed package."""
    return sha256_file(path)


def short(full: str) -> str:
    """Return the start of a fingerprint, as shown in tables."""
    return full[:SHORT]
