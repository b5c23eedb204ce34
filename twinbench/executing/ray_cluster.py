"""Which Ray cluster a user wants jobs to run on."""

from __future__ import annotations

from dataclasses import dataclass

from twinbench.errors import UsageError

NODE_WAIT_S = 300.0


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster whose nodes run containers."""

    address: str | None = None
    """``HOST:PORT`` of the cluster's head; None: the address in ``RAY_ADDRESS``, or the cluster of this machine."""
    wait_s: float = NODE_WAIT_S
    """How many seconds to wait for the first node, or for another after the last one was lost."""


def parse_executor(executor: str, address: str | None, wait_s: float) -> RayCluster | None:
    """Return the cluster that the options name; None for Docker engines that are known by address.

    Args:
        executor: ``threads`` or ``ray``.
        address: the address of the cluster's head, only with ``ray``.
        wait_s: see `RayCluster`.

    Raises:
        UsageError: the executor does not exist, or an address is given with ``threads``.
    """
    if executor == "ray":
        return RayCluster(address, wait_s)
    if executor != "threads":
        raise UsageError(f"--executor {executor}: must be threads or ray")
    if address is not None:
        raise UsageError(f"--ray-address {address} requires --executor ray")
    return None
