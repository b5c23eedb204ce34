"""What a router's decisions depend on: its files and the distributions that they import.

Imports are followed as text, without running them, so that a lazily imported module counts too. Standard library only:
the same code runs in a router's own environment. Data that a router reads by itself is seen only where an argument
names it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path


def provenance(entry: Path, package: str | None, arguments: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The files (name to sha256) and distributions (name to version) behind a router.

    The router's own package, and modules of no distribution, count file by file, so that an edit counts; everything
    else
    counts by its distribution's version.

    Args:
        entry: the file that defines it.
        package: the dotted package that ``entry`` lies in, which its relative imports start from; None for a bare file.
        arguments: of its spec; a value that names a file counts with that file's content.
    """
    root = entry.parents[len(package.split("."))] if package else entry.parent
    own = (package or entry.stem).split(".")[0]
    files: dict[str, str] = {}
    distributions: dict[str, str] = {}
    pending: list[tuple[Path, str | None]] = [(entry, package)]
    while pending:
        path, inside = pending.pop()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
        if name in files:
            continue
        content = path.read_bytes()
        files[name] = hashlib.sha256(content).hexdigest()
        for imported in _imports(content, inside):
            top = imported.split(".")[0]
            if top in sys.stdlib_module_names or top == "twinbench":
                continue
            if top != own:
                sibling = None if package else _module_file(imported, root)
                if sibling is not None:
                    pending.append(sibling)
                    continue
                if brought_by := _top_level().get(top):
                    _add_distribution(brought_by[0], distributions)
                    continue
            found = _module_file(imported, root if top == own else _search_root(top))
            if found is not None:
                pending.append(found)
    if package and (own_distribution := _top_level().get(own)):
        _add_distribution(own_distribution[0], distributions)
    for argument, value in arguments.items():
        if value and Path(value).is_file():
            files[f"?{argument}"] = hashlib.sha256(Path(value).read_bytes()).hexdigest()
    return {"files": files, "distributions": distributions}


def _imports(content: bytes, package: str | None) -> Iterator[str]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # loading the router will say so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level and package else []
            origin = ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])
            if origin:
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)


def _module_file(module: str, root: Path | None) -> tuple[Path, str | None] | None:
    """A module's file under ``root``, and the package that its relative imports start from."""
    if root is None:
        return None
    beside = root.joinpath(*module.split("."))
    for path, package in ((beside.with_suffix(".py"), module.rpartition(".")[0]), (beside / "__init__.py", module)):
        if path.is_file():
            return path, package or None
    return None


def _search_root(top: str) -> Path | None:
    """The folder on the search path in which a top-level module of no distribution lies."""
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name, this imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    return path.parent.parent if spec.submodule_search_locations else path.parent


@cache
def _top_level() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _add_distribution(name: str, found: dict[str, str]) -> None:
    """Add a distribution and all that it requires, as installed here."""
    pending = [name]
    while pending:
        current = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if current in found:
            continue
        try:
            distribution = importlib.metadata.distribution(current)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[current] = distribution.version
        pending.extend(_required(distribution.requires or ()))


def _required(requirements: Iterable[str]) -> Iterator[str]:
    for requirement in requirements:
        if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            yield match.group()
