"""A decision endpoint: the call goes out as JSON, a candidate comes back. Documented in docs/routers.md."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from twinbench.plugins.wire import MOST_ANSWER_BYTES, call_to_json
from twinbench.router import Call, Decision, RouterError
from twinbench.tiers import TIER_LABELS, Tier

if TYPE_CHECKING:
    import httpx

SESSION_HEADER = "X-Twinbench-Session"


class EndpointRouter:
    """Asks an HTTP server for each decision, over a connection that is kept."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.last_decision_ms: float | None = None
        self._url = url
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        import httpx

        # No environment: neither a proxy nor somebody's .netrc has a part in a decision.
        self._client = httpx.Client(timeout=self._timeout_s, follow_redirects=False, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def route(self, call: Call) -> Decision:
        """The endpoint's decision.

        Raises:
            RouterError: no answer in time, another status than 200, or no decision in it.
        """
        import httpx

        assert self._client is not None  # noqa: S101 - used as a context manager
        body = json.dumps(call_to_json(call), ensure_ascii=False).encode("utf-8", "surrogatepass")
        headers = {"Content-Type": "application/json", SESSION_HEADER: call.session}
        started = time.perf_counter()
        try:
            with self._client.stream("POST", self._url, content=body, headers=headers) as response:
                content = self._read(response, started)
                status = response.status_code
        except httpx.TimeoutException:
            raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise RouterError(f"the endpoint cannot be asked: {type(error).__name__}: {error}") from None
        self.last_decision_ms = (time.perf_counter() - started) * 1e3
        if status != httpx.codes.OK:
            raise RouterError(f"the endpoint answered with status {status}: {content[:200].decode('utf-8', 'replace')}")
        return _decision(content)

    def _read(self, response: httpx.Response, started: float) -> bytes:
        """The answer's body; the time limit is on the whole of it, not on each piece."""
        content = b""
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MOST_ANSWER_BYTES:
                raise RouterError(f"the endpoint answered more than {MOST_ANSWER_BYTES:,} bytes")
            if time.perf_counter() - started > self._timeout_s:
                raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s")
        return content


def _decision(content: bytes) -> Decision:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise RouterError(f"the endpoint answered no JSON: {content[:200].decode('utf-8', 'replace')}") from None
    if not isinstance(answer, Mapping) or not ("candidate" in answer or "tier" in answer):
        wanted = '{"candidate": id} or {"tier": name}, with "score" and "rationale" if you like'
        raise RouterError(f"the endpoint must answer {wanted}")
    picked: Any = answer["candidate"] if "candidate" in answer else answer["tier"]
    if "candidate" not in answer and picked in TIER_LABELS:
        picked = Tier.from_label(picked)
    return Decision(picked, answer.get("score"), answer.get("rationale"))
