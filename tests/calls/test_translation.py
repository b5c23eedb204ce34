"""What crosses from one model to another, and what is sent beside it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinbench.calls.completion import read_message, replace_surrogates
from twinbench.calls.translation import (
    PLAIN_FIELDS,
    ConversationMessage,
    build_request_body,
    read_agent_message,
    to_conversation_message,
    translate_conversation,
)
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.manifests import LiveCandidate

POOL = {candidate.id: candidate for candidate in live_manifest().candidates}
LOW, MID, MID_HIGH, HIGH = POOL
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
MARK = {"type": "ephemeral"}

plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
messages = st.fixed_dictionaries(
    {"content": st.none() | st.text(max_size=10)},
    optional={
        "role": st.just("assistant"),
        "tool_calls": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {"id": st.text(max_size=4)},
                optional={
                    "type": st.just("function"),
                    "index": st.integers(),
                    "function": st.dictionaries(st.sampled_from(["name", "arguments", "x"]), st.text(max_size=4)),
                },
            ),
            max_size=2,
        ),
        "reasoning_content": plain_json,
        "provider_specific_fields": plain_json,
        "name": st.just("n"),
    },
)


@given(message=messages, said_by=st.sampled_from(list(POOL)), asked=st.sampled_from(list(POOL)))
def test_plain_fields_go_to_everybody_and_the_others_to_their_speaker(
    message: dict[str, Any], said_by: str, asked: str
) -> None:
    before = copy.deepcopy(message)
    utterance = to_conversation_message(read_message(message), said_by, 1, [])
    (sent,) = translate_conversation([utterance], POOL[asked].model_copy(update={"cache_control": None}))
    assert message == before
    assert (sent["role"], sent["content"]) == ("assistant", message["content"])
    own = {name for name, value in message.items() if name not in PLAIN_FIELDS and value is not None}
    assert set(sent) - set(PLAIN_FIELDS) == (own if asked == said_by else set())
    calls = message.get("tool_calls") or []
    assert len({call["id"] for call in sent.get("tool_calls", [])}) == len(calls)
    for call, said in zip(sent.get("tool_calls", []), calls, strict=True):
        function = said.get("function", {})
        assert call["type"] == "function"
        assert call["function"]["name"] == function.get("name", "")
        assert call["function"]["arguments"] == function.get("arguments", "")
        assert call.get("index") == (said.get("index") if asked == said_by else None)
        assert call["function"].get("x") == (function.get("x") if asked == said_by else None)
    if asked == said_by:
        assert all(sent[name] == message[name] for name in own)


def answered(
    message: Mapping[str, Any], step: int, before: Sequence[ConversationMessage] = (), by: str = LOW
) -> ConversationMessage:
    return to_conversation_message(read_message(message), by, step, [each.plain for each in before])


def calling(*ids: Any, **function: Any) -> dict[str, Any]:
    function = {"name": "bash", "arguments": "{}", **function}
    return {"content": None, "tool_calls": [{"id": each, "type": "function", "function": function} for each in ids]}


def ids_of(utterance: ConversationMessage) -> list[str]:
    return [call["id"] for call in utterance.plain["tool_calls"]]


def test_ids_are_made_where_a_model_gives_none_and_are_the_same_again() -> None:
    nameless = {"function": {"name": "bash", "arguments": "{}"}}
    message = {"tool_calls": [nameless, *calling("", " ", 7, None, "x" * 200)["tool_calls"]]}
    first = answered(message, 3)
    assert ids_of(first) == [f"call0030{number}" for number in range(6)]
    assert ids_of(answered(message, 3)) == ids_of(first)
    assert all(len(each) == 9 and each.isalnum() for each in ids_of(first))


def test_an_id_stands_once_in_a_conversation() -> None:
    """Some servers count from zero in every response; strict ones refuse to be sent an id twice."""
    first = answered(calling("call_0", "call_0"), 1)
    assert ids_of(first)[0] == "call_0"
    second = answered(calling("call_0"), 2, [first])
    third = answered(calling("call00200"), 3, [first, second])
    ids = [*ids_of(first), *ids_of(second), *ids_of(third)]
    assert len(set(ids)) == 4
    clash = answered(calling(None), 3, [answered(calling("call00300"), 1)])
    assert ids_of(clash)[0] != "call00300"


def test_the_ids_that_a_model_gets_back_are_those_of_the_conversation() -> None:
    first = answered(calling("a"), 1)
    function = {"name": "bash", "arguments": {}}
    signed = {"id": "a", "index": 0, "extra_content": {"signature": "s"}, "function": function}
    again = answered({"tool_calls": [signed]}, 2, [first])
    (call,) = again.provider_fields["tool_calls"]
    assert (call["id"], call["index"], call["extra_content"]) == (ids_of(again)[0], 0, {"signature": "s"})
    assert call["id"] != "a"


@pytest.mark.parametrize(
    ("arguments", "text"), [({"command": "ls é"}, '{"command": "ls é"}'), ("{", "{"), ({}, "{}"), (None, "")]
)
def test_arguments_are_json_text(arguments: Any, text: str) -> None:
    (call,) = answered(calling("a", arguments=arguments), 1).plain["tool_calls"]
    assert call["function"]["arguments"] == text


THINKING = [
    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
    {"type": "text", "text": "First."},
    {"type": "text", "text": "Second."},
]


def test_thinking_among_content_goes_back_to_its_own_model_alone() -> None:
    said = answered({"content": THINKING, "reasoning_content": "Hm."}, 1, by=HIGH)
    assert said.plain == {"role": "assistant", "content": "First.\nSecond."}
    (other,) = translate_conversation([said], POOL[LOW])
    assert other == said.plain
    (same,) = translate_conversation([said], POOL[HIGH].model_copy(update={"cache_control": None}))
    assert same == {"role": "assistant", "content": THINKING, "reasoning_content": "Hm."}
    (marked,) = translate_conversation([said], POOL[HIGH])
    assert [block.get("cache_control") for block in marked["content"]] == [None, None, MARK]
    only = answered({"content": THINKING[:1]}, 1, by=HIGH)
    assert only.plain == {"role": "assistant", "content": None}
    (marked,) = translate_conversation([only], POOL[HIGH])
    assert marked == {"role": "assistant", "content": THINKING[:1], "cache_control": MARK}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a"}, "b", {"text": "c"}, {"type": "output_text", "text": "d"}], "a\nb\nc\nd"),
        ([{"type": "text", "text": None}], ""),
        ([], None),
        (None, None),
    ],
)
def test_content_in_parts_is_one_text(content: Any, text: str | None) -> None:
    said = answered({"content": content}, 1)
    assert said.plain["content"] == text
    assert said.provider_fields == {}


def test_what_is_noted_of_an_answer_reaches_no_other_role() -> None:
    """After a format error the agent's complaint carries the notes of the answer that it complains of."""
    notes = {"candidate": LOW, "own": {"reasoning_content": "Hm.", "tool_calls": ["broken"]}}
    for role in ("system", "user", "tool"):
        (sent,) = translate_conversation([read_agent_message({"role": role, "content": "No."}, notes)], POOL[LOW])
        assert sent == {"role": role, "content": "No."}
    (sent,) = translate_conversation([read_agent_message({"role": "assistant", "content": "x"}, notes)], POOL[LOW])
    assert sent["reasoning_content"] == "Hm."


