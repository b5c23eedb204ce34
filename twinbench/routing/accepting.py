"""What counts as a router: an object with ``route(call)``, or a plain function of one call.

Standard library only: the same rule holds in the library and in a router's own process.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from twinbench.routing.router import NOT_AWAITED, Call, Candidate, Decision, Router
from twinbench.routing.tiers import Tier

RouteFunction = Callable[[Call], Decision | Candidate | Tier | str]
"""A router that is a function: it keeps nothing between calls."""

RouterLike = Router | RouteFunction
"""An object that can be called for decisions in this process."""


HOOKS = {"use": "llm", "warm_up": "", "start": "session", "observe": "outcome", "end": "session"}
"""Optional methods of a router, each with its argument."""


class NotARouterError(Exception):
    """An object that cannot be called for decisions; the message says why, and what to write instead."""


class FunctionRouter:
    """A router made of a function of one call."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        """Wrap a function, which takes a call and answers like ``Router.route``."""
        self.function = function

    @property
    def name(self) -> str:
        """The name that the function was defined under."""
        return name_of(self.function)

    def route(self, call: Any) -> Any:
        """Return the function's answer.

        Raises:
            TypeError: the function returned a router, so it is not a router but makes one.
        """
        answer = self.function(call)
        if callable(getattr(answer, "route", None)):
            raise TypeError(
                f"{self.name}(call) returned a router: if {self.name} makes one, give the argument that it makes it "
                f"from, as ?{next(iter(inspect.signature(self.function).parameters))}=…"
            )
        return answer


def as_router(value: object, named: str) -> Router:
    """Return ``value`` as an object that can be called for decisions.

    Args:
        value: what somebody gave as a router.
        named: how its author knows it; begins the text of the error.

    Raises:
        NotARouterError: it is not a router.
    """
    if inspect.isclass(value):
        made = (
            f"give an object of it, such as {value.__name__}()" if hasattr(value, "route") else _close_to_route(value)
        )
        raise NotARouterError(f"{named} is a class: {made}")
    route = getattr(value, "route", None)
    if callable(route):
        _refuse_async(route, f"the method route of {named}", "def route(self, call)")
        _refuse_signature(route, f"the method route of {named}", "def route(self, call)")
        _refuse_wrong_hooks(value, named)
        return value  # type: ignore[return-value]
    if callable(value):
        _refuse_async(value, named, f"def {name_of(value)}(call)")
        _refuse_signature(value, named, f"def {name_of(value)}(call)")
        return FunctionRouter(value)
    if route is not None:
        raise NotARouterError(
            f"{named} has an attribute route of type {type(route).__name__}, and no method route(call); "
            "write def route(self, call) in it"
        )
    raise NotARouterError(f"{named} has no method route(call){_close_to_route(value, '; ')}")


def name_of(function: object) -> str:
    """The name that a function or a class was defined under; of a partial function, that of what it calls."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__name__", None) or type(function).__name__


def _close_to_route(value: object, before: str = "") -> str:
    """A hint at a method that is nearly called ``route``."""
    close = difflib.get_close_matches(
        "route", [name for name in dir(value) if not name.startswith("_")], n=1, cutoff=0.7
    )
    if close:
        return f"{before}rename its {close[0]} to route"
    return f"{before}write def route(self, call) in it"


def _refuse_wrong_hooks(router: object, named: str) -> None:
    """Refuse optional methods in which nothing would ever run, and those that cannot be called."""
    for name, argument in HOOKS.items():
        hook = getattr(router, name, None)
        if not callable(hook):
            continue
        instead = f"def {name}({', '.join(['self', argument] if argument else ['self'])})"
        _refuse_async(hook, f"the method {name} of {named}", instead)
        if inspect.isgeneratorfunction(hook):
            raise NotARouterError(
                f"the method {name} of {named} has a yield in it, so that nothing of it would run; write {instead} "
                "without one"
            )
        _refuse_signature(hook, f"the method {name} of {named}", instead, argument)


def _refuse_async(function: Callable[..., Any], named: str, instead: str) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise NotARouterError(f"{named} is async def, and {NOT_AWAITED.format(instead=instead)}")


def _refuse_signature(function: Callable[..., Any], named: str, instead: str, argument: str = "call") -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a callable written in C may have no signature
        return
    try:
        signature.bind(*([None] if argument else []))
    except TypeError:
        given = f"one argument, the {argument}" if argument else "no argument"
        raise NotARouterError(
            f"{named} has the wrong signature {signature}: it is called with {given}; define it as {instead}"
        ) from None
