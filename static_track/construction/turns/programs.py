"""Run programs in containers: each distinct program runs once, in a container of its own without network."""

from __future__ import annotations

import shlex
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from static_track.construction.turns.evaluating import ProgramResult
from twinbench.containers.base_image import BASE_IMAGE
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox, WriteLimitError
from twinbench.containers.shell import Ended
from twinbench.fingerprint import fingerprint

_LIMITS = ContainerLimits(memory_mib=512, processes=64, file_mib=16, written_mib=64, life_s=3600.0)
_FOLDER = "/tmp"  # noqa: S108 - of the container
_KEPT_BYTES = 2**14


@dataclass
class Programs:
    """Runs programs; thread-safe. A program that ran before in this process gets the same result again."""

    engine: Engine
    checkpoint: Callable[[], None]
    """Called while a program runs; raises if a stop was requested."""
    _results: dict[str, ProgramResult] = field(default_factory=dict)
    _running: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, files: Mapping[str, str], command: str, timeout_s: float, *, task: str) -> ProgramResult:
        """Run a command in a folder with some files.

        Args:
            files: content by name.
            command: a bash command.
            timeout_s: the time limit.
            task: the id of the task.

        Raises:
            CausedError: no container can be started, or it was stopped from outside.
        """
        key = fingerprint([dict(files), command, timeout_s])
        with self._lock:
            running = self._running[key]
        with running:
            if (found := self._results.get(key)) is None:
                found = self._results[key] = self._run(files, command, timeout_s, task)
            return found

    def _run(self, files: Mapping[str, str], command: str, timeout_s: float, task: str) -> ProgramResult:
        content = {f"{_FOLDER}/{name}": text.encode("utf-8", "replace") for name, text in files.items()}
        try:
            with Sandbox(self.engine, BASE_IMAGE, "grade", case=task, limits=_LIMITS) as sandbox:
                sandbox.put(content)
                ran = sandbox.run_command(
                    f"cd {shlex.quote(_FOLDER)} && {command}",
                    timeout_s=timeout_s,
                    keep_bytes=_KEPT_BYTES,
                    checkpoint=self.checkpoint,
                )
        except WriteLimitError as error:
            return ProgramResult(str(error), None)
        return ProgramResult(ran.output, ran.exit_code, timed_out=ran.ended is Ended.timeout)
