"""Import an agent's trajectory files as a bank: every model call becomes a row, without a label.

A file is imported completely or not at all, but a bad file does not stop the others: unlike the rows of a bank, runs
are independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import ParsedBank, store_bank
from static_track.banks.rows import compact_json
from twinbench.calls.mini_swe_agent import Trajectory, read_trajectories, trajectory_files
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.storage.store import Store

WORKLOAD = "swebench"
_SIMULATED = (
    "The bank contains runs in which simulated models answered (a rehearsal, or twinbench rehearse serve): its numbers "
    "say nothing about real models."
)
"""The caveat in rows of runs with simulated models."""


@dataclass(frozen=True)
class ImportedTrajectories:
    """A bank made of runs, and the files that were left out of it."""

    info: BankInfo
    files: int
    """How many files were read."""
    problems: tuple[Problem, ...]
    """Problems of the files that were left out."""


def import_trajectories(
    paths: Sequence[str],
    name: str,
    store: Store,
    *,
    workload: str = WORKLOAD,
    replace: bool = False,
    progress: Progress = no_progress,
) -> ImportedTrajectories:
    """Import runs of mini-swe-agent into the store as the bank ``name``, without labels.

    Args:
        paths: trajectory files, and folders of them.
        name: the bank's name.
        store: the store.
        workload: the rows' ``benchmark``.
        replace: whether a bank of that name may be replaced.
        progress: called after each file.

    Raises:
        UsageError: a file does not exist, the name exists and ``replace`` is False, or ``workload`` is invalid.
        ContentError: no file is a trajectory; nothing was written.
        TwinbenchError: the store cannot be written; nothing was changed.
    """
    if not workload.strip() or not workload.isprintable():
        raise UsageError(f"--workload {workload!r}: it must be a name")
    if not replace:
        store.refuse_existing(name)
    files = trajectory_files(paths)
    parsed = ParsedBank()
    taken: list[Trajectory] = []
    problems: list[Problem] = []
    for done, found in enumerate(read_trajectories(files), 1):
        if isinstance(found, ContentError):
            problems += found.problems
        elif (refused := _storage_problem(found)) is not None:
            problems.append(refused)
        else:
            prefixes = [call.prefix for call in found.calls]
            parsed.add_trajectory(
                workload,
                found.instance_id,
                found.messages[: prefixes[-1]],
                prefixes,
                found.tools,
                caveat=_SIMULATED if found.simulated else None,
            )
            taken.append(found)
        progress("reading trajectories", done, len(files))
    if not taken:
        raise ContentError(problems, hint="Nothing was imported.")
    parsed.sort_rows()
    info = store_bank(
        parsed,
        name,
        store,
        source=_source_name(taken),
        source_sha256=taken[0].sha256 if len(taken) == 1 else fingerprint(sorted(each.sha256 for each in taken)),
        replace=replace,
        progress=progress,
    )
    return ImportedTrajectories(info, len(files), tuple(problems))


def _storage_problem(trajectory: Trajectory) -> Problem | None:
    """Return the problem of a valid conversation that a bank cannot store; None if there is none."""
    try:
        compact_json(trajectory.messages).encode()
    except (ValueError, RecursionError) as error:
        return Problem(trajectory.source, None, "messages", f"cannot be stored in a bank: {error}")
    return None


def _source_name(taken: Sequence[Trajectory]) -> str:
    if len(taken) > 1:
        return format_count(len(taken), "trajectory file")
    return Path(taken[0].source).name.encode("utf-8", "backslashreplace").decode()  # a file name need not be text
