"""What learned routers share: features in, P(tier k suffices) out, and the layer that turns that into a choice.

A learned router is a file of plain numbers (``numpy``, never a pickle) and a few lines of arithmetic. It needs numpy
where it decides, which twinbench brings; under strict isolation a wheel of numpy has to lie in the folder ``wheels`` of
the trained router.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.routers.cascade import nearest
from twinbench.routers.features import WORD_BUCKETS, Featuriser
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FILE = "numbers.npz"
_MOST_WORDS = 256
"""Buckets of words that are kept: those that tell most about the labels."""
_FEWEST_CALLS = 3
"""In which a bucket has to stand, to be kept."""


class Learned(ABC):
    """A router that learned P(label ≤ k) from labelled calls.

    The decision layer ``threshold`` takes the lowest tier k with P(k suffices) ≥ ``tau``.
    """

    def __init__(self, tau: float = 0.5) -> None:
        if not 0 < tau < 1:
            raise ValueError(f"tau must lie between 0 and 1, not {tau}")
        self._tau = tau
        self._featuriser = Featuriser()
        self._arrays: dict[str, Any] = {}
        """What was learned; empty of a router that was not trained."""

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        """Learn from labelled calls."""
        import numpy as np

        calls = [call for each in trajectories for call in each.calls]
        words = np.zeros((len(calls), WORD_BUCKETS), np.float32)
        numbers = []
        for row, call in enumerate(calls):
            found = self._featuriser.words(call)
            words[row, list(found)] = list(found.values())
            numbers.append(self._featuriser.numbers(call))
        labels = np.array([int(target) for each in trajectories for target in each.targets])
        names = sorted({each.group for each in trajectories})
        groups = np.array([names.index(each.group) for each in trajectories for _ in each.calls])
        raw = np.array(numbers)
        kept, weights = _telling(words, labels)
        mean, spread = raw.mean(axis=0), raw.std(axis=0) + 1e-9
        place = np.full(WORD_BUCKETS, -1, np.int16)
        place[kept] = np.arange(len(kept))
        self._arrays = {"place": place, "weights": weights, "mean": mean, "spread": spread}
        self._arrays |= self._learn(_unit(words[:, kept] * weights), (raw - mean) / spread, labels, groups)

    @abstractmethod
    def _learn(self, words: Floats, numbers: Floats, labels: Any, groups: Any) -> Mapping[str, Any]:
        """What is to be kept, as arrays by name.

        Args:
            words: of each call, shape (calls, words that are kept), each of length 1 or 0.
            numbers: of each call, shape (calls, STEP_FEATURES), standardised.
            labels: of each call, 0 to 3.
            groups: of each call, as a number.
        """

    @abstractmethod
    def _suffices(self, words: Floats, numbers: Floats) -> Sequence[float]:
        """P(label ≤ k) of one call for k = 0, 1, 2.

        Args:
            words: of the call, as ``_learn`` had them.
            numbers: likewise.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        import numpy as np

        np.savez_compressed(folder / _FILE, **self._arrays)

    def load(self, folder: Path) -> None:
        """Read what was learned; numbers alone, so that no file can run code."""
        import numpy as np

        with np.load(folder / _FILE, allow_pickle=False) as found:
            self._arrays = {name: found[name] for name in found.files}

    def route(self, call: Call) -> Decision:
        """The lowest tier that suffices probably enough."""
        suffices = self.probabilities(call)
        tier = next((k for k in Tier if suffices[k] >= self._tau), Tier.HIGH)
        return Decision(nearest(call, tier), score=1 - suffices[Tier.LOW], rationale=_shown(suffices))

    def probabilities(self, call: Call) -> list[float]:
        """P(k suffices) for each tier, ascending; the highest suffices for certain.

        Raises:
            ValueError: the router was not trained.
        """
        import numpy as np

        if not self._arrays:
            raise ValueError("it was not trained: twinbench router train")
        learned = self._arrays
        words = np.zeros(len(learned["weights"]))
        for bucket, value in self._featuriser.words(call).items():
            if (place := learned["place"][bucket]) >= 0:
                words[place] = value * learned["weights"][place]
        numbers = (np.array(self._featuriser.numbers(call)) - learned["mean"]) / learned["spread"]
        below = np.maximum.accumulate(np.clip(self._suffices(_unit(words), numbers), 0.0, 1.0))
        return [*map(float, below), 1.0]

    def end(self, session: str) -> None:
        """Forget the session."""
        self._featuriser.forget(session)


def _telling(words: Any, labels: Any) -> tuple[Any, Any]:
    """The buckets of words that tell most about the labels, in order, and what each counts.

    By the chi-square statistic of a word being there against the label; a word counts by its square root.
    """
    import numpy as np

    there = words > 0
    chi = np.zeros(words.shape[1])
    for label in set(labels.tolist()):
        share = float((labels == label).mean())
        expected = there.sum(axis=0) * share
        chi += (there[labels == label].sum(axis=0) - expected) ** 2 / np.maximum(expected, 1e-9)
    chi[there.sum(axis=0) < _FEWEST_CALLS] = 0
    kept = np.sort(np.argsort(-chi, kind="stable")[:_MOST_WORDS])
    kept = kept[chi[kept] > 0]
    return kept, np.sqrt(chi[kept])


def _unit(vectors: Any) -> Any:
    """Vectors with length 1, those without any length as they are."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


def _shown(suffices: Sequence[float]) -> str:
    return ", ".join(f"P({tier.label})={suffices[tier]:.2f}" for tier in Tier)
