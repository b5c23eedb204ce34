"""A run as an audit reads it: plan, journal and files, none of them trusted.

A line of the journal that does not have what its kind has is left out of everything but the check that names it, so
that one edit does not hide another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.completion import AssistantMessage, read_completion
from twinbench.calls.journal import JOURNAL_FILE, Entry, read_journal
from twinbench.calls.lines import (
    CommandLine,
    Decision,
    End,
    Line,
    LineError,
    Lost,
    Numbered,
    Observation,
    OfAttempt,
    OfTrial,
    Reserve,
    Settle,
    Sitting,
    TrialBegins,
    VerdictLine,
    read_line,
)
from twinbench.calls.recording import Recording, recordings_of
from twinbench.calls.response_json import decode_response
from twinbench.errors import ContentError, JournalError
from twinbench.reading.input_files import InputError, read_regular
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate, LiveManifest

Kind = TypeVar("Kind", bound=Line)


@dataclass(frozen=True)
class Remark:
    """What a check has to say of a case; its name is added where the finding is made."""

    case: str | None
    """The case, or the case and its trial as ``id/trial``; None: of the run as a whole."""
    detail: str
    """What, and where it stands."""
    value: float | None = None
    """The number that cannot be, where there is one."""


@dataclass
class AuditedCall:
    """One attempt at a model, with the lines that tell of it."""

    reserve: Numbered[Reserve]
    decision: Numbered[Decision] | None
    """None for the router's own calls, and where there is none."""
    settle: Numbered[Settle] | None = None

    @property
    def step(self) -> int:
        """Of the trial."""
        return self.reserve.line.step

    @property
    def is_own(self) -> bool:
        """Whether the router made it for itself."""
        return bool(self.reserve.line.own)

    @property
    def candidate(self) -> str:
        """Who was asked."""
        return self.reserve.line.candidate

    @property
    def answered(self) -> bool:
        """Whether it brought an answer."""
        return self.settle is not None and self.settle.line.cause is None

    @property
    def place(self) -> str:
        """Where its outcome stands."""
        line = (self.settle or self.reserve).number
        return f"journal, line {line}, step {self.step}" + (", a call of the router's own" if self.is_own else "")

    @property
    def usage(self) -> Usage | None:
        """What was billed, as the journal has it."""
        return None if self.settle is None else self.settle.line.usage

    @property
    def prompt_tokens(self) -> int | None:
        """The whole prompt, as it was billed."""
        usage = self.usage
        return None if usage is None else usage.prompt_tokens

    @property
    def counted_tokens(self) -> int | None:
        """The prompt as twinbench counted it before it was sent."""
        if self.decision is None:
            return None
        counted = self.decision.line.prompt_tokens.get(self.candidate)
        return counted if isinstance(counted, int) else None

    @cached_property
    def body(self) -> bytes | None:
        """The response as it came."""
        return None if self.settle is None else self.settle.line.body

    @cached_property
    def response(self) -> Mapping[str, Any]:
        """The response as a JSON object; empty where it is none."""
        try:
            content = decode_response(self.body or b"{}")
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def message(self) -> AssistantMessage:
        """The answer in the response; empty where there is none."""
        completion = read_completion(self.response)
        return AssistantMessage(content=None) if completion is None else completion.message


