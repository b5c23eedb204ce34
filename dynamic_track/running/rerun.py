"""Replay a finished run, or grade it again, given only its directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from dynamic_track import harness
from dynamic_track.grading.verdict import GradingLimits
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.running.admission import CaseImages
from dynamic_track.running.agent import ActionFormat, agent_settings
from dynamic_track.running.folders import PLAN_FILE
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.regrading import RegradeResult, regrade
from dynamic_track.running.replay import ReplayResult, replay
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.saved_run import read_run
from dynamic_track.running.trial import TrialContext
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from twinbench.calls.budget import Budget
from twinbench.calls.metered import MeteredLlm
from twinbench.calls.routed import ComparingDecider, Decider, RecordingDecider
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.plugins.seen import without_mark
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.store import Store
from twinbench.storage.temporary_folders import temporary_folder


def replay_run(
    run_dir: Path,
    *,
    route: bool = False,
    only: Sequence[str] = (),
    tasks: str | None = None,
    dataset: str | None = None,
    pool: str | None = None,
    router: str | None = None,
    build: bool = False,
    limits: GradingLimits | None = None,
    plugins: PluginLimits | None = None,
    progress: Progress = no_progress,
) -> ReplayResult:
    """Replay a recorded run with real containers and grading but without a provider, and compare everything.

    Args:
        run_dir: the run directory, or a copy of it; nothing in it is changed.
        route: ask the router again, and compare its decisions with the recorded ones.
        only: globs of cases; empty for all.
        tasks: where the tasks are, if they were moved.
        dataset: where ``verified`` or ``heldout100`` are loaded from.
        pool: the run's pool, by name or file, if it was moved.
        router: the router's spec for ``route``, if it was moved.
        build: build images from the tasks' Dockerfiles.
        limits: limits of containers and grading.
        plugins: limits of the router's process.
        progress: called with the number of finished trials.

    Raises:
        UsageError: the run does not exist, no trial of it has ended, or it was imported.
        CausedError: the engine does not answer.
    """
    run = read_run(run_dir)
    plan = run.plan
    if plan.is_imported:
        raise UsageError(f"{run_dir} was imported: only its model calls can be replayed (use: dynamic replay)")
    if router is not None and not route:
        raise UsageError("--router needs --route, which asks the router again")
    limits = limits or GradingLimits()
    notes = []
    loaded = None
    if route:
        loaded = load_router(router or without_mark(plan.router), plugins)
        if loaded.fingerprint != plan.router_fingerprint:
            notes.append("the router or its conditions (files, limits, environment) differ from the recorded run")
    if (then := plan.grader.get("swebench")) != (now := harness.version()):
        notes.append(f"the run was graded with swebench {then}, this replay grades with {now}")
    recorded = [each for each in run.matching_trials(only) if each.end is not None]
    if not recorded:
        raise UsageError(f"{run_dir}: no trial of this run has ended{' and matches --only' if only else ''}")
    found = {
        task.id: task
        for task in load_tasks(tasks or plan.sources["tasks"], dataset or plan.sources.get("dataset")).tasks
    }
    manifest = live_manifest(pool or plan.pool)
    settings = agent_settings(_actions_of(run_dir, plan), manifest.agent)
    with ExitStack() as stack:
        engine = stack.enter_context(Engine.connect())
        wanted = [found[each.case] for each in recorded if each.case in found]
        failed = prepare_images(engine, wanted, build_them=build, progress=progress)
        decider: Decider = RecordingDecider()
        own = MeteredLlm(manifest, None, Budget(None))
        if loaded is not None:
            candidates = tuple(candidate.to_candidate() for candidate in manifest.candidates)
            decider = ComparingDecider(stack.enter_context(loaded.open(candidates, own)))
        bench = TrialContext(
            pool=manifest,
            settings=settings,
            decider=decider,
            source=None,
            budget=Budget(None),
            salt=plan.seed,
            on_router_error=plan.overrides.get("on_router_error"),
            router_llm=own,
            run=f"replay of {run_dir.resolve().name}",
            container=ContainerLimits(
                memory_mib=limits.memory_mib,
                network=plan.overrides["network"],
                min_free_mib=limits.min_free_mib,
            ),
            grading=limits,
        )
        graded_anew = stack.enter_context(temporary_folder())
        verdicts = VerdictStore(Store(graded_anew))
        replayed = replay(bench, engine, found, recorded, run.directory, verdicts, progress, failed)
    return replace(replayed, notes=tuple(notes), origin=run.origin)


def _actions_of(run_dir: Path, plan: RunPlan) -> ActionFormat:
    told = plan.agent.get("actions")
    if told not in list(ActionFormat):
        what = f"must be one of {', '.join(ActionFormat)}"
        raise ContentError([Problem(str(run_dir / PLAN_FILE), None, "identity.agent.actions", what)])
    return ActionFormat(told)


def regrade_run(
    run_dir: Path,
    *,
    build: bool = False,
    workers: int = 2,
    limits: GradingLimits | None = None,
    progress: Progress = no_progress,
) -> RegradeResult:
    """Grade all patches of a run again and update its directory; no model is asked.

    Args:
        run_dir: the run directory.
        build: build images from the tasks' Dockerfiles.
        workers: how many patches are graded in parallel.
        limits: limits of grading.
        progress: called with the number of graded patches.

    Raises:
        UsageError: the run does not exist.
        CausedError: the engine does not answer.
    """
    run = RunDirectory(run_dir)
    plan = run.plan()
    found = load_tasks(plan.sources["tasks"], plan.sources.get("dataset")).tasks
    with Engine.connect() as engine:
        return regrade(
            engine,
            run,
            {task.id: task for task in found},
            live_manifest(plan.pool),
            limits or GradingLimits(),
            CaseImages(engine, found, build=build, progress=progress),
            workers=workers,
            progress=progress,
        )
