"""The scripted server itself: its script, its counts, what it refuses, and that it outlives its client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.prompt_cache import PromptCache
from dynamic_track.rehearsal.refusals import OfferedModel
from dynamic_track.rehearsal.replies import MessageReply, Reply, TokenCounts, UsageFormat, bash_call, rate_limit_reply
from dynamic_track.rehearsal.server import ReceivedRequest
from tests.scripted.process import server_process
from tests.scripted.server import ScriptedServer
from tests.timing import HANG_S
from twinbench.calls.billing import read_usage
from twinbench.routing.session import SESSION_HEADER
from twinbench.routing.usage import Usage

SYSTEM = {"role": "system", "content": "You fix bugs."}
GO = {"role": "user", "content": "Fix this one. " * 20}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "a.py b.py"}


def ask(port: int, messages: Sequence[Any] = (GO,), session: str = "s", key: str = "k", **more: Any) -> tuple[int, Any]:
    """Status and JSON of one completion."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
    body = json.dumps({"model": "acme/small-2", "messages": list(messages), **more})
    connection.request(
        "POST", "/v1/chat/completions", body, {SESSION_HEADER: session, "Authorization": f"Bearer {key}"}
    )
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def test_every_session_gets_the_script_from_its_start() -> None:
    script: list[Reply] = [MessageReply(calls=[bash_call("ls")]), rate_limit_reply(1), MessageReply("done")]
    with ScriptedServer(script) as server:
        statuses = [ask(server.port, session=session)[0] for session in ("a", "b", "a", "a", "b", "a")]
    assert statuses == [200, 200, 429, 200, 429, 500], "the fourth of a has no reply"
    assert [asked.turn for asked in server.completions] == [0, 0, 1, 2, 1, 3]


def test_a_function_sees_what_is_asked() -> None:
    def script(asked: ReceivedRequest) -> Reply:
        return MessageReply(f"{asked.session} {asked.turn} {asked.body['model']}")

    with ScriptedServer(script) as server:
        _, answer = ask(server.port, session="opaque")
    assert answer["choices"][0]["message"]["content"] == "opaque 0 acme/small-2"
    assert server.asked[0].at == pytest.approx(time.time(), abs=60)


def test_tool_calls_have_ids_of_their_own() -> None:
    with ScriptedServer(lambda _: MessageReply(calls=[bash_call("ls"), bash_call("pwd")])) as server:
        answers = [ask(server.port)[1]["choices"][0] for _ in range(2)]
    ids = [call["id"] for answer in answers for call in answer["message"]["tool_calls"]]
    assert len(set(ids)) == 4
    assert {answer["finish_reason"] for answer in answers} == {"tool_calls"}


COUNTS = TokenCounts(prompt=100, read=60, output=7)
WRITES = TokenCounts(prompt=100, read=60, written=30, output=7)


@pytest.mark.parametrize(
    ("shape", "counts", "usage"),
    [
        (UsageFormat.openai, COUNTS, Usage(40, 60, 0, 7)),
        (UsageFormat.deepseek, COUNTS, Usage(40, 60, 0, 7)),
        (UsageFormat.gemini, COUNTS, Usage(40, 60, 0, 7)),
        (UsageFormat.openrouter, WRITES, Usage(10, 60, 30, 7)),
        (UsageFormat.anthropic, WRITES, Usage(10, 60, 30, 7)),
    ],
)
def test_every_shape_tells_the_same_counts(shape: UsageFormat, counts: TokenCounts, usage: Usage) -> None:
    assert read_usage({"usage": counts.to_usage(shape)}) == usage


@pytest.mark.parametrize("shape", [shape for shape in UsageFormat if shape is not UsageFormat.own])
def test_no_answer_is_billed_as_longer_than_what_was_asked_for(shape: UsageFormat) -> None:
    with ScriptedServer(lambda _: MessageReply("a long answer " * 20, usage=shape)) as server:
        _, free = ask(server.port)
        _, short = ask(server.port, max_tokens=16)
    assert read_usage(free).output > 16
    assert read_usage(short, max_tokens=16).output == 16


def marked(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "cache_control": {"type": "ephemeral"}}


def test_a_longer_conversation_reads_what_the_shorter_one_left() -> None:
    cache = PromptCache()
    short = cache.count("s", {"model": "m", "messages": [SYSTEM, GO]}, UsageFormat.openai)
    longer = cache.count("s", {"model": "m", "messages": [SYSTEM, GO, CALLED, RESULT]}, UsageFormat.openai)
    assert (short.read, short.written) == (0, 0)
    assert longer.read == short.prompt < longer.prompt


@pytest.mark.parametrize("changed", [{"session": "t"}, {"model": "n"}, {"tools": [{"type": "function"}]}])
def test_another_session_model_or_tools_read_nothing(changed: dict[str, Any]) -> None:
    cache = PromptCache()
    body = {"model": "m", "messages": [SYSTEM, GO]}
    cache.count("s", body, UsageFormat.openai)
    session = changed.get("session", "s")
    assert cache.count(session, body | changed, UsageFormat.openai).read == 0
    assert cache.count("s", body, UsageFormat.openai).read > 0


