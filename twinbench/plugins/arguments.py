"""Convert the arguments of a router spec to the types that the router's constructor declares.

Standard library only: the same code runs in a router's own process.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

_TRUE = frozenset({"true", "yes", "1", "on"})
_FALSE = frozenset({"false", "no", "0", "off"})


class ArgumentError(ValueError):
    """An unknown argument, or a value that the constructor does not accept."""


CALL = "call"
"""What functions that are routers call their parameter."""


def typed_arguments(
    constructor: Callable[..., Any],
    texts: Mapping[str, str],
    folder: Path | None = None,
    *,
    given: str | None = None,
) -> dict[str, Any]:
    """Convert ``texts`` to keyword arguments for ``constructor``; relative paths start from ``folder``.

    Supported types are int, float, bool, str, Path, Literal, Enum (by name or value), and optionals and unions of
    these; a parameter without a declared type gets the text.

    Args:
        constructor: a class or a function.
        texts: by name.
        folder: that relative paths start from.
        given: a parameter that somebody else gives.

    Raises:
        ArgumentError: unknown name, wrong value, or a required parameter that is missing.
    """
    parameters = _parameters(constructor)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != given
    }
    for name in texts:
        if name not in named and not takes_any:
            known = ", ".join(named) or "none"
            raise ArgumentError(f"it takes no argument {name!r}; its arguments: {known}")
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in texts:
            raise ArgumentError(f"it needs the argument {name!r}: add ?{name}=…")
    hints = _type_hints(constructor)
    values = {name: _converted(name, text, hints.get(name, str)) for name, text in texts.items()}
    return {name: folder / value if folder and isinstance(value, Path) else value for name, value in values.items()}


def call_parameter(function: Callable[..., Any], texts: Mapping[str, str]) -> str | None:
    """The parameter through which a function takes the call, where it is a router itself; None where it makes one.

    It is the first, has no default, is not among the arguments of the spec, and its type is none that a spec can give;
    there is no other that is missing, or it is called ``call``.
    """
    if inspect.isclass(function):
        return None
    parameters = list(_parameters(function).values())
    needed = [
        each
        for each in parameters
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in texts
    ]
    if not needed or needed[0] is not parameters[0] or needed[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return None
    if len(needed) > 1 and needed[0].name != CALL:
        return None
    declared = _type_hints(function).get(needed[0].name, Any)
    by_text = declared in (int, float, bool, str, Path) or (inspect.isclass(declared) and issubclass(declared, Enum))
    return None if by_text else needed[0].name


def _parameters(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(constructor).parameters
    except (TypeError, ValueError):  # a class written in C may have no signature
        return {}


def _type_hints(constructor: Callable[..., Any]) -> dict[str, Any]:
    function = constructor.__init__ if inspect.isclass(constructor) else constructor
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - annotations are somebody else's code and may name what does not exist here
        return {}


def _converted(name: str, text: str, declared: Any) -> Any:
    origin = typing.get_origin(declared)
    if origin is typing.Union or origin is types.UnionType:
        return _first_that_fits(name, text, typing.get_args(declared), declared)
    if origin is typing.Annotated:
        return _converted(name, text, typing.get_args(declared)[0])
    if origin is typing.Literal:
        return _first_that_fits(name, text, [type(value) for value in typing.get_args(declared)], declared)
    if declared is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
    elif declared is type(None):
        if text.lower() == "none":
            return None
    elif inspect.isclass(declared) and issubclass(declared, Enum):
        for member in declared:
            if text.lower() in (member.name.lower(), str(member.value).lower()):
                return member
    elif declared in (int, float, Path):
        try:
            return declared(text)
        except ValueError:
            pass
    elif declared in (str, Any):
        return text
    else:
        raise ArgumentError(f"its argument {name!r} has type {_named(declared)}, which a spec cannot express")
    raise ArgumentError(f"its argument {name!r} must be of type {_named(declared)}, not {text!r}")


def _first_that_fits(name: str, text: str, types_: typing.Iterable[Any], declared: Any) -> Any:
    # A text always fits str, so the other members of a union are tried first.
    for type_ in sorted(types_, key=lambda candidate: candidate is str):
        try:
            value = _converted(name, text, type_)
        except ArgumentError:
            continue
        if typing.get_origin(declared) is not typing.Literal or value in typing.get_args(declared):
            return value
    raise ArgumentError(f"its argument {name!r} must be {_named(declared)}, not {text!r}")


def _named(declared: Any) -> str:
    return declared.__name__ if inspect.isclass(declared) else str(declared).removeprefix("typing.")