def of(role: str, content: Any, **more: Any) -> ConversationMessage:
    return ConversationMessage({"role": role, "content": content, **more})


MARKED: dict[str, tuple[ConversationMessage, Mapping[str, Any]]] = {
    "a user's text": (
        of("user", "go"),
        {"role": "user", "content": [{"type": "text", "text": "go", "cache_control": MARK}]},
    ),
    "a tool's result": (
        of("tool", "ok", tool_call_id="c1"),
        {"role": "tool", "content": "ok", "tool_call_id": "c1", "cache_control": MARK},
    ),
    "blocks": (
        of("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARK}],
        },
    ),
    "nothing": (of("user", ""), {"role": "user", "content": "", "cache_control": MARK}),
    "no text": (
        of("assistant", None, tool_calls=[CALL]),
        {"role": "assistant", "content": None, "tool_calls": [CALL], "cache_control": MARK},
    ),
}


@pytest.mark.parametrize(("last", "wanted"), MARKED.values(), ids=MARKED)
def test_the_last_message_is_marked_for_claude_alone(last: ConversationMessage, wanted: Mapping[str, Any]) -> None:
    conversation = [of("system", "You …"), last]
    before = copy.deepcopy(conversation)
    assert translate_conversation(conversation, POOL[HIGH]) == [{"role": "system", "content": "You …"}, wanted]
    for name in (LOW, MID, MID_HIGH):
        assert translate_conversation(conversation, POOL[name]) == [dict(each.plain) for each in conversation]
    assert conversation == before
    assert translate_conversation([], POOL[HIGH]) == []


@pytest.mark.parametrize("candidate", POOL.values(), ids=POOL)
def test_a_request_has_what_the_pool_says_and_tools_where_there_are_any(candidate: LiveCandidate) -> None:
    with_tools = build_request_body(candidate, [of("user", "go")], [CALL], {"parallel_tool_calls": True})
    without = build_request_body(candidate, [of("user", "go")], [], {"parallel_tool_calls": True})
    assert (without["model"], without["max_tokens"], without["temperature"]) == (candidate.model, 32_768, 0)
    assert set(with_tools) - set(without) == {"tools", "parallel_tool_calls"}
    assert set(without) == {"model", "messages", "max_tokens", "temperature"}


def test_parameters_are_sent_and_a_temperature_only_where_one_is_taken() -> None:
    candidate = POOL[LOW].model_copy(update={"temperature": None, "parameters": {"reasoning": {"effort": "high"}}})
    body = build_request_body(candidate, [of("user", "go")], [], {})
    assert "temperature" not in body
    assert body["reasoning"] == {"effort": "high"}


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_text_is_kept_but_for_halves_of_pairs(text: str) -> None:
    made = replace_surrogates({text: [text, 1, None]})
    ((key, (value, *_)),) = made.items()
    assert key == value
    value.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\ufffd" in value or json.loads(json.dumps(text)) == value
    else:
        assert value == text
