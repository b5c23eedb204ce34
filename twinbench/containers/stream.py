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
"""The least timeout: zero would mean not to wait at all."""


class StreamLostError(Exception):
    """The stream is closed: nothing arrives any more, or nothing is accepted."""


class ExecStream:
    """The input and output of an exec while it runs."""

    def __init__(self, api: docker.APIClient, exec_id: str) -> None:
        """Start an exec that was created with ``stdin=True`` and without a terminal."""
        # After the HTTP part, the stream of an exec is a plain socket, which docker-py wraps.
        wrapper: Any = api.exec_start(exec_id, socket=True)
        self._wrapper = wrapper
        self._socket: socket.socket = wrapper._sock  # noqa: SLF001 - the only way to set a deadline
        self._raw = bytearray()
        self.stderr = bytearray()
        """The last part of the standard error."""
        self.stderr_bytes = 0
        """How much came there in all."""

    @property
    def complaint(self) -> str:
        """The standard error, or the engine's message why the exec did not start."""
        return bytes(self.stderr or self._raw).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Close the stream: the exec reads an end of file, and its output is ignored."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        # Each of them keeps the socket open.
        self._wrapper._response.close()  # noqa: SLF001 - where docker-py keeps it
        self._wrapper.close()
        self._socket.close()

    def send(self, data: bytes, within_s: float) -> None:
        """Write all of the data.

        Raises:
            StreamLostError: it is not accepted, or not in time.
        """
        try:
            self._socket.settimeout(max(within_s, _LEAST_S))
            self._socket.sendall(data)
        except OSError:
            raise StreamLostError from None

    def finish(self) -> None:
        """Close the input: the exec reads an end of file, and its output can still be received."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def receive(self, within_s: float) -> bytes:
        """Return some bytes of the standard output; bytes on standard error do not extend the time limit.

        Raises:
            TimeoutError: nothing arrived in time.
            StreamLostError: nothing will arrive any more.
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
        """Return the next frame of standard output; the header starts with the kind and has the length in its last four
        bytes.
        """
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
