"""The recording of one trial: what the journal's lines say about it.

A trial's lines are ``trial`` (what it runs), then for each step ``decision``, per attempt ``reserve`` and ``settle``,
per command ``command`` and ``observation``, and finally ``end``. A router's own LLM calls come before the decision that
they belong to: ``reserve`` and ``settle`` with the call's number in ``own``, and ``own_failed`` if no attempt was
answered. Resume and replay read the lines back. An imported run has no observations: there, ``conversation`` has the
messages of the agent's file from a step's answer to the next call, and ``trial`` has the first messages. The fields of
each kind of line are defined by its model (``lines``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from twinbench.calls.completion import Completion, read_completion
from twinbench.calls.journal import Entries, Entry
from twinbench.calls.lines import (
    CommandLine,
    Conversation,
    DecisionLine,
    End,
    Line,
    LineError,
    NumberedLine,
    Observation,
    OwnFailed,
    Reserve,
    Settle,
    TrialBegins,
    TrialLine,
    TrialRestart,
    VerdictLine,
    read_line,
)
from twinbench.calls.response_json import decode_response
from twinbench.causes import Cause, CausedError
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage

Kind = TypeVar("Kind", bound=Line)

_JOURNAL = "the journal"


class DivergedError(Exception):
    """A trial that is run again does something else than its recording."""

    def __init__(self, step: int, what: str, recorded: Any, replayed: Any) -> None:
        super().__init__(f"step {step}: the {what} differs from the recording")
        self.step = step
        self.what = what
        self.recorded = recorded
        self.replayed = replayed


class RecordedEndError(CausedError):
    """A replay has reached the point where the recorded trial ended, and ends for the same cause."""

    def __init__(self, cause: Cause, detail: str | None) -> None:
        super().__init__(detail or str(cause))
        self.cause = cause


@dataclass
class RecordedAttempt:
    """One recorded HTTP request, as far as it got."""

    reserve: Reserve
    settle: Settle | None = None
    """The result; None if twinbench was killed while the request was in flight."""

    @property
    def answered(self) -> bool:
        """Whether the attempt succeeded."""
        return self.settle is not None and self.settle.cause is None

    @property
    def cost_usd(self) -> Decimal:
        """The attempt's cost in USD; an attempt that was in flight when twinbench was killed counts at its
        reservation.
        """
        return self.reserve.reserved_usd if self.settle is None else self.settle.cost_usd

    @property
    def is_reused(self) -> bool:
        """Whether nothing was sent, because the response came from the response cache."""
        return self.settle is not None and self.settle.reused

    @property
    def spent_usd(self) -> Decimal:
        """What was paid for the attempt in USD: its cost, or nothing if its response came from the cache."""
        return Decimal(0) if self.is_reused else self.cost_usd

    @property
    def usage(self) -> Usage | None:
        """The billed tokens; None if unknown."""
        return None if self.settle is None else self.settle.usage

    @property
    def reported_usd(self) -> Decimal | None:
        """The cost that the provider reported, in USD; None if it reported none."""
        return None if self.settle is None else self.settle.reported_cost_usd

    @property
    def completion(self) -> Completion | None:
        """The model's answer, parsed from the recorded response; None if there is no response or no answer."""
        try:
            body = None if self.settle is None else self.settle.body
            return None if body is None else read_completion(decode_response(body))
        except (JournalError, ValueError):
            return None


@dataclass
class RecordedRouterCall:
    """One recorded LLM call of the router's own, as far as it got."""

    attempts: list[RecordedAttempt] = field(default_factory=list)
    failure: OwnFailed | None = None
    """Why the call failed, if it did."""

    @property
    def request_key(self) -> str | None:
        """The key of the request (``Request.key``); None before the first attempt."""
        return self.attempts[0].reserve.request_key if self.attempts else None

    @property
    def answer(self) -> RecordedAttempt | None:
        """The call's successful attempt, if any."""
        return next((attempt for attempt in self.attempts if attempt.answered), None)


@dataclass
class RecordedCommand:
    """One recorded command of the agent, as far as it got."""

    command: str
    observation: Observation | None = None


