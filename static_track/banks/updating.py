"""Banks of an earlier schema, brought up to date when they are opened."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

from static_track.banks.bank import Bank, BankInfo
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.importing import ParsedBank, keep_bank
from twinbench.errors import StoreWriteError, TwinbenchError
from twinbench.messages import COUNTED_BLOCKS, PROTOCOL_TEXT, text_rules
from twinbench.reading import NumberedRow
from twinbench.store import Store


def bring_up_to_date(bank: Bank) -> BankInfo:
    """Make a bank of an earlier schema one of this release, and close it.

    Its counts are made again only where it holds what was not counted before; rows, splits and SHA-256 stay.

    Raises:
        TwinbenchError: it has to be written anew, and the store cannot be written.
    """
    store, info = bank.store, bank.info
    with bank:
        if not _holds_counted_blocks(bank):
            current = replace(info, schema=SCHEMA_VERSION)
            with suppress(StoreWriteError):  # a store that can only be read is looked through once more next time
                _write_pointer(store, current)
            return current
        parsed = ParsedBank()
        for number, row in enumerate(bank.rows(), 1):
            parsed.add(NumberedRow(number, row))
    try:
        return keep_bank(parsed, info.name, store, source=info.source, source_sha256=info.source_sha256, replace=True)
    except StoreWriteError as error:
        raise TwinbenchError(
            f"the bank {info.name!r} was imported by a release that did not count the text of Anthropic's blocks, and "
            f"cannot be written anew: {error}"
        ) from None


def _holds_counted_blocks(bank: Bank) -> bool:
    condition = " OR ".join(f"""contains(json, '"type":"{kind}"')""" for kind in COUNTED_BLOCKS)
    found = bank.cursor().execute(f"SELECT json FROM message WHERE {condition}")  # noqa: S608 - made of our own words
    while row := found.fetchone():
        if text_rules(json.loads(row[0])) != PROTOCOL_TEXT:
            return True
    return False


def _write_pointer(store: Store, info: BankInfo) -> None:
    if store.current_content(info.name) == info.sha256:  # not replaced meanwhile
        store.write_pointer(info.name, info.to_json(), replace=True)
