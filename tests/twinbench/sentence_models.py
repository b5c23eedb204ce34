"""Small sentence models that tests make, since the real one is installed on few machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest

from twinbench.routers import minilm
from twinbench.routers.bert import BertSizes
from twinbench.routers.minilm import TOKENIZER, WEIGHTS, MiniLm

PACKAGE = "sentence_model_of_a_test"
_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
SMALL = BertSizes(vocabulary=len(_PIECES), positions=minilm.MOST_PIECES, hidden=16, inner=24, layers=1, heads=2)


def draw_weights(sizes: BertSizes) -> dict[str, Any]:
    """Weights that look like those of a trained model: around 0, and around 1 where they scale a variance."""
    drawn = np.random.RandomState(7)  # its numbers are the same under every version of numpy
    return {
        name: (0.5 * drawn.standard_normal(shape) + name.endswith("LayerNorm.weight")).astype(np.float32)
        for name, shape in sorted(sizes.shapes().items())
    }


def safetensors(arrays: Mapping[str, Any], **changed: Any) -> bytes:
    """A file of the safetensors format; ``changed`` replaces fields of the first array's entry."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": [*array.shape], "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    header[next(iter(arrays))].update(changed)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays.values())


def install_small_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a small model in place of the real one, for this process; return the folder of its files."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {piece: number for number, piece in enumerate(_PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word piece
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    files = folder / PACKAGE / "model"
    files.mkdir(parents=True)
    (files.parent / "__init__.py").write_text("raise SystemExit('code of the package was run')\n")
    tokenizer.save(str(files / TOKENIZER))
    (files / WEIGHTS).write_bytes(safetensors(draw_weights(SMALL)))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(minilm, "PACKAGE", PACKAGE)
    monkeypatch.setattr(minilm, "SIZES", SMALL)
    digests = {name: sha256((files / name).read_bytes()).hexdigest() for name in (TOKENIZER, WEIGHTS)}
    monkeypatch.setattr(minilm, "DIGESTS", digests)
    minilm.read_model.cache_clear()
    return files


def count_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by each text that a model embeds from now on."""
    embedded: list[str] = []
    embed = MiniLm._embed

    def counted(model: MiniLm, text: str) -> Any:
        embedded.append(text)
        return embed(model, text)

    monkeypatch.setattr(MiniLm, "_embed", counted)
    minilm.read_model.cache_clear()
    return embedded
