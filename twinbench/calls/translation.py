"""What crosses from one model to the next: the one place that decides it.

A conversation is kept *plain*: role, content, tool calls, and which call a tool message answers. That is what a router
sees, and what every model is sent. What else a model said of its own (reasoning, signatures, provider fields, thinking
among its content) is kept beside the plain message, and goes back to that candidate alone: another would refuse it, or
bill for it. Ids of tool calls cross unchanged, since they only tie a result to its call; where a model gave none, or
one that the conversation has already, one is made. Cache marks are set anew for each request, for the candidates that
want them.
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
"""Mistral takes ids of nine letters and digits and no others; everybody takes those."""


@dataclass(frozen=True)
class Utterance:
    """One message of a live conversation."""

    plain: Mapping[str, Any]
    """An OpenAI chat message with nothing of one provider's own."""
    candidate: str | None = None
    """Id of the candidate that said it; None for what the agent said."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the message that only go back to that candidate; they replace plain ones of the same name."""


def utterance_of(
    message: AssistantMessage, candidate: str, step: int, conversation: Iterable[Mapping[str, Any]]
) -> Utterance:
    """Make a message of the conversation of what a candidate answered.

    Args:
        message: the answer.
        candidate: the id of who gave it.
        step: the number of the call, from which ids of tool calls are made where the model gave none; so they are
            the same whenever the trial is run again.
        conversation: the plain messages before it, whose ids of tool calls are taken.
    """
    plain: dict[str, Any] = {"role": "assistant", "content": message.content}
    own = dict(message.own)
    if message.tool_calls:
        taken = {call.get("id") for each in conversation for call in each.get("tool_calls") or ()}
        ids = list(_ids(message.tool_calls, step, taken))
        plain["tool_calls"] = [_plain_call(call, name) for call, name in zip(message.tool_calls, ids, strict=True)]
        if any(call.own or call.own_function for call in message.tool_calls):
            own["tool_calls"] = [
                {**call.own, **plain_call, "function": {**call.own_function, **plain_call["function"]}}
                for call, plain_call in zip(message.tool_calls, plain["tool_calls"], strict=True)
            ]
    return Utterance(plain, candidate, own)


def plain_message(message: AssistantMessage) -> dict[str, Any]:
    """A message of a recorded conversation as every model is sent it, its ids as they are."""
    plain: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [_plain_call(call, call.id) for call in message.tool_calls]
    return plain


def conversation_message(message: Mapping[str, Any], extra: Mapping[str, Any]) -> Utterance:
    """Read a message back as an agent keeps it: what it notes of an answer belongs to an assistant's message alone.

    The complaint about an answer that did not parse carries the same notes, and is the agent's own.

    Args:
        message: of an agent's conversation; only its ``PLAIN_FIELDS`` are read.
        extra: what the agent noted beside it: ``candidate`` and ``own``.
    """
    plain = {name: message[name] for name in PLAIN_FIELDS if name in message}
    if message.get("role") != "assistant":
        return Utterance(plain)
    return Utterance(plain, extra.get("candidate"), extra.get("own") or {})


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


def _plain_call(call: ToolCall, name: str | None) -> dict[str, Any]:
    known = {} if name is None else {"id": name}
    return {**known, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _ids(calls: Iterable[ToolCall], step: int, taken: set[str | None]) -> Iterable[str]:
    """An id for each call: the model's own where it is the only one of that name, else one made of step and place."""
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


def _marked(message: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A message with a cache mark at its end: on its last text, or on itself where it is a tool's or has no text."""
    mark = {"type": kind}
    content = message.get("content")
    blocks: list[dict[str, Any]] = []
    if isinstance(content, str) and content:
        blocks = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        blocks = [{"type": "text", "text": block} if isinstance(block, str) else dict(block) for block in content]
    # Thinking takes no mark: Anthropic refuses the request.
    last = max((number for number, block in enumerate(blocks) if block.get("type") == "text"), default=None)
    if message.get("role") == "tool" or last is None:
        return {**message, "cache_control": mark}
    blocks[last] = {**blocks[last], "cache_control": mark}
    return {**message, "content": blocks}
