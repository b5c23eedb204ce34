"""Whether a journal is one that a run can have written: its chain, its cases, the order and the time of its lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dynamic_track.auditing.evidence import AuditedTrial, Evidence, Remark
from dynamic_track.running.planned import missing_trials, unplanned
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.journal import Entry
from twinbench.causes import CAUSES, Cause, Counts
from twinbench.display.wording import counted

_CLOCK_SLACK_S = 1.0
"""A machine's clock is set while a run goes on; NTP steps by less than that."""
_ROUNDING_S = 0.002
"""Times are written in whole milliseconds."""


def chain(run: Evidence) -> Iterator[Remark]:
    """Lines edited, removed, added or moved without making the chain again."""
    if run.damage is not None:
        yield Remark(None, run.damage)
    yield from _merged(run)


def lines(run: Evidence) -> Iterator[Remark]:
    """Lines that no run writes."""
    for _, remark in run.misshapen:
        yield remark


def plan(run: Evidence) -> Iterator[Remark]:
    """Plan, pool and the lines that trials begin with."""
    for problem in run.plan_problems:
        yield Remark(None, problem)
    if run.plan_problems:
        return
    told = run.plan.pool_fingerprint
    if told != run.pool.fingerprint:
        what = f"plan.json: the pool's fingerprint is {told}, the pool {run.pool.name} that is read has"
        yield Remark(None, f"{what} {run.pool.fingerprint}")
    if (name := run.plan.pool_name) != run.pool.name:
        yield Remark(None, f"plan.json: the pool's name is {name!r}, that of the pool {run.pool.name!r}")
    division = run.plan.where.get("division", run.pool.division)
    if division != run.pool.division:
        yield Remark(None, f"plan.json: the division is {division!r}, that of the pool {run.pool.division!r}")
    yield from _sittings_of_the_plan(run)
    for trial in run.each():
        for entry in trial.entries:
            if entry.kind != "trial":
                continue
            if entry.fields["pool"] != told:
                yield Remark(trial.name, f"journal, line {entry.number}: begins with another pool than the plan's")
            if ("imported" in entry.fields) != run.is_imported:
                what = "an imported run" if run.is_imported else "none that was imported"
                yield Remark(trial.name, f"journal, line {entry.number}: the plan is of {what}, this trial is not")
            elif not run.is_imported and entry.fields.get("agent") != run.plan.agent:
                yield Remark(trial.name, f"journal, line {entry.number}: begins with another agent than the plan's")
    yield from _one_task_each(run)


def simulation(run: Evidence) -> Iterator[Remark]:
    """A rehearsal that passes for a run, or the other way round."""
    for trial in run.each():
        for call in trial.answers:
            declared = isinstance(call.response.get("simulated"), dict)
            if declared and not run.is_simulated:
                yield Remark(trial.name, f"{call.place}: the response says that it is simulated, the plan does not")
                break
            if run.is_simulated and not declared:
                yield Remark(trial.name, f"{call.place}: the plan says that it is simulated, the response does not")
                break


def missing_case(run: Evidence) -> Iterator[Remark]:
    """Cases that the run is of and that have no trial, trials that did not end, and trials of other cases."""
    if run.plan_problems:
        return  # nobody can tell which cases the run is of; ``plan`` says why
    sat = {case for each in run.sittings for case in each.fields["cases"]}
    graded = {case for each in run.sittings if each.fields.get("graded") is True for case in each.fields["cases"]}
    for case, number in missing_trials(run.plan, run.entries, run.trials.keys()):
        yield Remark(case, f"trial {number} was to be run, and no line of the journal is about it")
    for each in unplanned(run.directory, run.plan, run.entries, run.trials.keys()):
        yield Remark(each.case, each.detail)
    for trial in run.each():
        if trial.case not in sat and not run.is_imported:
            yield Remark(trial.name, "is in the journal, and no sitting was to run it")
        if trial.end is None:
            yield Remark(trial.name, "was begun and did not end: the run is not over, or lines are missing")
        elif trial.case in graded and trial.end.fields["cause"] is None and trial.verdict is None:
            yield Remark(trial.name, "was to be graded, and has no verdict: the run is not over, or a line is missing")


