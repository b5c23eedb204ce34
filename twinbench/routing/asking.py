"""A router asked: whatever it answers or raises becomes a choice or the text of what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twinbench.routing.router import Call, Choice, DecisionError, Router, RouterError, checked


class RemoteRouter:
    """A router of ours that stands for one elsewhere, and measures how long that takes to answer."""

    last_decision_ms: float | None = None
    """How long the last decision took, from the question sent until the answer had arrived, by our clock: not what it
    took to start a process or to make a connection's address. None where nothing was sent."""


def asked(router: Router, call: Call) -> tuple[Choice | str, float]:
    """A router's choice, or what went wrong, and how long it took in milliseconds."""
    started = time.perf_counter()
    try:
        answer: object = router.route(call)
    except RouterError as failure:
        return str(failure), _latency_ms(router, started)
    except Exception as error:  # noqa: BLE001 - a router is somebody else's code; whatever it raises is an answer's error
        return f"route raised {type(error).__name__}: {error}", _ms_since(started)
    latency_ms = _latency_ms(router, started)
    try:
        return checked(answer, call.candidates), latency_ms
    except DecisionError as error:
        return str(error), latency_ms
    except Exception as error:  # noqa: BLE001 - an answer may be an object whose own methods raise
        return f"looking at the answer raised {type(error).__name__}: {error}", latency_ms


def told(router: Router, hook: str, *arguments: Any) -> str | None:
    """Call an optional method of a router; what it raised, if it did."""
    method: Callable[..., None] | None = getattr(router, hook, None)
    if method is None:
        return None
    try:
        method(*arguments)
    except RouterError as failure:
        return str(failure)
    except Exception as error:  # noqa: BLE001 - as above
        return f"{hook} raised {type(error).__name__}: {error}"
    return None


def _latency_ms(router: Router, started: float) -> float:
    """How long a decision took: of a router of somebody else's nothing but our own clock counts."""
    measured = router.last_decision_ms if isinstance(router, RemoteRouter) else None
    return _ms_since(started) if measured is None else measured


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
