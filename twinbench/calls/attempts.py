"""One call of a model, tried until it is answered: the only retries there are.

Each attempt is reserved and recorded before it is sent, and judged, settled and recorded after. The agent's calls and a
router's own are both made here.
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
"""On top of what a provider asks for."""


class AttemptLog(Protocol):
    """Where the attempts of one call are written down (``trial_log.CallLog``)."""

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal, /) -> None:
        """Write that an attempt is about to be sent, and the most that it may cost."""
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
        """Write what came of an attempt, and what is paid for it."""
        ...


class CallFailedError(CausedError):
    """No attempt brought an answer."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(judged.detail or "no answer")
        assert judged.cause is not None  # noqa: S101 - an answer is no failure
        self.judged = judged
        self.cause = judged.cause


@dataclass(frozen=True)
class RetryLimits:
    """How long one call is tried; the only retries there are."""

    attempts: int = 6
    waiting_s: float = 120.0
    """Between attempts, in all."""
    attempt_s: float = 300.0
    """All that one attempt may take."""


@dataclass(frozen=True)
class Answered:
    """An attempt that brought an answer."""

    judged: Judged
    usage: Usage
    cost_usd: Decimal


@dataclass(frozen=True)
class Attempts:
    """Tries calls at a provider."""

    source: ResponseSource
    budget: Budget
    clock: Clock
    limits: RetryLimits = RetryLimits()
    kept: KeptResponses | None = None
    """Responses to requests that were asked before, which are taken instead of asking again; None: all are asked."""

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
        """The answer to a request.

        Args:
            request: what is asked.
            chosen: who is asked.
            worst_usd: the most that one attempt may cost.
            log: of this call.
            before: how many attempts of this call stand in the recording.
            switched: whether somebody else answered the call before this one.

        Raises:
            CallFailedError: no attempt brought one.
            CapError: the budget leaves no room for it.
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
                    # Else nobody would learn what ate the cap: attempts that failed count what they may have cost.
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
    """A kept response, written down as an attempt for which nothing is reserved and nothing is paid."""
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
    """A recorded answer, judged and priced once more.

    Raises:
        DivergedError: today it is worth something else.
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
    """The limit that a request sets to its answer; None where it sets none."""
    most = request.body.get("max_tokens")
    return most if isinstance(most, int) else None


def _wait_s(request: Request, state: RetryCallState) -> float:
    """What the provider asks for and a little more, else ever longer: jitter keeps many cases from coming at once.

    The jitter follows from the request, so that a rehearsal repeats itself.
    """
    digest = hashlib.sha256(f"{request.session} {request.key} {state.attempt_number}".encode()).digest()
    jitter = digest[0] / 256
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.judged.retry_after_s if isinstance(error, CallFailedError) else None
    if asked_s is not None:
        return asked_s + jitter * min(_MOST_MORE_S, asked_s / 10)
    longest: float = wait_exponential(max=_LONGEST_WAIT_S)(state)
    return jitter * longest
