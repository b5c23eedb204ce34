"""What a router's process may take, and what is raised where it does not even load.

Apart from what starts processes, so that a score that asks no router does not load that.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from twinbench.errors import TwinbenchError


class RouterLoadError(TwinbenchError):
    """A router whose code failed while it was loaded."""


@dataclass(frozen=True)
class PluginLimits:
    """What a router's process may take; each is an option of the command line."""

    load_s: float = 120.0
    decision_s: float = 30.0
    memory_mib: int = 4096
    python: str | None = None
    """The interpreter of the router's own environment; None for twinbench's."""
    environment: tuple[str, ...] = ()
    """Further variables that the router may see."""
    watch: bool = False
    """Notice what a decision changes and reaches for (``router check``)."""


def missing_limits() -> list[str]:
    """What this platform cannot limit, for the person who relies on it."""
    missing = []
    if sys.platform != "linux":
        missing.append("processes that leave the router's process group are found by their environment only")
    if os.name != "posix":
        missing.append("no limit on file size, open files or core dumps")
    return missing
