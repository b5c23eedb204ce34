"""Finds and removes containers that no live run owns any more, by their labels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinbench.containers.engine import ContainerLostError, Engine, docker_errors_as_ours
from twinbench.containers.labels import (
    CASE,
    DEADLINE,
    LEASE_RUN,
    MACHINE,
    NAMESPACE,
    PROCESS,
    ROLE,
    RUN,
    Lease,
    boot_and_pid_namespace_id,
    container_namespace,
    is_alive,
)

if TYPE_CHECKING:
    from docker.models.containers import Container


@dataclass(frozen=True)
class OrphanedContainer:
    """A container that no live run owns."""

    name: str
    role: str
    run: str
    case: str
    why: str


def find_orphaned_containers(engine: Engine) -> list[OrphanedContainer]:
    """Return the containers of twinbench in this namespace that no live run owns."""
    return [found for found, _ in _list_orphaned(engine)]


def collect_garbage(engine: Engine, role: str | None = None) -> list[OrphanedContainer]:
    """Remove the containers of twinbench in this namespace that no live run owns, and return what was removed.

    Args:
        engine: the Docker engine.
        role: only those of this role; None: all.
    """
    removed = []
    for found, container in _list_orphaned(engine):
        if role not in (None, found.role):
            continue
        remove_container(container)
        removed.append(found)
    return removed


def remove_older_executions(engine: Engine, lease: Lease) -> int:
    """Remove the containers that earlier executions of a run left on an engine.

    Only who holds the run's lock may do so: no earlier execution is still running then.

    Args:
        engine: the Docker engine.
        lease: the lease of the present execution.

    Returns:
        How many there were.

    Raises:
        EngineLostError: the engine does not answer.
    """
    with docker_errors_as_ours("list the containers of a run"):
        found = engine.client.containers.list(
            all=True, filters={"label": f"{LEASE_RUN}={lease.run}"}, ignore_removed=True
        )
    older = [container for container in found if lease.is_older(container.labels)]
    for container in older:
        remove_container(container)
    return len(older)


def remove_container(container: Container) -> None:
    """Remove a container, whatever it is doing; nothing happens if it does not exist any more."""
    try:
        with docker_errors_as_ours(f"remove container {container.name}"):
            container.remove(force=True, v=True)
    except ContainerLostError:  # it was just removed, or is being removed
        return


def _list_orphaned(engine: Engine) -> list[tuple[OrphanedContainer, Container]]:
    with docker_errors_as_ours("list containers"):
        # A container that is removed while the list is made cannot be inspected.
        containers = engine.client.containers.list(all=True, filters={"label": ROLE}, ignore_removed=True)
    found = []
    mine = container_namespace()
    for container in containers:
        marks: Mapping[str, str] = container.labels
        # Containers that were started before there were namespaces have no such label: they count as without a name.
        if marks.get(NAMESPACE, "") == mine and (why := _why_orphaned(marks)) is not None:
            told = OrphanedContainer(str(container.name), marks[ROLE], marks.get(RUN, ""), marks.get(CASE, ""), why)
            found.append((told, container))
    return found


def _why_orphaned(marks: Mapping[str, str]) -> str | None:
    if time.time() > float(marks.get(DEADLINE, "0")):
        return "its deadline has passed"
    if marks.get(MACHINE) != boot_and_pid_namespace_id():
        return None  # processes of another machine, or of another PID namespace, cannot be seen from here
    return None if is_alive(marks.get(PROCESS, "")) else "the process that made it has ended"
