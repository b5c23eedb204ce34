"""How well a score tells yes from no: the area under the ROC curve within strata, and its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from twinbench.statistics.clusters import Floats, Ints


@dataclass(frozen=True)
class Auc:
    """The chance that of a yes and a no of the same stratum the yes has the higher score; ties count a half."""

    value: float
    standard_error: float
    pairs: int
    """Of a yes and a no."""

    def interval(self, level: float) -> tuple[float, float]:
        """Within 0 and 1."""
        reach = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        return max(0.0, self.value - reach), min(1.0, self.value + reach)


def stratified_auc(scores: Floats, truth: Ints, strata: Ints) -> Auc | None:
    """The area under the ROC curve over pairs of the same stratum.

    Scores of different folds of a cross-validation are not on one scale: a fold with more of the one kind was learnt
    from others with less of it, so that a score that knows nothing would seem worse than nothing. Therefore only pairs
    of one fold are compared.

    The standard error is of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44:837) in its linear form: the pairs
    that each observation has a part in, less what they would be on average.

    Args:
        scores: shape (observations,).
        truth: 0 or 1 each.
        strata: the stratum of each.

    Returns:
        None where no stratum has both kinds.
    """
    wins, parts, pairs = 0.0, [], 0
    for stratum in np.unique(strata).tolist():
        here = strata == stratum
        yes, no = scores[here & (truth == 1)], scores[here & (truth == 0)]
        if not len(yes) or not len(no):
            continue
        of_yes, of_no = _count_wins(yes, no), len(yes) - _count_wins(no, yes)
        parts += [(of_yes, len(no)), (of_no, len(yes))]
        wins += float(of_yes.sum())
        pairs += len(yes) * len(no)
    if not pairs:
        return None
    value = wins / pairs
    squares = sum(float(((won - value * against) ** 2).sum()) for won, against in parts)
    return Auc(value, math.sqrt(squares) / pairs, pairs)


def _count_wins(scores: Floats, against: Floats) -> Floats:
    """Of each score: how many of the others are lower, ties a half."""
    ordered = np.sort(against)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2
