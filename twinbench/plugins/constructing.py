"""Load a router on request: import it, and make an object with its arguments.

Standard library only: it is part of a router's own process.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from twinbench.plugins.arguments import ArgumentError, call_parameter, convert_arguments, refuse_arguments
from twinbench.plugins.raised import describe_error
from twinbench.routing.accepting import NotARouterError, as_router
from twinbench.routing.router import show_object

_MOST_NAMES = 40


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
    if request["kind"] == "trb":
        return _construct_published(request)
    sys.path[:0] = request["path"]
    if "artefact" in request:
        sys.path_hooks.insert(0, _source_only_hook(request["path"]))
    attribute, arguments = request["attribute"], request["arguments"]
    found = _attribute(_import_module(request), request["target"], attribute, published=False)
    try:
        made = _construct(found, attribute, arguments, Path(request["folder"]))
    except ArgumentError as error:
        raise LoadError(str(error), usage=True) from error
    except BaseException as error:
        raise LoadError(f"its constructor {describe_error(error, arguments)}", usage=False) from error
    try:
        return as_router(made, attribute)
    except NotARouterError as error:
        text = str(error) if _is_made_by_class(found, made) else _describe_returned(made, attribute)
        raise LoadError(text, usage=True) from error


def _construct_published(request: Mapping[str, Any]) -> Any:
    """A router of the TwinRouterBench repository; what it needs is imported here, since no other router needs it.

    Raises:
        LoadError: there is no such router, or its code fails.
    """
    from twinbench.plugins import published, twinrouterbench

    sys.path[:0] = request["path"]
    published.install()
    attribute, arguments = request["attribute"], request["arguments"]
    found = _attribute(_import_module(request), request["target"], attribute, published=True)
    try:
        texts = published.read_arguments(found, arguments, Path(request["folder"]), attribute)
        twinrouterbench.require_router_factory(found, attribute)
        refuse_arguments(found, texts)
        return twinrouterbench.adapt(found(**texts), request["models"])
    except (ArgumentError, twinrouterbench.NotPublishedError) as error:
        raise LoadError(str(error), usage=True) from error
    except BaseException as error:
        raise LoadError(f"its constructor {describe_error(error, arguments)}", usage=False) from error


def _import_module(request: Mapping[str, Any]) -> Any:
    """The module that a router is in."""
    target = request["target"]
    try:
        if request["kind"] != "file":
            return importlib.import_module(target)
        return _import_file(Path(target), _SourceLoader if "artefact" in request else SourceFileLoader)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{target}.".startswith(f"{error.name}."):
            raise LoadError(f"no module {target!r} here", usage=True) from error
        raise LoadError(f"importing {target} {describe_error(error)}", usage=False) from error
    except BaseException as error:
        raise LoadError(f"importing {target} {describe_error(error)}", usage=False) from error


def _attribute(module: Any, target: str, attribute: str, *, published: bool) -> Any:
    """Return what a name in a module refers to: a class, a function, or a router that the module made."""
    found, owner = module, None
    for part in attribute.split("."):
        found, owner = getattr(found, part, None), found
    if (
        inspect.isclass(owner)
        and inspect.isfunction(found)
        and next(iter(inspect.signature(found).parameters), "") == "self"
    ):
        raise LoadError(f"{attribute} is a method: name its class, {attribute.rpartition('.')[0]}", usage=True)
    if callable(found) or callable(getattr(found, "route", None)):
        return found
    methods = ("select", "predict") if published else ("route",)
    names = [name for name, value in vars(module).items() if inspect.isclass(value) and {*methods} & {*dir(value)}]
    known = ", ".join(names[:_MOST_NAMES]) or f"none with a method {' or '.join(methods)}"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    close = difflib.get_close_matches(attribute, [name for name, value in vars(module).items() if callable(value)])
    meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise LoadError(f"{target} has no class {attribute!r}; it has {known}{more}{meant}", usage=True)


def _is_made_by_class(found: Any, made: Any) -> bool:
    """Whether what was made is a class's object, what the module itself has, or a function of one call."""
    return inspect.isclass(found) or made is found or isinstance(made, partial) or _has_route(made)


def _has_route(made: Any) -> bool:
    return not inspect.isclass(made) and hasattr(made, "route")


def _describe_returned(made: Any, attribute: str) -> str:
    """Return the error message about a factory that returned something other than a router."""
    what = f"the class {made.__name__}" if inspect.isclass(made) else show_object(made)
    return (
        f"{attribute}() returned {what}, which is not a router: a function that makes a router returns an object with "
        f"route(call), and one that decides itself takes the call: def {attribute}(call)"
    )


def _construct(found: Any, attribute: str, arguments: Mapping[str, str], folder: Path) -> Any:
    """Make a router: call a class or factory with its arguments, bind a function's settings, or return an object."""
    if not inspect.isclass(found) and callable(getattr(found, "route", None)):
        if arguments:
            raise ArgumentError(f"{attribute} is a router already, which takes no arguments: name its class")
        return found
    if (takes_call := call_parameter(found, arguments)) is not None:
        return partial(found, **convert_arguments(found, arguments, folder, given=takes_call))
    return found(**convert_arguments(found, arguments, folder))


class _SourceLoader(SourceFileLoader):
    """Imports a module from its source alone.

    The files of a trained router have digests, and bytecode beside them has none: Python would run what anybody put
    there in place of the source.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _source_only_hook(folders: Sequence[str]) -> Callable[[str], FileFinder]:
    """Return a path hook by which modules in these folders, and below, are found and imported as source only."""

    def hook(path: str) -> FileFinder:
        if not Path(path).is_dir() or not any(Path(path).is_relative_to(folder) for folder in folders):
            raise ImportError
        return FileFinder(path, (_SourceLoader, [".py"]))

    return hook


def _import_file(path: Path, load_with: type[SourceFileLoader]) -> Any:
    # Named by its path, so that a file called like an installed module does not meet it.
    name = f"twinbench_router_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=load_with(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
