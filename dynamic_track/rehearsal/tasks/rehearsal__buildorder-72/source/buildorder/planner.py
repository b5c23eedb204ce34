"""From changed files to the targets that have to be rebuilt."""

from collections.abc import Iterable

from buildorder.manifest import Manifest
from buildorder.order import build_order, waves


class Planner:
    """Answers what a change makes out of date; may be kept while the graph is being edited."""

    def __init__(self, manifest: Manifest) -> None:
        self._graph = manifest.graph
        self._owners = manifest.owners

    def outdated(self, changed: Iterable[str]) -> set[str]:
        """The targets that own a changed source, and all that depend on them; unknown files concern nobody."""
        owning = {name for source in changed for name in self._owners.get(source, ()) if name in self._graph}
        return owning.union(*(self._graph.affected(name) for name in owning))

    def plan(self, changed: Iterable[str]) -> list[str]:
        """The outdated targets in the order in which to build them.

        Raises:
            CycleError: some of them wait for each other.
        """
        return build_order(self._graph, self.outdated(changed))

    def parallel_plan(self, changed: Iterable[str]) -> list[list[str]]:
        """The outdated targets in groups that can be built at the same time."""
        return waves(self._graph, self.outdated(changed))

    def impact(self) -> list[tuple[str, int]]:
        """Every target with the number of others that a change of it reaches, the widest reach first."""
        reach = [(name, len(self._graph.affected(name))) for name in self._graph]
        return sorted(reach, key=lambda item: (-item[1], item[0]))

    def link(self, name: str, dependency: str) -> None:
        """Makes a target depend on another from now on."""
        self._graph.link(name, dependency)

    def unlink(self, name: str, dependency: str) -> None:
        """Makes a target no longer depend on another."""
        self._graph.unlink(name, dependency)

    def remove(self, name: str) -> None:
        """Takes a target out of the graph; its sources concern nobody any more."""
        self._graph.remove(name)
