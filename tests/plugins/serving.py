"""A local HTTP server that plays a decision endpoint, well or badly."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[["Handler"], None]


@dataclass
class Endpoint:
    """A running endpoint and what it was asked."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    endpoint: Endpoint
    answer: Answer
    over: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.endpoint.asked.append(json.loads(body))
        self.endpoint.headers.append(dict(self.headers))
        self.endpoint.connections.add(self.client_address)
        with contextlib.suppress(OSError):
            type(self).answer(self)

    def reply(self, content: Any, status: int = 200, **headers: str) -> None:
        """Send a whole answer, as JSON unless it is bytes."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, content: bytes, every_s: float = 0.05) -> None:
        """Send a byte at a time, and never come to an end."""
        self.close_connection = True
        while not self.over.wait(every_s):
            self.wfile.write(content)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endpoint(answer: Answer) -> Iterator[Endpoint]:
    """An endpoint that answers each request by a function of its handler."""
    over = threading.Event()
    handler = type("OneHandler", (Handler,), {"answer": staticmethod(answer), "over": over})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        running = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/decide?v=1")
        handler.endpoint = running  # type: ignore[attr-defined]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running
        finally:
            over.set()
            server.shutdown()
            thread.join()