def steps(run: Evidence) -> Iterator[Remark]:
    """What has to stand before what."""
    for trial in run.each():
        if trial.broken is not None:
            yield Remark(trial.name, trial.broken)
        for life in trial.lives_of_entries:
            for problem in _Life(run, trial, life).problems():
                yield Remark(trial.name, problem)


def limits(run: Evidence) -> Iterator[Remark]:
    """Calls beyond the agent's own limits."""
    most, dearest = run.pool.agent.step_limit, run.pool.agent.cost_limit_usd
    for trial in run.each():
        cost = Decimal(0)
        for number, call in enumerate(trial.answers, 1):
            if number > most:
                yield Remark(trial.name, f"{call.place}: an agent makes {most} calls at most")
                break
            if cost >= dearest:
                yield Remark(trial.name, f"{call.place}: an agent whose calls have cost {cost:f} USD makes no other")
                break
            assert call.settle is not None  # noqa: S101 - it is answered
            cost += Decimal(call.settle.fields["cost_usd"])


def time(run: Evidence) -> Iterator[Remark]:
    """Times that run backwards, answers that took longer than there was time."""
    slack = _ROUNDING_S if run.is_simulated else _CLOCK_SLACK_S
    for trial in run.each():
        for before, after in zip(trial.entries, trial.entries[1:], strict=False):
            if after.fields["at"] < before.fields["at"] - slack:
                back = before.fields["at"] - after.fields["at"]
                yield Remark(trial.name, f"journal, line {after.number}: {back:.3f} s before the line that it follows")
        for call in trial.all_calls:
            latency = None if call.settle is None else call.settle.fields["latency_s"]
            if call.settle is None or latency is None:
                continue
            if run.is_simulated and call.settle.fields["status"] is None:
                continue  # no response declared a time, and the machine's own does not pass in a rehearsal
            passed = call.settle.fields["at"] - call.reserve.fields["at"]
            if latency < 0 or latency > passed + slack:
                yield Remark(trial.name, f"{call.place}: took {latency:g} s, and {passed:.3f} s passed meanwhile")
        if not run.is_simulated:
            yield from _commands_in_time(trial)
    if not run.is_simulated:
        for section in sections(run):
            yield from _after_its_sitting(section.entries)


def budget(run: Evidence) -> Iterator[Remark]:
    """Reservations that are no worst case, and requests sent beyond the cap."""
    for trial, call in run.calls:
        candidate = run.candidates.get(call.candidate)
        if call.is_own or candidate is None or call.counted_tokens is None:
            continue
        worst = worst_case_usd(call.counted_tokens, candidate.prices.prices(), candidate.max_tokens)
        reserved = Decimal(call.reserve.fields["reserved_usd"])
        if reserved != worst:
            what = f"{reserved:f} USD reserved, the worst case of {call.counted_tokens:,} tokens is {worst:f} USD"
            yield Remark(trial.name, f"journal, line {call.reserve.number}, step {call.step}: {what}")
    committed = Decimal(0)
    apart = sections(run)
    for number, section in enumerate(apart, 1):
        open_: dict[tuple[object, ...], Decimal] = {}
        before = committed if number == len(apart) else Decimal(0)  # merged runs had a cap each
        here, cap, overshoot = before, None, Decimal(0)
        for entry in section.entries:
            fields = entry.fields
            if entry.kind == "sitting":
                cap = None if fields["run_usd"] is None else Decimal(fields["run_usd"])
            elif entry.kind == "reserve":
                here += Decimal(fields["reserved_usd"])
                open_[_attempt(fields)] = Decimal(fields["reserved_usd"])
                if cap is not None and here > cap + overshoot:
                    what = f"with this request {here:f} USD are spent or may be, and the cap is {cap:f} USD"
                    yield Remark(f"{fields['case']}/{fields['trial']}", f"journal, line {entry.number}: {what}")
                    cap = None
            elif entry.kind == "settle":
                reserved, cost = open_.pop(_attempt(fields), Decimal(0)), Decimal(fields["cost_usd"])
                here += cost - reserved
                overshoot += max(cost - reserved, Decimal(0))
        committed += here - before


