"""The built-in routers by the name that a spec gives them."""

from __future__ import annotations

from twinbench.routers.guard import Guard
from twinbench.routers.inner import UNWRAPPED
from twinbench.routers.session_aware import SessionAware
from twinbench.routing.router import Router

BUILT_IN: dict[str, type[Router]] = {**UNWRAPPED, "session-aware": SessionAware, "guard": Guard}


def has_to_be_trained(name: str) -> bool:
    """Whether a built-in router learns from a bank, and decides nothing before."""
    return hasattr(BUILT_IN[name], "fit")


def needs_of(name: str) -> str | None:
    """Return what a built-in router needs before it decides, for ``router list``; None if nothing."""
    if has_to_be_trained(name):
        return "training"
    return "what inner needs" if BUILT_IN[name] is SessionAware else None
