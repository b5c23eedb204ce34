"""Routers rehearsed: the whole live track on small tasks and simulated models, side by side, for nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.provider import Faults, SimulatedModels, simulated_provider
from dynamic_track.rehearsal.simulation import Known
from dynamic_track.rehearsal.skills import SkillTable, skill_table
from dynamic_track.rehearsal.virtual_time import DeclaredTime, VirtualClocks
from dynamic_track.running.admission import Images
from dynamic_track.running.agent import AgentSettings
from dynamic_track.running.executors import Node, Threads
from dynamic_track.running.runner import RunSummary
from dynamic_track.running.sitting import Plan, Provider, SittingLimits, sit
from dynamic_track.running.stopping import Stop
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.task import Task
from twinbench.containers.engine import Engine
from twinbench.fingerprint import fingerprint
from twinbench.plugins.loading import LoadedRouter
from twinbench.pools import LiveManifest
from twinbench.progress import Progress
from twinbench.providers.gateway import Gateway

MEMORY_FILE = "provider.jsonl"
"""In a run's directory: what the simulated models billed, so that their caches outlive a killed run."""

_MOST_NAME = 40


@dataclass(frozen=True)
class Rehearsal:
    """What the rehearsals of several routers have in common."""

    tasks: Sequence[Task]
    """The cases."""
    known: Sequence[Known]
    """The same as simulated models know them."""
    task_set: str
    """Fingerprint of the set that they are from."""
    pool: LiveManifest
    settings: AgentSettings
    seed: str = "0"
    faults: Faults = field(default_factory=Faults)
    skills: SkillTable = field(default_factory=skill_table)
    on_router_error: str | None = None
    """The tier that answers where a router fails."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Where tasks and pool were found, for a replay."""

    @property
    def simulation(self) -> str:
        """Fingerprint of the simulated models: their skills, what they know, what goes wrong."""
        return fingerprint(
            {
                "skills": self.skills.fingerprint,
                "faults": [self.faults.share, *self.faults.kinds],
                "edits": {each.id: [each.difficulty, each.edits.model_dump()] for each in self.known},
            }
        )

    def plan(self, router: LoadedRouter) -> Plan:
        """The plan of a router's run."""
        return Plan(
            router,
            self.task_set,
            self.pool,
            self.settings,
            self.seed,
            on_router_error=self.on_router_error,
            simulation=self.simulation,
        )


def run_name(number: int, router: str) -> str:
    """A folder's name for the run of a router: its place on the command line, and what can be told of its spec."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", router.rpartition("/")[2]).strip("-.")
    return f"{number}-{plain[:_MOST_NAME] or 'router'}"


def rehearse(
    engine: Engine,
    rehearsal: Rehearsal,
    routers: Sequence[LoadedRouter],
    folder: Path,
    *,
    limits: SittingLimits,
    workers: int,
    stop: Stop | None = None,
    progress: Progress | None = None,
) -> list[RunSummary]:
    """Run every router on every case, or go on where that was ended.

    A router whose first three cases in a row are lost to one infrastructure cause stops there, unless faults are
    declared: then it is they that lose cases, and nothing is spent by going on.

    Args:
        engine: for containers.
        rehearsal: what they have in common.
        routers: in the order of the result.
        folder: for a run directory each.
        limits: of each run.
        workers: how many routers run at once.
        stop: ends all runs early.
        progress: told how many cases are done.
    """
    prepare_images(engine, rehearsal.tasks, build_them=True, progress=progress)
    told = _Together(progress, len(routers) * len(rehearsal.tasks))

    def run(number: int, router: LoadedRouter) -> RunSummary:
        return _rehearsed(
            engine,
            rehearsal,
            router,
            folder / run_name(number, router.name),
            limits=limits,
            stop=Stop(folder / run_name(number, router.name), beside=stop),
            progress=told.of(number),
        )

    with ThreadPoolExecutor(workers, "twinbench-rehearsal") as pool:
        return list(pool.map(run, range(1, len(routers) + 1), routers))


def _rehearsed(
    engine: Engine,
    rehearsal: Rehearsal,
    router: LoadedRouter,
    run_dir: Path,
    *,
    limits: SittingLimits,
    stop: Stop,
    progress: Progress,
) -> RunSummary:
    run_dir.mkdir(parents=True, exist_ok=True)
    models = SimulatedModels(
        rehearsal.known,
        rehearsal.pool,
        seed=rehearsal.seed,
        faults=rehearsal.faults,
        skills=rehearsal.skills,
        memory=run_dir / MEMORY_FILE,
    )
    clocks = VirtualClocks()
    with simulated_provider(models, rehearsal.pool) as server, Gateway(server.api_base, None) as gateway:
        return sit(
            Threads([Node(engine, Images(engine, rehearsal.tasks, build=False))]),
            rehearsal.plan(router),
            rehearsal.tasks,
            run_dir,
            Provider(DeclaredTime(gateway, clocks), clocks=clocks),
            where=rehearsal.where,
            limits=limits,
            breaker=not rehearsal.faults.share,
            stop=stop,
            progress=progress,
        )


class _Together:
    """The progress of several runs as one."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done: dict[int, int] = {}
        self._lock = threading.Lock()

    def of(self, number: int) -> Progress:
        """The progress of one of them."""

        def told(_what: str, done: int, _total: int | None) -> None:
            if self._progress is not None:
                with self._lock:
                    self._done[number] = done
                    self._progress("rehearsing, cases", sum(self._done.values()), self._total)

        return told
