"""The directory of a run: its plan, its journal, and a folder for each trial that ended.

The journal is the run; everything else is derived from it, but for the plan, which says what the run is of: the cases
that were chosen first and the identity, which never changes. Every file outlasts a crash of the machine once it is
written, so that no line of the journal tells of a file that is not there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinbench.calls.journal import FILE
from twinbench.display.wording import shortened
from twinbench.errors import ContentError, JournalError, Problem, UsageError
from twinbench.reading.input_files import read_regular
from twinbench.reading.strict_json import parse_json
from twinbench.storage.files import make_folder, written

_PLAN = "plan.json"
MOST_TRIALS = 1000
"""Of a case; whoever reads a stranger's plan goes through all of them."""


@dataclass(frozen=True)
class RunDirectory:
    """A run's directory, which exists."""

    path: Path

    @property
    def journal(self) -> Path:
        """The folder of its journal."""
        return self.path / "journal"

    def case(self, case: str, trial: int) -> Path:
        """The folder of a trial."""
        return self.path / "cases" / case / str(trial)

    def plan(self) -> dict[str, Any]:
        """What the run is of.

        Raises:
            UsageError: it is no run directory.
            ContentError: the plan is damaged.
        """
        path = self.path / _PLAN
        try:
            content = parse_json(read_regular(path).decode())
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(f"{self.path} holds no run: it has no {_PLAN}") from None
        except OSError as error:
            raise ContentError([Problem(str(path), None, None, error.strerror or str(error))]) from None
        except ValueError as error:
            raise ContentError([Problem(str(path), None, None, f"not JSON: {error}")]) from None
        if not isinstance(content, dict) or not isinstance(content.get("identity"), dict):
            raise ContentError([Problem(str(path), None, "identity", "is missing")])
        wanted = {"identity": ("agent", "overrides", "pool", "router", "seed"), "where": ("tasks", "pool")}
        for part, names in wanted.items():
            found = content.get(part)
            missing = [name for name in names if not isinstance(found, dict) or name not in found]
            if missing:
                raise ContentError([Problem(str(path), None, f"{part}.{missing[0]}", "is missing")])
        for name in ("router", "pool", "provider", "agent", "overrides"):
            if not isinstance(content["identity"].get(name, {}), dict):
                raise ContentError([Problem(str(path), None, f"identity.{name}", "must be an object")])
        for part, name in (("router", "spec"), ("pool", "name"), ("pool", "fingerprint")):
            named = content["identity"].get(part)
            if named is not None and not isinstance(named.get(name), str):
                raise ContentError([Problem(str(path), None, f"identity.{part}.{name}", "must be a text")])
        if not isinstance(content["where"]["pool"], str):
            raise ContentError([Problem(str(path), None, "where.pool", "must be a text")])
        trials = content["identity"].get("trials", 1)
        if type(trials) is not int or not 1 <= trials <= MOST_TRIALS:
            what = f"must be a whole number from 1 to {MOST_TRIALS:,}"
            raise ContentError([Problem(str(path), None, "identity.trials", what)])
        if not _are_case_ids(content.get("cases")):
            raise ContentError([Problem(str(path), None, "cases", "must be the ids of the chosen cases, each once")])
        return content

    def refuse_lost_journal(self) -> None:
        """Refuse a run whose trials have ended while its journal is empty or missing: to go on would pay for all again.

        Raises:
            JournalError: it is.
        """
        file = self.journal / FILE
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
                f"{self.journal / FILE} {what}: {lost[0].relative_to(self.path)} has ended, and the journal does not "
                "tell of it. Nothing was changed. Put the journal back from a copy, or choose another --run"
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


def open_run(path: Path, identity: Mapping[str, Any], where: Mapping[str, Any], cases: Sequence[str]) -> RunDirectory:
    """The directory of a run, made where it is missing.

    Args:
        path: where.
        identity: what the run is of; a run that is continued must be of the same.
        where: where tasks and pool were found, for a replay; no part of the identity.
        cases: the ids of the chosen cases; a run that is continued may be of others (``planned.widen``).

    Raises:
        UsageError: there is something else, or a run of something else; what differs is named.
        JournalError: the run's journal is empty or missing, though trials have ended.
    """
    run = RunDirectory(path)
    identity = json.loads(json.dumps(identity))
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        write_plan(path, identity, where, cases)
        return run
    found = run.plan()["identity"]
    different = [name for name in {**found, **identity} if found.get(name) != identity.get(name)]
    if different:
        told = "; ".join(_told_apart(name, found.get(name), identity.get(name)) for name in different)
        raise UsageError(f"{path} holds a run of something else ({told}): choose another directory")
    run.refuse_lost_journal()
    return run


def write_plan(path: Path, identity: Mapping[str, Any], where: Mapping[str, Any], cases: Sequence[str]) -> None:
    """Write ``plan.json`` of a run's directory, which is made where it is missing; arguments as of ``open_run``."""
    make_folder(path)
    with written(path / _PLAN) as file:
        content = {"identity": identity, "where": where, "cases": list(cases)}
        file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def is_imported(plan: Mapping[str, Any]) -> bool:
    """Whether a run directory's plan is of runs that were imported."""
    return plan["identity"].get("imported") is not None


def is_simulated(plan: Mapping[str, Any]) -> bool:
    """Whether a run directory's plan is of a rehearsal: its models are simulated."""
    return "simulation" in plan["identity"].get("provider", {})


def _are_case_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(each, str) and each for each in value)
        and len({*value}) == len(value)
    )


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _told_apart(name: str, was: Any, now: Any) -> str:
    if name == "provider" and was and now:
        return "its simulated models have other skills or faults, or other tasks to know"
    return f"{name} was {_shown(was)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return shortened(text, 120)
