"""Validate a router's description (``provenance.describe``) that comes from another Python environment."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MOST_DESCRIPTION_BYTES = 2**22
"""Largest size of a description: a name and a digest for each of some forty thousand files."""


class RouterDescription(BaseModel):
    """Where a router's code is and which files and packages its decisions depend on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kind: Literal["file", "module"]
    target: str
    attribute: str
    python: str
    """The version of the interpreter."""
    files: dict[str, str]
    """SHA-256 of the router's files by name."""
    paths: dict[str, str]
    """The path of each of them in that environment, by name."""
    distributions: dict[str, str]
    """Versions of the packages that it imports by name."""
    arguments: dict[str, str]
    """SHA-256 of the files that its arguments name, by argument."""


class RouterNotFoundReply(BaseModel):
    """The reply instead of a description if the router does not exist in that environment."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    not_found: str
    """Why it was not found, and which routers exist."""


def parse_description(output: bytes) -> RouterDescription | RouterNotFoundReply:
    """Parse the output of ``provenance.describe``.

    Raises:
        ValueError: the output is not a description; the text quotes it.
    """
    if len(output) > MOST_DESCRIPTION_BYTES:
        raise ValueError(f"its output has more than {MOST_DESCRIPTION_BYTES:,} bytes")
    try:
        content: Any = json.loads(output)
        json.dumps(content, ensure_ascii=False).encode()  # fails on half a surrogate pair, which is not a text
        if isinstance(content, dict) and "not_found" in content:
            return RouterNotFoundReply.model_validate(content)
        return RouterDescription.model_validate(content)
    except (ValidationError, ValueError, RecursionError):
        shown = output.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise ValueError(shown[0][:200]) from None
