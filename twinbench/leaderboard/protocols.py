"""Which results follow the current protocol."""

from __future__ import annotations

from dataclasses import dataclass

from twinbench.submissions.manifest import Division
from twinbench.submissions.report import VerifiedResult


@dataclass(frozen=True)
class CurrentProtocols:
    """The fingerprints of the current protocols."""

    static: str
    """Fingerprint of the locked static manifest with the tokenizer set."""
    live: str
    """Fingerprint of the locked live pool."""


def is_current(result: VerifiedResult, protocols: CurrentProtocols) -> bool:
    """Return whether a result follows the current protocol; the open division has none.

    Results of an earlier one stay listed, in tables of their own.
    """
    if result.division is Division.static:
        return result.setting.get("protocol") == protocols.static
    if result.division is Division.open:
        return True
    pool = result.setting.get("pool")
    return (pool.get("fingerprint") if isinstance(pool, dict) else None) == protocols.live
