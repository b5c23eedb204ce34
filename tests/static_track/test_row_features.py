"""Features of a bank are read once, kept as plain numbers beside it, and change nothing that is learned from them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from static_track import out_of_fold
from static_track.banks import databases
from static_track.banks.bank import Bank
from static_track.banks.splits import WHOLE_BANK
from static_track.evaluator import Evaluator
from static_track.folds import folds_by_group
from static_track.row_features import RowFeatures, row_features
from static_track.training import training_trajectories
from tests.banks import import_rows
from tests.twinbench.planting import plant
from tests.twinbench.sentence_models import count_texts, install_small_model
from twinbench.routers import minilm
from twinbench.routers.features import Featuriser
from twinbench.routers.registry import BUILT_IN
from twinbench.storage.store import Store
from twinbench.testing import make_call


@pytest.fixture
def bank(store: Store) -> Iterator[Bank]:
    import_rows(plant(1_492, 60).rows, store)
    with Bank.open("bank", store) as opened:
        yield opened


@pytest.fixture
def no_model_is_remembered() -> Iterator[None]:
    yield
    minilm.read_model.cache_clear()


def kept_file(bank: Bank) -> Path:
    [path] = bank.folder.glob("*.features-*.npz")
    return path


def same(one: RowFeatures | None, other: RowFeatures | None) -> bool:
    assert one is not None
    assert other is not None
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


def test_what_is_learned_is_the_same_with_features_that_are_known(bank: Bank, tmp_path: Path) -> None:
    judge = Evaluator(bank)
    known = row_features(judge)
    for name in ("ordinal", "guard", "session-aware"):
        for number, features in enumerate((None, known)):
            arguments = {"inner": "knn?k=3"} if name == "session-aware" else {}
            router: Any = BUILT_IN[name](**arguments)
            router.fit(tuple(training_trajectories(judge, WHOLE_BANK, 0, features)))
            folder = tmp_path / f"{name}-{number}"
            folder.mkdir()
            router.save(folder)
        one, other = (sorted(path.rglob("*.npz")) for path in sorted(tmp_path.glob(f"{name}-*")))
        assert len(one) == len(other) > 0
        for first, second in zip(one, other, strict=True):
            with np.load(first) as alone, np.load(second) as with_known:
                assert alone.files == with_known.files
                assert all(np.array_equal(alone[each], with_known[each]) for each in alone.files), name


class Trap:
    """An object whose pickle does something when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise __import__('builtins').SystemExit('a pickle was read')",))


def test_they_are_read_once_and_again_only_where_the_file_is_no_good(bank: Bank) -> None:
    told: Counter[str] = Counter()

    def judge() -> Evaluator:
        databases.close_all()  # what this process remembers of the file
        return Evaluator(bank, progress=lambda what, _done, _of: told.update([what.partition(" of ")[0]]))

    first = row_features(judge())
    path = kept_file(bank)
    assert told["reading features"] > 0
    told.clear()
    assert same(row_features(judge()), first)
    assert not told
    whole = path.read_bytes()
    with np.load(path) as arrays:
        fewer = {name: arrays[name][:-1] for name in arrays.files}
    trap = np.array([Trap()], object)
    for spoil in (
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(b"not a file of numbers"),
        lambda: np.savez(path, **fewer),
        lambda: np.savez(path, starts=trap, buckets=trap, values=trap, numbers=trap),
    ):
        spoil()
        told.clear()
        assert same(row_features(judge()), first)
        assert told["reading features"] > 0
    of_other_code = path.with_name(f"{path.stem[:-12]}{'0' * 12}.npz")
    path.rename(of_other_code)
    row_features(judge())
    assert kept_file(bank) == path
    bank.store.remove_bank_files("bank", "0" * 64)
    assert path.is_file()
    bank.store.remove_bank("bank")
    assert not path.exists()


@pytest.mark.acceptance
def test_sentence_embeddings_are_read_once_for_routers_that_use_them(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_model_is_remembered: None
) -> None:
    install_small_model(tmp_path / "packages", monkeypatch)
    embedded = count_texts(monkeypatch)
    of_sentences = "*.sentences-*.npz"
    of_model: dict[str, Any] = {"features": "minilm"}
    direct: Any = BUILT_IN["ordinal"](**of_model)
    direct.fit(tuple(training_trajectories(Evaluator(bank), WHOLE_BANK, 0)))
    assert embedded
    embedded.clear()
    minilm.read_model.cache_clear()
    assert row_features(Evaluator(bank), {"inner": "knn?k=3"}) is not None
    assert not embedded
    assert not [*bank.folder.glob(of_sentences)]
    found = row_features(Evaluator(bank), {"features": "minilm"})
    assert len(embedded) == len({*embedded}) > 0
    [path] = bank.folder.glob(of_sentences)
    embedded.clear()
    for settings in ({"features": "minilm"}, {"inner": "ordinal?tau=0.3&features=minilm"}):
        databases.close_all()
        assert same(row_features(Evaluator(bank), settings), found)
    router: Any = BUILT_IN["ordinal"](**of_model)
    router.fit(tuple(training_trajectories(Evaluator(bank), WHOLE_BANK, 0, found)))
    assert not embedded
    assert {name: array.tobytes() for name, array in router._arrays.items()} == {
        name: array.tobytes() for name, array in direct._arrays.items()
    }
    whole = path.read_bytes()
    with np.load(path) as arrays:
        fewer = arrays["sentences"][:-1]
    for spoil in (
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: np.savez(path, sentences=fewer),
        lambda: np.savez(path, sentences=np.array([Trap()], object)),
    ):
        spoil()
        databases.close_all()
        minilm.read_model.cache_clear()
        embedded.clear()
        assert same(row_features(Evaluator(bank), {"features": "minilm"}), found)
        assert embedded
    databases.close_all()
    bank.store.remove_bank("bank")
    assert not path.exists()


class Watched(dict[str, Any]):
    """A message that counts how often it is looked into."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def test_a_session_is_read_on_from_where_it_was() -> None:
    rng = random.Random(8)  # noqa: S311 - a seeded test
    words = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(400)]
    messages = [Watched(role="user", content=" ".join(rng.choices(words, k=60)))]
    featuriser = Featuriser()
    for step in range(1, 12):
        call = make_call(messages, step_index=step, session="one")
        before = [message.looks for message in messages]
        found = featuriser.read(call)
        after = [message.looks for message in messages]
        assert after[1:-2] == before[1:-2]  # the first message is looked up, the last two are new
        assert found == Featuriser().read(make_call([dict(each) for each in messages], step_index=step))
        shown = f"<returncode>{step % 2}</returncode>\n{' '.join(rng.choices(words, k=80))}"
        messages = [*messages, Watched(role="assistant", content="grep -rn it"), Watched(role="tool", content=shown)]


def test_processes_of_folds_find_the_sentence_embeddings_beside_the_bank(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_model_is_remembered: None
) -> None:
    install_small_model(tmp_path / "packages", monkeypatch)
    kept_when_started = []

    def start(*_: Any, **__: Any) -> list[Any]:
        kept_when_started.append(len([*bank.folder.glob("*.sentences-*.npz")]))
        return []

    monkeypatch.setattr(out_of_fold, "collect_results", start)
    folds = folds_by_group(bank, WHOLE_BANK, 2, 0)
    training = out_of_fold.FoldTraining(workers=2)
    for spec in ("ordinal", "ordinal?features=minilm"):
        out_of_fold._spread(Evaluator(bank), spec, folds, training)
    assert kept_when_started == [0, 1]
