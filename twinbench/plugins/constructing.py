"""From a request to load a router to an object that can be asked: imported, and made with its arguments.

Standard library only: it is part of a router's own process.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from twinbench.plugins import published, trb
from twinbench.plugins.arguments import ArgumentError, call_parameter, typed_arguments
from twinbench.plugins.raised import describe_error
from twinbench.routing.accepting import NotARouterError, as_router


class LoadError(Exception):
    """A router that cannot be loaded; ``usage`` where its name or arguments are at fault rather than its code."""

    def __init__(self, text: str, *, usage: bool) -> None:
        super().__init__(text)
        self.usage = usage


def construct_router(request: Mapping[str, Any]) -> Any:
    """The router that a load request describes.

    Raises:
        LoadError: there is no such router, or its code fails.
    """
    sys.path[:0] = request["path"]
    if request["kind"] == "trb":
        published.install()
    kind, attribute, arguments = request["kind"], request["attribute"], request["arguments"]
    folder = Path(request["folder"])
    found = _attribute(_imported(request), request["target"], attribute, published=kind == "trb")
    try:
        if kind == "trb":
            texts = published.read_arguments(found, arguments, folder, attribute)
            return trb.adapted(found(**texts), request["models"])
        made = _made(found, attribute, arguments, folder)
    except (ArgumentError, trb.NotPublishedError) as error:
        raise LoadError(str(error), usage=True) from error
    except BaseException as error:
        raise LoadError(f"its constructor {describe_error(error, arguments)}", usage=False) from error
    try:
        return as_router(made, attribute)
    except NotARouterError as error:
        raise LoadError(str(error), usage=True) from error


def _imported(request: Mapping[str, Any]) -> Any:
    """The module that a router is in."""
    target = request["target"]
    try:
        return _import_file(Path(target)) if request["kind"] == "file" else importlib.import_module(target)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{target}.".startswith(f"{error.name}."):
            raise LoadError(f"no module {target!r} here", usage=True) from error
        raise LoadError(f"importing {target} {describe_error(error)}", usage=False) from error
    except BaseException as error:
        raise LoadError(f"importing {target} {describe_error(error)}", usage=False) from error


def _attribute(module: Any, target: str, attribute: str, *, published: bool) -> Any:
    """What stands under a name in a module: a class, a function, or a router that the module made."""
    found = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if callable(found) or callable(getattr(found, "route", None)):
        return found
    methods = ("select", "predict") if published else ("route",)
    names = [name for name, value in vars(module).items() if inspect.isclass(value) and {*methods} & {*dir(value)}]
    known = ", ".join(names) or f"none with a method {' or '.join(methods)}"
    raise LoadError(f"{target} has no class {attribute!r}; it has {known}", usage=True)


def _made(found: Any, attribute: str, arguments: Mapping[str, str], folder: Path) -> Any:
    """What a class or a factory makes of the arguments; a function of one call, with its settings; or what is there."""
    if not inspect.isclass(found) and callable(getattr(found, "route", None)):
        if arguments:
            raise ArgumentError(f"{attribute} is a router already, which takes no arguments: name its class")
        return found
    if (takes_call := call_parameter(found, arguments)) is not None:
        return partial(found, **typed_arguments(found, arguments, folder, given=takes_call))
    return found(**typed_arguments(found, arguments, folder))


def _import_file(path: Path) -> Any:
    # Named by its path, so that a file called like an installed module does not meet it.
    name = f"twinbench_router_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
