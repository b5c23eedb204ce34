"""A server that speaks OpenAI's chat completions over real HTTP, and can reproduce every kind of fault.

It refuses what a real provider refuses, counts tokens and those that are in its cache, and reports usage in the format
of each model's own provider. The content of an answer comes from a function of the request.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from dynamic_track.rehearsal.prompt_cache import PromptCache, tokens_of
from dynamic_track.rehearsal.refusals import Model, refused_key, refused_messages, refused_model
from dynamic_track.rehearsal.replies import (
    Absent,
    Close,
    Counts,
    Cut,
    Hang,
    Message,
    Raw,
    Reply,
    Reset,
    Shape,
    Trickle,
    error,
)
from twinbench.routing.session import SESSION_HEADER

COMPLETIONS = "/v1/chat/completions"
MODELS = "/v1/models"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    number: int
    """Its number among all requests, from 0."""
    turn: int
    """Its number among the completions of its session, from 0."""
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    at: float
    """Seconds since 1970."""

    @property
    def session(self) -> str:
        """The value of the session header; empty if there is none."""
        return self.headers.get(SESSION_HEADER.lower(), "")

    @cached_property
    def body(self) -> Any:
        """The parsed JSON body; None if it is not JSON."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None


Answers = Callable[[Asked], Reply]
"""Returns the reply to a completion request that is not refused."""