@dataclass
class AuditedTrial:
    """One run of a case."""

    case: str
    trial: int
    folder: Path
    lines: list[Numbered[OfTrial]] = field(default_factory=list)
    """Its lines, as far as they can be read."""
    lives: list[list[AuditedCall]] = field(default_factory=lambda: [[]])
    """Its calls; those before it was started over apart."""
    recording: Recording | None = None
    """None where its lines do not follow from each other."""
    broken: str | None = None
    """Why."""

    @property
    def name(self) -> str:
        """As findings name it."""
        return f"{self.case}/{self.trial}"

    @property
    def calls(self) -> list[AuditedCall]:
        """Those of the life that counts."""
        return self.lives[-1]

    @property
    def all_calls(self) -> list[AuditedCall]:
        """Those of all lives."""
        return [call for life in self.lives for call in life]

    @property
    def answers(self) -> list[AuditedCall]:
        """The agent's calls that were answered."""
        return [call for call in self.calls if call.answered and not call.is_own]

    @property
    def lives_of_lines(self) -> list[list[Numbered[OfTrial]]]:
        """Its lines; those before it was started over apart."""
        lives: list[list[Numbered[OfTrial]]] = [[]]
        for each in self.lines:
            if isinstance(each.line, TrialBegins) and lives[-1] and isinstance(lives[-1][-1].line, Lost):
                lives.append([])
            lives[-1].append(each)
        return lives

    def of_kind(self, kind: type[Kind]) -> list[Numbered[Kind]]:
        """The lines of the life that counts that are of a kind."""
        return of_kind(self.lives_of_lines[-1], kind)

    @property
    def begin(self) -> TrialBegins | None:
        """What it is of."""
        return next((each.line for each in self.of_kind(TrialBegins)), None)

    @property
    def end(self) -> Numbered[End] | None:
        """How the agent ended, at last."""
        return next(iter(reversed(self.of_kind(End))), None)

    @property
    def verdict(self) -> Numbered[VerdictLine] | None:
        """What the grader said, at last."""
        return next(iter(reversed(self.of_kind(VerdictLine))), None)

    @property
    def patch(self) -> str:
        """What was submitted."""
        return "" if self.end is None else self.end.line.diff

    @property
    def commands(self) -> list[tuple[Numbered[CommandLine], Numbered[Observation] | None]]:
        """Each command of all lives, and its observation where there is one."""
        found: list[tuple[Numbered[CommandLine], Numbered[Observation] | None]] = []
        for life in self.lives_of_lines:
            seen = {(each.line.step, each.line.index): each for each in of_kind(life, Observation)}
            found += [(each, seen.get((each.line.step, each.line.index))) for each in of_kind(life, CommandLine)]
        return found

    def file(self, name: str) -> bytes | None:
        """A file of the trial; None where there is none."""
        try:
            return read_regular(self.folder / name)
        except (OSError, InputError):  # also where a pipe or a folder stands in its place
            return None

    def json(self, name: str) -> Mapping[str, Any] | str | None:
        """A file as a JSON object; what is wrong where it is none, None where there is none."""
        content = self.file(name)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        return found if isinstance(found, dict) else "not a JSON object"


@dataclass
class Evidence:
    """All that a run directory holds."""

    directory: RunDirectory
    plan: RunPlan
    """Empty where it cannot be read."""
    plan_problems: Sequence[str]
    pool: LiveManifest
    entries: Sequence[Entry]
    """Lines of the journal that are as their kind is, and those of kinds that are not known."""
    lines: Sequence[Numbered[Line]]
    """The same, without those of kinds that are not known."""
    damage: str | None
    """What is wrong with the journal's chain."""
    torn: str | None
    """What there is to say about its end."""
    misshapen: Sequence[Remark]
    trials: Mapping[tuple[str, int], AuditedTrial]

    @property
    def is_simulated(self) -> bool:
        """Whether the plan says that it is a rehearsal."""
        return self.plan.is_simulated

    @property
    def is_imported(self) -> bool:
        """Whether the plan says that it was brought in from an agent's files."""
        return self.plan.is_imported

    @cached_property
    def candidates(self) -> Mapping[str, LiveCandidate]:
        """Of the pool, by id."""
        return {candidate.id: candidate for candidate in self.pool.candidates}

    @property
    def sittings(self) -> list[Numbered[Sitting]]:
        """The lines that say what a sitting was to run."""
        return of_kind(self.lines, Sitting)

    def each(self) -> Iterator[AuditedTrial]:
        """The trials."""
        yield from self.trials.values()

    @property
    def calls(self) -> list[tuple[AuditedTrial, AuditedCall]]:
        """All calls of all trials."""
        return [(trial, call) for trial in self.each() for call in trial.all_calls]