@dataclass
class RecordedStep:
    """One recorded step, as far as it got."""

    decision: DecisionLine | None = None
    attempts: list[RecordedAttempt] = field(default_factory=list)
    commands: list[RecordedCommand] = field(default_factory=list)
    router_calls: dict[int, RecordedRouterCall] = field(default_factory=dict)
    """The LLM calls that the router made to decide, by number."""
    conversation: Sequence[Mapping[str, Any]] | None = None
    """In an imported run: the messages from this step's answer up to the next call."""

    @property
    def all_attempts(self) -> list[RecordedAttempt]:
        """All attempts of the step: the agent's and those of the router's own calls."""
        return [*self.attempts, *(attempt for call in self.router_calls.values() for attempt in call.attempts)]

    @property
    def answer(self) -> RecordedAttempt | None:
        """The step's successful attempt, if any."""
        return next((attempt for attempt in self.attempts if attempt.answered), None)


@dataclass
class Recording:
    """What the journal's lines say about one trial."""

    case: str
    trial: int
    start: TrialBegins | None = None
    steps: dict[int, RecordedStep] = field(default_factory=dict)
    end: End | None = None
    verdict: VerdictLine | None = None
    lost: TrialRestart | None = None
    """Why the trial was started over, if it was."""
    previous_recordings: tuple[Recording, ...] = ()
    """The trial's recordings before it was started over; what they cost is spent but not part of the bill."""
    at: float | None = None
    """When the trial's last line was written, in seconds since 1970."""

    def start_over(self) -> None:
        """Begin the recording anew, in place: what was recorded so far moves to ``earlier``."""
        before = replace(self, previous_recordings=())
        vars(self).update(
            vars(Recording(self.case, self.trial, previous_recordings=(*self.previous_recordings, before)))
        )

    @property
    def answers(self) -> list[RecordedAttempt]:
        """The successful attempts of the steps, in order."""
        found = [self.steps[number].answer for number in sorted(self.steps)]
        return [answer for answer in found if answer is not None]

    @property
    def usage(self) -> Usage:
        """The billed tokens of all answers."""
        return sum((billed for answer in self.answers if (billed := answer.usage) is not None), Usage())

    @property
    def models(self) -> dict[str, int]:
        """How many answers each candidate gave."""
        return dict(Counter(answer.reserve.candidate for answer in self.answers))

    @property
    def router_answers(self) -> list[RecordedAttempt]:
        """The successful attempts of the router's own calls."""
        calls = [call.answer for step in self.steps.values() for call in step.router_calls.values()]
        return [answer for answer in calls if answer is not None]

    @property
    def router_usd(self) -> Decimal:
        """The cost of the responses that the router received to its own LLM calls, in USD."""
        return sum((answer.cost_usd for answer in self.router_answers), Decimal(0))

    @property
    def router_errors(self) -> list[str]:
        """Why the router failed to take decisions, in order: each ended the case, or another candidate answered.

        Also where the provider found that the candidate which was chosen cannot take the prompt.
        """
        found = {}
        for number, step in sorted(self.steps.items()):
            decision = step.decision
            if decision is not None and (error := decision.error or decision.router_error) is not None:
                found[number] = f"step {number}: {error}"
        last = max(self.steps, default=0)
        if self.end is not None and self.end.cause is Cause.router and last not in found:
            found[last] = f"step {last}: {self.end.detail}"
        return list(found.values())

    @property
    def is_simulated(self) -> bool:
        """Whether any response of the trial says that a simulated model gave it."""
        attempts = (attempt for step in self.steps.values() for attempt in step.all_attempts)
        said = any(attempt.settle is not None and attempt.settle.simulated for attempt in attempts)
        return said or any(recording.is_simulated for recording in self.previous_recordings)

    @property
    def reported_usd(self) -> Decimal | None:
        """The provider's reported cost of all answers in USD; None unless it reported a cost for every answer."""
        told = [answer.reported_usd for answer in (*self.answers, *self.router_answers)]
        known = [usd for usd in told if usd is not None]
        return sum(known, Decimal(0)) if known and len(known) == len(told) else None

    @property
    def cost_usd(self) -> Decimal:
        """The cost in USD of the responses that the agent received, and of those to the router's own calls."""
        return sum((answer.cost_usd for answer in self.answers), self.router_usd)

    @property
    def spend_usd(self) -> Decimal:
        """What was paid for all attempts in USD, including attempts in flight (at their reservation) and recordings
        that were started over.
        """
        attempts = (attempt for step in self.steps.values() for attempt in step.all_attempts)
        earlier = sum((recording.spend_usd for recording in self.previous_recordings), Decimal(0))
        return sum((attempt.spent_usd for attempt in attempts), earlier)


