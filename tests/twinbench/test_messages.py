"""The text of a message, its exact key and its semantic key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle, strategies
from tests.examples import examples
from twinbench.text.messages import (
    BLOCK_TEXT_RULES,
    COUNTED_BLOCKS,
    PROTOCOL_TEXT_RULES,
    exact_key,
    find_message_problems,
    message_text,
    semantic_key,
    text_rules_version,
)


def call(**function: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": function}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user"}, ""),
        ({"role": "user", "content": None}, ""),
        ({"role": "user", "content": "a\u2028b"}, "a\u2028b"),
        ({"role": "user", "content": []}, ""),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "", {"text": ""}, {"type": "image_url"}]}, "a\n"),
        ({"role": "user", "content": ["", "b", {"text": None}]}, "\nb"),
        ({"role": "assistant", "content": "a", "tool_calls": [call(name="f", arguments='{"x":1}')]}, 'a\nf\n{"x":1}'),
        ({"role": "assistant", "content": None, "tool_calls": [call(name="f", arguments={"x": 1, "é": []})]},
         'f\n{"x": 1, "é": []}'),
        ({"role": "assistant", "content": "", "tool_calls": [call(name="f", arguments={})]}, "\nf\n{}"),
        ({"role": "assistant", "content": None, "tool_calls": [call(name=None, arguments="")]}, ""),
        ({"role": "assistant", "content": None, "tool_calls": [call(), call()]}, "\n"),
        ({"role": "user", "content": "a", "tool_calls": [{"name": "f", "arguments": "x"}]}, "a\nf\nx"),
        ({"role": "assistant", "content": "a", "tool_calls": [{"function": None, "name": "f"}]}, "a\nf"),
        ({"role": "assistant", "content": "a", "tool_calls": None, "function_call": {"name": "g"}}, "a"),
        ({"role": "assistant", "content": "a", "tool_calls": []}, "a"),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, "a"]}, "hm\na"),
        ({"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}, ""),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {"x": "é"}}]},
         'f\n{"x": "é"}'),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}, "f\n{}"),
        ({"role": "assistant", "content": [{"type": "server_tool_use"}, "a"]}, "\na"),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "out"}]}, "out"),
        ({"role": "user", "content": [{"type": "tool_result", "content": ["a", {"type": "text", "text": "b"},
                                                                         {"type": "image", "source": {"data": "x"}}]}]},
         "a\nb"),
        ({"role": "user", "content": [{"type": "tool_result"}, {"type": "document", "source": {"data": "x"}}]}, ""),
    ],
)  # fmt: skip
def test_the_text_is_the_contents_parts_and_then_each_calls_name_and_arguments(
    message: dict[str, Any], text: str
) -> None:
    assert message_text(message) == text


@examples(80, 300)
@given(strategies.messages())
def test_the_text_is_the_oracles(message: dict[str, Any]) -> None:
    assert message_text(message) == oracle.text_of_message(message)


@examples(80, 300)
@given(st.data())
def test_semantic_keys_are_equal_exactly_where_a_prefix_comparison_sees_no_difference(data: st.DataObject) -> None:
    message = data.draw(strategies.messages())
    other = data.draw(
        st.one_of(strategies.messages(), strategies.restyled(message), strategies.edited(message), st.just(message))
    )
    same = oracle.is_semantic_prefix([message], [other])
    assert (semantic_key(message) == semantic_key(other)) == same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"content": None}, {"content": ""}, True),
        ({"content": []}, {"content": None}, True),
        ({}, {"content": None}, False),
        ({"content": ["a", "b"]}, {"content": "a\nb"}, True),
        ({"content": "a", "cache_control": {}}, {"content": "a", "reasoning": "r"}, True),
        ({"tool_calls": None}, {}, False),
        ({"tool_calls": None}, {"tool_calls": []}, False),
        ({"tool_calls": [{"a": 1, "b": 2}]}, {"tool_calls": [{"b": 2, "a": 1}]}, True),
        ({"tool_calls": [{"arguments": {"a": 1}}]}, {"tool_calls": [{"arguments": '{"a": 1}'}]}, False),
        ({"tool_calls": [{"n": 1}]}, {"tool_calls": [{"n": 1.0}]}, False),
        ({"tool_calls": [{"n": 1}]}, {"tool_calls": [{"n": True}]}, False),
        ({"name": None}, {}, False),
        ({"tool_call_id": "a"}, {"tool_call_id": "b"}, False),
        ({"content": "1"}, {"name": "1"}, False),
        (
            {"content": [{"type": "tool_result", "tool_use_id": "x", "content": "out"}]},
            {"content": [{"type": "tool_result", "tool_use_id": "y", "content": ["out"]}]},
            True,
        ),
        (
            {"content": [{"type": "tool_result", "content": "out"}]},
            {"content": [{"type": "tool_result", "content": "another"}]},
            False,
        ),
        (
            {"content": [{"type": "tool_use", "name": "f", "input": {"x": 1}}]},
            {"content": [{"type": "tool_use", "name": "f", "input": {"x": 2}}]},
            False,
        ),
    ],
)
def test_what_a_prefix_comparison_sees(one: dict[str, Any], other: dict[str, Any], *, same: bool) -> None:
    left, right = {"role": "assistant", **one}, {"role": "assistant", **other}
    assert (semantic_key(left) == semantic_key(right)) is same
    assert exact_key(left) != exact_key(right)


@examples(80, 300)
@given(strategies.messages())
def test_the_exact_key_is_the_message_with_its_keys_in_their_order(message: dict[str, Any]) -> None:
    back = json.loads(exact_key(message))
    assert json.dumps(back) == json.dumps(message)
    flipped = strategies.reversed_keys(message)
    assert (exact_key(flipped) == exact_key(message)) == (json.dumps(flipped) == json.dumps(message))


@examples(80, 300)
@given(strategies.messages())
def test_a_message_needs_the_later_text_rules_exactly_where_it_has_a_block_that_they_count(
    message: dict[str, Any],
) -> None:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    counted = any(isinstance(block, dict) and block.get("type") in COUNTED_BLOCKS for block in blocks)
    assert text_rules_version(message) == (BLOCK_TEXT_RULES if counted else PROTOCOL_TEXT_RULES)
    if not counted:
        plain = [block for block in blocks if isinstance(block, str) or block.get("text")]
        by_protocol = [block if isinstance(block, str) else block["text"] for block in plain]
        assert isinstance(content, str | None) or message_text({"content": content}) == "\n".join(by_protocol)


@examples(80, 300)
@given(strategies.messages())
def test_whatever_the_protocol_has_is_a_message(message: dict[str, Any]) -> None:
    assert list(find_message_problems(message)) == []


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ("role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "thinking", "input")
            ),
            st.one_of(inner, st.sampled_from(COUNTED_BLOCKS)),
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=500)
@given(JSON)
def test_what_passes_as_a_message_has_a_text_and_keys_whatever_it_is(value: Any) -> None:
    if list(find_message_problems(value)):
        return
    assert isinstance(message_text(value), str)
    assert message_text(value) == oracle.text_of_message(value)
    semantic_key(value)
    text_rules_version(value)
