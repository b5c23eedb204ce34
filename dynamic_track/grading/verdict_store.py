"""The cache of verdicts, each under the fingerprint of everything it depends on."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinbench.storage.files import atomic_write, flush_folder
from twinbench.storage.store import Store

_VERDICT = "verdict.json"
_LOG = "test_output.txt.gz"


class VerdictStore:
    """The folder ``verdicts`` of a store: the verdict and the tests' output for each fingerprint."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keeping = threading.Lock()
        self._kept: Counter[str] = Counter()

    def find(self, fingerprint: str) -> tuple[dict[str, Any], Path] | None:
        """Return a cached verdict and its log; None if there is none."""
        folder = self._folder(fingerprint)
        try:
            content: dict[str, Any] = json.loads((folder / _VERDICT).read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            self._store.discard(folder)
            return None
        return content, folder / _LOG

    def times_stored(self, fingerprint: str) -> int:
        """Return how often this object has stored a verdict with a fingerprint; ``keep`` needs the number from before
        grading.
        """
        with self._keeping:
            return self._kept[fingerprint]

    def store(self, fingerprint: str, content: Mapping[str, Any], log: str, began: int) -> tuple[dict[str, Any], Path]:
        """Store a verdict; return the stored verdict and the path of its log.

        If the same patch was graded twice at the same time, the first verdict stays and is returned for both.

        Args:
            fingerprint: the fingerprint of everything that the verdict depends on.
            content: the verdict.
            log: the tests' output.
            began: ``times_stored`` when grading began.

        Raises:
            StoreWriteError: the store cannot be written.
        """
        with self._keeping:
            if self._kept[fingerprint] != began and (first := self.find(fingerprint)) is not None:
                return first
            path = self._write(fingerprint, content, log)
            self._kept[fingerprint] += 1
        return dict(content), path

    def _write(self, fingerprint: str, content: Mapping[str, Any], log: str) -> Path:
        folder = self._folder(fingerprint)
        if folder.is_dir():  # graded again
            self._store.discard(folder)
        with self._store.replacing(folder) as aside:
            aside.mkdir()
            (aside / _VERDICT).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
            (aside / _LOG).write_bytes(gzip.compress(log.encode(), mtime=0))
            flush_folder(aside)
        for around in (folder.parent, self._store.root):  # flush before the run's journal mentions the verdict
            flush_folder(around)
        return folder / _LOG

    def store_traceback(self, case: str, text: str) -> Path:
        """Store the traceback of an error that prevented a verdict; return its path.

        Args:
            case: the id of the task.
            text: the traceback.

        Raises:
            OSError: it cannot be written.
        """
        path = self._store.root / "verdicts" / "errors" / f"{case}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write_text(text, "utf-8")
        return path

    def _folder(self, fingerprint: str) -> Path:
        return self._store.root / "verdicts" / fingerprint
