"""Conversations as published routers read them: as one text, and as numbers of tokens.

Tokens of the conversation that a decision is about are those that twinbench counted. A router's process has no
tokenizer, so any other text is estimated from these: by the characters that a token of that conversation has.
Source: the interface of ``main.chat_messages`` and ``main.tokenizer`` of the TwinRouterBench repository. Standard
library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twinbench.routing.router import Call
from twinbench.routing.tiers import Tier

_TOKENS_PER_MESSAGE = 4
_TOKENS_PRIMING = 2
_CHARACTERS_PER_TOKEN = 4.0
"""Used if tokens were not counted."""
_MOST_TOOL_CALL_CHARACTERS = 12_000
_ROLES = ("system", "user", "assistant", "tool")
_COMPARED = ("role", "content", "tool_calls", "tool_call_id", "name")

Message = Mapping[str, Any]


def plain_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages whose content is a text: tool calls are appended to it, a tool's result is a user's message.

    Raises:
        ValueError: a role that no chat message has, or a tool's result that does not say of which call.
    """
    return [_plain_message(message) for message in messages]


def _plain_message(message: Message) -> dict[str, str]:
    role = message.get("role")
    if role not in _ROLES:
        raise ValueError(f"no chat message has the role {role!r}")
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)
    if role == "assistant" and message.get("tool_calls"):
        calls = json.dumps(message["tool_calls"], ensure_ascii=False)
        if len(calls) > _MOST_TOOL_CALL_CHARACTERS:
            calls = f"{calls[:_MOST_TOOL_CALL_CHARACTERS]}...(truncated)"
        text = f"{text}\n[tool_calls JSON]\n{calls}"
    if role == "tool":
        if not message.get("tool_call_id"):
            raise ValueError("a tool's result does not say of which call: tool_call_id is missing")
        return {"role": "user", "content": f"[tool result tool_call_id={message['tool_call_id']}]\n{text}"}
    return {"role": role, "content": text}


def transcript(messages: Sequence[Mapping[str, str]]) -> str:
    """Return plain messages as one text, each under its role."""
    return "\n\n".join(f"### {message['role']}\n{message['content']}" for message in messages)


def classifier_prompt(messages: Sequence[Message], functions: Sequence[Any] | None = None) -> str:
    """Return a row's conversation, and the functions that it offers, as one text."""
    text = transcript(plain_messages(messages))
    if not functions:
        return text
    return f"### available_tools\n{json.dumps(functions, indent=2, ensure_ascii=False)}\n\n{text}"


class _Counted:
    """The conversation of the decision that is being made, and its tokens by tier."""

    def __init__(self) -> None:
        self.messages: Sequence[Message] = ()
        self.tokens: dict[str, int] = {}

    def characters_per_token(self, tier: str) -> float:
        """Characters of text for each token of the conversation."""
        tokens = self.tokens.get(tier, 0) - _TOKENS_PER_MESSAGE * len(self.messages) - _TOKENS_PRIMING
        characters = sum(len(_text(message)) for message in self.messages)
        return characters / tokens if tokens > 0 and characters > 0 else _CHARACTERS_PER_TOKEN


_counted = _Counted()


def take_call(call: Call) -> None:
    """Record the tokens of the conversation of the call that is decided next."""
    _counted.messages = call.messages
    _counted.tokens = {
        tier.label: call.prompt_tokens(candidates[0]) for tier in Tier if (candidates := call.of_tier(tier))
    }


def count_messages_tokens(messages: Sequence[Message], tier: str) -> int:
    """Count messages' tokens under a tier's tokenizer; an estimate for messages other than the current call's."""
    same = len(messages) == len(_counted.messages) and all(
        one is other or one == other for one, other in zip(messages, _counted.messages, strict=True)
    )
    if same and tier in _counted.tokens:
        return _counted.tokens[tier]
    texts = sum(count_text_tokens(_text(message), tier) for message in messages)
    return texts + _TOKENS_PER_MESSAGE * len(messages) + _TOKENS_PRIMING


def count_text_tokens(text: str, tier: str) -> int:
    """Estimate the tokens of a text under a tier's tokenizer."""
    return round(len(text) / _counted.characters_per_token(tier))


def output_tokens_of_delta(before: Sequence[Message], after: Sequence[Message], tier: str) -> int:
    """Estimate the tokens of the assistant's messages between two prompts."""
    said = [message for message in after[len(before) :] if message.get("role") == "assistant"]
    return sum(count_text_tokens(_text(message), tier) + _TOKENS_PER_MESSAGE for message in said)


def split_prompt_tokens(
    *,
    prev_tier: str | None,
    curr_tier: str,
    msgs_prev: Sequence[Message] | None,
    msgs_curr: Sequence[Message],
    cache_expired: bool = False,
) -> tuple[int, int, int]:
    """Return the numbers of a prompt's tokens that are plain input, read from the cache, and written to it."""
    total = count_messages_tokens(msgs_curr, curr_tier)
    goes_on = prev_tier == curr_tier and msgs_prev is not None and is_semantic_prefix(msgs_prev, msgs_curr)
    if not goes_on or cache_expired or msgs_prev is None:
        return 0, 0, total
    read = min(count_messages_tokens(msgs_prev, curr_tier), total)
    return 0, read, total - read


def is_semantic_prefix(short: Sequence[Message], long: Sequence[Message]) -> bool:
    """Whether the first conversation is the beginning of the second one, marks that nobody reads left out."""
    return len(short) <= len(long) and all(_key(one) == _key(other) for one, other in zip(short, long, strict=False))


def _key(message: Message) -> str:
    compared = {name: message[name] for name in _COMPARED if name in message}
    if "content" in compared:
        compared["content"] = "\n".join(_content_parts(compared["content"]))
    return json.dumps(compared, sort_keys=True)


def _text(message: Message) -> str:
    """The text of a message whose tokens count: content, then names and arguments of tool calls."""
    return "\n".join((*_content_parts(message.get("content")), *_tool_call_parts(message.get("tool_calls"))))


def _content_parts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for block in content:
            text = block.get("text") if isinstance(block, Mapping) else block
            if text:
                yield str(text)


def _tool_call_parts(calls: Any) -> Iterator[str]:
    for call in calls or ():
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            arguments = function.get("arguments") or ""
            yield str(function.get("name") or "")
            yield arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
