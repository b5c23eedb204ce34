"""Checks whether a run can have written the journal: its hash chain, its cases, the order and the times of its
lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from dynamic_track.auditing.evidence import AuditedTrial, Evidence, Remark, lines_of_kind
from dynamic_track.auditing.trial_order import TrialOrder, attempt_key
from dynamic_track.running.plan_comparison import find_unplanned, missing_trials
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.completion import is_simulated
from twinbench.calls.journal import Entry
from twinbench.calls.lines import (
    CasesLine,
    Line,
    Merge,
    NumberedLine,
    Reserve,
    RunExecution,
    Settle,
    TrialBegins,
    TrialLine,
)
from twinbench.display.wording import format_count

_CLOCK_SLACK_S = 1.0
"""The tolerance for a machine's clock that is set during a run; NTP changes it by less than this."""
_ROUNDING_S = 0.002
"""The tolerance for times, which are written in whole milliseconds."""


def chain(run: Evidence) -> Iterator[Remark]:
    """Find lines that were edited, removed, added or moved without renewing the hash chain."""
    if run.damage is not None:
        yield Remark(None, run.damage)
    yield from _check_merge(run)


def lines(run: Evidence) -> Iterator[Remark]:
    """Find lines that no run writes."""
    yield from run.misshapen


def plan(run: Evidence) -> Iterator[Remark]:
    """Compare the plan and the pool with the first lines of the trials."""
    for problem in run.plan_problems:
        yield Remark(None, problem)
    if run.plan_problems:
        return
    told = run.plan.pool_fingerprint
    if told != run.pool.fingerprint:
        what = f"plan.json: the pool's fingerprint is {told}, that of the pool {run.pool.name} that was read is"
        yield Remark(None, f"{what} {run.pool.fingerprint}")
    if (name := run.plan.pool_name) != run.pool.name:
        yield Remark(None, f"plan.json: the pool's name is {name!r}, that of the pool {run.pool.name!r}")
    division = run.plan.sources.get("division", run.pool.division)
    if division != run.pool.division:
        yield Remark(None, f"plan.json: the division is {division!r}, that of the pool {run.pool.division!r}")
    yield from _check_executions(run)
    for trial in run.each_trial():
        for begin in lines_of_kind(trial.lines, TrialBegins):
            line, place = begin.line, f"journal, line {begin.number}"
            if line.pool != told:
                yield Remark(trial.name, f"{place}: starts with another pool than the plan's")
            if ("imported" in line.model_fields_set) != run.is_imported:
                what = "an imported run" if run.is_imported else "a run that was not imported"
                yield Remark(trial.name, f"{place}: the plan is that of {what}, this trial is not")
            elif not run.is_imported and line.agent != run.plan.agent:
                yield Remark(trial.name, f"{place}: starts with another agent than the plan's")
    yield from _check_one_task_per_case(run)


def simulation(run: Evidence) -> Iterator[Remark]:
    """Find rehearsals that are presented as real runs, or the other way round."""
    for trial, call in run.calls:
        if call.settle is not None and call.settle.line.simulated != is_simulated(call.response):
            what = "the journal says that it is simulated, the response does not"
            if not call.settle.line.simulated:
                what = "the response says that it is simulated, the journal does not"
            yield Remark(trial.name, f"{call.place}: {what}")
            break
    for trial in run.each_trial():
        for call in trial.answers:
            declared = is_simulated(call.response)
            if declared and not run.is_simulated:
                yield Remark(trial.name, f"{call.place}: the response says that it is simulated, the plan does not")
                break
            if run.is_simulated and not declared:
                yield Remark(trial.name, f"{call.place}: the plan says that it is simulated, the response does not")
                break


def missing_case(run: Evidence) -> Iterator[Remark]:
    """Find chosen cases without trials, trials that did not end, and trials of other cases."""
    if run.plan_problems:
        return  # it is unknown which cases the run has; the check ``plan`` says why
    sat = {case for each in run.executions for case in each.line.cases}
    graded = {case for each in run.executions if each.line.graded is True for case in each.line.cases}
    for case, number in missing_trials(run.plan, run.entries, run.trials.keys()):
        yield Remark(case, f"trial {number} was to be run, but no journal line is about it")
    for each in find_unplanned(run.directory, run.plan, run.entries, run.trials.keys()):
        yield Remark(each.case, each.detail)
    for trial in run.each_trial():
        if trial.case not in sat and not run.is_imported:
            yield Remark(trial.name, "is in the journal, but no execution of the run was to run it")
        if trial.end is None:
            yield Remark(trial.name, "was started but did not end: the run is not finished, or lines are missing")
        elif trial.case in graded and trial.end.line.cause is None and trial.verdict is None:
            what = "was to be graded, but has no verdict: the run is not finished, or a line is missing"
            yield Remark(trial.name, what)


