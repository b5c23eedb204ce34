"""A decision endpoint: the call goes out as JSON, a candidate comes back. Documented in docs/routers.md.

Standard library, not httpx: the limit is on the whole exchange, and a client whose limits start anew with every piece
that arrives can be kept waiting for ever by a server that sends one byte at a time. A timer of its own thread cuts the
connection off wherever it stands: while it is made, in the middle of TLS, or in an answer.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from twinbench.display.wording import shortened
from twinbench.errors import UsageError
from twinbench.plugins.answers import MOST_DEPTH, is_deep, object_of_pairs
from twinbench.plugins.wire import MOST_ANSWER_BYTES, MOST_RATIONALE_CHARACTERS, call_to_json
from twinbench.routing.asking import RemoteRouter
from twinbench.routing.router import Call, Decision, RouterError
from twinbench.routing.session import SESSION_HEADER
from twinbench.routing.tiers import TIER_LABELS, Tier

_URL_CHARACTERS = "%/:=&?~+!$,;'@()*[]"
_SHOWN_CHARACTERS = 200
_LEAST_S = 0.001


class EndpointRouter(RemoteRouter):
    """Asks an HTTP server for each decision, over a connection that is kept; neither a proxy nor a redirect is used."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Take an address; nothing is sent yet.

        Raises:
            UsageError: it is no address.
        """
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
        secure = parts.scheme == "https"
        self._address = (host, port or (http.client.HTTPS_PORT if secure else http.client.HTTP_PORT))
        self._tls = ssl.create_default_context() if secure else None
        self._socket: socket.socket | None = None
        """What is cut off at the limit."""
        connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connection(host, port, timeout=timeout_s)

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
            status, content = self._exchanged(body, call.session, late)
        except (OSError, http.client.HTTPException, ValueError) as error:  # headers hold what they like
            self._connection.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s") from None
            why = f"{type(error).__name__}: {error}"
            raise RouterError(f"the endpoint cannot be asked: {_cut(why)}") from None
        finally:
            limit.cancel()
            self.last_decision_ms = (time.perf_counter() - started) * 1e3
        if late.is_set():
            self._connection.close()
            raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s")
        if len(content) > MOST_ANSWER_BYTES:
            self._connection.close()
            raise RouterError(f"the endpoint answered more than {MOST_ANSWER_BYTES:,} bytes")
        if status != http.client.OK:
            note = " (redirects are not followed)" if 300 <= status < 400 else ""
            raise RouterError(f"the endpoint answered with status {status}{note}: {_shown(content)}")
        return _decision(content)

    def _exchanged(self, body: bytes, session: str, late: threading.Event) -> tuple[int, bytes]:
        if self._hung_up():
            self._connection.close()
        if self._connection.sock is None:
            self._connection.sock = self._connected(late)
        # The connection lets go of its socket as soon as it sees that the answer is its last.
        self._socket = self._connection.sock
        self._connection.request("POST", self._target, body, self._headers | {SESSION_HEADER: session})
        with self._connection.getresponse() as response:
            return response.status, response.read(MOST_ANSWER_BYTES + 1)

    def _connected(self, late: threading.Event) -> socket.socket:
        """A new connection. http.client's own gives each address and each step of TLS the whole limit anew."""
        until = time.monotonic() + self._timeout_s
        failure: OSError = OSError("its host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM):
            connecting = socket.socket(family, kind, protocol)
            try:
                self._cut_off_at_limit(connecting, late)
                connecting.settimeout(max(until - time.monotonic(), _LEAST_S))
                connecting.connect(address)
                connecting.settimeout(self._timeout_s)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is None:
                    return connecting
                connecting = self._tls.wrap_socket(
                    connecting, server_hostname=self._address[0], do_handshake_on_connect=False
                )
                self._cut_off_at_limit(connecting, late)
                connecting.do_handshake()
            except OSError as error:
                connecting.close()
                failure = error
            except BaseException:
                connecting.close()
                raise
            else:
                return connecting
            if late.is_set() or time.monotonic() > until:
                break
        raise failure

    def _cut_off_at_limit(self, connection: socket.socket, late: threading.Event) -> None:
        """Let a socket be the one that is cut off.

        Raises:
            TimeoutError: the limit was reached before, and nothing would cut this one off any more.
        """
        self._socket = connection
        if late.is_set():
            raise TimeoutError

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
                # Of the base class: that of TLS forgets its state, under the feet of who reads at this moment.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _shown(content: bytes) -> str:
    return _cut(content[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace"))


def _cut(text: str) -> str:
    return shortened(text, _SHOWN_CHARACTERS)


def _decision(content: bytes) -> Decision:
    try:
        answer = json.loads(content, object_pairs_hook=object_of_pairs)
    except (ValueError, RecursionError):
        raise RouterError(f"the endpoint answered no JSON: {_shown(content)}") from None
    if is_deep(answer):
        raise RouterError(f"the endpoint answered JSON that is nested more than {MOST_DEPTH} deep: {_shown(content)}")
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
