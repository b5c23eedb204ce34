"""Token counts of a bank under another tokenizer set, in a sidecar file that is computed on first use."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from static_track.banks.bank import Bank
from static_track.banks.bank_file import write_base_file
from static_track.banks.token_base import base_fingerprint, base_rows
from static_track.banks.unique_messages import UniqueMessages
from twinbench.display.progress import Progress, no_progress
from twinbench.storage.manifests import StaticManifest
from twinbench.text.tokens import TokenizerSet


def base_file(
    bank: Bank, manifest: StaticManifest, tokenizers: TokenizerSet, progress: Progress = no_progress
) -> Path | None:
    """Return the file with the bank's token counts under ``tokenizers``; None if the bank's own counts are those.

    Raises:
        TwinbenchError: the store cannot be written.
    """
    wanted = base_fingerprint(manifest, tokenizers, bank.info.text_rules)
    if wanted == bank.info.base:
        return None
    path = bank.store.bank_dir(bank.info.name) / f"{bank.info.sha256}.tokens-{wanted}.duckdb"
    if path.is_file():
        return path
    messages = UniqueMessages()
    for text in bank.messages_json():
        messages.add(json.loads(text))
    tokens = messages.count_tokens(tokenizers, progress)
    rows = base_rows(bank.step_messages(), messages, tokens, manifest, tokenizers)
    with bank.store.replacing(path) as temporary:
        try:
            write_base_file(temporary, rows)
        except duckdb.Error as error:
            raise bank.store.write_error(path, error) from None
    return path