class ProviderServer:
    """A server on a port of this machine, for the duration of a ``with`` block.

    Args:
        answers: returns the reply to a request; called for one request at a time.
        models: the models on offer; others are refused. None: every name is accepted, and there is no list of models.
        api_key: the only key that is accepted; None: any.
        strict: whether to refuse conversations that a real provider refuses.
        cache: the prompt cache whose counts the usage reports.
        port: 0 means any free port.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        models: Sequence[Model | str] | None = None,
        api_key: str | None = None,
        strict: bool = True,
        cache: PromptCache | None = None,
        port: int = 0,
    ) -> None:
        self.connections = 0
        """Open ones, now."""
        self.most_connections = 0
        self.connections_made = 0
        self.over = threading.Event()
        self._answers = answers
        self._number = 0
        self._models: dict[str, Model] | None = None
        if models is not None:
            offered = [Model(each) if isinstance(each, str) else each for each in models]
            self._models = {model.id: model for model in offered}
        self._api_key = api_key
        self._strict = strict
        self._cache = cache or PromptCache()
        self._turns: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._http = _HttpServer(("127.0.0.1", port), type("Handler", (_Handler,), {"provider": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._http.server_address[1])

    @property
    def api_base(self) -> str:
        """The base address for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Self:
        """Start to answer requests."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering; replies that hang or trickle end."""
        self.over.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def connected(self, more: int) -> None:
        """Count a connection that was opened or closed."""
        with self._lock:
            self.connections += more
            self.connections_made += more > 0
            self.most_connections = max(self.most_connections, self.connections)

    def received(self, asked: Asked) -> None:
        """Called with every request before it is answered."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        """Return the reply to a request."""
        with self._lock:
            asked = Asked(self._number, 0, method, path, headers, raw, time.time())
            self._number += 1
            if path == COMPLETIONS:
                asked = replace(asked, turn=self._turns[asked.session])
                self._turns[asked.session] += 1
            self.received(asked)
            if (refused := refused_key(headers, self._api_key)) is not None:
                return refused
            if path == MODELS and method == "GET" and self._models is not None:
                return json_reply({"object": "list", "data": [model.listed() for model in self._models.values()]})
            if path == COMPLETIONS and method == "POST":
                return self._completion(asked)
        return error(404, f"this server has no {method} {path}")

    def _completion(self, asked: Asked) -> Reply:
        if self._strict and (refused := refused_messages(asked.body)) is not None:
            return refused
        body: Mapping[str, Any] = asked.body if isinstance(asked.body, Mapping) else {}
        if self._models is not None:
            refused = refused_model(body, self._models, lambda: self._cache.prompt_tokens(body))
            if refused is not None:
                return refused
        reply = self._answers(asked)
        if isinstance(reply, Message):
            return self._written(reply, asked, body)
        if isinstance(reply, Trickle | Cut) and isinstance(reply.reply, Message):
            return replace(reply, reply=self._written(reply.reply, asked, body))
        return reply

    def _written(self, message: Message, asked: Asked, body: Mapping[str, Any]) -> Raw:
        """Return a message as the JSON of a response."""
        model = str(body.get("model"))
        calls = [
            {
                "id": call.id or f"call_{asked.number}_{index}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments),
                },
            }
            for index, call in enumerate(message.calls)
        ]
        said: dict[str, Any] = {"role": "assistant", "content": message.text, **message.fields}
        if calls:
            said["tool_calls"] = calls
        finish = message.finish_reason or ("tool_calls" if calls else "stop")
        response = {
            "id": f"chatcmpl-{asked.number}",
            "object": "chat.completion",
            "created": int(asked.at),
            "model": message.model or model,
            "choices": [{"index": 0, "message": said, "finish_reason": finish}],
            **message.more,
        }
        usage = message.usage
        if isinstance(usage, Shape):
            shape = Shape.of(model) if usage is Shape.own else usage
            counts = self._cache.count(asked.session, body, shape)
            output = at_most(body.get("max_tokens"), tokens_of(said))
            response["usage"] = replace(counts, output=output).usage(shape)
        elif isinstance(usage, Counts):
            response["usage"] = usage.usage(Shape.openai)
        elif not isinstance(usage, Absent):
            response["usage"] = usage
        return replace(json_reply(response), after_s=message.after_s)


def at_most(max_tokens: Any, tokens: int) -> int:
    """Return how many tokens of an answer are billed: no provider bills more than the request allows."""
    return min(tokens, max_tokens) if isinstance(max_tokens, int) else tokens


class _HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnects."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # unbuffered writes cost 44 ms a call instead of 3
    disable_nagle_algorithm = True
    provider: ProviderServer

    def setup(self) -> None:
        super().setup()
        self.provider.connected(+1)

    def finish(self) -> None:
        try:
            with contextlib.suppress(OSError):
                super().finish()
        finally:
            self.provider.connected(-1)

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.provider.answer(self.command, self.path, headers, raw)
        try:
            self._send(reply)
            self.wfile.flush()
        except OSError:
            self.close_connection = True

    def _send(self, reply: Reply) -> None:
        match reply:
            case Raw():
                self.provider.over.wait(reply.after_s)
                self.wfile.write(_head(reply) + reply.body)
            case Hang():
                self.provider.over.wait(reply.seconds)
                self.close_connection = True
            case Trickle(reply=Raw() as whole):
                head = _head(whole)
                self._trickle(head if reply.head_too else b"", reply.every_s)
                self.wfile.write(b"" if reply.head_too else head)
                self._trickle(whole.body, reply.every_s)
            case Cut(reply=Raw() as whole):
                self.wfile.write(_head(whole) + whole.body[: reply.after_bytes])
                self.close_connection = True
            case Reset():
                if reply.after_bytes:
                    self.wfile.write(_head(Raw(200, b"x" * (reply.after_bytes + 1))) + b"x" * reply.after_bytes)
                    self.wfile.flush()
                self._reset()
            case Close():
                self.close_connection = True
            case _:
                raise TypeError(reply)

    def _trickle(self, content: bytes, every_s: float) -> None:
        for index in range(len(content)):
            self.wfile.write(content[index : index + 1])
            self.wfile.flush()
            if self.provider.over.wait(every_s):
                self.close_connection = True
                return

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The reader keeps the socket open, too; with lingering switched off, the last close sends RST.
        self.rfile.close()
        self.connection.close()


def _head(reply: Raw) -> bytes:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} -", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def json_reply(content: Any) -> Raw:
    """Return a response with a JSON body."""
    return Raw(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
