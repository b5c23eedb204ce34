"""Where run directories lie. Apart from what reads them, so that a shell which offers them does not wait for that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PLAN_FILE = "plan.json"
"""What a run is of; a folder with such a file is a run directory."""

_LEVELS = 3
"""A rehearsal's runs lie three folders below the default one: REHEARSAL/ROUTER/SEED."""


def run_folders(folder: Path, levels: int = _LEVELS) -> Iterator[Path]:
    """The run directories below a folder, in the order of their paths; what cannot be read has none.

    Args:
        folder: is itself no run directory.
        levels: how many folders deep they may lie; a run directory has none in it, nor has a hidden folder.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(each.name for each in entries if not each.name.startswith(".") and each.is_dir())
    except OSError:
        return
    for child in (folder / name for name in names):
        if (child / PLAN_FILE).is_file():
            yield child
        elif levels > 1:
            yield from run_folders(child, levels - 1)
