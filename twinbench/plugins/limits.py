"""What a router's process may take, and what is raised where it does not even load.

Apart from what starts processes, so that a score that asks no router does not load that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from twinbench.errors import TwinbenchError

if TYPE_CHECKING:
    from twinbench.plugins.description import NotFound, RouterDescription
    from twinbench.plugins.process import RouterProcess


class RouterLoadError(TwinbenchError):
    """A router whose code failed while it was loaded."""


@runtime_checkable
class Isolation(Protocol):
    """A place for routers' processes other than this machine."""

    def located(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A request to find or load a router, with paths as they are in that place."""
        ...

    def described(self, request: Mapping[str, Any], limits: PluginLimits) -> RouterDescription | NotFound:
        """What ``provenance.describe`` says there.

        Raises:
            UsageError: it cannot say that.
        """
        ...

    def with_wheels(self, wheels: Path) -> Isolation:
        """The same place, with the wheels of a folder where none were named before."""
        ...

    def conditions(self) -> Mapping[str, Any]:
        """What decides about a router's answers beside its own files."""
        ...

    def start(self, request: Mapping[str, Any], runtime: Path, limits: PluginLimits) -> RouterProcess:
        """A process.

        Args:
            request: a located one.
            runtime: the folder of ``runtime.runtime_folder``.
            limits: what it may take.
        """
        ...


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
    isolation: Isolation | None = None
    """Where the process runs; None for a process of this machine, which contains accidents and no attack."""


def missing_limits() -> list[str]:
    """What this platform cannot limit, for the person who relies on it."""
    missing = []
    if sys.platform != "linux":
        missing.append("processes that leave the router's process group are found by their environment only")
    if os.name != "posix":
        missing.append("no limit on file size, open files or core dumps")
    return missing
