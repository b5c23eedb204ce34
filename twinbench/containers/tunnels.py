"""Connections to an engine that something else opens, such as a tunnel to a machine of a cluster."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from collections.abc import Callable

Connect = Callable[[float | None], socket.socket]
"""Opens a connection to an engine, whose operations time out after so many seconds."""


class Tunnels:
    """All connections to one engine, which can be given up together.

    A machine that is silent would otherwise keep each thread that waits for it until that thread's own time limit.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._lost: str | None = None

    def connect(self, timeout_s: float | None) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: the engine cannot be reached, or was given up.
        """
        self._refuse_lost()
        opened = self._connect(timeout_s)
        with self._lock:
            self._open.add(opened)
        if self._lost is not None:
            opened.close()
        self._refuse_lost()
        return opened

    def give_up(self, why: str) -> None:
        """End every connection, and open none any more; whoever waits for an answer gets an error at once."""
        with self._lock:
            self._lost = why
            ended = list(self._open)
        for each in ended:
            with contextlib.suppress(OSError):  # it is closed
                each.shutdown(socket.SHUT_RDWR)

    def _refuse_lost(self) -> None:
        if self._lost is not None:
            raise ConnectionError(self._lost)
