"""The text of a message, its exact key and its semantic key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle, strategies
from twinbench.messages import exact_key, message_text, semantic_key


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
    ],
)  # fmt: skip
def test_the_text_is_the_contents_parts_and_then_each_calls_name_and_arguments(
    message: dict[str, Any], text: str
) -> None:
    assert message_text(message) == text


@settings(max_examples=300)
@given(strategies.messages())
def test_the_text_is_the_oracles(message: dict[str, Any]) -> None:
    assert message_text(message) == oracle.text_of_message(message)


@settings(max_examples=300)
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
    ],
)
def test_what_a_prefix_comparison_sees(one: dict[str, Any], other: dict[str, Any], *, same: bool) -> None:
    left, right = {"role": "assistant", **one}, {"role": "assistant", **other}
    assert (semantic_key(left) == semantic_key(right)) is same
    assert exact_key(left) != exact_key(right)


@settings(max_examples=300)
@given(strategies.messages())
def test_the_exact_key_is_the_message_with_its_keys_in_their_order(message: dict[str, Any]) -> None:
    back = json.loads(exact_key(message))
    assert json.dumps(back) == json.dumps(message)
    flipped = strategies.reversed_keys(message)
    assert (exact_key(flipped) == exact_key(message)) == (json.dumps(flipped) == json.dumps(message))
