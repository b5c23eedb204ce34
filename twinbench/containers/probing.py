"""Measures free disk space and memory on the machine of an engine, which need not be this one."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

_KEPT_S = 1.0
"""How long a measurement of another machine counts as fresh."""
_TRY_AGAIN_S = 30.0
"""How long after a failure no measurement is requested."""
_DF_COLUMNS = 6
_AVAILABLE_COLUMN = 3


@dataclass(frozen=True)
class Measured:
    """Free resources of a machine; None for what cannot be measured."""

    free_disk_mib: int | None = None
    """Where its engine keeps images and containers."""
    available_memory_mib: int | None = None


class MachineProbe(Protocol):
    """Measures the machine of an engine; threads may share it."""

    def measure(self) -> Measured:
        """Return what is free now."""
        ...

    def close(self) -> None:
        """End what was started for this."""
        ...


class Asked(Protocol):
    """Something on another machine that says what is free there."""

    def ask(self) -> Measured:
        """Return what is free there; raises whatever it likes if that cannot be known."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True)
class LocalProbe:
    """Measures this machine.

    Args:
        root_dir: where the engine keeps its files.
    """

    root_dir: str

    def measure(self) -> Measured:
        """Return what is free now."""
        disk = shutil.disk_usage(self.root_dir).free
        return Measured(disk // 2**20, int(psutil.virtual_memory().available) // 2**20)

    def close(self) -> None:
        """End nothing."""


class RemoteProbe:
    """Measures another machine, at most once a second; what cannot be measured is unknown.

    Args:
        asked: reports what is free on the machine.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._lock = threading.Lock()
        self._found = Measured()
        self._fresh_until = 0.0

    def measure(self) -> Measured:
        """Return what is free now."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                try:
                    self._found, fresh_s = self._asked.ask(), _KEPT_S
                except Exception:  # noqa: BLE001 - whatever the reason is, nothing is known
                    self._found, fresh_s = Measured(), _TRY_AGAIN_S
                self._fresh_until = time.monotonic() + fresh_s
            return self._found

    def close(self) -> None:
        """Close the source of measurements."""
        self._asked.close()


def parse_measured(output: str) -> Measured:
    """Read the output of ``cat /proc/meminfo; df -Pk /``.

    Raises:
        ValueError: it is something else.
    """
    lines = output.splitlines()
    memory = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    last = lines[-1].split() if lines else []
    if memory is None or len(last) < _DF_COLUMNS:
        raise ValueError("the machine's memory and disk are missing")
    return Measured(int(last[_AVAILABLE_COLUMN]) // 1024, int(memory) // 1024)


def measured_from_json(text: bytes) -> Measured:
    """Parse a measurement of a cluster's node.

    Raises:
        ValueError: it is something else.
    """
    told = json.loads(text)
    if not isinstance(told, dict):
        raise ValueError("not a JSON object")
    disk, memory = (told.get(name) for name in ("free_disk_mib", "available_memory_mib"))
    if any(not (value is None or type(value) is int) for value in (disk, memory)):
        raise ValueError("not numbers of MiB")
    return Measured(disk, memory)


def is_on_this_machine(address: str, info: Any) -> bool:
    """Return whether an engine runs on this machine, by all that it says of its own.

    A socket may be forwarded from another machine, and two machines may keep their engines' files in the same folder,
    so name and memory have to agree too.

    Args:
        address: the engine's address, such as ``unix:///var/run/docker.sock``, or docker-py's own for a Unix socket.
        info: what the engine reports about itself.
    """
    return (
        address.startswith(("unix://", "http+docker://localhost"))
        and info.get("Name") == socket.gethostname()
        and info.get("MemTotal") == psutil.virtual_memory().total
        and Path(info["DockerRootDir"]).is_dir()
    )
