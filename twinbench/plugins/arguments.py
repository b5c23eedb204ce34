"""Convert the arguments of a router spec to the types that the router's constructor declares.

Standard library only: the same code runs in a router's own process.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_TRUE = frozenset({"true", "yes", "1", "on"})
_FALSE = frozenset({"false", "no", "0", "off"})


class ArgumentError(ValueError):
    """An unknown argument, or a value that the constructor does not accept."""


CALL = "call"
"""Names of the parameter of functions that are routers."""


def convert_arguments(
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
        texts: the texts by name.
        folder: the folder that relative paths start from.
        given: a parameter that somebody else gives.

    Raises:
        ArgumentError: unknown name, wrong value, or a required parameter that is missing.
    """
    refuse_arguments(constructor, texts, given)
    hints = _type_hints(constructor)
    values = {name: _convert(name, text, hints.get(name, str)) for name, text in texts.items()}
    return {name: folder / value if folder and isinstance(value, Path) else value for name, value in values.items()}


def refuse_arguments(constructor: Callable[..., Any], names: Iterable[str], given: str | None = None) -> None:
    """Refuse arguments of a spec that a constructor does not take, and a spec that leaves one out.

    Args:
        constructor: a class or a function.
        names: the names of the arguments in the spec.
        given: a parameter that somebody else gives.

    Raises:
        ArgumentError: unknown name, or a required parameter that is missing.
    """
    parameters = _signature_parameters(constructor)
    named = {name: each for name, each in parameters.items() if each.kind in _BY_NAME and name != given}
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    names = set(names)
    if not takes_any and (unknown := sorted(names - named.keys())):
        known = ", ".join(named) or "none"
        raise ArgumentError(f"it takes no argument {unknown[0]!r}; its arguments: {known}")
    for name, each in parameters.items():
        if each.default is not each.empty or name in names or name == given:
            continue
        if each.kind is each.POSITIONAL_ONLY:
            raise ArgumentError(f"it needs the argument {name!r} by position, which a spec cannot give")
        if each.kind in _BY_NAME:
            raise ArgumentError(f"it needs the argument {name!r}: add ?{name}=…")


def call_parameter(function: Callable[..., Any], texts: Mapping[str, str]) -> str | None:
    """The parameter through which a function takes the call, where it is a router itself; None where it makes one.

    It is the first, has no default, is not among the arguments of the spec, and its type is none that a spec can give;
    there is no other that is missing, or it is called ``call``.
    """
    if inspect.isclass(function):
        return None
    parameters = list(_signature_parameters(function).values())
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


def _signature_parameters(constructor: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
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


def _convert(name: str, text: str, declared: Any) -> Any:
    origin = typing.get_origin(declared)
    if origin is typing.Union or origin is types.UnionType:
        return _convert_to_first_fitting(name, text, typing.get_args(declared), declared)
    if origin is typing.Annotated:
        return _convert(name, text, typing.get_args(declared)[0])
    if origin is typing.Literal:
        return _convert_to_first_fitting(name, text, [type(value) for value in typing.get_args(declared)], declared)
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
        raise ArgumentError(f"its argument {name!r} has type {_type_name(declared)}, which a spec cannot express")
    raise ArgumentError(f"its argument {name!r} must be of type {_type_name(declared)}, not {text!r}")


def _convert_to_first_fitting(name: str, text: str, types_: typing.Iterable[Any], declared: Any) -> Any:
    # A text always fits str, so the other members of a union are tried first.
    for type_ in sorted(types_, key=lambda candidate: candidate is str):
        try:
            value = _convert(name, text, type_)
        except ArgumentError:
            continue
        if typing.get_origin(declared) is not typing.Literal or value in typing.get_args(declared):
            return value
    raise ArgumentError(f"its argument {name!r} must be {_type_name(declared)}, not {text!r}")


def _type_name(declared: Any) -> str:
    return declared.__name__ if inspect.isclass(declared) else str(declared).removeprefix("typing.")
