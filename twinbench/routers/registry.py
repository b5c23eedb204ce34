"""The built-in routers by the name that a spec gives them."""

from __future__ import annotations

from twinbench.routers.by_name import RoutersByName
from twinbench.routers.inner import UNWRAPPED

_SESSION_AWARE = "session-aware"
BUILT_IN = RoutersByName(
    {
        **UNWRAPPED.places,
        _SESSION_AWARE: "twinbench.routers.session_aware:SessionAware",
        "guard": "twinbench.routers.guard:Guard",
    }
)


def has_to_be_trained(name: str) -> bool:
    """Whether a built-in router learns from a bank, and decides nothing before."""
    return hasattr(BUILT_IN[name], "fit")


def needs_of(name: str) -> str | None:
    """Return what a built-in router needs before it decides, for ``router list``; None if nothing."""
    if has_to_be_trained(name):
        return "training"
    return "what inner needs" if name == _SESSION_AWARE else None
