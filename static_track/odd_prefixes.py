"""Conversations that `router check` makes: legal ones of unusual shape, and rewrites that change nothing of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ODD: dict[str, list[dict[str, Any]]] = {
    "no message at all": [],
    "null content": [{"role": "assistant", "content": None}],
    "no content": [{"role": "assistant"}],
    "blocks and bare texts": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, "b", {"type": "image_url", "image_url": {"url": "x"}}, {}],
        }
    ],
    "tool calls": [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": None}}},
                {"name": "g", "arguments": "not json"},
                {"function": {"name": None}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "<b>[bold]\x1b[31mred"},
    ],
    "an unknown role": [{"role": "developer", "content": "x", "name": "y", "cache_control": {"type": "ephemeral"}}],
    "odd characters": [{"role": "user", "content": "\u2028\u0085\x00\ufeff e\u0301 👩‍👩‍👧 <|endoftext|> <EOT>"}],
    "a million characters": [{"role": "user", "content": "word " * 200_000}],
    "a thousand messages": [{"role": "user" if i % 2 == 0 else "assistant", "content": str(i)} for i in range(1000)],
}


def _in_texts(change: Callable[[str], str]) -> Callable[[Any], dict[str, Any]]:
    def rewritten(message: Any) -> dict[str, Any]:
        content = message.get("content")
        if isinstance(content, str):
            return {**message, "content": change(content)}
        return dict(message)

    return rewritten


def _other_ids(message: Any) -> dict[str, Any]:
    rewritten = dict(message)
    if isinstance(rewritten.get("tool_call_id"), str):
        rewritten["tool_call_id"] += "x"
    if rewritten.get("tool_calls"):
        rewritten["tool_calls"] = [
            {**call, "id": f"{call['id']}x"} if isinstance(call.get("id"), str) else call
            for call in rewritten["tool_calls"]
        ]
    return rewritten


REWRITES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "a space at the end": _in_texts(lambda text: f"{text} "),
    "a newline at the end": _in_texts(lambda text: f"{text}\n"),
    "other tool-call ids": _other_ids,
    "keys in another order": lambda message: dict(reversed(list(message.items()))),
    "a mark nobody reads": lambda message: {**message, "cache_control": {"type": "ephemeral"}},
}
"""Changes to every message of a prefix that no decision should hang on."""
