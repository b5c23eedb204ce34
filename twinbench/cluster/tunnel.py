"""An authenticated TCP connection from the run's process to the Docker socket of a node.

Docker's API is root on its machine, so the listener admits the addresses of the run's machine alone, and each
connection proves that it knows a secret that both ends share: the node sends a nonce, the run answers with an HMAC over
it, and the node answers with another over the run's nonce. What follows is what the connection's purpose says.

This file is used on both sides and sent to nodes as it is, so it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import select
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Mapping

DOCKER, MEASURE, WATCH = b"d", b"m", b"w"
"""What a connection is for: the node's Docker socket; what the node measures; signs of life of node and run."""

HEARTBEAT_S = 5.0
"""How often both ends of a watching connection give a sign of life."""
SILENT_AFTER_S = 20.0
"""After how long without a sign of life the other end is given up."""

_NONCE_BYTES = 32
_PROOF_BYTES = 32
_HANDSHAKE_S = 10.0
_COPY_BYTES = 2**16
_BACKLOG = 128
_KEEPALIVE = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 15_000))
"""With these, the kernel gives up a peer that is silent after 20 to 30 s; seconds, but the last in milliseconds."""


class RefusedError(Exception):
    """The other end of a connection does not know the secret, or closed it before that was shown."""


def open_tunnel(
    address: tuple[str, int], secret: bytes, purpose: bytes, *, timeout_s: float | None, tls: ssl.SSLContext | None
) -> socket.socket:
    """Connect to a node.

    Args:
        address: where the node listens.
        secret: which both ends know.
        purpose: one of ``DOCKER``, ``MEASURE``, ``WATCH``.
        timeout_s: the timeout of the connection that is returned; None: it has none.
        tls: the context with the cluster's certificates; None: the connection is not encrypted.

    Raises:
        OSError: the node cannot be reached.
        RefusedError: the node does not accept the connection, or is not the one that knows the secret.
    """
    connection = socket.create_connection(address, timeout=_HANDSHAKE_S)
    try:
        connection = _prepare(connection, tls, server_side=False)
        nonce = _receive(connection, _NONCE_BYTES)
        own = secrets.token_bytes(_NONCE_BYTES)
        connection.sendall(purpose + own + _proof(secret, b"run", purpose, nonce, own))
        if not hmac.compare_digest(_receive(connection, _PROOF_BYTES), _proof(secret, b"node", purpose, nonce, own)):
            raise RefusedError("the node's answer shows that it does not know the secret")
        connection.settimeout(timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


class TunnelServer:
    """Accepts connections on a node; each purpose has a function that serves it, in a thread of its own."""

    def __init__(
        self,
        host: str,
        secret: bytes,
        admitted: Collection[str],
        serve: Mapping[bytes, Callable[[socket.socket], None]],
        tls: ssl.SSLContext | None,
    ) -> None:
        """Listen on a free port.

        Args:
            host: the node's own address, to which the listener is bound.
            secret: which both ends know.
            admitted: the addresses from which connections are accepted.
            serve: what serves a connection, by its purpose; it is closed afterwards.
            tls: the context with the cluster's certificates; None: connections are not encrypted.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind((host, 0))
        self._listener.listen(_BACKLOG)
        self._secret = secret
        self._admitted = frozenset(admitted)
        self._serve = dict(serve)
        self._tls = tls
        threading.Thread(target=self._accept, name="twinbench-tunnel", daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        """The address at which it listens."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """Accept no more connections; those that were accepted stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                return
            if _plain_address(peer[0]) not in self._admitted:
                connection.close()
                continue
            threading.Thread(target=self._welcome, args=(connection,), name="twinbench-tunnel", daemon=True).start()

    def _welcome(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, RefusedError):
            try:
                connection.settimeout(_HANDSHAKE_S)
                connection = _prepare(connection, self._tls, server_side=True)
                nonce = secrets.token_bytes(_NONCE_BYTES)
                connection.sendall(nonce)
                asked = _receive(connection, 1 + _NONCE_BYTES + _PROOF_BYTES)
                purpose, theirs, proof = asked[:1], asked[1 : 1 + _NONCE_BYTES], asked[1 + _NONCE_BYTES :]
                known = hmac.compare_digest(proof, _proof(self._secret, b"run", purpose, nonce, theirs))
                if known and purpose in self._serve:
                    connection.sendall(_proof(self._secret, b"node", purpose, nonce, theirs))
                    connection.settimeout(None)
                    self._serve[purpose](connection)
            finally:
                connection.close()


def forward(connection: socket.socket, path: str) -> None:
    """Forward a connection to a Unix socket, in both directions, until both have ended.

    Raises:
        OSError: the socket does not accept connections.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
        inner.connect(path)
        back = threading.Thread(target=_copy, args=(inner, connection), name="twinbench-tunnel", daemon=True)
        back.start()
        _copy(connection, inner)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy what arrives until its end, which is passed on; an error ends both directions."""
    buffer = bytearray(_COPY_BYTES)
    view = memoryview(buffer)
    try:
        while count := source.recv_into(buffer):
            target.sendall(view[:count])
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _prepare(connection: socket.socket, tls: ssl.SSLContext | None, *, server_side: bool) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without it a command takes 48 ms instead of 4
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
    return connection if tls is None else _encrypt(connection, tls, server_side=server_side)


def _encrypt(connection: socket.socket, tls: ssl.SSLContext, *, server_side: bool) -> socket.socket:
    """Return a socket whose bytes go through a connection encrypted.

    It is one end of a pair, and a thread moves bytes between the other end and the connection: what uses the socket
    reads and writes in different threads, which a TLS connection does not allow.
    """
    secured = tls.wrap_socket(connection, server_side=server_side)
    outer, inner = socket.socketpair()
    outer.settimeout(_HANDSHAKE_S)
    threading.Thread(target=_pump, args=(secured, inner), name="twinbench-tls", daemon=True).start()
    return outer


def _pump(secured: ssl.SSLSocket, inner: socket.socket) -> None:
    """Move bytes in both directions until both have ended; an end of file from inside ends the connection."""
    to_inner, to_secured = bytearray(), bytearray()
    open_in = open_out = True
    secured.setblocking(False)
    inner.setblocking(False)
    poll = select.poll()
    waits = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
    with secured, inner, contextlib.suppress(OSError):
        while (open_in or to_inner) and (open_out or to_secured):
            moved = False
            with contextlib.suppress(*waits):
                if open_in and len(to_inner) < _COPY_BYTES:
                    data = secured.recv(_COPY_BYTES)
                    to_inner += data
                    open_in, moved = bool(data), True
            with contextlib.suppress(*waits):
                if open_out and len(to_secured) < _COPY_BYTES:
                    data = inner.recv(_COPY_BYTES)
                    to_secured += data
                    open_out, moved = bool(data), True
            with contextlib.suppress(*waits):
                if to_inner:
                    del to_inner[: inner.send(to_inner)]
                    moved = True
            with contextlib.suppress(*waits):
                if to_secured:
                    del to_secured[: secured.send(to_secured)]
                    moved = True
            if not moved:
                poll.register(
                    secured, select.POLLIN * (len(to_inner) < _COPY_BYTES) | select.POLLOUT * bool(to_secured)
                )
                poll.register(inner, select.POLLIN * (len(to_secured) < _COPY_BYTES) | select.POLLOUT * bool(to_inner))
                poll.poll()


def _receive(connection: socket.socket, count: int) -> bytes:
    """Receive so many bytes.

    Raises:
        RefusedError: the other end closed the connection before.
    """
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise RefusedError("the other end closed the connection before it was agreed on")
        data += more
    return data


def _proof(secret: bytes, side: bytes, purpose: bytes, nonce: bytes, other: bytes) -> bytes:
    return hmac.digest(secret, b"\0".join((b"twinbench-tunnel-1", side, purpose)) + nonce + other, "sha256")


def _plain_address(host: str) -> str:
    return host.removeprefix("::ffff:")


def cluster_tls(environment: Mapping[str, str] = os.environ, *, server_side: bool) -> ssl.SSLContext | None:
    """Return the TLS settings that Ray itself uses between nodes, with certificates required on both sides; None if Ray
    uses none.

    Args:
        environment: with Ray's variables ``RAY_USE_TLS``, ``RAY_TLS_SERVER_CERT``, ``RAY_TLS_SERVER_KEY`` and
            ``RAY_TLS_CA_CERT``.
        server_side: whether this is the end that listens.

    Raises:
        OSError: a file cannot be read.
        KeyError: a variable is missing.
    """
    if environment.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # certificates of Ray's nodes name no addresses; the secret says which node it is
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(environment["RAY_TLS_SERVER_CERT"], environment["RAY_TLS_SERVER_KEY"])
    context.load_verify_locations(environment["RAY_TLS_CA_CERT"])
    return context
