"""The location of the data that comes with twinbench: inside the wheel, or at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_SHIPPED = _PACKAGE / "_data"


def checkout_root() -> Path | None:
    """Return the root of the source checkout that this code runs from, or None if it was installed from a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "pools").is_dir() else None


def pools_dir() -> Path:
    """Return the folder of locked pool manifests."""
    return _data_dir("pools", "pools")


def published_dir() -> Path:
    """Return the folder of published reference results."""
    return _data_dir("published", "results/published")


def _data_dir(shipped: str, in_checkout: str) -> Path:
    root = checkout_root()
    return _SHIPPED / shipped if root is None else root / in_checkout
