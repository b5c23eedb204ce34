"""From a spec to a router that can be asked."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint, sha256_file
from twinbench.plugins.arguments import ArgumentError, typed_arguments
from twinbench.plugins.provenance import provenance
from twinbench.plugins.spec import RouterSpec, parse_spec
from twinbench.router import Router
from twinbench.routers import BUILT_IN
from twinbench.routers import __file__ as built_in_file


@dataclass(frozen=True)
class LoadedRouter:
    """A router with the name it goes by and the fingerprint of what its decisions depend on."""

    name: str
    router: Router
    fingerprint: str | None
    """None for an instance: nobody knows what it depends on, so its results are never kept."""


def load_router(spec: str | Router) -> LoadedRouter:
    """The router that ``spec`` names, or an instance as it is.

    Raises:
        UsageError: nothing is found under that name, or the arguments do not fit.
        TwinbenchError: the router's own code fails while it loads.
    """
    if not isinstance(spec, str):
        return LoadedRouter(f"instance:{type(spec).__name__}", spec, None)
    parsed = parse_spec(spec)
    if parsed.kind == "built-in":
        return LoadedRouter(spec, _constructed(parsed, BUILT_IN[parsed.target]), _built_in_fingerprint(parsed))
    module = _imported(parsed)
    constructor = getattr(module, parsed.attribute, None)
    if not callable(constructor):
        known = ", ".join(_router_names(module)) or "none with a route method"
        raise UsageError(f"router {spec!r}: {parsed.target} has no class {parsed.attribute!r}; it has {known}")
    return LoadedRouter(spec, _constructed(parsed, constructor), _fingerprint(parsed, module))


def _constructed(spec: RouterSpec, constructor: Callable[..., Any]) -> Router:
    try:
        arguments = typed_arguments(constructor, spec.arguments)
    except ArgumentError as error:
        raise UsageError(f"router {spec.text!r}: {error}") from None
    try:
        router = constructor(**arguments)
    except ValueError as error:
        if spec.arguments:
            raise UsageError(f"router {spec.text!r}: {error}") from None
        raise _failed(spec, "its constructor", error) from error
    except Exception as error:
        raise _failed(spec, "its constructor", error) from error
    if not isinstance(router, Router):
        raise UsageError(f"router {spec.text!r}: {spec.attribute or spec.target} has no method route(call)")
    return router


def _imported(spec: RouterSpec) -> ModuleType:
    try:
        return _import_file(spec) if spec.kind == "file" else _import_module(spec)
    except UsageError:
        raise
    except SystemExit as error:
        raise TwinbenchError(f"router {spec.text!r}: importing {spec.target} ended the program ({error})") from error
    except Exception as error:
        raise _failed(spec, f"importing {spec.target}", error) from error


def _import_module(spec: RouterSpec) -> ModuleType:
    top = spec.target.split(".")[0]
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a console script's path lacks the folder that `python -m` would look in
    if importlib.util.find_spec(top) is None:
        raise UsageError(f"router {spec.text!r}: no module {top!r} here; install it or run from its folder")
    return importlib.import_module(spec.target)


def _import_file(spec: RouterSpec) -> ModuleType:
    path = Path(spec.target).resolve()
    if not path.is_file():
        raise UsageError(f"router {spec.text!r}: no file {spec.target}")
    # Named by its path, so that two files of one name do not meet; its folder is searched for its siblings.
    name = f"twinbench_router_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    assert module_spec is not None  # noqa: S101 - a .py file always has a loader
    assert module_spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(module_spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    module_spec.loader.exec_module(module)
    return module


def _failed(spec: RouterSpec, where: str, error: Exception) -> TwinbenchError:
    return TwinbenchError(f"router {spec.text!r}: {where} raised {type(error).__name__}: {error}")


def _router_names(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, type) and hasattr(value, "route")]


def _fingerprint(spec: RouterSpec, module: ModuleType) -> str:
    entry = Path(module.__file__) if module.__file__ is not None else None
    parts = {} if entry is None else provenance(entry, module.__package__ or None, spec.arguments)
    return fingerprint({"attribute": spec.attribute, "arguments": spec.arguments, **parts})


def _built_in_fingerprint(spec: RouterSpec) -> str:
    package = Path(built_in_file).parent
    files = {name: sha256_file(package / name) for name in ("routers.py", "router.py", "tiers.py")}
    return fingerprint({"built-in": spec.target, "arguments": spec.arguments, "files": files})
