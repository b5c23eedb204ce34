"""Send one model call and retry it until it is answered; no other code retries.

Each attempt is reserved and recorded before it is sent; afterwards its response is classified, settled and recorded.
Both the agent's calls and a router's own LLM calls are made here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from twinbench.calls.budget import Budget, CapError
from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.recording import DivergedError, RecordedAttempt
from twinbench.calls.response_cache import CacheSlot, ResponseCache
from twinbench.calls.response_classification import AttemptResult, classify_response
from twinbench.causes import CausedError
from twinbench.routing.clock import Clock
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate

_LONGEST_WAIT_S = 30.0
_MOST_MORE_S = 1.0
"""Largest jitter that is added to the wait that a provider asks for."""


class AttemptLog(Protocol):
    """The interface for recording the attempts of one call (``trial_log.CallLog``)."""

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal, /) -> None:
        """Record that an attempt is about to be sent, and the most that it may cost."""
        ...

    def settle(
        self,
        attempt: int,
        outcome: Response | TransportError,
        judged: AttemptResult,
        cost_usd: Decimal,
        /,
        *,
        at_reservation: bool,
    ) -> None:
        """Record the result of an attempt and its cost."""
        ...


class CallFailedError(CausedError):
    """All attempts of a call failed."""

    def __init__(self, judged: AttemptResult) -> None:
        super().__init__(judged.detail or "no answer")
        assert judged.cause is not None  # noqa: S101 - an answer is not a failure
        self.result = judged
        self.cause = judged.cause


@dataclass(frozen=True)
class RetryLimits:
    """How often and how long one call is tried."""

    attempts: int = 6
    waiting_s: float = 120.0
    """Total time to wait between attempts."""
    attempt_s: float = 300.0
    """Time limit of one attempt, from connecting to the last byte."""


@dataclass(frozen=True)
class AnsweredAttempt:
    """A successful attempt, with its usage and cost."""

    result: AttemptResult
    usage: Usage
    cost_usd: Decimal


@dataclass(frozen=True)
class Attempts:
    """Sends calls to a provider, with retries."""

    source: ResponseSource
    budget: Budget
    clock: Clock
    limits: RetryLimits = RetryLimits()
    response_cache: ResponseCache | None = None
    """Cached responses, used instead of sending the same request again; None: every request is sent."""

    def fetch_answer(
        self,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        previous_attempts: int = 0,
        switched: bool = False,
    ) -> AnsweredAttempt:
        """Send a request, with retries, and return the response.

        Args:
            request: the request to send.
            chosen: the model to call.
            worst_usd: the most that one attempt may cost.
            log: records this call's attempts.
            previous_attempts: how many attempts of this call are recorded already.
            switched: whether another candidate answered the trial's previous call.

        Raises:
            CallFailedError: every attempt failed.
            CapError: the remaining budget does not allow another attempt.
        """
        if self.response_cache is None:
            return self._fetch_with_retries(
                request, chosen, worst_usd, log, before=previous_attempts, switched=switched
            )
        with self.response_cache.hold_slot(chosen.id, request) as place:
            if place.response is None:
                return self._fetch_with_retries(
                    request, chosen, worst_usd, log, before=previous_attempts, switched=switched, place=place
                )
            return _reuse_response(place.response, request, chosen, log, previous_attempts + 1, switched=switched)

    def _fetch_with_retries(
        self,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        before: int,
        switched: bool,
        place: CacheSlot | None = None,
    ) -> AnsweredAttempt:
        number = before
        failed: CallFailedError | None = None
        retrying = Retrying(
            stop=self._should_stop,
            wait=partial(_wait_s, request),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailedError) and error.result.retry),
            sleep=self.clock.sleep,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                number += 1
                try:
                    return self._attempt_once(number, request, chosen, worst_usd, log, switched=switched, place=place)
                except CallFailedError as error:
                    failed = error
                    raise
                except CapError as error:
                    # Say what used up the cap: failed attempts count at what they may have cost.
                    raise (
                        error if failed is None else error.with_context(f"attempt {number - 1} failed: {failed}")
                    ) from None
        raise AssertionError  # tenacity either returns from the block or raises

    def _attempt_once(
        self,
        number: int,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        switched: bool,
        place: CacheSlot | None,
    ) -> AnsweredAttempt:
        with self.budget.reserve(worst_usd) as reservation:
            log.reserve(number, chosen.id, request, worst_usd)
            outcome: Response | TransportError
            try:
                outcome = self.source.fetch(request, self.limits.attempt_s)
            except TransportError as error:
                outcome = error
            judged = classify_response(outcome, chosen, switched=switched, max_tokens=_max_tokens(request))
            known = judged.usage is not None or not judged.billed
            cost_usd = Decimal(0) if judged.usage is None else judged.usage.cost_usd(chosen.prices.prices())
            cost_usd = cost_usd if known else worst_usd
            log.settle(number, outcome, judged, cost_usd, at_reservation=not known)
            reservation.settle(cost_usd)
        if judged.cause is not None or judged.usage is None:
            raise CallFailedError(judged)
        if place is not None and isinstance(outcome, Response):
            place.response = outcome
        return AnsweredAttempt(judged, judged.usage, cost_usd)

    def _should_stop(self, state: RetryCallState) -> bool:
        waited = state.idle_for + state.upcoming_sleep
        return stop_after_attempt(self.limits.attempts)(state) or waited > self.limits.waiting_s


def _reuse_response(
    response: Response, request: Request, chosen: LiveCandidate, log: AttemptLog, number: int, *, switched: bool
) -> AnsweredAttempt:
    """Record a cached response as an attempt for which nothing is reserved and nothing is paid."""
    judged = classify_response(response, chosen, switched=switched, max_tokens=_max_tokens(request))
    if judged.cause is not None or judged.usage is None:
        raise CallFailedError(judged)
    cost_usd = judged.usage.cost_usd(chosen.prices.prices())
    log.reserve(number, chosen.id, request, Decimal(0))
    log.settle(number, replace(response, reused=True), judged, cost_usd, at_reservation=False)
    return AnsweredAttempt(judged, judged.usage, cost_usd)


def reclassify_recorded_answer(
    found: RecordedAttempt, request: Request, step: int, chosen: LiveCandidate, *, switched: bool
) -> AnsweredAttempt:
    """Classify and price a recorded answer again.

    Raises:
        DivergedError: it is no longer classified as an answer, or its cost differs from the recorded one.
    """
    assert found.settle is not None  # noqa: S101 - an answer is settled
    settle = found.settle
    response = Response(settle.status or 0, settle.body or b"", None, settle.latency_s or 0.0)
    judged = classify_response(response, chosen, switched=switched, max_tokens=_max_tokens(request))
    if judged.cause is not None or judged.usage is None:
        raise DivergedError(step, "response", None, judged.detail)
    cost_usd = judged.usage.cost_usd(chosen.prices.prices())
    if cost_usd != settle.cost_usd:
        raise DivergedError(step, "cost", f"{settle.cost_usd:f}", f"{cost_usd}")
    return AnsweredAttempt(judged, judged.usage, cost_usd)


def _max_tokens(request: Request) -> int | None:
    """Return the ``max_tokens`` of a request; None if it sets none."""
    most = request.body.get("max_tokens")
    return most if isinstance(most, int) else None


def _wait_s(request: Request, state: RetryCallState) -> float:
    """Seconds to wait before the next attempt: what the provider asks for plus jitter, else exponential backoff.

    Jitter keeps many cases from retrying at once. It is derived from the request, so that a rehearsal is reproducible.
    """
    digest = hashlib.sha256(f"{request.session} {request.key} {state.attempt_number}".encode()).digest()
    jitter = digest[0] / 256
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.result.retry_after_s if isinstance(error, CallFailedError) else None
    if asked_s is not None:
        return asked_s + jitter * min(_MOST_MORE_S, asked_s / 10)
    longest: float = wait_exponential(max=_LONGEST_WAIT_S)(state)
    return jitter * longest
