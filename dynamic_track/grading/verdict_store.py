"""Verdicts that were given, kept under the fingerprint of everything they depend on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinbench.files import written
from twinbench.store import Store

_VERDICT = "verdict.json"
_LOG = "test_output.txt.gz"


class VerdictStore:
    """The folder ``verdicts`` of a store: for each fingerprint the verdict and what the tests printed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, fingerprint: str) -> tuple[dict[str, Any], Path] | None:
        """A kept verdict and its log, or None."""
        folder = self._folder(fingerprint)
        try:
            content: dict[str, Any] = json.loads((folder / _VERDICT).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            self._store.discard(folder)
            return None
        return content, folder / _LOG

    def keep(self, fingerprint: str, content: Mapping[str, Any], log: str) -> Path:
        """Keep a verdict for the next time; where its log lies.

        Raises:
            StoreWriteError: the store cannot be written.
        """
        folder = self._folder(fingerprint)
        if folder.is_dir():  # graded again
            self._store.discard(folder)
        with self._store.aside(folder) as aside:
            aside.mkdir()
            (aside / _VERDICT).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
            (aside / _LOG).write_bytes(gzip.compress(log.encode(), mtime=0))
        return folder / _LOG

    def keep_traceback(self, case: str, text: str) -> Path:
        """Keep the traceback of an error that kept us from a verdict; where it lies.

        Args:
            case: the id of the task.
            text: the traceback.

        Raises:
            OSError: it cannot be written.
        """
        path = self._store.root / "verdicts" / "errors" / f"{case}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with written(path) as file:
            file.write_text(text, "utf-8")
        return path

    def _folder(self, fingerprint: str) -> Path:
        return self._store.root / "verdicts" / fingerprint
