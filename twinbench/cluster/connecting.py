"""A connection to a Ray cluster, and the errors that are told before anything is spent."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twinbench.errors import TwinbenchError, UsageError

ADDRESS_VARIABLE = "RAY_ADDRESS"
"""The variable with the address of the cluster, if none is given."""

_CLIENT_SCHEME = "ray://"
_PROBE_S = 10.0
_ADVICE = "start one (ray start --head), or give the address of its head, HOST:PORT, with --ray-address"


class ClusterError(TwinbenchError):
    """A Ray cluster cannot be used."""


def check_address(address: str | None) -> None:
    """Check that something listens at a cluster's address; Ray itself would wait for 100 s.

    Args:
        address: ``HOST:PORT`` of the cluster's head; None or ``auto``: the one in ``RAY_ADDRESS``, otherwise the
            cluster that runs on this machine.

    Raises:
        UsageError: the address has another form, or is one of Ray's clients.
        ClusterError: nothing listens there.
    """
    given = _given_address(address)
    if given is None:
        return
    if given.startswith(_CLIENT_SCHEME):
        raise UsageError(
            f"--ray-address {given}: a Ray client cannot reach the nodes' Docker engines; run this command on a "
            "machine of the cluster, with HOST:PORT of its head"
        )
    host, colon, port = given.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise UsageError(f"--ray-address {given}: give HOST:PORT of the cluster's head, such as 10.0.0.5:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster answers at {given} ({error}): {_ADVICE}") from None


@contextmanager
def connected_cluster(address: str | None) -> Iterator[Any]:
    """Connect this process to a cluster, or use the connection that it has.

    Args:
        address: see ``check_address``.

    Returns:
        The module ``ray``, connected.

    Raises:
        UsageError: the address has another form, or is one of Ray's clients.
        ClusterError: Ray is not installed, no cluster answers, or its version of Ray or Python differs.
    """
    check_address(address)
    ray = _import_ray()
    if ray.is_initialized():  # the user's own program is connected already
        yield ray
        return
    with _handlers_kept():
        try:
            ray.init(
                address=_given_address(address) or "auto",
                log_to_driver=False,
                logging_level="CRITICAL",
                ignore_reinit_error=False,
            )
        except Exception as error:  # noqa: BLE001 - Ray raises RuntimeError, ConnectionError and others of its own
            raise ClusterError(_connection_error(address, error)) from None
    try:
        yield ray
    finally:
        with _handlers_kept():
            ray.shutdown()


def _given_address(address: str | None) -> str | None:
    given = address or os.environ.get(ADDRESS_VARIABLE)
    return None if given in (None, "", "auto") else given


def _import_ray() -> Any:
    # Read when Ray is imported. It would print what becomes of its nodes on standard output, connect again (or start a
    # cluster of its own) when it is called after the end, and report usage to its makers.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "(?s).*")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ClusterError("--executor ray needs Ray: pip install 'twinbench[ray]'") from None
    return ray


def _connection_error(address: str | None, error: Exception) -> str:
    said = " ".join(str(error).split())
    if "ersion mismatch" in said:
        return f"the cluster has another version of Ray or Python than this process; install the same: {said}"
    if (given := _given_address(address)) is None:
        return f"no Ray cluster runs on this machine: {_ADVICE} ({said})"
    return f"cannot join the Ray cluster at {given}; this command has to run on a machine of the cluster ({said})"


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by one that ends the process without a result."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
