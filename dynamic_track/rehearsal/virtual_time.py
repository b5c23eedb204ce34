"""The time of a rehearsal: it passes as the simulated provider declares, not as the machine is busy."""

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
    """A time that stands still until it is moved; waiting moves it."""

    def __init__(self, at: float = BEGINNING) -> None:
        self._at = at

    def now(self) -> float:
        """Seconds since 1970."""
        return self._at

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        self._at += max(0.0, seconds)


@dataclass
class VirtualClocks:
    """A clock for each session: what one trial does takes no time of another's."""

    _clocks: dict[str, VirtualClock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, session: str, since: float | None = None) -> Clock:
        """The clock of a session.

        Args:
            session: the value of its header.
            since: when its recording ends, where it has one: it goes on from there.
        """
        return self._of(session, since)

    def _of(self, session: str, since: float | None = None) -> VirtualClock:
        with self._lock:
            if session not in self._clocks:
                self._clocks[session] = VirtualClock(BEGINNING if since is None else since)
            return self._clocks[session]


@dataclass(frozen=True)
class DeclaredTime:
    """A source whose answers take as long as they declare."""

    source: ResponseSource
    clocks: VirtualClocks

    def fetch(self, request: Request, within_s: float) -> Response:
        """Ask once, and move the session's clock."""
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
