"""The gateway against a real HTTP server, through the real litellm: what is sent, what comes back, what goes wrong."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import (
    CloseReply,
    CutReply,
    HangReply,
    MessageReply,
    RawReply,
    Reply,
    ResetReply,
    ToolCall,
    TrickleReply,
    bad_request,
    bash_call,
    empty_body,
    error_reply,
    forbidden,
    foreign_reasoning,
    invalid_json,
    not_found,
    payment_required,
    rate_limit_reply,
    server_error,
    too_long,
    unauthorized,
    unavailable,
)
from tests.providers.asking import BASH, ENVIRONMENT, KEY, KEY_VARIABLE, body, gateway_to, request
from tests.scripted.server import ScriptedServer
from tests.timing import HANG_S
from twinbench.calls.exchange import Request, Response, TransportError
from twinbench.errors import UsageError
from twinbench.providers import wire
from twinbench.providers.gateway import Gateway
from twinbench.routing.session import SESSION_HEADER


def answered(reply: Reply, within_s: float = 20, **more: Any) -> Response:
    """What comes of one request that is answered so."""
    with ScriptedServer([reply]) as server, gateway_to(server) as gateway:
        return gateway.fetch(request(**more), within_s)


def failed(reply: Reply, within_s: float = 20) -> TransportError:
    """The error of one request that is answered so, with the cause of a charge: none repeats it."""
    with ScriptedServer([reply]) as server, gateway_to(server) as gateway:
        with pytest.raises(TransportError) as caught:
            gateway.fetch(request(), within_s)
        assert len(server.asked) == 1
        return caught.value


# What is sent


BODIES: dict[str, dict[str, Any]] = {
    "plain": body(),
    "temperature": body(temperature=0),
    "tools": body(tools=[BASH], tool_choice="auto", parallel_tool_calls=True),
    "max_tokens of a model that litellm renames it for": body("gpt-5", temperature=0, max_tokens=32768),
    "an o-model": body("o3-mini", temperature=0, parallel_tool_calls=True),
    "a provider's prefix": body("anthropic/claude-opus-4.6", reasoning={"effort": "high"}, provider={"only": ["x"]}),
    "a prefix that is litellm's own": body("deepseek/deepseek-v3.2", temperature=0, seed=7),
    "what litellm takes for itself": body(api_base="x", metadata={"a": 1}, timeout=3, num_retries=5, fallbacks=["y"]),
    "nulls and nothing": body(stop=None, tools=[], user=""),
    "cache marks": body(
        "anthropic/claude-opus-4.6",
        messages=[
            {
                "role": "system",
                "content": [{"type": "text", "text": "You …", "cache_control": {"type": "ephemeral"}}],
            },
            {"role": "user", "content": "go", "cache_control": {"type": "ephemeral"}},
        ],
    ),
    "a conversation with everything": body(
        messages=[
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}],
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a\nb"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": [{"type": "text", "text": "and now?"}]},
        ]
    ),
}


@pytest.mark.parametrize("asked", BODIES.values(), ids=BODIES)
def test_the_body_is_sent_as_it_is(asked: dict[str, Any]) -> None:
    before = json.dumps(asked)
    with ScriptedServer([MessageReply("ok")], api_key=KEY) as server, gateway_to(server) as gateway:
        assert gateway.fetch(Request(asked, "s"), 20).status == 200
    assert json.loads(server.asked[0].raw) == asked
    assert b'"max_tokens":' in server.asked[0].raw
    assert json.dumps(asked) == before


def test_headers_are_the_key_the_session_and_what_http_needs() -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedServer([MessageReply("ok")]) as server,
        gateway_to(server) as gateway,
    ):
        patch.setenv("OPENAI_ORG_ID", "org-of-the-user")
        patch.setenv("OPENAI_API_KEY", "another-key")
        gateway.fetch(request("opaque-7"), 20)
    headers = dict(server.asked[0].headers)
    assert headers.pop("content-length") == str(len(server.asked[0].raw))
    assert headers.pop("host") == f"127.0.0.1:{server.port}"
    assert headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "connection": "close",
        "content-type": "application/json",
        "user-agent": "twinbench",
        SESSION_HEADER.lower(): "opaque-7",
    }
    assert server.asked[0].path == "/v1/chat/completions"


def test_a_server_without_a_key_is_sent_none() -> None:
    with ScriptedServer([MessageReply("ok")]) as server, Gateway(server.api_base + "/", None) as gateway:
        assert gateway.fetch(request(), 20).status == 200
    assert "authorization" not in server.asked[0].headers


def test_a_proxy_of_the_environment_is_not_asked() -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedServer([MessageReply("ok")]) as server,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        with gateway_to(server) as gateway:
            assert gateway.fetch(request(), 20).status == 200


# What comes back


def test_an_answer_comes_back_byte_by_byte() -> None:
    with ScriptedServer([MessageReply("ü", [bash_call("ls -l")])]) as server, gateway_to(server) as gateway:
        response = gateway.fetch(request(), 20)
    answer = json.loads(response.body)
    assert response.status == 200
    assert response.retry_after_s is None
    assert 0 < response.latency_s < 20
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"command": "ls -l"}'
    assert answer["usage"]["prompt_tokens"] > 0


ANSWERS: dict[str, tuple[Reply, int]] = {
    "400": (bad_request(), 400),
    "400 too long": (too_long(), 400),
    "400 after a switch": (foreign_reasoning(), 400),
    "401": (unauthorized(), 401),
    "401 whose text speaks of a bad request": (unauthorized("Bad request: malformed key"), 401),
    "402": (payment_required(), 402),
    "403": (forbidden(), 403),
    "404": (not_found(), 404),
    "429": (rate_limit_reply(), 429),
    "500": (server_error(), 500),
    "500 whose text speaks of a limit": (server_error("rate limit reached"), 500),
    "500 whose text speaks of time": (server_error("Request timed out."), 500),
    "503": (unavailable(), 503),
    "307": (RawReply(307, b"", {"Location": "http://127.0.0.1:9/v1/chat/completions"}), 307),
    "invalid JSON": (invalid_json(), 200),
    "empty": (empty_body(), 200),
    "no JSON at all": (RawReply(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), 502),
    "absurd usage": (MessageReply("ok", usage={"prompt_tokens": "twelve"}), 200),
    "no usage": (MessageReply("ok", usage=None), 200),
    "another model": (MessageReply("ok", model="acme/other"), 200),
    "cut by length": (MessageReply("ok", finish_reason="length"), 200),
    "an error as a reason": (MessageReply("ok", finish_reason="error"), 200),
    "arguments that are no JSON": (MessageReply(None, [ToolCall("{command: ls")]), 200),
}


@pytest.mark.parametrize(("reply", "status"), ANSWERS.values(), ids=ANSWERS)
def test_whatever_was_on_the_wire_is_the_response(reply: Reply, status: int) -> None:
    with ScriptedServer([reply]) as server, gateway_to(server) as gateway:
        response = gateway.fetch(request(), 20)
        assert len(server.asked) == 1, "the request was repeated"
    assert response.status == status
    if isinstance(reply, RawReply):
        assert response.body == reply.body
    if isinstance(reply, MessageReply) and reply.finish_reason is not None:
        assert json.loads(response.body)["choices"][0]["finish_reason"] == reply.finish_reason


@pytest.mark.parametrize(
    ("reply", "least", "most"),
    [
        (rate_limit_reply(7), 7, 7),
        (rate_limit_reply("0"), 0, 0),
        (rate_limit_reply(2.5), 2.5, 2.5),
        (rate_limit_reply(100_000, as_date=True), 90_000, 100_000),
        (rate_limit_reply(-60, as_date=True), 0, 0),
        (unavailable(3), 3, 3),
        (
            error_reply(
                429,
                "",
                headers={"Retry-After": "Wed, 21 Oct 2015 07:28:09 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            ),
            9,
            9,
        ),
    ],
)
def test_retry_after_is_seconds_from_now(reply: Reply, least: float, most: float) -> None:
    wait_s = answered(reply).retry_after_s
    assert wait_s is not None
    assert least <= wait_s <= most


@pytest.mark.parametrize("value", ["", "soon", "-5", "nan", "inf", "1e400", "9" * 400, "Wed, 99 Oct 2015 07:28:00 GMT"])
def test_a_retry_after_that_means_nothing_is_none(value: str) -> None:
    assert answered(rate_limit_reply(value)).retry_after_s is None


def test_an_answer_that_is_compressed_unasked_is_unpacked() -> None:
    packed = gzip.compress(b'{"id": "x"}')
    assert answered(RawReply(200, packed, {"Content-Encoding": "gzip"})).body == b'{"id": "x"}'
    assert failed(RawReply(200, packed[:-9], {"Content-Encoding": "gzip"})).may_be_billed
    assert "br" in str(failed(RawReply(200, b"what", {"Content-Encoding": "br"})))


# What goes wrong

BROKEN: dict[str, Reply] = {
    "closed without an answer": CloseReply(),
    "reset": ResetReply(),
    "reset within the answer": ResetReply(after_bytes=10),
    "cut": CutReply(),
    "no HTTP": RawReply(0, b"", {"\r\n\r\nnonsense": "x"}),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_may_be_billed(reply: Reply) -> None:
    broken = failed(reply)
    assert broken.may_be_billed
    assert broken.latency_s > 0
    assert "connection broke" in str(broken)


@pytest.mark.parametrize(
    "reply",
    [HangReply(), TrickleReply(), TrickleReply(head_too=True), MessageReply("late", after_s=2 * HANG_S)],
    ids=["hangs", "trickles", "trickles from the first byte", "late"],
)
def test_the_deadline_holds_however_slowly_it_comes(reply: Reply) -> None:
    with ScriptedServer([MessageReply("warm"), reply]) as server, gateway_to(server) as gateway:
        gateway.fetch(request(), 60)
        with pytest.raises(TransportError, match="no full answer within") as caught:
            gateway.fetch(request(), 1)
    assert caught.value.may_be_billed
    assert 0.9 < caught.value.latency_s < HANG_S


def test_a_trickle_that_ends_in_time_is_an_answer() -> None:
    answer = RawReply(200, b'{"a": 1}')
    assert answered(TrickleReply(answer, every_s=0.02)).body == answer.body


def test_a_server_that_reads_slowly_is_given_up_on() -> None:
    over = threading.Event()

    def read_slowly(listening: socket.socket) -> None:
        with listening.accept()[0] as connection:
            while not over.wait(0.1):
                connection.recv(1000)

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        reader = threading.Thread(target=read_slowly, args=(listening,))
        reader.start()
        gateway = Gateway(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", None)
        with gateway, pytest.raises(TransportError, match="no full answer within") as caught:
            gateway.fetch(Request(body(messages=[{"role": "user", "content": "x" * (8 << 20)}]), "s"), 2)
        over.set()
        reader.join()
    assert caught.value.may_be_billed
    assert caught.value.latency_s < HANG_S


def test_a_server_that_does_not_read_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        gateway = Gateway(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", None)
        with gateway, pytest.raises(TransportError) as caught:
            gateway.fetch(Request(body(messages=[{"role": "user", "content": "x" * (40 << 20)}]), "s"), 1.5)
    assert caught.value.latency_s < HANG_S
    assert caught.value.may_be_billed


def test_a_refused_connection_is_not_billed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with Gateway(f"http://127.0.0.1:{port}/v1", None) as gateway, pytest.raises(TransportError) as caught:
        gateway.fetch(request(), 5)
    assert not caught.value.may_be_billed
    assert "refused" in str(caught.value)


def test_a_name_without_an_address_is_not_billed() -> None:
    with Gateway("http://nowhere.invalid/v1", None) as gateway, pytest.raises(TransportError) as caught:
        gateway.fetch(request(), 20)
    assert not caught.value.may_be_billed
    assert "nowhere.invalid" in str(caught.value)


def test_a_resolver_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        over.wait(2 * HANG_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with Gateway("http://slow.invalid/v1", None) as gateway:
        with pytest.raises(TransportError, match="not resolved") as caught:
            gateway.fetch_models(0.5)
        over.set()
    assert caught.value.latency_s < HANG_S
    assert not caught.value.may_be_billed


def test_a_second_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(0, 0, 0, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]
    with ScriptedServer([MessageReply("ok")]) as server:
        monkeypatch.setattr(wire, "_addresses", lambda *_: [each[-1][0] for each in found])
        with Gateway(f"http://two.invalid:{server.port}/v1", None) as gateway:
            assert gateway.fetch(request(), 20).status == 200
    assert server.asked[0].headers["host"] == f"two.invalid:{server.port}"


def test_tls_that_fails_is_not_billed() -> None:
    with ScriptedServer([MessageReply("ok")]) as server:
        gateway = Gateway(f"https://127.0.0.1:{server.port}/v1", KEY_VARIABLE, environment=ENVIRONMENT)
        with gateway, pytest.raises(TransportError) as caught:
            gateway.fetch(request(), 5)
        assert not server.asked
    assert not caught.value.may_be_billed


@pytest.mark.skipif(shutil.which("openssl") is None, reason="a certificate is made by openssl")
def test_tls_carries_long_requests_and_keeps_deadlines(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ScriptedServer([MessageReply("ok"), TrickleReply()])
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    api_base = f"https://localhost:{server.port}/v1"
    asked = Request(body(messages=[{"role": "user", "content": "ü" * (1 << 20)}]), "s")
    with server:
        with Gateway(api_base, None) as gateway, pytest.raises(TransportError, match="CERTIFICATE_VERIFY") as caught:
            gateway.fetch(asked, 20)
        assert not caught.value.may_be_billed
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(certificate))
            trusting = Gateway(api_base, None)
        with trusting:
            assert trusting.fetch(asked, 20).status == 200
            with pytest.raises(TransportError, match="no full answer within") as caught:
                trusting.fetch(asked, 1.5)
        assert caught.value.may_be_billed
        assert caught.value.latency_s < HANG_S
    assert [each.body for each in server.asked] == [asked.body, asked.body]


def test_a_handshake_that_hangs_ends_by_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        gateway = Gateway(f"https://127.0.0.1:{deaf.getsockname()[1]}/v1", None)
        with gateway, pytest.raises(TransportError, match="no connection within") as caught:
            gateway.fetch_models(0.5)
    assert not caught.value.may_be_billed
    assert caught.value.latency_s < HANG_S


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_ANSWER_BYTES", 1000)
    assert "longer than" in str(failed(RawReply(200, b"x" * 1001)))
    assert "longer than" in str(failed(RawReply(200, gzip.compress(b"x" * 1001), {"Content-Encoding": "gzip"})))
    assert len(answered(RawReply(200, b"x" * 1000)).body) == 1000


def test_what_litellm_does_not_send_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([MessageReply("ok")]) as server, gateway_to(server) as gateway:
        with pytest.raises(TransportError, match="litellm did not send") as caught:
            gateway.fetch(Request(body(temperature=float("nan")), "s"), 20)
        assert not caught.value.may_be_billed
        assert not server.asked


# Connections


@pytest.mark.acceptance
def test_many_threads_leave_no_connection() -> None:
    with (
        ScriptedServer(lambda asked: MessageReply(asked.session, after_s=0.01)) as server,
        gateway_to(server) as gateway,
    ):
        gateway.fetch(request("first"), 60)

        def ask(number: int) -> str:
            response = gateway.fetch(request(f"s{number}"), 60)
            return str(json.loads(response.body)["choices"][0]["message"]["content"])

        with ThreadPoolExecutor(16) as threads:
            assert list(threads.map(ask, range(200))) == [f"s{number}" for number in range(200)]
        assert server.most_connections <= 17
        assert server.connections_made == 201, "one each"
        gateway.close()
        assert eventually_none(server)


def test_what_stands_behind_an_answer_is_no_answer_to_the_next_request() -> None:
    def answer(text: str) -> bytes:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        content = json.dumps({"model": "m", "choices": [choice]}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(content),
            content,
        )

    class Two(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := self.rfile.readline():
                length = 0
                while head.strip():
                    name, _, value = head.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                    head = self.rfile.readline()
                self.rfile.read(length)
                self.wfile.write(answer("mine") + answer("another's"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Two) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Gateway(f"http://127.0.0.1:{server.server_address[1]}/v1", None) as gateway:
            said = [json.loads(gateway.fetch(request(), 60).body) for _ in range(3)]
        server.shutdown()
    assert [each["choices"][0]["message"]["content"] for each in said] == ["mine"] * 3


def test_failures_leave_no_connection() -> None:
    replies: list[Reply] = [
        CutReply(),
        ResetReply(),
        HangReply(),
        CloseReply(),
        server_error(),
        invalid_json(),
        TrickleReply(),
        MessageReply("ok"),
    ]
    with ScriptedServer(lambda asked: replies[asked.number % len(replies)]) as server:
        with gateway_to(server, max_connections=2) as gateway:
            for _ in range(3 * len(replies)):
                with contextlib.suppress(TransportError):
                    gateway.fetch(request(), 0.3)
        server.over.set()
        assert eventually_none(server)


def test_no_more_connections_than_allowed() -> None:
    with (
        ScriptedServer(lambda _: MessageReply("ok", after_s=0.1)) as server,
        gateway_to(server, max_connections=2) as gateway,
        ThreadPoolExecutor(8) as threads,
    ):
        statuses = list(threads.map(lambda _: gateway.fetch(request(), 60).status, range(8)))
    assert statuses == [200] * 8
    assert server.most_connections <= 4, "two at a time, and two that the server has not seen end yet"


def test_waiting_for_a_connection_is_within_the_deadline_and_not_billed() -> None:
    with (
        ScriptedServer([MessageReply("warm"), HangReply()]) as server,
        gateway_to(server, max_connections=1) as gateway,
    ):
        gateway.fetch(request(), 60)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(gateway.fetch, request(), 5)
            while len(server.asked) < 2:
                time.sleep(0.01)
            with pytest.raises(TransportError, match="no connection within") as caught:
                gateway.fetch(request(), 0.5)
            assert not first.done()
            assert isinstance(first.exception(), TransportError)
    assert not caught.value.may_be_billed


def eventually_none(server: ScriptedServer) -> bool:
    until = time.monotonic() + HANG_S
    while server.connections and time.monotonic() < until:
        time.sleep(0.02)
    return server.connections == 0


# The key


@pytest.mark.parametrize("environment", [{}, {KEY_VARIABLE: ""}, {KEY_VARIABLE: " \n"}])
def test_a_missing_key_names_its_variable(environment: Mapping[str, str]) -> None:
    with pytest.raises(UsageError, match=KEY_VARIABLE):
        Gateway("http://127.0.0.1:1/v1", KEY_VARIABLE, environment=environment)


@pytest.mark.parametrize("key", ["sk-secret\r\nX-Evil: 1", "sk-secret key", "sk-sëcret"])
def test_a_key_that_cannot_be_sent_is_not_shown(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Gateway("http://127.0.0.1:1/v1", KEY_VARIABLE, environment={KEY_VARIABLE: key})
    assert KEY_VARIABLE in str(caught.value)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "api_base",
    [
        "",
        "host/v1",
        "ftp://host/v1",
        "http://",
        "http://host:port/v1",
        "https://user:sk-1@host/v1",
        "http://h/v1?k=sk-1",
    ],
)
def test_an_address_that_is_none_is_wrong_usage(api_base: str) -> None:
    with pytest.raises(UsageError) as caught:
        Gateway(api_base, None)
    assert "sk-1" not in str(caught.value)


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    echo = unauthorized(f"Incorrect API key provided: {KEY}")
    replies: list[Reply] = [
        MessageReply("ok"),
        echo,
        CutReply(),
        ResetReply(),
        invalid_json(),
        RawReply(200, b"", {"\r\n\r\n": KEY}),
    ]
    seen: list[str] = []
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(replies) as server, gateway_to(server) as gateway:
        seen.append(repr(gateway))
        for _ in replies:
            try:
                response = gateway.fetch(request(), 20)
                seen += [repr(response), response.body.decode()]
            except TransportError as error:
                seen += [repr(error), str(error), repr(error.__cause__)]
        assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in server.asked)
    assert "Incorrect API key provided: [secret]" in "".join(seen)
    printed = capfd.readouterr()
    assert KEY not in "".join([*seen, caplog.text, printed.out, printed.err])
    assert "You fix bugs" not in caplog.text + printed.out + printed.err


def test_a_placeholder_for_a_key_changes_no_answer() -> None:
    with (
        ScriptedServer([MessageReply("ollama needs none")]) as server,
        Gateway(server.api_base, "K", environment={"K": "ollama"}) as gateway,
    ):
        response = gateway.fetch(request(), 20)
    assert b"ollama needs none" in response.body
    assert server.asked[0].headers["authorization"] == "Bearer ollama"


# Loading


@pytest.mark.acceptance
def test_litellm_is_loaded_by_the_first_fetches_alone_and_says_nothing() -> None:
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from tests.providers.asking import gateway_to, request
from dynamic_track.rehearsal.replies import MessageReply
from tests.timing import HANG_S
from tests.scripted.server import ScriptedServer
with ScriptedServer(lambda _: MessageReply("ok"), models=["acme/small-2"]) as server, gateway_to(server) as gateway:
    gateway.fetch_models(20)
    assert not {"litellm", "openai"} & set(sys.modules)
    with ThreadPoolExecutor(32) as threads:
        assert {response.status for response in threads.map(lambda _: gateway.fetch(request(), 60), range(64))} == {200}
    assert "litellm" in sys.modules
"""
    environment = {**os.environ, "LITELLM_LOG": "DEBUG", "OPENAI_LOG": "debug"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "You fix bugs" not in done.stderr
    assert KEY not in done.stderr
