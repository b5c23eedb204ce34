"""Prepares a rehearsal from what the user chose, and runs routers in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from dynamic_track.rehearsal.provider import Faults
from dynamic_track.rehearsal.rehearsal_runs import Rehearsal, rehearse
from dynamic_track.rehearsal.simulation import known_tasks
from dynamic_track.rehearsal.skills import read_skill_table
from dynamic_track.rehearsal.standings import RehearsalResult
from dynamic_track.running.admission import CaseImages
from dynamic_track.running.agent import ActionFormat, agent_settings, parse_action_format
from dynamic_track.running.cluster_nodes import cluster_places
from dynamic_track.running.execution import ExecutionLimits
from dynamic_track.running.nodes import Node, fixed_places
from dynamic_track.running.preparing import require_tier
from dynamic_track.running.stopping import Stop, StoppedError
from dynamic_track.running.trained_routers import admit_router
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.selection import TaskChoice
from twinbench.containers.engine import MIN_FREE_MIB, Engine
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.executing.ray_cluster import RayCluster
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import LoadedRouter, load_router
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest
from twinbench.storage.store import runs_dir

DEFAULT_SKILLS = "spread"

_MEMORY_MIB = 1024
_TESTS_TIMEOUT_S = 300
"""The time limit of the tests in seconds: enough for the rehearsal's own tasks."""


def parse_seeds(seed: str, seeds: str | None) -> tuple[str, ...]:
    """Return the seeds that ``--seed`` and ``--seeds`` name: ``5`` means 0 to 4, ``5,7`` means these two.

    Raises:
        UsageError: the value names no seeds, or the same seed twice.
    """
    if seeds is None:
        return (seed,)
    if seed != "0":
        raise UsageError(f"--seed {seed} --seeds {seeds}: give only one of the two options")
    named = [part.strip() for part in seeds.split(",") if part.strip()]
    whole = all(part.isascii() and part.isdecimal() for part in named)
    found = [str(int(part)) for part in named] if whole else []
    if "," not in seeds and found:
        found = [str(number) for number in range(int(found[0]))]
    if not found or len(set(found)) < len(found):
        raise UsageError(
            f"--seeds {seeds}: give the number of seeds, such as 5, or different whole numbers, such as 5,7"
        )
    return tuple(found)


def prepare_rehearsal(
    choice: TaskChoice | None = None,
    *,
    pool: str = DEFAULT_LIVE,
    seeds: Sequence[str] = ("0",),
    skills: str = DEFAULT_SKILLS,
    faults: str | None = None,
    actions: str = ActionFormat.tool.value,
    on_router_error: str | None = None,
    progress: Progress = no_progress,
) -> Rehearsal:
    """Read the tasks, the pool and the skills of a rehearsal.

    Args:
        choice: the tasks, each with declared edits; default: our own 21.
        pool: the live pool that is simulated, by name or file.
        seeds: seeds of the session keys and of the models' random choices.
        skills: the models' declared skills, by name or file.
        faults: the share of attempts that fail, and how, such as ``0.1:429,cut``; None: no attempt fails.
        actions: how models state the commands to run, ``tool`` or ``text``.
        on_router_error: the tier that answers when a router fails; None: the case is unresolved.
        progress: called with the number of tasks that have been read.

    Raises:
        UsageError: an argument names something that does not exist.
        ContentError: a task declares no edits, or a file of skills is not valid.
    """
    style = parse_action_format(actions)
    manifest = live_manifest(pool)
    require_tier(on_router_error, manifest)
    choice = choice or TaskChoice()
    chosen, all_of = choice.load(progress)
    return Rehearsal(
        tasks=chosen,
        known=known_tasks(chosen, all_of.tasks),
        task_set=all_of.fingerprint,
        pool=manifest,
        settings=agent_settings(style, manifest.agent),
        seeds=tuple(seeds),
        faults=Faults.parse(faults),
        skills=read_skill_table(skills),
        on_router_error=on_router_error,
        sources={"tasks": choice.tasks, "dataset": None, "pool": pool, "skills": skills},
    )


