"""Features of a bank's rows, as the built-in routers that learn read them: read once, and kept beside the bank.

Plain numbers in a file of numpy's, never a pickle. It is named by what they depend on: the bank's content, the token
counts, and the code that reads them. It goes when the bank's content does.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from static_track.banks import databases, tools
from static_track.evaluator import Evaluator
from twinbench.errors import StoreWriteError
from twinbench.fingerprint import fingerprint, sha256_installed, short
from twinbench.routers import features, signals
from twinbench.routers.features import STEP_FEATURES, WORD_BUCKETS, Featuriser
from twinbench.routing import content
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.session import Session
from twinbench.routing.training import Features

MOST_ROWS = 20_000
"""Largest number of rows of a bank whose features are kept: some 200 MB in memory."""

_CODE = (features, signals, content, tools)


@dataclass(frozen=True)
class RowFeatures:
    """The features of all rows of a bank."""

    starts: Any
    """The offsets of each row's words in ``buckets`` and ``values``, and the end of the last row's."""
    buckets: Any
    values: Any
    numbers: Any
    """Shape (rows, STEP_FEATURES)."""

    def of(self, row_no: int) -> Features:
        """Return the features of a row."""
        words = slice(self.starts[row_no], self.starts[row_no + 1])
        return Features(self.buckets[words].tolist(), self.values[words].tolist(), self.numbers[row_no].tolist())


def row_features(judge: Evaluator) -> RowFeatures | None:
    """Return the features of all rows of the judge's bank; None of a bank with too many rows to keep them."""
    bank = judge.bank
    if bank.info.rows > MOST_ROWS:
        return None
    counts = bank.info.base if judge.base_file is None else judge.base_file.stem
    code = fingerprint([sha256_installed(Path(str(each.__file__))) for each in _CODE])
    start = f"{bank.info.sha256}.features-{short(fingerprint(counts))}"
    path = bank.folder / f"{start}-{short(code)}.npz"

    def read() -> RowFeatures:
        if (kept := _kept(path, bank.info.rows)) is not None:
            return kept
        found = _read(judge)
        with suppress(StoreWriteError):  # only time is lost: they are read again the next time
            with bank.store.replacing(path) as temporary:
                np.savez_compressed(temporary, **vars(found))
            for other in bank.folder.glob(f"{start}-*.npz"):  # of other code
                if other != path:
                    other.unlink(missing_ok=True)
        return found

    return databases.read_once(bank.path, path.name, read)


def _kept(path: Path, rows: int) -> RowFeatures | None:
    """Return what the file holds; None if there is none, or a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = RowFeatures(**{name: arrays[name] for name in ("starts", "buckets", "values", "numbers")})
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = found.starts.shape == (rows + 1,) and found.numbers.shape == (rows, STEP_FEATURES)
    return found if whole and found.buckets.shape == found.values.shape == (found.starts[-1],) else None


def _read(judge: Evaluator) -> RowFeatures:
    """Read the features of all rows."""
    bank, candidates = judge.bank, judge.manifest.candidates()
    featuriser = Featuriser()
    found: dict[int, Features] = {}
    for trajectory in bank.trajectories(candidates, base_file=judge.base_file):
        session = Session("", candidates, StepTtl(judge.manifest.cache_ttl_steps))
        for step in trajectory.steps:
            found[step.row_no] = featuriser.read(session.open_call(step.prompt))
            session.record_failure()
        featuriser.forget(session.key)
        judge.progress(f"reading features of {bank.info.name}", len(found), bank.info.rows)
    in_order = [found[row_no] for row_no in range(bank.info.rows)]
    return RowFeatures(
        np.cumsum([0, *(len(each.buckets) for each in in_order)]),
        _concatenate([each.buckets for each in in_order]).astype(np.min_scalar_type(WORD_BUCKETS - 1)),
        _concatenate([each.values for each in in_order]),
        np.array([each.numbers for each in in_order]),
    )


def _concatenate(lists: Sequence[Sequence[float]]) -> Any:
    return np.concatenate([np.array(each, float) for each in lists])
