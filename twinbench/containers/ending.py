"""Who ended a container: what ran in it, or somebody outside (a person, another program, an engine that restarted).

The first process of a container is deaf to every signal from inside, but what runs beside it as the same user can still
bring it down: by overwriting the library whose code it runs, by having the kernel's memory limit choose it. That is the
command's doing and no reason to run a case again. What the engine itself remembers tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from twinbench.containers.engine import translated

if TYPE_CHECKING:
    import docker

_KNOWN_WITHIN_S = 5
"""How long after a container's end its engine may take to tell of it."""
_SIGKILL = 137
"""The exit code that SIGKILL gives."""


def ended_from_inside(client: docker.DockerClient, container_id: str, state: Mapping[str, Any]) -> bool:
    """Whether a container that has ended was ended by what ran in it.

    The engine's events since it was started last decide. It was ended from outside where somebody asked the engine for
    that (``kill``, ``stop``, ``restart``), and where the engine remembers no end, because it was restarted since. A
    SIGKILL that nobody asked for comes from the memory limit if the engine has seen that strike (``oom``), else from
    the machine, whose own shortage of memory is nobody's doing in here. With any other exit code the first process
    crashed or left, which nothing outside makes it do without the engine's knowledge.

    Args:
        client: of the engine.
        container_id: the container.
        state: what the engine says of its state (``State`` of an inspection).

    Raises:
        ContainerLostError, EngineLostError: the engine does not tell.
    """
    started_ns = _nanoseconds(state["StartedAt"])
    seen: set[str] = set()
    with translated("ask the engine for its events"):
        events = client.api.events(
            since=started_ns // 10**9,
            until=_nanoseconds(state["FinishedAt"]) // 10**9 + _KNOWN_WITHIN_S,  # on the engine's own clock
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
    """A time of the engine, such as 2026-11-29T12:41:51.445738451Z, in nanoseconds since 1970."""
    seconds, _, fraction = moment.rstrip("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    return whole * 10**9 + int(f"{fraction:0<9.9}")
