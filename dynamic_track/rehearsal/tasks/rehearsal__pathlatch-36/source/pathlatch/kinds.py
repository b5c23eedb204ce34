"""The kinds of placeholders: what they match, and how values are read and written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from pathlatch.errors import PatternError


@dataclass(frozen=True)
class Kind:
    """One kind of placeholder."""

    regex: str
    """what it matches in a path that is still quoted; without groups"""
    read: Callable[[str], Any]
    write: Callable[[Any], str]


KINDS = {
    "str": Kind(r"[^/]+", unquote, lambda value: quote(str(value), safe="")),
    "int": Kind(r"\d+", int, lambda value: str(int(value))),
    "slug": Kind(r"[a-z0-9]+(?:-[a-z0-9]+)*", str, str),
    "path": Kind(r".+", unquote, lambda value: quote(str(value), safe="/")),
}


def kind_of(name: str) -> Kind:
    """The kind of that name.

    Raises:
        PatternError: there is none.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise PatternError(f"no kind {name!r}, there are {', '.join(KINDS)}") from None
