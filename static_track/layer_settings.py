"""A trained router's answers under many settings of its decision layer, computed together.

What a layer weighs depends on who answered the calls before: costs on the cache, and on how long that tier's answers
were. So all settings are led through the trajectories side by side, step by step, and what each is shown is looked up:
the prompt's cost to each tier after each tier. Those costs come from the same sessions as for any router.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from static_track.banks.bank import Trajectory
from static_track.predict import SESSION_SALT
from static_track.row_features import RowFeatures
from twinbench.routers.layers import choose_tiers
from twinbench.routers.learned import Learned
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.router import DEFAULT_MEAN_OUTPUT_TOKENS
from twinbench.routing.session import Session, session_key
from twinbench.routing.tiers import Tier
from twinbench.storage.manifests import StaticManifest

Floats = NDArray[np.float64]
Tiers = NDArray[np.int64]

TRIED_AT_ONCE = ("threshold", "topsis", "weighted")
"""The layers whose settings need no training of their own."""

_CALLS_AT_ONCE = 100_000
"""Choices that are made in one go, so that memory does not grow with the number of settings."""


@dataclass(frozen=True)
class DecisionLayerSettings:
    """A decision layer with its settings."""

    name: str
    tau: float
    weight: float


@dataclass(frozen=True)
class _Row:
    """A row of a bank, as far as a choice depends on it."""

    row_no: int
    suffices: Sequence[float]
    """P(k suffices) for each tier."""
    prompt_usd: Sequence[Sequence[float]]
    """The prompt's cost to each tier, by the tier that answered the call before; of a first row all are alike."""
    spoken: Sequence[int]
    """Tokens of the recorded answer by tier; 0 for a trajectory's last row, after which it is not needed."""


@dataclass(frozen=True)
class _Place:
    """The rows at one place of their trajectories, the longest trajectory first; arrays are as in ``_Row``."""

    row_nos: NDArray[np.int32]
    suffices: Floats
    prompt_usd: Floats
    spoken: Floats

    @classmethod
    def of(cls, rows: Sequence[_Row]) -> _Place:
        return cls(
            np.array([row.row_no for row in rows], np.int32),
            np.array([row.suffices for row in rows]),
            np.array([row.prompt_usd for row in rows]),
            np.array([row.spoken for row in rows], float),
        )


class TrainedRows:
    """Rows of a bank whose probabilities are known."""

    def __init__(
        self,
        router: Learned,
        trajectories: Iterable[Trajectory],
        manifest: StaticManifest,
        features: RowFeatures | None = None,
    ) -> None:
        """Ask for the probabilities of each row, and price it.

        Args:
            router: a trained router.
            trajectories: the trajectories of the rows.
            manifest: rates and cache lifetime.
            features: the features of the bank's rows, if they are known.
        """
        self._output_usd = np.array([float(each.prices.output) for each in manifest.candidates()])
        rows = (_price_rows(router, each, manifest, features) for each in trajectories)
        priced = sorted(rows, key=len, reverse=True)
        self._places = [_Place.of([row for row in each if row is not None]) for each in zip_longest(*priced)]
        self.row_nos = np.concatenate([place.row_nos for place in self._places])
        """The numbers of the rows, in the order of ``choose``."""

    def choose(self, layers: Sequence[DecisionLayerSettings]) -> Tiers:
        """Return what is chosen under each layer, shape (layers, rows)."""
        found = np.zeros((len(layers), len(self.row_nos)), np.int64)
        at_once = max(1, _CALLS_AT_ONCE // len(self._places[0].row_nos))
        for name in sorted({layer.name for layer in layers}):
            numbers = [number for number, layer in enumerate(layers) if layer.name == name]
            for start in range(0, len(numbers), at_once):
                chunk = numbers[start : start + at_once]
                found[chunk] = self._choose(name, [layers[number] for number in chunk])
        return found

    def _choose(self, name: str, layers: Sequence[DecisionLayerSettings]) -> Tiers:
        """Return what ``choose`` does, for layers of one name."""
        tau, weight = (np.array(values) for values in zip(*((each.tau, each.weight) for each in layers), strict=True))
        trajectories = len(self._places[0].row_nos)
        before = np.zeros((len(layers), trajectories), np.int64)
        """The tier that answered the call before."""
        said = np.zeros(before.shape)
        """Output tokens of the calls before."""
        chosen = []
        for number, place in enumerate(self._places):
            count = len(place.row_nos)
            mean = said[:, :count] / number if number else np.full((len(layers), count), DEFAULT_MEAN_OUTPUT_TOKENS)
            prompt = place.prompt_usd[np.arange(count), before[:, :count]]
            costs = prompt + mean[..., None] * self._output_usd / 1e6
            suffices = np.broadcast_to(place.suffices, costs.shape)
            now = choose_tiers(
                name,
                suffices.reshape(-1, len(Tier)),
                costs.reshape(-1, len(Tier)),
                tau=np.repeat(tau, count)[:, None],
                weight=np.repeat(weight, count)[:, None],
            ).reshape(len(layers), count)
            before[:, :count] = now
            said[:, :count] += place.spoken[np.arange(count), now]
            chosen.append(now)
        return np.concatenate(chosen, axis=1)


def _price_rows(
    router: Learned, trajectory: Trajectory, manifest: StaticManifest, features: RowFeatures | None
) -> list[_Row]:
    """Return the rows of a trajectory, with the prompt's cost after each tier: each is led through all of it."""
    candidates = manifest.candidates()
    key = session_key(SESSION_SALT, trajectory.workload, trajectory.instance_id)
    ways = {each: Session(key, candidates, StepTtl(manifest.cache_ttl_steps)) for each in candidates}
    rows = []
    for step in trajectory.steps:
        calls = [session.open_call(step.prompt) for session in ways.values()]
        for candidate, session in ways.items():
            session.record_answer(candidate, 0)
        known = None if features is None else features.of(step.row_no)
        rows.append(
            _Row(
                step.row_no,
                router.probabilities(calls[0]) if known is None else router.probabilities_of(known),
                [[float(call.prompt_usage(each).cost_usd(each.prices)) for each in candidates] for call in calls],
                step.visible_tokens or [0] * len(candidates),
            )
        )
    router.end(key)
    return rows
