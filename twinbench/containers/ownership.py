"""The ownership of containers: labels that outlive the process that set them, and the removal of containers that no
live run owns.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from twinbench.containers.engine import ContainerLostError, Engine, docker_errors_as_ours

if TYPE_CHECKING:
    from docker.models.containers import Container

NAMESPACE_VARIABLE = "TWINBENCH_NAMESPACE"
"""The variable that names the namespace of the containers that this process starts and removes; if it is unset, the
namespace without a name is used."""

_PREFIX = "twinbench."
ROLE, RUN, CASE, DEADLINE = (f"{_PREFIX}{name}" for name in ("role", "run", "case", "deadline"))
NAMESPACE = f"{_PREFIX}namespace"
_CLOCK_TOLERANCE_S = 5.0
"""The tolerance for the start time of a process, which a change of the machine's clock may move."""

_MACHINE, _PROCESS = f"{_PREFIX}machine", f"{_PREFIX}process"


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
        _MACHINE: machine_identity(),
        _PROCESS: process_identity(os.getpid()),
    }


def container_namespace() -> str:
    """Return the prefix that tells whose containers are whose on a shared engine; empty by default.

    Users who share an engine set ``TWINBENCH_NAMESPACE``: garbage is only collected within a namespace.
    """
    return os.environ.get(NAMESPACE_VARIABLE, "")


def new_name(role: str) -> str:
    """Return a unique name for a container."""
    return f"twinbench-{role}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class AbandonedContainer:
    """A container that no live run owns."""

    name: str
    role: str
    run: str
    case: str
    why: str


def find_abandoned(engine: Engine) -> list[AbandonedContainer]:
    """Return the containers of twinbench in this namespace that no live run owns."""
    return [found for found, _ in _list_abandoned(engine)]


def collect_garbage(engine: Engine) -> list[AbandonedContainer]:
    """Remove the containers of twinbench in this namespace that no live run owns, and return what was removed."""
    removed = []
    for found, container in _list_abandoned(engine):
        remove_container(container)
        removed.append(found)
    return removed


def remove_container(container: Container) -> None:
    """Remove a container, whatever it is doing; nothing happens if it does not exist any more."""
    try:
        with docker_errors_as_ours(f"remove container {container.name}"):
            container.remove(force=True, v=True)
    except ContainerLostError:  # it was just removed, or is being removed
        return


def _list_abandoned(engine: Engine) -> list[tuple[AbandonedContainer, Container]]:
    with docker_errors_as_ours("list containers"):
        # A container that is removed while the list is made cannot be inspected.
        containers = engine.client.containers.list(all=True, filters={"label": ROLE}, ignore_removed=True)
    found = []
    mine = container_namespace()
    for container in containers:
        marks: Mapping[str, str] = container.labels
        # Containers that were started before there were namespaces have no such label: they count as without a name.
        if marks.get(NAMESPACE, "") == mine and (why := _why_abandoned(marks)) is not None:
            told = AbandonedContainer(str(container.name), marks[ROLE], marks.get(RUN, ""), marks.get(CASE, ""), why)
            found.append((told, container))
    return found


def _why_abandoned(marks: Mapping[str, str]) -> str | None:
    if time.time() > float(marks.get(DEADLINE, "0")):
        return "its deadline has passed"
    if marks.get(_MACHINE) != machine_identity():
        return None  # processes of another machine, or of another PID namespace, cannot be seen from here
    return None if is_alive(marks.get(_PROCESS, "")) else "the process that made it has ended"


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


def machine_identity() -> str:
    """Return an identity of this machine since its last start, and of its PID namespace; it does not reveal the host
    name.
    """
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        link = Path(path)
        try:
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text("ascii"))
        except OSError:
            parts.append(f"{uuid.getnode()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
