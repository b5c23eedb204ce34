"""What is on the wire for each candidate of the pool, from the bytes that the server got."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import MessageReply, Reply, unauthorized
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.dynamic_track.live import (
    HIGH,
    KEY,
    KEY_VARIABLE,
    POOL,
    SENTINEL,
    Done,
    live,
    said,
)
from tests.scripted.server import ScriptedServer
from twinbench.routing.session import SESSION_HEADER

OWN = ("reasoning_content", "provider_specific_fields", "reasoning_details", "annotations")
STEPS = 9
MARK = {"type": "ephemeral"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def talkative(asked: ReceivedRequest, *, text: bool) -> Reply:
    """Says much of its own with each answer, told apart by its step, and leaves in the end."""
    step = sum(message["role"] == "assistant" for message in asked.body["messages"]) + 1
    fields: dict[str, Any] = {
        "reasoning_content": f"thought {step}",
        "provider_specific_fields": {"signature": f"signed {step}"},
        "reasoning_details": [{"type": "reasoning.text", "text": f"detail {step}"}],
        "annotations": [],
        "refusal": None,
    }
    command = f"echo {SENTINEL}" if step == STEPS else f"echo {step}"
    message = said(command, text=text, message_fields=fields)
    if text:
        return message
    function = {"name": "bash", "arguments": json.dumps({"command": command}), "signature": f"inside {step}"}
    call = {"id": f"call-{step}", "type": "function", "index": 0, "extra_content": f"beside {step}"}
    fields["tool_calls"] = [{**call, "function": function}]
    return MessageReply("So:", message_fields=fields, finish_reason="tool_calls")


@pytest.fixture(scope="module", params=["tool", "text"])
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]
) -> Iterator[tuple[str, list[ReceivedRequest]]]:
    """The requests of a run whose router takes turns, twice through the pool and once more."""
    text = request.param == "text"
    with pytest.MonkeyPatch.context() as patch, ScriptedServer(lambda each: talkative(each, text=text)) as server:
        patch.setenv(KEY_VARIABLE, KEY)
        done = Done(tmp_path_factory.mktemp("wire") / "run")
        live(server.api_base, done.run, "--action-format", request.param, router="round-robin").succeeded()
        assert done.case["steps"] == STEPS
        yield request.param, server.completions


def sent(asked: ReceivedRequest) -> dict[str, Any]:
    """The body, each of whose keys stands there once."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    body: dict[str, Any] = json.loads(asked.raw, object_pairs_hook=once)
    return body


def test_model_limits_and_tools_are_as_the_pool_and_the_settings_say(asked: tuple[str, list[ReceivedRequest]]) -> None:
    style, requests = asked
    assert [sent(each)["model"] for each in requests] == [POOL[step % 4] for step in range(STEPS)]
    for each in requests:
        body = sent(each)
        assert (body["temperature"], body["max_tokens"]) == (0, 32_768)
        wanted = {"model", "messages", "temperature", "max_tokens"}
        if style == "tool":
            (tool,) = body["tools"]
            assert (tool["type"], tool["function"]["name"]) == ("function", "bash")
            assert body["parallel_tool_calls"] is True
            wanted |= {"tools", "parallel_tool_calls"}
        assert set(body) == wanted
        assert each.headers["authorization"] == f"Bearer {KEY}"


def marks(value: Any) -> int:
    """How many cache marks stand in something."""
    if isinstance(value, Mapping):
        return ("cache_control" in value) + sum(marks(item) for item in value.values())
    return sum(marks(item) for item in value) if isinstance(value, list) else 0


def test_claude_gets_one_cache_mark_at_the_end_and_the_others_none(asked: tuple[str, list[ReceivedRequest]]) -> None:
    style, requests = asked
    for each in requests:
        body = sent(each)
        if body["model"] != HIGH:
            assert marks(body) == 0
            assert b"cache_control" not in each.raw
            continue
        last = body["messages"][-1]
        assert marks(body) == marks(last) == 1
        if style == "tool":
            assert (last["role"], last["cache_control"]) == ("tool", MARK)
            assert isinstance(last["content"], str)
        else:
            assert last["role"] == "user"
            assert last["content"][-1]["cache_control"] == MARK
            assert [block["type"] for block in last["content"]] == ["text"]
    assert {sent(each)["model"] for each in requests} == set(POOL)


