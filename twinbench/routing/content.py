"""The texts of a chat message, whatever form its content has. Standard library only, as all that a router sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def message_texts(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a message's content: the content itself, or those of its parts that are text."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, Sequence):
        for part in content:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]


def first_text(messages: Iterable[Mapping[str, Any]], roles: Sequence[str]) -> str:
    """Return the text of the first message that has one of some roles, or any role if none is given; else ``""``."""
    found = next((message for message in messages if not roles or message.get("role") in roles), {})
    return "\n".join(message_texts(found))
