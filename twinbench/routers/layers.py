"""Decision layers: turn the probabilities that each tier suffices, and the costs, into a choice.

A learned router is a predictor of P(tier k suffices) and a layer, which combine freely: ``ordinal?layer=topsis``. Tiers
ascend in both arrays, so the last tier suffices for certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Tiers = NDArray[np.int64]

LAYERS = ("threshold", "conformal", "topsis", "weighted")

_CONFIDENCE = 0.9
"""With which ``conformal`` keeps its promise."""


def choose_tiers(layer: str, suffices: Floats, costs: Floats, *, tau: float | Floats, weight: float | Floats) -> Tiers:
    """Choose a tier for each of several calls.

    Args:
        layer: ``threshold`` or ``conformal``: the lowest tier with P ≥ ``tau``. ``topsis``: among the tiers that no
            other beats in both P and cost, the closest to the best of both (MoMA, arXiv 2509.07571). ``weighted``: the
            largest weighted sum of P and of 1 - cost / the highest cost (Avengers-Pro).
        suffices: P(k suffices), shape (calls, tiers).
        costs: the cost of each tier in USD, same shape.
        tau: the threshold of ``threshold`` and ``conformal``; one number, or one for each call, shape (calls, 1).
        weight: the weight of P against cost, from 0 to 1, in ``topsis`` and ``weighted``; likewise.

    Returns:
        The position of the chosen tier, shape (calls,).
    """
    import numpy as np

    if layer in ("threshold", "conformal"):
        enough = suffices >= tau
        enough[:, -1] = True
        return _first_largest(enough)
    if layer == "weighted":
        share = costs / np.maximum(costs.max(axis=1, keepdims=True), 1e-12)
        return _first_largest(weight * suffices + (1 - weight) * (1 - share))
    return _closest_to_ideal(suffices, costs, weight)


def _closest_to_ideal(suffices: Floats, costs: Floats, weight: float | Floats) -> Tiers:
    """Choose by TOPSIS on the Pareto front."""
    import numpy as np

    no_worse = (suffices[:, None, :] >= suffices[:, :, None]) & (costs[:, None, :] <= costs[:, :, None])
    better = (suffices[:, None, :] > suffices[:, :, None]) | (costs[:, None, :] < costs[:, :, None])
    beaten = (no_worse & better).any(axis=2)

    def normalise(values: Floats, by: float | Floats) -> Floats:
        length = np.linalg.norm(values, axis=1, keepdims=True)
        found: Floats = by * values / np.where(length == 0, 1, length)
        return found

    good, bad = normalise(suffices, weight), normalise(costs, 1 - weight)
    to_ideal = np.hypot(good - good.max(axis=1, keepdims=True), bad - bad.min(axis=1, keepdims=True))
    to_worst = np.hypot(good - good.min(axis=1, keepdims=True), bad - bad.max(axis=1, keepdims=True))
    closeness = to_worst / np.maximum(to_ideal + to_worst, 1e-12)
    return _first_largest(np.where(beaten, -1.0, closeness))


def _first_largest(values: NDArray[Any]) -> Tiers:
    """Return the first position of the largest value of each row."""
    found: Tiers = values.argmax(axis=1)
    return found


def conformal_threshold(suffices: Floats, labels: Sequence[int], alpha: float) -> float:
    """Find the lowest threshold under which at most a share ``alpha`` of calls gets an insufficient tier.

    Learn then test: thresholds are tested from the safest down, each by a binomial test, until one fails. The promise
    holds with 90 % confidence for calls like those given, if these were independent; calls of one trajectory are not
    quite.

    Args:
        suffices: P(k suffices) of calls that the predictor was not trained on.
        labels: the lowest sufficient tier of each.
        alpha: the share.

    Returns:
        The threshold; above 1 if no threshold passes, so that only the highest tier is taken.
    """
    import numpy as np

    found = 1.01
    for tau in np.linspace(1.0, 0.02, 50):
        chosen = choose_tiers("threshold", suffices, suffices, tau=float(tau), weight=1.0)
        failures = int((chosen < np.asarray(labels)).sum())
        if _binomial_tail(failures, len(labels), alpha) > 1 - _CONFIDENCE:
            return found
        found = float(tau)
    return found


def _binomial_tail(most: int, draws: int, chance: float) -> float:
    """Return the probability of at most ``most`` events in ``draws`` draws."""

    def log_term(count: int) -> float:
        ways = math.lgamma(draws + 1) - math.lgamma(count + 1) - math.lgamma(draws - count + 1)
        return ways + count * math.log(chance) + (draws - count) * math.log(1 - chance)

    return sum(math.exp(log_term(count)) for count in range(most + 1))


def refuse_settings(layer: str, **shares: Any) -> None:
    """Check the settings of a layer.

    Raises:
        ValueError: the layer does not exist, or a share is not between 0 and 1.
    """
    if layer not in LAYERS:
        raise ValueError(f"layer must be one of {', '.join(LAYERS)}, not {layer!r}")
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} must be between 0 and 1, not {share}")
