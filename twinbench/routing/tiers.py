"""The four tiers of capability and price that a router chooses between."""

from __future__ import annotations

from enum import IntEnum


class Tier(IntEnum):
    """A class of models, ordered by capability: low < mid < mid_high < high (TwinRouterBench §3.1)."""

    LOW = 0
    MID = 1
    MID_HIGH = 2
    HIGH = 3

    @property
    def label(self) -> str:
        """The name used in banks, manifests and reports, e.g. ``"mid_high"``."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Tier:
        """Return the tier with this name.

        Raises:
            ValueError: no tier has that name.
        """
        try:
            return _BY_LABEL[label]
        except KeyError:
            raise ValueError(f"unknown tier {label!r}; tiers are {', '.join(_BY_LABEL)}") from None


_BY_LABEL = {tier.label: tier for tier in Tier}
TIER_LABELS = tuple(_BY_LABEL)
