"""``knn``: what sufficed for the calls that are most alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routers.learned import Learned

_DIMENSIONS = 64
_STEP_WEIGHT = 0.1
"""Of a step feature beside the words, whose vector has length 1."""


class Knn(Learned):
    """The share of the ``k`` most alike calls for which a tier sufficed, weighted by cosine similarity.

    Rule: the k-nearest-neighbour router of the paper (SR-KNN). Similarity is the cosine of the words after a truncated
    singular value decomposition (words that tell more of the labels count more), beside weakly weighted step features.
    Claim: in the paper the strongest of the simple routers; not shown here. ``k`` and the dimensions are ours.
    Left out: the mixed similarity of JiSi (arXiv 2601.01330), which needs embeddings of answers.
    """

    def __init__(self, tau: float = 0.5, k: int = 15) -> None:
        super().__init__(tau)
        if k < 1:
            raise ValueError(f"k must be 1 or more, not {k}")
        self._k = k

    def _learn(self, words: Any, numbers: Any, labels: Any, groups: Any) -> Mapping[str, Any]:  # noqa: ARG002
        import numpy as np

        axes = top_axes(words, _DIMENSIONS)
        rows = joined(words @ axes, numbers)
        return {"axes": axes, "rows": rows.astype(np.float32), "labels": labels.astype(np.int8)}

    def _suffices(self, words: Any, numbers: Any) -> Sequence[float]:
        import numpy as np

        learned = self._arrays
        query = joined((words @ learned["axes"])[None, :], numbers[None, :])[0]
        alike = learned["rows"] @ query
        nearest = np.argsort(-alike, kind="stable")[: self._k]
        weights = np.maximum(alike[nearest], 1e-6)
        return [float(weights[learned["labels"][nearest] <= k].sum() / weights.sum()) for k in range(3)]


def top_axes(rows: Any, dimensions: int) -> Any:
    """The axes along which rows differ most, by a randomised singular value decomposition with a fixed seed.

    Args:
        rows: shape (rows, features).
        dimensions: how many axes at most.

    Returns:
        Shape (features, dimensions), or fewer where there are fewer rows.
    """
    import numpy as np

    wanted = min(dimensions, *rows.shape)
    probe = np.random.default_rng(0).standard_normal((rows.shape[1], min(wanted + 10, rows.shape[1])))
    for _ in range(4):
        found, _ = np.linalg.qr(rows @ probe)
        probe, _ = np.linalg.qr(rows.T @ found)
    _, _, axes = np.linalg.svd(rows @ probe, full_matrices=False)
    return (probe @ axes.T)[:, :wanted]


def joined(words: Any, numbers: Any) -> Any:
    """Vectors of length 1 of words and step features; shape (rows, …)."""
    import numpy as np

    length = np.linalg.norm(words, axis=1, keepdims=True)
    both = np.hstack([words / np.where(length == 0, 1, length), _STEP_WEIGHT * np.clip(numbers, -3, 3)])
    return both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9)
