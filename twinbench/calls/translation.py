"""What crosses from one model to the next: the one place that decides it.

A conversation is kept *plain*: role, content, tool calls, and which call a tool message answers. That is what a router
sees, and what every model is sent. What else a model said of its own (reasoning, signatures, provider fields) is kept
beside the plain message, and goes back to that candidate alone: another would refuse it, or bill for it. Ids of tool
calls cross unchanged, since they only tie a result to its call. Cache marks are set anew for each request, for the
candidates that want them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinbench.pools import LiveCandidate

PLAIN_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
_PLAIN_CALL_FIELDS = ("id", "type", "function")


@dataclass(frozen=True)
class Utterance:
    """One message of a live conversation."""

    plain: Mapping[str, Any]
    """An OpenAI chat message with nothing of one provider's own."""
    candidate: str | None = None
    """Id of the candidate that said it; None for what the agent said."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the message that only go back to that candidate; they replace plain ones of the same name."""


def uttered(message: Mapping[str, Any], candidate: str) -> Utterance:
    """What a candidate said, taken apart.

    Args:
        message: ``choices[0].message`` of its response.
        candidate: its id.
    """
    message = sound(message)
    plain: dict[str, Any] = {"role": "assistant", "content": message.get("content")}
    calls = message.get("tool_calls") or []
    if calls:
        plain["tool_calls"] = [_plain_call(call) for call in calls]
    own = {name: value for name, value in message.items() if name not in PLAIN_FIELDS and value is not None}
    if calls and plain["tool_calls"] != calls:
        own["tool_calls"] = calls
    return Utterance(plain, candidate, own)


def translated(conversation: Sequence[Utterance], candidate: LiveCandidate) -> list[dict[str, Any]]:
    """A conversation as a candidate is sent it; nothing in it is shared with the conversation."""
    messages = [{**each.plain, **(each.own if each.candidate == candidate.id else {})} for each in conversation]
    if candidate.cache_control is not None and messages:
        messages[-1] = _marked(messages[-1], candidate.cache_control)
    return messages


def request_body(
    candidate: LiveCandidate,
    conversation: Sequence[Utterance],
    tools: Sequence[Mapping[str, Any]],
    tool_options: Mapping[str, Any],
) -> dict[str, Any]:
    """The chat completion request for a candidate.

    Args:
        candidate: with its overrides (``max_tokens``, temperature where it takes one) and parameters.
        conversation: so far.
        tools: offered to the model, possibly none.
        tool_options: sent beside tools, such as ``parallel_tool_calls``.
    """
    body: dict[str, Any] = {"model": candidate.model, "messages": translated(conversation, candidate)}
    if tools:
        body |= {"tools": list(tools), **tool_options}
    body["max_tokens"] = candidate.max_tokens
    if candidate.temperature is not None:
        body["temperature"] = candidate.temperature
    return body | dict(candidate.parameters)


def sound(value: Any) -> Any:
    """``value`` with halves of surrogate pairs, which a cut answer may have and no UTF-8 can hold, replaced."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {sound(key): sound(item) for key, item in value.items()}
    return [sound(item) for item in value] if isinstance(value, list) else value


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: call[name] for name in _PLAIN_CALL_FIELDS if name in call}
    if isinstance(function := plain.get("function"), Mapping):
        plain["function"] = {name: function[name] for name in ("name", "arguments") if name in function}
    return plain


def _marked(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A message with a cache mark at its end: on its last text, or on itself where it is a tool's or has no text."""
    mark = {"type": kind}
    content = message.get("content")
    if message.get("role") == "tool" or not content:
        return {**message, "cache_control": mark}
    blocks: list[dict[str, Any]]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [dict(block) for block in content]
    blocks[-1] = {**blocks[-1], "cache_control": mark}
    return {**message, "content": blocks}