@dataclass(frozen=True)
class Section:
    """The lines of one of the runs that were merged, or those after the merge."""

    entries: Sequence[Entry]
    cases: Any
    """Those that the section's ``plan.json`` lists."""


def sections(run: Evidence) -> list[Section]:
    """The lines of each run that was merged, and what came after; all lines where none was."""
    return _sections(run.entries, run.plan.cases)


def _sections(entries: Sequence[Entry], cases: Any) -> list[Section]:
    if not entries or entries[0].kind != "merge":
        return [Section(entries, cases)]
    *parts, rest = _parts(entries)
    of_sources = [
        section
        for source, part in zip(_sources(entries[0]), parts, strict=True)
        for section in _sections(part, source.get("cases"))
    ]
    return [*of_sources, Section(rest, cases)]


def _parts(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The lines of each source of a merge, the first of which tells of it, and at last the lines after them."""
    found = []
    end = entries[0].number
    for source in _sources(entries[0]):
        length = source["lines"]
        found.append([entry for entry in entries if end < entry.number <= end + length])
        end += length
    return [*found, [entry for entry in entries if entry.number > end]]


class _Life:
    """A trial from its beginning to its end, line after line."""

    def __init__(self, run: Evidence, trial: AuditedTrial, entries: Sequence[Entry]) -> None:
        self._run = run
        self._trial = trial
        self._entries = entries
        self._decisions: dict[int, Entry] = {}
        self._answered: dict[int, Entry] = {}
        self._open: dict[tuple[object, ...], Entry] = {}
        self._attempts: dict[tuple[int, object], int] = {}
        self._commands: dict[int, list[Entry]] = {}
        self._observed: set[tuple[int, int]] = set()
        self._over: Entry | None = None

    def problems(self) -> Iterator[str]:
        """What cannot be, in words."""
        for number, entry in enumerate(self._entries):
            place = f"journal, line {entry.number}"
            if (number == 0) != (entry.kind == "trial"):
                yield f"{place}: a trial begins with what it is of, and once"
            if self._over is not None and entry.kind not in ("verdict", "lost"):
                yield f"{place}: a line of kind {entry.kind} after the end in line {self._over.number}"
            step = entry.fields.get("step")
            handled = getattr(self, f"_on_{entry.kind}", None)
            if handled is not None:
                said = handled(entry, step)
                if said is not None:
                    yield f"{place}, step {step}: {said}" if step is not None else f"{place}: {said}"
        yield from self._at_the_end()

    def _on_decision(self, entry: Entry, step: int) -> str | None:
        due = max(self._decisions, default=0) + 1
        previous = self._decisions.get(step - 1)
        self._decisions[step] = entry
        if step != due:
            return f"a decision where that of step {due} is due"
        if previous is not None and step - 1 not in self._answered:
            return f"a decision, though step {step - 1} was not answered"
        candidate = entry.fields["candidate"]
        if entry.fields["error"] is None and candidate not in self._run.candidates:
            return f"{candidate!r} is chosen, which the pool does not have"
        return None

    def _on_reserve(self, entry: Entry, step: int) -> str | None:
        fields = entry.fields
        name = (step, fields.get("own"))
        due = self._attempts.get(name, 0) + 1
        self._attempts[name] = fields["attempt"]
        self._open[_attempt(fields)] = entry
        if fields["attempt"] != due:
            return f"attempt {fields['attempt']} where attempt {due} is due"
        if fields["candidate"] not in self._run.candidates:
            return f"{fields['candidate']!r} is asked, which the pool does not have"
        if "own" in fields:
            return None
        decision = self._decisions.get(step)
        if decision is None:
            return "a model is asked, and nobody decided which"
        if step in self._answered:
            return f"a model is asked, though line {self._answered[step].number} answered"
        if decision.fields["error"] is not None:
            return "a model is asked, though the router failed"
        if decision.fields["candidate"] != fields["candidate"]:
            return f"{decision.fields['candidate']} was chosen, {fields['candidate']} is asked"
        return None

    def _on_settle(self, entry: Entry, step: int) -> str | None:
        fields = entry.fields
        if self._open.pop(_attempt(fields), None) is None:
            return "an outcome of an attempt that was not made"
        if fields["cause"] is None and "own" not in fields:
            self._answered[step] = entry
        return None

    def _on_command(self, entry: Entry, step: int) -> str | None:
        before = self._commands.setdefault(step, [])
        index = entry.fields["index"]
        before.append(entry)
        if step not in self._answered:
            return "a command, and no model answered"
        if max(self._answered) != step:
            return f"a command of this step after the answer of step {max(self._answered)}"
        return None if index == len(before) - 1 else f"command {index + 1} where command {len(before)} is due"

    def _on_observation(self, entry: Entry, step: int) -> str | None:
        index = entry.fields["index"]
        name = (step, index)
        if name in self._observed or not 0 <= index < len(self._commands.get(step, ())):
            return "what came of a command that was not given"
        self._observed.add(name)
        ended, said = entry.fields.get("ended", "exited"), entry.fields["exception_info"]
        return (
            None
            if (ended == "exited") == (not said)
            else f"a command that ended as {ended!r}, and {said!r} is said of it"
        )

    def _on_conversation(self, _entry: Entry, step: int) -> str | None:
        return None if step in self._answered else "a conversation, and no model answered"

    def _on_end(self, entry: Entry, _step: object) -> str | None:
        if _is_over(entry):
            self._over = entry
        cause = entry.fields["cause"]
        last = max(self._decisions, default=0)
        if cause is None and last not in self._answered and not self._run.is_imported:
            return "an end by the agent's own doing, and its last call was not answered"
        return None

    def _on_verdict(self, entry: Entry, _step: object) -> str | None:
        ended = [each for each in self._entries if each.kind == "end" and each.number < entry.number]
        return None if ended and ended[-1].fields["cause"] is None else "a verdict, and nothing was submitted"

    def _at_the_end(self) -> Iterator[str]:
        if self._run.is_imported:
            return
        ended = next((entry for entry in reversed(self._entries) if entry.kind == "end"), None)
        lost = bool(self._entries) and self._entries[-1].kind == "lost"
        last = max(self._decisions, default=0)
        for entry in self._open.values():
            if ended is not None or lost:
                yield f"journal, line {entry.number}: an attempt that has no outcome"
        for step, decision in self._decisions.items():
            asked = any(name == (step, None) for name in self._attempts)
            goes_on = step < last or (ended is not None and ended.fields["cause"] is None)
            if not asked and decision.fields["error"] is None and goes_on:
                yield f"journal, line {decision.number}, step {step}: a decision, and no call was made of it"
        for step, commands in self._commands.items():
            unseen = [index for index in range(len(commands)) if (step, index) not in self._observed]
            if unseen and (step < max(self._answered, default=0) or self._over is not None) and not _failed(ended):
                yield f"journal, step {step}: command {unseen[0] + 1} was given, and nothing came of it"
        if ended is not None and ended.fields["cause"] is None and self._answered:
            yield from self._without_commands()

    def _without_commands(self) -> Iterator[str]:
        submitted = self._over is not None and self._over.fields["exit_status"] == "Submitted"
        last = max(self._answered)
        if submitted and last not in self._commands:
            yield f"journal, step {last}: the agent submitted, and no command did so"


def _failed(end: Entry | None) -> bool:
    return end is not None and end.fields["cause"] is not None


def _is_over(end: Entry) -> bool:
    cause = end.fields["cause"]
    return cause is None or CAUSES[Cause(cause)].counts is Counts.unresolved


def _attempt(fields: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(fields.get(name) for name in ("case", "trial", "step", "own", "attempt"))


def _commands_in_time(trial: AuditedTrial) -> Iterator[Remark]:
    for command, observation in trial.commands:
        seconds = None if observation is None else observation.fields.get("seconds")
        if observation is None or not isinstance(seconds, int | float):
            continue
        passed = observation.fields["at"] - command.fields["at"]
        if seconds < 0 or seconds > passed + _CLOCK_SLACK_S:
            what = f"the command took {seconds:g} s, and {passed:.3f} s passed meanwhile"
            yield Remark(trial.name, f"journal, line {observation.number}, step {command.fields['step']}: {what}")


def _after_its_sitting(section: Sequence[Entry]) -> Iterator[Remark]:
    begun: Entry | None = None
    for entry in section:
        if begun is not None and "at" in entry.fields and entry.fields["at"] < begun.fields["at"] - _CLOCK_SLACK_S:
            about = f"{entry.fields['case']}/{entry.fields['trial']}" if "case" in entry.fields else None
            what = f"was written before the sitting in line {begun.number} began"
            yield Remark(about, f"journal, line {entry.number}: {what}")
            return
        if entry.kind == "sitting":
            begun = entry


def _sittings_of_the_plan(run: Evidence) -> Iterator[Remark]:
    """Sittings that began with another ``plan.json``, or with another number of trials."""
    trials = run.plan.trials
    for section in sections(run):
        if lost := [case for case in section.cases if case not in run.plan.cases]:
            yield Remark(lost[0], "was merged, and plan.json does not have it")
    for section in sections(run):
        for sitting in section.entries:
            if sitting.kind != "sitting":
                continue
            if sitting.fields.get("plan") != run.plan.fingerprint_with(section.cases):
                yield Remark(None, f"journal, line {sitting.number}: the sitting began with another plan.json")
            if sitting.fields["trials"] != trials:
                what = f"{counted(sitting.fields['trials'], 'trial')} a case, plan.json has {trials}"
                yield Remark(None, f"journal, line {sitting.number}: {what}")


def _one_task_each(run: Evidence) -> Iterator[Remark]:
    """All trials of a case are of the same task."""
    first: dict[str, Entry] = {}
    for trial in run.each():
        for entry in trial.entries:
            if entry.kind != "trial":
                continue
            known = first.setdefault(trial.case, entry)
            if known.fields.get("task") != entry.fields.get("task"):
                yield Remark(trial.name, f"journal, line {entry.number}: is of another task than line {known.number}")


def _sources(merge: Entry) -> list[Mapping[str, Any]]:
    told = merge.fields.get("sources")
    sources = told if isinstance(told, list) else []
    return [each for each in sources if isinstance(each, dict) and isinstance(each.get("lines"), int)]


def _merged(run: Evidence) -> Iterator[Remark]:
    """Whether the lines of a merged run give the chains that its first line names."""
    if run.damage is not None or not run.entries or run.entries[0].kind != "merge" or run.misshapen:
        return
    for source, part in zip(_sources(run.entries[0]), _parts(run.entries), strict=False):
        prev = "0" * 64
        for number, entry in enumerate(part, 1):
            record = {"fields": entry.fields, "kind": entry.kind, "number": number, "prev": prev}
            body = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
            prev = hashlib.sha256(body.encode()).hexdigest()
        if source.get("sha256") not in (prev, None):
            what = f"the lines of {source.get('run')} are not those that were merged: their chain ends otherwise"
            yield Remark(None, f"journal, line 1: {what}")
