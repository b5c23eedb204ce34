"""Read a provider's error from any of the shapes that providers use, and classify the refusal.

Machine-readable names (an error's code, type, status) decide if there are any. Some providers report a context overflow
or a used-up account in the text alone; the patterns for these are in this module, each with its source, and are
tried only if the status fits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twinbench.display.wording import shorten

_SHOWN_CHARACTERS = 300
_MOST_TEXTS = 20


class Refusal(Enum):
    """Meanings of a refusal that its status does not tell."""

    too_long = "the prompt does not fit the model's context"
    used_up = "the account's quota or credit is used up, so a retry is useless"


@dataclass(frozen=True)
class ProviderError:
    """An error that a provider reported."""

    status: int | None
    """The HTTP status, or if that is 200 the status that the error itself names; None if it names none."""
    text: str
    """The error's text, shortened; empty if it has none."""
    refusal: Refusal | None
    """The refusal's meaning, if the status does not tell it."""
    is_structured: bool
    """Whether the error has a shape that providers use, and so does not come from some other web server."""


_TOO_LONG_NAMES = frozenset(
    {
        "context_length_exceeded",  # OpenAI, Groq, Mistral, DeepSeek behind gateways
        "context_window_exceeded",
        "model_context_window_exceeded",  # Anthropic's and Z.ai's stop reason, which gateways make an error of
        "string_above_max_length",  # OpenAI
        "exceed_context_size_error",  # llama.cpp, whose code is the status once more
    }
)
_TOO_LONG_TEXTS = re.compile(
    r"""
    maximum\ context\ length\ (?:is|of)\ \d            # vLLM up to now, OpenAI, DeepSeek, OpenRouter
    | longer\ than\ the\ maximum\ model\ length\ of    # vLLM, "The decoder prompt (length …) is …"
    | ^prompt\ is\ too\ long:\ \d                      # Anthropic
    | input\ length\ and\ `max_tokens`\ exceed\ context\ limit   # Anthropic
    | input\ token\ count\ (?:\(\d+\)\ )?exceeds\ the\ maximum\ number\ of\ tokens   # Gemini
    | exceeds?\ the\ available\ context\ size          # llama.cpp
    | input\ length\ exceeds\ the\ (?:maximum\ )?context\ length   # Ollama
    | prompt\ too\ long;\ exceeded\ (?:max\ )?context\ length      # Ollama
    | ContextWindowExceededError                       # litellm's proxy
    | longer\ than\ the\ model's\ context\ length      # SGLang
    """,
    re.VERBOSE | re.IGNORECASE,
)
_TOO_LONG_STATUSES = frozenset({400, 413, 422, 500})
"""Statuses with which providers report a context overflow; llama.cpp and Ollama have used 500."""

_USED_UP_NAMES = frozenset(
    {
        "insufficient_quota",  # OpenAI, with status 429
        "billing_hard_limit_reached",  # OpenAI
        "billing_not_active",  # OpenAI
        "billing_error",  # Anthropic
        "exceeded_current_quota_error",  # Moonshot, with status 429
        "insufficient_balance",
        "insufficient_credits",
        "1008",  # MiniMax, with status 200
    }
)
_USED_UP_TEXTS = re.compile(
    r"""
    ^Your\ credit\ balance\ is\ too\ low   # Anthropic, with status 400
    | free-models-per-day                  # OpenRouter, with status 429
    """,
    re.VERBOSE,
)
_USED_UP_STATUSES = frozenset({400, 403, 429})

_STATUS_OF_NAME: Mapping[str, int] = {
    # Anthropic
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # OpenAI
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    # Google
    "invalid_argument": 400,
    "failed_precondition": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "resource_exhausted": 429,
    "internal": 500,
    "unavailable": 503,
    "deadline_exceeded": 504,
    # vLLM, by the names of Python's exceptions
    "badrequesterror": 400,
    "notfounderror": 404,
    "internalservererror": 500,
    # MiniMax, which always answers with status 200
    "1002": 429,
    "1004": 401,
    "1008": 402,
    "1013": 500,
    "1039": 429,
    "2013": 400,
    "2049": 401,
}
"""The status that an error name implies, for errors that come with HTTP 200 and no status of their own."""


