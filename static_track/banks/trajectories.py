"""From an agent's trajectory files to a bank: every call of the model is a prefix, and none has a label.

A file is taken whole or not at all, and the others do not wait for it: runs are independent of each other, unlike the
rows of a bank that somebody made, so what is left is still what was run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import ParsedBank, keep_bank
from static_track.banks.rows import compact_json
from twinbench.calls.mini_swe_agent import Trajectory, read_trajectories, trajectory_files
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import counted
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.storage.store import Store

WORKLOAD = "swebench"
_SIMULATED = (
    "Simulated models answered in runs that the bank is made of (a rehearsal, or twinbench rehearse serve): nothing "
    "said about it is said about real models."
)
"""What rows of such runs say, wherever the bank goes."""


@dataclass(frozen=True)
class ImportedTrajectories:
    """A bank that was made of runs, and what was left out of it."""

    info: BankInfo
    files: int
    """How many were looked at."""
    problems: tuple[Problem, ...]
    """What is wrong with those that were left out."""


def import_trajectories(
    paths: Sequence[str],
    name: str,
    store: Store,
    *,
    workload: str = WORKLOAD,
    replace: bool = False,
    progress: Progress = no_progress,
) -> ImportedTrajectories:
    """Bring runs of mini-swe-agent into the store as the bank ``name``, without labels.

    Args:
        paths: trajectory files, and folders of them.
        name: of the bank.
        store: where.
        workload: what the rows' ``benchmark`` says.
        replace: whether a bank of that name may be replaced.
        progress: told after each file.

    Raises:
        UsageError: there is no such file, the name exists and ``replace`` is False, or ``workload`` is no name.
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
        elif (refused := _refused(found)) is not None:
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
    parsed.put_in_order()
    info = keep_bank(
        parsed,
        name,
        store,
        source=_source(taken),
        source_sha256=taken[0].sha256 if len(taken) == 1 else fingerprint(sorted(each.sha256 for each in taken)),
        replace=replace,
        progress=progress,
    )
    return ImportedTrajectories(info, len(files), tuple(problems))


def _refused(trajectory: Trajectory) -> Problem | None:
    """What a bank cannot hold of a conversation that was read well."""
    try:
        compact_json(trajectory.messages).encode()
    except (ValueError, RecursionError) as error:
        return Problem(trajectory.source, None, "messages", f"cannot stand in a bank: {error}")
    return None


def _source(taken: Sequence[Trajectory]) -> str:
    if len(taken) > 1:
        return counted(len(taken), "trajectory file")
    return Path(taken[0].source).name.encode("utf-8", "backslashreplace").decode()  # a file name need not be text
