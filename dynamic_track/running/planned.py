"""The cases that a run is of, held against what there is of them.

``plan.json`` names the cases that were chosen first. Where the same command chooses others later, a line of kind
``widened`` in the journal adds the new ones; none is ever taken away. So a case that is not there was lost or removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.journal import Entry, Journal
from twinbench.calls.lines import Sitting, Widened
from twinbench.calls.recording import lines_of
from twinbench.display.wording import counted


@dataclass(frozen=True)
class Unplanned:
    """Something in a run's directory that is of no case of the run."""

    case: str
    detail: str
    """What and where, as the end of a sentence that begins with the case."""


def chosen_cases(plan: RunPlan, entries: Iterable[Entry]) -> tuple[str, ...]:
    """The ids of all cases that a run is of, in the order in which they were chosen.

    Args:
        plan: of the run.
        entries: the lines of the run's journal.
    """
    added = (case for widened in lines_of(entries, Widened) for case in widened.line.cases)
    return tuple(dict.fromkeys((*plan.cases, *added)))


def widen(journal: Journal, plan: RunPlan, entries: Sequence[Entry], cases: Sequence[str], at: float) -> None:
    """Add those of the chosen cases that are new to a run; nothing is written where none is.

    Args:
        journal: of the run, open.
        plan: of it.
        entries: what stands in the journal.
        cases: what is chosen now.
        at: the time, in seconds since 1970.

    Raises:
        JournalError: it cannot be written.
    """
    known = {*chosen_cases(plan, entries)}
    if new := [case for case in cases if case not in known]:
        journal.write(Widened(cases=new, at=at), sync=True)


def missing_trials(
    plan: RunPlan, entries: Sequence[Entry], begun: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """The trials that a run is to have and that no line of its journal is about, each a case and a number.

    Args:
        plan: of the run.
        entries: the lines of the journal.
        begun: the trials that it has lines about.
    """
    wanted = ((case, n) for case in chosen_cases(plan, entries) for n in range(1, plan.trials + 1))
    return [trial for trial in wanted if trial not in begun]


def unplanned(
    run: RunDirectory, plan: RunPlan, entries: Sequence[Entry], begun: Collection[tuple[str, int]]
) -> Iterator[Unplanned]:
    """Lines and folders of cases that the run is not of, and folders that no line is about.

    Args:
        run: the directory.
        plan: of the run.
        entries: the lines of the journal.
        begun: the trials that it has lines about.
    """
    chosen, most = {*chosen_cases(plan, entries)}, plan.trials
    yield from _sittings_of_others(plan, entries)
    for case, number in begun:
        if case not in chosen:
            yield Unplanned(case, f"trial {number} is in the journal, and the run is not of this case")
        elif number > most:
            yield Unplanned(case, f"trial {number} is in the journal, and the plan has {counted(most, 'trial')} a case")
    known = {(case, str(number)) for case, number in begun}
    for folder in sorted((run.path / "cases").glob("*/*")):
        case, name = folder.parent.name, folder.name
        if folder.is_dir() and (case, name) not in known:
            yield Unplanned(case, f"cases/{case}/{name} is there, and no line of the journal about it")


def _sittings_of_others(plan: RunPlan, entries: Sequence[Entry]) -> Iterator[Unplanned]:
    """Cases that a sitting was to run before they were chosen."""
    chosen = {*plan.cases}
    for each in lines_of(entries, Widened, Sitting):
        if isinstance(each.line, Widened):
            chosen |= {*each.line.cases}
        for case in each.line.cases:
            if case not in chosen:
                what = "was to be run by the sitting, and neither plan.json nor a widening before has it"
                yield Unplanned(case, f"journal, line {each.number}: {what}")
