"""The tiers that a search tries, each with its candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from twinbench.construction.proposing import NOT_DOWNGRADEABLE
from twinbench.errors import UsageError
from twinbench.routing.tiers import TIER_LABELS, Tier

MOST_CANDIDATES = 3
"""How many candidates of a tier are tried at most, one after the other (construction.md, stage 4)."""


@dataclass(frozen=True)
class Ladder:
    """The tiers that have candidates, from the lowest to the strongest."""

    rungs: tuple[tuple[Tier, tuple[str, ...]], ...]
    """Each tier with the ids of its candidates, in the order in which they are tried."""

    @classmethod
    def of(cls, tiers: Mapping[str, Sequence[str]], cascade: int = MOST_CANDIDATES) -> Ladder:
        """Make the ladder of an executor's tiers.

        Args:
            tiers: candidate ids by the tier's label; a tier may be missing or empty.
            cascade: how many candidates of a tier are tried at most.

        Raises:
            UsageError: a tier is unknown, a candidate is in two tiers, or fewer than two tiers have a candidate.
        """
        if unknown := [label for label in tiers if label not in TIER_LABELS]:
            raise UsageError(f"the executor has a tier {unknown[0]!r}; tiers are {', '.join(TIER_LABELS)}")
        named = [candidate for candidates in tiers.values() for candidate in candidates]
        if repeated := sorted({each for each in named if named.count(each) > 1}):
            raise UsageError(f"the executor names the candidate {repeated[0]!r} twice")
        rungs = tuple((tier, tuple(tiers.get(tier.label, ())[:cascade])) for tier in Tier if tiers.get(tier.label))
        if len(rungs) < 2:
            has = rungs[0][0].label if rungs else "none"
            raise UsageError(
                f"a search needs candidates in at least two tiers; the executor has candidates in: {has}. Name "
                "candidates of other tiers in [executor]"
            )
        return cls(rungs)

    @property
    def strongest(self) -> tuple[str, ...]:
        """The candidates of the strongest tier."""
        return self.rungs[-1][1]

    @property
    def missing(self) -> tuple[Tier, ...]:
        """The tiers that have no candidate and so cannot be labels."""
        there = {tier for tier, _ in self.rungs}
        return tuple(tier for tier in Tier if tier not in there)

    @cached_property
    def tier_of(self) -> dict[str, Tier]:
        """The tier of each candidate, by candidate id."""
        return {candidate: tier for tier, candidates in self.rungs for candidate in candidates}

    def worth_trying(self, hint: str) -> list[tuple[Tier, str]]:
        """Return the candidates below the strongest tier to try at a step, in order, each with its tier.

        Args:
            hint: the label of the lowest tier worth trying, or ``NOT_DOWNGRADEABLE``.
        """
        if hint == NOT_DOWNGRADEABLE:
            return []
        lowest = Tier.from_label(hint)
        return [(tier, each) for tier, candidates in self.rungs[:-1] if tier >= lowest for each in candidates]

    def most_executions(self, steps: int) -> int:
        """Return the largest number of executions that a search over ``steps`` steps needs, with its seed, without
        repeats.
        """
        return len(self.strongest) + steps * sum(len(candidates) for _, candidates in self.rungs[:-1])

    def to_json(self) -> dict[str, list[str]]:
        """The candidates by tier, as JSON."""
        return {tier.label: list(candidates) for tier, candidates in self.rungs}
