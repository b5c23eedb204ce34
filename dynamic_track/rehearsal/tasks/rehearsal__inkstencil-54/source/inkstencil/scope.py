"""Names and what they mean at a place of a template."""

from __future__ import annotations

from typing import Any


class Scope:
    """Names of a place, and behind them those of the place around it."""

    def __init__(self, names: dict[str, Any], around: Scope | None = None) -> None:
        self._names = names
        self._around = around

    def inner(self) -> Scope:
        """A scope within this one."""
        return Scope({}, self)

    def get(self, name: str) -> Any:
        """What a name means here; None if it means nothing."""
        holder = self._holder(name)
        return None if holder is None else holder._names[name]

    def set(self, name: str, value: Any) -> None:
        """Gives a name a value."""
        holder = self._holder(name) or self
        holder._names[name] = value

    def _holder(self, name: str) -> Scope | None:
        scope: Scope | None = self
        while scope is not None and name not in scope._names:
            scope = scope._around
        return scope
