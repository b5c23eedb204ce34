"""``ordinal``: a logistic model for each boundary between tiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinbench.routers.learned import Learned

_HEADS = 3
_NEWTON_STEPS = 5
_PENALTIES = (0.1, 0.5, 2.0)
_FOLDS = 3
_WORDS_COUNT = 4.0
"""Words are a vector of length 1 in all, step features have a spread of 1 each."""


class Ordinal(Learned):
    """Three logistic models of P(label ≤ k) on hashed words and step features, which eliminate tiers from the top.

    Rule: Frank and Hall's ordinal classification (2001); to go down while what is below suffices is IRanker's
    elimination (arXiv 2506.21638, read in code), which the survey of LLM routing files under "difficulty". The penalty
    is the one with the best log loss on held-out groups. Claim: none for this form.
    Left out: IRanker's language model as the judge of each pair.
    """

    def _learn(self, words: Any, numbers: Any, labels: Any, groups: Any) -> Mapping[str, Any]:
        import numpy as np

        inputs = np.hstack([_WORDS_COUNT * words, numbers, np.ones((len(labels), 1))])
        targets = (labels[:, None] <= np.arange(_HEADS)).astype(float)
        fold_of = groups % _FOLDS
        losses = []
        for penalty in _PENALTIES:
            loss = 0.0
            for fold in sorted(set(fold_of.tolist())) if len(set(fold_of.tolist())) == _FOLDS else ():
                held = fold_of == fold
                weights = logistic(inputs[~held], targets[~held], penalty)
                chance = np.clip(_chance(inputs[held] @ weights), 1e-6, 1 - 1e-6)
                loss -= float((targets[held] * np.log(chance) + (1 - targets[held]) * np.log(1 - chance)).sum())
            losses.append(loss)
        return {"model": logistic(inputs, targets, _PENALTIES[int(np.argmin(losses))])}

    def _suffices(self, words: Any, numbers: Any) -> Sequence[float]:
        import numpy as np

        found: Sequence[float] = _chance(np.concatenate([_WORDS_COUNT * words, numbers, [1.0]]) @ self._arrays["model"])
        return found


def logistic(inputs: Any, targets: Any, penalty: float) -> Any:
    """Fit the weights of logistic models with an L2 penalty, by Newton's method.

    Args:
        inputs: shape (rows, features), the last of them 1, which is hardly penalised.
        targets: shape (rows, models), 0 or 1.
        penalty: the penalty on the squared length of the weights, as a number of rows.

    Returns:
        Shape (features, models).
    """
    import numpy as np

    ridge = np.full(inputs.shape[1], penalty)
    ridge[-1] = 1e-3
    weights = np.zeros((inputs.shape[1], targets.shape[1]))
    for model in range(targets.shape[1]):
        for _ in range(_NEWTON_STEPS):
            chance = _chance(inputs @ weights[:, model])
            gradient = inputs.T @ (chance - targets[:, model]) + ridge * weights[:, model]
            curved = inputs.T @ (inputs * np.maximum(chance * (1 - chance), 1e-4)[:, None]) + np.diag(ridge)
            weights[:, model] -= np.linalg.solve(curved, gradient)
    return weights


def _chance(scores: Any) -> Any:
    import numpy as np

    return 1 / (1 + np.exp(-np.clip(scores, -30, 30)))
