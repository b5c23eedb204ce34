"""``boosting``: gradient-boosted trees for each boundary between tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routers.learned import Learned, top_axes

_HEADS = 3
_DIMENSIONS = 16
_WORDS = 64
_BINS = 32
_DEPTH = 3
_RATE = 0.15
_FEWEST = 5
"""Rows in a leaf."""
_PENALTY = 1.0


class Boosting(Learned):
    """Boosted regression trees for P(label ≤ k), on the words that stand out, their main axes, and step features.

    Rule: Friedman's gradient boosting with Newton steps in the leaves, as in XGBoost, on 32 bins a feature. It stands
    for the paper's trained router, in spirit. Claim: none for this form. Depth, rate and number of trees are ours.
    Left out: the paper's features, which are not published, and early stopping.
    """

    def __init__(
        self,
        trees: int = 60,
        layer: str = "threshold",
        tau: float = 0.5,
        weight: float = 0.7,
        alpha: float = 0.1,
        features: str = "words",
    ) -> None:
        super().__init__(layer, tau, weight, alpha, features)
        if trees < 1:
            raise ValueError(f"trees must be 1 or more, not {trees}")
        self._trees = trees

    def _learn(self, words: Any, numbers: Any, labels: Any, groups: Any) -> Mapping[str, Any]:  # noqa: ARG002
        import numpy as np

        axes = top_axes(words, _DIMENSIONS)
        chosen = np.sort(np.argsort(-(words**2).sum(axis=0), kind="stable")[:_WORDS])
        inputs = np.hstack([words @ axes, words[:, chosen], numbers])
        cuts = np.quantile(inputs, np.linspace(0, 1, _BINS + 1)[1:-1], axis=0).T  # (features, bins - 1)
        binned = np.stack([np.searchsorted(cuts[each], inputs[:, each]) for each in range(inputs.shape[1])], axis=1)
        features, limits, leaves, starts = [], [], [], []
        for head in range(_HEADS):
            target = (labels <= head).astype(float)
            start = float(np.log((target.mean() + 1e-3) / (1 - target.mean() + 1e-3)))
            score = np.full(len(labels), start)
            starts.append(start)
            for _ in range(self._trees):
                chance = 1 / (1 + np.exp(-score))
                tree = _grow(binned, chance - target, chance * (1 - chance))
                score += _RATE * tree[2][_leaf(binned, *tree[:2])]
                features.append(tree[0])
                limits.append([cuts[each][limit] for each, limit in zip(tree[0], tree[1], strict=True)])
                leaves.append(_RATE * tree[2])
        shape = (_HEADS, self._trees, -1)
        return {
            "axes": axes,
            "chosen": chosen,
            "features": np.array(features).reshape(shape),
            "limits": np.array(limits).reshape(shape),
            "leaves": np.array(leaves).reshape(shape),
            "starts": np.array(starts),
        }

    def _suffices(self, words: Any, numbers: Any) -> Sequence[float]:
        import numpy as np

        learned = self._arrays
        inputs = np.concatenate([words @ learned["axes"], words[learned["chosen"]], numbers])
        place = np.zeros(learned["features"].shape[:2], int)
        for _ in range(_DEPTH):
            feature = np.take_along_axis(learned["features"], place[..., None], 2)[..., 0]
            limit = np.take_along_axis(learned["limits"], place[..., None], 2)[..., 0]
            place = 2 * place + 1 + (inputs[feature] > limit)
        leaf = place - (2**_DEPTH - 1)
        score = learned["starts"] + np.take_along_axis(learned["leaves"], leaf[..., None], 2)[..., 0].sum(axis=1)
        found: Sequence[float] = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
        return found


def _grow(binned: Any, gradient: Any, curvature: Any) -> tuple[list[int], list[int], Any]:
    """A tree: feature and bin of each inner node in breadth-first order, and the value of each leaf.

    A node that is not worth splitting sends everything left.
    """
    import numpy as np

    inner = 2**_DEPTH - 1
    node = np.zeros(len(binned), int)
    features, limits = [], []
    for number in range(inner):
        here = np.flatnonzero(node == number)
        feature, limit = _best_split(binned[here], gradient[here], curvature[here])
        features.append(feature)
        limits.append(limit)
        node[here] = 2 * number + 1 + (binned[here, feature] > limit)
    leaf = node - inner
    sums = np.bincount(leaf, gradient, inner + 1)
    return features, limits, -sums / (np.bincount(leaf, curvature, inner + 1) + _PENALTY)


def _best_split(binned: Any, gradient: Any, curvature: Any) -> tuple[int, int]:
    """The feature and the bin up to which rows go left, with the largest gain."""
    import numpy as np

    count = binned.shape[1]
    flat = (binned + np.arange(count) * _BINS).ravel()
    left = [
        np.bincount(flat, np.repeat(each, count), count * _BINS).reshape(count, _BINS).cumsum(axis=1)[:, :-1]
        for each in (gradient, curvature, np.ones(len(binned)))
    ]
    total = [gradient.sum(), curvature.sum(), len(binned)]
    right = [whole - part for whole, part in zip(total, left, strict=True)]
    gain = left[0] ** 2 / (left[1] + _PENALTY) + right[0] ** 2 / (right[1] + _PENALTY)
    gain[(left[2] < _FEWEST) | (right[2] < _FEWEST)] = -1
    best = int(np.argmax(gain))
    feature, limit = divmod(best, _BINS - 1)
    if gain[feature, limit] <= total[0] ** 2 / (total[1] + _PENALTY):
        return 0, _BINS - 2
    return feature, limit


def _leaf(binned: Any, features: Sequence[int], limits: Sequence[int]) -> Any:
    """The leaf of each row."""
    import numpy as np

    node = np.zeros(len(binned), int)
    of, up_to = np.array(features), np.array(limits)
    for _ in range(_DEPTH):
        node = 2 * node + 1 + (binned[np.arange(len(binned)), of[node]] > up_to[node])
    return node - (2**_DEPTH - 1)
