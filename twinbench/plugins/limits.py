"""Resource limits of a router's process, and the error of a router that cannot be loaded.

Separate from the code that starts processes, so that a score that asks no router need not import that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from twinbench.errors import TwinbenchError, UsageError
from twinbench.plugins.output import RouterOutput

if TYPE_CHECKING:
    from twinbench.plugins.description import RouterDescription, RouterNotFoundReply
    from twinbench.plugins.process import RouterProcess


class RouterLoadError(TwinbenchError):
    """A router's code failed while it was loaded."""


class RouterRefusedError(UsageError):
    """A router whose name or arguments are wrong, or an object that is not a router, found when its code was loaded."""


NOT_LOADED = (RouterLoadError, RouterRefusedError)
"""Errors that are raised when a router cannot be loaded."""


@runtime_checkable
class Isolation(Protocol):
    """Runs routers' processes elsewhere than directly on this machine, such as in a container."""

    def locate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request to find or load a router with its paths translated to that place."""
        ...

    def describe(self, request: Mapping[str, Any], limits: PluginLimits) -> RouterDescription | RouterNotFoundReply:
        """Run ``provenance.describe`` in that place and return the description.

        Raises:
            UsageError: it cannot be run there.
        """
        ...

    def with_wheels(self, wheels: Path) -> Isolation:
        """Return the same isolation with the wheels of a folder, unless it has wheels already."""
        ...

    def conditions(self) -> Mapping[str, Any]:
        """Return what may influence a router's answers beside its own files, for the fingerprint."""
        ...

    def start(self, request: Mapping[str, Any], runtime: Path, limits: PluginLimits) -> RouterProcess:
        """Start a router's process.

        Args:
            request: a request returned by ``locate``.
            runtime: the folder made by ``runtime.runtime_folder``.
            limits: the process's limits.
        """
        ...


@dataclass(frozen=True)
class PluginLimits:
    """Limits of a router's process, and where it runs; each is an option of the command line."""

    load_s: float = 120.0
    decision_s: float = 30.0
    memory_mib: int = 4096
    python: str | None = None
    """The Python interpreter of the router's environment; None for twinbench's own."""
    environment: tuple[str, ...] = ()
    """Names of further environment variables that the router may see."""
    watch: bool = False
    """Note what a decision modifies and which files, sockets and processes it uses (``router check``)."""
    isolation: Isolation | None = None
    """Where the process runs; None for a process on this machine, which contains accidents but not attacks."""
    output: RouterOutput = field(default_factory=RouterOutput, compare=False, repr=False)
    """Keeps what these routers print."""


def missing_limits() -> list[str]:
    """Return warnings about limits that this platform cannot enforce."""
    missing = []
    if sys.platform != "linux":
        missing.append("processes that leave the router's process group are found by their environment only")
    if os.name != "posix":
        missing.append("no limit on file size, open files or core dumps")
    return missing
