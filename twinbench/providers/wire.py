"""HTTP with one deadline per exchange, and a record of what was sent and what was received.

A timeout of httpx or litellm applies to each read, so an answer that trickles in may take forever. Here, one deadline
covers name resolution, the connection, TLS, the request and the answer to its last byte: every operation on the
connection gets the time that is left.
"""

from __future__ import annotations

import email.utils
import math
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpcore
import httpx

from twinbench.calls.redaction import Secrets

MAX_ANSWER_BYTES = 64 << 20
"""The largest size of an answer; the longest real ones have a few hundred kB."""
CONNECT_TIMEOUT_S = 15.0
"""The time limit for each address of a host, so that time is left for the next address."""
_SENT_HEADERS = frozenset({"accept", "content-length", "content-type", "host"})
"""The client's own headers that are sent. The others describe the machine (``x-stainless-…``, ``OpenAI-Organization``
from the environment)."""


@dataclass
class Exchange:
    """One request and its result."""

    deadline: float
    """The deadline, on the monotonic clock."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers that are sent in addition to the client's own."""
    began: float = field(default_factory=time.monotonic)
    latency_s: float = 0.0
    sent: bool = False
    """Whether sending began on a connection: from then on the request may be billed."""
    status: int | None = None
    answer_headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    failure: str | None = None
    """Why there is no answer, as a text for people."""

    @property
    def has_ended(self) -> bool:
        """Whether it ended, with or without an answer; False if no request was made."""
        return self.status is not None or self.failure is not None

    def left_s(self) -> float:
        """Return the seconds that are left until the deadline.

        Raises:
            httpcore.ReadTimeout: no time is left.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def on_trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore before and after each of its steps."""
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent = True


_running: ContextVar[Exchange] = ContextVar("exchange")
"""The present exchange of this thread; connections outlive it, so they look up its deadline here."""


_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@cache
def _ssl_context(*_variables: str | None) -> ssl.SSLContext:
    """The context for these variables of the environment; to read all certificates takes a twentieth of a second."""
    return httpx.create_ssl_context()


class Wire(httpx.BaseTransport):
    """Connections to one gateway, one for each request, shared by threads.

    It always returns an empty completion to its client, because clients interpret answers by their own rules
    (everything is an ``InternalServerError``), repeat requests and log them. The real result is in the ``Exchange``.

    Args:
        max_connections: at one time; further requests wait, within their deadline.
        secret: a string that is removed wherever it occurs in an answer, in every form that ``Secrets`` knows.
    """

    def __init__(self, max_connections: int, secret: str | None = None) -> None:
        self._secrets = Secrets([] if secret is None else [secret])
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(*map(os.environ.get, _CERTIFICATE_VARIABLES)),
            max_connections=max_connections,
            network_backend=_Backend(),
        )

    @contextmanager
    def exchange(self, within_s: float, headers: Mapping[str, str]) -> Iterator[Exchange]:
        """Provide an exchange for the request that a client of this transport makes inside the block."""
        exchange = Exchange(time.monotonic() + within_s, headers)
        token = _running.set(exchange)
        try:
            yield exchange
        finally:
            _running.reset(token)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer to the end, into the present exchange."""
        exchange = _running.get()
        if exchange.has_ended:
            raise httpx.UnsupportedProtocol("one exchange is one request")  # a client that repeated it would pay again
        exchange.began = time.monotonic()
        try:
            self._send(request, exchange)
        except httpcore.LocalProtocolError:
            exchange.failure = "the request cannot be sent: a header has characters that HTTP does not allow"
        except _FAILURES as error:
            exchange.failure = self._secrets.redact(_failure_text(error, exchange))
        exchange.latency_s = time.monotonic() - exchange.began
        return httpx.Response(200, json=_EMPTY, request=request)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def _send(self, request: httpx.Request, exchange: Exchange) -> None:
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method.encode(),
                url=str(request.url),
                headers=_headers(request, exchange.headers),
                content=request.read(),
                # Only the wait for a connection uses this timeout; everything else uses the deadline.
                extensions={"timeout": {"pool": exchange.left_s()}, "trace": exchange.on_trace},
            )
        )
        try:
            exchange.answer_headers = httpx.Headers(answer.headers)
            body = bytearray()
            for part in answer.iter_stream():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise _AnswerError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
        finally:
            answer.close()
        plain = _unpack(bytes(body), exchange.answer_headers.get("content-encoding", ""))
        exchange.body = self._secrets.redact_bytes(plain)
        exchange.status = answer.status


def retry_after_s(headers: httpx.Headers) -> float | None:
    """Return the seconds from now that the header Retry-After asks for; None if it is absent or not valid.

    A date is compared with the answer's own date if it has one, so that the clocks need not agree.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        seconds = float(value)
        return seconds if math.isfinite(seconds) else None
    if (until := _timestamp(value)) is None:
        return None
    answered = _timestamp(headers.get("date", ""))
    return max(0.0, until - (time.time() if answered is None else answered))


