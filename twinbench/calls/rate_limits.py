"""Rate limits per candidate, as providers set them: parallel connections, requests and tokens per minute."""

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

ANY_CANDIDATE = "*"
"""In ``--candidate-limit``, means every candidate that has no limits of its own."""

_CHARACTERS_PER_TOKEN = 4
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class CandidateLimits:
    """Rate limits of one candidate; None means no limit."""

    connections: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Prompt tokens per minute, estimated from the prompt's length."""


def parse_limits(text: str) -> tuple[str, CandidateLimits]:
    """Parse a candidate's limits from the command line: ``acme/large:connections=4,rpm=60,tpm=100000``.

    Raises:
        UsageError: the text is not of this form.
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
            f"--candidate-limit {text}: give ID:connections=N,rpm=N,tpm=N, one or more of the three; * is any ID"
        )
    return candidate, CandidateLimits(**found)


@dataclass
class RateLimitedSource:
    """A response source that keeps to the candidates' rate limits by waiting before it sends.

    Waiting does not count towards an attempt's time limit.
    """

    source: ResponseSource
    limits: Mapping[str, CandidateLimits]
    """Limits by model name; ``*`` for all other models."""
    _connections: dict[str, threading.Semaphore] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        self._window = MovingWindowRateLimiter(MemoryStorage())

    def fetch(self, request: Request, within_s: float) -> Response:
        """Send a request once, as soon as the limits allow it."""
        model = str(request.body.get("model"))
        of = self.limits.get(model) or self.limits.get(ANY_CANDIDATE) or CandidateLimits()
        with ExitStack() as held:
            if of.connections is not None:
                held.enter_context(self._connection(model, of.connections))
            self._wait(model, "requests", of.requests_per_minute, 1)
            if of.tokens_per_minute is not None:
                tokens = len(json.dumps(request.body, ensure_ascii=False)) // _CHARACTERS_PER_TOKEN
                # A prompt that is longer than a minute's tokens takes a whole minute.
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
            time.sleep(min(max(stats.reset_time - time.time(), 0.01), _POLL_INTERVAL_S))
