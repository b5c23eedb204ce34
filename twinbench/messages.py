"""What is inside chat messages, read as the static protocol reads it.

Sources: static.md, "Tokens of a message list" and "Semantic prefix". Two keys are kept apart. The *exact* key tells
whether two messages are stored, exported and tokenized alike; the *semantic* key whether a provider's prefix cache
would take one for the other. Messages can be equal under the second and differ under the first (null and "" beside
tool calls).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

_COMPARED_AS_JSON = ("role", "tool_calls", "tool_call_id", "name")


def message_text(message: Message) -> str:
    """The text of a message whose tokens are counted: its content, then each tool call's name and arguments."""
    return "\n".join((*_content_parts(message.get("content")), *_tool_call_parts(message)))


def exact_key(message: Message) -> str:
    """The message itself as JSON text, keys in their order: what is stored and exported."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def semantic_key(message: Message) -> str:
    """A text equal for exactly those messages that agree in a prefix comparison.

    Role, content, tool_calls, tool_call_id and name count, where present; presence itself counts; other keys do not.
    """
    compared = {key: message[key] for key in _COMPARED_AS_JSON if key in message}
    if "content" in message:
        compared["content"] = "\n".join(_content_parts(message["content"]))
    return json.dumps(compared, sort_keys=True, separators=(",", ":"))


def _content_parts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for block in content:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping) and block.get("text"):
                yield block["text"]


def _tool_call_parts(message: Message) -> Iterator[str]:
    for call in message.get("tool_calls") or ():
        function = call["function"] if isinstance(call.get("function"), Mapping) else call
        yield function.get("name") or ""
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            yield json.dumps(arguments, ensure_ascii=False)
        elif arguments:
            yield arguments
