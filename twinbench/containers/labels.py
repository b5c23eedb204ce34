"""The labels of a container, which outlive the process that set them: whose it is, and until when it is needed."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

NAMESPACE_VARIABLE = "TWINBENCH_NAMESPACE"
"""The variable that names the namespace of the containers that this process starts and removes; if it is unset, the
namespace without a name is used."""

_PREFIX = "twinbench."
ROLE, RUN, CASE, DEADLINE = (f"{_PREFIX}{name}" for name in ("role", "run", "case", "deadline"))
NAMESPACE = f"{_PREFIX}namespace"
LEASE_RUN, LEASE_EXECUTION, NODE_LEASE = (f"{_PREFIX}{name}" for name in ("lease-run", "lease-execution", "node-lease"))
MACHINE, PROCESS = f"{_PREFIX}machine", f"{_PREFIX}process"
_CLOCK_TOLERANCE_S = 5.0
"""The tolerance for the start time of a process, which a change of the machine's clock may move."""


@dataclass(frozen=True)
class Lease:
    """The execution of a run that needs a container; only one execution of a run takes place at a time."""

    run: str
    """The random id in the run's directory."""
    execution: int
    """Counts the executions of the run, from 1."""

    def labels(self) -> dict[str, str]:
        """Return the labels that a container has beside those of `labels`."""
        return {LEASE_RUN: self.run, LEASE_EXECUTION: str(self.execution)}

    def is_older(self, marks: Mapping[str, str]) -> bool:
        """Return whether a container belongs to an earlier execution of this run.

        Args:
            marks: the container's labels.
        """
        execution = marks.get(LEASE_EXECUTION, "")
        return marks.get(LEASE_RUN) == self.run and execution.isdecimal() and int(execution) < self.execution


def labels(*, role: str, run: str, case: str, life_s: float) -> dict[str, str]:
    """Return the labels of a container that this process starts.

    Args:
        role: its purpose: ``case``, ``grade``, ``router``.
        run: the run that it belongs to.
        case: the case that it belongs to; may be empty.
        life_s: after this many seconds the container is not needed any more, even if this process still runs.
    """
    return {
        ROLE: role,
        RUN: run,
        CASE: case,
        DEADLINE: str(int(time.time() + life_s)),
        NAMESPACE: container_namespace(),
        MACHINE: boot_and_pid_namespace_id(),
        PROCESS: process_identity(os.getpid()),
    }


def container_namespace() -> str:
    """Return the prefix that tells whose containers are whose on a shared engine; empty by default.

    Users who share an engine set ``TWINBENCH_NAMESPACE``: garbage is only collected within a namespace.
    """
    return os.environ.get(NAMESPACE_VARIABLE, "")


def new_name(role: str) -> str:
    """Return a unique name for a container."""
    return f"twinbench-{role}-{uuid.uuid4().hex[:12]}"


def process_identity(pid: int) -> str:
    """Return an identity of a process from its number and start time, since numbers are reused."""
    return f"{pid}@{psutil.Process(pid).create_time():.2f}"


def is_alive(process: str) -> bool:
    """Return whether a process of this machine, given by its `process_identity`, still runs."""
    number, _, started = process.partition("@")
    try:
        now = psutil.Process(int(number))
        return abs(now.create_time() - float(started)) < _CLOCK_TOLERANCE_S and now.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def boot_and_pid_namespace_id() -> str:
    """Return a hash of the machine's boot id and this PID namespace: it differs after each reboot, and does not reveal
    the host name.
    """
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        link = Path(path)
        try:
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text("ascii"))
        except OSError:
            parts.append(f"{uuid.getnode()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
