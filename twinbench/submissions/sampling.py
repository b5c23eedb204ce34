"""Samples that nobody can prepare for: drawn from a file's digest and a nonce that is made after its receipt."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from twinbench.fingerprint import sha256_text

_NONCE_BYTES = 32


def make_nonce() -> str:
    """Return a new nonce, as hexadecimal text."""
    return secrets.token_hex(_NONCE_BYTES)


def order_of_drawing(names: Iterable[str], *, digest: str, nonce: str, purpose: str) -> list[str]:
    """Return names in the order in which they are drawn: any order is as likely to who does not know the nonce.

    Args:
        names: the names to draw from; their order does not matter.
        digest: SHA-256 of the submission's file.
        nonce: made by the maintainer after receipt.
        purpose: the purpose of the sample; samples for different purposes are independent.
    """
    return sorted(set(names), key=lambda name: (sha256_text(f"{digest}\n{nonce}\n{purpose}\n{name}"), name))


def draw(names: Iterable[str], number: int | None, *, digest: str, nonce: str, purpose: str) -> list[str]:
    """Draw ``number`` of these names, or all if it is None; for the other arguments see ``order_of_drawing``.

    Returns:
        The names that were drawn, in alphabetical order.
    """
    return sorted(order_of_drawing(names, digest=digest, nonce=nonce, purpose=purpose)[:number])
