"""Ask a router for a decision and call its hooks, turning any exception or invalid answer into an error message."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twinbench.routing.router import Call, Choice, DecisionError, Router, RouterError, validate_decision


class RemoteRouter:
    """A twinbench router that forwards calls to a router in another process or behind HTTP, and times its answers."""

    last_decision_ms: float | None = None
    """Milliseconds from sending the last call until its answer arrived, by twinbench's clock, without the time to start
    a process or resolve an address. None if nothing was sent."""


def ask_router(router: Router, call: Call) -> tuple[Choice | str, float]:
    """Ask a router for a decision; return its choice or an error message, and how long it took in milliseconds."""
    started = time.perf_counter()
    try:
        answer: object = router.route(call)
    except RouterError as failure:
        return str(failure), _latency_ms(router, started)
    except Exception as error:  # noqa: BLE001 - a router is somebody else's code; whatever it raises is an answer's error
        return f"route raised {type(error).__name__}: {error}", _ms_since(started)
    latency_ms = _latency_ms(router, started)
    try:
        return validate_decision(answer, call.candidates), latency_ms
    except DecisionError as error:
        return str(error), latency_ms
    except Exception as error:  # noqa: BLE001 - an answer may be an object whose own methods raise
        return f"looking at the answer raised {type(error).__name__}: {error}", latency_ms


def call_hook(router: Router, hook: str, *arguments: Any) -> str | None:
    """Call an optional hook of a router if it has one; return an error message if it raised, else None."""
    method: Callable[..., None] | None = getattr(router, hook, None)
    if not callable(method):
        return None
    try:
        method(*arguments)
    except RouterError as failure:
        return str(failure)
    except Exception as error:  # noqa: BLE001 - as above
        return f"{hook} raised {type(error).__name__}: {error}"
    return None


def _latency_ms(router: Router, started: float) -> float:
    """Return how long a decision took in milliseconds: only a ``RemoteRouter`` may report its own measurement; for any
    other router twinbench's clock counts.
    """
    measured = router.last_decision_ms if isinstance(router, RemoteRouter) else None
    return _ms_since(started) if measured is None else measured


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
