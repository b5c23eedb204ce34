"""Large payloads in a journal: compressed, encoded as text, and limited in size both ways."""

from __future__ import annotations

import base64
import binascii
import zlib

from twinbench.errors import JournalError

MOST_DEPTH = 200
"""Largest nesting depth of a line's fields; responses and files have far lower limits."""
MOST_LINE_BYTES = 128 * 2**20
"""Largest size of a line: twice a provider's largest answer. Longer lines are neither written nor read."""
PACKED = "zlib:"
"""Prefix of packed text."""
_MOST_UNPACKED_BYTES = 2 * MOST_LINE_BYTES


def packed(data: bytes) -> str:
    """Compress ``data`` and encode it as text; ``unpacked`` restores it.

    Raises:
        JournalError: ``data`` is too large to be unpacked again.
    """
    if len(data) > _MOST_UNPACKED_BYTES:
        raise JournalError(f"data of {len(data):,} bytes is too large for a journal")
    return PACKED + base64.b64encode(zlib.compress(data)).decode()


def unpacked(text: str) -> bytes:
    """Restore the bytes that ``packed`` encoded.

    Raises:
        JournalError: the text is not packed data, is damaged or is too large.
    """
    if not text.startswith(PACKED):
        raise JournalError(f"not packed data: {text[:20]!r}")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text[len(PACKED) :], validate=True), _MOST_UNPACKED_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise JournalError(f"packed data is damaged: {error}") from None
    if not unpacker.eof:
        larger = len(data) > _MOST_UNPACKED_BYTES
        raise JournalError(f"packed data is {'larger than the limit' if larger else 'damaged: it is cut short'}")
    return data
