"""Upgrade banks of an earlier schema when they are opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from static_track.banks.bank import Bank
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import ParsedBank, store_bank
from static_track.banks.rows import are_task_labels
from twinbench.errors import StoreWriteError, TwinbenchError
from twinbench.reading.numbered import NumberedRow
from twinbench.storage.store import Store
from twinbench.text.messages import COUNTED_BLOCKS, PROTOCOL_TEXT_RULES, text_rules_version

_COUNTS_BLOCKS = 3
"""The first schema under which the text of Anthropic's blocks was counted."""


def upgrade_bank(name: str, store: Store) -> BankInfo:
    """Upgrade a bank of an earlier schema to this release's.

    It is rewritten only if it contains something that earlier releases did not count or store; rows, splits and SHA-256
    do not change.

    Raises:
        TwinbenchError: the bank has to be rewritten, but the store cannot be written.
    """
    with Bank.open(name, store) as bank:
        info = bank.info
        missing = _missing(bank)
        if missing is None:
            current = replace(
                info,
                schema=SCHEMA_VERSION,
                task_labels=_has_task_labels(bank),
                caveats=_caveats(bank),
                ranks_nothing=any(extra["ranks_nothing"] is True for extra in _extras(bank, "ranks_nothing")),
            )
            with suppress(StoreWriteError):  # a read-only store is examined again next time
                _write_pointer(store, current)
            return current
        parsed = ParsedBank()
        for number, row in enumerate(bank.rows(), 1):
            parsed.add(NumberedRow(number, row))
    try:
        return store_bank(parsed, info.name, store, source=info.source, source_sha256=info.source_sha256, replace=True)
    except StoreWriteError as error:
        raise TwinbenchError(
            f"the bank {info.name!r} was imported by a release that did not {missing}, and cannot be rewritten: {error}"
        ) from None


def _missing(bank: Bank) -> str | None:
    """Return what the importing release did not do with content that this bank has; None if nothing is missing."""
    if bank.info.schema < _COUNTS_BLOCKS and _holds_counted_blocks(bank):
        return "count the text of Anthropic's blocks"
    return "keep groups" if any("group" in extra for extra in _extras(bank, "group")) else None


def _holds_counted_blocks(bank: Bank) -> bool:
    condition = " OR ".join(f"""contains(json, '"type":"{kind}"')""" for kind in COUNTED_BLOCKS)
    found = bank.cursor().execute(f"SELECT json FROM message WHERE {condition}")  # noqa: S608 - made of our own words
    while row := found.fetchone():
        if text_rules_version(json.loads(row[0])) != PROTOCOL_TEXT_RULES:
            return True
    return False


def _has_task_labels(bank: Bank) -> bool:
    return are_task_labels(bank.cursor().execute("SELECT trajectory, target FROM base").fetchall())


def _caveats(bank: Bank) -> tuple[str, ...]:
    found = {extra.get("caveat") for extra in _extras(bank, "caveat")}
    return tuple(sorted(each for each in found if isinstance(each, str)))


def _extras(bank: Bank, field: str) -> Iterator[dict[str, Any]]:
    """Yield the extra fields of the rows that may have this field."""
    found = bank.cursor().execute("SELECT extra FROM step WHERE contains(extra, $1)", [f'"{field}":'])
    while row := found.fetchone():
        yield json.loads(row[0])


def _write_pointer(store: Store, info: BankInfo) -> None:
    if store.current_content(info.name) == info.sha256:  # not replaced meanwhile
        store.write_pointer(info.name, info.to_json(), replace=True)
