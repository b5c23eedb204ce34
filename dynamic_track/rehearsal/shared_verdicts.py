"""The verdicts that the runs of one rehearsal share: several routers and seeds submit the same few patches."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamic_track.grading.verdict_store import VerdictStore
from twinbench.storage.store import Store


class SharedVerdicts(VerdictStore):
    """The verdicts of a run, which are also looked up and kept in a store that several runs share.

    A verdict is kept under the fingerprint of everything that it depends on, so it is the same wherever it was given.
    The run gets its own copy, so that its directory is complete by itself.

    Args:
        store: the run's own store.
        beside: the store that the runs share.
    """

    def __init__(self, store: Store, shared: VerdictStore) -> None:
        super().__init__(store)
        self._beside = shared

    def find(self, fingerprint: str) -> tuple[dict[str, Any], Path] | None:
        """Return a kept verdict and its log, or None; a verdict of the shared store is copied into the run's."""
        if (own := super().find(fingerprint)) is not None:
            return own
        if (found := self._beside.find(fingerprint)) is None:
            return None
        content, log = found
        try:
            text = gzip.decompress(log.read_bytes()).decode()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError):  # damaged: it is graded again
            return None
        return super().store(fingerprint, content, text, self.times_stored(fingerprint))

    def store(self, fingerprint: str, content: Mapping[str, Any], log: str, began: int) -> tuple[dict[str, Any], Path]:
        """Keep a verdict in both stores; like ``VerdictStore.store``."""
        kept = super().store(fingerprint, content, log, began)
        self._beside.store(fingerprint, content, log, 0)
        return kept
