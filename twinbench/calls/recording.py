"""One trial in the journal: what is written about it, and what stands there of it already.

A trial's lines are ``trial`` (what it is of), then for each step ``decision``, per attempt ``reserve`` and ``settle``,
per command ``command`` and ``observation``, and in the end ``end``. A router's own calls stand before the decision that
they are for: ``reserve`` and ``settle`` with their number within it as ``own``, and ``own_failed`` where no attempt was
answered. A resume and a replay read them back. A run that was imported has no observations: there, ``conversation`` is
what the agent's file holds from a step's answer to the next call, and the first messages stand in ``trial``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from twinbench.calls.completion import Completion, read_completion
from twinbench.calls.exchange import Request, Response, ResponseSource, TransportError
from twinbench.calls.journal import Entry, Journal
from twinbench.calls.packing import unpacked
from twinbench.calls.redaction import Secrets
from twinbench.calls.response_json import decode_response
from twinbench.causes import Cause, CausedError
from twinbench.errors import JournalError
from twinbench.routing.clock import Clock, WallClock
from twinbench.routing.usage import Usage


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

    def __init__(self, end: Mapping[str, Any]) -> None:
        super().__init__(str(end.get("detail") or end["cause"]))
        self.cause = Cause(end["cause"])


@dataclass
class RecordedAttempt:
    """One HTTP request, as far as it got."""

    reserve: Mapping[str, Any]
    settle: Mapping[str, Any] | None = None
    """None where twinbench was killed while it was in flight."""

    @property
    def answered(self) -> bool:
        """Whether it brought the answer of its step."""
        return self.settle is not None and self.settle["cause"] is None

    @property
    def completion(self) -> Completion | None:
        """What the model answered, read from the recorded response; None where there is no response or no answer."""
        return recorded_completion(None if self.settle is None else self.settle.get("response"))


@dataclass
class RecordedOwnCall:
    """One call of the router's own, as far as it got."""

    attempts: list[RecordedAttempt] = field(default_factory=list)
    failure: Mapping[str, Any] | None = None
    """Why it was given up, where it was."""

    @property
    def request_key(self) -> str | None:
        """Of what was asked."""
        return self.attempts[0].reserve["request_key"] if self.attempts else None

    @property
    def answer(self) -> RecordedAttempt | None:
        """The attempt that brought its answer."""
        return next((attempt for attempt in self.attempts if attempt.answered), None)


@dataclass
class RecordedCommand:
    """One command of the agent, as far as it got."""

    command: str
    observation: Mapping[str, Any] | None = None


@dataclass
class RecordedStep:
    """One step, as far as it got."""

    decision: Mapping[str, Any] | None = None
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
    start: Mapping[str, Any] | None = None
    steps: dict[int, RecordedStep] = field(default_factory=dict)
    end: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    lost: Mapping[str, Any] | None = None
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
        usages = [Usage(**answer.settle["usage"]) for answer in self.answers if answer.settle is not None]
        return sum(usages, Usage())

    @property
    def models(self) -> dict[str, int]:
        """How many answers each candidate gave."""
        return dict(Counter(answer.reserve["candidate"] for answer in self.answers))

    @property
    def own_answers(self) -> list[RecordedAttempt]:
        """The attempts that brought the answers of the router's own calls."""
        calls = [call.answer for step in self.steps.values() for call in step.own.values()]
        return [answer for answer in calls if answer is not None]

    @property
    def router_usd(self) -> Decimal:
        """What the responses cost that the router received."""
        return sum((_cost(answer.settle) for answer in self.own_answers), Decimal(0))

    @property
    def router_errors(self) -> int:
        """Decisions that the router failed to take, and another candidate answered."""
        return sum((step.decision or {}).get("router_error") is not None for step in self.steps.values())

    @property
    def reported_usd(self) -> Decimal | None:
        """What the provider says that the answers cost; None where it does not say it of every one."""
        told = [(answer.settle or {}).get("reported_cost_usd") for answer in (*self.answers, *self.own_answers)]
        if not told or any(each is None for each in told):
            return None
        return sum((Decimal(str(each)) for each in told), Decimal(0))

    @property
    def cost_usd(self) -> Decimal:
        """What the responses cost that the agent received, and the router's own."""
        return sum((_cost(answer.settle) for answer in self.answers), self.router_usd)

    @property
    def spend_usd(self) -> Decimal:
        """What all attempts cost, those in flight at their reservation and what was lost among them."""
        return sum((recording.spend_usd for recording in self.earlier), Decimal(0)) + sum(
            (
                Decimal(attempt.reserve["reserved_usd"]) if attempt.settle is None else _cost(attempt.settle)
                for step in self.steps.values()
                for attempt in step.all_attempts
            ),
            Decimal(0),
        )


