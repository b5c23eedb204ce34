"""Finds out what ended a container: a process inside it, or something outside (a person, another program, an engine
restart).

The first process of a container ignores every signal from inside, but other processes of the same user can still end
it: by overwriting the library whose code it runs, or by making the kernel's memory limit choose it. Such an end is
caused by the command and no reason to run a case again. The engine's events distinguish the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from twinbench.containers.engine import docker_errors_as_ours

if TYPE_CHECKING:
    import docker

_EVENT_TIMEOUT_S = 5
"""How long after a container's end its engine may take to report it."""
_SIGKILL = 137
"""The exit code that SIGKILL gives."""


def was_ended_from_inside(client: docker.DockerClient, container_id: str, state: Mapping[str, Any]) -> bool:
    """Return whether a container that has ended was ended by a process inside it.

    The engine's events since its last start decide. It was ended from outside if a request to the engine did so
    (``kill``, ``stop``, ``restart``), or if the engine has no record of the end, because it was restarted since. A
    SIGKILL without a request comes from the memory limit if the engine reports that (``oom``), otherwise from the
    machine, whose own shortage of memory no process inside has caused. With any other exit code, the first process
    crashed or exited, which nothing outside can cause without the engine's knowledge.

    Args:
        client: the engine's client.
        container_id: the container.
        state: its state according to the engine (``State`` of an inspection).

    Raises:
        ContainerLostError, EngineLostError: the engine does not report the events.
    """
    started_ns = _nanoseconds(state["StartedAt"])
    seen: set[str] = set()
    with docker_errors_as_ours("ask the engine for its events"):
        events = client.api.events(
            since=started_ns // 10**9,
            until=_nanoseconds(state["FinishedAt"]) // 10**9 + _EVENT_TIMEOUT_S,  # on the engine's own clock
            filters={"container": container_id},
            decode=True,
        )
        try:
            for event in events:
                if event.get("timeNano", 0) >= started_ns:
                    seen.add(str(event.get("Action")))
                if "die" in seen:
                    break
        finally:
            events.close()
    if "die" not in seen or seen & {"kill", "stop", "restart"}:
        return False
    return state.get("ExitCode") != _SIGKILL or "oom" in seen


def _nanoseconds(moment: str) -> int:
    """Convert a time of the engine, such as 2026-11-29T12:41:51.445738451Z, to nanoseconds since 1970."""
    seconds, _, fraction = moment.rstrip("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * 10**9 + int(f"{fraction:0<9.9}")
