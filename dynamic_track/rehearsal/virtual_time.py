"""The time of a rehearsal: it passes as the simulated provider declares, independent of the machine's speed."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from twinbench.calls.completion import SIMULATED
from twinbench.calls.exchange import Request, Response, ResponseSource
from twinbench.routing.clock import Clock

BEGINNING = 1_767_225_600.0
"""When every trial of a rehearsal begins: 2026-01-01, 00:00 UTC."""


class VirtualClock:
    """A clock that stands still until it is moved; waiting moves it."""

    def __init__(self, at: float = BEGINNING) -> None:
        self._at = at

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._at

    def sleep(self, seconds: float) -> None:
        """Let time pass, without waiting."""
        self._at += max(0.0, seconds)


@dataclass
class VirtualClocks:
    """A clock for each session: what happens in one trial takes no time in another."""

    _clocks: dict[str, VirtualClock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, session: str, since: float | None = None) -> Clock:
        """Return the clock of a session.

        Args:
            session: the value of its header.
            since: when its recording ends, if it has one: the clock continues from there.
        """
        return self._of(session, since)

    def _of(self, session: str, since: float | None = None) -> VirtualClock:
        with self._lock:
            if session not in self._clocks:
                self._clocks[session] = VirtualClock(BEGINNING if since is None else since)
            return self._clocks[session]


@dataclass(frozen=True)
class DeclaredTime:
    """A response source whose answers take as long as they declare."""

    source: ResponseSource
    clocks: VirtualClocks

    def fetch(self, request: Request, within_s: float) -> Response:
        """Send a request once, and move the session's clock."""
        response = self.source.fetch(request, within_s)
        seconds = _declared_s(response.body)
        self.clocks.of(request.session).sleep(seconds)
        return replace(response, latency_s=seconds)


def _declared_s(body: bytes) -> float:
    try:
        content: Any = json.loads(body)
        declared = content.get(SIMULATED) if isinstance(content, Mapping) else None
        return float(declared["seconds"]) if isinstance(declared, Mapping) else 0.0
    except (ValueError, KeyError, TypeError):
        return 0.0
