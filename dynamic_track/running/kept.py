"""A run as its directory keeps it: what whoever looks at it afterwards reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from dynamic_track.running.origin import Origin, origin_of
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.planned import Unplanned, chosen_cases, missing_trials, unplanned
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.journal import Entries, read_journal
from twinbench.calls.recording import Recording, recordings


@dataclass(frozen=True)
class KeptRun:
    """A run, whose journal is read once, when it is first asked for.

    What asks for the journal raises ``JournalError`` where that is missing, or is not what was written.
    """

    directory: RunDirectory
    plan: RunPlan

    @cached_property
    def entries(self) -> Entries:
        """The lines of the journal."""
        found = read_journal(self.directory.journal)
        if not found:
            self.directory.refuse_lost_lines(())
        return found

    @cached_property
    def trials(self) -> Mapping[tuple[str, int], Recording]:
        """The trials that have lines in the journal, by case and number, in the order in which they were begun."""
        return recordings(self.entries)

    @cached_property
    def origin(self) -> Origin:
        """Where its numbers come from."""
        return origin_of(self.plan, simulated=any(each.is_simulated for each in self.trials.values()))

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of the cases that the run is of, in the order in which they were chosen."""
        return chosen_cases(self.plan, self.entries)

    @property
    def missing(self) -> list[tuple[str, int]]:
        """The trials that it is to have and that no line of the journal is about, each a case and a number."""
        return missing_trials(self.plan, self.entries, self.trials.keys())

    @property
    def unplanned(self) -> list[Unplanned]:
        """What is in the directory and of no case of the run."""
        return list(unplanned(self.directory, self.plan, self.entries, self.trials.keys()))

    @property
    def begun_usd(self) -> Decimal:
        """What was spent on trials that were begun and have not ended."""
        return sum((each.spend_usd for each in self.trials.values() if each.end is None), Decimal(0))

    def matching(self, globs: Sequence[str] = ()) -> list[Recording]:
        """The trials of cases that one of some globs matches; of all, where there is none."""
        found = self.trials.values()
        return [each for each in found if not globs or any(fnmatchcase(each.case, glob) for glob in globs)]


def read_run(path: Path) -> KeptRun:
    """The run in a directory.

    Raises:
        UsageError: it is no run's directory.
        ContentError: its plan is damaged.
    """
    directory = RunDirectory(path)
    return KeptRun(directory, directory.plan())
