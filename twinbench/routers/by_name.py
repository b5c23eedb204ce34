"""Classes of routers by name, imported when one is first needed."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import cast

from twinbench.routing.router import Router


class RoutersByName(Mapping[str, type[Router]]):
    """Classes of routers by name; a table that asks no learned router should not have to import all of them."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Take where each class is defined.

        Args:
            places: ``package.module:Class`` by name.
        """
        self.places = places
        """``package.module:Class`` by name."""

    def __getitem__(self, name: str) -> type[Router]:
        """Import the class of a name.

        Raises:
            KeyError: there is no such name.
        """
        return _import_class(self.places[name])

    def __contains__(self, name: object) -> bool:
        """Return whether there is a class of that name, without importing it."""
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.places)

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self.places)


@cache
def _import_class(place: str) -> type[Router]:
    return cast("type[Router]", pkgutil.resolve_name(place))
