"""What has to be rebuilt after a change, and in which order."""

from buildorder.graph import Graph, UnknownTargetError
from buildorder.manifest import Manifest, ManifestError, read_manifest
from buildorder.order import CycleError, build_order, waves
from buildorder.planner import Planner

__all__ = [
    "CycleError",
    "Graph",
    "Manifest",
    "ManifestError",
    "Planner",
    "UnknownTargetError",
    "build_order",
    "read_manifest",
    "waves",
]
