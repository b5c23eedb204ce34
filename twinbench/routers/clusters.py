"""``clusters``: what sufficed in the clusters that a call is closest to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routers.knn import concat_features
from twinbench.routers.learned import Learned, top_axes

_DIMENSIONS = 64
_NEAREST = 3
_SHARPNESS = 9.0
_ROUNDS = 30
_PRIOR = 1.0
"""Number of average calls of the bank that are added to each cluster, so that a small cluster is not certain."""


class Clusters(Learned):
    """The suffice rates of the three nearest of ``clusters`` k-means clusters, weighted by softmax(-9 · distance).

    Rule: Avengers-Pro, as surveys describe it ("clustering"): 0.7 · P + 0.3 · (1 - cost), which is the layer
    ``weighted`` and the default here; P(label ≤ k) stands for its accuracy. Claim: none for calls of agents. One call
    like the average counts in every cluster, which is ours, as are the vectors (those of ``knn``).
    Left out: embeddings by a large model.
    """

    def __init__(
        self,
        clusters: int = 32,
        layer: str = "weighted",
        tau: float = 0.5,
        weight: float = 0.7,
        alpha: float = 0.1,
        features: str = "words",
    ) -> None:
        super().__init__(layer, tau, weight, alpha, features)
        if clusters < 1:
            raise ValueError(f"clusters must be 1 or more, not {clusters}")
        self._clusters = clusters

    def _learn(self, words: Any, numbers: Any, labels: Any, groups: Any) -> Mapping[str, Any]:  # noqa: ARG002
        import numpy as np

        axes = top_axes(words, _DIMENSIONS)
        rows = concat_features(words @ axes, numbers)
        centres, nearest = _k_means(rows, min(self._clusters, len(rows)))
        suffices = (labels[:, None] <= np.arange(3)).astype(float)
        overall = suffices.mean(axis=0)
        members = nearest[None, :] == np.arange(len(centres))[:, None]
        rates = (members @ suffices + _PRIOR * overall) / (members.sum(axis=1, keepdims=True) + _PRIOR)
        return {"axes": axes, "centres": centres, "rates": rates}

    def _suffices(self, words: Any, numbers: Any) -> Sequence[float]:
        import numpy as np

        learned = self._arrays
        query = concat_features((words @ learned["axes"])[None, :], numbers[None, :])[0]
        distances = np.linalg.norm(learned["centres"] - query, axis=1)
        nearest = np.argsort(distances, kind="stable")[:_NEAREST]
        weights = np.exp(-_SHARPNESS * (distances[nearest] - distances[nearest[0]]))
        found: Sequence[float] = weights @ learned["rates"][nearest] / weights.sum()
        return found


def _k_means(rows: Any, count: int) -> tuple[Any, Any]:
    """Return the centres of k-means clusters, and the cluster of each row; the first centres are far apart."""
    import numpy as np

    rng = np.random.default_rng(0)
    chosen = [int(rng.integers(len(rows)))]
    distances = ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and distances.max() > 0:
        chosen.append(int(rng.choice(len(rows), p=distances / distances.sum())))
        distances = np.minimum(distances, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
    centres = rows[chosen]
    nearest = np.zeros(len(rows), int)
    for _ in range(_ROUNDS):
        nearest = (rows @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
        moved = np.array(
            [
                rows[nearest == each].mean(axis=0) if (nearest == each).any() else centres[each]
                for each in range(len(centres))
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres, nearest
