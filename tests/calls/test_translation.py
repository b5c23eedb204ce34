"""What crosses from one model to another, and what is sent beside it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinbench.calls.translation import PLAIN_FIELDS, Utterance, request_body, sound, translated, uttered
from twinbench.pools import LiveCandidate, live_manifest

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
    utterance = uttered(message, said_by)
    (sent,) = translated([utterance], POOL[asked].model_copy(update={"cache_control": None}))
    assert message == before
    plain = {name: sent[name] for name in sent if name in PLAIN_FIELDS}
    assert (plain["role"], plain["content"]) == ("assistant", message["content"])
    own = {name for name, value in message.items() if name not in PLAIN_FIELDS and value is not None}
    assert set(sent) - set(PLAIN_FIELDS) == (own if asked == said_by else set())
    calls = message.get("tool_calls") or []
    assert [call["id"] for call in sent.get("tool_calls", [])] == [call["id"] for call in calls]
    if asked == said_by:
        assert sent.get("tool_calls", []) == calls
        assert all(sent[name] == message[name] for name in own)
    else:
        for call in sent.get("tool_calls", []):
            assert set(call) <= {"id", "type", "function"}
            assert set(call.get("function", {})) <= {"name", "arguments"}


def of(role: str, content: Any, **more: Any) -> Utterance:
    return Utterance({"role": role, "content": content, **more})


MARKED: dict[str, tuple[Utterance, Mapping[str, Any]]] = {
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
def test_the_last_message_is_marked_for_claude_alone(last: Utterance, wanted: Mapping[str, Any]) -> None:
    conversation = [of("system", "You …"), last]
    before = copy.deepcopy(conversation)
    assert translated(conversation, POOL[HIGH]) == [{"role": "system", "content": "You …"}, wanted]
    for name in (LOW, MID, MID_HIGH):
        assert translated(conversation, POOL[name]) == [dict(each.plain) for each in conversation]
    assert conversation == before
    assert translated([], POOL[HIGH]) == []


@pytest.mark.parametrize("candidate", POOL.values(), ids=POOL)
def test_a_request_has_what_the_pool_says_and_tools_where_there_are_any(candidate: LiveCandidate) -> None:
    with_tools = request_body(candidate, [of("user", "go")], [CALL], {"parallel_tool_calls": True})
    without = request_body(candidate, [of("user", "go")], [], {"parallel_tool_calls": True})
    assert (without["model"], without["max_tokens"], without["temperature"]) == (candidate.model, 32_768, 0)
    assert set(with_tools) - set(without) == {"tools", "parallel_tool_calls"}
    assert set(without) == {"model", "messages", "max_tokens", "temperature"}


def test_parameters_are_sent_and_a_temperature_only_where_one_is_taken() -> None:
    candidate = POOL[LOW].model_copy(update={"temperature": None, "parameters": {"reasoning": {"effort": "high"}}})
    body = request_body(candidate, [of("user", "go")], [], {})
    assert "temperature" not in body
    assert body["reasoning"] == {"effort": "high"}


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_text_is_kept_but_for_halves_of_pairs(text: str) -> None:
    made = sound({text: [text, 1, None]})
    ((key, (value, *_)),) = made.items()
    assert key == value
    value.encode()
    try:
        text.encode()
    except UnicodeEncodeError:
        assert "\ufffd" in value or json.loads(json.dumps(text)) == value
    else:
        assert value == text