class _AnswerError(Exception):
    """The answer is not valid."""


_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    _AnswerError,
    OSError,
)

_EMPTY = {
    "id": "-",
    "object": "chat.completion",
    "created": 0,
    "model": "-",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}],
    "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
}


class _Backend(httpcore.NetworkBackend):
    """Connects within the time that the present exchange has left."""

    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - here and below: the exchange's deadline holds
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        exchange = _running.get()
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in _addresses(host, port, exchange.left_s()):
            within_s = min(CONNECT_TIMEOUT_S, exchange.left_s())
            try:
                return _Stream(self._plain.connect_tcp(address, port, within_s, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    """A connection whose every operation gets the time that the present exchange has left."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _running.get().left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        # Not the stream's own write, which starts its timeout again with every part that a slow reader takes.
        connection: socket.socket = self._stream.get_extra_info("socket")
        rest = memoryview(buffer)
        try:
            while rest:
                connection.settimeout(_running.get().left_s())
                rest = rest[connection.send(rest) :]
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from None

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> _Stream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _running.get().left_s()))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int, within_s: float) -> list[str]:
    """Return the addresses of a host; a resolver that hangs is left running, since it cannot be interrupted."""
    found: list[list[str] | OSError] = []

    def resolve() -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append(list(dict.fromkeys(str(address[0]) for *_, address in told)))
        except (OSError, UnicodeError) as error:
            found.append(error if isinstance(error, OSError) else OSError(str(error)))

    resolver = threading.Thread(target=resolve, name=f"resolve {host}", daemon=True)
    resolver.start()
    resolver.join(within_s)
    if not found:
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time")
    if isinstance(found[0], OSError):
        raise httpcore.ConnectError(f"the name {host} has no address: {found[0]}")
    return found[0]


def _headers(request: httpx.Request, more: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers that are sent. The connection is used for this request alone.

    Otherwise, bytes that a host sends after its response would be read as the response to the next request, which
    belongs to another case; and a request on a connection that the host closes at the same moment would be lost,
    without anybody knowing whether it is billed. The pool's own limit of no idle connections sometimes lets one through
    when threads race.
    """
    kept = [(name, value) for name, value in request.headers.items() if name in _SENT_HEADERS]
    return [*kept, ("connection", "close"), *more.items()]


def _unpack(body: bytes, encoding: str) -> bytes:
    """Decompress the body if the server compressed it anyway (we ask for identity)."""
    if encoding.strip().lower() in ("", "identity"):
        return body
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, whichever it is
    try:
        plain = unpacker.decompress(body, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        raise _AnswerError(f"the answer is compressed in a way that cannot be read ({encoding})") from None
    if len(plain) > MAX_ANSWER_BYTES:
        raise _AnswerError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")
    if not unpacker.eof:
        raise _AnswerError("the answer is cut short")
    return plain


def _failure_text(error: Exception, exchange: Exchange) -> str:
    what = f" ({error})" if str(error) else ""
    if isinstance(error, httpcore.TimeoutException):
        waited = f"{time.monotonic() - exchange.began:.3g} s"
        if not exchange.sent:
            return f"no connection within {waited}{what}"
        return f"no full answer within {waited}"
    if isinstance(error, _AnswerError):
        return str(error)
    if not exchange.sent:
        return f"no connection{what}"
    return f"the connection broke before the answer was complete{what}"


def _timestamp(value: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