def test_a_prefix_is_forgotten_after_its_time() -> None:
    now = [0.0]
    cache = PromptCache(ttl_s=300, clock=lambda: now[0])
    body = {"model": "m", "messages": [SYSTEM, GO]}
    cache.count("s", body, UsageFormat.openai)
    now[0] = 300
    assert cache.count("s", body, UsageFormat.openai).read > 0, "read again, and so kept"
    now[0] = 601
    assert cache.count("s", body, UsageFormat.openai).read == 0


def test_claude_writes_and_reads_what_stands_before_a_mark() -> None:
    cache = PromptCache()
    unmarked = cache.count("s", {"model": "m", "messages": [SYSTEM, GO]}, UsageFormat.anthropic)
    first = cache.count("s", {"model": "m", "messages": [SYSTEM, marked(GO)]}, UsageFormat.anthropic)
    then = cache.count("s", {"model": "m", "messages": [SYSTEM, GO, CALLED, marked(RESULT)]}, UsageFormat.anthropic)
    assert (unmarked.read, unmarked.written) == (0, 0)
    assert (first.read, first.written) == (0, first.prompt)
    assert (then.read, then.written) == (first.prompt, then.prompt - first.prompt)


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"messages": []}, 400, "at least one message"),
        ({"messages": [GO, RESULT]}, 400, "must be a response to a preceding message"),
        ({"messages": [GO, CALLED, RESULT, RESULT]}, 400, "must be a response to a preceding message"),
        ({"messages": [GO, CALLED, GO]}, 400, "must be followed by tool messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, 400, "unknown role"),
        ({"model": "acme/none"}, 404, "does not exist"),
        ({"max_tokens": 2000}, 400, "maximum context length"),
        ({"key": "another"}, 401, "Incorrect API key"),
        ({"messages": [GO, CALLED, RESULT]}, 200, ""),
    ],
)
def test_what_a_real_one_refuses_is_refused(asked: dict[str, Any], status: int, said: str) -> None:
    models = [OfferedModel("acme/small-2", context_length=1500)]
    with ScriptedServer(lambda _: MessageReply("ok"), models=models, api_key="k") as server:
        got, answer = ask(server.port, **asked)
    assert got == status
    assert said in str(answer.get("error", ""))


def test_thirty_two_connections_at_once_are_served() -> None:
    with ScriptedServer(lambda _: MessageReply("ok", after_s=0.2)) as server:
        program = f"""
from concurrent.futures import ThreadPoolExecutor
from tests.scripted.test_server import ask
with ThreadPoolExecutor(32) as threads:
    asked = threads.map(lambda number: ask({server.port}, session=str(number)), range(96))
    assert {{status for status, _ in asked}} == {{200}}
"""
        subprocess.run([sys.executable, "-c", program], check=True, timeout=HANG_S)
    assert server.most_connections > 16


SCRIPT = """
from dynamic_track.rehearsal.replies import MessageReply, HangReply
SCRIPT = [MessageReply("one"), HangReply(), MessageReply("three")]
OPTIONS = {"api_key": "k"}
"""

CLIENT = """
import sys
from tests.scripted.test_server import ask
ask(int(sys.argv[1])); print("one", flush=True)
ask(int(sys.argv[1]))
"""


def test_a_killed_client_leaves_the_server_and_its_record(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    with server_process(script) as server:
        command = [sys.executable, "-c", CLIENT, str(server.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "one\n"
            while len(server.completions) < 2:
                time.sleep(0.02)
            os.killpg(client.pid, signal.SIGKILL)
        status, answer = ask(server.port)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "three")
        asked = server.completions
    assert [each.turn for each in asked] == [0, 1, 2]
    assert asked[0].headers["authorization"] == "Bearer k"
    assert asked[0].body["messages"] == [GO]


def test_a_script_that_cannot_be_read_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.py"
    script.write_text("SCRIPT = [", "utf-8")
    with pytest.raises(RuntimeError, match="the server ended with 1"), server_process(script):
        pass
    assert "SyntaxError" in capfd.readouterr().err


def test_a_mark_that_moves_on_breaks_no_cache() -> None:
    """A marked text is sent as a block, and as a plain text once the mark stands elsewhere: the same to a cache."""
    cache = PromptCache()
    block = {
        "role": "user",
        "content": [{"type": "text", "text": GO["content"], "cache_control": {"type": "ephemeral"}}],
    }
    first = cache.count("s", {"model": "m", "messages": [SYSTEM, block]}, UsageFormat.anthropic)
    then = cache.count("s", {"model": "m", "messages": [SYSTEM, GO, CALLED, marked(RESULT)]}, UsageFormat.anthropic)
    assert first.written == first.prompt
    assert then.read == first.prompt
