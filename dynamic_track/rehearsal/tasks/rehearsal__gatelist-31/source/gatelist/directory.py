"""Groups, and who is in them."""

from collections.abc import Iterable


class Directory:
    """Which groups users and groups are members of."""

    def __init__(self) -> None:
        self._groups: dict[str, set[str]] = {}
        """the groups that a name is a direct member of"""
        self._names: set[str] = set()

    def __repr__(self) -> str:
        return f"Directory({', '.join(sorted(self._names))})"

    def add(self, group: str, members: Iterable[str]) -> None:
        """Makes users or groups members of a group, which need not be known before."""
        self._names.add(group)
        for member in members:
            if member == group:
                raise ValueError(f"{group} is no member of itself")
            self._groups.setdefault(member, set()).add(group)

    def remove(self, group: str, member: str) -> None:
        """Takes a direct member out of a group; does nothing if it is not there."""
        self._groups.get(member, set()).discard(group)

    def is_group(self, name: str) -> bool:
        """Whether a name has been given members."""
        return name in self._names

    def groups_of(self, name: str) -> frozenset[str]:
        """The groups that a user or group is in, directly or through others."""
        direct = self._groups.get(name, set())
        found = set(direct)
        for group in direct:
            found |= self._groups.get(group, set())
        return frozenset(found - {name})
