"""Read a run from its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from dynamic_track.running.origin import Origin, origin_of
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.plan_comparison import UnplannedItem, chosen_cases, find_unplanned, missing_trials
from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.journal import Entries, read_journal
from twinbench.calls.recording import Recording, read_recordings


@dataclass(frozen=True)
class SavedRun:
    """A run read from its directory; its journal is read once, on first use.

    Attributes that need the journal raise ``JournalError`` if it is missing, changed or damaged.
    """

    directory: RunDirectory
    plan: RunPlan

    @cached_property
    def entries(self) -> Entries:
        """The lines of the journal."""
        found = read_journal(self.directory.journal)
        if not found:
            self.directory.check_ended_trials_recorded(())
        return found

    @cached_property
    def trials(self) -> Mapping[tuple[str, int], Recording]:
        """The recordings of trials in the journal, by case and trial number, in the order of their starts."""
        return read_recordings(self.entries)

    @cached_property
    def origin(self) -> Origin:
        """Where the run's numbers come from."""
        return origin_of(self.plan, simulated=any(each.is_simulated for each in self.trials.values()))

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of the run's cases, in the order in which they were chosen."""
        return chosen_cases(self.plan, self.entries)

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Planned trials without any line in the journal, as case and trial number."""
        return missing_trials(self.plan, self.entries, self.trials.keys())

    @property
    def unplanned(self) -> list[UnplannedItem]:
        """Lines and folders in the run directory that belong to no case of the run."""
        return list(find_unplanned(self.directory, self.plan, self.entries, self.trials.keys()))

    @property
    def unfinished_usd(self) -> Decimal:
        """The cost of trials that have started but not ended, in USD."""
        return sum((each.spend_usd for each in self.trials.values() if each.end is None), Decimal(0))

    def matching_trials(self, globs: Sequence[str] = ()) -> list[Recording]:
        """Return the trials of cases that match one of the globs; all trials if there are no globs."""
        found = self.trials.values()
        return [each for each in found if not globs or any(fnmatchcase(each.case, glob) for glob in globs)]


def read_run(path: Path) -> SavedRun:
    """Read the run in a directory.

    Raises:
        UsageError: it is not a run directory.
        ContentError: its plan is damaged.
    """
    directory = RunDirectory(path)
    return SavedRun(directory, directory.plan())
