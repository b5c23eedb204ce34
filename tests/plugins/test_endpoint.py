"""Decision endpoints: a real server, asked as the documentation says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from static_track.predict import predict
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import files, twinbench
from tests.plugins.hosting import asked, decided, growing
from tests.plugins.serving import Handler, endpoint
from tests.plugins.stateful import Stateless
from tests.timing import HANG_S, wall_s
from tests.twinbench.calls import TIERS, a_call
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.routing.router import Router
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import STORE_VARIABLE, Store


def low(handler: Handler) -> None:
    handler.reply({"candidate": "low"})


@contextmanager
def opened(url: str, decision_s: float = 20.0) -> Iterator[Router]:
    with load_router(url, PluginLimits(decision_s=decision_s)).open(TIERS) as router:
        yield router


def test_a_call_goes_out_as_documented() -> None:
    tools = ({"type": "function", "function": {"name": "bash"}},)
    call = a_call(tokens=1000, read={TIERS[3].id: 400}, tools=tools, session="s1", step_index=3, spent_usd=0.5)
    with endpoint(low) as server, opened(server.url) as router:
        assert decided(router, call) == "low"
    (sent,) = server.asked
    candidates = sent.pop("candidates")
    assert sent == {
        "session": "s1",
        "step_index": 3,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {"name": "bash"}}],
        "spent_usd": 0.5,
        "limits": {"steps": None, "cost_usd": None},
        "mean_output_tokens": 500,
    }
    assert [each["id"] for each in candidates] == [each.id for each in TIERS]
    high = candidates[3]
    assert set(high) == {
        *("id", "model", "tier", "prices", "tier_default", "writes_cache", "context_window", "max_tokens"),
        *("parameters", "prompt_tokens", "cache", "cost_usd", "fits"),
    }
    assert (high["tier"], high["prompt_tokens"], high["fits"]) == ("high", 1000, True)
    assert high["cache"] == {"read_tokens": 400, "exact": True}
    assert high["prices"] == {name: float(getattr(TIERS[3].prices, name)) for name in high["prices"]}
    assert high["cost_usd"] == call.cost(TIERS[3])
    (headers,) = server.headers
    assert headers["X-Twinbench-Session"] == "s1"
    assert headers["Content-Type"] == "application/json"


ANSWERS: list[tuple[Any, str]] = [
    ({"candidate": "mid"}, "mid"),
    ({"candidate": "high", "score": 1, "rationale": "why", "more": [1]}, "high"),
    ({"tier": "mid_high"}, "mid_high"),
    ({"tier": "enormous"}, "error: 'enormous' is neither a candidate"),
    ({"candidate": None}, "error: the endpoint's candidate must be a text, not None"),
    ({"candidate": {"id": "low"}}, "error: the endpoint's candidate must be a text, not {'id': 'low'}"),
    ({"tier": ["low"]}, "error: the endpoint's tier must be a text, not ['low']"),
    ({"candidate": "low", "score": 2}, "error: score must be a number from 0 to 1 or None, not 2"),
    (b'{"candidate": "low", "score": NaN}', "error: score must be a number from 0 to 1 or None, not nan"),
    ({"candidate": "low", "rationale": 1}, "error: rationale must be a str or None, not 1"),
    (b'{"candidate": "low", "rationale": "\\ud800"}', "error: rationale must be a str or None, not '\\ud800'"),
    ({"candidate": "low", "rationale": "x" * 500_000}, "error: its rationale has 500,000 characters; at most 131,072"),
    ([], 'error: the endpoint must answer {"candidate": id} or {"tier": name}, optionally with'),
    ({"error": "no idea"}, 'error: the endpoint must answer {"candidate": id} or {"tier": name}, optionally with'),
    (b"<html>", "error: the endpoint's answer is not JSON: <html>"),
    (b"", "error: the endpoint's answer is not JSON: "),
    (b"[" * 100_000, "error: the endpoint's answer is not JSON: [["),
    (b"\xff\xfe", "error: the endpoint's answer is not JSON: "),
    (
        b'{"candidate": "low", "candidate": "high"}',
        'error: the endpoint\'s answer is not JSON: {"candidate": "low", "ca',
    ),
    (
        b'{"candidate": ' + b"[" * 900 + b"]" * 900 + b"}",
        "error: the endpoint's answer is nested more than 64",
    ),
    (
        b'{"candidate": "low", "score": ' + b'{"a":' * 900 + b"1" + b"}" * 901,
        "error: the endpoint's answer is ",
    ),
    (b'{"candidate": "low", "score": 1e999}', "error: score must be a number from 0 to 1 or None, not inf"),
    (
        b'{"candidate": "low", "score": 1' + b"0" * 400 + b"}",
        "error: score must be a number from 0 to 1 or None, not 1000",
    ),
    (b'{"candidate": "low", "score": 1' + b"0" * 5000 + b"}", "error: the endpoint's answer is not JSON: "),
    (b'{"candidate": "\\udfff"}', "error: '\\udfff' is neither a candidate"),
    (b'"' + b"x" * 10 * 2**20 + b'"', "error: the endpoint's answer has more than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("content", "wanted"), ANSWERS, ids=[str(content)[:30] for content, _ in ANSWERS])
def test_an_answer_is_a_decision_or_an_error_that_says_why(content: Any, wanted: str) -> None:
    with endpoint(lambda handler: handler.reply(content)) as server, opened(server.url) as router:
        for _ in range(2):
            found = asked(router)
            assert found.startswith(wanted) if wanted.startswith("error") else found == wanted


STATUSES = [
    (500, "error: the endpoint answered with status 500: nope"),
    (401, "error: the endpoint answered with status 401: nope"),
    (204, "error: the endpoint answered with status 204: "),
    (302, "error: the endpoint answered with status 302 (redirects are not followed): nope"),
]


@pytest.mark.parametrize(("status", "wanted"), STATUSES)
def test_another_status_than_200_is_an_error(status: int, wanted: str) -> None:
    body = b"" if status == 204 else b"nope"
    with endpoint(low) as elsewhere:
        headers = {"Location": elsewhere.url}
        with endpoint(lambda handler: handler.reply(body, status, **headers)) as server, opened(server.url) as router:
            assert asked(router) == wanted
        assert elsewhere.asked == []


def test_one_connection_serves_all_calls() -> None:
    with endpoint(low) as server, opened(server.url) as router:
        for call in growing(10):
            assert decided(router, call) == "low"
        assert router.last_decision_ms > 0  # type: ignore[attr-defined]
    assert len(server.connections) == 1
    assert len(server.asked) == 10


def test_a_connection_that_the_server_closed_is_made_anew() -> None:
    def once(handler: Handler) -> None:
        low(handler)
        handler.close_connection = True  # without saying so

    with endpoint(once) as server, opened(server.url) as router:
        for call in growing(3):
            assert decided(router, call) == "low"
            time.sleep(0.05)
    assert len(server.connections) == 3


def trickle_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    handler.trickle(b"x")


def trickle_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.trickle(b" ")


def trickle_without_length(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.trickle(b" ")


def silent(handler: Handler) -> None:
    handler.over.wait()


@pytest.mark.parametrize("answer", [silent, trickle_headers, trickle_body, trickle_without_length])
def test_the_limit_is_on_the_whole_answer(answer: Any) -> None:
    with endpoint(answer) as server, opened(server.url, decision_s=0.4) as router:
        answers: list[str] = []
        assert wall_s(lambda: answers.extend(asked(router) for _ in range(2))) < HANG_S
        assert answers == ["error: the endpoint took longer than 0.4 s"] * 2


def tls_in_drips(listening: socket.socket) -> None:
    """The beginning of a record of TLS that never ends."""
    with listening.accept()[0] as connection, contextlib.suppress(OSError):
        connection.sendall(b"\x16\x03\x03\x40\x00")
        while True:
            connection.sendall(b"\x02")
            time.sleep(0.05)


def headers_in_drips(listening: socket.socket) -> None:
    """Answers that only announce the answer."""
    with listening.accept()[0] as connection, contextlib.suppress(OSError):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)


def taking_nothing(listening: socket.socket) -> None:
    """Takes a connection, and nothing of what comes through it."""
    with listening.accept()[0] as connection, contextlib.suppress(OSError):
        while connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and listening.fileno() != -1:
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("scheme", "behaves"), [("https", tls_in_drips), ("http", headers_in_drips), ("http", taking_nothing)]
)
def test_the_limit_is_on_all_that_comes_before_an_answer_too(
    scheme: str, behaves: Callable[[socket.socket], None]
) -> None:
    large = a_call(messages=({"role": "user", "content": "x" * 20 * 2**20},))
    listening = socket.create_server(("127.0.0.1", 0))
    serving = threading.Thread(target=behaves, args=(listening,))
    serving.start()
    try:
        with opened(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/", decision_s=1.0) as router:
            answers: list[str] = []
            assert wall_s(lambda: answers.append(decided(router, large))) < HANG_S
            assert answers == ["error: the endpoint took longer than 1 s"]
    finally:
        listening.close()
        serving.join()


BAD_HTTP = [
    b"HTTP/1.1 2\xb20 fine\r\n\r\n",
    b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1" + b"0" * 5000 + b"\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    b"\x00" * 200_000,
    b"SSH-2.0-" + b"x" * 60_000 + b"\r\n",
]


@pytest.mark.parametrize("raw", BAD_HTTP, ids=[str(raw[:40]) for raw in BAD_HTTP])
def test_what_is_no_http_is_a_short_error_of_the_row(raw: bytes) -> None:
    def sends(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(raw)

    with endpoint(sends) as server, opened(server.url) as router:
        for _ in range(2):
            found = asked(router)
            assert found.startswith(("error: the endpoint ", "error: the request to the endpoint failed: "))
            assert len(found) < 400


def test_latency_is_what_passed_here(store: Store) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.05)
        handler.reply({"candidate": "low", "route_ms": 0.001, "latency_ms": -1})

    with Bank.open("bank", banked(store)) as bank, endpoint(slow) as server, opened(server.url) as router:
        found = predict(router, bank, static_manifest())
    assert not found.errors
    assert min(found.latencies_ms or ()) >= 50


def test_a_server_that_hangs_up_is_an_error_of_that_row() -> None:
    def hangs_up(handler: Handler) -> None:
        if len(handler.endpoint.asked) % 2 == 0:
            low(handler)
        else:
            handler.close_connection = True

    with endpoint(hangs_up) as server, opened(server.url) as router:
        first, second = asked(router), asked(router)
    assert first.startswith("error: the request to the endpoint failed: RemoteDisconnected: ")
    assert second == "low"


def test_nobody_there_is_an_error_of_the_row() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with opened(f"http://127.0.0.1:{port}/") as router:
        assert asked(router).startswith("error: the request to the endpoint failed: ConnectionRefusedError: ")


def test_a_password_in_the_address_is_sent_and_the_environment_has_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with endpoint(low) as server, opened(server.url.replace("//", "//me:s%40cret@")) as router:
        assert asked(router) == "low"
    assert server.headers[0]["Authorization"] == "Basic bWU6c0BjcmV0"


@pytest.mark.parametrize(
    "url", ["http://", "http:///path", "http://host:port/", "http://host:99999999/", "https://[::1"]
)
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError):
        load_router(url)


def stateless(handler: Handler) -> None:
    sent = handler.endpoint.asked[-1]
    handler.reply({"tier": Stateless().route(a_call(messages=tuple(sent["messages"])))})


def banked(store: Store) -> Store:
    import_rows([row for number in range(4) for row in a_trajectory([0, 1, 2, 3], instance=f"i{number}")], store)
    return store


def test_an_endpoint_decides_like_the_same_code_elsewhere(store: Store) -> None:
    with Bank.open("bank", banked(store)) as bank, endpoint(stateless) as server:
        with opened(server.url) as router:
            there = predict(router, bank, static_manifest())
        here = predict(Stateless(), bank, static_manifest())
    assert not there.errors
    assert there.tier_ids == here.tier_ids


def test_results_of_an_endpoint_are_never_kept(store: Store) -> None:
    with Bank.open("bank", banked(store)) as bank:
        Evaluator(bank).board(["always-low"])
        before = set(files(store.root))
        with endpoint(stateless) as server:
            for times in (1, 2):
                entry = Evaluator(bank).board([server.url]).entries[0]
                assert entry.first_error is None
                assert len(server.asked) == times * 16
        assert set(files(store.root)) == before


def test_an_endpoint_that_fails_is_given_up_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(banked(store).root))
    with endpoint(lambda handler: handler.reply(b"down", 503)) as server:
        ran = twinbench("static", "score", server.url, "--bank", "bank")
        assert len(server.asked) == 10
    assert ran.code == 1
    assert "was stopped after too many failures in a row: the endpoint answered with status 503: down" in ran.err


def test_a_check_of_an_endpoint_says_what_it_cannot_see(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(banked(store).root))
    with endpoint(stateless) as server:
        ran = twinbench("router", "check", server.url, "--bank", "bank", "--json").succeeded()
    checks = {each["name"]: each for each in ran.json["checks"]}
    assert "be seen from here" in checks["loads"]["reason"]
    assert "label-blind" not in checks
    assert checks["determinism"]["status"] == "pass"


def test_an_address_may_hold_any_character() -> None:
    with endpoint(low) as server, opened(f"{server.url}&q=ä b") as router:
        assert asked(router) == "low"
