"""One trial in the journal: what is written about it, and what stands there of it already.

A trial's lines are ``trial`` (what it is of), then for each step ``decision``, per attempt ``reserve`` and ``settle``,
per command ``command`` and ``observation``, and in the end ``end``. A router's own calls stand before the decision that
they are for: ``reserve`` and ``settle`` with their number within it as ``own``, and ``own_failed`` where no attempt was
answered. A resume and a replay read them back. A run that was imported has no observations: there, ``conversation`` is
what the agent's file holds from a step's answer to the next call, and the first messages stand in ``trial``. What each
of them has is said by its model (``lines``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from twinbench.calls.completion import Completion, read_completion
from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.journal import Entry, Journal
from twinbench.calls.judging import Judged
from twinbench.calls.lines import (
    CommandLine,
    Conversation,
    Decision,
    End,
    Line,
    LineError,
    Lost,
    Numbered,
    Observation,
    OfTrial,
    OwnFailed,
    Reserve,
    Settle,
    TrialBegins,
    VerdictLine,
    read_line,
)
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_json import decode_response
from twinbench.causes import Cause, CausedError
from twinbench.errors import JournalError
from twinbench.routing.clock import Clock, WallClock
from twinbench.routing.usage import Usage

Kind = TypeVar("Kind", bound=Line)


class DivergedError(Exception):
    """A trial that is run again does something else than its recording."""

    def __init__(self, step: int, what: str, recorded: Any, replayed: Any) -> None:
        super().__init__(f"step {step}: another {what}")
        self.step = step
        self.what = what
        self.recorded = recorded
        self.replayed = replayed


class RecordedEndError(CausedError):
    """A replay has come to where the recorded trial was ended, by what ended it."""

    def __init__(self, cause: Cause, detail: str | None) -> None:
        super().__init__(detail or str(cause))
        self.cause = cause


@dataclass
class RecordedAttempt:
    """One HTTP request, as far as it got."""

    reserve: Reserve
    settle: Settle | None = None
    """None where twinbench was killed while it was in flight."""

    @property
    def answered(self) -> bool:
        """Whether it brought the answer of its step."""
        return self.settle is not None and self.settle.cause is None

    @property
    def spent_usd(self) -> Decimal:
        """What it cost; one that was in flight when twinbench was killed counts its reservation."""
        return self.reserve.reserved_usd if self.settle is None else self.settle.cost_usd

    @property
    def usage(self) -> Usage | None:
        """What it was billed for; None where that is not known."""
        return None if self.settle is None else self.settle.usage

    @property
    def reported_usd(self) -> Decimal | None:
        """What the provider says that it cost; None where it does not say it."""
        return None if self.settle is None else self.settle.reported_cost_usd

    @property
    def completion(self) -> Completion | None:
        """What the model answered, read from the recorded response; None where there is no response or no answer."""
        try:
            body = None if self.settle is None else self.settle.body
            return None if body is None else read_completion(decode_response(body))
        except (JournalError, ValueError):
            return None


@dataclass
class RecordedOwnCall:
    """One call of the router's own, as far as it got."""

    attempts: list[RecordedAttempt] = field(default_factory=list)
    failure: OwnFailed | None = None
    """Why it was given up, where it was."""

    @property
    def request_key(self) -> str | None:
        """Of what was asked."""
        return self.attempts[0].reserve.request_key if self.attempts else None

    @property
    def answer(self) -> RecordedAttempt | None:
        """The attempt that brought its answer."""
        return next((attempt for attempt in self.attempts if attempt.answered), None)


@dataclass
class RecordedCommand:
    """One command of the agent, as far as it got."""

    command: str
    observation: Observation | None = None


@dataclass
class RecordedStep:
    """One step, as far as it got."""

    decision: Decision | None = None
    attempts: list[RecordedAttempt] = field(default_factory=list)
    commands: list[RecordedCommand] = field(default_factory=list)
    own: dict[int, RecordedOwnCall] = field(default_factory=dict)
    """The calls that the router made to decide, by their number."""
    conversation: Sequence[Mapping[str, Any]] | None = None
    """Of an imported run: the messages from this step's answer up to the next call."""

    @property
    def all_attempts(self) -> list[RecordedAttempt]:
        """The agent's and the router's own."""
        return [*self.attempts, *(attempt for call in self.own.values() for attempt in call.attempts)]

    @property
    def answer(self) -> RecordedAttempt | None:
        """The attempt that brought the step's answer."""
        return next((attempt for attempt in self.attempts if attempt.answered), None)


