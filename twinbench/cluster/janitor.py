"""Removes a node's containers when the process that created them has ended, however that happened.

It runs on the node, away from the process group and session of the actor, since Ray ends what an actor started. It
reads a pipe of which the actor holds the other end; once the actor is gone it removes every container of the node's
lease, and then ends. It needs the standard library alone, and is sent to nodes as it is.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
import time
from urllib.parse import quote

_TRIES_FOR_S = 600.0
"""How long it tries, if the engine does not answer."""
_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0
_ANSWER_S = 60.0
_ROUNDS = 3
"""The number of rounds in a row without a container after which it ends: the engine may still be creating one."""


class _DockerConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the Unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def request(path: str, method: str, url: str) -> tuple[int, bytes]:
    """Send one request to a Docker engine.

    Args:
        path: its Unix socket.
        method: the HTTP method.
        url: the URL of the request.

    Returns:
        The status and the content of the answer.

    Raises:
        OSError, http.client.HTTPException: the engine does not answer.
    """
    connection = _DockerConnection(path)
    try:
        connection.request(method, url)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def remove_labelled(path: str, label: str) -> int:
    """Remove all containers that have a label.

    Args:
        path: the Unix socket of the engine.
        label: ``name=value``.

    Returns:
        How many there were.

    Raises:
        OSError, http.client.HTTPException, ValueError: the engine does not answer as it should.
    """
    filters = quote(json.dumps({"label": [label]}))
    _, listed = request(path, "GET", f"/containers/json?all=1&filters={filters}")
    found = json.loads(listed)
    for container in found:
        request(path, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
    return len(found)


def main() -> None:
    """Wait for the end of the actor, then remove containers: argv has the engine's socket and the label."""
    _, path, label = sys.argv
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(null, stream)
    while os.read(0, 1):
        pass
    until = time.monotonic() + _TRIES_FOR_S
    empty, pause = 0, _PAUSE_S
    while empty < _ROUNDS and time.monotonic() < until:
        try:
            empty = 0 if remove_labelled(path, label) else empty + 1
            pause = _PAUSE_S
        except (OSError, http.client.HTTPException, ValueError):
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        with contextlib.suppress(OSError):
            time.sleep(pause)


if __name__ == "__main__":
    main()
