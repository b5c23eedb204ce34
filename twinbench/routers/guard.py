"""``guard``: another router's choice, and a safe tier for calls unlike those that were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinbench.routers.cascade import nearest
from twinbench.routers.inner import call_inner, make_inner
from twinbench.routers.knn import concat_features
from twinbench.routers.learned import NOT_TRAINED, NUMBERS_FILE, Encoder, read_numbers, top_axes
from twinbench.routing.router import Call, Decision, Outcome, validate_decision
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory

_DIMENSIONS = 64
_INNER = "inner"


class Guard:
    """Sends a call to the tier ``safe`` if no training call is as near as all but a share ``unlike`` of them have one.

    Rule: GQR's guarded routing, read in code: a distance test decides whether a query is like the training data, and
    what is not goes to a safe choice. Nearness is the cosine of ``knn``'s vectors to the nearest training call of
    another group. The share is ours. Claim: none for calls of agents.
    Left out: GQR's bag-of-words classifier of the domain, for which a bank has no examples of what is outside.
    """

    def __init__(self, inner: str = "ordinal", safe: str = "high", unlike: float = 0.05) -> None:
        if not 0 < unlike < 1:
            raise ValueError(f"unlike must be between 0 and 1, not {unlike}")
        self._inner: Any = make_inner(inner)
        self._safe = Tier.from_label(safe)
        self._compare_trajectory = unlike
        self._encoder = Encoder()
        self._arrays: dict[str, Any] = {}

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        """Learn what training calls look like, and train the inner router if it learns."""
        import numpy as np

        features = self._encoder.read(trajectories)
        labels = np.array([int(target) for each in trajectories for target in each.targets])
        groups = np.array([each.group for each in trajectories for _ in each.calls])
        learned, words, numbers = self._encoder.learn(features, labels)
        axes = top_axes(words, _DIMENSIONS)
        rows = concat_features(words @ axes, numbers).astype(np.float32)
        alike = rows @ rows.T
        alike[groups[:, None] == groups[None, :]] = -1
        least = np.quantile(alike.max(axis=1), self._compare_trajectory)
        self._arrays = {**learned, "axes": axes, "rows": rows, "least": np.array(least)}
        self._encoder = Encoder()  # what it read of the training sessions is not needed any more
        call_inner(self._inner, "fit", trajectories)

    def save(self, folder: Path) -> None:
        """Write what was learned, and let the inner router write into a folder of its own."""
        import numpy as np

        np.savez_compressed(folder / NUMBERS_FILE, **self._arrays)
        (folder / _INNER).mkdir()
        call_inner(self._inner, "save", folder / _INNER)

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote."""
        self._arrays = read_numbers(folder)
        call_inner(self._inner, "load", folder / _INNER)

    def route(self, call: Call) -> Decision:
        """Choose as the inner router does, or the safe tier."""
        if not self._arrays:
            raise ValueError(NOT_TRAINED)
        words, numbers = self._encoder.encode(call, self._arrays)
        query = concat_features((words @ self._arrays["axes"])[None, :], numbers[None, :])[0]
        nearness, least = float((self._arrays["rows"] @ query).max()), float(self._arrays["least"])
        wish = validate_decision(self._inner.route(call), call.candidates)
        if nearness < least:
            return Decision(nearest(call, self._safe), wish.score, f"unlike: {nearness:.2f} below {least:.2f}")
        return Decision(wish.candidate, wish.score, wish.rationale)

    def start(self, session: str) -> None:
        """Tell the inner router that a session begins."""
        call_inner(self._inner, "start", session)

    def observe(self, outcome: Outcome) -> None:
        """Tell the inner router what came of a call."""
        call_inner(self._inner, "observe", outcome)

    def end(self, session: str) -> None:
        """Forget the session."""
        self._encoder.forget(session)
        call_inner(self._inner, "end", session)
