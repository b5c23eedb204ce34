"""The directory of a build: its plan, its executions, a folder for the executor, and in the end the bank.

``plan.json`` says what the build is of, ``executions.jsonl`` keeps every whole execution, ``executor/`` belongs to the
executor. ``rows.jsonl.gz``, ``recordings.jsonl.gz``, ``evidence.jsonl.gz`` and, last of all, ``manifest.json`` are
written once no task is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from static_track.banks.built import MANIFEST_FILE, ROWS_FILE
from static_track.construction.execution_log import EXECUTIONS_FILE, ExecutionLog
from static_track.construction.plan import PLAN_FILE, Plan, read_plan
from static_track.construction.publishing import EVIDENCE_FILE
from static_track.construction.recordings import RECORDINGS_FILE
from twinbench.errors import StoreWriteError, TwinbenchError, UsageError
from twinbench.storage.files import make_folder

LOCK_FILE = "writer.lock"
EXECUTOR_FOLDER = "executor"
_PUBLISHED = (ROWS_FILE, RECORDINGS_FILE, EVIDENCE_FILE, MANIFEST_FILE)
_OURS = frozenset((PLAN_FILE, EXECUTIONS_FILE, EXECUTOR_FOLDER, LOCK_FILE, *_PUBLISHED))

_PARTIAL = ".*.partial"
"""What ``written`` leaves of a file where the process is killed meanwhile."""


@dataclass(frozen=True)
class BuildDirectory:
    """A directory that this process alone works on."""

    path: Path

    @property
    def has_executions(self) -> bool:
        """Whether anything was executed, or laid out from recordings."""
        return (self.path / EXECUTIONS_FILE).exists()

    def make_executor_folder(self) -> Path:
        """The folder of the executor, made where it is missing.

        Raises:
            StoreWriteError: it cannot be made.
        """
        folder = self.path / EXECUTOR_FOLDER
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreWriteError(f"cannot write {folder} ({error.strerror or error})") from None
        return folder

    def keep_plan(self, plan: Plan) -> None:
        """Write the plan of a new build, or hold it against that of the build that is continued.

        Raises:
            UsageError: the directory holds a build of something else; what differs is named.
            TwinbenchError: it cannot be written.
        """
        if (self.path / PLAN_FILE).exists():
            if self.refuse_other(plan) == plan:
                return
        elif self.has_executions:
            raise UsageError(
                f"{self.path} has executions and no {PLAN_FILE} that says of what: choose another directory"
            )
        plan.write(self.path)

    def refuse_other(self, plan: Plan) -> Plan:
        """Hold a plan against that of the build that is here; returns the latter.

        Raises:
            UsageError: it is a build of something else; what differs is named.
        """
        kept = read_plan(self.path)
        if differences := kept.identity.differences(plan.identity):
            raise UsageError(
                f"{self.path} holds a build of something else ({'; '.join(differences)}): choose another directory"
            )
        return kept

    @contextmanager
    def log(self) -> Iterator[ExecutionLog]:
        """The executions that are kept.

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
    """The directory of a build, made where it is missing; no other process works on it within the block.

    Raises:
        UsageError: there is something else.
        TwinbenchError: another process works on it, or it cannot be made.
    """
    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file: a build needs a directory")
        if path.is_dir() and not (path / PLAN_FILE).exists() and (other := _others(path)):
            raise UsageError(f"{path} holds something else ({sorted(other)[0]}): choose another directory")
        make_folder(path)
        lock = FileLock(path / LOCK_FILE, thread_local=False)
        lock.acquire(timeout=0)
    except Timeout:
        raise TwinbenchError(f"another process works on {path}: wait for it, or stop it") from None
    except OSError as error:
        raise StoreWriteError(f"cannot write {path} ({error.strerror or error})") from None
    try:
        for leftover in path.glob(_PARTIAL):
            with suppress(OSError):  # of a sitting that was killed while it wrote; no other writes here now
                leftover.unlink()
        yield BuildDirectory(path)
    finally:
        lock.release()


def _others(path: Path) -> set[str]:
    """The names of what no build puts into a directory."""
    return {each.name for each in path.iterdir() if not each.match(_PARTIAL)} - _OURS