def steps(run: Evidence) -> Iterator[Remark]:
    """Check that each line is preceded by the lines that it requires."""
    for trial in run.each_trial():
        if trial.inconsistency is not None:
            yield Remark(trial.name, trial.inconsistency)
        for life in trial.lines_by_start:
            for problem in TrialOrder(run, life).problems():
                yield Remark(trial.name, problem)


def limits(run: Evidence) -> Iterator[Remark]:
    """Find calls beyond the agent's own limits."""
    most, dearest = run.pool.agent.step_limit, run.pool.agent.cost_limit_usd
    for trial in run.each_trial():
        cost = Decimal(0)
        for number, call in enumerate(trial.answers, 1):
            if number > most:
                yield Remark(trial.name, f"{call.place}: an agent makes at most {most} calls")
                break
            if cost >= dearest:
                what = f"an agent whose calls have cost {cost:f} USD makes no further call"
                yield Remark(trial.name, f"{call.place}: {what}")
                break
            assert call.settle is not None  # noqa: S101 - it is answered
            cost += call.settle.line.cost_usd


def time(run: Evidence) -> Iterator[Remark]:
    """Find times that run backwards, and answers that took longer than the time that passed."""
    slack = _ROUNDING_S if run.is_simulated else _CLOCK_SLACK_S
    for trial in run.each_trial():
        for before, after in zip(trial.lines, trial.lines[1:], strict=False):
            if after.line.at < before.line.at - slack:
                back = before.line.at - after.line.at
                yield Remark(trial.name, f"journal, line {after.number}: {back:.3f} s before the line that it follows")
        for call in trial.all_calls:
            latency = None if call.settle is None else call.settle.line.latency_s
            if call.settle is None or latency is None:
                continue
            if run.is_simulated and call.settle.line.status is None:
                continue  # no response declared a time, and a rehearsal does not follow the machine's clock
            passed = call.settle.line.at - call.reserve.line.at
            if latency < 0 or latency > passed + slack:
                yield Remark(trial.name, f"{call.place}: took {latency:g} s, but only {passed:.3f} s passed")
        if not run.is_simulated:
            yield from _commands_in_time(trial)
    if not run.is_simulated:
        for section in sections(run):
            yield from _check_after_execution_start(section.lines)


def budget(run: Evidence) -> Iterator[Remark]:
    """Find reservations below the worst case, and requests that were sent beyond the cap."""
    for trial, call in run.calls:
        candidate = run.candidates.get(call.candidate)
        if call.is_router_llm or candidate is None or call.counted_tokens is None:
            continue
        worst = worst_case_usd(call.counted_tokens, candidate.prices.prices(), candidate.max_tokens)
        reserved = call.reserve.line.reserved_usd
        if reserved != worst:
            what = f"{reserved:f} USD reserved, the worst case of {call.counted_tokens:,} tokens is {worst:f} USD"
            yield Remark(trial.name, f"journal, line {call.reserve.number}, step {call.step}: {what}")
    committed = Decimal(0)
    apart = sections(run)
    for number, section in enumerate(apart, 1):
        open_: dict[tuple[object, ...], Decimal] = {}
        before = committed if number == len(apart) else Decimal(0)  # merged runs had a cap each
        here, cap, overshoot = before, None, Decimal(0)
        for each in section.lines:
            match each.line:
                case RunExecution() as sitting:
                    cap = sitting.run_usd
                case Reserve() as reserve:
                    here += reserve.reserved_usd
                    open_[attempt_key(reserve)] = reserve.reserved_usd
                    if cap is not None and here > cap + overshoot:
                        what = f"with this request up to {here:f} USD may be spent, but the cap is {cap:f} USD"
                        yield Remark(f"{reserve.case}/{reserve.trial}", f"journal, line {each.number}: {what}")
                        cap = None
                case Settle() as settle:
                    reserved = open_.pop(attempt_key(settle), Decimal(0))
                    here += settle.cost_usd - reserved
                    overshoot += max(settle.cost_usd - reserved, Decimal(0))
        committed += here - before