@dataclass
class Recording:
    """What a journal tells of one trial."""

    case: str
    trial: int
    start: TrialBegins | None = None
    steps: dict[int, RecordedStep] = field(default_factory=dict)
    end: End | None = None
    verdict: VerdictLine | None = None
    lost: Lost | None = None
    """Why it was given up and started over, where it was."""
    earlier: tuple[Recording, ...] = ()
    """The same trial as it went before it was started over; what that cost is lost."""
    at: float | None = None
    """When its last line was written."""

    @property
    def answers(self) -> list[RecordedAttempt]:
        """The attempts that brought the steps' answers, in order."""
        found = [self.steps[number].answer for number in sorted(self.steps)]
        return [answer for answer in found if answer is not None]

    @property
    def usage(self) -> Usage:
        """What the answers were billed for."""
        return sum((billed for answer in self.answers if (billed := answer.usage) is not None), Usage())

    @property
    def models(self) -> dict[str, int]:
        """How many answers each candidate gave."""
        return dict(Counter(answer.reserve.candidate for answer in self.answers))

    @property
    def own_answers(self) -> list[RecordedAttempt]:
        """The attempts that brought the answers of the router's own calls."""
        calls = [call.answer for step in self.steps.values() for call in step.own.values()]
        return [answer for answer in calls if answer is not None]

    @property
    def router_usd(self) -> Decimal:
        """What the responses cost that the router received."""
        return sum((answer.spent_usd for answer in self.own_answers), Decimal(0))

    @property
    def router_errors(self) -> int:
        """Decisions that the router failed to take, and another candidate answered."""
        decisions = [step.decision for step in self.steps.values() if step.decision is not None]
        return sum(decision.router_error is not None for decision in decisions)

    @property
    def reported_usd(self) -> Decimal | None:
        """What the provider says that the answers cost; None where it does not say it of every one."""
        told = [answer.reported_usd for answer in (*self.answers, *self.own_answers)]
        known = [usd for usd in told if usd is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(told) else None

    @property
    def cost_usd(self) -> Decimal:
        """What the responses cost that the agent received, and the router's own."""
        return sum((answer.spent_usd for answer in self.answers), self.router_usd)

    @property
    def spend_usd(self) -> Decimal:
        """What all attempts cost, those in flight at their reservation and what was lost among them."""
        attempts = (attempt for step in self.steps.values() for attempt in step.all_attempts)
        earlier = sum((recording.spend_usd for recording in self.earlier), Decimal(0))
        return sum((attempt.spent_usd for attempt in attempts), earlier)


def recordings(entries: Iterable[Entry]) -> dict[tuple[str, int], Recording]:
    """Every trial that a journal tells of, by case and trial.

    Raises:
        JournalError: it tells of what cannot have happened, though its chain is whole.
    """
    of_trials = (entry for entry in entries if "case" in entry.fields and "trial" in entry.fields)
    return recordings_of(Numbered(entry.number, _line(entry)) for entry in of_trials)


def recordings_of(lines: Iterable[Numbered[OfTrial]]) -> dict[tuple[str, int], Recording]:
    """As ``recordings``, of lines that have been read."""
    found: dict[tuple[str, int], Recording] = {}
    for each in lines:
        line = each.line
        name = (line.case, line.trial)
        recording = found.setdefault(name, Recording(*name))
        if isinstance(line, TrialBegins) and recording.lost is not None:
            earlier = (*recording.earlier, replace(recording, earlier=()))
            recording = found[name] = Recording(*name, earlier=earlier)
        recording.at = line.at
        try:
            _add(recording, line)
        except IndexError:
            what = f"a line of kind {line.kind} that does not follow from those before it: one of them is missing"
            raise JournalError(f"the journal, line {each.number}: {what}") from None
    return found


def lines_of(entries: Iterable[Entry], *kinds: type[Kind]) -> Iterator[Numbered[Kind]]:
    """The lines of some kinds.

    Raises:
        JournalError: one of them is not as its kind is.
    """
    names = {kind.kind for kind in kinds}
    for entry in entries:
        if entry.kind in names:
            line = _read(entry)
            assert isinstance(line, kinds)  # noqa: S101 - their kinds say so
            yield Numbered(entry.number, line)


def _read(entry: Entry) -> Line | None:
    try:
        return read_line(entry.kind, entry.fields)
    except LineError as error:
        raise JournalError(f"the journal, line {entry.number}: a line of kind {entry.kind} {error}") from None


def _line(entry: Entry) -> OfTrial:
    line = _read(entry)
    if not isinstance(line, OfTrial):
        what = f"a line of kind {entry.kind}, which tells nothing of a trial"
        raise JournalError(f"the journal, line {entry.number}: {what}")
    return line


def _add(recording: Recording, line: OfTrial) -> None:
    match line:  # the most frequent kinds first: what is compared with each of them is a journal's every line
        case Settle(own=0):
            _step(recording, line.step).attempts[line.attempt - 1].settle = line
        case Reserve(own=0):
            _step(recording, line.step).attempts.append(RecordedAttempt(line))
        case Decision():
            _step(recording, line.step).decision = line
        case CommandLine():
            _step(recording, line.step).commands.append(RecordedCommand(line.command))
        case Observation():
            _step(recording, line.step).commands[line.index].observation = line
        case Reserve() | Settle() | OwnFailed():
            _add_own(_step(recording, line.step).own.setdefault(line.own, RecordedOwnCall()), line)
        case Conversation():
            _step(recording, line.step).conversation = line.messages
        case TrialBegins():
            recording.start = line
        case End():
            recording.end = line
        case VerdictLine():
            recording.verdict = line
        case Lost():
            recording.lost = line


def _step(recording: Recording, number: int) -> RecordedStep:
    step = recording.steps.get(number)
    if step is None:
        step = recording.steps[number] = RecordedStep()
    return step


def _add_own(call: RecordedOwnCall, line: Reserve | Settle | OwnFailed) -> None:
    match line:
        case Reserve():
            call.attempts.append(RecordedAttempt(line))
            call.failure = None  # it is tried again
        case Settle():
            call.attempts[line.attempt - 1].settle = line
        case OwnFailed():
            call.failure = line


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


LOST = Judged(Cause.transport, "twinbench was ended while it was in flight", retry=True, billed=True)
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

    def here(self) -> dict[str, Any]:
        """What every line of this trial has: the case, the trial, and when it is written."""
        return {"case": self.recording.case, "trial": self.recording.trial, "at": round(self.clock.now(), 3)}

    def write(self, line: OfTrial, *, sync: bool = False) -> None:
        """Write a line of this trial, made ``here``, and remember it.

        Args:
            line: what to write.
            sync: make it outlast a crash of the machine too.

        Raises:
            JournalError: it cannot be written.
        """
        if self.journal is not None:
            self.journal.write(line, sync=sync)
            _add(self.recording, line)
            if self.listener is not None:
                self.listener(self.recording, line)

    def settle_lost(self) -> None:
        """Settle at their reservations the attempts that were in flight when twinbench was killed."""
        for number, step in self.recording.steps.items():
            for attempt in step.all_attempts:
                if attempt.settle is None:
                    call = CallLog(self, number, attempt.reserve.own)
                    call.settle(attempt.reserve.attempt, None, LOST, attempt.reserve.reserved_usd, at_reservation=True)

    def start_over(self, diverged: DivergedError) -> None:
        """Give up what was recorded of the trial, whose spend is lost, and begin again."""
        self.write(Lost(**self.here(), step=diverged.step, what=diverged.what))
        earlier = (*self.recording.earlier, replace(self.recording, earlier=()))
        self.recording = Recording(self.recording.case, self.recording.trial, earlier=earlier)

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
                **self.log.here(),
                **own,
                step=self.step,
                attempt=attempt,
                candidate=candidate,
                request_sha256=request.sha256,
                request_key=request.key,
                reserved_usd=reserved_usd,
            ),
            sync=True,
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
        self.log.write(
            Settle(
                **self.log.here(),
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
                latency_s=None if outcome is None else outcome.latency_s,
                status=None if response is None else response.status,
                response=None if response is None else response.body,
            )
        )

    def give_up(self, cause: Cause, detail: str) -> None:
        """Write that no attempt at a call of the router's own brought an answer."""
        self.log.write(OwnFailed(**self.log.here(), **self._own, step=self.step, cause=cause, detail=detail))

    @property
    def _own(self) -> dict[str, int]:
        return {"own": self.own} if self.own else {}
