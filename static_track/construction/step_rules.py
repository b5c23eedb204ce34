"""Step rules: how many steps an execution may have for its downgrade to be accepted. Source: construction.md, stage
3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_WITHIN = re.compile(r"within:([0-9]{1,6})")


@dataclass(frozen=True)
class StepRule:
    """The number of steps by which an accepted execution may differ from its seed."""

    name: str
    """The rule's name in configurations and manifests: ``equal``, ``within:K`` or ``any``."""
    tolerance: int | None
    """Largest difference in steps; None if the number of steps does not matter."""

    def admits(self, seed_steps: int, steps: int) -> bool:
        """Return whether a passing execution with this many steps is accepted.

        Args:
            seed_steps: the seed's number of steps.
            steps: the execution's number of steps.
        """
        return self.tolerance is None or abs(steps - seed_steps) <= self.tolerance


def parse_step_rule(name: str) -> StepRule:
    """Parse the name of a step rule.

    Raises:
        ValueError: the name is unknown.
    """
    if name == "equal":
        return StepRule(name, 0)
    if name == "any":
        return StepRule(name, None)
    if (found := _WITHIN.fullmatch(name)) is None:
        raise ValueError(f"unknown step rule {name!r}: use equal, within:K (such as within:2) or any")
    return StepRule(f"within:{int(found[1])}", int(found[1]))
