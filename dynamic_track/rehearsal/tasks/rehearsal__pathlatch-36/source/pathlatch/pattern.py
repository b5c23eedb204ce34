"""Patterns of paths."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pathlatch.errors import PatternError
from pathlatch.kinds import Kind, kind_of

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Placeholder:
    """A part of a pattern that stands for a value."""

    name: str
    kind: Kind


class Pattern:
    """A path with placeholders, as ``/users/{id:int}``."""

    def __init__(self, text: str) -> None:
        """Reads a pattern.

        Raises:
            PatternError: it does not start with a slash, or a placeholder is wrong.
        """
        if not text.startswith("/"):
            raise PatternError(f"a pattern starts with a slash: {text!r}")
        self.text = text
        self._parts = list(split(text))
        names = [placeholder.name for placeholder in self.placeholders]
        if len(set(names)) < len(names):
            raise PatternError(f"a name stands twice in {text!r}")
        self._regex = re.compile(self._compiled())

    @property
    def placeholders(self) -> list[Placeholder]:
        """The placeholders, from left to right."""
        return [part for part in self._parts if isinstance(part, Placeholder)]

    def match(self, path: str) -> dict[str, Any] | None:
        """The values of the placeholders where the pattern matches the whole path, else None."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        return {each.name: each.kind.read(match[each.name]) for each in self.placeholders}

    def build(self, **values: Any) -> str:
        """The path with these values in place of the placeholders.

        Raises:
            PatternError: a value is missing, is too much, or is nothing that the placeholder matches.
        """
        names = {placeholder.name for placeholder in self.placeholders}
        if names != set(values):
            raise PatternError(f"{self.text} takes {sorted(names)}, got {sorted(values)}")
        written = ""
        for part in self._parts:
            if isinstance(part, Placeholder):
                value = part.kind.write(values[part.name])
                if not re.fullmatch(part.kind.regex, value):
                    raise PatternError(f"{values[part.name]!r} is no {part.name} of {self.text}")
                written += value
            else:
                written += part
        return written

    def _compiled(self) -> str:
        compiled = ""
        for part in self._parts:
            if isinstance(part, Placeholder):
                compiled += f"(?P<{part.name}>{part.kind.regex})"
            else:
                compiled += part
        return compiled


def split(text: str) -> Iterator[str | Placeholder]:
    """The parts of a pattern from left to right: literal text and placeholders.

    Raises:
        PatternError: a brace without its partner, or a placeholder without a proper name or kind.
    """
    literals_and_insides = _PLACEHOLDER.split(text)
    for position, piece in enumerate(literals_and_insides):
        if position % 2:
            name, _, kind = piece.partition(":")
            if not name.isidentifier():
                raise PatternError(f"not a name: {name!r} in {text!r}")
            yield Placeholder(name, kind_of(kind or "str"))
        elif "{" in piece or "}" in piece:
            raise PatternError(f"a brace without its partner in {text!r}")
        elif piece:
            yield piece
