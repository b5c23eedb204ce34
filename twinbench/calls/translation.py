"""Translate a conversation for the model that is called next: what is sent to every model, and what to one only.

A conversation is kept *plain*: role, content, tool calls, and which call a tool message answers. That is what a router
sees, and what every model is sent. Provider-specific fields of a model's message (reasoning, signatures, thinking
parts) are kept beside the plain message and sent back to that candidate alone: another one would refuse them or bill
for them. Tool call ids are passed on unchanged, since they only tie a result to its call; if a model gave no id, or a
duplicate, a new one is made. Cache marks are set anew for each request, for the candidates that use them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twinbench.calls.completion import AssistantMessage, ToolCall
from twinbench.storage.manifests import LiveCandidate

PLAIN_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")

_MADE_ID_CHARACTERS = 9
"""Mistral accepts only ids of nine letters and digits; all other providers accept these too."""


@dataclass(frozen=True)
class ConversationMessage:
    """One message of a live conversation, in plain form and with its provider-specific fields."""

    plain: Mapping[str, Any]
    """The message as an OpenAI chat message, without provider-specific fields."""
    candidate: str | None = None
    """Id of the candidate that wrote the message; None for the agent's messages."""
    provider_fields: Mapping[str, Any] = field(default_factory=dict)
    """Provider-specific fields, sent back to that candidate only; they replace plain fields of the same name."""


def to_conversation_message(
    message: AssistantMessage, candidate: str, step: int, conversation: Iterable[Mapping[str, Any]]
) -> ConversationMessage:
    """Turn a candidate's answer into a message of the conversation.

    Args:
        message: the answer.
        candidate: the id of the candidate that answered.
        step: the number of the call, from which missing tool call ids are made, so that they are the same whenever the
            trial is run again.
        conversation: the plain messages before it, whose tool call ids cannot be used again.
    """
    plain: dict[str, Any] = {"role": "assistant", "content": message.content}
    own = dict(message.provider_fields)
    if message.tool_calls:
        taken = {call.get("id") for each in conversation for call in each.get("tool_calls") or ()}
        ids = list(_tool_call_ids(message.tool_calls, step, taken))
        plain["tool_calls"] = [_plain_call(call, name) for call, name in zip(message.tool_calls, ids, strict=True)]
        if any(call.provider_fields or call.provider_function_fields for call in message.tool_calls):
            own["tool_calls"] = [
                {
                    **call.provider_fields,
                    **plain_call,
                    "function": {**call.provider_function_fields, **plain_call["function"]},
                }
                for call, plain_call in zip(message.tool_calls, plain["tool_calls"], strict=True)
            ]
    return ConversationMessage(plain, candidate, own)


def plain_message(message: AssistantMessage) -> dict[str, Any]:
    """Convert a message of a recorded conversation to the form that every model is sent, with its ids unchanged."""
    plain: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [_plain_call(call, call.id) for call in message.tool_calls]
    return plain


def read_agent_message(message: Mapping[str, Any], extra: Mapping[str, Any]) -> ConversationMessage:
    """Convert a message of an agent's conversation back to a message with provider-specific fields.

    ``extra`` is used for assistant messages only: the agent's error message about an answer that did not parse has the
    same ``extra``, but is the agent's own.

    Args:
        message: a message of an agent's conversation; only its ``PLAIN_FIELDS`` are read.
        extra: the agent's bookkeeping of the message: ``candidate`` and ``own``.
    """
    plain = {name: message[name] for name in PLAIN_FIELDS if name in message}
    if message.get("role") != "assistant":
        return ConversationMessage(plain)
    return ConversationMessage(plain, extra.get("candidate"), extra.get("own") or {})


def translate_conversation(
    conversation: Sequence[ConversationMessage], candidate: LiveCandidate
) -> list[dict[str, Any]]:
    """Return a conversation as it is sent to a candidate; the result shares no objects with the conversation."""
    messages = [
        {**each.plain, **(each.provider_fields if each.candidate == candidate.id else {})} for each in conversation
    ]
    if candidate.cache_control is not None and messages:
        messages[-1] = _add_cache_mark(messages[-1], candidate.cache_control)
    return messages


def build_request_body(
    candidate: LiveCandidate,
    conversation: Sequence[ConversationMessage],
    tools: Sequence[Mapping[str, Any]],
    tool_options: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the chat completion request for a candidate.

    Args:
        candidate: the candidate, with its overrides (``max_tokens``, temperature if it accepts one) and parameters.
        conversation: the conversation so far.
        tools: the tools offered to the model, possibly none.
        tool_options: options that are sent along with tools, such as ``parallel_tool_calls``.
    """
    body: dict[str, Any] = {"model": candidate.model, "messages": translate_conversation(conversation, candidate)}
    if tools:
        body |= {"tools": list(tools), **tool_options}
    body["max_tokens"] = candidate.max_tokens
    if candidate.temperature is not None:
        body["temperature"] = candidate.temperature
    return body | dict(candidate.parameters)


def _plain_call(call: ToolCall, name: str | None) -> dict[str, Any]:
    known = {} if name is None else {"id": name}
    return {**known, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool_call_ids(calls: Iterable[ToolCall], step: int, taken: set[str | None]) -> Iterable[str]:
    """Yield an id for each tool call: the model's own if it is unique, else one made of step and position."""
    taken = set(taken)
    for place, call in enumerate(calls):
        name = call.id
        tries = 0
        while name is None or name in taken:
            name = f"call{step:03}{place:02}"
            if tries or len(name) != _MADE_ID_CHARACTERS:
                name = hashlib.sha256(f"{step} {place} {tries}".encode()).hexdigest()[:_MADE_ID_CHARACTERS]
            tries += 1
        taken.add(name)
        yield name


def _add_cache_mark(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Add a cache mark at the end of a message: on its last text part, or on the message if it is a tool's or has no
    text.
    """
    mark = {"type": kind}
    content = message.get("content")
    blocks: list[dict[str, Any]] = []
    if isinstance(content, str) and content:
        blocks = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        blocks = [{"type": "text", "text": block} if isinstance(block, str) else dict(block) for block in content]
    # Thinking parts cannot carry a mark: Anthropic refuses such a request.
    last = max((number for number, block in enumerate(blocks) if block.get("type") == "text"), default=None)
    if message.get("role") == "tool" or last is None:
        return {**message, "cache_control": mark}
    blocks[last] = {**blocks[last], "cache_control": mark}
    return {**message, "content": blocks}
