"""The forward pass of BERT (Devlin et al., arXiv 1810.04805) in numpy: word pieces in, one vector for each of them out.

One text at a time, so that no padding is needed and a text has the same vector whatever was read before it. Weights
are read from a file of the safetensors format, which holds numbers alone.

Why our own: what runs such models elsewhere is torch (hundreds of megabytes, where numpy is all that a router's process
has), or needs the weights in another file format (onnxruntime). In evaluation mode BERT is a page of matrix products.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_HEADER_LENGTH_BYTES = 8
_FLOAT32_BYTES = 4
_EPSILON = 1e-12
"""What BERT adds to a variance before it divides by its root."""
_EMBEDDINGS = "embeddings"
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_SCALE = 0.3275911


@dataclass(frozen=True)
class BertSizes:
    """The sizes of a BERT."""

    vocabulary: int
    positions: int
    hidden: int
    """Numbers in the vector of a word piece."""
    inner: int
    """Numbers between the two matrices of a layer's feed-forward network."""
    layers: int
    heads: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array of weights, by the name that the transformers library gives it."""
        hidden, inner = self.hidden, self.inner
        found: dict[str, tuple[int, ...]] = {
            f"{_EMBEDDINGS}.word_embeddings.weight": (self.vocabulary, hidden),
            f"{_EMBEDDINGS}.position_embeddings.weight": (self.positions, hidden),
            f"{_EMBEDDINGS}.token_type_embeddings.weight": (2, hidden),
            **_norm_shapes(f"{_EMBEDDINGS}.LayerNorm", hidden),
        }
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            for name in ("query", "key", "value"):
                found |= _dense_shapes(f"{layer}.attention.self.{name}", hidden, hidden)
            found |= _dense_shapes(f"{layer}.attention.output.dense", hidden, hidden)
            found |= _norm_shapes(f"{layer}.attention.output.LayerNorm", hidden)
            found |= _dense_shapes(f"{layer}.intermediate.dense", hidden, inner)
            found |= _dense_shapes(f"{layer}.output.dense", inner, hidden)
            found |= _norm_shapes(f"{layer}.output.LayerNorm", hidden)
        return found


class Bert:
    """A BERT that reads one text at a time."""

    def __init__(self, sizes: BertSizes, weights: Mapping[str, Floats]) -> None:
        """Take the weights.

        Args:
            sizes: the model's sizes.
            weights: an array for each of ``sizes.shapes()``.
        """
        self.sizes = sizes
        self._weights = weights

    def encode(self, pieces: Sequence[int]) -> Floats:
        """Return the last layer's vector of each word piece, shape (pieces, hidden).

        Args:
            pieces: the numbers of the word pieces of one text, with those that mark its start and end.

        Raises:
            ValueError: there are no word pieces, or more than the model has positions, or the vocabulary lacks one.
        """
        import numpy as np

        if not 0 < len(pieces) <= self.sizes.positions:
            raise ValueError(f"{len(pieces)} word pieces; the model reads 1 to {self.sizes.positions}")
        if not 0 <= min(pieces) <= max(pieces) < self.sizes.vocabulary:
            raise ValueError(f"a word piece is not among the model's {self.sizes.vocabulary}")
        weights = self._weights
        states = (
            weights[f"{_EMBEDDINGS}.word_embeddings.weight"][np.array(pieces, np.intp)]
            + weights[f"{_EMBEDDINGS}.position_embeddings.weight"][: len(pieces)]
            + weights[f"{_EMBEDDINGS}.token_type_embeddings.weight"][0]
        )
        states = self._normalise(states, f"{_EMBEDDINGS}.LayerNorm")
        for number in range(self.sizes.layers):
            layer = f"encoder.layer.{number}"
            attended = self._dense(self._attend(states, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
            states = self._normalise(states + attended, f"{layer}.attention.output.LayerNorm")
            inner = gelu(self._dense(states, f"{layer}.intermediate.dense"))
            states = self._normalise(states + self._dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return states

    def _attend(self, states: Floats, name: str) -> Floats:
        """Return what each word piece takes from all of them: softmax(query · key / root of a head's size) · value."""
        import numpy as np

        heads, size = self.sizes.heads, self.sizes.hidden // self.sizes.heads

        def by_head(part: str) -> Floats:
            return self._dense(states, f"{name}.{part}").reshape(len(states), heads, size).transpose(1, 0, 2)

        scores = by_head("query") @ by_head("key").transpose(0, 2, 1) / np.float32(math.sqrt(size))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        joined: Floats = (scores @ by_head("value")).transpose(1, 0, 2).reshape(states.shape)
        return joined

    def _dense(self, states: Floats, name: str) -> Floats:
        found: Floats = states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return found

    def _normalise(self, states: Floats, name: str) -> Floats:
        """Return states with mean 0 and variance 1 along the last axis, scaled and shifted."""
        import numpy as np

        centred = states - states.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
        found: Floats = centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return found


def gelu(values: Floats) -> Floats:
    """Return ``x · (1 + erf(x / √2)) / 2`` of each value.

    numpy has no erf: it is approximated by Abramowitz and Stegun 7.1.26, which is off by at most 1.5e-7.
    """
    import numpy as np

    size = np.abs(values) * np.float32(1 / math.sqrt(2))
    share: Floats = np.float32(1) / (1 + np.float32(_ERF_SCALE) * size)
    series: Floats = np.zeros_like(size)
    for factor in reversed(_ERF):
        series = (series + np.float32(factor)) * share
    erf = np.copysign(1 - series * np.exp(-size * size), values)
    found: Floats = values * np.float32(0.5) * (1 + erf)
    return found


def read_safetensors(data: bytes, shapes: Mapping[str, Sequence[int]]) -> dict[str, Floats]:
    """Read arrays from a file of the safetensors format.

    The format: the length of a header in 8 bytes, a JSON object with type, shape and offsets of each array, the arrays.

    Args:
        data: the content of the file.
        shapes: the shape of each array that is read, by name; others are ignored.

    Returns:
        The arrays, which share the memory of ``data``.

    Raises:
        ValueError: an array is missing, has another shape or type, or lies outside the file.
    """
    import numpy as np

    start = _HEADER_LENGTH_BYTES + int.from_bytes(data[:_HEADER_LENGTH_BYTES], "little")
    if not _HEADER_LENGTH_BYTES < start <= len(data):
        raise ValueError("not a file of weights: its header is longer than the file")
    try:
        header = json.loads(data[_HEADER_LENGTH_BYTES:start])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError("not a file of weights: its header is no JSON object")
    found = {}
    for name, shape in shapes.items():
        first = start + _offset_of(header.get(name), shape, len(data) - start, name)
        found[name] = np.frombuffer(data, "<f4", math.prod(shape), first).reshape(shape)
    return found


def _offset_of(entry: Any, shape: Sequence[int], size: int, name: str) -> int:
    """Return where an array begins, counted from the end of the header.

    Raises:
        ValueError: the header's entry is not what is expected.
    """
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not isinstance(offsets, list) or [type(each) for each in offsets] != [int, int]:
        raise ValueError(f"the file of weights has no array {name}")
    if entry.get("dtype") != "F32" or entry.get("shape") != [*shape]:
        raise ValueError(f"the array {name} is {entry.get('dtype')} {entry.get('shape')}, not F32 {[*shape]}")
    first, end = offsets
    if not (0 <= first <= end <= size and end - first == _FLOAT32_BYTES * math.prod(shape)):
        raise ValueError(f"the array {name} does not lie within the file of weights")
    return int(first)


def _dense_shapes(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm_shapes(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
