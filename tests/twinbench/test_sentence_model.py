"""The sentence model gives the vectors of its reference, and routers that read it learn from what it tells."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.banks import import_rows
from tests.cli.commands import twinbench
from tests.twinbench.planting import plant
from tests.twinbench.sentence_models import count_texts, draw_weights, install_small_model, safetensors
from twinbench.routers import minilm
from twinbench.routers.bert import Bert, BertSizes, gelu, read_safetensors
from twinbench.routers.guard import Guard
from twinbench.routers.learned import Learned
from twinbench.routers.ordinal import Ordinal
from twinbench.routers.registry import BUILT_IN
from twinbench.routing.router import Call, validate_decision
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory
from twinbench.storage.store import STORE_VARIABLE, Store
from twinbench.testing import make_call

TINY = BertSizes(vocabulary=20, positions=10, hidden=8, inner=12, layers=2, heads=2)
LEARNED = [name for name in BUILT_IN if isinstance(BUILT_IN[name], type) and issubclass(BUILT_IN[name], Learned)]
SAID = ("fix the typo", "rename a module", "port the parser", "prove the lemma")
"""What is said in calls of each label, in as many letters."""


@pytest.fixture
def no_model_is_remembered() -> Iterator[None]:
    yield
    minilm.read_model.cache_clear()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_model_is_remembered: None) -> Path:
    """The folder of a small model's files, which is installed in place of the real one."""
    return install_small_model(tmp_path / "packages", monkeypatch)


def test_a_small_bert_gives_the_vectors_of_the_reference() -> None:
    weights = draw_weights(TINY)
    bert = Bert(TINY, read_safetensors(safetensors(weights), TINY.shapes()))
    # As BertModel of transformers 5.24.0 with torch 2.13.0 gives them for these weights.
    alone = [1.704049, -1.720713, -2.383234, 0.981461, 0.839465, -0.863822, 0.671316, -0.381258]
    first = [2.247537, -1.110715, -2.189662, 1.137276, -0.04999, -0.923805, 0.396455, -0.790891]
    last = [2.261159, -1.061609, -2.204715, 1.047488, -0.243106, -0.855413, 0.600499, -0.808139]
    assert bert.encode([3])[0] == pytest.approx(alone, abs=1e-5)
    found = bert.encode([2, 5, 5, 19, 0, 7, 11])
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(first, abs=1e-5)
    assert found[-1] == pytest.approx(last, abs=1e-5)


@pytest.mark.parametrize("pieces", [[], [20], [-1], [1] * 11])
def test_word_pieces_that_the_model_does_not_have_are_refused(pieces: list[int]) -> None:
    bert = Bert(TINY, draw_weights(TINY))
    with pytest.raises(ValueError, match="word piece"):
        bert.encode(pieces)


def test_gelu_is_that_of_the_error_function() -> None:
    values = np.linspace(-9, 9, 3_001, dtype=np.float32)
    exact = np.array([value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in values.tolist()])
    assert (np.abs(gelu(values) - exact) < 4e-7 + 3e-7 * np.abs(exact)).all()  # the series, and rounding to 32 bits


WHOLE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float32)}


def test_arrays_of_a_file_are_read_by_name() -> None:
    found = read_safetensors(safetensors(WHOLE), {"b": (2,), "a": (2, 3)})
    assert {name: array.tolist() for name, array in found.items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": [1, 1]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "longer than the file"),
        (b"\xff" * 8, "longer than the file"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON object"),
        ((2).to_bytes(8, "little") + b"{]", "no JSON object"),
        (safetensors({"b": WHOLE["b"]}), "no array a"),
        (safetensors(WHOLE, dtype="F16"), "F16"),
        (safetensors(WHOLE, shape=[3, 2]), "not F32"),
        (safetensors(WHOLE, data_offsets=[0, 20]), "does not lie"),
        (safetensors(WHOLE, data_offsets=[-4, 20]), "does not lie"),
        (safetensors(WHOLE, data_offsets=[16, 40]), "does not lie"),
        (safetensors(WHOLE, data_offsets="0-24"), "no array a"),
        (safetensors(WHOLE)[:-1], "does not lie"),
    ],
)
def test_a_file_of_weights_that_does_not_fit_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_safetensors(data, {"a": (2, 3), "b": (2,)})


REFERENCE: Mapping[str, list[float]] = {
    "Fix the failing test in tests/test_api.py.": [-0.0491575, 0.0236593, -0.0940901, 0.014864],
    "Größe, façade und naïve Übergrößenträger – Straße № 5": [0.044243, -0.0671045, 0.0472525, 0.0579789],
    "数据库连接失败了,请检查配置文件。": [0.0157449, 0.0517149, 0.0672483, 0.0613058],
    " ".join(f"word{n} alpha beta" for n in range(400)): [0.0248727, -0.0358599, -0.0049042, -0.019555],
    "x" * 3000: [-0.0415964, 0.0697378, 0.1449033, 0.0063752],
}
"""Numbers 0, 100, 200 and 383 of texts' vectors, as BertModel of transformers 5.24.0 with torch 2.13.0 gives them."""


