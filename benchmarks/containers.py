"""What a command in a container costs, and what grading adds to the tests themselves."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measuring import Measurement, seconds
from dynamic_track.grading.verdict import grade
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.engine import Engine, NoEngineError
from twinbench.containers.sandbox import Sandbox
from twinbench.storage.store import Store

_COMMANDS = (
    "echo hello",
    "ls -la /etc",
    "cat /etc/passwd | sort | head -5",
    "grep -rn 'root' /etc/passwd /etc/group",
    "sed -n 1,20p /etc/services; exit 3",
)
_ROUNDS = 10
_THREADS = 16

Run = Callable[[str], object]


def measurements() -> Iterator[Measurement]:
    """Commands one by one and many at once, against mini-swe-agent's own environment; the grading of a patch."""
    try:
        engine = Engine.connect()
    except NoEngineError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    with engine:
        ensure_base_image(engine)
        yield from _commands(engine, 1, 0.5)
        yield from _commands(engine, _THREADS, 0.25)
        yield _grading(engine)


def _commands(engine: Engine, threads: int, limit: float) -> Iterator[Measurement]:
    with ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox(engine, BASE_IMAGE, "bench")) for _ in range(threads)]
        ours: list[Run] = [sandbox.run_command for sandbox in sandboxes]
        theirs = [_mini_swe_agent(str(sandbox.container.id)) for sandbox in sandboxes]
        for one, other in zip(ours, theirs, strict=True):  # both have seen their first command
            one("true")
            other("true")
        theirs_s, ours_s = _median_s(theirs), _median_s(ours)
    shown = "one thread" if threads == 1 else f"{threads} threads, a container each"
    yield Measurement(
        f"a command in a container, {shown}",
        seconds(ours_s),
        f"mini-swe-agent's DockerEnvironment, same containers and commands, {seconds(theirs_s)}",
        ours_s / theirs_s,
        limit,
    )


def _median_s(runs: Sequence[Run]) -> float:
    """The median duration of a command, with all of ``runs`` going at the same time."""

    def timed(run: Run) -> list[float]:
        found = []
        for command in _COMMANDS * _ROUNDS:
            started = time.perf_counter()
            run(command)
            found.append(time.perf_counter() - started)
        return found

    with ThreadPoolExecutor(len(runs)) as pool:
        return median(each for found in pool.map(timed, runs) for each in found)


def _mini_swe_agent(container: str) -> Run:
    """mini-swe-agent's own way to run a command, in a container that is there already."""
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", tempfile.gettempdir())
    from minisweagent.environments.docker import DockerEnvironment

    logging.getLogger("minisweagent").handlers.clear()

    class InContainer(DockerEnvironment):
        def _start_container(self) -> None:
            self.container_id = container

        def cleanup(self) -> None:
            pass  # the container is the sandbox's

    environment: Any = InContainer(image=BASE_IMAGE, interpreter=["bash", "-c"], timeout=60)
    return lambda command: environment.execute({"command": command})


def _grading(engine: Engine) -> Measurement:
    tasks = load_tasks("rehearsal").tasks
    prepare_images(engine, tasks, build_them=True)
    added = []
    with tempfile.TemporaryDirectory() as folder:
        verdicts = VerdictStore(Store(Path(folder)))
        for task in tasks:
            started = time.perf_counter()
            verdict = grade(engine, task, task.gold_patch, verdicts)
            assert verdict.resolved
            assert verdict.seconds is not None
            added.append(time.perf_counter() - started - verdict.seconds)
    return Measurement(
        "grading a patch, beside the time of its tests",
        f"median {seconds(median(added))}, most {seconds(max(added))} of {len(added)}",
        "the tests alone",
        max(added),
        2,
        unit=" s",
    )
