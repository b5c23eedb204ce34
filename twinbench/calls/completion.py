"""Parse a chat completion into validated models; no other module reads a provider's raw message JSON.

Parsing is lenient where the meaning is clear, and the result is canonical: content is one string, the arguments of a
tool call are JSON text. A message that cannot be understood becomes a ``problem``, which the agent sees as a format
error: its tokens were billed, so it counts as an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from twinbench.display.wording import shorten

MOST_TOOL_CALLS = 64
"""Largest number of tool calls in one message, each of which runs a command. Real models make fewer than ten."""

MOST_PARTS = 1000
"""Largest number of content parts of one message."""

SIMULATED = "simulated"
"""The response field (an object) that marks the answers of a rehearsal's simulated models."""

_MOST_ID_CHARACTERS = 128
_MOST_NAME_CHARACTERS = 256
_SHOWN_CHARACTERS = 60

_MESSAGE_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
_CALL_FIELDS = ("id", "type", "function")
_FUNCTION_FIELDS = ("name", "arguments")
_TEXT_PARTS = (None, "text", "output_text")
"""``type`` of content parts that every model is sent; others (thinking, images …) go back to their model only."""


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(_FrozenModel):
    """One tool call of a model."""

    id: str | None
    """The provider's id of the call; None if it gave no usable one."""
    name: str
    arguments: str
    """The arguments as JSON text, or whatever the model wrote instead."""
    provider_fields: Mapping[str, Any] = {}
    """Provider-specific fields of the call, such as signatures; sent back to the same model only."""
    provider_function_fields: Mapping[str, Any] = {}
    """Provider-specific fields of the call's ``function``; sent back to the same model only."""


class AssistantMessage(_FrozenModel):
    """A model's answer."""

    content: str | None
    """The message's text; None if it has none."""
    tool_calls: tuple[ToolCall, ...] = ()
    provider_fields: Mapping[str, Any] = {}
    """Provider-specific fields of the message (reasoning, signatures, non-text content parts); sent back to the same
    model only."""
    problem: str | None = None
    """Why the message cannot be part of a conversation, if it cannot; the other fields are then empty."""

    @property
    def text(self) -> str:
        """The message's text, empty if it has none."""
        return self.content or ""


class Completion(_FrozenModel):
    """The first choice of a chat completion."""

    message: AssistantMessage
    finish_reason: str | None


class _UnusableError(ValueError):
    """A message cannot be part of a conversation; the text tells the model why."""


def read_completion(body: Any) -> Completion | None:
    """Read the first choice of a response; None if it has no message and so is not a chat completion.

    Args:
        body: the response's JSON, decoded.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return None
    reason = choice.get("finish_reason")
    return Completion(message=read_message(message), finish_reason=reason if isinstance(reason, str) else None)


def is_simulated(body: Any) -> bool:
    """Return whether a response says that a simulated model gave it.

    Args:
        body: the response's decoded JSON.
    """
    return isinstance(body, Mapping) and isinstance(body.get(SIMULATED), Mapping)


def read_message(message: Mapping[str, Any]) -> AssistantMessage:
    """Read an assistant message as a provider sent it, or as a trajectory file contains it."""
    try:
        message = replace_surrogates(message)
        content, parts = _read_content(message.get("content"))
        calls = _read_tool_calls(message.get("tool_calls"))
    except RecursionError:  # only for trajectory files: responses are decoded within bounds
        return AssistantMessage(content=None, problem="it is nested too deeply")
    except _UnusableError as error:
        return AssistantMessage(content=None, problem=str(error))
    own = {name: value for name, value in message.items() if name not in _MESSAGE_FIELDS and value is not None}
    if parts is not None:
        own["content"] = parts
    return AssistantMessage(content=content, tool_calls=calls, provider_fields=own)


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates in every string of a value; a truncated answer may contain them, and UTF-8 cannot encode
    them.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    return [replace_surrogates(item) for item in value] if isinstance(value, list) else value


def _read_content(content: Any) -> tuple[str | None, list[Any] | None]:
    """Return the text of a message's content, and its parts if they are more than text."""
    if content is None or isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise _UnusableError(f"content must be a string or a list of parts, not {_short_json(content)}")
    if len(content) > MOST_PARTS:
        raise _UnusableError(f"content has {len(content):,} parts; at most {MOST_PARTS:,} are allowed")
    texts: list[str] = []
    only_text = True
    for number, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise _UnusableError(f"content[{number}] must be an object, not {_short_json(part)}")
        if part.get("type") not in _TEXT_PARTS:
            only_text = False
            continue
        text = part.get("text")
        if not isinstance(text, str | None):
            raise _UnusableError(f"content[{number}].text must be a string, not {_short_json(text)}")
        texts.append(text or "")
        only_text = only_text and set(part) <= {"type", "text"}
    joined = "\n".join(texts) if texts else None
    return joined, None if only_text else content


def _read_tool_calls(calls: Any) -> tuple[ToolCall, ...]:
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise _UnusableError(f"tool_calls must be a list, not {_short_json(calls)}")
    if len(calls) > MOST_TOOL_CALLS:
        raise _UnusableError(f"the answer has {len(calls):,} tool calls; at most {MOST_TOOL_CALLS} are run at once")
    return tuple(_read_tool_call(f"tool_calls[{number}]", call) for number, call in enumerate(calls))


def _read_tool_call(place: str, call: Any) -> ToolCall:
    if not isinstance(call, dict):
        raise _UnusableError(f"{place} must be an object, not {_short_json(call)}")
    function = call.get("function")
    if not isinstance(function, dict | None):
        raise _UnusableError(f"{place}.function must be an object, not {_short_json(function)}")
    function = function or {}
    name = function.get("name")
    if not isinstance(name, str | None):
        raise _UnusableError(f"{place}.function.name must be a string, not {_short_json(name)}")
    if name is not None and len(name) > _MOST_NAME_CHARACTERS:
        raise _UnusableError(
            f"{place}.function.name has {len(name):,} characters, at most {_MOST_NAME_CHARACTERS} allowed"
        )
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str | None):
        raise _UnusableError(f"{place}.function.arguments must be an object as JSON text, not {_short_json(arguments)}")
    known = call.get("id")
    usable = isinstance(known, str) and len(known.strip()) > 0 and len(known) <= _MOST_ID_CHARACTERS
    return ToolCall(
        id=known if usable else None,
        name=name or "",
        arguments=arguments or "",
        provider_fields={key: value for key, value in call.items() if key not in _CALL_FIELDS and value is not None},
        provider_function_fields={
            key: value for key, value in function.items() if key not in _FUNCTION_FIELDS and value is not None
        },
    )


def _short_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return shorten(text, _SHOWN_CHARACTERS)
