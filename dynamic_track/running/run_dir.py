"""The directory of a run: its plan, its journal, and a folder for each trial that ended.

The journal is the source of truth. ``case.json``, ``patch.diff`` and ``trajectory.json`` are derived from it; not
derived are the plan, the tests of a verdict (``verdict.json``, cached in ``verdicts/``), the state of a simulated
provider (``provider.jsonl``), the run's random id (``run-id``) and its nodes (``nodes.jsonl``). A file named ``stop``
asks the process that executes the run to stop. Files are flushed to disk before the journal mentions them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamic_track.running.plan import RunPlan, read_plan
from twinbench.calls.journal import JOURNAL_FILE
from twinbench.display.wording import shorten
from twinbench.errors import JournalError, UsageError
from twinbench.storage.files import atomic_write, make_folder

_SEED_FOLDER = "seed-"
"""Prefix of the folder of a rehearsal's run, which is in a folder named after its router."""

RANDOM_ID_FILE = "run-id"
"""The run's random id, which is in the labels of its containers."""
NODES_FILE = "nodes.jsonl"
"""On which node each trial was worked on, a line whenever one is begun or goes on; of runs with several nodes."""

NOT_LOADED_FILE = "router-not-loaded.txt"
"""Why the router could not be loaded, if nothing was run because of that."""


@dataclass(frozen=True)
class RunDirectory:
    """The paths within a run directory, which need not exist."""

    path: Path

    @property
    def name(self) -> str:
        """The run's own name (see ``run_names``), which reveals nothing about the machine."""
        return run_names([self.path])[0]

    @property
    def journal(self) -> Path:
        """The folder of the journal."""
        return self.path / "journal"

    def trial_folder(self, case: str, trial: int) -> Path:
        """Return the folder of a trial."""
        return self.path / "cases" / case / str(trial)

    def plan(self) -> RunPlan:
        """Read the run's plan; same errors as ``read_plan``."""
        return read_plan(self.path)

    @property
    def not_loaded(self) -> str | None:
        """Why the router could not be loaded the last time; None if it was."""
        try:
            return (self.path / NOT_LOADED_FILE).read_text("utf-8", "replace").strip() or None
        except OSError:
            return None

    def keep_not_loaded(self, why: str | None) -> None:
        """Keep why the router could not be loaded, or forget it."""
        if why is None:
            (self.path / NOT_LOADED_FILE).unlink(missing_ok=True)
            return
        with atomic_write(self.path / NOT_LOADED_FILE) as path:
            path.write_text(f"{why}\n", "utf-8", "replace", newline="")

    def random_id(self) -> str:
        """Return the run's random id, by which its containers are found on any machine; it is made when first needed
        for.
        """
        file = self.path / RANDOM_ID_FILE
        with suppress(OSError):
            if found := file.read_text("ascii", "replace").strip():
                return found
        made = secrets.token_hex(16)
        with atomic_write(file) as path:
            path.write_text(f"{made}\n", "ascii", newline="")
        return made

    def note_node(self, case: str, trial: int, node: str) -> None:
        """Note on which node a trial is worked on from now on."""
        line = json.dumps({"case": case, "trial": trial, "node": node})
        with (self.path / NODES_FILE).open("a", encoding="utf-8", newline="") as file:
            file.write(f"{line}\n")

    def nodes(self) -> dict[tuple[str, int], str]:
        """Return on which node each trial was worked on last; empty for a run with a single engine."""
        found: dict[tuple[str, int], str] = {}
        with suppress(OSError):
            for line in (self.path / NODES_FILE).read_text("utf-8", "replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may be cut short
                    told = json.loads(line)
                    found[str(told["case"]), int(told["trial"])] = str(told["node"])
        return found

    def check_journal_present(self) -> None:
        """Check that the journal is not lost: without it, continuing would pay for finished trials again.

        Raises:
            JournalError: trials have ended, but the journal is empty or missing.
        """
        file = self.journal / JOURNAL_FILE
        if not (file.is_file() and file.stat().st_size):
            self.check_ended_trials_recorded(())

    def check_ended_trials_recorded(self, recorded: Collection[tuple[str, int]]) -> None:
        """Check that the journal has every trial that has ended.

        Args:
            recorded: the trials in the journal, as case and trial number.

        Raises:
            JournalError: a trial is missing in the journal.
        """
        ended = [path.parent for path in sorted(self.path.glob("cases/*/*/case.json"))]
        lost = [folder for folder in ended if (folder.parent.name, _number(folder.name)) not in recorded]
        if lost:
            what = "is empty or missing" if not recorded else "lacks lines at its end"
            raise JournalError(
                f"{self.journal / JOURNAL_FILE} {what}: {lost[0].relative_to(self.path)} has ended, but the journal "
                "has no line about it. Nothing was changed. Restore the journal from a copy, or choose another --run"
            )

    def write(self, case: str, trial: int, name: str, content: str) -> None:
        """Write a file of a trial, replacing it atomically."""
        folder = self.trial_folder(case, trial)
        make_folder(folder)
        with atomic_write(folder / name) as path:
            path.write_text(content, "utf-8", newline="")

    def remove(self, case: str, trial: int, name: str) -> None:
        """Remove a file of a trial, if it exists."""
        (self.trial_folder(case, trial) / name).unlink(missing_ok=True)


def run_names(paths: Sequence[Path]) -> list[str]:
    """Name runs by the ends of their paths.

    A name is the last part of the path (the last two for a rehearsal's run, ``ROUTER/seed-SEED``), and as many more
    parts as are needed to distinguish the runs.
    """
    parts = [_absolute(path).parts[1:] for path in paths]
    fewest = [2 if each and each[-1].startswith(_SEED_FOLDER) else 1 for each in parts]
    for more in range(max(map(len, parts), default=0)):
        names = ["/".join(each[-few - more :]) for each, few in zip(parts, fewest, strict=True)]
        if len({*names}) == len(names):
            return names
    return ["/".join(each) for each in parts]


def common_folder(paths: Sequence[Path]) -> str | None:
    """Return the folder that contains all runs under their names, relative to the working directory or by name; None if
    there is none.
    """
    names = run_names(paths)
    folder = _absolute(paths[0]).parents[names[0].count("/")]
    if any(_absolute(path) != folder / name for path, name in zip(paths, names, strict=True)):
        return None
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else folder.name


def _absolute(path: Path) -> Path:
    """Return the absolute path without dots, keeping symbolic links."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib would keep ``..`` or follow links


def open_run(path: Path, plan: RunPlan) -> RunDirectory:
    """Open a run directory, creating it if it is missing.

    Args:
        path: the directory.
        plan: the run's plan. A run that is continued must have the same identity; its cases may differ
            (``planned.add_cases``), and its tasks and pool may be elsewhere.

    Raises:
        UsageError: the directory has other content, or a run with another identity; the text names the differences.
        JournalError: the run's journal is empty or missing, though trials have ended.
    """
    run = RunDirectory(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        plan.write(path)
        return run
    found = run.plan()
    if different := found.differences(plan):
        told = "; ".join(
            _describe_difference(name, found.identity.get(name), plan.identity.get(name)) for name in different
        )
        raise UsageError(f"{path} has a run with other settings ({told}): choose another directory")
    run.check_journal_present()
    return run


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _describe_difference(name: str, was: Any, now: Any) -> str:
    if name == "provider" and was and now:
        return "its simulated models have other skills, faults or tasks"
    return f"{name} was {_short_json(was)}, is now {_short_json(now)}"


def _short_json(value: Any) -> str:
    text = json.dumps(value)
    return shorten(text, 120)
