"""Functions that remember their results."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tidecache.cache import Cache

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = object()


def memoize(cache: Cache) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that keeps results in the cache, by function and arguments, which must be hashable."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def remembering(*args: P.args, **kwargs: P.kwargs) -> R:
            key = call_key(function, args, kwargs)
            found = cache.get(key, _MISSING)
            if found is _MISSING:
                found = function(*args, **kwargs)
                cache.put(key, found)
            return found

        return remembering

    return decorate


def call_key(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    """What identifies a call; the order of keyword arguments does not matter."""
    return (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
