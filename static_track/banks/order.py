"""In which order routers are asked about the trajectories of a bank.

A bank lies sorted by workload and instance. A router that counts its sessions would learn from that order what no agent
shows it: where a bank is sorted by difficulty, the labels. So trajectories are dealt in an order that follows from
nothing that a router sees.
"""

from __future__ import annotations

import hashlib


def place_in_order(bank_sha256: str, order_seed: int, workload: str, instance_id: str) -> str:
    """A text by which the trajectories of a bank are sorted.

    Args:
        bank_sha256: of the bank.
        order_seed: another one deals them in another order.
        workload: of the trajectory.
        instance_id: of the trajectory.
    """
    return hashlib.sha256("\0".join((bank_sha256, str(order_seed), workload, instance_id)).encode()).hexdigest()
