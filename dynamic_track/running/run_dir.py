"""The directory of a run: its plan, its journal, and a folder for each trial that ended.

The journal is the run. Derived from it are ``case.json``, ``patch.diff`` and ``trajectory.json``; not derived are the
plan, the tests of a verdict (``verdict.json``, kept in ``verdicts/``) and what a simulated provider remembers
(``provider.jsonl``). A file named ``stop`` asks whoever works on the run to stop. Every file outlasts a crash of the
machine once it is written, so that no line of the journal tells of a file that is not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynamic_track.running.plan import RunPlan, read_plan
from twinbench.calls.journal import JOURNAL_FILE
from twinbench.display.wording import shortened
from twinbench.errors import JournalError, UsageError
from twinbench.storage.files import make_folder, written

_SEED_FOLDER = "seed-"
"""How the folder of a rehearsal's run begins, which stands in a folder of its router."""

NOT_LOADED_FILE = "router-not-loaded.txt"
"""Where nothing was run because the router could not be loaded: why."""


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run's directory, which need not exist."""

    path: Path

    @property
    def name(self) -> str:
        """The run's own name, which tells nothing of the machine: as of ``run_names``."""
        return run_names([self.path])[0]

    @property
    def journal(self) -> Path:
        """The folder of its journal."""
        return self.path / "journal"

    def case(self, case: str, trial: int) -> Path:
        """The folder of a trial."""
        return self.path / "cases" / case / str(trial)

    def plan(self) -> RunPlan:
        """What the run is of; as of ``read_plan``."""
        return read_plan(self.path)

    @property
    def not_loaded(self) -> str | None:
        """Why the router could not be loaded the last time; None where it was."""
        try:
            return (self.path / NOT_LOADED_FILE).read_text("utf-8", "replace").strip() or None
        except OSError:
            return None

    def keep_not_loaded(self, why: str | None) -> None:
        """Keep why the router could not be loaded, or forget it."""
        if why is None:
            (self.path / NOT_LOADED_FILE).unlink(missing_ok=True)
            return
        with written(self.path / NOT_LOADED_FILE) as path:
            path.write_text(f"{why}\n", "utf-8", "replace", newline="")

    def refuse_lost_journal(self) -> None:
        """Refuse a run whose trials have ended while its journal is empty or missing: to go on would pay for all again.

        Raises:
            JournalError: it is.
        """
        file = self.journal / JOURNAL_FILE
        if not (file.is_file() and file.stat().st_size):
            self.refuse_lost_lines(())

    def refuse_lost_lines(self, recorded: Collection[tuple[str, int]]) -> None:
        """Refuse a run with a trial that has ended and that its journal does not tell of.

        Args:
            recorded: the trials that it tells of, each a case and a number.

        Raises:
            JournalError: there is one.
        """
        ended = [path.parent for path in sorted(self.path.glob("cases/*/*/case.json"))]
        lost = [folder for folder in ended if (folder.parent.name, _number(folder.name)) not in recorded]
        if lost:
            what = "is empty or missing" if not recorded else "lacks lines at its end"
            raise JournalError(
                f"{self.journal / JOURNAL_FILE} {what}: {lost[0].relative_to(self.path)} has ended, and the journal "
                "does not tell of it. Nothing was changed. Put the journal back from a copy, or choose another --run"
            )

    def write(self, case: str, trial: int, name: str, content: str) -> None:
        """Write a file of a trial; the old one stays until the new one is whole."""
        folder = self.case(case, trial)
        make_folder(folder)
        with written(folder / name) as path:
            path.write_text(content, "utf-8", newline="")

    def remove(self, case: str, trial: int, name: str) -> None:
        """Remove a file of a trial, where it is there."""
        (self.case(case, trial) / name).unlink(missing_ok=True)


def run_names(paths: Sequence[Path]) -> list[str]:
    """Name runs by the ends of their paths.

    A name is the last part, or the last two of a run of a rehearsal (``ROUTER/seed-SEED``), and as many more as tell
    the runs apart.
    """
    parts = [_absolute(path).parts[1:] for path in paths]
    fewest = [2 if each and each[-1].startswith(_SEED_FOLDER) else 1 for each in parts]
    for more in range(max(map(len, parts), default=0)):
        names = ["/".join(each[-few - more :]) for each, few in zip(parts, fewest, strict=True)]
        if len({*names}) == len(names):
            return names
    return ["/".join(each) for each in parts]


def common_folder(paths: Sequence[Path]) -> str | None:
    """The folder in which runs stand under their names, from the working directory or by its own name; None: there is
    no such folder.
    """
    names = run_names(paths)
    folder = _absolute(paths[0]).parents[names[0].count("/")]
    if any(_absolute(path) != folder / name for path, name in zip(paths, names, strict=True)):
        return None
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else folder.name


def _absolute(path: Path) -> Path:
    """A path from the root, without its dots; a link keeps its own name."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - pathlib would keep ``..`` or follow links


def open_run(path: Path, plan: RunPlan) -> RunDirectory:
    """The directory of a run, made where it is missing.

    Args:
        path: where.
        plan: what the run is of. A run that is continued must be of the same; it may be of other cases
            (``planned.widen``), and its tasks and pool may be found elsewhere.

    Raises:
        UsageError: there is something else, or a run of something else; what differs is named.
        JournalError: the run's journal is empty or missing, though trials have ended.
    """
    run = RunDirectory(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        plan.write(path)
        return run
    found = run.plan()
    if different := found.differences(plan):
        told = "; ".join(_told_apart(name, found.identity.get(name), plan.identity.get(name)) for name in different)
        raise UsageError(f"{path} holds a run of something else ({told}): choose another directory")
    run.refuse_lost_journal()
    return run


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _told_apart(name: str, was: Any, now: Any) -> str:
    if name == "provider" and was and now:
        return "its simulated models have other skills or faults, or other tasks to know"
    return f"{name} was {_shown(was)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return shortened(text, 120)
