"""The text that names a router: ``always-high``, ``module:Class``, ``file.py:Class``, with ``?k=5&metric=cosine``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from twinbench.errors import UsageError
from twinbench.routers import BUILT_IN

Kind = Literal["built-in", "module", "file"]


@dataclass(frozen=True)
class RouterSpec:
    """A parsed spec."""

    text: str
    """As the user wrote it; what tables show."""
    kind: Kind
    target: str
    """Built-in name, module, or path of a file."""
    attribute: str
    """The class (or factory) in the module or file; empty for a built-in."""
    arguments: Mapping[str, str]


def parse_spec(text: str) -> RouterSpec:
    """Read a router spec.

    Raises:
        UsageError: no such form, an unknown built-in, or arguments that are not ``name=value``.
    """
    name, _, query = text.partition("?")
    arguments = _arguments(text, query)
    if name in BUILT_IN:
        return RouterSpec(text, "built-in", name, "", arguments)
    target, colon, attribute = name.rpartition(":")
    if not colon or not target or not attribute:
        raise UsageError(
            f"unknown router {text!r}: built in are {', '.join(BUILT_IN)}; "
            "your own is package.module:Class or path/to/file.py:Class"
        )
    return RouterSpec(text, "file" if target.endswith(".py") else "module", target, attribute, arguments)


def _arguments(text: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"router {text!r}: arguments are written ?name=value&name=value") from None
    names = [name for name, _ in pairs]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"router {text!r}: given twice: {', '.join(sorted(repeated))}")
    return dict(pairs)
