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
from twinbench.calls.judging import Judged, judge
from twinbench.calls.kept_responses import KeptPlace, KeptResponses
from twinbench.calls.recording import DivergedError, RecordedAttempt
from twinbench.causes import CausedError
from twinbench.routing.clock import Clock
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate

_LONGEST_WAIT_S = 30.0
_MOST_MORE_S = 1.0
"""Largest jitter that is added to the wait that a provider asks for."""


class AttemptLog(Protocol):
    """Where the attempts of one call are recorded (``trial_log.CallLog``)."""

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal, /) -> None:
        """Record that an attempt is about to be sent, and the most that it may cost."""
        ...

    def settle(
        self,
        attempt: int,
        outcome: Response | TransportError,
        judged: Judged,
        cost_usd: Decimal,
        /,
        *,
        at_reservation: bool,
    ) -> None:
        """Record the result of an attempt and its cost."""
        ...


class CallFailedError(CausedError):
    """No attempt of a call brought an answer."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(judged.detail or "no answer")
        assert judged.cause is not None  # noqa: S101 - an answer is no failure
        self.judged = judged
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
class Answered:
    """An attempt that brought an answer, with its usage and cost."""

    judged: Judged
    usage: Usage
    cost_usd: Decimal


@dataclass(frozen=True)
class Attempts:
    """Sends calls to a provider, with retries."""

    source: ResponseSource
    budget: Budget
    clock: Clock
    limits: RetryLimits = RetryLimits()
    kept: KeptResponses | None = None
    """Cached responses, used instead of sending the same request again; None: every request is sent."""

    def answered(
        self,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        before: int = 0,
        switched: bool = False,
    ) -> Answered:
        """Send a request, with retries, and return its answer.

        Args:
            request: the request to send.
            chosen: the candidate that is asked.
            worst_usd: the most that one attempt may cost.
            log: where this call's attempts are recorded.
            before: how many attempts of this call are recorded already.
            switched: whether another candidate answered the trial's previous call.

        Raises:
            CallFailedError: no attempt brought an answer.
            CapError: the budget leaves no room for another attempt.
        """
        if self.kept is None:
            return self._tried(request, chosen, worst_usd, log, before=before, switched=switched)
        with self.kept.held(chosen.id, request) as place:
            if place.response is None:
                return self._tried(request, chosen, worst_usd, log, before=before, switched=switched, place=place)
            return _reused(place.response, request, chosen, log, before + 1, switched=switched)

    def _tried(
        self,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        before: int,
        switched: bool,
        place: KeptPlace | None = None,
    ) -> Answered:
        number = before
        failed: CallFailedError | None = None
        retrying = Retrying(
            stop=self._stops,
            wait=partial(_wait_s, request),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailedError) and error.judged.retry),
            sleep=self.clock.sleep,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                number += 1
                try:
                    return self._attempted(number, request, chosen, worst_usd, log, switched=switched, place=place)
                except CallFailedError as error:
                    failed = error
                    raise
                except CapError as error:
                    # Say what used up the cap: failed attempts count at what they may have cost.
                    raise error if failed is None else error.after(f"attempt {number - 1} failed: {failed}") from None
        raise AssertionError  # tenacity either returns from the block or raises

    def _attempted(
        self,
        number: int,
        request: Request,
        chosen: LiveCandidate,
        worst_usd: Decimal,
        log: AttemptLog,
        *,
        switched: bool,
        place: KeptPlace | None,
    ) -> Answered:
        with self.budget.reserve(worst_usd) as reservation:
            log.reserve(number, chosen.id, request, worst_usd)
            outcome: Response | TransportError
            try:
                outcome = self.source.fetch(request, self.limits.attempt_s)
            except TransportError as error:
                outcome = error
            judged = judge(outcome, chosen, switched=switched, max_tokens=_most_tokens(request))
            known = judged.usage is not None or not judged.billed
            cost_usd = Decimal(0) if judged.usage is None else judged.usage.cost_usd(chosen.prices.prices())
            cost_usd = cost_usd if known else worst_usd
            log.settle(number, outcome, judged, cost_usd, at_reservation=not known)
            reservation.settle(cost_usd)
        if judged.cause is not None or judged.usage is None:
            raise CallFailedError(judged)
        if place is not None and isinstance(outcome, Response):
            place.response = outcome
        return Answered(judged, judged.usage, cost_usd)

    def _stops(self, state: RetryCallState) -> bool:
        waited = state.idle_for + state.upcoming_sleep
        return stop_after_attempt(self.limits.attempts)(state) or waited > self.limits.waiting_s


def _reused(
    response: Response, request: Request, chosen: LiveCandidate, log: AttemptLog, number: int, *, switched: bool
) -> Answered:
    """Record a cached response as an attempt for which nothing is reserved and nothing is paid."""
    judged = judge(response, chosen, switched=switched, max_tokens=_most_tokens(request))
    if judged.cause is not None or judged.usage is None:
        raise CallFailedError(judged)
    cost_usd = judged.usage.cost_usd(chosen.prices.prices())
    log.reserve(number, chosen.id, request, Decimal(0))
    log.settle(number, replace(response, reused=True), judged, cost_usd, at_reservation=False)
    return Answered(judged, judged.usage, cost_usd)


def recorded_answer(
    found: RecordedAttempt, request: Request, step: int, chosen: LiveCandidate, *, switched: bool
) -> Answered:
    """Classify and price a recorded answer again.

    Raises:
        DivergedError: it is no answer any more, or its cost differs from the recorded one.
    """
    assert found.settle is not None  # noqa: S101 - an answer is settled
    settle = found.settle
    response = Response(settle.status or 0, settle.body or b"", None, settle.latency_s or 0.0)
    judged = judge(response, chosen, switched=switched, max_tokens=_most_tokens(request))
    if judged.cause is not None or judged.usage is None:
        raise DivergedError(step, "response", None, judged.detail)
    cost_usd = judged.usage.cost_usd(chosen.prices.prices())
    if cost_usd != settle.cost_usd:
        raise DivergedError(step, "cost", f"{settle.cost_usd:f}", f"{cost_usd}")
    return Answered(judged, judged.usage, cost_usd)


def _most_tokens(request: Request) -> int | None:
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
    asked_s = error.judged.retry_after_s if isinstance(error, CallFailedError) else None
    if asked_s is not None:
        return asked_s + jitter * min(_MOST_MORE_S, asked_s / 10)
    longest: float = wait_exponential(max=_LONGEST_WAIT_S)(state)
    return jitter * longest
