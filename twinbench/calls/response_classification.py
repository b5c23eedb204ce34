"""Classify a provider's response: answer or failure, what was billed, and whether to retry.

Uses the HTTP status and the bytes alone (dynamic.md, "Spend"), never a client library's exception.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from twinbench.calls.billing import BillError, read_usage, reported_cost_usd, served_by, served_model
from twinbench.calls.completion import AssistantMessage, Completion, is_simulated, read_completion
from twinbench.calls.exchange import Response, TransportError
from twinbench.calls.provider_errors import ProviderError, Refusal, read_error
from twinbench.calls.response_json import decode_response
from twinbench.causes import Cause
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate


@dataclass(frozen=True)
class AttemptResult:
    """The classified result of one attempt."""

    cause: Cause | None
    """Why the attempt failed; None if it succeeded."""
    detail: str | None
    retry: bool
    """Whether another attempt may help."""
    billed: bool
    """Whether the attempt was, or may have been, billed."""
    usage: Usage | None = None
    """The billed tokens; None if unknown: an attempt that may have been billed then counts at its reservation."""
    message: AssistantMessage | None = None
    """The model's message; None if there is none."""
    finish_reason: str | None = None
    reported_cost_usd: Decimal | None = None
    served_model: str | None = None
    served_by: str | None = None
    simulated: bool = False
    """Whether the response says that a simulated model gave it."""
    retry_after_s: float | None = None


def classify_response(
    outcome: Response | TransportError, candidate: LiveCandidate, *, switched: bool, max_tokens: int | None = None
) -> AttemptResult:
    """Classify the outcome of an attempt.

    Args:
        outcome: a response, or the error in its place.
        candidate: the candidate that was called.
        switched: whether another candidate answered the trial's previous call.
        max_tokens: the request's ``max_tokens``; default: the candidate's.
    """
    if isinstance(outcome, TransportError):
        return AttemptResult(Cause.transport, str(outcome), retry=True, billed=outcome.may_be_billed)
    body, unreadable = _decode(outcome.body)
    completion = read_completion(body) if outcome.status == 200 else None
    if completion is not None:
        return _classify_answer(body, completion, candidate, candidate.max_tokens if max_tokens is None else max_tokens)
    error = read_error(outcome.status, body, outcome.body)
    if error is None:
        what = unreadable or "it is not a chat completion: it has no message"
        return AttemptResult(Cause.transport, f"the response cannot be read: {what}", retry=True, billed=True)
    return _classify_refusal(error, outcome, body, switched=switched)


def _classify_answer(body: Any, completion: Completion, candidate: LiveCandidate, max_tokens: int) -> AttemptResult:
    answered = AttemptResult(
        None,
        None,
        retry=False,
        billed=True,
        reported_cost_usd=reported_cost_usd(body),
        served_model=served_model(body),
        served_by=served_by(body),
        simulated=is_simulated(body),
    )
    try:
        priced = candidate.prices.cache_write_1h is not None
        answered = replace(answered, usage=read_usage(body, max_tokens=max_tokens, one_hour_writes=priced))
    except BillError as error:
        return replace(answered, cause=Cause.usage, detail=str(error))
    if (told := _excess_tokens_message(answered.usage, candidate)) is not None:
        return replace(answered, usage=None, cause=Cause.usage, detail=told)
    if answered.served_model not in candidate.served_as:
        what = f"{candidate.id} was called, but {answered.served_model or 'an unnamed model'} answered"
        return replace(answered, cause=Cause.model, detail=what)
    if completion.finish_reason == "error":
        return replace(answered, cause=Cause.transport, detail="the model ended with an error", retry=True)
    return replace(answered, message=completion.message, finish_reason=completion.finish_reason)


def _excess_tokens_message(usage: Usage | None, candidate: LiveCandidate) -> str | None:
    """Return why a usage is impossible for this model, if it is; otherwise one absurd count would use up the cap of all
    other cases.
    """
    tokens = 0 if usage is None else usage.prompt_tokens + usage.output
    if tokens <= candidate.context_window:
        return None
    return f"usage: {tokens:,} tokens in all, and the context window of {candidate.id} has {candidate.context_window:,}"


def _classify_refusal(error: ProviderError, response: Response, body: Any, *, switched: bool) -> AttemptResult:
    judged = _classify_by_status(error, response, switched=switched)
    usage = _reported_usage(body)
    return judged if usage is None else replace(judged, billed=True, usage=usage)


def _reported_usage(body: Any) -> Usage | None:
    """Return the usage that a refusal reports; None if it reports none, as usual."""
    try:
        return read_usage(body) if isinstance(body, dict) else None  # without one-hour writes: nothing was answered
    except BillError:
        return None


def _classify_by_status(error: ProviderError, response: Response, *, switched: bool) -> AttemptResult:
    """Classify a refused request by its status; a 4xx that is not named here was refused because of the request
    itself.
    """
    status = error.status
    detail = f"status {status or response.status}" + (f": {error.text}" if error.text else "")
    if error.refusal is Refusal.too_long:
        return AttemptResult(
            Cause.router, f"prompt and max_tokens do not fit the context window: {detail}", retry=False, billed=False
        )
    if error.refusal is Refusal.used_up:
        return AttemptResult(Cause.quota, detail, retry=False, billed=False)
    if status == 429:
        return AttemptResult(Cause.quota, detail, retry=True, billed=False, retry_after_s=response.retry_after_s)
    if status is None:  # an error with HTTP 200 and no status of its own: refused, so nothing was billed
        return AttemptResult(Cause.transport, detail, retry=True, billed=False, retry_after_s=response.retry_after_s)
    if 300 <= status < 400:
        what = f"{detail} (a redirect, which is not followed: give --api-base as the address that answers)"
        return AttemptResult(Cause.request, what, retry=False, billed=False)
    if status >= 500 or status < 300:
        return AttemptResult(Cause.transport, detail, retry=True, billed=True, retry_after_s=response.retry_after_s)
    if status == 408:
        return AttemptResult(Cause.transport, detail, retry=True, billed=False)
    causes = {401: Cause.access, 403: Cause.access}
    if status == 404 and error.is_structured:
        return AttemptResult(Cause.model, detail, retry=False, billed=False)
    if status == 404:
        what = f"{detail} (there is no /chat/completions at this address: does --api-base end in /v1?)"
        return AttemptResult(Cause.request, what, retry=False, billed=False)
    if status == 400 and switched:
        return AttemptResult(Cause.switch, detail, retry=False, billed=False)
    return AttemptResult(causes.get(status, Cause.request), detail, retry=False, billed=False)


def _decode(body: bytes) -> tuple[Any, str | None]:
    """Decode a body's JSON; return it, or the reason why it cannot be decoded."""
    try:
        return decode_response(body), None
    except ValueError as error:
        return None, f"{error}"
