"""A decision endpoint: the call goes out as JSON, a candidate comes back. Documented in docs/routers.md.

Standard library, not httpx: the limit is on the whole exchange, and a client whose limits start anew with every piece
that arrives can be kept waiting for ever by a server that sends one byte at a time.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from twinbench.errors import UsageError
from twinbench.plugins.wire import MOST_ANSWER_BYTES, MOST_RATIONALE_CHARACTERS, call_to_json
from twinbench.router import Call, Decision, RouterError
from twinbench.tiers import TIER_LABELS, Tier

SESSION_HEADER = "X-Twinbench-Session"

_URL_CHARACTERS = "%/:=&?~+!$,;'@()*[]"
_SHOWN_CHARACTERS = 200


class EndpointRouter:
    """Asks an HTTP server for each decision, over a connection that is kept; neither a proxy nor a redirect is used."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Take an address; nothing is sent yet.

        Raises:
            UsageError: it is no address.
        """
        self.last_decision_ms: float | None = None
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"router {url!r}: {error}") from None
        if not host:
            raise UsageError(f"router {url!r}: it names no host")
        self._target = quote(parts.path or "/", _URL_CHARACTERS)
        if parts.query:
            self._target += f"?{quote(parts.query, _URL_CHARACTERS)}"
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._socket: socket.socket | None = None
        self._connection = connect(host, port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def route(self, call: Call) -> Decision:
        """The endpoint's decision.

        Raises:
            RouterError: no answer in time, another status than 200, or no decision in it.
        """
        self.last_decision_ms = None
        body = json.dumps(call_to_json(call), ensure_ascii=False).encode("utf-8", "surrogatepass")
        started = time.perf_counter()
        late = threading.Event()
        limit = threading.Timer(self._timeout_s, self._cut_off, [late])
        limit.daemon = True
        limit.start()
        try:
            status, content = self._exchanged(body, call.session)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s") from None
            raise RouterError(f"the endpoint cannot be asked: {type(error).__name__}: {error}") from None
        finally:
            limit.cancel()
        if late.is_set():
            raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s")
        self.last_decision_ms = (time.perf_counter() - started) * 1e3
        if len(content) > MOST_ANSWER_BYTES:
            self._connection.close()
            raise RouterError(f"the endpoint answered more than {MOST_ANSWER_BYTES:,} bytes")
        if status != http.client.OK:
            note = " (redirects are not followed)" if 300 <= status < 400 else ""
            raise RouterError(f"the endpoint answered with status {status}{note}: {_shown(content)}")
        return _decision(content)

    def _exchanged(self, body: bytes, session: str) -> tuple[int, bytes]:
        if self._hung_up():
            self._connection.close()
        if self._connection.sock is None:
            self._connection.connect()
        # The connection lets go of its socket as soon as it sees that the answer is its last.
        self._socket = self._connection.sock
        self._connection.request("POST", self._target, body, self._headers | {SESSION_HEADER: session})
        with self._connection.getresponse() as response:
            return response.status, response.read(MOST_ANSWER_BYTES + 1)

    def _hung_up(self) -> bool:
        """Whether the server closed the kept connection: something can be read where nothing was asked."""
        if self._connection.sock is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _cut_off(self, late: threading.Event) -> None:
        late.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _shown(content: bytes) -> str:
    text = content[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _decision(content: bytes) -> Decision:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise RouterError(f"the endpoint answered no JSON: {_shown(content)}") from None
    if not isinstance(answer, Mapping) or not ("candidate" in answer or "tier" in answer):
        wanted = '{"candidate": id} or {"tier": name}, with "score" and "rationale" if you like'
        raise RouterError(f"the endpoint must answer {wanted}")
    picked: Any = answer["candidate"] if "candidate" in answer else answer["tier"]
    if "candidate" not in answer and picked in TIER_LABELS:
        picked = Tier.from_label(picked)
    rationale = answer.get("rationale")
    if isinstance(rationale, str) and len(rationale) > MOST_RATIONALE_CHARACTERS:
        most = f"at most {MOST_RATIONALE_CHARACTERS:,} are taken"
        raise RouterError(f"its rationale has {len(rationale):,} characters; {most}")
    return Decision(picked, answer.get("score"), rationale)
