"""The requests that a real provider refuses before any model reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamic_track.rehearsal.replies import Raw, bad_request, error, not_found, too_long, unauthorized


@dataclass(frozen=True)
class Model:
    """A model that a server offers."""

    id: str
    pricing: Mapping[str, str] | None = None
    """USD per token, as OpenRouter lists them: prompt, completion, input_cache_read, input_cache_write."""
    context_length: int | None = None

    def listed(self) -> dict[str, Any]:
        """Return its entry in ``/models``."""
        more = {"pricing": self.pricing, "context_length": self.context_length}
        return {"id": self.id, "object": "model", **{key: value for key, value in more.items() if value is not None}}


def refused_key(headers: Mapping[str, str], api_key: str | None) -> Raw | None:
    """Return a 401 for any other key than the one, or None."""
    if api_key is None or headers.get("authorization") == f"Bearer {api_key}":
        return None
    return unauthorized()


def refused_model(body: Mapping[str, Any], models: Mapping[str, Model], prompt_tokens: Callable[[], int]) -> Raw | None:
    """Return a 404 for an unknown model, a 400 for a conversation that is too long for a known one, or None."""
    model = models.get(str(body.get("model")))
    if model is None:
        return not_found(str(body.get("model")))
    answer_tokens = body.get("max_tokens") or 0
    if not isinstance(answer_tokens, int):
        return bad_request("'max_tokens' must be a number")
    if model.context_length is not None and prompt_tokens() + answer_tokens > model.context_length:
        return too_long(model.context_length)
    return None


def refused_messages(body: Any) -> Raw | None:
    """Return a 400 for messages that are not a valid conversation (results without calls, calls without results, no
    messages), or None.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list) or not body["messages"]:
        return bad_request("'messages' must be a list with at least one message")
    open_calls: set[str] = set()
    for index, message in enumerate(body["messages"]):
        if not isinstance(message, Mapping):
            return error(400, f"messages[{index}]: expected an object")
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                what = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                return error(400, f"messages[{index}]: {what}")
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            what = "an assistant message with 'tool_calls' must be followed by tool messages for each 'tool_call_id'"
            return error(400, f"messages[{index}]: {what}: {', '.join(sorted(open_calls))}")
        if role == "assistant":
            calls = message.get("tool_calls") or []
            if not isinstance(calls, list) or not all(isinstance(call, Mapping) and call.get("id") for call in calls):
                return error(400, f"messages[{index}].tool_calls: expected a list of calls with an id")
            open_calls = {str(call["id"]) for call in calls}
        elif role not in ("system", "developer", "user"):
            return error(400, f"messages[{index}]: unknown role {role!r}")
    return None
