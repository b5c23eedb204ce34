"""Names of the embedded banks; imports nothing, so that completing a word costs no time."""

from __future__ import annotations

DEFAULT_BANK = "rehearsal"
"""The embedded bank that is used where no bank is named."""

EMBEDDED = (DEFAULT_BANK, "small-models")
"""The names of the embedded banks, which are reserved in every store; each is a folder of ``data``."""