def recorded_completion(response: Any) -> Completion | None:
    """Read the answer in a response as the journal keeps it, packed; None where there is none."""
    if not isinstance(response, str):
        return None
    try:
        return read_completion(decode_response(unpacked(response)))
    except (JournalError, ValueError):
        return None


def _cost(settle: Mapping[str, Any] | None) -> Decimal:
    return Decimal(0) if settle is None else Decimal(settle["cost_usd"])


def recordings(entries: Iterable[Entry]) -> dict[tuple[str, int], Recording]:
    """Every trial that a journal tells of, by case and trial.

    Raises:
        JournalError: it tells of what cannot have happened, though its chain is whole.
    """
    found: dict[tuple[str, int], Recording] = {}
    for entry in entries:
        fields = entry.fields
        if "case" not in fields or "trial" not in fields:
            continue
        name = (fields["case"], fields["trial"])
        recording = found.setdefault(name, Recording(*name))
        if entry.kind == "trial" and recording.lost is not None:
            earlier = (*recording.earlier, replace(recording, earlier=()))
            recording = found[name] = Recording(*name, earlier=earlier)
        recording.at = fields.get("at", recording.at)
        try:
            _add(recording, entry.kind, fields)
        except (KeyError, IndexError, TypeError):
            what = f"a line of kind {entry.kind} that does not follow from those before it: one of them is missing"
            raise JournalError(f"the journal, line {entry.number}: {what}") from None
    return found


def _add(recording: Recording, kind: str, fields: Mapping[str, Any]) -> None:
    if kind == "trial":
        recording.start = fields
    elif kind == "end":
        recording.end = fields
    elif kind == "verdict":
        recording.verdict = fields
    elif kind == "lost":
        recording.lost = fields
    else:
        step = recording.steps.setdefault(fields["step"], RecordedStep())
        if kind == "decision":
            step.decision = fields
        elif "own" in fields:
            _add_own(step.own.setdefault(fields["own"], RecordedOwnCall()), kind, fields)
        elif kind == "reserve":
            step.attempts.append(RecordedAttempt(fields))
        elif kind == "settle":
            step.attempts[fields["attempt"] - 1].settle = fields
        elif kind == "conversation":
            step.conversation = fields["messages"]
        elif kind == "command":
            step.commands.append(RecordedCommand(fields["command"]))
        elif kind == "observation":
            step.commands[fields["index"]].observation = fields


def _add_own(call: RecordedOwnCall, kind: str, fields: Mapping[str, Any]) -> None:
    if kind == "reserve":
        call.attempts.append(RecordedAttempt(fields))
        call.failure = None  # it is tried again
    elif kind == "settle":
        call.attempts[fields["attempt"] - 1].settle = fields
    else:
        call.failure = fields


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


Listener = Callable[[Recording, str, Mapping[str, Any]], None]
"""Told of a line about a trial: its recording so far, the line's kind and its fields."""


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

    def write(self, kind: str, *, sync: bool = False, **fields: Any) -> None:
        """Write a line of this trial, and remember it."""
        if self.journal is not None:
            place = {"case": self.recording.case, "trial": self.recording.trial, "at": round(self.clock.now(), 3)}
            self.journal.append(kind, sync=sync, **place, **fields)
            _add(self.recording, kind, fields)
            if self.listener is not None:
                self.listener(self.recording, kind, fields)

    def settle_lost(self) -> None:
        """Settle at their reservations the attempts that were in flight when twinbench was killed."""
        for number, step in self.recording.steps.items():
            for attempt in step.all_attempts:
                if attempt.settle is None:
                    whose = {name: attempt.reserve[name] for name in ("own",) if name in attempt.reserve}
                    self.write(
                        "settle",
                        step=number,
                        **whose,
                        attempt=attempt.reserve["attempt"],
                        cause=Cause.transport,
                        detail="twinbench was ended while it was in flight",
                        usage=None,
                        cost_usd=attempt.reserve["reserved_usd"],
                        at_reservation=True,
                        reported_cost_usd=None,
                        served_model=None,
                        served_by=None,
                        latency_s=None,
                        status=None,
                        response=None,
                    )

    def start_over(self, diverged: DivergedError) -> None:
        """Give up what was recorded of the trial, whose spend is lost, and begin again."""
        self.write("lost", step=diverged.step, what=diverged.what)
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
        if end is not None and end.get("cause") is not None and step >= max(self.recording.steps, default=0):
            raise RecordedEndError(end)
        raise DivergedError(step, what, None, "something that is not in the recording")

    def step(self, number: int) -> RecordedStep:
        """What stands there of a step; empty where it was not reached."""
        return self.recording.steps.get(number) or RecordedStep()
