"""The routers that a wrapper can hold, and how it makes one from the text of its argument ``inner``."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import parse_qsl

from twinbench.routers.by_name import RoutersByName
from twinbench.routing.router import Router

_BASELINES = "twinbench.routing.built_in"
UNWRAPPED = RoutersByName(
    {
        "always-low": f"{_BASELINES}:AlwaysLow",
        "always-mid": f"{_BASELINES}:AlwaysMid",
        "always-mid_high": f"{_BASELINES}:AlwaysMidHigh",
        "always-high": f"{_BASELINES}:AlwaysHigh",
        "random": f"{_BASELINES}:Random",
        "round-robin": f"{_BASELINES}:RoundRobin",
        "depth-rule": f"{_BASELINES}:DepthRule",
        "sticky": f"{_BASELINES}:Sticky",
        "cascade": "twinbench.routers.cascade:Cascade",
        "stage": "twinbench.routers.stage:Stage",
        "stall": "twinbench.routers.stall:Stall",
        "periodic": "twinbench.routers.periodic:Periodic",
        "ordinal": "twinbench.routers.ordinal:Ordinal",
        "knn": "twinbench.routers.knn:Knn",
        "clusters": "twinbench.routers.clusters:Clusters",
        "boosting": "twinbench.routers.boosting:Boosting",
    }
)
"""The built-in routers that hold no other router, by name."""

_TRUE = frozenset({"true", "yes", "1", "on"})


def make_inner(text: str) -> Router:
    """Make the built-in router that a wrapper holds.

    Args:
        text: its name and arguments, such as ``ordinal?tau=0.7``; ``%26`` stands for ``&`` within a spec.

    Raises:
        ValueError: there is no such router, or an argument is invalid.
    """
    name, _, query = text.partition("?")
    constructor = UNWRAPPED.get(name)
    if constructor is None:
        raise ValueError(f"inner must be a built-in router that holds no other ({', '.join(UNWRAPPED)}), not {name!r}")
    parameters = inspect.signature(constructor).parameters
    arguments: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in parameters:
            raise ValueError(f"{name} takes no argument {key!r}; its arguments: {', '.join(parameters) or 'none'}")
        default = parameters[key].default
        arguments[key] = value.lower() in _TRUE if isinstance(default, bool) else type(default)(value)
    return constructor(**arguments)


def call_inner(inner: Router, hook: str, argument: Any) -> None:
    """Call an optional method of the router that a wrapper holds, if it has one."""
    method = getattr(inner, hook, None)
    if method is not None:
        method(argument)
