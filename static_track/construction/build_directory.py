"""The directory of a build: its plan, its executions, a folder for the executor, and finally the bank.

``plan.json`` describes the build, ``executions.jsonl`` has every completed execution, ``executor/`` belongs to the
executor. ``rows.jsonl.gz``, ``recordings.jsonl.gz``, ``evidence.jsonl.gz`` and, last of all, ``manifest.json`` are
written once all tasks are done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from static_track.banks.build_output import MANIFEST_FILE, ROWS_FILE
from static_track.construction.execution_log import EXECUTIONS_FILE, ExecutionLog
from static_track.construction.plan import PLAN_FILE, BuildPlan, read_plan
from static_track.construction.publishing import EVIDENCE_FILE
from static_track.construction.recordings import RECORDINGS_FILE
from twinbench.errors import StoreWriteError, TwinbenchError, UsageError
from twinbench.storage.files import make_folder

LOCK_FILE = "writer.lock"
EXECUTOR_FOLDER = "executor"
_PUBLISHED = (ROWS_FILE, RECORDINGS_FILE, EVIDENCE_FILE, MANIFEST_FILE)
_OURS = frozenset((PLAN_FILE, EXECUTIONS_FILE, EXECUTOR_FOLDER, LOCK_FILE, *_PUBLISHED))

_PARTIAL = ".*.partial"
"""Temporary files that ``written`` leaves if the process is killed."""


@dataclass(frozen=True)
class BuildDirectory:
    """A build's directory, locked by this process."""

    path: Path

    @property
    def has_executions(self) -> bool:
        """Whether anything was executed, or unpacked from recordings."""
        return (self.path / EXECUTIONS_FILE).exists()

    def make_executor_folder(self) -> Path:
        """Return the executor's folder, creating it if it is missing.

        Raises:
            StoreWriteError: it cannot be created.
        """
        folder = self.path / EXECUTOR_FOLDER
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreWriteError(f"cannot write {folder} ({error.strerror or error})") from None
        return folder

    def write_or_check_plan(self, plan: BuildPlan) -> bool:
        """Write the plan of a new build, or compare it with the plan of the build that is continued.

        If tasks are added, the bank of the smaller build is none any more.

        Returns:
            Whether the plan has tasks that the build did not have.

        Raises:
            UsageError: the directory has a build with another plan; the text names the differences.
            TwinbenchError: the plan cannot be written.
        """
        if (self.path / PLAN_FILE).exists():
            kept = self.refuse_other(plan)
            grows = not kept.identity.includes_tasks_of(plan.identity)
            if kept == plan:
                return grows
            if grows:
                (self.path / MANIFEST_FILE).unlink(missing_ok=True)
        elif self.has_executions:
            raise UsageError(f"{self.path} has executions but no {PLAN_FILE}: choose another directory")
        else:
            grows = True
        plan.write(self.path)
        return grows

    def refuse_other(self, plan: BuildPlan) -> BuildPlan:
        """Compare a plan with that of the build in this directory, and return the latter.

        Raises:
            UsageError: the build has a different configuration; the error names the differences.
        """
        kept = read_plan(self.path)
        if differences := kept.identity.differences(plan.identity):
            raise UsageError(
                f"{self.path} contains a build with a different configuration ({'; '.join(differences)}): choose "
                "another directory"
            )
        return kept

    @contextmanager
    def open_log(self) -> Iterator[ExecutionLog]:
        """Open the log of executions.

        Raises:
            ContentError: a line is damaged.
            StoreWriteError: the file cannot be opened for writing.
        """
        path = self.path / EXECUTIONS_FILE
        try:
            opened = ExecutionLog(path)
        except OSError as error:
            raise StoreWriteError(f"cannot write {path} ({error.strerror or error})") from None
        with opened:
            yield opened


@contextmanager
def open_directory(path: Path) -> Iterator[BuildDirectory]:
    """Open a build's directory, creating it if it is missing, and lock it within the block.

    Raises:
        UsageError: the path is a file, or a directory with other content.
        TwinbenchError: another process uses it, or it cannot be created.
    """
    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file: a build needs a directory")
        if path.is_dir() and not (path / PLAN_FILE).exists() and (other := _others(path)):
            raise UsageError(f"{path} has other content ({sorted(other)[0]}): choose another directory")
        make_folder(path)
        lock = FileLock(path / LOCK_FILE, thread_local=False)
        lock.acquire(timeout=0)
    except Timeout:
        raise TwinbenchError(f"another process is using {path}: wait for it, or stop it") from None
    except OSError as error:
        raise StoreWriteError(f"cannot write {path} ({error.strerror or error})") from None
    try:
        for leftover in path.glob(_PARTIAL):
            with suppress(OSError):  # left by a killed process; no other process writes here now
                leftover.unlink()
        yield BuildDirectory(path)
    finally:
        lock.release()


def _others(path: Path) -> set[str]:
    """Return the names of files that no build creates."""
    return {each.name for each in path.iterdir() if not each.match(_PARTIAL)} - _OURS
