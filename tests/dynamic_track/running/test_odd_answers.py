"""What a provider answers oddly costs its case a step at most: the run goes on, and what is sent next is clean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import RawReply, Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.dynamic_track.live import (
    EASY,
    HIGH,
    KEY,
    KEY_VARIABLE,
    SIX,
    Done,
    by_step,
    gold,
    live,
    named,
    replayed,
    said,
)
from tests.examples import thinned
from tests.scripted.server import ScriptedServer
from twinbench.calls.packing import unpack


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def saying(**message: Any) -> RawReply:
    """A readable response with this message, in bytes, since no library would write some of them."""
    usage = {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}
    body = {"id": "r", "object": "chat.completion", "model": HIGH, "choices": [choice], "usage": usage}
    return RawReply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})


def calling(**function: Any) -> dict[str, Any]:
    return {
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "bash", "arguments": "{}", **function}}]
    }


FORMAT_ERRORS: dict[str, dict[str, Any]] = {
    "a text that is a number": {"content": [{"type": "text", "text": 5}]},
    "a text that is an object": {"content": [{"type": "text", "text": {"value": "ls"}}]},
    "arguments that are a list": calling(arguments=["ls"]),
    "arguments that are a number": calling(arguments=5),
    "a name that is a number": calling(name=5),
    "3,000 commands": {"tool_calls": calling(arguments='{"command": "touch /tmp/ran"}')["tool_calls"] * 3000},
    "no JSON": {**calling(arguments="{"), "reasoning_content": "Hm.", "provider_specific_fields": {"x": 1}},
}


@pytest.mark.parametrize("style", thinned(["tool", "text"], 2))
def test_an_answer_that_cannot_be_read_is_a_format_error_that_is_billed(
    tmp_path: Path, rehearsal: Sequence[Task], style: str
) -> None:
    run = tmp_path / "run"
    # The package gives up after three format errors in a row.
    odd: list[Reply | Callable[[ReceivedRequest], Reply]] = []
    for message in FORMAT_ERRORS.values():
        odd += [saying(**message), said("ls", text=style == "text")]
    good = [said(command, text=style == "text") for command in gold(named(rehearsal, EASY))]
    script = iter([*odd, *good])
    with ScriptedServer(lambda _: next(script)) as server:  # type: ignore[arg-type, return-value]
        live(server.api_base, run, "--action-format", style).succeeded()
        asked = server.completions
    case = Done(run).case
    assert (case["resolved"], case["cause"], case["steps"]) == (True, None, len(odd) + len(good))
    assert sum(Decimal(each["cost_usd"]) for each in Done(run).fields("settle")) == Decimal(str(case["cost_usd"]))
    assert not any("touch" in each["command"] for each in Done(run).fields("command"))
    for request in asked:
        for message in request.body["messages"]:
            if message["role"] != "assistant":
                assert message.keys() <= {"role", "content", "tool_call_id", "cache_control"}
    assert replayed(run).succeeded().json


@pytest.mark.acceptance
def test_ids_are_made_where_a_model_gives_none_or_one_twice(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    run = tmp_path / "run"

    def naming(command: str, *names: Any) -> RawReply:
        calls = [
            {"id": name, "type": "function", "function": {"name": "bash", "arguments": {"command": command}}}
            for name in names
        ]
        return saying(tool_calls=calls)

    look, edit, submit = gold(named(rehearsal, EASY))
    replies: list[Reply | Callable[[ReceivedRequest], Reply]] = [
        naming(look, "call_0", "call_0", None),
        naming(edit, "call_0"),
        naming(submit, ""),
    ]
    with ScriptedServer(by_step_of_calls(replies)) as server:
        live(server.api_base, run).succeeded()
        asked = server.completions
    assert Done(run).case["resolved"]
    last = asked[-1].body["messages"]
    made = [call["id"] for message in last for call in message.get("tool_calls", [])]
    answered = [message["tool_call_id"] for message in last if message["role"] == "tool"]
    assert made == answered
    assert len(set(made)) == len(made) == 4
    assert all(
        isinstance(call["function"]["arguments"], str) for message in last for call in message.get("tool_calls", [])
    )
    replayed(run).succeeded()


def by_step_of_calls(replies: Sequence[Any]) -> Callable[[ReceivedRequest], Reply]:
    """By how many answers the conversation has."""

    def answer(asked: ReceivedRequest) -> Reply:
        reply: Reply = replies[sum(message["role"] == "assistant" for message in asked.body["messages"])]
        return reply

    return answer


ESCAPED = "".join(f"\\u{ord(char):04x}" for char in KEY)
"""The key, every character of it in digits."""


@pytest.mark.acceptance
@pytest.mark.parametrize("nested", [False, True], ids=["a message", "a command"])
def test_the_key_in_escapes_lands_in_no_file(tmp_path: Path, rehearsal: Sequence[Task], nested: bool) -> None:
    run = tmp_path / "run"
    marks = "KEY_STANDS_HERE"
    if nested:
        command = json.dumps({"command": f"echo {marks}"}).replace(marks, ESCAPED)
        first = saying(**calling(arguments=command))
    else:
        first = saying(
            content=[{"type": "text", "text": marks}], reasoning_content=marks, **calling(arguments='{"command": "ls"}')
        )
    body = first.body if nested else first.body.replace(marks.encode(), ESCAPED.encode())
    assert KEY.encode() not in body
    good = [said(command) for command in gold(named(rehearsal, EASY))]
    with ScriptedServer(by_step([RawReply(200, body, first.headers), *good])) as server:
        live(server.api_base, run).succeeded()
        assert not any(KEY in json.dumps(asked.body) for asked in server.completions)
    _holds_no_key(run)
    replayed(run).succeeded()


def test_a_key_that_a_model_puts_together_in_a_command_lands_in_no_file(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    run = tmp_path / "run"
    look, edit, submit = gold(named(rehearsal, EASY))
    spread = said(f"{look}; printf '%s%s' {KEY[:9]} {KEY[9:]} | tee key.txt")
    with ScriptedServer(by_step([spread, said("cat key.txt"), said(edit), said(submit)])) as server:
        live(server.api_base, run).succeeded()
        assert not any(KEY in json.dumps(asked.body) for asked in server.completions)
    _holds_no_key(run)
    assert "[secret]" in (Done(run).folder / "patch.diff").read_text("utf-8")


def _holds_no_key(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    for fields in Done(run).fields("settle"):
        assert KEY not in json.dumps(json.loads(unpack(fields["response"])))


def test_no_answer_of_one_case_ends_another(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    """Each of six cases gets something odd at another step; all go on, and pay for what they got."""
    run = tmp_path / "run"
    messages = list(FORMAT_ERRORS.values())

    def answer(asked: ReceivedRequest) -> Reply:
        prompt = json.dumps(asked.body["messages"][1])
        number, task = next(
            (number, task)
            for number, task in enumerate(named(rehearsal, name) for name in SIX)
            if json.dumps(task.problem_statement.strip()[:200])[1:-1] in prompt
        )
        step = sum(message["role"] == "assistant" for message in asked.body["messages"])
        complaints = sum("Tool call error" in str(message["content"]) for message in asked.body["messages"][2:])
        if step == number % 3 and not complaints:
            return saying(**messages[number])
        return said(gold(task)[step])

    every = [word for name in SIX for word in ("--only", name)]
    with ScriptedServer(answer) as server:
        live(server.api_base, run, *every, "--workers", "3", only="").succeeded()
    for name in SIX:
        done = Done(run, name)
        assert (done.case["resolved"], done.case["steps"]) == (True, 4), name
        assert all(not each["at_reservation"] for each in done.fields("settle"))