def read_error(status: int, body: Any, raw: bytes) -> ProviderError | None:
    """Read the error in a response; None if its status is 200 and it contains none.

    Args:
        status: the HTTP status.
        body: the response's decoded JSON; None if it is not JSON.
        raw: the response's bytes, whose beginning is shown if no error text can be found.
    """
    error = _error_in(body)
    if status == 200 and error is None:
        return None
    texts = list(_texts(error))[:_MOST_TEXTS]
    names = {name.lower() for name in _names(error)}
    text = _shorten("; ".join(dict.fromkeys(texts)) or raw[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace"))
    meant = status if status != 200 else _status_from_names(names)
    return ProviderError(meant, text, _refusal(meant, names, texts), error is not None and not _is_framework_404(error))


def _is_framework_404(error: Any) -> bool:
    """Return whether an error is a web framework's plain "Not Found" for an unknown address."""
    return isinstance(error, dict) and error.get("detail") == "Not Found"


def _error_in(body: Any) -> Any:
    """Return the error object of a response, in whatever shape it comes; None if there is none."""
    if isinstance(body, list):  # Gemini's OpenAI endpoint
        return next((found for item in body[:_MOST_TEXTS] if (found := _error_in(item)) is not None), None)
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body["error"] if isinstance(body["error"], dict | list | str) else str(body["error"])
    if body.get("errors"):
        return body["errors"] if isinstance(body["errors"], dict | list | str) else str(body["errors"])
    told = body.get("base_resp")  # MiniMax
    if isinstance(told, dict) and told.get("status_code") not in (None, 0):
        return {"message": told.get("status_msg"), "code": told["status_code"]}
    if body.get("object") == "error" or body.get("type") == "error":
        return body
    if any(isinstance(body.get(name), str | list | dict) and body[name] for name in ("detail", "message", "msg")):
        return body
    return None


def _texts(error: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text that says what went wrong, the clearest first."""
    if isinstance(error, str) and error.strip():
        yield error.strip()
        if depth < 3 and error.lstrip().startswith(("{", "[")):
            yield from _texts(_inner_json(error), depth + 1)
    elif isinstance(error, list):
        for item in error[:_MOST_TEXTS]:
            yield from _texts(item, depth)
    elif isinstance(error, dict) and depth < 6:
        for name in ("message", "msg", "detail", "error", "metadata", "raw"):  # the last two: OpenRouter
            yield from _texts(error.get(name), depth + 1)


def _names(error: Any, depth: int = 0) -> Iterator[str]:
    """Yield every machine-readable name in an error (code, type, status …)."""
    if isinstance(error, list):
        for item in error[:_MOST_TEXTS]:
            yield from _names(item, depth)
    elif isinstance(error, dict) and depth < 6:
        for name in ("code", "type", "status", "reason", "error_type"):
            told = error.get(name)
            if isinstance(told, str | int) and not isinstance(told, bool):
                yield str(told).strip()
        for name in ("error", "detail", "details", "metadata", "violations"):
            yield from _names(error.get(name), depth + 1)
        if isinstance(raw := error.get("raw"), str):
            yield from _names(_inner_json(raw), depth + 1)
        if isinstance(quota := error.get("quotaId"), str):  # Gemini
            yield "quota_per_day" if "PerDay" in quota else quota


def _inner_json(text: str) -> Any:
    """Decode JSON within a text, as gateways embed it when they pass on an error."""
    if len(text) > 2**16:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _status_from_names(names: set[str]) -> int | None:
    numbers = sorted(int(name) for name in names if re.fullmatch(r"[45]\d\d", name))
    known = sorted(_STATUS_OF_NAME[name] for name in names if name in _STATUS_OF_NAME)
    return next(iter((*numbers, *known)), None)


def _refusal(status: int | None, names: set[str], texts: list[str]) -> Refusal | None:
    if status in _TOO_LONG_STATUSES and (
        names & _TOO_LONG_NAMES or any(_TOO_LONG_TEXTS.search(text) for text in texts)
    ):
        return Refusal.too_long
    if status == 402 or names & (_USED_UP_NAMES | {"quota_per_day"}):
        return Refusal.used_up
    if status in _USED_UP_STATUSES and any(_USED_UP_TEXTS.search(text) for text in texts):
        return Refusal.used_up
    return None


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return shorten(text, _SHOWN_CHARACTERS)
