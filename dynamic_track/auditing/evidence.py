"""A run as an audit reads it: plan, journal and files, without trusting any of them.

A journal line that lacks the fields of its kind is ignored by all checks except the one that reports it, so that one
edit does not hide another.
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
    AttemptLine,
    CommandLine,
    DecisionLine,
    End,
    Line,
    LineError,
    NumberedLine,
    Observation,
    Reserve,
    RunExecution,
    Settle,
    TrialBegins,
    TrialLine,
    TrialRestart,
    VerdictLine,
    read_line,
)
from twinbench.calls.recording import Recording, recordings_from_lines
from twinbench.calls.response_json import decode_response
from twinbench.errors import ContentError, JournalError
from twinbench.reading.input_files import InputError, read_regular
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate, LiveManifest

Kind = TypeVar("Kind", bound=Line)


@dataclass(frozen=True)
class Remark:
    """What a check reports about a case; the name of the check is added when the finding is made."""

    case: str | None
    """The case, or the case and its trial as ``id/trial``; None: the run as a whole."""
    detail: str
    """What was found, and where."""
    value: float | None = None
    """The impossible number, if the remark is about one."""


@dataclass
class AuditedCall:
    """One attempt at a call of a model, with its journal lines."""

    reserve: NumberedLine[Reserve]
    decision: NumberedLine[DecisionLine] | None
    """None for the router's own LLM calls, and if the line is missing."""
    settle: NumberedLine[Settle] | None = None

    @property
    def step(self) -> int:
        """The step of the trial."""
        return self.reserve.line.step

    @property
    def is_router_llm(self) -> bool:
        """Whether it is one of the router's own LLM calls."""
        return bool(self.reserve.line.own)

    @property
    def candidate(self) -> str:
        """The requested candidate."""
        return self.reserve.line.candidate

    @property
    def answered(self) -> bool:
        """Whether the attempt got an answer."""
        return self.settle is not None and self.settle.line.cause is None

    @property
    def place(self) -> str:
        """The place in the journal where its outcome is recorded."""
        line = (self.settle or self.reserve).number
        return f"journal, line {line}, step {self.step}" + (
            ", one of the router's own LLM calls" if self.is_router_llm else ""
        )

    @property
    def usage(self) -> Usage | None:
        """The billed usage, according to the journal."""
        return None if self.settle is None else self.settle.line.usage

    @property
    def prompt_tokens(self) -> int | None:
        """The billed tokens of the whole prompt."""
        usage = self.usage
        return None if usage is None else usage.prompt_tokens

    @property
    def counted_tokens(self) -> int | None:
        """The tokens of the prompt as twinbench counted them before the request was sent."""
        if self.decision is None:
            return None
        counted = self.decision.line.prompt_tokens.get(self.candidate)
        return counted if isinstance(counted, int) else None

    @cached_property
    def body(self) -> bytes | None:
        """The response as it arrived."""
        return None if self.settle is None else self.settle.line.body

    @cached_property
    def response(self) -> Mapping[str, Any]:
        """The response as a JSON object; empty if it is not one."""
        try:
            content = decode_response(self.body or b"{}")
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    @cached_property
    def message(self) -> AssistantMessage:
        """The answer in the response; empty if there is none."""
        completion = read_completion(self.response)
        return AssistantMessage(content=None) if completion is None else completion.message


