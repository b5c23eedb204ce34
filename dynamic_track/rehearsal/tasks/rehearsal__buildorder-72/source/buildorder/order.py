"""Orders in which every target comes after what it depends on."""

from collections.abc import Collection
from heapq import heapify, heappop, heappush

from buildorder.graph import Graph


class CycleError(ValueError):
    """Targets that wait for each other; ``cycle`` names them, the first one again at the end."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(f"targets depend on each other: {' -> '.join(cycle)}")
        self.cycle = cycle


def build_order(graph: Graph, among: Collection[str] | None = None) -> list[str]:
    """The targets of the graph, or those ``among`` them, each after its dependencies; names decide ties.

    Raises:
        CycleError: there is no such order.
    """
    chosen = set(graph) if among is None else set(among)
    waiting = {name: len(graph.dependencies(name) & chosen) for name in chosen}
    ready = [name for name, count in waiting.items() if not count]
    heapify(ready)
    order: list[str] = []
    while ready:
        name = heappop(ready)
        order.append(name)
        for dependent in graph.dependents(name) & chosen:
            waiting[dependent] -= 1
            if not waiting[dependent]:
                heappush(ready, dependent)
    if len(order) < len(chosen):
        raise CycleError(find_cycle(graph, chosen.difference(order)))
    return order


def waves(graph: Graph, among: Collection[str] | None = None) -> list[list[str]]:
    """The same order in groups; the targets of one group can be built at the same time."""
    level: dict[str, int] = {}
    groups: list[list[str]] = []
    for name in build_order(graph, among):
        level[name] = max((level[other] + 1 for other in graph.dependencies(name) if other in level), default=0)
        if level[name] == len(groups):
            groups.append([])
        groups[level[name]].append(name)
    return [sorted(group) for group in groups]


def find_cycle(graph: Graph, stuck: Collection[str]) -> list[str]:
    """One cycle among targets none of which could be built."""
    path: list[str] = []
    name = min(stuck)
    while name not in path:
        path.append(name)
        name = min(graph.dependencies(name) & set(stuck))
    return [*path[path.index(name) :], name]
