"""Routes, and finding the one that a request means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pathlatch.errors import MethodNotAllowed, NotFound, PatternError
from pathlatch.pattern import Pattern


@dataclass(frozen=True)
class Route:
    """A pattern and who handles it."""

    method: str
    pattern: Pattern
    handler: Callable[..., Any]
    name: str | None = None


@dataclass(frozen=True)
class Found:
    """The route of a request, with the values from its path."""

    route: Route
    values: dict[str, Any]

    @property
    def handler(self) -> Callable[..., Any]:
        """Who handles the request."""
        return self.route.handler


class Router:
    """All routes of an application."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, method: str, pattern: str, handler: Callable[..., Any], name: str | None = None) -> Route:
        """Adds a route.

        Raises:
            PatternError: the pattern is wrong, or the name is taken.
        """
        if name is not None and any(route.name == name for route in self._routes):
            raise PatternError(f"there is a route {name!r} already")
        route = Route(method.upper(), Pattern(pattern), handler, name)
        self._routes.append(route)
        return route

    def mount(self, prefix: str, other: "Router") -> None:
        """Adds all routes of another router below a prefix."""
        for route in other._routes:
            self.add(route.method, prefix.rstrip("/") + route.pattern.text, route.handler, route.name)

    def resolve(self, method: str, path: str) -> Found:
        """The route for a request.

        Raises:
            NotFound: no pattern matches the path.
            MethodNotAllowed: some do, but none of them with this method.
        """
        found = []
        for route in self._routes:
            values = route.pattern.match(path)
            if values is not None:
                found.append(Found(route, values))
        if not found:
            raise NotFound(path)
        fitting = [each for each in found if each.route.method == method.upper()]
        if not fitting:
            raise MethodNotAllowed(path, {each.route.method for each in found})
        return min(fitting, key=lambda each: len(each.route.pattern.placeholders))

    def url_for(self, name: str, **values: Any) -> str:
        """The path of a named route.

        Raises:
            NotFound: there is no such route.
            PatternError: the values do not fit.
        """
        for route in self._routes:
            if route.name == name:
                return route.pattern.build(**values)
        raise NotFound(name)
