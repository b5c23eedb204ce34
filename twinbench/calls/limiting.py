"""Limits for each candidate, as providers set them: connections at once, requests and tokens a minute."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from twinbench.calls.exchange import Request, Response, ResponseSource
from twinbench.errors import UsageError

EVERY = "*"
"""Names every candidate that has no limits of its own."""

_CHARACTERS_PER_TOKEN = 4
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class CandidateLimits:
    """What may be asked of one candidate; None: as much as there is."""

    connections: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Of prompts, as their length tells."""


def parse_limits(text: str) -> tuple[str, CandidateLimits]:
    """A candidate's limits as the command line has them: ``acme/large:connections=4,rpm=60,tpm=100000``.

    Raises:
        UsageError: they are none.
    """
    names = {"connections": "connections", "rpm": "requests_per_minute", "tpm": "tokens_per_minute"}
    candidate, _, told = text.rpartition(":")
    found: dict[str, int] = {}
    for part in told.split(","):
        name, _, number = part.partition("=")
        if name not in names or not number.isdecimal() or int(number) < 1:
            candidate = ""
            break
        found[names[name]] = int(number)
    if not candidate:
        raise UsageError(
            f"--candidate-limit {text}: give ID:connections=N,rpm=N,tpm=N, some of the three; * is every ID"
        )
    return candidate, CandidateLimits(**found)


@dataclass
class Limited:
    """A source that keeps to the limits of candidates; who would exceed them waits, before anything is sent.

    Waiting is in no attempt's time.
    """

    source: ResponseSource
    limits: Mapping[str, CandidateLimits]
    """By the model's name; ``*`` for the others."""
    _connections: dict[str, threading.Semaphore] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        self._window = MovingWindowRateLimiter(MemoryStorage())

    def fetch(self, request: Request, within_s: float) -> Response:
        """Ask once."""
        model = str(request.body.get("model"))
        of = self.limits.get(model) or self.limits.get(EVERY) or CandidateLimits()
        with ExitStack() as held:
            if of.connections is not None:
                held.enter_context(self._connection(model, of.connections))
            self._wait(model, "requests", of.requests_per_minute, 1)
            if of.tokens_per_minute is not None:
                tokens = len(json.dumps(request.body, ensure_ascii=False)) // _CHARACTERS_PER_TOKEN
                # One prompt that is longer than a minute's tokens takes a whole minute of its own.
                self._wait(model, "tokens", of.tokens_per_minute, min(tokens, of.tokens_per_minute))
            return self.source.fetch(request, within_s)

    def _connection(self, model: str, most: int) -> threading.Semaphore:
        with self._lock:
            return self._connections.setdefault(model, threading.Semaphore(most))

    def _wait(self, model: str, what: str, most: int | None, cost: int) -> None:
        if most is None:
            return
        from limits import RateLimitItemPerMinute

        item: Any = RateLimitItemPerMinute(most)
        while not self._window.hit(item, what, model, cost=cost):
            stats = self._window.get_window_stats(item, what, model)
            time.sleep(min(max(stats.reset_time - time.time(), 0.01), _LOOK_AGAIN_S))
