"""The nodes of a cluster whose Docker engines a run may use: requested, checked, watched, given up."""

from __future__ import annotations

import contextlib
import importlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import psutil

from twinbench.cluster.node import ALIVE, ENGINE_SILENT, NodeActor
from twinbench.cluster.tunnel import (
    DOCKER,
    HEARTBEAT_S,
    SILENT_AFTER_S,
    WATCH,
    RefusedError,
    cluster_tls,
    open_tunnel,
)

RESOURCE = "docker"
"""The resource that a node offers for each case that it may run at once: ``ray start --resources='{"docker": 8}'``."""

_LOOK_S = 0.5
_ASK_AGAIN_S = 30.0
"""How long after a node was left out it is checked again."""
_REPLACE_AFTER_S = 2.0
"""How long after an actor was lost another is requested: what makes actors fail may do so at once."""
_SENT = ("twinbench.cluster.tunnel", "twinbench.cluster.janitor", "twinbench.cluster.node")


@dataclass(frozen=True, eq=False)
class ClusterNode:
    """A node that is there: where its tunnel ends, and its name."""

    name: str
    """The machine's host name."""
    number: int
    """Counts the nodes that joined, from 1."""
    address: tuple[str, int]
    secret: bytes = field(repr=False)
    lease: str = ""
    """The value of the label ``twinbench.node-lease``, by which its containers are found when it ends."""

    def connect(self, purpose: bytes, timeout_s: float | None) -> socket.socket:
        """Open a connection to the node.

        Raises:
            OSError: it cannot be reached.
        """
        try:
            tls = cluster_tls(server_side=False)
            return open_tunnel(self.address, self.secret, purpose, timeout_s=timeout_s, tls=tls)
        except RefusedError as error:
            raise ConnectionError(f"node {self.name}: {error}") from None

    def connect_docker(self, timeout_s: float | None) -> socket.socket:
        """Open a connection to the node's Docker engine; same errors as ``connect``."""
        return self.connect(DOCKER, timeout_s)


@dataclass(eq=False)
class _Asked:
    """A requested actor: pending, open, on a node that takes no cases, or lost and not replaced yet."""

    actor: Any
    secret: bytes
    lease: str
    opening: Any
    again_at: float = 0.0
    refused: str | None = None
    is_lost: bool = False


