"""Find run directories. Separate from the code that reads them, so that shell completion is fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PLAN_FILE = "plan.json"
"""The file with a run's plan; a folder with this file is a run directory."""

_LEVELS = 3
"""How deep to search: a rehearsal's runs are three folders below the default one (REHEARSAL/ROUTER/SEED)."""


def run_folders(folder: Path, levels: int = _LEVELS) -> Iterator[Path]:
    """Yield the run directories below a folder, sorted by path; unreadable folders are skipped.

    Args:
        folder: the folder, which is not a run directory itself.
        levels: how many folders deep to search; run directories and hidden folders are not searched.
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