@dataclass
class AuditedTrial:
    """One trial of a case."""

    case: str
    trial: int
    folder: Path
    lines: list[NumberedLine[TrialLine]] = field(default_factory=list)
    """Its journal lines, as far as they can be read."""
    calls_by_start: list[list[AuditedCall]] = field(default_factory=lambda: [[]])
    """Its calls, in one list for each time that the trial was started."""
    recording: Recording | None = None
    """None if its lines are not consistent."""
    inconsistency: str | None = None
    """Why its lines are not consistent."""

    @property
    def name(self) -> str:
        """Its name in findings."""
        return f"{self.case}/{self.trial}"

    @property
    def calls(self) -> list[AuditedCall]:
        """The calls since the last start, which are those that count."""
        return self.calls_by_start[-1]

    @property
    def all_calls(self) -> list[AuditedCall]:
        """The calls of all starts."""
        return [call for life in self.calls_by_start for call in life]

    @property
    def answers(self) -> list[AuditedCall]:
        """The agent's calls that were answered."""
        return [call for call in self.calls if call.answered and not call.is_router_llm]

    @property
    def lines_by_start(self) -> list[list[NumberedLine[TrialLine]]]:
        """Its lines, in one list for each time that the trial was started."""
        lives: list[list[NumberedLine[TrialLine]]] = [[]]
        for each in self.lines:
            if isinstance(each.line, TrialBegins) and lives[-1] and isinstance(lives[-1][-1].line, TrialRestart):
                lives.append([])
            lives[-1].append(each)
        return lives

    def lines_of_kind(self, kind: type[Kind]) -> list[NumberedLine[Kind]]:
        """Return the lines of a kind since the last start."""
        return lines_of_kind(self.lines_by_start[-1], kind)

    @property
    def begin(self) -> TrialBegins | None:
        """The content of its first line."""
        return next((each.line for each in self.lines_of_kind(TrialBegins)), None)

    @property
    def end(self) -> NumberedLine[End] | None:
        """The last line about the agent's end."""
        return next(iter(reversed(self.lines_of_kind(End))), None)

    @property
    def verdict(self) -> NumberedLine[VerdictLine] | None:
        """The last verdict of the grader."""
        return next(iter(reversed(self.lines_of_kind(VerdictLine))), None)

    @property
    def patch(self) -> str:
        """The submitted patch."""
        return "" if self.end is None else self.end.line.diff

    @property
    def commands(self) -> list[tuple[NumberedLine[CommandLine], NumberedLine[Observation] | None]]:
        """Each command of all starts, with its observation if there is one."""
        found: list[tuple[NumberedLine[CommandLine], NumberedLine[Observation] | None]] = []
        for life in self.lines_by_start:
            seen = {(each.line.step, each.line.index): each for each in lines_of_kind(life, Observation)}
            found += [(each, seen.get((each.line.step, each.line.index))) for each in lines_of_kind(life, CommandLine)]
        return found

    def file(self, name: str) -> bytes | None:
        """Return the content of a file of the trial; None if there is no such file."""
        try:
            return read_regular(self.folder / name)
        except (OSError, InputError):  # also if a pipe or a folder has its name
            return None

    def json(self, name: str) -> Mapping[str, Any] | str | None:
        """Return a file as a JSON object; an error text if it is not one, None if there is no such file."""
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
    """Everything that a run directory contains."""

    directory: RunDirectory
    plan: RunPlan
    """Empty if it cannot be read."""
    plan_problems: Sequence[str]
    pool: LiveManifest
    entries: Sequence[Entry]
    """The journal lines that have the fields of their kind, and those of unknown kinds."""
    lines: Sequence[NumberedLine[Line]]
    """The same lines, without those of unknown kinds."""
    damage: str | None
    """What is wrong with the journal's hash chain."""
    torn: str | None
    """A remark about an incomplete last line."""
    misshapen: Sequence[Remark]
    trials: Mapping[tuple[str, int], AuditedTrial]

    @property
    def is_simulated(self) -> bool:
        """Whether the plan says that the run is a rehearsal."""
        return self.plan.is_simulated

    @property
    def is_imported(self) -> bool:
        """Whether the plan says that the run was imported from an agent's files."""
        return self.plan.is_imported

    @cached_property
    def candidates(self) -> Mapping[str, LiveCandidate]:
        """The pool's candidates, by id."""
        return {candidate.id: candidate for candidate in self.pool.candidates}

    @property
    def executions(self) -> list[NumberedLine[RunExecution]]:
        """The lines that say which trials an execution of the run was to run."""
        return lines_of_kind(self.lines, RunExecution)

    def each_trial(self) -> Iterator[AuditedTrial]:
        """Yield the trials."""
        yield from self.trials.values()

    @property
    def calls(self) -> list[tuple[AuditedTrial, AuditedCall]]:
        """All calls of all trials."""
        return [(trial, call) for trial in self.each_trial() for call in trial.all_calls]


def read_evidence(directory: RunDirectory, pool: LiveManifest) -> Evidence:
    """Read a run directory for an audit.

    Raises:
        UsageError: it is not a run directory.
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
        entries = _read_damaged_journal(directory.journal / JOURNAL_FILE)
    misshapen: list[Remark] = []
    sound: list[Entry] = []
    lines: list[NumberedLine[Line]] = []
    for entry in entries:
        line = _read_line(entry)
        if isinstance(line, str):
            case = entry.fields.get("case")
            misshapen.append(Remark(case if isinstance(case, str) else None, line))
            continue
        sound.append(entry)
        if line is not None:
            lines.append(NumberedLine(entry.number, line))
    trials = _trials(directory, lines_of_kind(lines, TrialLine))
    return Evidence(directory, plan, problems, pool, sound, lines, damage, torn, misshapen, trials)


def _read_damaged_journal(path: Path) -> list[Entry]:
    """Return the lines of a damaged journal that can be read at all."""
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


def _trials(directory: RunDirectory, lines: Sequence[NumberedLine[TrialLine]]) -> dict[tuple[str, int], AuditedTrial]:
    found: dict[tuple[str, int], AuditedTrial] = {}
    for each in lines:
        name = (each.line.case, each.line.trial)
        found.setdefault(name, AuditedTrial(*name, directory.trial_folder(*name))).lines.append(each)
    for name, trial in found.items():
        trial.calls_by_start = [_calls(life) for life in trial.lines_by_start]
        try:
            trial.recording = recordings_from_lines(trial.lines)[name]
        except JournalError as error:
            trial.inconsistency = str(error)
    return found


def _calls(life: Sequence[NumberedLine[TrialLine]]) -> list[AuditedCall]:
    decisions = {each.line.step: each for each in lines_of_kind(life, DecisionLine)}
    calls: list[AuditedCall] = []
    open_: dict[tuple[int, int, int], AuditedCall] = {}
    for each in lines_of_kind(life, AttemptLine):
        line = each.line
        key = (line.step, line.own, line.attempt)
        if isinstance(line, Reserve):
            call = AuditedCall(NumberedLine(each.number, line), None if line.own else decisions.get(line.step))
            calls.append(call)
            open_[key] = call
        elif isinstance(line, Settle) and key in open_:
            open_.pop(key).settle = NumberedLine(each.number, line)
    return calls


def lines_of_kind(lines: Iterable[NumberedLine[Line]], kind: type[Kind]) -> list[NumberedLine[Kind]]:
    """Return the lines of a kind."""
    return [NumberedLine(each.number, each.line) for each in lines if isinstance(each.line, kind)]


def _read_line(entry: Entry) -> Line | str | None:
    """Return a journal line; an error text if it lacks the fields of its kind; None for an unknown kind that is not
    about a trial.
    """
    try:
        line = read_line(entry.kind, entry.fields, unpack=True)
    except LineError as error:
        return f"journal, line {entry.number}: a line of kind {entry.kind} {error}"
    if line is None and "case" in entry.fields:
        return f"journal, line {entry.number}: {entry.kind!r} is not a known kind of line about a trial"
    return line
