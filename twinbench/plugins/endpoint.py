"""A router behind HTTP: the call is sent as JSON, a candidate comes back. Documented in docs/routers.md.

Uses the standard library, not httpx, because the time limit is for the whole exchange: a client whose timeout restarts
with every received piece can be kept waiting forever by a server that sends one byte at a time. A timer thread shuts
the connection down in whatever state it is: connecting, in the TLS handshake, or receiving.
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

from twinbench.display.wording import shorten
from twinbench.errors import UsageError
from twinbench.plugins.answers import MOST_DEPTH, is_nested_too_deeply, refuse_duplicate_keys
from twinbench.plugins.wire import MOST_ANSWER_BYTES, MOST_RATIONALE_CHARACTERS, call_to_json
from twinbench.routing.asking import RemoteRouter
from twinbench.routing.router import Call, Decision, RouterError, show_object
from twinbench.routing.session import SESSION_HEADER
from twinbench.routing.tiers import TIER_LABELS, Tier

_URL_CHARACTERS = "%/:=&?~+!$,;'@()*[]"
_SHOWN_CHARACTERS = 200
_LEAST_S = 0.001


class EndpointRouter(RemoteRouter):
    """Asks an HTTP server for each decision over a persistent connection; proxies and redirects are not used."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Make a router from a URL; nothing is sent yet.

        Raises:
            UsageError: the URL is invalid.
        """
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"router {url!r}: {error}") from None
        if not host:
            raise UsageError(f"router {url!r}: the URL has no host")
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
        """The socket that is shut down at the time limit."""
        connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connection(host, port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def route(self, call: Call) -> Decision:
        """Ask the endpoint for a decision.

        Raises:
            RouterError: no answer in time, a status other than 200, or no valid decision.
        """
        self.last_decision_ms = None
        body = json.dumps(call_to_json(call), ensure_ascii=False).encode("utf-8", "surrogatepass")
        started = time.perf_counter()
        late = threading.Event()
        limit = threading.Timer(self._timeout_s, self._shut_down, [late])
        limit.daemon = True
        limit.start()
        try:
            status, content = self._exchange(body, call.session, late)
        except (OSError, http.client.HTTPException, ValueError) as error:  # headers may contain anything
            self._connection.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s") from None
            why = f"{type(error).__name__}: {error}"
            raise RouterError(f"the request to the endpoint failed: {_shorten(why)}") from None
        finally:
            limit.cancel()
            self.last_decision_ms = (time.perf_counter() - started) * 1e3
        if late.is_set():
            self._connection.close()
            raise RouterError(f"the endpoint took longer than {self._timeout_s:g} s")
        if len(content) > MOST_ANSWER_BYTES:
            self._connection.close()
            raise RouterError(f"the endpoint's answer has more than {MOST_ANSWER_BYTES:,} bytes")
        if status != http.client.OK:
            note = " (redirects are not followed)" if 300 <= status < 400 else ""
            raise RouterError(f"the endpoint answered with status {status}{note}: {_short_text(content)}")
        return _parse_decision(content)

    def _exchange(self, body: bytes, session: str, late: threading.Event) -> tuple[int, bytes]:
        if self._is_closed_by_server():
            self._connection.close()
        if self._connection.sock is None:
            self._connection.sock = self._connect(late)
        # The connection drops its socket as soon as it sees that the server will close it.
        self._socket = self._connection.sock
        self._connection.request("POST", self._target, body, self._headers | {SESSION_HEADER: session})
        with self._connection.getresponse() as response:
            return response.status, response.read(MOST_ANSWER_BYTES + 1)

    def _connect(self, late: threading.Event) -> socket.socket:
        """Open a connection. http.client's own function would apply the full time limit to each address and each TLS
        step.
        """
        until = time.monotonic() + self._timeout_s
        failure: OSError = OSError("the host name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM):
            connecting = socket.socket(family, kind, protocol)
            try:
                self._shut_down_at_limit(connecting, late)
                connecting.settimeout(max(until - time.monotonic(), _LEAST_S))
                connecting.connect(address)
                connecting.settimeout(self._timeout_s)
                connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is None:
                    return connecting
                connecting = self._tls.wrap_socket(
                    connecting, server_hostname=self._address[0], do_handshake_on_connect=False
                )
                self._shut_down_at_limit(connecting, late)
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

    def _shut_down_at_limit(self, connection: socket.socket, late: threading.Event) -> None:
        """Register a socket to be shut down at the time limit.

        Raises:
            TimeoutError: the limit was reached already, so nothing would shut this socket down.
        """
        self._socket = connection
        if late.is_set():
            raise TimeoutError

    def _is_closed_by_server(self) -> bool:
        """Return whether the server closed the persistent connection: it is readable although no answer is due."""
        if self._connection.sock is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _shut_down(self, late: threading.Event) -> None:
        late.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # The base class's method: TLS's own would drop its state while another thread is reading.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _short_text(content: bytes) -> str:
    return _shorten(content[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace"))


def _shorten(text: str) -> str:
    return shorten(text, _SHOWN_CHARACTERS)


def _parse_decision(content: bytes) -> Decision:
    try:
        answer = json.loads(content, object_pairs_hook=refuse_duplicate_keys)
    except (ValueError, RecursionError):
        raise RouterError(f"the endpoint's answer is not JSON: {_short_text(content)}") from None
    if is_nested_too_deeply(answer):
        raise RouterError(f"the endpoint's answer is nested more than {MOST_DEPTH} levels deep: {_short_text(content)}")
    if not isinstance(answer, Mapping) or not ("candidate" in answer or "tier" in answer):
        wanted = '{"candidate": id} or {"tier": name}, optionally with "score" and "rationale"'
        raise RouterError(f"the endpoint must answer {wanted}")
    picked: Any = answer["candidate"] if "candidate" in answer else answer["tier"]
    if "candidate" not in answer and picked in TIER_LABELS:
        picked = Tier.from_label(picked)
    if not isinstance(picked, str | Tier):
        which = "candidate" if "candidate" in answer else "tier"
        raise RouterError(f"the endpoint's {which} must be a text, not {show_object(picked)}")
    rationale = answer.get("rationale")
    if isinstance(rationale, str) and len(rationale) > MOST_RATIONALE_CHARACTERS:
        most = f"at most {MOST_RATIONALE_CHARACTERS:,} are allowed"
        raise RouterError(f"its rationale has {len(rationale):,} characters; {most}")
    return Decision(picked, answer.get("score"), rationale)
