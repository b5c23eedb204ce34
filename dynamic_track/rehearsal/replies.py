"""What the server may reply: messages with usage in any provider's format, and every kind of fault."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any


class UsageFormat(StrEnum):
    """How a provider reports token counts."""

    openai = "openai"
    openrouter = "openrouter"
    """OpenAI's, with ``cache_write_tokens`` and a ``cost``, as gateways report Claude models."""
    anthropic = "anthropic"
    deepseek = "deepseek"
    gemini = "gemini"
    own = "own"
    """The format of the model's own provider."""

    @classmethod
    def for_model(cls, model: str) -> UsageFormat:
        """Return the format of the model's own provider."""
        name = model.lower()
        for part, shape in (("claude", cls.anthropic), ("deepseek", cls.deepseek), ("gemini", cls.gemini)):
            if part in name:
                return shape
        return cls.openai


class Absent(Enum):
    """Stands for a usage field that is missing altogether."""

    absent = "absent"


ABSENT = Absent.absent


@dataclass(frozen=True)
class TokenCounts:
    """The token counts of one call; ``prompt`` includes the tokens that were read from the cache and written to it."""

    prompt: int
    read: int = 0
    written: int = 0
    output: int = 0
    cost_usd: float | None = None

    def to_usage(self, shape: UsageFormat) -> dict[str, Any]:
        """Return the usage object in a provider's format."""
        if shape is UsageFormat.anthropic:
            told: dict[str, Any] = {
                "input_tokens": self.prompt - self.read - self.written,
                "cache_read_input_tokens": self.read,
                "cache_creation_input_tokens": self.written,
                "output_tokens": self.output,
            }
        elif shape is UsageFormat.gemini:
            told = {
                "prompt_token_count": self.prompt,
                "cached_content_token_count": self.read,
                "candidates_token_count": self.output,
                "total_token_count": self.prompt + self.output,
            }
        else:
            told = {
                "prompt_tokens": self.prompt,
                "completion_tokens": self.output,
                "total_tokens": self.prompt + self.output,
            }
            if shape is UsageFormat.deepseek:
                told |= {"prompt_cache_hit_tokens": self.read, "prompt_cache_miss_tokens": self.prompt - self.read}
            else:
                details = {"cached_tokens": self.read}
                if shape is UsageFormat.openrouter:
                    details["cache_write_tokens"] = self.written
                told["prompt_tokens_details"] = details
        if self.cost_usd is not None:
            told["cost"] = self.cost_usd
        return told


Usage = UsageFormat | TokenCounts | Mapping[str, Any] | Absent | None
"""A format: the server counts the tokens and reports them in it. Token counts: reported in OpenAI's format. A mapping:
sent unchanged. None: null. ``ABSENT``: no field."""


@dataclass(frozen=True)
class ToolCall:
    """A tool call in a simulated response."""

    arguments: Mapping[str, Any] | str
    """A string is sent unchanged, even if it is not JSON."""
    name: str = "bash"
    id: str | None = None
    """None: the server makes an id that differs in each answer."""


def bash_call(command: str) -> ToolCall:
    """Return a call of the agent's ``bash`` tool."""
    return ToolCall({"command": command})


@dataclass(frozen=True)
class MessageReply:
    """An answer of a model."""

    text: str | None = None
    calls: Sequence[ToolCall] = ()
    usage: Usage = UsageFormat.openai
    finish_reason: str | None = None
    """None: ``tool_calls`` or ``stop``, whichever is right for the message."""
    model: str | None = None
    """The model name in the response; None: the name in the request."""
    message_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the message, such as ``reasoning_content``."""
    response_fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the response, such as ``provider``."""
    after_s: float = 0.0


