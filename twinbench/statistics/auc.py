"""The area under the ROC curve within strata, which says how well a score separates two classes, and its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from twinbench.statistics.clusters import Floats, Ints


@dataclass(frozen=True)
class Auc:
    """The probability that a positive has a higher score than a negative of the same stratum; ties count one half."""

    value: float
    standard_error: float
    pairs: int
    """Number of pairs of a positive and a negative of the same stratum."""

    def interval(self, level: float) -> tuple[float, float]:
        """Return the confidence interval by the normal approximation, cut to the range from 0 to 1."""
        reach = NormalDist().inv_cdf((1 + level) / 2) * self.standard_error
        return max(0.0, self.value - reach), min(1.0, self.value + reach)


def stratified_auc(scores: Floats, truth: Ints, strata: Ints) -> Auc | None:
    """Compute the area under the ROC curve over pairs within the same stratum (a fold of a cross-validation).

    Scores of different folds are not comparable: the model for a fold with many positives was trained on data with
    fewer of them, so an uninformative score would seem worse than chance if pairs across folds were counted.

    The standard error is that of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44:837) in its linear form: it
    sums, over observations, the squared deviation of the pairs that an observation wins from the expected number.

    Args:
        scores: shape (observations,).
        truth: the class of each observation, 0 or 1.
        strata: the stratum of each observation.

    Returns:
        None if no stratum has both classes.
    """
    wins, parts, pairs = 0.0, [], 0
    for stratum in np.unique(strata).tolist():
        here = strata == stratum
        yes, no = scores[here & (truth == 1)], scores[here & (truth == 0)]
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
    """For each score, count the values of ``against`` that are lower; ties count one half."""
    ordered = np.sort(against)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2