@pytest.mark.skipif(importlib.util.find_spec(minilm.PACKAGE) is None, reason=f"needs {minilm.INSTALL}")
def test_the_installed_model_gives_the_vectors_of_the_reference(no_model_is_remembered: None) -> None:
    found = minilm.read_model()
    for text, numbers in REFERENCE.items():
        vector = found.embed(text)
        assert vector[[0, 100, 200, 383]] == pytest.approx(numbers, abs=1e-5), text
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_text_counts_up_to_its_first_pieces(model: Path) -> None:
    found = minilm.read_model()
    letters = "ab " * minilm.MOST_PIECES
    assert np.array_equal(found.embed(letters), found.embed(f"{letters} more"))
    assert not np.array_equal(found.embed("ab"), found.embed("ab more"))


def test_the_two_parts_of_a_call_have_vectors_of_their_own(model: Path) -> None:
    found = minilm.read_model()
    one, two = found.embed("one"), found.embed("two")
    vectors = np.array(found.embed_call("one", ["two", " ", "one"])).reshape(2, -1)
    assert vectors[0] == pytest.approx(one, abs=1e-6)
    assert vectors[1] == pytest.approx((one + two) / np.linalg.norm(one + two), abs=1e-6)
    assert found.embed_call("", []) == [0.0] * minilm.numbers_of_call()


def lessons(count: int = 80) -> list[Trajectory]:
    """Trajectories whose labels are told by what is said alone."""
    found = []
    for number in range(count):
        label = number // 2 % 4
        first = make_call([{"role": "user", "content": f"{SAID[label]} {'abcde'[number % 5]}"}], session=f"s-{number}")
        later = [*first.messages, {"role": "assistant", "content": "yes"}, {"role": "tool", "content": "done"}]
        calls = [first, make_call(later, step_index=2, session=f"s-{number}")]
        found.append(Trajectory(calls, [Tier(label)] * 2, [{}, {}], "w", f"g-{number // 8}"))
    return found


def chosen(router: Any, call: Call) -> Tier:
    return validate_decision(router.route(call), call.candidates).candidate.tier


@pytest.mark.parametrize("name", LEARNED)
def test_a_router_learns_from_the_model_and_decides_alike_from_its_folder(
    name: str, model: Path, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"features": "minilm", "layer": "threshold"}
    router: Any = BUILT_IN[name](**arguments)
    train, test = lessons()[:60], lessons()[60:]
    router.fit(train)
    router.save(tmp_path)
    loaded: Any = BUILT_IN[name](**arguments)
    loaded.load(tmp_path)
    calls = [(call, target) for each in test for call, target in zip(each.calls, each.targets, strict=True)]
    assert np.mean([chosen(router, call) == target for call, target in calls]) > 0.9
    assert [chosen(router, call) for call, _ in calls] == [chosen(loaded, call) for call, _ in calls]
    with np.load(tmp_path / "numbers.npz") as learned:
        assert "place" not in learned.files  # no words were counted beside


def test_a_text_is_embedded_once_however_often_it_is_in_a_call(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = count_texts(monkeypatch)
    router = Ordinal(features="minilm")
    router.fit(lessons(40))
    assert len(embedded) == len({*embedded})
    router.route(lessons(1)[0].calls[0])
    before = len(embedded)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "something new"}]
    for step in range(1, 6):
        router.route(make_call(messages, step_index=step, session="one"))
        messages += [{"role": "assistant", "content": f"say {'abcde'[step - 1]}"}]
    assert len(embedded) == before + 5


def test_a_wrapper_holds_a_router_that_reads_the_model(model: Path) -> None:
    guard = Guard(inner="ordinal?features=minilm", unlike=0.01)
    guard.fit(lessons(40))
    call = lessons(1)[0].calls[0]
    assert chosen(guard, call) == Tier.LOW


@pytest.mark.parametrize(("trained", "named"), [("words", "minilm"), ("minilm", "words")])
def test_a_folder_is_refused_under_other_features(trained: str, named: str, model: Path, tmp_path: Path) -> None:
    router = Ordinal(features=trained)
    router.fit(lessons(24))
    router.save(tmp_path)
    with pytest.raises(ValueError, match="trained with other features"):
        Ordinal(features=named).load(tmp_path)


@pytest.mark.parametrize("name", [minilm.WEIGHTS, minilm.TOKENIZER])
def test_a_file_that_is_not_the_expected_one_is_refused(name: str, model: Path) -> None:
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(minilm.SentenceModelError, match=f"{name} is not the file of"):
        minilm.read_model()
    (model / name).unlink()
    with pytest.raises(minilm.SentenceModelError, match=f"{name} cannot be read"):
        minilm.read_model()


@pytest.mark.parametrize("spec", ["ordinal?features=minilm", "guard?inner=knn?features=minilm"])
def test_without_the_package_it_is_said_what_to_install(
    spec: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_sentence_model")
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    import_rows(plant(11, 60).rows, store)
    for command in (
        ("static", "crossval", spec, "--bank", "bank", "--folds", "2"),
        ("router", "train", spec, "--bank", "bank", "--out", str(tmp_path / "model")),
        ("router", "tune", spec, "--bank", "bank", "--set", "tau=0.5", "--folds", "2"),
    ):
        ran = twinbench(*command)
        assert ran.code == 2, command
        assert minilm.INSTALL in ran.err
        assert "Traceback" not in ran.err
    assert not (tmp_path / "model").exists()


def test_features_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="features must be one of words, minilm, not 'bert'"):
        Ordinal(features="bert")