@dataclass(frozen=True)
class Section:
    """The lines of one of the runs that were merged, or those after the merge."""

    lines: Sequence[NumberedLine[Line]]
    cases: Sequence[str]
    """The cases that the section's ``plan.json`` lists."""


def sections(run: Evidence) -> list[Section]:
    """Return the lines of each run that was merged, and those after the merge; all lines if nothing was merged."""
    return _sections(run.lines, run.plan.cases)


def _sections(lines: Sequence[NumberedLine[Line]], cases: Sequence[str]) -> list[Section]:
    if not lines or not isinstance(merge := lines[0].line, Merge):
        return [Section(lines, cases)]
    *parts, rest = _parts(lines[0].number, merge, lines)
    of_sources = [
        section for source, part in zip(merge.sources, parts, strict=True) for section in _sections(part, source.cases)
    ]
    return [*of_sources, Section(rest, cases)]


_Line = TypeVar("_Line", Entry, NumberedLine[Line])


def _parts(number: int, merge: Merge, lines: Sequence[_Line]) -> list[list[_Line]]:
    """Return the lines of each source of a merge (which has the given line number), followed by the lines after
    them.
    """
    found: list[list[_Line]] = []
    end = number
    for source in merge.sources:
        found.append([line for line in lines if end < line.number <= end + source.lines])
        end += source.lines
    found.append([line for line in lines if line.number > end])
    return found


def _commands_in_time(trial: AuditedTrial) -> Iterator[Remark]:
    for command, observation in trial.commands:
        seconds = None if observation is None else observation.line.seconds
        if observation is None or seconds is None:
            continue
        passed = observation.line.at - command.line.at
        if seconds < 0 or seconds > passed + _CLOCK_SLACK_S:
            what = f"the command took {seconds:g} s, but only {passed:.3f} s passed"
            yield Remark(trial.name, f"journal, line {observation.number}, step {command.line.step}: {what}")


def _check_after_execution_start(section: Sequence[NumberedLine[Line]]) -> Iterator[Remark]:
    begun: NumberedLine[RunExecution] | None = None
    for each in section:
        line = each.line
        if begun is not None and isinstance(line, CasesLine | TrialLine) and line.at < begun.line.at - _CLOCK_SLACK_S:
            about = f"{line.case}/{line.trial}" if isinstance(line, TrialLine) else None
            what = f"was written before the execution in line {begun.number} began"
            yield Remark(about, f"journal, line {each.number}: {what}")
            return
        if isinstance(line, RunExecution):
            begun = NumberedLine(each.number, line)


def _check_executions(run: Evidence) -> Iterator[Remark]:
    """Find executions that began with another ``plan.json``, or with another number of trials."""
    trials = run.plan.trials
    for section in sections(run):
        if lost := [case for case in section.cases if case not in run.plan.cases]:
            yield Remark(lost[0], "was merged, but is not in plan.json")
    for section in sections(run):
        for sitting in lines_of_kind(section.lines, RunExecution):
            if sitting.line.plan != run.plan.fingerprint_with(section.cases):
                yield Remark(None, f"journal, line {sitting.number}: the execution began with another plan.json")
            if sitting.line.trials != trials:
                what = f"{format_count(sitting.line.trials, 'trial')} a case, plan.json has {trials}"
                yield Remark(None, f"journal, line {sitting.number}: {what}")


def _check_one_task_per_case(run: Evidence) -> Iterator[Remark]:
    """Check that all trials of a case have the same task."""
    first: dict[str, NumberedLine[TrialBegins]] = {}
    for trial in run.each_trial():
        for begin in lines_of_kind(trial.lines, TrialBegins):
            known = first.setdefault(trial.case, begin)
            if known.line.task != begin.line.task:
                yield Remark(trial.name, f"journal, line {begin.number}: has another task than line {known.number}")


def _check_merge(run: Evidence) -> Iterator[Remark]:
    """Check that the lines of a merged run give the hash chains that its first line names."""
    if run.damage is not None or run.misshapen or not run.lines or not isinstance(merge := run.lines[0].line, Merge):
        return
    for source, part in zip(merge.sources, _parts(run.lines[0].number, merge, run.entries), strict=False):
        prev = "0" * 64
        for number, entry in enumerate(part, 1):
            record = {"fields": entry.fields, "kind": entry.kind, "number": number, "prev": prev}
            body = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
            prev = hashlib.sha256(body.encode()).hexdigest()
        if source.sha256 not in (prev, None):
            what = f"the lines of {source.run} are not those that were merged: their hash chain ends differently"
            yield Remark(None, f"journal, line 1: {what}")
