"""Checks whether the lines of a trial can follow from one another: which line must precede which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from dynamic_track.auditing.evidence import Evidence, lines_of_kind
from twinbench.calls.lines import (
    AttemptLine,
    CommandLine,
    Conversation,
    DecisionLine,
    End,
    NumberedLine,
    Observation,
    Reserve,
    Settle,
    TrialBegins,
    TrialLine,
    TrialRestart,
    VerdictLine,
)


class TrialOrder:
    """Reads a trial from its start to its end, line by line."""

    def __init__(self, run: Evidence, lines: Sequence[NumberedLine[TrialLine]]) -> None:
        self._run = run
        self._lines = lines
        self._decisions: dict[int, NumberedLine[DecisionLine]] = {}
        self._answered: dict[int, int] = {}
        """The number of the line with the answer, by step."""
        self._open: dict[tuple[object, ...], int] = {}
        """The number of the line with the reservation, by attempt."""
        self._attempts: dict[tuple[int, int], int] = {}
        self._commands: dict[int, int] = {}
        """The number of commands, by step."""
        self._observed: set[tuple[int, int]] = set()
        self._over: NumberedLine[End] | None = None

    def problems(self) -> Iterator[str]:
        """Yield everything that is impossible, in words."""
        failed_to_begin = sum(1 for _ in takewhile(_is_resumable_end, self._lines))  # no container could be started
        for place, each in enumerate(self._lines):
            line, where = each.line, f"journal, line {each.number}"
            if (place == failed_to_begin) != isinstance(line, TrialBegins):
                yield f"{where}: a trial starts with one line that describes it"
            if self._over is not None and not isinstance(line, VerdictLine):
                yield f"{where}: a line of kind {line.kind} after the end in line {self._over.number}"
            if place and isinstance(self._lines[place - 1].line, TrialRestart):
                yield f"{where}: a line of kind {line.kind} after the trial was stopped in the line before"
            said = self._check_line(each.number, line)
            if said is not None:
                step = getattr(line, "step", None)
                yield f"{where}, step {step}: {said}" if step is not None else f"{where}: {said}"
        yield from self._check_complete()

    def _check_line(self, number: int, line: TrialLine) -> str | None:
        match line:
            case DecisionLine():
                return self._check_decision(NumberedLine(number, line))
            case Reserve():
                return self._check_reserve(number, line)
            case Settle():
                return self._check_settle(number, line)
            case CommandLine():
                return self._check_command(line)
            case Observation():
                return self._check_observation(line)
            case Conversation():
                return None if line.step in self._answered else "a conversation, but no model answered"
            case End():
                return self._check_end(NumberedLine(number, line))
            case VerdictLine():
                ended = [each.line for each in lines_of_kind(self._lines, End) if each.number < number]
                return None if ended and ended[-1].cause is None else "a verdict, but nothing was submitted"
        return None

    def _check_decision(self, decision: NumberedLine[DecisionLine]) -> str | None:
        line, step = decision.line, decision.line.step
        due = max(self._decisions, default=0) + 1
        previous = self._decisions.get(step - 1)
        self._decisions[step] = decision
        if step != due:
            return f"a decision where that of step {due} is expected"
        if previous is not None and step - 1 not in self._answered:
            return f"a decision, though step {step - 1} was not answered"
        if line.error is None and line.candidate not in self._run.candidates:
            return f"{line.candidate!r} is chosen, which is not in the pool"
        return None

    def _check_reserve(self, number: int, line: Reserve) -> str | None:
        step, name = line.step, (line.step, line.own)
        due = self._attempts.get(name, 0) + 1
        self._attempts[name] = line.attempt
        self._open[attempt_key(line)] = number
        if line.attempt != due:
            return f"attempt {line.attempt} where attempt {due} is expected"
        if line.candidate not in self._run.candidates:
            return f"{line.candidate!r} is called, which is not in the pool"
        if line.own:
            return None
        decision = self._decisions.get(step)
        if decision is None:
            return "a model is called without a decision"
        if step in self._answered:
            return f"a model is called, although line {self._answered[step]} has the answer"
        if decision.line.error is not None:
            return "a model is called, although the router failed"
        if decision.line.candidate != line.candidate:
            return f"{decision.line.candidate} was chosen, but {line.candidate} is called"
        return None

    def _check_settle(self, number: int, line: Settle) -> str | None:
        if self._open.pop(attempt_key(line), None) is None:
            return "an outcome of an attempt that was never started"
        if line.cause is None and not line.own:
            self._answered[line.step] = number
        return None

    def _check_command(self, line: CommandLine) -> str | None:
        before = self._commands.get(line.step, 0)
        self._commands[line.step] = before + 1
        if line.step not in self._answered:
            return "a command, but no model answered"
        if max(self._answered) != line.step:
            return f"a command of this step after the answer of step {max(self._answered)}"
        return None if line.index == before else f"command {line.index + 1} where command {before + 1} is expected"

    def _check_observation(self, line: Observation) -> str | None:
        name = (line.step, line.index)
        if name in self._observed or not 0 <= line.index < self._commands.get(line.step, 0):
            return "an observation of a command that was not given"
        self._observed.add(name)
        ended, said = line.ended or "exited", line.exception_info
        return (
            None
            if (ended == "exited") == (not said)
            else f"a command that ended as {ended!r}, and {said!r} is said of it"
        )

    def _check_end(self, end: NumberedLine[End]) -> str | None:
        cause = end.line.cause
        if end.line.is_final:
            self._over = end
        last = max(self._decisions, default=0)
        if cause is None and last not in self._answered and not self._run.is_imported:
            return "an end by the agent itself, but its last call was not answered"
        return None

    def _check_complete(self) -> Iterator[str]:
        if self._run.is_imported:
            return
        ended = next((each.line for each in reversed(lines_of_kind(self._lines, End))), None)
        by_itself = ended is not None and ended.cause is None
        lost = bool(self._lines) and isinstance(self._lines[-1].line, TrialRestart)
        last = max(self._decisions, default=0)
        for number in self._open.values():
            if ended is not None or lost:
                yield f"journal, line {number}: an attempt that has no outcome"
        for step, decision in self._decisions.items():
            asked = (step, 0) in self._attempts
            if not asked and decision.line.error is None and (step < last or by_itself):
                yield f"journal, line {decision.number}, step {step}: a decision without a call"
        for step, commands in self._commands.items():
            unseen = [index for index in range(commands) if (step, index) not in self._observed]
            went_on = step < max(self._answered, default=0) or self._over is not None
            if unseen and went_on and (ended is None or by_itself):
                yield f"journal, step {step}: command {unseen[0] + 1} was given, but has no observation"
        if by_itself and self._answered:
            yield from self._check_submission()

    def _check_submission(self) -> Iterator[str]:
        submitted = self._over is not None and self._over.line.exit_status == "Submitted"
        last = max(self._answered)
        if submitted and last not in self._commands:
            yield f"journal, step {last}: the agent submitted, but no command did so"


def _is_resumable_end(each: NumberedLine[TrialLine]) -> bool:
    return isinstance(each.line, End) and not each.line.is_final


def attempt_key(line: AttemptLine) -> tuple[object, ...]:
    """Return what distinguishes an attempt from all others of a run."""
    return (line.case, line.trial, line.step, line.own, line.attempt)