def read_evidence(directory: RunDirectory, pool: LiveManifest) -> Evidence:
    """Read a run directory for an audit.

    Raises:
        UsageError: it is none.
    """
    problems: list[str] = []
    plan = RunPlan({}, {}, ())
    try:
        plan = directory.plan()
    except ContentError as error:
        problems.append(str(error))
    damage, torn = None, None
    try:
        read = read_journal(directory.journal)
        entries, torn = list(read), read.note
    except JournalError as error:
        damage = str(error)
        entries = _untrusted(directory.journal / JOURNAL_FILE)
    misshapen: list[Remark] = []
    sound: list[Entry] = []
    lines: list[Numbered[Line]] = []
    for entry in entries:
        line = _read(entry)
        if isinstance(line, str):
            case = entry.fields.get("case")
            misshapen.append(Remark(case if isinstance(case, str) else None, line))
            continue
        sound.append(entry)
        if line is not None:
            lines.append(Numbered(entry.number, line))
    trials = _trials(directory, of_kind(lines, OfTrial))
    return Evidence(directory, plan, problems, pool, sound, lines, damage, torn, misshapen, trials)


def _untrusted(path: Path) -> list[Entry]:
    """The lines of a damaged journal that can be read at all."""
    found: list[Entry] = []
    try:
        content = read_regular(path)
    except (OSError, InputError):
        return found
    for number, line in enumerate(content.split(b"\n"), 1):
        try:
            record = json.loads(line)
            entry = Entry(number, record["kind"], record["fields"], record["prev"], record["sha256"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if type(record["kind"]) is str and type(record["fields"]) is dict:
            found.append(entry)
    return found


def _trials(directory: RunDirectory, lines: Sequence[Numbered[OfTrial]]) -> dict[tuple[str, int], AuditedTrial]:
    found: dict[tuple[str, int], AuditedTrial] = {}
    for each in lines:
        name = (each.line.case, each.line.trial)
        found.setdefault(name, AuditedTrial(*name, directory.case(*name))).lines.append(each)
    for name, trial in found.items():
        trial.lives = [_calls(life) for life in trial.lives_of_lines]
        try:
            trial.recording = recordings_of(trial.lines)[name]
        except JournalError as error:
            trial.broken = str(error)
    return found


def _calls(life: Sequence[Numbered[OfTrial]]) -> list[AuditedCall]:
    decisions = {each.line.step: each for each in of_kind(life, Decision)}
    calls: list[AuditedCall] = []
    open_: dict[tuple[int, int, int], AuditedCall] = {}
    for each in of_kind(life, OfAttempt):
        line = each.line
        key = (line.step, line.own, line.attempt)
        if isinstance(line, Reserve):
            call = AuditedCall(Numbered(each.number, line), None if line.own else decisions.get(line.step))
            calls.append(call)
            open_[key] = call
        elif isinstance(line, Settle) and key in open_:
            open_.pop(key).settle = Numbered(each.number, line)
    return calls


def of_kind(lines: Iterable[Numbered[Line]], kind: type[Kind]) -> list[Numbered[Kind]]:
    """Those of some lines that are of a kind."""
    return [Numbered(each.number, each.line) for each in lines if isinstance(each.line, kind)]


def _read(entry: Entry) -> Line | str | None:
    """A line of the journal; a complaint where it is not as its kind is; None for an unknown kind about no trial."""
    try:
        line = read_line(entry.kind, entry.fields, whole=True)
    except LineError as error:
        return f"journal, line {entry.number}: a line of kind {entry.kind} {error}"
    if line is None and "case" in entry.fields:
        return f"journal, line {entry.number}: {entry.kind!r} is no kind of line about a trial"
    return line
