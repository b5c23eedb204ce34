"""How many steps a mixed execution may have, so that its downgrade is accepted. Source: construction.md, stage 3."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WITHIN = re.compile(r"within:([0-9]{1,6})")


@dataclass(frozen=True)
class StepRule:
    """By how many steps an accepted execution may differ from its seed."""

    name: str
    """As configurations and manifests have it: ``equal``, ``within:K``, ``any``."""
    tolerance: int | None
    """In steps; None where the number of steps does not matter: a pass is a pass."""

    def admits(self, seed_steps: int, steps: int) -> bool:
        """Whether an execution that passed may have this many steps.

        Args:
            seed_steps: how many the seed has.
            steps: how many the mixed execution has.
        """
        return self.tolerance is None or abs(steps - seed_steps) <= self.tolerance


def parse_step_rule(name: str) -> StepRule:
    """The step rule called ``name``.

    Raises:
        ValueError: none is.
    """
    if name == "equal":
        return StepRule(name, 0)
    if name == "any":
        return StepRule(name, None)
    if (found := _WITHIN.fullmatch(name)) is None:
        raise ValueError(f"no step rule is called {name!r}: equal, within:K (such as within:2) or any")
    return StepRule(f"within:{int(found[1])}", int(found[1]))
