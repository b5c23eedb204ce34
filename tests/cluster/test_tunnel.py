"""The tunnel to a node: who is let in, and what is carried."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from twinbench.cluster import tunnel
from twinbench.cluster.tunnel import DOCKER, MEASURE, RefusedError, TunnelServer, forward, open_tunnel
from twinbench.containers.tunnels import Tunnels

SECRET = secrets.token_bytes(32)
HERE = "127.0.0.1"


@contextmanager
def listening(serve: object, *, admitted: tuple[str, ...] = (HERE,)) -> Iterator[tuple[str, int]]:
    server = TunnelServer(HERE, SECRET, admitted, {DOCKER: serve}, None)  # type: ignore[dict-item]
    try:
        yield server.address
    finally:
        server.close()


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1000):
        connection.sendall(data)


def opened(address: tuple[str, int], secret: bytes = SECRET, purpose: bytes = DOCKER) -> socket.socket:
    return open_tunnel(address, secret, purpose, timeout_s=10, tls=None)


def test_who_knows_the_secret_is_let_in() -> None:
    with listening(echo) as address, opened(address) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


@pytest.mark.parametrize(
    ("secret", "purpose"), [(bytes(32), DOCKER), (SECRET, MEASURE)], ids=["another secret", "another purpose"]
)
def test_who_does_not_know_it_or_wants_what_is_not_served_is_not(secret: bytes, purpose: bytes) -> None:
    served = threading.Event()
    with listening(lambda _: served.set()) as address, pytest.raises((RefusedError, ConnectionError)):
        opened(address, secret, purpose)
    assert not served.is_set()


def test_a_recorded_handshake_lets_nobody_in() -> None:
    """Each connection has a nonce of its own."""
    with listening(echo) as address:
        with socket.create_connection(address, timeout=10) as first:
            own = bytes(32)
            recorded = DOCKER + own + tunnel._proof(SECRET, b"run", DOCKER, first.recv(32), own)
            first.sendall(recorded)
            assert len(first.recv(32)) == 32
        with socket.create_connection(address, timeout=10) as again:
            again.recv(32)
            again.sendall(recorded)
            assert again.recv(1) == b""


def test_addresses_that_are_not_admitted_are_not_listened_to() -> None:
    with (
        listening(echo, admitted=("10.0.0.1",)) as address,
        socket.create_connection(address, timeout=10) as connection,
        suppress(ConnectionError),
    ):
        assert connection.recv(32) == b""


def test_another_who_listens_in_its_place_is_noticed() -> None:
    def impostor() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(bytes(32))
            connection.recv(65, socket.MSG_WAITALL)
            connection.sendall(bytes(32))

    with socket.create_server((HERE, 0)) as listener:
        thread = threading.Thread(target=impostor)
        thread.start()
        with pytest.raises(RefusedError, match="does not know the secret"):
            opened(listener.getsockname()[:2])
        thread.join()


def test_both_directions_are_carried_and_their_ends_apart(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    got: list[bytes] = []

    def serve_inner(inner: socket.socket) -> None:
        connection, _ = inner.accept()
        with connection:
            while data := connection.recv(2**16):
                got.append(data)
            connection.sendall(b"after the end of the input")

    with socket.socket(socket.AF_UNIX) as inner:
        inner.bind(path)
        inner.listen()
        thread = threading.Thread(target=serve_inner, args=(inner,))
        thread.start()
        with listening(lambda connection: forward(connection, path)) as address, opened(address) as connection:
            sent = secrets.token_bytes(3 * 2**20)
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b"after the end of the input"
            assert connection.recv(100) == b""
        thread.join()
    assert b"".join(got) == sent


def test_connections_that_are_given_up_end_at_once() -> None:
    with listening(echo) as address:
        tunnels = Tunnels(lambda _: opened(address))
        connection = tunnels.connect(None)
        began = time.monotonic()
        threading.Timer(0.2, tunnels.give_up, ["node x is lost"]).start()
        assert connection.recv(1) == b""
        assert time.monotonic() - began < 5
        connection.close()
        with pytest.raises(ConnectionError, match="node x is lost"):
            tunnels.connect(None)


def certificates(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set Ray's variables for TLS, with a certificate that is its own authority."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    words += ["-subj", "/CN=node", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    monkeypatch.setenv("RAY_TLS_SERVER_CERT", str(certificate))
    monkeypatch.setenv("RAY_TLS_SERVER_KEY", str(key))
    monkeypatch.setenv("RAY_TLS_CA_CERT", str(certificate))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_where_ray_encrypts_the_tunnel_does_and_wants_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tunnel.cluster_tls(server_side=True) is None
    certificates(tmp_path, monkeypatch)
    server = TunnelServer(HERE, SECRET, (HERE,), {DOCKER: echo}, tunnel.cluster_tls(server_side=True))
    try:
        with socket.create_connection(server.address, timeout=10) as plain:
            plain.sendall(bytes(65))
            with suppress(ConnectionError):
                assert len(plain.recv(32)) < 32  # an alert of TLS at most
        tls = tunnel.cluster_tls(server_side=False)
        with open_tunnel(server.address, SECRET, DOCKER, timeout_s=30, tls=tls) as connection:
            sent = secrets.token_bytes(2**20)
            sending = threading.Thread(target=connection.sendall, args=(sent,))
            sending.start()
            got = b""
            while len(got) < len(sent):
                got += connection.recv(2**16)
            sending.join()
            assert got == sent
    finally:
        server.close()
