"""One trial in the journal: what is written about it, in the lines that ``recording`` reads back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.journal import Journal
from twinbench.calls.judging import Judged
from twinbench.calls.lines import Lost, OfTrial, OwnFailed, Reserve, Settle
from twinbench.calls.recording import DivergedError, RecordedEndError, RecordedStep, Recording, add_line
from twinbench.calls.redaction import Secrets
from twinbench.causes import Cause
from twinbench.routing.clock import Clock, WallClock


@dataclass(frozen=True)
class WithoutSecrets:
    """A source from whose responses is taken out what a journal would take out.

    So what is recorded is what was said: no secret reaches the conversation and what is written of it, and a trial that
    goes on from its recording goes on with the same words.
    """

    source: ResponseSource
    secrets: Secrets

    def fetch(self, request: Request, within_s: float) -> Response:
        """Ask once."""
        try:
            response = self.source.fetch(request, within_s)
        except TransportError as error:
            said, billed = self.secrets.redacted(str(error)), error.may_be_billed
            raise TransportError(said, may_be_billed=billed, latency_s=error.latency_s) from None
        return replace(response, body=self.secrets.redacted_bytes(response.body))


IN_FLIGHT = Judged(Cause.transport, "twinbench was ended while it was in flight", retry=True, billed=True)
"""An attempt that was in flight when twinbench was killed."""

Listener = Callable[[Recording, OfTrial], None]
"""Told of a line about a trial: its recording so far, and the line."""


@dataclass
class TrialLog:
    """A trial's part of a journal: its recording so far, and what comes now.

    Without a journal nothing is written: a replay.
    """

    recording: Recording
    journal: Journal | None
    clock: Clock = field(default_factory=WallClock)
    listener: Listener | None = None
    """Told of every line that is written."""

    @property
    def is_replay(self) -> bool:
        """Whether nothing is written, because everything stands there."""
        return self.journal is None

    def stamp(self) -> dict[str, Any]:
        """The case, the trial and the time, with which every line of this trial is made."""
        return {"case": self.recording.case, "trial": self.recording.trial, "at": round(self.clock.now(), 3)}

    def write(self, line: OfTrial, *, sync: bool = False) -> None:
        """Write a line of this trial, made with a ``stamp``, and remember it.

        Args:
            line: what to write.
            sync: make it outlast a crash of the machine too.

        Raises:
            JournalError: it cannot be written.
        """
        if self.journal is not None:
            self.journal.write(line, sync=sync)
            add_line(self.recording, line)
            if self.listener is not None:
                self.listener(self.recording, line)

    def settle_lost(self) -> None:
        """Settle at their reservations the attempts that were in flight when twinbench was killed."""
        for number, step in self.recording.steps.items():
            for attempt in step.all_attempts:
                if attempt.settle is None:
                    call = CallLog(self, number, attempt.reserve.own)
                    call.settle(
                        attempt.reserve.attempt, None, IN_FLIGHT, attempt.reserve.reserved_usd, at_reservation=True
                    )

    def start_over(self, diverged: DivergedError) -> None:
        """Give up what was recorded of the trial, whose spend is lost, and begin again."""
        self.write(Lost(**self.stamp(), step=diverged.step, what=diverged.what))
        self.recording.start_over()

    def refuse_beyond_end(self, step: int, what: str) -> None:
        """In a replay, where nothing more is recorded: raise what ended the trial then, or that it diverged.

        Raises:
            RecordedEndError: the trial was ended here.
            DivergedError: it was not.
        """
        if not self.is_replay:
            return
        end = self.recording.end
        if end is not None and end.cause is not None and step >= max(self.recording.steps, default=0):
            raise RecordedEndError(end.cause, end.detail)
        raise DivergedError(step, what, None, "something that is not in the recording")

    def step(self, number: int) -> RecordedStep:
        """What stands there of a step; empty where it was not reached."""
        return self.recording.steps.get(number) or RecordedStep()


@dataclass(frozen=True)
class CallLog:
    """One call's part of a trial's journal: the agent's call of a step, or one of the router's own before it."""

    log: TrialLog
    step: int
    own: int = 0
    """The number of the router's own call within its decision; 0 for the agent's."""

    def reserve(self, attempt: int, candidate: str, request: Request, reserved_usd: Decimal) -> None:
        """Write that an attempt is about to be sent.

        Args:
            attempt: its number within the call, from 1.
            candidate: who is asked.
            request: what is asked.
            reserved_usd: the most that it may cost.
        """
        # The limit of an answer is the router's choice in its own calls, and the candidate's in the agent's.
        own = {**self._own, "max_tokens": request.body["max_tokens"]} if self.own else {}
        self.log.write(
            Reserve(
                **self.log.stamp(),
                **own,
                step=self.step,
                attempt=attempt,
                candidate=candidate,
                request_sha256=request.sha256,
                request_key=request.key,
                reserved_usd=reserved_usd,
            ),
            sync=reserved_usd > 0,  # of what can cost nothing, a crash of the machine loses nothing
        )

    def settle(
        self,
        attempt: int,
        outcome: Response | TransportError | None,
        judged: Judged,
        cost_usd: Decimal,
        *,
        at_reservation: bool,
    ) -> None:
        """Write what came of an attempt.

        Args:
            attempt: its number within the call.
            outcome: what came; None where nobody was there to see it.
            judged: what that is worth.
            cost_usd: what is paid for it.
            at_reservation: whether that is the reservation, because nobody knows what it cost.
        """
        response = outcome if isinstance(outcome, Response) else None
        simulated = {"simulated": True} if judged.simulated else {}
        self.log.write(
            Settle(
                **self.log.stamp(),
                **self._own,
                step=self.step,
                attempt=attempt,
                cause=judged.cause,
                detail=judged.detail,
                usage=judged.usage,
                cost_usd=cost_usd,
                at_reservation=at_reservation,
                reported_cost_usd=judged.reported_cost_usd,
                served_model=judged.served_model,
                served_by=judged.served_by,
                **simulated,
                latency_s=None if outcome is None else outcome.latency_s,
                status=None if response is None else response.status,
                response=None if response is None else response.body,
                **({"reused": True} if response is not None and response.reused else {}),
            )
        )

    def give_up(self, cause: Cause, detail: str) -> None:
        """Write that no attempt at a call of the router's own brought an answer."""
        self.log.write(OwnFailed(**self.log.stamp(), **self._own, step=self.step, cause=cause, detail=detail))

    @property
    def _own(self) -> dict[str, int]:
        return {"own": self.own} if self.own else {}