class ClusterNodes:
    """Requests nodes from a cluster until it is closed, and calls back for nodes that join and are lost.

    One actor is requested at each node; an actor that finds no room is pending, which an autoscaler sees as demand.
    """

    def __init__(
        self,
        ray: Any,
        *,
        wanted: int,
        cases: int,
        joined: Callable[[ClusterNode], None],
        lost: Callable[[ClusterNode, str], None],
        left_out: Callable[[str], None],
    ) -> None:
        """Request nodes.

        Args:
            ray: the module, connected.
            wanted: the largest number of nodes that can be used.
            cases: how many cases a node runs at once: the requested amount of the resource ``docker``.
            joined: called with each node that takes cases; called again if a lost node joins again.
            lost: called with a node that takes no more cases, and why.
            left_out: called with a message about a node that takes no cases.
        """
        self._ray = ray
        self._cases = cases
        self._joined = joined
        self._lost = lost
        self._left_out = left_out
        self._numbers = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._class = _remote_class(ray)
        self._asked = [self._ask() for _ in range(wanted)]
        self._watched: dict[ClusterNode, tuple[_Asked, socket.socket]] = {}
        self._thread = threading.Thread(target=self._open_nodes, name="twinbench-nodes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all actors; their nodes remove what is left of the containers."""
        self._closed.set()
        self._thread.join()
        with self._lock:
            watched, self._watched = self._watched, {}
        for _, connection in watched.values():
            _end(connection)
        for asked in self._asked:
            self._end_actor(asked)

    def _ask(self) -> _Asked:
        secret, lease = secrets.token_bytes(32), secrets.token_hex(16)
        actor = self._class.options(
            num_cpus=0, resources={RESOURCE: self._cases}, max_restarts=0, max_task_retries=0, max_concurrency=4
        ).remote(
            secret=secret,
            admitted=_own_addresses(),
            lease=lease,
            docker_socket=None,
            janitor_source=files("twinbench.cluster").joinpath("janitor.py").read_text("utf-8"),
        )
        return _Asked(actor, secret, lease, actor.open.remote())

    def _open_nodes(self) -> None:
        while not self._closed.is_set():
            now = time.monotonic()
            for number, asked in enumerate(self._asked):
                if asked.is_lost:
                    if now >= asked.again_at:
                        self._asked[number] = self._ask()
                    continue
                if asked.opening is None:
                    if asked.refused is not None and now >= asked.again_at:
                        asked.opening = asked.actor.open.remote()
                    continue
                ready, _ = self._ray.wait([asked.opening], timeout=0)
                if ready and not self._open(asked):
                    self._lose(asked)
            self._closed.wait(_LOOK_S)

    def _open(self, asked: _Asked) -> bool:
        """Begin to use a node whose actor has answered; False if the actor is lost."""
        try:
            told = self._ray.get(asked.opening, timeout=0)
        except Exception:  # noqa: BLE001 - Ray's errors: the actor's process or its node was lost
            return False
        asked.opening = None
        if (refused := told.get("refused")) is not None:
            if asked.refused is None:
                self._left_out(f"node {told['name']} takes no cases: {refused}")
            asked.refused = refused
            asked.again_at = time.monotonic() + _ASK_AGAIN_S
            return True
        self._numbers += 1
        node = ClusterNode(told["name"], self._numbers, (told["address"], told["port"]), asked.secret, asked.lease)
        try:
            connection = node.connect(WATCH, SILENT_AFTER_S)
        except OSError as error:
            asked.refused = f"node {node.name} cannot be reached from here at {node.address[0]}: {error}"
            asked.again_at = time.monotonic() + _ASK_AGAIN_S
            self._left_out(asked.refused)
            return True
        with self._lock:
            self._watched[node] = asked, connection
        for work in (self._watch, self._send_signs):
            threading.Thread(target=work, args=(node, connection), name="twinbench-node", daemon=True).start()
        self._joined(node)
        return True

    def _watch(self, node: ClusterNode, connection: socket.socket) -> None:
        """Wait for the end of a node, and ask for another in its place."""
        why = "its process ended"
        try:
            while sign := connection.recv(16):
                if ENGINE_SILENT in sign:
                    why = "its Docker engine does not answer"
                    break
                assert ALIVE in sign  # noqa: S101 - there are two
        except TimeoutError:
            why = f"it was silent for {SILENT_AFTER_S:.0f} s"
        except OSError as error:
            why = str(error)
        with self._lock:
            asked, _ = self._watched.pop(node, (None, None))
        if asked is None or self._closed.is_set():
            return
        self._lost(node, why)
        _end(connection)
        self._lose(asked)

    def _send_signs(self, _node: ClusterNode, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                connection.sendall(ALIVE)
                self._closed.wait(HEARTBEAT_S)

    def _lose(self, asked: _Asked) -> None:
        """End an actor that is lost; another is requested in its place soon."""
        self._end_actor(asked)
        asked.again_at = time.monotonic() + _REPLACE_AFTER_S
        asked.is_lost = True

    def _end_actor(self, asked: _Asked) -> None:
        with contextlib.suppress(Exception):  # it has ended, or its node has
            self._ray.kill(asked.actor)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _remote_class(ray: Any) -> Any:
    """Return the actor's class for Ray, pickled by value so that nodes need no twinbench."""
    for name in _SENT:
        ray.cloudpickle.register_pickle_by_value(importlib.import_module(name))
    return ray.remote(NodeActor)


def _own_addresses() -> list[str]:
    """Return all addresses of this machine, from one of which its connections come."""
    return sorted(
        {
            each.address.partition("%")[0]
            for every in psutil.net_if_addrs().values()
            for each in every
            if each.family in (socket.AF_INET, socket.AF_INET6)
        }
    )


def describe_resources(ray: Any, cases: int) -> str:
    """Say what a cluster offers of what a node is asked for; empty if it does not tell.

    Args:
        ray: the module, connected.
        cases: how much of the resource a node is asked for.
    """
    try:
        offers = [each["Resources"].get(RESOURCE, 0) for each in ray.nodes() if each["Alive"]]
    except Exception:  # noqa: BLE001 - Ray's errors; what is missing is only said less well
        return ""
    told = ", ".join(f"{offer:g}" for offer in offers)
    return (
        f"cases ask for {RESOURCE}: {cases} of a node, and the nodes of the cluster offer {told}; start nodes with "
        f"""--resources='{{"{RESOURCE}": {cases}}}' on machines with Docker, or ask for less with --workers"""
    )
