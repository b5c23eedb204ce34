"""What a provider's answer is worth: its bill, and whether to ask again.

Judged from status and bytes alone (dynamic.md, "Spend"): no client library's exception and no text of an error message
decides anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from twinbench.calls.billing import BillError, reported_cost_usd, served_by, served_model, usage_of
from twinbench.calls.exchange import Response, TransportError
from twinbench.causes import Cause
from twinbench.pools import LiveCandidate
from twinbench.usage import Usage

_TOO_LONG = (
    "context_length_exceeded",
    "context_window_exceeded",
    "string_above_max_length",
    "exceed_context_size_error",  # llama.cpp, whose code is the status once more
)
"""``error.code`` or ``error.type`` of a prompt that does not fit."""

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Judged:
    """What came of one attempt."""

    cause: Cause | None
    """Why it is no answer; None where it is one."""
    detail: str | None
    retry: bool
    """Whether another attempt may help."""
    billed: bool
    """Whether it was, or may have been, billed."""
    usage: Usage | None = None
    """None where it is not known: what may have been billed then counts its reservation."""
    message: Mapping[str, Any] | None = None
    """``choices[0].message``."""
    finish_reason: str | None = None
    reported_cost_usd: Decimal | None = None
    served_model: str | None = None
    served_by: str | None = None
    retry_after_s: float | None = None


def judge(outcome: Response | TransportError, candidate: LiveCandidate, *, switched: bool) -> Judged:
    """What an attempt is worth.

    Args:
        outcome: a response, or none.
        candidate: who was asked.
        switched: whether somebody else answered the call before this one.
    """
    if isinstance(outcome, TransportError):
        return Judged(Cause.transport, str(outcome), retry=True, billed=outcome.may_be_billed)
    body = _json(outcome.body)
    if outcome.status != 200:
        return _refused(outcome.status, body, outcome, switched=switched)
    if body is not None and isinstance(body.get("error"), Mapping) and not body.get("choices"):
        # Gateways tell of a failure behind them with status 200, and its status as the error's code.
        code = body["error"].get("code")
        return _refused(code if isinstance(code, int) else 502, body, outcome, switched=switched)
    return _answered(body, candidate)


def _answered(body: Mapping[str, Any] | None, candidate: LiveCandidate) -> Judged:
    choice = _choice(body)
    if body is None or choice is None:
        return Judged(Cause.transport, "the response is not readable", retry=True, billed=True)
    answered = Judged(
        None,
        None,
        retry=False,
        billed=True,
        reported_cost_usd=reported_cost_usd(body),
        served_model=served_model(body),
        served_by=served_by(body),
    )
    try:
        answered = replace(answered, usage=usage_of(body))
    except BillError as error:
        return replace(answered, cause=Cause.usage, detail=str(error))
    if answered.served_model not in candidate.served_as:
        what = f"{candidate.id} was asked, {answered.served_model or 'nobody by name'} answered"
        return replace(answered, cause=Cause.model, detail=what)
    finish_reason = choice.get("finish_reason")
    if finish_reason == "error":
        return replace(answered, cause=Cause.transport, detail="the model ended with an error", retry=True)
    finish_reason = finish_reason if isinstance(finish_reason, str) else None
    return replace(answered, message=choice["message"], finish_reason=finish_reason)


def _refused(status: int, body: Mapping[str, Any] | None, response: Response, *, switched: bool) -> Judged:
    """Statuses and what follows from each; other 4xx than those named were refused for the request itself."""
    error = body.get("error") if body is not None else None
    said = error.get("message") if isinstance(error, Mapping) else error
    detail = f"status {status}: {str(said)[:_SHOWN_CHARACTERS]}" if said else f"status {status}"
    if status == 429:
        return Judged(Cause.quota, detail, retry=True, billed=False, retry_after_s=response.retry_after_s)
    if status >= 500 or status < 400:
        return Judged(Cause.transport, detail, retry=True, billed=True, retry_after_s=response.retry_after_s)
    if status == 400 and isinstance(error, Mapping) and any(error.get(name) in _TOO_LONG for name in ("code", "type")):
        return Judged(Cause.router, f"the prompt does not fit: {detail}", retry=False, billed=False)
    if status == 408:
        return Judged(Cause.transport, detail, retry=True, billed=False)
    causes = {401: Cause.access, 402: Cause.quota, 403: Cause.access, 404: Cause.model}
    if status == 400 and switched:
        return Judged(Cause.switch, detail, retry=False, billed=False)
    return Judged(causes.get(status, Cause.request), detail, retry=False, billed=False)


def _choice(body: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The first choice, where it has a message that can stand in a conversation."""
    choices = body.get("choices") if body is not None else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        return None
    message = choices[0].get("message")
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), str | list | None):
        return None
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, Mapping) for call in calls)):
        return None
    return choices[0]


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, Mapping) else None
