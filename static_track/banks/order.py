"""The order in which routers see the trajectories of a bank.

A bank is sorted by workload and instance. A router that counts its sessions could learn from that order what it cannot
know in real use (for a bank sorted by difficulty, the labels). So trajectories come in an order that depends on nothing
that a router sees.
"""

from __future__ import annotations

import hashlib


def place_in_order(bank_sha256: str, order_seed: int, workload: str, instance_id: str) -> str:
    """Return the sort key of a trajectory.

    Args:
        bank_sha256: the bank's SHA-256.
        order_seed: the seed of the order.
        workload: the trajectory's workload.
        instance_id: the trajectory's instance id.
    """
    return hashlib.sha256("\0".join((bank_sha256, str(order_seed), workload, instance_id)).encode()).hexdigest()
