"""The common cases of several runs, on which runs with different cases can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track.results.loading import LoadedRun
from dynamic_track.running.run_dir import run_names
from twinbench.display.wording import format_count

_SHOWN = 5


@dataclass(frozen=True)
class LeftOutCase:
    """A case of a run that is left out of comparisons."""

    case: str
    what: str
    """``not chosen``, or ``no verdict``."""
    run: str
    """The path of the run in which it is missing."""


@dataclass(frozen=True)
class CommonCases:
    """The cases for which each of several runs has a verdict, and the cases that are left out."""

    cases: tuple[str, ...]
    left_out_cases: Mapping[str, tuple[LeftOutCase, ...]]
    """The left-out cases of each run, by the run's path."""
    runs: tuple[LoadedRun, ...]
    """The runs restricted to these cases, in their order."""
    names: Mapping[str, str]
    """The display name of each run, by its path."""

    @property
    def differ(self) -> bool:
        """Whether any run has other cases too."""
        return any(self.left_out_cases.values())

    @property
    def notes(self) -> list[str]:
        """A note for each run that has other cases too, with their number and the reasons."""
        found = []
        for path, cases in self.left_out_cases.items():
            if cases:
                reasons = Counter(f"{each.what} in {self.names[each.run]}" for each in cases)
                why = "; ".join(f"{number} {reason}" for reason, number in reasons.items())
                names = ", ".join(each.case for each in cases[:_SHOWN]) + (", …" if len(cases) > _SHOWN else "")
                found.append(f"left out of {self.names[path]}: {format_count(len(cases), 'case')} ({why}): {names}")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the number of common cases, and what is left out of each run and why."""
        left_out = {
            path: [{"case": each.case, "why": f"{each.what} in {each.run}"} for each in cases]
            for path, cases in self.left_out_cases.items()
        }
        return {"cases": len(self.cases), "left_out": left_out}


def common_cases(runs: Sequence[LoadedRun]) -> CommonCases:
    """Find the cases for which all runs have a verdict.

    Args:
        runs: loaded runs; a run that is given twice counts once.
    """
    judged = {str(run.path): {trial.id for trial in run.trials if trial.bill_usd is not None} for run in runs}
    chosen = {str(run.path): {*run.cases} for run in runs}
    common = set.intersection(*judged.values()) if judged else set()
    left_out = {
        path: tuple(LeftOutCase(case, *_reason_left_out(case, chosen, judged)) for case in sorted(cases - common))
        for path, cases in chosen.items()
    }
    names = dict(zip(chosen, run_names([Path(path) for path in chosen]), strict=True))
    return CommonCases(tuple(sorted(common)), left_out, tuple(_restrict_to_cases(run, common) for run in runs), names)


def _reason_left_out(case: str, chosen: Mapping[str, set[str]], judged: Mapping[str, set[str]]) -> tuple[str, str]:
    for path, cases in chosen.items():
        if case not in cases:
            return "not chosen", path
    return next(("no verdict", path) for path, cases in judged.items() if case not in cases)


def _restrict_to_cases(run: LoadedRun, cases: set[str]) -> LoadedRun:
    kept = [number for number, trial in enumerate(run.trials) if trial.id in cases]
    return replace(
        run,
        cases=tuple(case for case in run.cases if case in cases),
        recordings=tuple(run.recordings[number] for number in kept),
        trials=tuple(run.trials[number] for number in kept),
        unended=0,
        missing=(),
        begun_usd=Decimal(0),
    )
