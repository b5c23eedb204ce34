"""Whose a container is: labels that outlive their maker, and the removal of what no living run owns."""

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

from twinbench.containers.engine import ContainerLostError, Engine, translated

if TYPE_CHECKING:
    from docker.models.containers import Container

NAMESPACE_VARIABLE = "TWINBENCH_NAMESPACE"
"""Names the namespace of the containers that this process starts and collects; unset, that without a name."""

_PREFIX = "twinbench."
ROLE, RUN, CASE, DEADLINE = (f"{_PREFIX}{name}" for name in ("role", "run", "case", "deadline"))
NAMESPACE = f"{_PREFIX}namespace"
_CLOCK_STEP_S = 5.0
"""How far a set clock may move the time at which a process says that it was started."""

_MACHINE, _PROCESS = f"{_PREFIX}machine", f"{_PREFIX}process"


def labels(*, role: str, run: str, case: str, life_s: float) -> dict[str, str]:
    """Labels of a container that this process makes.

    Args:
        role: what it is for: ``case``, ``grade``, ``router``.
        run: the run that it belongs to.
        case: the case that it belongs to; may be empty.
        life_s: after this many seconds nobody needs it any more, whatever became of this process.
    """
    return {
        ROLE: role,
        RUN: run,
        CASE: case,
        DEADLINE: str(int(time.time() + life_s)),
        NAMESPACE: namespace(),
        _MACHINE: machine(),
        _PROCESS: process_identity(os.getpid()),
    }


def namespace() -> str:
    """The namespace of containers that this process is in; empty, the one without a name.

    Who shares an engine with others sets ``TWINBENCH_NAMESPACE``: garbage is collected within a namespace alone.
    """
    return os.environ.get(NAMESPACE_VARIABLE, "")


def new_name(role: str) -> str:
    """A name for a container that no other has."""
    return f"twinbench-{role}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Abandoned:
    """A container that no living run owns."""

    name: str
    role: str
    run: str
    case: str
    why: str


def abandoned(engine: Engine) -> list[Abandoned]:
    """The containers of twinbench in this namespace that no living run owns."""
    return [found for found, _ in _abandoned(engine)]


def collect_garbage(engine: Engine) -> list[Abandoned]:
    """Remove the containers of twinbench in this namespace that no living run owns; what was removed."""
    removed = []
    for found, container in _abandoned(engine):
        remove(container)
        removed.append(found)
    return removed


def remove(container: Container) -> None:
    """Remove a container, whatever it is doing; one that is gone already is fine."""
    try:
        with translated(f"remove container {container.name}"):
            container.remove(force=True, v=True)
    except ContainerLostError:  # somebody else was faster, or is removing it at this moment
        return


def _abandoned(engine: Engine) -> list[tuple[Abandoned, Container]]:
    with translated("list containers"):
        # One that is removed while the list is made would be asked about in vain.
        containers = engine.client.containers.list(all=True, filters={"label": ROLE}, ignore_removed=True)
    found = []
    mine = namespace()
    for container in containers:
        marks: Mapping[str, str] = container.labels
        # Those that were started before there were namespaces have no such label: they are in the one without a name.
        if marks.get(NAMESPACE, "") == mine and (why := _why_abandoned(marks)) is not None:
            told = Abandoned(str(container.name), marks[ROLE], marks.get(RUN, ""), marks.get(CASE, ""), why)
            found.append((told, container))
    return found


def _why_abandoned(marks: Mapping[str, str]) -> str | None:
    if time.time() > float(marks.get(DEADLINE, "0")):
        return "its deadline has passed"
    if marks.get(_MACHINE) != machine():
        return None  # a process of another machine, or of another PID namespace, cannot be seen from here
    return None if is_alive(marks.get(_PROCESS, "")) else "the process that made it has ended"


def process_identity(pid: int) -> str:
    """A process by its number and the time it was started at, since numbers are given again."""
    return f"{pid}@{psutil.Process(pid).create_time():.2f}"


def is_alive(process: str) -> bool:
    """Whether a process of this machine, given as by `process_identity`, still runs."""
    number, _, started = process.partition("@")
    try:
        now = psutil.Process(int(number))
        return abs(now.create_time() - float(started)) < _CLOCK_STEP_S and now.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def machine() -> str:
    """The identity of this machine since it was started, and of the PID namespace in it; it tells no host name."""
    parts = []
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        link = Path(path)
        try:
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text("ascii"))
        except OSError:
            parts.append(f"{uuid.getnode()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
