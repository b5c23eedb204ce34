"""Names of the embedded banks; imports nothing, so that completing a word costs no time."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_BANK = "starter"
"""The embedded bank that is used where no bank is named."""

EMBEDDED: Mapping[str, str] = {DEFAULT_BANK: "starter_bank.jsonl"}
"""The embedded banks: the name in every store, which is reserved, and the file or the build's directory that comes with
twinbench."""
