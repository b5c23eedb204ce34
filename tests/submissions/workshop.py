"""A folder in which runs are made and handed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.replies import Reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import Ran
from tests.dynamic_track.live import live, solving
from tests.scripted.server import ScriptedServer
from tests.submissions.handing_in import pack, verify, write_router


class Workshop:
    """A folder with a router, runs of it, and the commitments that were posted."""

    def __init__(self, folder: Path, tasks: Sequence[Task]) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.tasks = tasks
        self.router = write_router(folder / "router")
        self.posted = folder / "posted"
        self.posted.mkdir()

    def run(
        self, name: str, *more: str, script: Callable[[ReceivedRequest], Reply] | None = None, **settings: Any
    ) -> Path:
        """Run cases against a scripted provider that solves them, or answers by another script."""
        run = self.folder / name
        with ScriptedServer(script or solving(self.tasks)) as server:
            live(server.api_base, run, *more, **{"router": self.router, **settings}).succeeded()
        return run

    def post(self, run: Path) -> None:
        """Post the commitments of a run, if it has any."""
        for path in (run / "commitments").iterdir():
            shutil.copy(path, self.posted)

    def pack(self, run: Path, *more: str | Path) -> Path:
        """Hand a run in."""
        file = self.folder / f"{run.name}.zip"
        pack(self.router, file, "--run", run, *more).succeeded()
        return file

    def verify(self, file: Path, *more: str | Path) -> Ran:
        """Verify it with the commitments that were posted."""
        return verify(file, "--commitments", self.posted, *more)
