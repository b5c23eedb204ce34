"""The two-way stream of an exec, with deadlines."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

_HEADER_BYTES = 8
_READ_BYTES = 2**16
_STDERR = 2
_STDERR_KEPT_BYTES = 2**16
_LEAST_S = 0.001
"""A timeout of zero would mean not to wait at all, and that nothing came."""


class StreamLostError(Exception):
    """Nothing comes any more, or nothing is taken."""


class ExecStream:
    """What an exec reads and writes, as long as it runs."""

    def __init__(self, api: docker.APIClient, exec_id: str) -> None:
        """Start an exec that was created with ``stdin=True`` and without a terminal."""
        # The stream of an exec is a plain socket once HTTP is done with it; docker-py wraps it once more.
        wrapper: Any = api.exec_start(exec_id, socket=True)
        self._wrapper = wrapper
        self._socket: socket.socket = wrapper._sock  # noqa: SLF001 - there is no other way to a deadline
        self._raw = bytearray()
        self.stderr = bytearray()
        """The last of what came on standard error."""
        self.stderr_bytes = 0
        """How much came there in all."""

    @property
    def complaint(self) -> str:
        """What was said beside standard output: standard error, or in the engine's words why the exec did not start."""
        return bytes(self.stderr or self._raw).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Let go of it: the exec reads an end of file, and nothing that it writes is heard."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # Each of them holds the socket open for itself.
        self._wrapper._response.close()  # noqa: SLF001 - where docker-py keeps it
        self._wrapper.close()
        self._socket.close()

    def send(self, data: bytes, within_s: float) -> None:
        """Write all of it.

        Raises:
            StreamLostError: it is not taken, or not in time.
        """
        try:
            self._socket.settimeout(max(within_s, _LEAST_S))
            self._socket.sendall(data)
        except OSError:
            raise StreamLostError from None

    def finish(self) -> None:
        """Say that no more is sent: the exec reads an end of file, and is still heard."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def receive(self, within_s: float) -> bytes:
        """Some of what comes on standard output; what comes on standard error meanwhile gives it no more time.

        Raises:
            TimeoutError: nothing came in time.
            StreamLostError: nothing will come any more.
        """
        until = time.monotonic() + within_s
        while (frame := self._frame()) is None:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._socket.settimeout(max(left_s, _LEAST_S))
            try:
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                raise
            except OSError:
                raise StreamLostError from None
            if not data:
                raise StreamLostError
            self._raw += data
        return frame

    def _frame(self) -> bytes | None:
        """The next frame of standard output; a header has the kind first and the length in its last four bytes."""
        while len(self._raw) >= _HEADER_BYTES:
            end = _HEADER_BYTES + int.from_bytes(self._raw[4:_HEADER_BYTES], "big")
            if len(self._raw) < end:
                return None
            kind, frame = self._raw[0], bytes(self._raw[_HEADER_BYTES:end])
            del self._raw[:end]
            if kind != _STDERR:
                return frame
            self.stderr += frame
            self.stderr_bytes += len(frame)
            del self.stderr[:-_STDERR_KEPT_BYTES]
        return None
