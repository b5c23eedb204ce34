"""Open banks of the store by name, and check that they are unchanged since their import."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from static_track.banks import databases
from static_track.banks.bank import Bank
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.bank_info import bank_info
from static_track.banks.embedded import ensure_embedded
from static_track.banks.embedded_names import DEFAULT_BANK, EMBEDDED
from static_track.banks.exporting import canonical_sha256
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import Problem, TwinbenchError
from twinbench.executing.ahead import start_ahead
from twinbench.storage.store import Store


def open_bank_ahead(name: str | None, store: Store) -> None:
    """Start to open a bank's file in a thread, for a caller that imports modules before it calls ``open_bank``.

    Nothing is raised: ``open_bank`` says what is wrong.
    """
    with suppress(TwinbenchError):
        info = bank_info(name or DEFAULT_BANK, store)
        start_ahead(partial(databases.open_and_keep, store.bank_dir(info.name) / info.file_name))


def open_bank(name: str | None, store: Store, progress: Progress = no_progress) -> Bank:
    """Open a bank, upgrading it if an earlier release imported it; default: ``DEFAULT_BANK``.

    Raises:
        UsageError: the bank does not exist.
        TwinbenchError: its file is missing, damaged or of a newer schema, or cannot be upgraded.
    """
    if name is None or name in EMBEDDED:
        ensure_embedded(name or DEFAULT_BANK, store, progress)
    elif bank_info(name, store).schema < SCHEMA_VERSION:
        from static_track.banks.upgrading import upgrade_bank  # rarely needed

        info = upgrade_bank(name, store)  # a read-only store does not save the upgrade
        return Bank(store, info, store.bank_dir(name) / info.file_name)
    return Bank.open(name or DEFAULT_BANK, store)


def validate_bank(name: str, store: Store) -> tuple[int, list[Problem]]:
    """Return how many rows a stored bank has, and a problem if it changed since its import."""
    with open_bank(name, store) as bank:
        if (found := canonical_sha256(bank)) == bank.info.sha256:
            return bank.info.rows, []
        what = f"its rows have sha256 {found}, but the bank was imported with {bank.info.sha256}"
        return bank.info.rows, [Problem(str(bank.path), None, None, what)]
