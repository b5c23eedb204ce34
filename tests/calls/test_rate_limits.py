"""Limits for each candidate hold whatever many threads ask for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from twinbench.calls.exchange import Request, Response
from twinbench.calls.rate_limits import CandidateLimits, RateLimitedSource, parse_limits
from twinbench.errors import UsageError

LARGE, SMALL = "acme/large", "acme/small"


class Counting:
    """Answers after a while, and counts who asks at once."""

    def __init__(self, takes_s: float = 0.05) -> None:
        self.takes_s = takes_s
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.times: list[float] = []
        self._lock = threading.Lock()

    def fetch(self, request: Request, within_s: float) -> Response:
        model = str(request.body["model"])
        with self._lock:
            self.times.append(time.monotonic())
            self.now[model] += 1
            self.most[model] = max(self.most[model], self.now[model])
        time.sleep(self.takes_s)
        with self._lock:
            self.now[model] -= 1
        return Response(200, b"{}", None, self.takes_s)


def asked(limited: RateLimitedSource, model: str, times: int, content: str = "hi") -> None:
    request = Request({"model": model, "messages": [{"role": "user", "content": content}]}, "s")
    with ThreadPoolExecutor(12) as threads:
        assert [each.status for each in threads.map(lambda _: limited.fetch(request, 5), range(times))] == [200] * times


def test_connections_at_once_are_limited_for_each_candidate() -> None:
    source = Counting()
    limited = RateLimitedSource(source, {LARGE: CandidateLimits(connections=2), "*": CandidateLimits(connections=5)})
    asked(limited, LARGE, 12)
    asked(limited, SMALL, 24)
    assert (source.most[LARGE], source.most[SMALL]) == (2, 5)


def test_requests_a_minute_are_limited_and_who_is_over_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counting(0)
    limited = RateLimitedSource(source, {LARGE: CandidateLimits(requests_per_minute=6)})
    waited = threading.Event()

    def sleep(seconds: float) -> None:
        waited.set()
        raise TimeoutError

    asked(limited, LARGE, 6)
    asked(limited, SMALL, 50)
    monkeypatch.setattr("twinbench.calls.rate_limits.time.sleep", sleep)
    with pytest.raises(TimeoutError):
        limited.fetch(Request({"model": LARGE, "messages": []}, "s"), 5)
    assert waited.is_set()
    assert len(source.times) == 56


def test_tokens_a_minute_are_limited_and_a_longer_prompt_takes_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Counting(0)
    limited = RateLimitedSource(source, {LARGE: CandidateLimits(tokens_per_minute=1000)})
    asked(limited, LARGE, 1, "word " * 10_000)

    def sleep(seconds: float) -> None:
        raise TimeoutError

    monkeypatch.setattr("twinbench.calls.rate_limits.time.sleep", sleep)
    with pytest.raises(TimeoutError):
        limited.fetch(Request({"model": LARGE, "messages": []}, "s"), 5)


def test_limits_are_read_from_the_command_line() -> None:
    assert parse_limits("acme/large:free:connections=4,rpm=60,tpm=9") == ("acme/large:free", CandidateLimits(4, 60, 9))
    assert parse_limits("*:rpm=1") == ("*", CandidateLimits(requests_per_minute=1))
    for wrong in ("acme/large", "acme/large:", ":rpm=1", "a:rpm=0", "a:rpm=x", "a:speed=1"):
        with pytest.raises(UsageError, match="--candidate-limit"):
            parse_limits(wrong)
