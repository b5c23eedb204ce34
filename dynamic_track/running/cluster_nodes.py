"""Nodes of a Ray cluster as nodes of a run: they join, are watched, and are given up when they are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil

from dynamic_track.running.admission import Admission, CaseImages
from dynamic_track.running.nodes import Node
from twinbench.causes import CausedError
from twinbench.cluster.connecting import connected_cluster
from twinbench.cluster.nodes import ClusterNode, ClusterNodes, describe_resources
from twinbench.cluster.tunnel import MEASURE
from twinbench.containers.engine import Engine
from twinbench.containers.probing import Measured, RemoteProbe, measured_from_json
from twinbench.containers.tunnels import Tunnels
from twinbench.executing.places import Places
from twinbench.executing.ray_cluster import RayCluster

_MEASURE_S = 10.0
_MOST_BYTES = 2**16


@dataclass(frozen=True)
class _NodeMeasure:
    """Measures a node's memory and disk."""

    node: ClusterNode

    def ask(self) -> Measured:
        """Return what is free there.

        Raises:
            OSError, ValueError: the node does not say.
        """
        said = b""
        with self.node.connect(MEASURE, _MEASURE_S) as connection:
            while len(said) < _MOST_BYTES and (more := connection.recv(_MOST_BYTES)):
                said += more
        return measured_from_json(said)

    def close(self) -> None:
        """End nothing: each question has a connection of its own."""


@contextmanager
def cluster_places(
    request: RayCluster,
    *,
    cases: int,
    workers: int,
    images: Callable[[Engine], CaseImages],
    min_free_mib: int,
    min_free_memory_mib: int = 0,
    notify: Callable[[str], None],
) -> Iterator[Places[Node]]:
    """Ask a cluster for nodes, and wait for the first; later ones join while cases are worked on.

    Args:
        request: which cluster.
        cases: the number of cases; no more nodes are requested than these need.
        workers: how many cases a node runs at once.
        images: makes the manager of an engine's images.
        min_free_mib: a node with less free disk space takes no cases.
        min_free_memory_mib: a node starts no further case with less free memory.
        notify: called with a message about each node that joins, is lost, or takes no cases.

    Raises:
        UsageError, ClusterError: the cluster cannot be used.
        NoPlaceError: no node joined in time.
    """
    left_out: list[str] = []
    with connected_cluster(request.address) as ray:
        wanted = max(ceil(cases / workers), 1)

        def explain() -> str:
            return "; ".join([*left_out, describe_resources(ray, workers)])

        places: Places[Node] = Places(wait_s=request.wait_s, expected_capacity=wanted * workers, explain=explain)
        joined: dict[ClusterNode, tuple[Node, Tunnels]] = {}

        def leave_out(why: str) -> None:
            if why not in left_out:
                left_out.append(why)
                notify(why)

        def join(found: ClusterNode) -> None:
            tunnels = Tunnels(found.connect_docker)
            try:
                engine = Engine.connect_through(tunnels, RemoteProbe(_NodeMeasure(found)), found.lease)
                engine.refuse_full_disk(min_free_mib)
            except CausedError as error:
                leave_out(f"node {found.name} takes no cases: {error}")
                return
            admission = Admission(min_free_memory_mib, engine.available_memory_mib)
            node = Node(engine, images(engine), workers, admission, found.name)
            with suppress(CausedError):  # then images are found when they are needed
                node.images.note_present()
            joined[found] = node, tunnels
            notify(f"node {found.name} joined: {workers} at once")
            places.add(node, workers)

        def lose(found: ClusterNode, why: str) -> None:
            if (known := joined.pop(found, None)) is None:
                return
            node, tunnels = known
            notify(f"node {found.name} is lost: {why}; its cases go on elsewhere")
            places.remove(node)
            tunnels.give_up(f"node {found.name} is lost: {why}")

        nodes = ClusterNodes(ray, wanted=wanted, cases=workers, joined=join, lost=lose, left_out=leave_out)
        try:
            places.wait_for_first()
            yield places
        finally:
            nodes.close()
            for node, _ in joined.values():
                node.engine.close()
