"""Merge the runs of all shards into one run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dynamic_track.running.committing import COMMITMENTS_FOLDER
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory, open_run
from dynamic_track.running.run_state import is_active
from twinbench.calls.journal import Entries, Journal, read_journal
from twinbench.calls.lines import CasesAdded, Merge, MergedRun, RunExecution
from twinbench.calls.recording import lines_of_kinds, read_recordings
from twinbench.errors import UsageError


def merge(sources: Sequence[Path], into: Path) -> RunDirectory:
    """Merge several runs that have the same plan but different cases.

    The lines of their journals are appended to a new hash chain; a first line names each source with the hash of its
    last line and the cases of its plan, so that it can be verified that they are unchanged.

    Args:
        sources: the run directories.
        into: the directory of the merged run; must not exist, or be empty.

    Raises:
        UsageError: the plans differ, a trial is in two runs, a run is active or contains a link, or ``into`` is in use.
        JournalError: a journal was changed or damaged.
    """
    runs = [RunDirectory(path) for path in sources]
    if len(runs) < 2:
        raise UsageError("name at least two runs to merge")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} exists already: choose another --run")
    plans = [run.plan() for run in runs]
    first = plans[0]
    for run, plan in zip(runs, plans, strict=True):
        if is_active(run):
            raise UsageError(f"{run.path} is active: wait for it or stop it")
        if different := first.differences(plan):
            raise UsageError(f"{run.path} has another plan than {runs[0].path}: {', '.join(different)}")
    journals = [read_journal(run.journal) for run in runs]
    for run, entries in zip(runs, journals, strict=True):
        for _ in lines_of_kinds(entries, Merge, RunExecution, CasesAdded):
            pass  # read every journal first, so that nothing is written if one is damaged
        _require_regular_files(run)
    whose: dict[tuple[str, int], Path] = {}
    for run, entries in zip(runs, journals, strict=True):
        for key in read_recordings(entries):
            if key in whose:
                raise UsageError(f"case {key[0]}, trial {key[1]} is in both {whose[key]} and {run.path}")
            whose[key] = run.path
    where = {name: value for name, value in first.sources.items() if name != "shard"}
    cases = dict.fromkeys(case for plan in plans for case in plan.cases)
    merged = open_run(into, RunPlan(first.identity, where, tuple(cases)))
    try:
        _write(merged, runs, plans, journals)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)  # it did not exist before, or was empty
        raise
    return merged


def _write(
    merged: RunDirectory, runs: Sequence[RunDirectory], plans: Sequence[RunPlan], journals: Sequence[Entries]
) -> None:
    with Journal.open(merged.journal) as journal:
        heads = [
            MergedRun(
                run=run.path.name,
                lines=len(entries),
                sha256=entries[-1].sha256 if entries else None,
                cases=plan.cases,
            )
            for run, plan, entries in zip(runs, plans, journals, strict=True)
        ]
        journal.append_line(Merge(sources=heads))
        for entries in journals:
            for entry in entries:
                journal.append(entry.kind, **entry.fields)
        journal.sync()
    for run in runs:
        for (case, trial), node in run.nodes().items():
            merged.note_node(case, trial, node)
        for folder in ("cases", COMMITMENTS_FOLDER):
            if (run.path / folder).is_dir():
                shutil.copytree(run.path / folder, merged.path / folder, dirs_exist_ok=True)


def _require_regular_files(run: RunDirectory) -> None:
    """Refuse links, pipes and devices in a run, since copying would follow them."""
    for path in sorted((*(run.path / "cases").rglob("*"), *(run.path / COMMITMENTS_FOLDER).rglob("*"))):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path} is neither a file nor a folder: runs must not contain links, pipes or devices")
