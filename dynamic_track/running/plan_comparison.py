"""Compare the cases that a run was planned for with what its journal and folders contain.

``plan.json`` names the cases that were chosen first. If the same command later chooses others, a line of kind
``widened`` in the journal adds the new ones; cases are never removed. So a missing case was lost or deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.journal import Entry, Journal
from twinbench.calls.lines import CasesAdded, RunExecution
from twinbench.calls.recording import lines_of_kinds
from twinbench.display.wording import format_count


@dataclass(frozen=True)
class UnplannedItem:
    """Something in a run directory that belongs to no case of the run."""

    case: str
    detail: str
    """What and where, as the end of a sentence that begins with the case's id."""


def chosen_cases(plan: RunPlan, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the ids of all cases of a run, in the order in which they were chosen.

    Args:
        plan: the run's plan.
        entries: the lines of the run's journal.
    """
    added = (case for widened in lines_of_kinds(entries, CasesAdded) for case in widened.line.cases)
    return tuple(dict.fromkeys((*plan.cases, *added)))


def add_cases(journal: Journal, plan: RunPlan, entries: Sequence[Entry], cases: Sequence[str], at: float) -> None:
    """Add newly chosen cases to a run's journal; nothing is written if there are none.

    Args:
        journal: the run's journal, open for writing.
        plan: the run's plan.
        entries: the journal's lines.
        cases: the cases chosen now.
        at: the time, in seconds since 1970.

    Raises:
        JournalError: the journal cannot be written.
    """
    known = {*chosen_cases(plan, entries)}
    if new := [case for case in cases if case not in known]:
        journal.append_line(CasesAdded(cases=new, at=at), sync=True)


def missing_trials(
    plan: RunPlan, entries: Sequence[Entry], started: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Return planned trials without any line in the journal, as case and trial number.

    Args:
        plan: the run's plan.
        entries: the lines of the journal.
        started: the trials that have lines in the journal.
    """
    wanted = ((case, n) for case in chosen_cases(plan, entries) for n in range(1, plan.trials + 1))
    return [trial for trial in wanted if trial not in started]


def find_unplanned(
    run: RunDirectory, plan: RunPlan, entries: Sequence[Entry], begun: Collection[tuple[str, int]]
) -> Iterator[UnplannedItem]:
    """Yield lines and folders of cases that are not the run's, and folders without lines in the journal.

    Args:
        run: the run directory.
        plan: the run's plan.
        entries: the lines of the journal.
        begun: the trials that have lines in the journal.
    """
    chosen, most = {*chosen_cases(plan, entries)}, plan.trials
    yield from _executions_of_unchosen_cases(plan, entries)
    for case, number in begun:
        if case not in chosen:
            yield UnplannedItem(case, f"trial {number} is in the journal, but the case is not in the run's plan")
        elif number > most:
            yield UnplannedItem(
                case, f"trial {number} is in the journal; the plan has {format_count(most, 'trial')} per case"
            )
    known = {(case, str(number)) for case, number in begun}
    for folder in sorted((run.path / "cases").glob("*/*")):
        case, name = folder.parent.name, folder.name
        if folder.is_dir() and (case, name) not in known:
            yield UnplannedItem(case, f"cases/{case}/{name} exists, but the journal has no line about it")


def _executions_of_unchosen_cases(plan: RunPlan, entries: Sequence[Entry]) -> Iterator[UnplannedItem]:
    """Yield cases that an execution of the run included before they were chosen."""
    chosen = {*plan.cases}
    for each in lines_of_kinds(entries, CasesAdded, RunExecution):
        if isinstance(each.line, CasesAdded):
            chosen |= {*each.line.cases}
        for case in each.line.cases:
            if case not in chosen:
                what = "was included in the execution, but neither plan.json nor an earlier widened line has it"
                yield UnplannedItem(case, f"journal, line {each.number}: {what}")
