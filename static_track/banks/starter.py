"""The embedded bank, with which everything can be tried offline immediately."""

from __future__ import annotations

from importlib import resources

from static_track.banks.bank import Bank
from static_track.banks.bank_info import STARTER, BankInfo
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import TwinbenchError
from twinbench.fingerprint import sha256_installed
from twinbench.storage.store import Store


def ensure_starter(store: Store, progress: Progress = no_progress) -> BankInfo:
    """Import the embedded bank into ``store`` if it is missing, damaged or of another release; return its metadata."""
    with resources.as_file(resources.files(__package__).joinpath("data/starter_bank.jsonl")) as path:
        try:
            with Bank.open(STARTER, store) as bank:
                if bank.info.source_sha256 == sha256_installed(path):
                    return bank.info
        except TwinbenchError:
            pass
        from static_track.banks.importing import import_bank  # needed once per store

        return import_bank(str(path), STARTER, store, replace=True, progress=progress)
