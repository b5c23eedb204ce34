"""Areas that are covered by upright boxes."""

from boxsweep.box import Box
from boxsweep.region import Region
from boxsweep.skyline import skyline

__all__ = ["Box", "Region", "skyline"]
