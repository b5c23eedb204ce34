"""The fingerprints that the shipped manifests must have."""

from __future__ import annotations

import tomllib

from twinbench.storage import resources


def locked_fingerprints() -> dict[str, str]:
    """Return the fingerprints that the shipped manifests must have, by name."""
    path = resources.pools_dir() / "locked.toml"
    content: dict[str, str] = tomllib.loads(path.read_text("utf-8"))["fingerprints"]
    return content