def load_routers(
    rehearsal: Rehearsal, specs: Sequence[str], plugins: PluginLimits | None, *, in_sample: bool
) -> list[LoadedRouter]:
    """Load the routers of a rehearsal.

    Args:
        rehearsal: contains the tasks.
        specs: the routers' specs.
        plugins: limits of user routers' processes.
        in_sample: also load routers that were trained on the tasks, under a name that says so.

    Raises:
        UsageError: a router does not exist, or was trained on the tasks and ``in_sample`` is false.
    """
    return [admit_router(load_router(spec, plugins), rehearsal.tasks, in_sample=in_sample) for spec in specs]


def rehearse_routers(
    rehearsal: Rehearsal,
    routers: Sequence[LoadedRouter],
    folder: Path | None = None,
    *,
    resampling: Resampling | None,
    workers: int = 2,
    min_free_mib: int = MIN_FREE_MIB,
    cluster: RayCluster | None = None,
    stop: Stop | None = None,
    progress: Progress = no_progress,
    notify: Callable[[str], None] = lambda _: None,
) -> RehearsalResult:
    """Run routers live on small tasks and simulated models, in real containers, without any cost.

    Args:
        rehearsal: the common settings of the runs.
        routers: the specs of at least one router.
        folder: the folder of run directories ``ROUTER/seed-SEED``; existing runs are continued. Default: a new folder.
        resampling: how tasks are resampled; None: no intervals, tests and ranks.
        workers: how many runs are executed at once, one case of each; with a cluster, how many cases each node executes
            at once.
        min_free_mib: start no case with less free disk space.
        cluster: the Ray cluster whose nodes execute the cases; None: the engine of this machine.
        stop: ends all runs early.
        progress: called with the number of cases that are done.
        notify: called with a message about each node that joins, is lost, or takes no cases.

    Raises:
        ClusterError, NoPlaceError: the cluster cannot be used, or has no node that takes cases.
        CausedError: no container engine answers.
        UsageError: a run directory belongs to a different run.
    """
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name a folder for the run directories")
    limits = ExecutionLimits(memory_mib=_MEMORY_MIB, min_free_mib=min_free_mib, tests_s=_TESTS_TIMEOUT_S)
    execute = partial(rehearse, rehearsal=rehearsal, routers=routers, limits=limits, stop=stop, progress=progress)
    if cluster is None:
        with Engine.connect() as engine:
            where = new_rehearsal_folder() if folder is None else folder
            checkpoint = (stop or Stop()).raise_if_requested
            with suppress(StoppedError):  # then all runs are left as they are
                prepare_images(engine, rehearsal.tasks, build_them=True, checkpoint=checkpoint, progress=progress)
            node = Node(engine, CaseImages(engine, rehearsal.tasks, build=False), workers)
            done = execute(fixed_places([node]), folder=where, runs_at_once=workers)
        return RehearsalResult(rehearsal, done, where, resampling)
    runs = len(routers) * len(rehearsal.seeds)
    with cluster_places(
        cluster,
        cases=runs * len(rehearsal.tasks),
        workers=workers,
        images=lambda engine: CaseImages(engine, rehearsal.tasks, build=True, progress=progress),
        min_free_mib=min_free_mib,
        notify=notify,
    ) as places:
        where = new_rehearsal_folder() if folder is None else folder
        at_once = min(runs, places.capacity)
        done = execute(places, folder=where, runs_at_once=at_once, cases_at_once=None, notify=notify)
    return RehearsalResult(rehearsal, done, where, resampling)


def new_rehearsal_folder() -> Path:
    """Return a new folder for the runs of one rehearsal: in a checkout beside its results, otherwise beside the task
    store.
    """
    return runs_dir() / f"rehearsal-{datetime.now().astimezone():%Y-%m-%d-%H%M%S}"
