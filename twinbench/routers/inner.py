"""The routers that a wrapper can hold, and how it makes one from the text of its argument ``inner``."""

from __future__ import annotations

import inspect
from typing import Any
from urllib.parse import parse_qsl

from twinbench.routers.boosting import Boosting
from twinbench.routers.cascade import Cascade
from twinbench.routers.clusters import Clusters
from twinbench.routers.knn import Knn
from twinbench.routers.ordinal import Ordinal
from twinbench.routers.periodic import Periodic
from twinbench.routers.stage import Stage
from twinbench.routers.stall import Stall
from twinbench.routing.built_in import (
    AlwaysHigh,
    AlwaysLow,
    AlwaysMid,
    AlwaysMidHigh,
    DepthRule,
    Random,
    RoundRobin,
    Sticky,
)
from twinbench.routing.router import Router

UNWRAPPED: dict[str, type[Router]] = {
    "always-low": AlwaysLow,
    "always-mid": AlwaysMid,
    "always-mid_high": AlwaysMidHigh,
    "always-high": AlwaysHigh,
    "random": Random,
    "round-robin": RoundRobin,
    "depth-rule": DepthRule,
    "sticky": Sticky,
    "cascade": Cascade,
    "stage": Stage,
    "stall": Stall,
    "periodic": Periodic,
    "ordinal": Ordinal,
    "knn": Knn,
    "clusters": Clusters,
    "boosting": Boosting,
}
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
