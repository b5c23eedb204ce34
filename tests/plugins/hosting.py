"""Routers in processes of their own, as tests ask them and look after them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.timing import HANG_S
from tests.twinbench.calls import TIERS, a_call
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.plugins.process_router import ProcessRouter
from twinbench.routing.router import Call, DecisionError, RouterError, validate_decision

MARK_VARIABLE = "TWINBENCH_TEST_MARK"
SESSION_WIDE_VARIABLE = "TWINBENCH_TEST_SESSION_WIDE"
"""Set in the environment of processes that serve tests until the session ends, and so are of no test."""


def session_environment(**more: str) -> dict[str, str]:
    """The environment of such a process: without the mark of the test that happens to start it."""
    environment = {name: value for name, value in os.environ.items() if name != MARK_VARIABLE}
    return {**environment, SESSION_WIDE_VARIABLE: "1", **more}


def hostile(file: str, name: str) -> str:
    """The spec of a router that behaves badly."""
    return f"{Path(__file__).parent / 'hostile' / file}.py:{name}"


def limits(**fields: Any) -> PluginLimits:
    """Limits of a router that is well, whose processes carry the mark of the test."""
    given = {"load_s": 30.0, "decision_s": 20.0, **fields}
    return PluginLimits(environment=(MARK_VARIABLE, *given.pop("environment", ())), **given)


@contextmanager
def hosted(spec: str, **fields: Any) -> Iterator[ProcessRouter]:
    """The router of a spec, in its process."""
    with load_router(spec, limits(**fields)).open(TIERS) as router:
        assert isinstance(router, ProcessRouter)
        yield router


def asked(router: Any, session: str = "session", step: int = 1, **fields: Any) -> str:
    """The id of the candidate that a router picks, or its error."""
    call = a_call(session=session, step_index=step, **fields)
    return decided(router, call)


def decided(router: Any, call: Call) -> str:
    """The same for a call."""
    try:
        return validate_decision(router.route(call), call.candidates).candidate.id
    except (RouterError, DecisionError) as error:
        return f"error: {error}"


def growing(steps: int, session: str = "session", size: int = 10) -> list[Call]:
    """The calls of a trajectory, two messages more at each step."""
    messages: list[dict[str, Any]] = []
    calls = []
    for step in range(1, steps + 1):
        messages = [
            *messages,
            {"role": "assistant", "content": f"{session} says {step}"},
            {"role": "user", "content": f"{session} sees {step} {'x' * size}"},
        ]
        calls.append(a_call(messages=tuple(messages), session=session, step_index=step))
    return calls


def marked(mark: str) -> list[psutil.Process]:
    """The processes other than this one that have the mark in their environment or on their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if mark in process.environ().values() or any(mark in word for word in process.cmdline()):
                found.append(process)
    return found


def children() -> list[psutil.Process]:
    """Processes that descend from this one, but for those that serve the whole session."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            serves_the_session = SESSION_WIDE_VARIABLE in process.environ()
        except psutil.ZombieProcess:
            serves_the_session = False
        except psutil.NoSuchProcess:
            continue
        if not serves_the_session:
            found.append(process)
    return found


def until(condition: Callable[[], bool], within_s: float = HANG_S) -> bool:
    """Whether a condition comes true in time."""
    limit = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True
