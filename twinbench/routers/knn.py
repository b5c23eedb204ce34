"""``knn``: what sufficed for the calls that are most alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routers.features import LAST_OBSERVED
from twinbench.routers.learned import Learned, top_axes

_DIMENSIONS = 64
_STEP_WEIGHT = 0.1
"""Weight of a step feature beside the words, whose vector has length 1."""
_ANCHOR = 50
_NEIGHBOURHOOD = 0.95
"""``mixed`` takes every call whose similarity exceeds this share of the 50th's (JiSi)."""


class Knn(Learned):
    """The share of the ``k`` most alike calls for which a tier sufficed, weighted by cosine similarity.

    Rule: the k-nearest-neighbour router of the paper (SR-KNN). Similarity is the cosine of the words after a truncated
    singular value decomposition (words that tell more of the labels count more), beside weakly weighted step features.
    ``mixed`` is JiSi's similarity (arXiv 2601.01330, read as specified): half of the text, half of the response, which
    is 0.6 its embedding and 0.4 its length; neighbours are all calls with more than 0.95 of the 50th's similarity.
    Before a call its response does not exist: step features stand for the embedding, the last observation for the
    length. Claim: in the paper the strongest of the simple routers; not shown here. ``k`` and the dimensions are ours.
    Left out: embeddings of answers.
    """

    def __init__(
        self,
        k: int = 15,
        mixed: bool = False,
        layer: str = "threshold",
        tau: float = 0.5,
        weight: float = 0.7,
        alpha: float = 0.1,
        features: str = "words",
    ) -> None:
        super().__init__(layer, tau, weight, alpha, features)
        if k < 1:
            raise ValueError(f"k must be 1 or more, not {k}")
        self._k = k
        self._mixed = mixed

    def _learn(self, words: Any, numbers: Any, labels: Any, groups: Any) -> Mapping[str, Any]:  # noqa: ARG002
        import numpy as np

        axes = top_axes(words, _DIMENSIONS)
        found = {"axes": axes, "labels": labels.astype(np.int8)}
        if self._mixed:
            parts = {
                "words": _unit_rows(words @ axes),
                "steps": _unit_rows(numbers),
                "length": numbers[:, LAST_OBSERVED],
            }
            return {**found, **{f"{name}_of_rows": part.astype(np.float32) for name, part in parts.items()}}
        return {**found, "rows": concat_features(words @ axes, numbers).astype(np.float32)}

    def _suffices(self, words: Any, numbers: Any) -> Sequence[float]:
        import numpy as np

        learned = self._arrays
        if self._mixed:
            alike = self._mixed_similarity(words, numbers)
            order = np.argsort(-alike, kind="stable")
            anchor = alike[order[min(_ANCHOR, len(order)) - 1]]
            nearest = np.flatnonzero(alike > _NEIGHBOURHOOD * anchor) if anchor > 0 else order[:_ANCHOR]
        else:
            alike = learned["rows"] @ concat_features((words @ learned["axes"])[None, :], numbers[None, :])[0]
            nearest = np.argsort(-alike, kind="stable")[: self._k]
        weights = np.maximum(alike[nearest], 1e-6)
        return [float(weights[learned["labels"][nearest] <= k].sum() / weights.sum()) for k in range(3)]

    def _mixed_similarity(self, words: Any, numbers: Any) -> Any:
        import numpy as np

        learned = self._arrays
        text = learned["words_of_rows"] @ _unit_rows((words @ learned["axes"])[None, :])[0]
        steps = learned["steps_of_rows"] @ _unit_rows(numbers[None, :])[0]
        spread = float(learned["spread"][LAST_OBSERVED])
        length = np.exp(-spread * np.abs(learned["length_of_rows"] - numbers[LAST_OBSERVED]))
        return 0.5 * text + 0.5 * (0.6 * steps + 0.4 * length)


def concat_features(words: Any, numbers: Any) -> Any:
    """Concatenate text and step features and L2-normalise each row; shape (rows, …)."""
    import numpy as np

    both = np.hstack([_unit_rows(words), _STEP_WEIGHT * np.clip(numbers, -3, 3)])
    return _unit_rows(both)


def _unit_rows(rows: Any) -> Any:
    import numpy as np

    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
