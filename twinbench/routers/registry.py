"""The built-in routers by the name that a spec gives them."""

from __future__ import annotations

from twinbench.routers.cascade import Cascade
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

BUILT_IN: dict[str, type[Router]] = {
    "always-low": AlwaysLow,
    "always-mid": AlwaysMid,
    "always-mid_high": AlwaysMidHigh,
    "always-high": AlwaysHigh,
    "random": Random,
    "round-robin": RoundRobin,
    "depth-rule": DepthRule,
    "sticky": Sticky,
    "cascade": Cascade,
}
