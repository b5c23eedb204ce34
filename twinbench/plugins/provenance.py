"""Find what a router's decisions depend on: its files and the distributions that they import.

Imports are followed in the source text, without running it, so that lazily imported modules count too. Standard library
only: the same code runs in a router's own environment. Data files of a router count only if an argument names them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ENTRY_POINTS = "twinbench.routers"
"""The entry point group in which packages register their routers."""


_NOTHING: Mapping[str, Mapping[str, str]] = {"files": {}, "paths": {}, "distributions": {}}
"""What a router depends on of which there is no file: one that is written in C, say."""


class RouterNotFoundError(Exception):
    """The router does not exist in this environment; the text says which ones do."""


class _Module(NamedTuple):
    """A module's source file."""

    file: Path
    package: str | None
    """The package that relative imports start from; None for a bare file."""
    root: Path
    """The folder on the search path in which it was found."""


def describe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Describe where a router is and what its decisions depend on, in the current environment.

    Args:
        request: ``kind``, ``target``, ``attribute``, ``arguments`` of its spec, ``path`` (folders searched first) and
            ``folder`` (from which relative paths in arguments start).

    Returns:
        ``kind``, ``target`` and ``attribute`` with entry points resolved, ``files`` (name to sha256), ``paths`` (name
        to path), ``distributions`` (name to version) and the version of Python.

    Raises:
        RouterNotFoundError: the entry point or module does not exist.
    """
    kind, target, attribute = request["kind"], request["target"], request["attribute"]
    path = list(request["path"])
    if kind == "entry-point":
        known = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
        if target not in known:
            raise RouterNotFoundError(f"no router has that name; installed: {', '.join(sorted(known)) or 'none'}")
        kind, target, attribute = "module", known[target].module, known[target].attr
    found: _Module | None
    if kind == "file":
        file = Path(target).resolve()
        found = _Module(file, None, file.parent)
    else:
        top = target.split(".")[0]
        found = _module_file(target, _search_root(top, path))
        if found is None and top not in sys.stdlib_module_names and _search_root(top, path) is None:
            raise RouterNotFoundError(f"no module {top!r}; install it, or run from its folder")
    return {
        "kind": kind,
        "target": target,
        "attribute": attribute,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        **(provenance(found.file, found.package, path) if found is not None else _NOTHING),
        "arguments": _argument_files(request["arguments"], Path(request["folder"])),
    }


def provenance(entry: Path, package: str | None, path: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Return the files (name to sha256, and to path) and distributions (name to version) that a router depends on.

    A file is named relative to the folder on the search path in which its module was found, so that the name does not
    depend on where that folder is. The router's own package, and modules that belong to no distribution, count file by
    file, so that an edit is noticed; everything else counts by its distribution's version.

    Args:
        entry: the file that defines the router.
        package: the dotted package of ``entry``, from which its relative imports start; None for a bare file.
        path: folders that are searched before ``sys.path``.
    """
    root = entry.parents[len(package.split("."))] if package else entry.parent
    own = (package or entry.stem).split(".")[0]
    files: dict[str, str] = {}
    paths: dict[str, str] = {}
    distributions: dict[str, str] = {}
    pending: list[_Module] = [_Module(entry, package, root)]
    while pending:
        here, inside, found_in = pending.pop()
        name = here.relative_to(found_in).as_posix()
        if name in files:
            continue
        content = here.read_bytes()
        files[name] = hashlib.sha256(content).hexdigest()
        paths[name] = str(here)
        for imported in _with_parent_packages(_imported_names(content, inside), inside):
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
            found = _module_file(imported, root if top == own else _search_root(top, path))
            if found is not None:
                pending.append(found)
    if package and (own_distribution := _top_level().get(own)):
        _add_distribution(own_distribution[0], distributions)
    return {"files": files, "paths": paths, "distributions": distributions}


def _argument_files(arguments: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the SHA-256 of files that arguments name."""
    paths = {name: folder / value for name, value in arguments.items() if value}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if _is_file(path)}


def _is_file(path: Path) -> bool:
    """Whether a path is that of a file; a text that is too long for a path, or has a null byte, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _imported_names(content: bytes, package: str | None) -> Iterator[str]:
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


def _with_parent_packages(imports: Iterable[str], package: str | None) -> list[str]:
    """Return all modules that run when these are imported by a module of ``package``, including enclosing packages."""
    names = {*imports, *([package] if package else [])}
    return sorted(
        {".".join(parts[:size]) for parts in (n.split(".") for n in names) for size in range(1, len(parts) + 1)}
    )


def _module_file(module: str, root: Path | None) -> _Module | None:
    """Find a module's file under ``root``."""
    if root is None:
        return None
    beside = root.joinpath(*module.split("."))
    for path, package in ((beside.with_suffix(".py"), module.rpartition(".")[0]), (beside / "__init__.py", module)):
        if _is_file(path):
            return _Module(path, package or None, root)
    return None


def _search_root(top: str, path: Sequence[str]) -> Path | None:
    """Return the folder on the search path that contains a top-level module, without importing it."""
    try:
        spec = importlib.machinery.PathFinder.find_spec(top, [*path, *sys.path])
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    found = Path(spec.origin)
    return found.parent.parent if spec.submodule_search_locations else found.parent


@cache
def _top_level() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _add_distribution(name: str, found: dict[str, str]) -> None:
    """Add a distribution and all its requirements, as installed here."""
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
        pending.extend(_requirement_names(distribution.requires or ()))


def _requirement_names(requirements: Iterable[str]) -> Iterator[str]:
    for requirement in requirements:
        if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            yield match.group()


def main() -> None:
    """Answer one request on standard input; a ``RouterNotFoundError`` is written as ``not_found``."""
    try:
        found = describe(json.load(sys.stdin))
    except RouterNotFoundError as error:
        found = {"not_found": str(error)}
    json.dump(found, sys.stdout)
