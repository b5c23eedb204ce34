"""What another environment says of a router (``provenance.describe``), checked like whatever comes from one."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MOST_DESCRIPTION_BYTES = 2**22
"""A name and a digest for each file of the router: some forty thousand files."""


class RouterDescription(BaseModel):
    """Where a router is and what its decisions depend on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    kind: Literal["file", "module"]
    target: str
    attribute: str
    python: str
    """The version of the interpreter."""
    files: dict[str, str]
    """SHA-256 by name."""
    paths: dict[str, str]
    """Where each of them lies in that environment, by name."""
    distributions: dict[str, str]
    """Version by name."""
    arguments: dict[str, str]
    """SHA-256 of the files that arguments name, by argument."""


class NotFound(BaseModel):
    """There is no such router in that environment."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    not_found: str
    """Why, and what there is."""


def parse_description(said: bytes) -> RouterDescription | NotFound:
    """What an environment said.

    Raises:
        ValueError: that is no description; the text says what else.
    """
    if len(said) > MOST_DESCRIPTION_BYTES:
        raise ValueError(f"more than {MOST_DESCRIPTION_BYTES:,} bytes instead of what the router depends on")
    try:
        content: Any = json.loads(said)
        json.dumps(content, ensure_ascii=False).encode()  # fails on half a surrogate pair, which is no text
        if isinstance(content, dict) and "not_found" in content:
            return NotFound.model_validate(content)
        return RouterDescription.model_validate(content)
    except (ValidationError, ValueError, RecursionError):
        shown = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no output"]
        raise ValueError(shown[0][:200]) from None
