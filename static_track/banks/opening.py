"""Banks of the store opened by name, and held against what was imported."""

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
    """The bank called ``name``, brought up to date where an earlier release imported it; default: the embedded one.

    Raises:
        UsageError: there is no such bank.
        TwinbenchError: its file is missing, damaged or of a newer schema, or cannot be brought up to date.
    """
    if name is None or name == STARTER:
        ensure_starter(store, progress)
    elif bank_info(name, store).schema < SCHEMA_VERSION:
        from static_track.banks.updating import bring_up_to_date  # once a bank

        info = bring_up_to_date(name, store)  # which a store that can only be read does not keep
        return Bank(store, info, store.bank_dir(name) / info.file_name)
    return Bank.open(name or STARTER, store)


def validate_bank(name: str, store: Store) -> tuple[int, list[Problem]]:
    """How many rows a stored bank has, and whether it still is what was imported."""
    with open_bank(name, store) as bank:
        if (found := canonical_sha256(bank)) == bank.info.sha256:
            return bank.info.rows, []
        what = f"its rows have sha256 {found}, the bank was imported as {bank.info.sha256}"
        return bank.info.rows, [Problem(str(bank.path), None, None, what)]
