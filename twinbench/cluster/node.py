"""What runs on a node: forwards its Docker socket to the run's process, measures memory and disk, and shows that it
lives.

It is the class of a Ray actor, sent to nodes as it is, so it needs the standard library and ``tunnel`` alone, and nodes
need Ray and no twinbench.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any

from twinbench.cluster.janitor import request
from twinbench.cluster.tunnel import (
    DOCKER,
    HEARTBEAT_S,
    MEASURE,
    SILENT_AFTER_S,
    WATCH,
    TunnelServer,
    cluster_tls,
    forward,
)

ALIVE, ENGINE_SILENT = b".", b"!"
"""Signs of life of a node: all is well; its Docker engine does not answer."""

_DEFAULT_SOCKET = "/var/run/docker.sock"
_WATCHED_WITHIN_S = 60.0
"""How long after it was opened a node ends by itself if the run does not watch it."""
_LEASE_LABEL = "twinbench.node-lease"


class NodeActor:
    """A node's end of the tunnel; Ray runs it on the node as an actor."""

    def __init__(
        self, *, secret: bytes, admitted: Sequence[str], lease: str, docker_socket: str | None, janitor_source: str
    ) -> None:
        """Do nothing yet; ``open`` does.

        Args:
            secret: which the run's process knows too.
            admitted: the addresses of the run's machine.
            lease: the value of the label ``twinbench.node-lease`` of the containers that are removed when this ends.
            docker_socket: the path of the Docker engine's socket; None: the one that ``DOCKER_HOST`` names on the node,
                or the usual one.
            janitor_source: the source text of ``janitor``.
        """
        self._secret = secret
        self._admitted = admitted
        self._lease = lease
        self._socket = docker_socket or _socket_of_node(os.environ)
        self._janitor_source = janitor_source
        self._root_dir = ""
        self._server: TunnelServer | None = None
        self._held_by_janitor: Any = None
        self._engine_answers_at = 0.0
        self._is_watched = threading.Event()

    def open(self) -> dict[str, Any]:
        """Check the node's Docker engine, and listen at the node's own address.

        Returns:
            ``address`` and ``port``, and the ``name`` of the machine; or ``refused``, the reason why the
            node takes no cases.
        """
        import ray.util

        name = platform.node()
        if self._server is None:
            try:
                self._root_dir = self._ask_engine("/info")["DockerRootDir"]
            except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
                return {"name": name, "refused": f"no Docker engine answers at {self._socket} ({error})"}
            self._start_janitor()
            self._server = TunnelServer(
                str(ray.util.get_node_ip_address()),
                self._secret,
                self._admitted,
                {DOCKER: self._serve_docker, MEASURE: self._serve_measure, WATCH: self._serve_watch},
                cluster_tls(os.environ, server_side=True),
            )
            self._engine_answers_at = time.monotonic()
            for work in (self._end_unwatched, self._ask_engine_repeatedly):
                threading.Thread(target=work, name="twinbench-node", daemon=True).start()
        address, port = self._server.address
        return {"name": name, "address": address, "port": port}

    def _ask_engine(self, url: str) -> Any:
        status, content = request(self._socket, "GET", url)
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return json.loads(content)

    def _start_janitor(self) -> None:
        """Start what removes containers when this process ends: the kernel closes the pipe then."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-I", "-c", self._janitor_source, self._socket, f"{_LEASE_LABEL}={self._lease}"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", "")},
        )
        self._held_by_janitor = process.stdin
        process.wait()  # the one that stays is its grandchild, which Ray does not find and so does not end

    def _serve_docker(self, connection: socket.socket) -> None:
        forward(connection, self._socket)

    def _serve_measure(self, connection: socket.socket) -> None:
        connection.sendall(json.dumps(measure(self._root_dir)).encode())

    def _serve_watch(self, connection: socket.socket) -> None:
        """Exchange signs of life with the run; without any from there, this process ends."""
        self._is_watched.set()
        threading.Thread(target=self._send_signs, args=(connection,), daemon=True).start()
        with contextlib.suppress(OSError):
            connection.settimeout(SILENT_AFTER_S)
            while connection.recv(16):
                pass
        os._exit(0)  # at once: the run has ended or is not reachable, and the janitor removes its containers

    def _send_signs(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                silent = time.monotonic() - self._engine_answers_at > SILENT_AFTER_S
                connection.sendall(ENGINE_SILENT if silent else ALIVE)
                time.sleep(HEARTBEAT_S)

    def _ask_engine_repeatedly(self) -> None:
        while True:
            asked = time.monotonic()
            with contextlib.suppress(OSError, HTTPException):
                request(self._socket, "GET", "/_ping")
                self._engine_answers_at = asked
            time.sleep(HEARTBEAT_S)

    def _end_unwatched(self) -> None:
        if not self._is_watched.wait(_WATCHED_WITHIN_S):
            os._exit(0)


def measure(root_dir: str) -> dict[str, int | None]:
    """Return this machine's available memory and the free disk space of its Docker engine, in MiB; None for what cannot
    be read.

    Args:
        root_dir: where the engine keeps its files.
    """
    memory: int | None = None
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
        fields = dict(line.split(":", 1) for line in file)
        memory = int(fields["MemAvailable"].split()[0]) // 1024
    disk: int | None = None
    with contextlib.suppress(OSError):
        about = os.statvfs(root_dir)
        disk = about.f_bavail * about.f_frsize // 2**20
    return {"available_memory_mib": memory, "free_disk_mib": disk}


def _socket_of_node(environment: Mapping[str, str]) -> str:
    kind, _, path = environment.get("DOCKER_HOST", "").partition("://")
    return path if kind == "unix" and path else _DEFAULT_SOCKET
