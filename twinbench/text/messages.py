"""Validate chat messages, extract the text whose tokens are counted, and compare messages.

Sources: static.md, "Tokens of a message list" and "Semantic prefix". There are two keys for comparing messages.
Messages with the same *exact* key are stored, exported and tokenized alike; messages with the same *semantic* key
are the same to a provider's prefix cache. Two messages can have the same semantic key and different exact keys, for
example if the content beside tool calls is null in one and "" in the other.

The protocol only counts the ``text`` of content blocks. twinbench also counts the text of Anthropic's other blocks
(thinking, tool uses, tool results), since an agent of the Messages API would otherwise have nearly empty prompts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twinbench.reading.validation import json_type_name

Message = Mapping[str, Any]

PROTOCOL_TEXT_RULES = 1
"""Version of the text rules in which only the ``text`` of a content block counts."""
BLOCK_TEXT_RULES = 2
"""Version of the text rules in which the text of Anthropic's other blocks counts too."""

_COMPARED_AS_JSON = ("role", "tool_calls", "tool_call_id", "name")
_THINKING = "thinking"
_TOOL_USES = ("tool_use", "server_tool_use", "mcp_tool_use")
_TOOL_RESULTS = ("tool_result", "mcp_tool_result")
COUNTED_BLOCKS = (_THINKING, *_TOOL_USES, *_TOOL_RESULTS)
"""``type`` of the content blocks in which more than the ``text`` counts."""


def message_text(message: Message) -> str:
    """Return the part of a message that is tokenised: its content, then the name and arguments of each tool call."""
    return "\n".join((*_content_parts(message.get("content")), *_tool_call_parts(message)))


def text_rules_version(message: Message) -> int:
    """Return the lowest version of the text rules that gives a message the same text as the current version."""
    content = message.get("content")
    if isinstance(content, list) and any(
        isinstance(block, Mapping) and block.get("type") in COUNTED_BLOCKS for block in content
    ):
        return BLOCK_TEXT_RULES
    return PROTOCOL_TEXT_RULES


def exact_key(message: Message) -> str:
    """Return the message as JSON text with its keys in their original order, as it is stored and exported."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def semantic_key(message: Message) -> str:
    """Return a text that is equal for exactly those messages that are the same in a prefix comparison.

    Only role, content, tool_calls, tool_call_id and name are compared; a missing key differs from null.
    """
    compared = {key: message[key] for key in _COMPARED_AS_JSON if key in message}
    if "content" in message:
        compared["content"] = "\n".join(_content_parts(message["content"]))
    return json.dumps(compared, sort_keys=True, separators=(",", ":"))


def find_message_problems(message: Any) -> Iterator[tuple[str, str]]:
    """Yield the reasons why a value is not a valid chat message, each as (path within it, what is wrong there).

    Unknown keys may have any value.
    """
    if not isinstance(message, dict):
        yield "", f"must be an object, not {json_type_name(message)}"
        return
    if "role" not in message:
        yield ".role", "is missing"
    elif not isinstance(message["role"], str):
        yield ".role", f"must be a string, not {json_type_name(message['role'])}"
    yield from _find_content_problems(".content", message.get("content"))
    yield from _find_tool_call_problems(message.get("tool_calls"))


def _content_parts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for block in content:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping):
                yield from _block_parts(block)


def _block_parts(block: Mapping[str, Any]) -> Iterator[str]:
    if block.get("text"):
        yield block["text"]
    sort = block.get("type")
    if sort == _THINKING:
        if isinstance(thinking := block.get("thinking"), str) and thinking:
            yield thinking
    elif sort in _TOOL_USES:
        yield from _call_parts(block.get("name"), block.get("input"))
    elif sort in _TOOL_RESULTS:
        yield from _content_parts(block.get("content"))


def _tool_call_parts(message: Message) -> Iterator[str]:
    for call in message.get("tool_calls") or ():
        function = call["function"] if isinstance(call.get("function"), Mapping) else call
        yield from _call_parts(function.get("name"), function.get("arguments"))


def _call_parts(name: Any, arguments: Any) -> Iterator[str]:
    yield name if isinstance(name, str) else ""
    if isinstance(arguments, Mapping):
        yield json.dumps(arguments, ensure_ascii=False)
    elif isinstance(arguments, str) and arguments:
        yield arguments


def _find_content_problems(path: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, list):
        for number, block in enumerate(content):
            yield from _find_block_problems(f"{path}[{number}]", block)
    elif not isinstance(content, str | None):
        yield path, f"must be a string, null or a list of blocks, not {json_type_name(content)}"


def _find_block_problems(path: str, block: Any) -> Iterator[tuple[str, str]]:
    if isinstance(block, str):
        return
    if not isinstance(block, dict):
        yield path, f"must be an object or a string, not {json_type_name(block)}"
        return
    sort = block.get("type")
    if not isinstance(block.get("text"), str | None):
        yield f"{path}.text", f"must be a string, not {json_type_name(block['text'])}"
    if sort == _THINKING and not isinstance(block.get("thinking"), str | None):
        yield f"{path}.thinking", f"must be a string, not {json_type_name(block['thinking'])}"
    elif sort in _TOOL_USES:
        yield from _find_call_problems(path, block, "input")
    elif sort in _TOOL_RESULTS:
        yield from _find_content_problems(f"{path}.content", block.get("content"))


def _find_tool_call_problems(calls: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(calls, list):
        if calls is not None:
            yield ".tool_calls", f"must be a list or null, not {json_type_name(calls)}"
        return
    for number, call in enumerate(calls):
        path = f".tool_calls[{number}]"
        if not isinstance(call, dict):
            yield path, f"must be an object, not {json_type_name(call)}"
            continue
        function = call.get("function")
        if not isinstance(function, dict | None):
            yield f"{path}.function", f"must be an object, not {json_type_name(function)}"
            continue
        if function is None:
            yield from _find_call_problems(path, call, "arguments")
        else:
            yield from _find_call_problems(f"{path}.function", function, "arguments")


def _find_call_problems(path: str, call: Mapping[str, Any], arguments: str) -> Iterator[tuple[str, str]]:
    if not isinstance(call.get("name"), str | None):
        yield f"{path}.name", f"must be a string, not {json_type_name(call['name'])}"
    if not isinstance(call.get(arguments), str | dict | None):
        yield f"{path}.{arguments}", f"must be an object or a JSON string, not {json_type_name(call[arguments])}"
