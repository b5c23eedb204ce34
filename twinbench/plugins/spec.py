"""Parse router specs: the texts that name routers.

``always-high`` or an installed entry point, ``package.module:Class``, ``path/to/file.py:Class``,
``trb:module:factory``, the folder of a trained router, ``http://host/path``; all but the last with arguments,
``?k=5&metric=cosine``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from twinbench.errors import UsageError
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.reading.input_files import is_folder
from twinbench.routers.registry import BUILT_IN

Kind = Literal["built-in", "entry-point", "module", "file", "trb", "artefact", "endpoint"]

FORMS = "package.module:Class, path/to/file.py:Class, trb:module:factory, the folder of a trained router or http://…"


@dataclass(frozen=True)
class RouterSpec:
    """A parsed spec."""

    text: str
    """The spec as the user wrote it, which tables show."""
    kind: Kind
    target: str
    """The name of a built-in router or entry point, a module, the path of a file or of a trained router's folder, or a
    URL."""
    attribute: str
    """The class or factory in the module or file."""
    arguments: Mapping[str, str]

    @property
    def has_process(self) -> bool:
        """Whether the router runs in a process of its own when it is scored."""
        return self.kind not in ("built-in", "endpoint")


def parse_spec(text: str) -> RouterSpec:
    """Parse a router spec.

    Raises:
        UsageError: invalid form, missing file, or arguments that are not ``name=value``.
    """
    if text.startswith(("http://", "https://")):
        return RouterSpec(text, "endpoint", text, "", {})
    name, _, query = text.partition("?")
    arguments = _parse_arguments(text, query)
    if name in BUILT_IN:
        return RouterSpec(text, "built-in", name, "", arguments)
    if name.startswith("trb:"):
        module, colon, attribute = name.removeprefix("trb:").partition(":")
        if not module or not attribute:
            raise UsageError(f"router {text!r}: write trb:module:factory")
        if module.endswith(".py"):
            stem = Path(module).stem
            raise UsageError(
                f"router {text!r}: after trb: comes the name of a module, not a file: write trb:{stem}:{attribute}, in "
                f"the folder of {Path(module).name}"
            )
        return RouterSpec(text, "trb", module, attribute, arguments)
    if _is_file(Path(name) / MANIFEST):
        return RouterSpec(text, "artefact", name, "", arguments)
    target, colon, attribute = name.rpartition(":")
    if not colon and "/" in name and is_folder(Path(name)):
        raise UsageError(f"router {text!r}: {untrained_folder(name)}")
    if not colon and name and "/" not in name and not name.endswith(".py"):
        return RouterSpec(text, "entry-point", name, "", arguments)
    if not target or not attribute:
        if not colon and not name.endswith(".py"):
            raise UsageError(f"invalid router spec {text!r}: there is no folder {name}; use {FORMS}")
        raise UsageError(f"invalid router spec {text!r}: use {FORMS}")
    if "/" in target and not target.endswith(".py"):
        raise UsageError(f"invalid router spec {text!r}: {target} is not a file that ends in .py; use {FORMS}")
    if not target.endswith(".py"):
        return RouterSpec(text, "module", target, attribute, arguments)
    if not _is_file(Path(target)):
        raise UsageError(f"router {text!r}: file {target} does not exist")
    return RouterSpec(text, "file", target, attribute, arguments)


def _is_file(path: Path) -> bool:
    """Whether a path is that of a file; what is too long for a path is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _parse_arguments(text: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"router {text!r}: write arguments as ?name=value&name=value") from None
    names = [name for name, _ in pairs]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"router {text!r}: arguments given twice: {', '.join(sorted(repeated))}")
    return dict(pairs)


def untrained_folder(name: str) -> str:
    """Say that a folder is none of a trained router."""
    return f"the folder {name} has no {MANIFEST}, so no router was trained into it"
