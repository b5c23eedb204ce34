"""Runs the rehearsal of routers: the whole live track on small tasks and simulated models, side by side, free of
charge.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.rehearsal.provider import Faults, SimulatedModels, simulated_provider
from dynamic_track.rehearsal.shared_verdicts import SharedVerdicts
from dynamic_track.rehearsal.simulation import KnownTask
from dynamic_track.rehearsal.skills import SkillTable, read_skill_table
from dynamic_track.rehearsal.virtual_time import DeclaredTimeSource, VirtualClocks
from dynamic_track.running.agent import AgentSettings
from dynamic_track.running.execution import ExecutionLimits, Provider, RunSetup, ended_trials, execute_plan
from dynamic_track.running.nodes import CaseExecutor, Node, node_executor
from dynamic_track.running.runner import RunSummary
from dynamic_track.running.score import score_trials
from dynamic_track.running.stopping import Stop
from dynamic_track.tasks.task import Task
from twinbench.display.progress import Progress, no_progress
from twinbench.executing.executor import collect_results
from twinbench.executing.places import Places
from twinbench.executing.threads import Threads
from twinbench.fingerprint import fingerprint
from twinbench.plugins.limits import NOT_LOADED, RouterLoadError, RouterRefusedError
from twinbench.plugins.loading import LoadedRouter
from twinbench.providers.gateway import Gateway
from twinbench.storage.manifests import LiveManifest
from twinbench.storage.store import Store

MEMORY_FILE = "provider.jsonl"
"""In a run's directory: what the simulated models billed, so that their caches survive a killed run."""

_MAX_NAME_LENGTH = 40
_VERDICTS = "verdicts"
"""The folder beside those of the routers with the verdicts that their runs share (``VerdictStore``)."""


@dataclass(frozen=True)
class Rehearsal:
    """What the runs of several routers, under one seed or several, have in common."""

    tasks: Sequence[Task]
    """The cases."""
    known: Sequence[KnownTask]
    """The cases as the simulated models know them."""
    task_set: str
    """The fingerprint of the task set that the cases come from."""
    pool: LiveManifest
    settings: AgentSettings
    seeds: Sequence[str] = ("0",)
    """The seeds of the session keys and of the models' random choices; every router runs every case under each seed."""
    faults: Faults = field(default_factory=Faults)
    skills: SkillTable = field(default_factory=read_skill_table)
    on_router_error: str | None = None
    """The tier that answers when a router fails."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Where the tasks and the pool were found, for a replay."""

    def simulated_models(self, seed: str, memory: Path) -> SimulatedModels:
        """Make the models of a run.

        Args:
            seed: seed of their random choices.
            memory: the file that keeps what their prompt caches hold, for a run that is continued.
        """
        return SimulatedModels(self.known, self.pool, seed=seed, faults=self.faults, skills=self.skills, memory=memory)

    @property
    def simulation_fingerprint(self) -> str:
        """The fingerprint of the simulated models: their skills, what they know, and their faults."""
        return fingerprint(
            {
                "skills": self.skills.fingerprint,
                "faults": [self.faults.share, *self.faults.kinds],
                "edits": {each.id: [each.difficulty, each.edits.model_dump()] for each in self.known},
            }
        )

    def run_setup(self, router: LoadedRouter, seed: str) -> RunSetup:
        """Return the settings of a router's run under a seed."""
        return RunSetup(
            router,
            self.task_set,
            self.pool,
            self.settings,
            seed,
            on_router_error=self.on_router_error,
            simulation=self.simulation_fingerprint,
        )


@dataclass(frozen=True)
class RehearsalRun:
    """One run of a rehearsal: a router on every case under one seed."""

    router: str
    seed: str
    summary: RunSummary


def name_run_folders(routers: Sequence[str]) -> list[str]:
    """Name a folder for each router after its spec, with a number where that name is already used.

    For a router in a file, the name leaves out the folders of that file; it keeps the folders that its arguments name.
    """
    taken = {_VERDICTS}
    found: list[str] = []
    for router in routers:
        name, mark, arguments = router.partition("?")
        file = name if "://" in name else name.rpartition("/")[2]
        plain = _plain(f"{file}{mark}{arguments}") or "router"
        numbered = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
        found.append(next(name for name in numbered if name not in taken))
        taken.add(found[-1])
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_MAX_NAME_LENGTH]


