"""Open banks of the store by name, and check that they are unchanged since their import."""

from __future__ import annotations

from static_track.banks.bank import Bank
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.bank_info import STARTER, bank_info
from static_track.banks.exporting import canonical_sha256
from static_track.banks.starter import ensure_starter
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import Problem
from twinbench.storage.store import Store


def open_bank(name: str | None, store: Store, progress: Progress = no_progress) -> Bank:
    """Open a bank, upgrading it if an earlier release imported it; default: the embedded bank.

    Raises:
        UsageError: the bank does not exist.
        TwinbenchError: its file is missing, damaged or of a newer schema, or cannot be upgraded.
    """
    if name is None or name == STARTER:
        ensure_starter(store, progress)
    elif bank_info(name, store).schema < SCHEMA_VERSION:
        from static_track.banks.updating import bring_up_to_date  # rarely needed

        info = bring_up_to_date(name, store)  # a read-only store does not save the upgrade
        return Bank(store, info, store.bank_dir(name) / info.file_name)
    return Bank.open(name or STARTER, store)


def validate_bank(name: str, store: Store) -> tuple[int, list[Problem]]:
    """Return how many rows a stored bank has, and a problem if it changed since its import."""
    with open_bank(name, store) as bank:
        if (found := canonical_sha256(bank)) == bank.info.sha256:
            return bank.info.rows, []
        what = f"its rows have sha256 {found}, but the bank was imported with {bank.info.sha256}"
        return bank.info.rows, [Problem(str(bank.path), None, None, what)]
