"""An executor for tests: candidates and checks are shell scripts, run in processes of their own.

A folder holds ``candidates/TIER-NAME.sh`` and ``tasks/NAME.sh``. A candidate is given ``TASK``, ``STEP``, ``REPEAT``
and the conversation on standard input, and says a line; a line that ends in ``done`` is the last one. The task's script
is given all lines as arguments, and its exit code is the verdict. A candidate that fails is lost infrastructure.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from twinbench.causes import Cause
from twinbench.construction.execution import (
    Assignment,
    BuildStoppedError,
    ConstructionTask,
    ExecutedStep,
    Execution,
    ExecutorContext,
)
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_file
from twinbench.routing.tiers import TIER_LABELS
from twinbench.routing.usage import Usage

MOST_STEPS = 6
BEGUN_FILE = "begun.txt"
"""In the executor's folder: a line for each execution that was begun."""
CALLS_FILE = "calls.txt"
"""Likewise, for each call that was paid."""


class ShellExecutor:
    """Executes tasks of a folder."""

    def __init__(self, folder: Path, usd_a_call: Decimal, context: ExecutorContext) -> None:
        self._folder = folder
        self._usd = usd_a_call
        self._context = context
        self._lock = threading.Lock()
        self._cache_file = context.directory / "cache.jsonl"
        self._cache: dict[str, str] = {}
        if self._cache_file.exists():
            for line in self._cache_file.read_text("utf-8").splitlines():
                try:
                    self._cache |= json.loads(line)
                except ValueError:  # cut short by a kill
                    continue
        scripts = sorted((folder / "candidates").glob("*.sh"))
        self._scripts = {path.stem: path for path in scripts}
        self._tasks = sorted((folder / "tasks").glob("*.sh"))

    @property
    def tasks(self) -> Sequence[ConstructionTask]:
        return [ConstructionTask(path.stem, "shell", path.stem.partition("-")[0]) for path in self._tasks]

    @property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        return {tier: [name for name in self._scripts if name.partition("-")[0] == tier] for tier in TIER_LABELS}

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"files": {path.name: sha256_file(path) for path in (*self._scripts.values(), *self._tasks)}}

    @property
    def spent_usd(self) -> Decimal:
        return self._usd * len(self._cache)

    def worst_case_usd(self, task: str) -> Decimal:
        return self._usd * MOST_STEPS

    def execute(self, task: str, assignment: Assignment, repeat: int) -> Execution:
        self._note(BEGUN_FILE, json.dumps([task, assignment.first, assignment.rest, repeat]))
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"Solve {task}."}]
        steps: list[ExecutedStep] = []
        said: list[str] = []
        spent, paid = Decimal(0), 0
        while len(steps) < MOST_STEPS and not (said and said[-1].endswith("done")):
            candidate = assignment.candidate(len(steps) + 1)
            key = fingerprint([task, candidate, repeat, messages])
            answer = self._cache.get(key)
            if answer is None:
                if self._context.is_stopping():
                    raise BuildStoppedError
                if self._context.cap_usd is not None and self.spent_usd + self._usd > self._context.cap_usd:
                    return self._lost(task, assignment, repeat, Cause.cap, "the cap leaves no room for another call")
                named = {"TASK": task, "STEP": str(len(steps) + 1), "REPEAT": str(repeat)}
                done = subprocess.run(
                    ["sh", self._scripts[candidate]],
                    input=json.dumps(messages),
                    capture_output=True,
                    text=True,
                    env=named | {"PATH": os.environ["PATH"]},
                    check=False,
                )
                if done.returncode != 0:
                    return self._lost(task, assignment, repeat, Cause.transport, done.stderr.strip())
                answer = done.stdout.strip()
                self._note(CALLS_FILE, key)
                with self._lock:
                    self._cache[key] = answer
                    with self._cache_file.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({key: answer}) + "\n")
                spent, paid = spent + self._usd, paid + 1
            usage = Usage(input=len(messages), output=len(answer))
            steps.append(ExecutedStep(tuple(messages), TOOLS, candidate, usage, self._usd))
            said.append(answer)
            messages = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": "Go on."}]
        check = self._folder / "tasks" / f"{task}.sh"
        passed = subprocess.run(["sh", check, *said], capture_output=True, check=False).returncode == 0
        return Execution(task, assignment, repeat, passed, steps, spend_usd=spent, paid_calls=paid)

    def _lost(self, task: str, assignment: Assignment, repeat: int, cause: Cause, detail: str) -> Execution:
        return Execution(task, assignment, repeat, None, (), cause, detail)

    def _note(self, name: str, line: str) -> None:
        with self._lock, (self._context.directory / name).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


TOOLS = [{"name": "say", "parameters": {"type": "object", "properties": {"line": {"type": "string"}}}}]


@contextmanager
def open_shell(settings: Mapping[str, Any], context: ExecutorContext) -> Iterator[ShellExecutor]:
    """Open the executor of a folder."""
    unknown = settings.keys() - {"folder", "usd_a_call"}
    if unknown:
        raise UsageError(f"{sorted(unknown)[0]}: is not a key that is known here")
    yield ShellExecutor(Path(settings["folder"]), Decimal(settings.get("usd_a_call", "0")), context)
