"""Commands in sandboxes, as tests run them and look after them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from docker.models.containers import Container

from twinbench.causes import Cause, CausedError
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NAMESPACE, ROLE, container_namespace
from twinbench.containers.sandbox import Sandbox

SMALL = ContainerLimits(memory_mib=256, processes=100, file_mib=64, life_s=600)


loses_connections = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]
"""Marks of a module in which connections fail: docker-py leaves their sockets to the garbage collector, which warns."""


def said(sandbox: Sandbox, command: str, timeout_s: float = 30.0) -> str:
    """What a command writes that ends well."""
    ran = sandbox.run_command(command, timeout_s=timeout_s)
    assert ran.exit_code == 0, ran
    return ran.output


def lines_of_processes(sandbox: Sandbox) -> list[str]:
    """The command lines of all that runs in a sandbox but the look itself."""
    return [line for line in said(sandbox, "ps -eo args=").splitlines() if not line.startswith("ps ")]


def ours(engine: Engine, role: str) -> list[Container]:
    """The containers of a role that this test or a process that it started made, and did not remove."""
    filters: dict[str, str | list[str] | bool] = {"label": [f"{ROLE}={role}", f"{NAMESPACE}={container_namespace()}"]}
    found: list[Container] = engine.client.containers.list(all=True, filters=filters, ignore_removed=True)
    return found


def refused(ask: Callable[[], object]) -> tuple[type[CausedError], Cause, str] | None:
    """What asking an engine that is not there raises: its type, its cause and its words."""
    try:
        ask()
    except CausedError as error:
        return type(error), error.cause, str(error)
    return None