def read_recordings(entries: Iterable[Entry]) -> dict[tuple[str, int], Recording]:
    """Return the recording of every trial in a journal, by case and trial number.

    Raises:
        JournalError: the lines are inconsistent, though their hash chain is intact.
    """
    of = _name_of(entries)
    of_trials = (entry for entry in entries if "case" in entry.fields and "trial" in entry.fields)
    return recordings_from_lines((NumberedLine(entry.number, _read_trial_line(entry, of)) for entry in of_trials), of)


def recordings_from_lines(
    lines: Iterable[NumberedLine[TrialLine]], journal_name: str = _JOURNAL
) -> dict[tuple[str, int], Recording]:
    """Like ``read_recordings``, from lines that were read already; ``journal_name`` is the journal's name in error
    messages.
    """
    found: dict[tuple[str, int], Recording] = {}
    for each in lines:
        line = each.line
        name = (line.case, line.trial)
        recording = found.setdefault(name, Recording(*name))
        if isinstance(line, TrialBegins) and recording.lost is not None:
            recording.start_over()
        recording.at = line.at
        try:
            add_line(recording, line)
        except IndexError:
            what = f"a line of kind {line.kind} without the line that must come before it"
            raise JournalError(f"{journal_name}, line {each.number}: {what}") from None
    return found


def lines_of_kinds(entries: Iterable[Entry], *kinds: type[Kind]) -> Iterator[NumberedLine[Kind]]:
    """Yield the lines of the given kinds.

    Raises:
        JournalError: a line lacks a field of its kind or has an invalid one.
    """
    names, of = {kind.kind for kind in kinds}, _name_of(entries)
    for entry in entries:
        if entry.kind in names:
            line = _read_entry(entry, of)
            assert isinstance(line, kinds)  # noqa: S101 - their kinds say so
            yield NumberedLine(entry.number, line)


def _name_of(entries: Iterable[Entry]) -> str:
    return str(entries.path) if isinstance(entries, Entries) else _JOURNAL


def _read_entry(entry: Entry, of: str) -> Line | None:
    try:
        return read_line(entry.kind, entry.fields)
    except LineError as error:
        raise JournalError(f"{of}, line {entry.number}: a line of kind {entry.kind} {error}") from None


def _read_trial_line(entry: Entry, of: str) -> TrialLine:
    line = _read_entry(entry, of)
    if not isinstance(line, TrialLine):
        what = f"a line of kind {entry.kind}, which does not belong to a trial"
        raise JournalError(f"{of}, line {entry.number}: {what}")
    return line


def add_line(recording: Recording, line: TrialLine) -> None:
    """Add a journal line to a recording.

    Raises:
        IndexError: a line that must come before it is missing.
    """
    match line:  # the most frequent kinds first: the cases are tried in this order for every line
        case Settle(own=0):
            _get_or_add_step(recording, line.step).attempts[line.attempt - 1].settle = line
        case Reserve(own=0):
            _get_or_add_step(recording, line.step).attempts.append(RecordedAttempt(line))
        case DecisionLine():
            _get_or_add_step(recording, line.step).decision = line
        case CommandLine():
            _get_or_add_step(recording, line.step).commands.append(RecordedCommand(line.command))
        case Observation():
            _get_or_add_step(recording, line.step).commands[line.index].observation = line
        case Reserve() | Settle() | OwnFailed():
            _add_router_call_line(
                _get_or_add_step(recording, line.step).router_calls.setdefault(line.own, RecordedRouterCall()), line
            )
        case Conversation():
            _get_or_add_step(recording, line.step).conversation = line.messages
        case TrialBegins():
            recording.start = line
        case End():
            recording.end = line
        case VerdictLine():
            recording.verdict = line
        case TrialRestart():
            recording.lost = line
        case _:
            raise NotImplementedError(f"a recording cannot store a line of kind {line.kind}")


def _get_or_add_step(recording: Recording, number: int) -> RecordedStep:
    step = recording.steps.get(number)
    if step is None:
        step = recording.steps[number] = RecordedStep()
    return step


def _add_router_call_line(call: RecordedRouterCall, line: Reserve | Settle | OwnFailed) -> None:
    match line:
        case Reserve():
            call.attempts.append(RecordedAttempt(line))
            call.failure = None  # it is tried again
        case Settle():
            call.attempts[line.attempt - 1].settle = line
        case OwnFailed():
            call.failure = line
