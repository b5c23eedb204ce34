"""Writes the journal lines of one trial, in the form that ``recording`` reads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.journal import Journal
from twinbench.calls.lines import OwnFailed, Reserve, Settle, TrialLine, TrialRestart
from twinbench.calls.recording import DivergedError, RecordedEndError, RecordedStep, Recording, add_line
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_classification import AttemptResult
from twinbench.causes import Cause
from twinbench.routing.clock import Clock, WallClock


@dataclass(frozen=True)
class RedactedSource:
    """A response source that removes from responses the secrets that a journal would remove.

    So the conversation equals its recording: no secret reaches the conversation or a file made of it, and a resumed
    trial continues with the same text.
    """

    source: ResponseSource
    secrets: Secrets

    def fetch(self, request: Request, within_s: float) -> Response:
        """Send a request once and redact the response."""
        try:
            response = self.source.fetch(request, within_s)
        except TransportError as error:
            said, billed = self.secrets.redact(str(error)), error.may_be_billed
            raise TransportError(said, may_be_billed=billed, latency_s=error.latency_s) from None
        return replace(response, body=self.secrets.redact_bytes(response.body))


IN_FLIGHT = AttemptResult(Cause.transport, "twinbench was ended while it was in flight", retry=True, billed=True)
"""The result of an attempt that was in flight when twinbench was killed."""

Listener = Callable[[Recording, TrialLine], None]
"""Called for each line of a trial with its recording so far and the line."""


@dataclass
class TrialLog:
    """A trial's part of a journal: its recording so far, and the lines that are written now.

    Without a journal nothing is written, as in a replay.
    """

    recording: Recording
    journal: Journal | None
    clock: Clock = field(default_factory=WallClock)
    listener: Listener | None = None
    """Called for every line that is written."""

    @property
    def is_replay(self) -> bool:
        """Whether this is a replay, which writes nothing."""
        return self.journal is None

    def stamp(self) -> dict[str, Any]:
        """Return the fields that every line of this trial has: case, trial and time."""
        return {"case": self.recording.case, "trial": self.recording.trial, "at": round(self.clock.now(), 3)}

    def write(self, line: TrialLine, *, sync: bool = False) -> None:
        """Write a line of this trial, made with ``stamp``, and add it to the recording.

        Args:
            line: the line to write.
            sync: make it survive a crash of the machine too.

        Raises:
            JournalError: the line cannot be written.
        """
        if self.journal is not None:
            self.journal.append_line(line, sync=sync)
            add_line(self.recording, line)
            if self.listener is not None:
                self.listener(self.recording, line)

    def settle_in_flight(self) -> None:
        """Settle at their reservations the attempts that were in flight when twinbench was killed."""
        for number, step in self.recording.steps.items():
            for attempt in step.all_attempts:
                if attempt.settle is None:
                    call = CallLog(self, number, attempt.reserve.own)
                    call.settle(
                        attempt.reserve.attempt, None, IN_FLIGHT, attempt.reserve.reserved_usd, at_reservation=True
                    )

    def start_over(self, diverged: DivergedError) -> None:
        """Discard the trial's recording, whose spend is lost, and begin again."""
        self.write(TrialRestart(**self.stamp(), step=diverged.step, what=diverged.what))
        self.recording.start_over()

    def refuse_beyond_end(self, step: int, what: str) -> None:
        """In a replay, raise an error if the recording has nothing more; outside a replay do nothing.

        Raises:
            RecordedEndError: the recorded trial ended here.
            DivergedError: the recorded trial did not end here.
        """
        if not self.is_replay:
            return
        end = self.recording.end
        if end is not None and end.cause is not None and step >= max(self.recording.steps, default=0):
            raise RecordedEndError(end.cause, end.detail)
        raise DivergedError(step, what, None, "something that is not in the recording")

    def step(self, number: int) -> RecordedStep:
        """Return what is recorded of a step; empty if it was not reached."""
        return self.recording.steps.get(number) or RecordedStep()


@dataclass(frozen=True)
class CallLog:
    """One call's part of a trial's journal: the agent's call of a step, or one of the router's own LLM calls before
    it.
    """

    trial_log: TrialLog
    step: int
    router_call: int = 0
    """The number of the router's own LLM call within its decision; 0 for the agent's call."""

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal) -> None:
        """Write that an attempt is about to be sent.

        Args:
            attempt: the attempt's number within the call, from 1.
            candidate: the id of the candidate to call.
            request: the request.
            reserved_usd: the most that the attempt may cost.
        """
        # max_tokens is the router's choice in its own calls, and the candidate's in the agent's calls.
        own = {**self._router_call_field, "max_tokens": request.body["max_tokens"]} if self.router_call else {}
        self.trial_log.write(
            Reserve(
                **self.trial_log.stamp(),
                **own,
                step=self.step,
                attempt=attempt,
                candidate=candidate,
                request_sha256=request.sha256,
                request_key=request.key,
                reserved_usd=reserved_usd,
            ),
            sync=reserved_usd > 0,  # losing an attempt that costs nothing in a machine crash is harmless
        )

    def settle(
        self,
        attempt: int,
        outcome: Response | TransportError | None,
        result: AttemptResult,
        cost_usd: Decimal,
        *,
        at_reservation: bool,
    ) -> None:
        """Write the result of an attempt.

        Args:
            attempt: the attempt's number within the call.
            outcome: the response or error; None if twinbench was killed before it arrived.
            result: the classified result.
            cost_usd: the settled cost.
            at_reservation: whether the cost is the reservation, because the actual cost is unknown.
        """
        response = outcome if isinstance(outcome, Response) else None
        simulated = {"simulated": True} if result.simulated else {}
        self.trial_log.write(
            Settle(
                **self.trial_log.stamp(),
                **self._router_call_field,
                step=self.step,
                attempt=attempt,
                cause=result.cause,
                detail=result.detail,
                usage=result.usage,
                cost_usd=cost_usd,
                at_reservation=at_reservation,
                reported_cost_usd=result.reported_cost_usd,
                served_model=result.served_model,
                served_by=result.served_by,
                **simulated,
                latency_s=None if outcome is None else outcome.latency_s,
                status=None if response is None else response.status,
                response=None if response is None else response.body,
                **({"reused": True} if response is not None and response.reused else {}),
            )
        )

    def give_up(self, cause: Cause, detail: str) -> None:
        """Write that every attempt of a router's own LLM call failed."""
        self.trial_log.write(
            OwnFailed(**self.trial_log.stamp(), **self._router_call_field, step=self.step, cause=cause, detail=detail)
        )

    @property
    def _router_call_field(self) -> dict[str, int]:
        return {"own": self.router_call} if self.router_call else {}
