"""The embedded banks, with which everything can be tried offline immediately."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from static_track.banks.bank import Bank
from static_track.banks.bank_info import BankInfo
from static_track.banks.build_output import MANIFEST_FILE, ROWS_FILE
from static_track.banks.embedded_names import EMBEDDED
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError
from twinbench.fingerprint import sha256_installed
from twinbench.storage.store import Store

DATA = Path(__file__).parent / "data"
"""Has the directory of a finished build for each embedded bank."""


def ensure_embedded(name: str, store: Store, progress: Progress = no_progress) -> BankInfo:
    """Import an embedded bank into ``store`` if it is missing, damaged or of another release; return its metadata.

    Args:
        name: one of ``EMBEDDED``.
        store: the store to write to.
        progress: called as it is imported.

    Raises:
        StoreWriteError: the store cannot be written.
    """
    path = DATA / name
    try:
        with Bank.open(name, store) as bank:
            if bank.info.source_sha256 == sha256_installed(path / ROWS_FILE):
                return bank.info
    except TwinbenchError:
        pass
    from static_track.banks.importing import import_bank  # needed once per store

    return import_bank(str(path), name, store, replace=True, progress=progress)


def embedded_recordings(name: str) -> Path | None:
    """Return the recordings from which an embedded bank can be built again; None if there are none of that name."""
    path = DATA / name / "recordings.jsonl.gz" if name in EMBEDDED else None
    return path if path is not None and path.is_file() else None


def embedded_manifest(name: str) -> dict[str, Any]:
    """Return the manifest of the build that made an embedded bank: the SHA-256 of its rows, its caveat and more."""
    content: dict[str, Any] = json.loads((DATA / name / MANIFEST_FILE).read_text("utf-8"))
    return content
