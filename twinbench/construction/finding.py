"""Find the executor or proposer that a configuration names: an entry point, a module or a file."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from twinbench.errors import UsageError
from twinbench.fingerprint import sha256_text, short
from twinbench.unexpected import describe_error

EXECUTORS = "twinbench.executors"
"""The entry point group of executor factories."""
PROPOSERS = "twinbench.proposers"
"""The entry point group of proposer factories."""


def find_factory(group: str, name: str) -> Callable[..., Any]:
    """Find the callable that opens an executor or a proposer.

    Args:
        group: the entry point group, ``EXECUTORS`` or ``PROPOSERS``.
        name: the name of an entry point, ``package.module:attribute``, or ``path/to/file.py:attribute``; a path is
            relative to the working directory.

    Raises:
        UsageError: there is nothing under this name, or it is not callable.
    """
    noun = group.rpartition(".")[2].removesuffix("s")
    target, colon, attribute = name.rpartition(":")
    if not colon:
        found = _load_entry_point(group, name, noun)
    elif not target or not attribute:
        raise UsageError(f"{noun} {name!r}: write package.module:attribute or path/to/file.py:attribute")
    else:
        module = _import_file(Path(target), noun) if target.endswith(".py") else _import_module(target, noun)
        if not hasattr(module, attribute):
            raise UsageError(f"{noun} {name!r}: {target} has no {attribute}")
        found = getattr(module, attribute)
    if not callable(found):
        raise UsageError(f"{noun} {name!r} is not callable, but an object of type {type(found).__name__}")
    factory: Callable[..., Any] = found
    return factory


def _load_entry_point(group: str, name: str, noun: str) -> Any:
    known = {point.name: point for point in importlib.metadata.entry_points(group=group)}
    if name not in known:
        installed = ", ".join(sorted(known)) or "none"
        raise UsageError(
            f"no {noun} is named {name!r} (installed: {installed}); name your own as package.module:attribute or "
            "path/to/file.py:attribute"
        )
    try:
        return known[name].load()
    except Exception as error:
        raise UsageError(f"{noun} {name!r} cannot be loaded: {describe_error(error)}") from error


def _import_module(name: str, noun: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise UsageError(f"{noun} module {name} cannot be imported: {describe_error(error)}") from error


def _import_file(path: Path, noun: str) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{noun}: no file {path}")
    name = f"twinbench_{noun}_{short(sha256_text(str(path.resolve())))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{noun}: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{noun} {path} cannot be loaded: {describe_error(error)}") from error
    return module