@dataclass(frozen=True)
class RawReply:
    """A response of any bytes."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True)
class HangReply:
    """No bytes for a while, then the end of the connection."""

    seconds: float = 3600.0


@dataclass(frozen=True)
class TrickleReply:
    """An answer that is sent one byte at a time."""

    reply: MessageReply | RawReply = field(default_factory=lambda: MessageReply("slowly"))
    every_s: float = 0.2
    head_too: bool = False
    """Whether the status line and the headers are sent byte by byte, too."""


@dataclass(frozen=True)
class CutReply:
    """An answer whose body ends too early."""

    reply: MessageReply | RawReply = field(default_factory=lambda: MessageReply("this is cut"))
    after_bytes: int = 40


@dataclass(frozen=True)
class ResetReply:
    """The connection is reset (RST), before the answer or within it."""

    after_bytes: int = 0


@dataclass(frozen=True)
class CloseReply:
    """The connection is closed normally, without an answer."""


Reply = MessageReply | RawReply | HangReply | TrickleReply | CutReply | ResetReply | CloseReply


def error_reply(
    status: int,
    message: str,
    code: str | int | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> RawReply:
    """Return an error response in OpenAI's form."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return RawReply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


def rate_limit_reply(retry_after_s: float | str | None = None, *, as_date: bool = False) -> RawReply:
    """Return a 429, with or without Retry-After: as seconds, as a date that many seconds from now, or as any string."""
    headers = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if as_date and isinstance(retry_after_s, int | float):
        headers["Retry-After"] = email.utils.formatdate(time.time() + retry_after_s, usegmt=True)
    return error_reply(429, "Rate limit reached", "rate_limit_exceeded", "requests", headers)


def server_error(text: str = "The server had an error") -> RawReply:
    """Return a 500; the text may look like another kind of error ("rate limit", "Request timed out.")."""
    return error_reply(500, text, None, "server_error")


def unavailable(retry_after_s: float | None = None) -> RawReply:
    """Return a 503."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return error_reply(503, "The engine is overloaded", None, "server_error", headers)


def unauthorized(text: str = "Incorrect API key provided") -> RawReply:
    """Return a 401."""
    return error_reply(401, text, "invalid_api_key")


def payment_required() -> RawReply:
    """Return a 402."""
    return error_reply(402, "Insufficient credits", 402)


def forbidden() -> RawReply:
    """Return a 403."""
    return error_reply(403, "You are not allowed to use this model", "model_not_allowed")


def not_found(model: str = "this model") -> RawReply:
    """Return a 404 for an unknown model."""
    return error_reply(404, f"The model `{model}` does not exist", "model_not_found")


def bad_request(text: str = "Invalid value") -> RawReply:
    """Return a 400 of no particular kind."""
    return error_reply(400, text)


def too_long(limit: int = 8192) -> RawReply:
    """Return a 400: the conversation is too long."""
    return error_reply(400, f"This model's maximum context length is {limit} tokens.", "context_length_exceeded")


def foreign_reasoning() -> RawReply:
    """Return a 400: the conversation contains reasoning that another model signed."""
    return error_reply(400, "messages.1.content.0: Invalid `signature` in `thinking` block")


def invalid_json(status: int = 200) -> RawReply:
    """Return a body that is not JSON."""
    return RawReply(status, b'{"id": "x", "choices": [', {"Content-Type": "application/json"})


def empty_body(status: int = 200) -> RawReply:
    """Return an empty body."""
    return RawReply(status, b"", {"Content-Type": "application/json"})


ABSURD_USAGE: Mapping[str, Usage] = {
    "absent": ABSENT,
    "empty": {},
    "null": {"prompt_tokens": None, "completion_tokens": None},
    "negative": {"prompt_tokens": -5, "completion_tokens": 2},
    "float": {"prompt_tokens": 12.5, "completion_tokens": 2},
    "text": {"prompt_tokens": "12", "completion_tokens": "2"},
    "more read than asked": {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 8},
    },
    "endless": {"prompt_tokens": 10**20, "completion_tokens": 2},
    "no object": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": 7},
    "nothing": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "no sum": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 512},
    "prompt without what was read": {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 8},
    },
    "a cache under an unknown key": {"prompt_tokens": 10, "completion_tokens": 2, "details": {"kvCacheHits": 8}},
    "written for an hour, without a price": {
        "input_tokens": 10,
        "output_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 8},
    },
}
"""Usage objects from which no cost can be calculated, each under the name of its fault."""
