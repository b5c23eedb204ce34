"""Large payloads in a journal: compressed, as text, and bounded both ways."""

from __future__ import annotations

import base64
import binascii
import zlib

from twinbench.errors import JournalError

MOST_DEPTH = 200
"""Of what a line holds; what a provider or a file says is refused long before."""
MOST_LINE_BYTES = 128 * 2**20
"""Of a line: twice a provider's largest answer. A longer one is not written, nor taken into memory to be read."""
PACKED = "zlib:"
"""Begins what was packed."""
_MOST_UNPACKED_BYTES = 2 * MOST_LINE_BYTES


def packed(data: bytes) -> str:
    """``data`` compressed and as text, as large payloads are kept; ``unpacked`` gives it back.

    Raises:
        JournalError: it is larger than ``unpacked`` unpacks.
    """
    if len(data) > _MOST_UNPACKED_BYTES:
        raise JournalError(f"data of {len(data):,} bytes is too large for a journal")
    return PACKED + base64.b64encode(zlib.compress(data)).decode()


def unpacked(text: str) -> bytes:
    """What ``packed`` made text of.

    Raises:
        JournalError: it made no such text.
    """
    if not text.startswith(PACKED):
        raise JournalError(f"no packed data: {text[:20]!r}")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text[len(PACKED) :], validate=True), _MOST_UNPACKED_BYTES + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise JournalError(f"packed data is damaged: {error}") from None
    if not unpacker.eof:
        larger = len(data) > _MOST_UNPACKED_BYTES
        raise JournalError(
            f"packed data is {'larger than any that was packed' if larger else 'damaged: it is cut short'}"
        )
    return data