def rehearse(
    places: Places[Node],
    rehearsal: Rehearsal,
    routers: Sequence[LoadedRouter],
    folder: Path,
    *,
    limits: ExecutionLimits,
    runs_at_once: int,
    cases_at_once: int | None = 1,
    stop: Stop | None = None,
    progress: Progress = no_progress,
    notify: Callable[[str], None] = lambda _: None,
) -> list[RehearsalRun]:
    """Run every router on every case under every seed, or continue runs that were ended early.

    Each run has the directory ``ROUTER/seed-SEED``. A patch that several runs submit is graded once. A router whose
    first three cases in a row are lost to the same infrastructure cause stops there, unless faults are declared: then
    the faults lose cases, and continuing costs nothing. For a router that cannot be loaded no case is run, and the
    others continue.

    Args:
        places: the nodes for containers, which all runs share; they have the images, or build them.
        rehearsal: the common settings of the runs.
        routers: the specs of the routers.
        folder: the folder of the run directories.
        limits: the limits of each run.
        runs_at_once: how many runs are executed at once.
        cases_at_once: how many cases of a run are executed at once at most; None: as many as the nodes take.
        stop: ends all runs early.
        progress: called with the number of cases that are done.
        notify: called with a message about each node that takes no more cases.

    Returns:
        The runs, router by router in the order given, and for each router seed by seed.
    """
    all_stop = Stop(beside=stop)
    together = _CombinedProgress(progress, len(routers) * len(rehearsal.seeds) * len(rehearsal.tasks))
    verdicts = VerdictStore(Store(folder))
    names = name_run_folders([router.name for router in routers])
    runs = [(number, seed) for seed in rehearsal.seeds for number in range(len(routers))]
    not_loaded: dict[int, RouterLoadError | RouterRefusedError] = {}

    def run(which: tuple[int, str], _place: None) -> RehearsalRun:
        number, seed = which
        router = routers[number]
        run_dir = folder / names[number] / f"seed-{_plain(seed)}"
        if number not in not_loaded and not all_stop.requested:
            progress(f"loading {router.name}", 0, None)
            try:
                summary = _execute_run(
                    node_executor(places, max_jobs=cases_at_once, notify=notify),
                    rehearsal,
                    router,
                    seed,
                    run_dir,
                    verdicts=SharedVerdicts(Store(run_dir), verdicts),
                    limits=limits,
                    stop=Stop(run_dir, beside=all_stop),
                    progress=together.for_run(which),
                )
                return RehearsalRun(router.name, seed, summary)
            except NOT_LOADED as error:
                not_loaded[number] = error
        summary = _summarise_without_running(rehearsal, router, seed, run_dir, not_loaded.get(number))
        return RehearsalRun(router.name, seed, summary)

    rehearsed = collect_results(Threads({None: runs_at_once}), runs, run, stop=all_stop.request)
    if len(not_loaded) == len(routers):
        raise not_loaded[0]
    done = dict(zip(runs, rehearsed, strict=True))
    return [done[number, seed] for number in range(len(routers)) for seed in rehearsal.seeds]


def _summarise_without_running(
    rehearsal: Rehearsal, router: LoadedRouter, seed: str, run_dir: Path, not_loaded: Exception | None
) -> RunSummary:
    """Summarise a run that is not executed now, from its earlier executions."""
    chosen = {task.id for task in rehearsal.tasks}
    ended = [trial for trial in ended_trials(run_dir, rehearsal.run_setup(router, seed)) if trial.id in chosen]
    return RunSummary(
        str(run_dir),
        score_trials(ended, rehearsal.pool, not_loaded=None if not_loaded is None else str(not_loaded)),
        left=0 if not_loaded is not None else len(chosen) - len(ended),
    )


def _execute_run(
    executor: CaseExecutor,
    rehearsal: Rehearsal,
    router: LoadedRouter,
    seed: str,
    run_dir: Path,
    *,
    verdicts: VerdictStore,
    limits: ExecutionLimits,
    stop: Stop,
    progress: Progress,
) -> RunSummary:
    run_dir.mkdir(parents=True, exist_ok=True)
    models = rehearsal.simulated_models(seed, run_dir / MEMORY_FILE)
    clocks = VirtualClocks()
    with simulated_provider(models, rehearsal.pool) as server, Gateway(server.api_base, None) as gateway:
        return execute_plan(
            executor,
            rehearsal.run_setup(router, seed),
            rehearsal.tasks,
            run_dir,
            Provider(DeclaredTimeSource(gateway, clocks), clocks=clocks),
            sources=rehearsal.sources,
            limits=limits,
            breaker=not rehearsal.faults.share,
            stop=stop,
            progress=progress,
            verdicts=verdicts,
        )


class _CombinedProgress:
    """Reports the progress of several runs as one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done: dict[tuple[int, str], int] = {}
        self._lock = threading.Lock()

    def for_run(self, run: tuple[int, str]) -> Progress:
        """Return the progress callback of one of the runs."""

        def report(_what: str, done: int, _total: int | None) -> None:
            with self._lock:
                self._done[run] = done
                self._progress("rehearsing, cases", sum(self._done.values()), self._total)

        return report
