"""``periodic``: a strong model every few steps and where nothing has moved, a cheap one between."""

from __future__ import annotations

from typing import Any, ClassVar

from twinbench.routers.cascade import nearest
from twinbench.routers.signals import Reader
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier


class Periodic:
    """Strong at every ``every``-th step, and where ``patience`` steps have brought no edit and no passing test.

    Rule: LEVI's schedule of mutations, read in code: an expensive model periodically and when progress stalls, a cheap
    one between. Progress is here an edit or a passing test, since a prefix has no score of its own. The numbers are
    ours.
    Left out: LEVI's population and its measure of progress.
    """

    tunable: ClassVar[Any] = ({"every": (2, 3, 5, 8), "patience": (3, 6, 12)},)
    """The values that ``router tune`` tries; see ``Learned.tunable``."""

    def __init__(self, cheap: str = "low", strong: str = "high", every: int = 5, patience: int = 6) -> None:
        if every < 1 or patience < 1:
            raise ValueError(f"every and patience must be 1 or more, not {every} and {patience}")
        self._cheap = Tier.from_label(cheap)
        self._strong = Tier.from_label(strong)
        self._every = every
        self._patience = patience
        self._reader = Reader()

    def route(self, call: Call) -> Decision:
        """The strong tier where its turn has come."""
        steps = self._reader.steps(call)
        recent = steps[-self._patience :]
        stalled = len(recent) == self._patience and not any(step.edits or step.passed for step in recent)
        due = call.step_index % self._every == 0
        tier = self._strong if due or stalled else self._cheap
        return Decision(nearest(call, tier), rationale="due" if due else "stalled" if stalled else "between")

    def end(self, session: str) -> None:
        """Forget the session."""
        self._reader.forget(session)
