"""Targets and what they depend on."""

from collections.abc import Iterator


class UnknownTargetError(KeyError):
    """A name that is no target of the graph."""

    def __str__(self) -> str:
        return f"no such target: {self.args[0]}"


class Graph:
    """A directed graph that can be read both ways: dependencies of a target, and targets that depend on it."""

    def __init__(self) -> None:
        self._dependencies: dict[str, set[str]] = {}
        self._dependents: dict[str, set[str]] = {}
        # Asked for every target by impact() and again by every plan, on graphs of thousands of targets.
        self._affected: dict[str, frozenset[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._dependencies

    def __iter__(self) -> Iterator[str]:
        """The targets by name."""
        return iter(sorted(self._dependencies))

    def __len__(self) -> int:
        return len(self._dependencies)

    def add(self, name: str) -> None:
        """Adds a target without dependencies; does nothing if it is there already."""
        self._dependencies.setdefault(name, set())
        self._dependents.setdefault(name, set())

    def link(self, name: str, dependency: str) -> None:
        """Makes a target depend on another; both must be there."""
        self._check(name)
        self._check(dependency)
        self._dependencies[name].add(dependency)
        self._dependents[dependency].add(name)
        self._affected.pop(dependency, None)

    def unlink(self, name: str, dependency: str) -> None:
        """Makes a target no longer depend on another."""
        self._check(name)
        self._check(dependency)
        self._dependencies[name].discard(dependency)
        self._dependents[dependency].discard(name)
        self._affected.pop(dependency, None)

    def remove(self, name: str) -> None:
        """Takes a target out, and with it every dependency from and to it."""
        self._check(name)
        for dependency in self._dependencies.pop(name):
            self._dependents[dependency].discard(name)
        for dependent in self._dependents.pop(name):
            self._dependencies[dependent].discard(name)
        self._affected.clear()

    def dependencies(self, name: str) -> frozenset[str]:
        """What a target directly depends on."""
        self._check(name)
        return frozenset(self._dependencies[name])

    def dependents(self, name: str) -> frozenset[str]:
        """The targets that directly depend on this one."""
        self._check(name)
        return frozenset(self._dependents[name])

    def affected(self, name: str) -> frozenset[str]:
        """The targets that depend on this one, directly or through others; itself is not among them."""
        self._check(name)
        return self._collect(name, {name})

    def _collect(self, name: str, seen: set[str]) -> frozenset[str]:
        known = self._affected.get(name)
        if known is not None:
            return known
        reached: set[str] = set()
        for dependent in sorted(self._dependents[name]):
            if dependent in seen:
                continue
            seen.add(dependent)
            reached.add(dependent)
            reached |= self._collect(dependent, seen)
        self._affected[name] = frozenset(reached)
        return self._affected[name]

    def _check(self, name: str) -> None:
        if name not in self._dependencies:
            raise UnknownTargetError(name)