def test_what_a_model_said_of_its_own_goes_back_to_it_alone(asked: tuple[str, list[ReceivedRequest]]) -> None:
    style, requests = asked
    seen = 0
    for each in requests:
        body = sent(each)
        spoken = [message for message in body["messages"] if message["role"] == "assistant"]
        for step, message in enumerate(spoken, 1):
            own = POOL[(step - 1) % 4] == body["model"]
            seen += own
            wanted: dict[str, Any] = {}
            if own:
                wanted = {
                    "reasoning_content": f"thought {step}",
                    "provider_specific_fields": {"signature": f"signed {step}"},
                    "reasoning_details": [{"type": "reasoning.text", "text": f"detail {step}"}],
                    "annotations": [],
                }
            plain = {"role", "content"} | ({"tool_calls"} if style == "tool" else set())
            assert set(message) == plain | set(wanted)
            assert {name: message[name] for name in wanted} == wanted
            if style == "tool":
                (call,) = message["tool_calls"]
                assert call["id"] == f"call-{step}"
                assert call.get("extra_content") == (f"beside {step}" if own else None)
                assert call["function"].get("signature") == (f"inside {step}" if own else None)
        text = each.raw.decode()
        foreign = [step for step in range(1, len(spoken) + 1) if POOL[(step - 1) % 4] != body["model"]]
        for step in foreign:
            for word in ("thought", "signed", "detail", "inside", "beside"):
                assert f"{word} {step}" not in text
    assert seen == 6, "a model is asked after four others, and in the end for the third time"


def test_results_are_tied_to_their_calls_across_models(asked: tuple[str, list[ReceivedRequest]]) -> None:
    style, requests = asked
    messages = sent(requests[-1])["messages"]
    assert [message["role"] for message in messages[:2]] == ["system", "user"]
    results = messages[3::2]
    if style == "tool":
        assert [each["tool_call_id"] for each in results] == [f"call-{step}" for step in range(1, STEPS)]
        assert all(set(each) - {"cache_control"} == {"role", "content", "tool_call_id"} for each in results)
    else:
        assert all(set(each) == {"role", "content"} for each in results)


def test_a_conversation_grows_and_is_never_rewritten(asked: tuple[str, list[ReceivedRequest]]) -> None:
    _, requests = asked
    plain = [[(message["role"], _text(message)) for message in sent(each)["messages"]] for each in requests]
    for earlier, later in itertools.pairwise(plain):
        assert later[: len(earlier)] == earlier


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


@pytest.mark.acceptance
def test_the_session_header_is_opaque_and_a_trials_own(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    cases = [task.id for task in rehearsal[:2]]
    fails = True

    def answer(asked: ReceivedRequest) -> Reply:
        first = len(asked.body["messages"]) == 2
        return said("ls") if first else unauthorized() if fails else said(f"echo {SENTINEL}")

    with ScriptedServer(answer) as server:
        only = [argument for case in cases[1:] for argument in ("--only", case)]
        live(server.api_base, tmp_path / "run", *only, only=cases[0])
        fails = False
        live(server.api_base, tmp_path / "run", *only, only=cases[0]).succeeded()
        live(server.api_base, tmp_path / "seeded", "--seed", "another", only=cases[0]).succeeded()
        sessions: dict[tuple[str, bool], set[str]] = {}
        for number, each in enumerate(server.completions):
            case = _text(each.body["messages"][1])
            sessions.setdefault((case, number >= 6), set()).add(each.headers[SESSION_HEADER.lower()])
            head = json.dumps(dict(each.headers))
            assert not any(part in head for name in cases for part in (name, *name.split("__")))
    assert len(server.completions) == 8
    assert sorted(map(len, sessions.values())) == [1, 1, 1]
    assert len(set.union(*sessions.values())) == 3
