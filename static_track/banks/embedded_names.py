"""Names of the embedded banks; imports nothing, so that completing a word costs no time."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_BANK = "rehearsal"
"""The embedded bank that is used where no bank is named."""

EMBEDDED: Mapping[str, str] = {DEFAULT_BANK: "rehearsal"}
"""The embedded banks: the name in every store, which is reserved, and the folder of the build that ships here."""
