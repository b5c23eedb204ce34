"""The built-in routers by the name that a spec gives them."""

from __future__ import annotations

from twinbench.routers.boosting import Boosting
from twinbench.routers.cascade import Cascade
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
    "stage": Stage,
    "stall": Stall,
    "periodic": Periodic,
    "ordinal": Ordinal,
    "knn": Knn,
    "boosting": Boosting,
}


def has_to_be_trained(name: str) -> bool:
    """Whether a built-in router learns from a bank, and decides nothing before."""
    return hasattr(BUILT_IN[name], "fit")
