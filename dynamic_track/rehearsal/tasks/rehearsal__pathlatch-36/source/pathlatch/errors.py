"""What can go wrong with routes."""

from collections.abc import Iterable


class PatternError(ValueError):
    """A pattern that cannot be understood, or values that do not fit it."""


class NotFound(LookupError):
    """No route has the path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no route for {path}")
        self.path = path


class MethodNotAllowed(LookupError):
    """Routes have the path, none of them with the method."""

    def __init__(self, path: str, allowed: Iterable[str]) -> None:
        self.allowed = sorted(allowed)
        super().__init__(f"{path} allows {', '.join(self.allowed)}")
        self.path = path
