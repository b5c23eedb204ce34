"""Features of a bank's rows, as the built-in routers that learn read them: read once, and kept beside the bank.

Plain numbers in files of numpy's, never a pickle. They are named by what they depend on: the bank's content, the token
counts, and the code that reads them. They go when the bank's content does. Sentence embeddings take minutes where the
rest takes seconds, so they have a file of their own, and are read only for routers that use them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from static_track.banks import databases, tools
from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from twinbench.errors import StoreWriteError, UsageError
from twinbench.fingerprint import fingerprint, sha256_installed, short
from twinbench.routers import bert, features, minilm, signals
from twinbench.routers.features import MINILM, STEP_FEATURES, WORD_BUCKETS, Featuriser, read_sentence
from twinbench.routing import content
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.session import Session
from twinbench.routing.training import Features

MOST_ROWS = 20_000
"""Largest number of rows of a bank whose features are kept: some 200 MB in memory."""

Arrays = Mapping[str, Any]
"""Arrays of numpy by name."""

_CODE = (features, signals, content, tools)
_SENTENCE_CODE = (bert, features, minilm, content, tools)


@dataclass(frozen=True)
class RowFeatures:
    """The features of all rows of a bank."""

    starts: Any
    """The offsets of each row's words in ``buckets`` and ``values``, and the end of the last row's."""
    buckets: Any
    values: Any
    numbers: Any
    """Shape (rows, STEP_FEATURES)."""
    sentences: Any = None
    """Sentence embeddings, shape (rows, numbers); None where no router uses them."""

    def of(self, row_no: int) -> Features:
        """Return the features of a row."""
        words = slice(self.starts[row_no], self.starts[row_no + 1])
        sentence = () if self.sentences is None else self.sentences[row_no].tolist()
        numbers = self.numbers[row_no].tolist()
        return Features(self.buckets[words].tolist(), self.values[words].tolist(), numbers, sentence)


def row_features(judge: Evaluator, settings: Mapping[str, str] | None = None) -> RowFeatures | None:
    """Return the features of all rows of the judge's bank; None of a bank with too many rows to keep them.

    Args:
        judge: the evaluator, with its bank and token counts.
        settings: the arguments of the router that they are for, as texts.

    Raises:
        UsageError: the router uses a sentence model that is not installed.
    """
    bank = judge.bank
    if bank.info.rows > MOST_ROWS:
        return None
    counts = bank.info.base if judge.base_file is None else judge.base_file.stem
    arrays = _read_or_kept(
        bank,
        f"features-{short(fingerprint(counts))}",
        _CODE,
        lambda kept: _are_whole(kept, bank.info.rows),
        lambda: _read(judge),
    )
    found = RowFeatures(**arrays)
    if not uses_sentences(settings or {}):
        return found
    try:
        minilm.model_folder()
        shape = (bank.info.rows, minilm.numbers_of_call())
        arrays = _read_or_kept(
            bank,
            "sentences",
            _SENTENCE_CODE,
            lambda kept: {*kept} == {"sentences"} and kept["sentences"].shape == shape,
            lambda: {"sentences": _read_sentences(judge)},
            ("numpy", "tokenizers"),
        )
    except minilm.SentenceModelError as error:
        raise UsageError(str(error)) from None
    return replace(found, **arrays)


def uses_sentences(settings: Mapping[str, str]) -> bool:
    """Return whether a built-in router with these arguments, or the router that it holds, reads sentence embeddings."""
    inner = dict(parse_qsl(settings.get("inner", "").partition("?")[2]))
    return MINILM in (settings.get("features"), inner.get("features"))


def _read_or_kept(
    bank: Bank,
    what: str,
    code: Sequence[ModuleType],
    are_whole: Callable[[Arrays], bool],
    read: Callable[[], Arrays],
    libraries: Sequence[str] = (),
) -> Arrays:
    """Return arrays of a bank's rows: those in the file that keeps them, or as they are read and kept now.

    Args:
        bank: the bank.
        what: the start of the file's name after that of the bank's content.
        code: the modules that the arrays depend on.
        are_whole: whether arrays in the file are what ``read`` returns.
        read: reads them.
        libraries: the libraries whose versions they depend on.
    """
    start = f"{bank.info.sha256}.{what}"
    used = fingerprint([*(sha256_installed(Path(str(each.__file__))) for each in code), *map(version, libraries)])
    path = bank.folder / f"{start}-{short(used)}.npz"

    def find() -> Arrays:
        if (kept := _kept(path)) is not None and are_whole(kept):
            return kept
        found = read()
        with suppress(StoreWriteError):  # only time is lost: they are read again the next time
            with bank.store.replacing(path) as temporary:
                np.savez_compressed(temporary, **found)
            for other in bank.folder.glob(f"{start}-*.npz"):  # of other code
                if other != path:
                    other.unlink(missing_ok=True)
        return found

    return databases.read_once(bank.path, path.name, find)


def _kept(path: Path) -> Arrays | None:
    """Return the arrays in a file; None if there is none, or a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _are_whole(kept: Arrays, rows: int) -> bool:
    """Return whether arrays have the names and shapes of all features but the sentence embeddings."""
    if {*kept} != {"starts", "buckets", "values", "numbers"}:
        return False
    starts, numbers = kept["starts"], kept["numbers"]
    if starts.shape != (rows + 1,) or numbers.shape != (rows, STEP_FEATURES):
        return False
    return bool(kept["buckets"].shape == kept["values"].shape == (starts[-1],))


def _read(judge: Evaluator) -> Arrays:
    """Read the features of all rows, but the sentence embeddings."""
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
    return {
        "starts": np.cumsum([0, *(len(each.buckets) for each in in_order)]),
        "buckets": _concatenate([each.buckets for each in in_order]).astype(np.min_scalar_type(WORD_BUCKETS - 1)),
        "values": _concatenate([each.values for each in in_order]),
        "numbers": np.array([each.numbers for each in in_order]),
    }


def _read_sentences(judge: Evaluator) -> Any:
    """Read the sentence embeddings of all rows."""
    bank, candidates = judge.bank, judge.manifest.candidates()
    found = np.zeros((bank.info.rows, minilm.numbers_of_call()), np.float32)
    done = 0
    for trajectory in bank.trajectories(candidates, base_file=judge.base_file):
        session = Session("", candidates, StepTtl(judge.manifest.cache_ttl_steps))
        for step in trajectory.steps:
            found[step.row_no] = read_sentence(session.open_call(step.prompt))
            session.record_failure()
            done += 1
            judge.progress(f"reading sentences of {bank.info.name}", done, bank.info.rows)
    return found


def _concatenate(lists: Sequence[Sequence[float]]) -> Any:
    return np.concatenate([np.array(each, float) for each in lists])
