"""Trajectory files of mini-swe-agent: which calls are found in them, and what is said of files that are none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs import MODEL, OPENING, V1, V2, Run, a_run, calling, observed, response, saying, v1, v2, write_run
from twinbench.calls.mini_swe_agent import BASH_TOOL, read_trajectories, read_trajectory, trajectory_files
from twinbench.errors import ContentError, UsageError


def test_an_answer_of_1x_that_did_not_parse_is_a_call_and_stays_in_the_conversation(tmp_path: Path) -> None:
    run = read_trajectory(write_run(tmp_path / "a.traj.json", v1()))

    assert [(call.number, call.prefix, call.kept) for call in run.calls] == [(1, 2, True), (2, 4, True), (3, 6, True)]
    assert (run.instance_id, run.style, list(run.tools)) == ("a__a-1", "text", [])
    assert [message["role"] for message in run.messages_after(run.calls[1])] == ["user"]
    assert run.messages[-1]["content"] == run.submission == "diff --git a/x b/x\n"


def test_an_answer_of_2x_that_did_not_parse_is_a_call_whose_answer_is_not_in_the_conversation(tmp_path: Path) -> None:
    run = read_trajectory(write_run(tmp_path / "b.traj.json", v2()))

    assert [(call.number, call.prefix, call.kept) for call in run.calls] == [(1, 2, True), (2, 5, False), (3, 6, True)]
    assert run.calls[1].response is not None
    assert run.calls[1].response["model"] == MODEL
    assert [call.actions for call in run.calls][:2] == [["ls", "pwd"], None]
    assert (run.style, list(run.tools)) == ("tool", [BASH_TOOL])


def test_nothing_of_the_agents_own_and_of_one_provider_is_in_the_conversation(tmp_path: Path) -> None:
    content = v2()
    content["messages"][0] |= {"timestamp": 1.5, "cost": 3, "name": None}
    run = read_trajectory(write_run(tmp_path / "b.traj.json", content))

    assert {key for message in run.messages for key in message} == {"role", "content", "tool_calls", "tool_call_id"}
    assert "exit" not in {message["role"] for message in run.messages}


def test_an_answer_that_no_live_run_would_take_stays_in_the_conversation_whole(tmp_path: Path) -> None:
    many = calling(*(f"echo {number}" for number in range(100)))
    run = read_trajectory(write_run(tmp_path / "a.traj.json", a_run(V2, [*OPENING, many, saying("ls", "bash")])))

    assert len(run.messages[2]["tool_calls"]) == 100
    assert len(run.calls) == 2


def test_the_tool_is_the_one_that_the_installed_package_offers() -> None:
    from minisweagent.models.utils.actions_toolcall import BASH_TOOL as INSTALLED

    assert INSTALLED == BASH_TOOL


@pytest.mark.parametrize(
    ("messages", "config", "style"),
    [
        ([saying("ls", "mswea_bash_command")], {}, "text"),
        ([calling("ls")], {}, "tool"),
        ([{"role": "user", "content": "?", "extra": {"interrupt_type": "FormatError", "n_actions": 0}}], {}, "text"),
        ([{"role": "user", "content": "?", "extra": {"interrupt_type": "FormatError"}}], {}, "tool"),
        (
            [{"role": "user", "content": "?", "extra": {"interrupt_type": "FormatError"}}],
            {"model": {"action_regex": "```x(.*?)```"}},
            "text",
        ),
    ],
)
def test_the_style_of_actions_is_found(tmp_path: Path, messages: list[Run], config: Run, style: str) -> None:
    content = a_run(V2, [*OPENING, *messages], config=config)
    assert read_trajectory(write_run(tmp_path / "x.traj.json", content)).style == style


def test_a_pattern_that_no_settings_of_the_package_have_is_not_used(tmp_path: Path) -> None:
    content = a_run(V1, [*OPENING, saying("ls", "bash")], config={"agent": {"action_regex": "(a+)+$"}})
    assert read_trajectory(write_run(tmp_path / "x.traj.json", content)).pattern is None


@pytest.mark.parametrize(
    ("name", "content", "instance"),
    [
        ("x.traj.json", v1("in__the-file"), "in__the-file"),
        ("x__x-3.traj.json", v1(None), "x__x-3"),
        ("x__x-3.traj.json.gz", v1(None), "x__x-3"),
        ("x__x-3.json", v1(None), "x__x-3"),
        ("cases/x__x-4/1/trajectory.json", v1(None), "x__x-4"),
        ("x__x-3.traj.json", v1(None) | {"instance_id": 7}, "x__x-3"),
        ("x.traj.json", a_run(V1, v1()["messages"], None, instance_id="in__the-info"), "in__the-info"),
    ],
)
def test_the_instance_is_named_by_the_file_else_by_its_name(
    tmp_path: Path, name: str, content: Run, instance: str
) -> None:
    data = json.dumps(content).encode()
    path = write_run(tmp_path / name, gzip.compress(data) if name.endswith(".gz") else data)
    assert read_trajectory(path).instance_id == instance


def _with(change: Callable[[Run], Any], base: Callable[[], Run] = v2) -> Run:
    content = base()
    change(content)
    return content


def _message(number: int, **fields: Any) -> Run:
    return _with(lambda content: content["messages"][number].update(fields))


WHOLE = json.dumps(v1()).encode()

# name: the content, the field, and words of the message
BROKEN: dict[str, tuple[Any, str | None, str]] = {
    "cut short": (WHOLE[: len(WHOLE) // 2], None, "the file is cut short"),
    "cut short between values": (WHOLE[:-1], None, "the file is cut short"),
    "gzip cut short": (gzip.compress(WHOLE)[:-100], None, "the gzip data is damaged or cut short"),
    "empty": (b"", None, "not JSON: Expecting value at column 1; the file is cut short"),
    "not UTF-8": (b'{"a": "\xff"}', None, "not UTF-8: byte 8"),
    "NaN": (b'{"messages": [{}, {"extra": {"score": NaN}}]}', "messages[1].extra.score", "NaN is not a JSON number"),
    "Infinity": (b'{"info": {"cost": -Infinity}}', "info.cost", "-Infinity is not a JSON number"),
    "a key that stands twice": (b'{"info": {"a": 1, "a": 2}}', "info.a", "occurs twice in one object"),
    "a number too large": (b'{"a": 1e999}', "a", "1e999 is too large"),
    "an integer too long": (b'{"a": ' + b"9" * 5000 + b"}", "a", "an integer of 5,000 digits"),
    "nested too deeply": (b"[" * 100_000, None, "nested too deeply"),
    "a list": ([], None, "a trajectory must be a JSON object, not a list"),
    "no format": (_with(lambda c: c.pop("trajectory_format")), "trajectory_format", "is missing"),
    "a later format": (v1() | {"trajectory_format": "mini-swe-agent-3"}, "trajectory_format", "is not known"),
    "a format of another type": (v1() | {"trajectory_format": [1]}, "trajectory_format", "a list is not known"),
    "no messages": (_with(lambda c: c.pop("messages")), "messages", "is missing"),
    "messages an object": (v1() | {"messages": {}}, "messages", "must be a list, not an object"),
    "no call": (a_run(V2, OPENING), "messages", "no message is a model's answer"),
    "nothing said": (a_run(V2, []), "messages", "no message is a model's answer"),
    "a message a text": (a_run(V1, [*OPENING, "hi"]), "messages[2]", "must be an object, not a text"),  # type: ignore[list-item]
    "an unknown role": (_message(2, role="robot"), "messages[2].role", "'robot' is not known"),
    "a role of another type": (_message(2, role={}), "messages[2].role", "an object is not known"),
    "no role": (_with(lambda c: c["messages"][2].pop("role")), "messages[2].role", "is missing"),
    "of the Responses API": (
        a_run(V2, [*OPENING, {"object": "response", "output": []}]),
        "messages[2].role",
        "is missing: it is from OpenAI's Responses API",
    ),
    "content a number": (_message(1, content=5), "messages[1].content", "must be a string, null or a list of blocks"),
    "a block a number": (_message(1, content=[5]), "messages[1].content[0]", "must be an object or a string"),
    "a block's text a number": (_message(1, content=[{"text": 5}]), "messages[1].content[0].text", "must be a string"),
    "tool calls an object": (_message(2, tool_calls={}), "messages[2].tool_calls", "must be a list or null"),
    "a tool call a text": (_message(2, tool_calls=["x"]), "messages[2].tool_calls[0]", "must be an object, not a text"),
    "a tool call without a function": (
        _message(2, tool_calls=[{"name": "bash"}]),
        "messages[2].tool_calls[0]",
        "an object with a function",
    ),
    "an answer before any question": (
        a_run(V1, [saying("ls", "bash"), *OPENING]),
        "messages[0]",
        "but no message comes before it",
    ),
    "nested deeper than what we keep": (
        b'{"info": {"x": ' + b"[" * 600 + b"]" * 600 + b"}}",
        f"info.x{'[0]' * 18}…",
        "is nested too deeply",
    ),
    "a function's name a number": (
        _message(2, tool_calls=[{"function": {"name": 1}}]),
        "messages[2].tool_calls[0].function.name",
        "must be a string",
    ),
    "arguments a list": (
        _message(2, tool_calls=[{"function": {"name": "bash", "arguments": []}}]),
        "messages[2].tool_calls[0].function.arguments",
        "must be an object or a JSON string, not a list",
    ),
    "a tool_call_id a number": (_message(3, tool_call_id=5), "messages[3].tool_call_id", "must be a string"),
}


@pytest.mark.parametrize(("content", "field", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path: Path, content: Any, field: str | None, words: str) -> None:
    path = write_run(tmp_path / "broken.traj.json", content)
    with pytest.raises(ContentError) as refused:
        read_trajectory(path)
    problem = refused.value.problems[0]
    assert (problem.source, problem.field) == (str(path), field)
    assert words in problem.what


ODD: dict[str, Run] = {
    "info a list": v2() | {"info": []},
    "config a text": a_run(V2, v2()["messages"], config="x"),
    "extra a text": _message(2, extra="x"),
    "a response that is its own repr": _with(lambda c: c["messages"][2]["extra"].update(response="ModelResponse()")),
    "actions of another shape": _with(lambda c: c["messages"][2]["extra"].update(actions=[["ls"]])),
    "a time before all times": _with(lambda c: c["messages"][2]["extra"].update(timestamp=-1)),
    "a time of another type": _with(lambda c: c["messages"][2]["extra"].update(timestamp={"x": 1})),
    "half a character": _message(1, content="cut \ud83d"),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_what_is_not_needed_may_be_of_any_type(tmp_path: Path, content: Run) -> None:
    run = read_trajectory(write_run(tmp_path / "odd.traj.json", content))
    assert len(run.calls) == 3
    assert all(call.at is None or call.at > 0 for call in run.calls)
    json.dumps(run.messages, ensure_ascii=False).encode()


def test_files_of_a_folder_are_found_by_their_names_in_order(tmp_path: Path) -> None:
    for name in ("b/b__b-2/b__b-2.traj.json", "b/a__a-1/a__a-1.traj.json.gz", "b/preds.json", "b/minisweagent.log"):
        write_run(tmp_path / name, b"x")
    single = write_run(tmp_path / "z.json", b"x")

    found = trajectory_files([str(single), str(tmp_path / "b"), str(single)])

    assert [path.name for path in found] == ["z.json", "a__a-1.traj.json.gz", "b__b-2.traj.json"]


@pytest.mark.parametrize("name", ["missing", "empty", "missing.traj.json"])
def test_a_path_that_leads_to_no_file_is_wrong_usage(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=name):
        trajectory_files([str(tmp_path / name)])


def test_the_second_run_of_an_instance_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    contents = {"1.traj.json": v1(), "2.traj.json": WHOLE[:50], "3.traj.json": v1(), "4.traj.json": v2()}
    for name, content in contents.items():
        write_run(tmp_path / name, content)

    first, cut, again, last = read_trajectories(trajectory_files([str(tmp_path)]))

    assert not isinstance(first, ContentError)
    assert not isinstance(last, ContentError)
    assert (first.instance_id, last.instance_id) == ("a__a-1", "b__b-2")
    assert isinstance(cut, ContentError)
    assert isinstance(again, ContentError)
    assert "is also in" in str(again)
    assert "1.traj.json" in str(again)


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    turn = saying("ls", "bash")
    messages = [*OPENING, turn | {"extra": {"response": response(turn)}}, observed(""), turn | {"timestamp": 17.5}]
    run = read_trajectory(write_run(tmp_path / "x.traj.json", a_run(V1, messages)))
    assert [call.at for call in run.calls] == [1763509375.0, 17.5]
