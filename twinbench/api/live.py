"""Library functions of the live track (``import twinbench as tb``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.api.arguments import require_at_least, require_resampling, seed_list, spec_list, validate_patches
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest
from twinbench.storage.store import Store

if TYPE_CHECKING:
    from dynamic_track.auditing.audit import Audit
    from dynamic_track.grading.patches import Grades
    from dynamic_track.rehearsal.standings import RehearsalResult
    from dynamic_track.results.live_score import LiveScore, RunComparison
    from dynamic_track.running.regrading import RegradeResult
    from dynamic_track.running.replay import ReplayResult
    from dynamic_track.running.runner import RunSummary
    from dynamic_track.tasks.selection import TaskChoice
    from twinbench.executing.ray_cluster import RayCluster

DEFAULT_RESAMPLING = Resampling()


def score_run(
    run: Path | str,
    *,
    exclude_infra: bool = False,
    prices: str | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> LiveScore:
    """Compute the score of a live run from its directory.

    Args:
        run: the run directory, or a copy of it.
        exclude_infra: leave cases that ended because of infrastructure out of all totals.
        prices: a pool whose prices are applied to the recorded usage instead of the run's own.
        resampling: how cases are resampled for intervals.
    """
    from dynamic_track.results.live_score import live_score
    from dynamic_track.results.loading import load_run

    loaded = load_run(Path(run), None if prices is None else live_manifest(prices))
    return live_score(loaded, resampling, exclude_infra=exclude_infra)


def compare_runs(
    first: Path | str, second: Path | str, *, resampling: Resampling = DEFAULT_RESAMPLING
) -> RunComparison:
    """Compare two live runs case by case."""
    from dynamic_track.results.live_score import compare_two_runs
    from dynamic_track.results.loading import load_run

    return compare_two_runs(load_run(Path(first)), load_run(Path(second)), resampling)


def run(
    router: str,
    tasks: str | TaskChoice = "rehearsal",
    *,
    run: Path | str,
    api_base: str,
    progress: Progress = no_progress,
    **more: Any,
) -> RunSummary:
    """Let mini-swe-agent solve tasks while the router picks the model for every call; an existing run is continued.

    There is no question before money is spent: ``run_usd`` is the spending cap. To see what a run would do and may
    cost, use ``dynamic_track.running.preparing.prepare_run``.

    Args:
        router: a router spec.
        tasks: ``verified``, ``heldout100``, ``rehearsal``, a file or folder, or a ``TaskChoice``.
        run: the run directory; an existing run is continued.
        api_base: the OpenAI-compatible gateway, such as ``https://host/v1``.
        progress: called as images are fetched or built.
        more: other fields of ``twinbench.RunRequest``: ``api_key_env``, ``run_usd``, ``pool``, ``workers``, ``trials``…

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from pydantic import TypeAdapter, ValidationError

    from dynamic_track.running.preparing import RunRequest, prepare_run

    named = {
        "router": spec_list(router)[0],
        "run_dir": Path(run),
        "api_base": api_base,
        "choice": _to_task_choice(tasks),
    }
    try:
        request = TypeAdapter(RunRequest).validate_python(named | more)
    except ValidationError as error:
        details = error.errors()[0]
        raise UsageError(f"{field_path(details['loc'])}: {describe_validation_error(details)}") from None
    return prepare_run(request, progress).execute(progress=progress)


def rehearse(
    routers: str | Sequence[str],
    tasks: str | TaskChoice = "rehearsal",
    *,
    runs: Path | str | None = None,
    seeds: int | Sequence[int | str] = 1,
    pool: str = DEFAULT_LIVE,
    skills: str = "spread",
    faults: str | None = None,
    action_format: str = "tool",
    on_router_error: str | None = None,
    workers: int = 2,
    cluster: RayCluster | None = None,
    min_free_mib: int = 2048,
    in_sample: bool = False,
    plugins: PluginLimits | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    progress: Progress = no_progress,
) -> RehearsalResult:
    """Run routers live on small tasks with simulated models: real containers and tests, but no API key and no spend.

    Args:
        routers: router specs.
        tasks: twinbench's own 21 tasks, a folder in task-repo format whose tasks declare edits, or a ``TaskChoice``.
        runs: the folder for the run directories; existing runs are continued. Default: a new folder.
        seeds: the number of seeds (from 0), or a list of seeds.
        pool: the live pool that is simulated, by name or file.
        skills: the models' declared skills: ``spread``, ``flat-2026``, or a file.
        faults: the share of attempts that fail, and how, such as ``0.1:429,cut``; None: none fails.
        action_format: how models give their commands: by ``tool`` call or as ``text``.
        on_router_error: the tier that answers if a router fails; None: the case is unresolved.
        workers: how many runs are executed in parallel; with a cluster, how many cases on each node.
        cluster: the Ray cluster whose nodes execute the cases; None: the engine of this machine.
        min_free_mib: start no case with less free disk space than this, in MiB.
        in_sample: run trained routers also on tasks that they were trained on, and mark them.
        plugins: limits of user routers' processes, and where they run.
        resampling: how tasks are resampled for intervals, tests and ranks; None: without these.
        progress: called with the number of finished cases.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.rehearsal.preparing import load_routers, prepare_rehearsal, rehearse_routers

    asked = spec_list(routers)
    require_at_least(1, workers=workers)
    require_resampling(resampling)
    rehearsal = prepare_rehearsal(
        _to_task_choice(tasks),
        pool=pool,
        seeds=seed_list(seeds),
        skills=skills,
        faults=faults,
        actions=action_format,
        on_router_error=on_router_error,
        progress=progress,
    )
    return rehearse_routers(
        rehearsal,
        load_routers(rehearsal, asked, plugins, in_sample=in_sample),
        None if runs is None else Path(runs),
        resampling=resampling,
        workers=workers,
        cluster=cluster,
        min_free_mib=min_free_mib,
        progress=progress,
    )


def replay(
    run: Path | str,
    *,
    route: bool = False,
    only: Sequence[str] = (),
    tasks: str | None = None,
    dataset: str | None = None,
    pool: str | None = None,
    router: str | None = None,
    build: bool = False,
    plugins: PluginLimits | None = None,
    progress: Progress = no_progress,
) -> ReplayResult:
    """Replay a recorded run with real containers and grading but without a provider, and compare everything.

    Args:
        run: the run directory, or a copy of it.
        route: ask the router again, and compare its decisions with the recorded ones.
        only: globs of cases; empty for all.
        tasks: where the tasks are, if they were moved.
        dataset: where ``verified`` or ``heldout100`` are loaded from.
        pool: the run's pool, by name or file, if it was moved.
        router: the router's spec for ``route``, if it was moved.
        build: build images from the tasks' Dockerfiles.
        plugins: limits of a user router's process, and where it runs.
        progress: called with the number of finished trials.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.running.rerun import replay_run

    return replay_run(
        Path(run),
        route=route,
        only=[only] if isinstance(only, str) else only,
        tasks=tasks,
        dataset=dataset,
        pool=pool,
        router=router,
        build=build,
        plugins=plugins,
        progress=progress,
    )


def grade(
    patches: Mapping[str, str] | Path | str,
    tasks: str | TaskChoice = "rehearsal",
    *,
    workers: int = 2,
    build: bool = False,
    no_cache: bool = False,
    swebench_setting: Sequence[str] = (),
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Grades:
    """Grade whether patches resolve their tasks, as SWE-bench itself would.

    Args:
        patches: patches by task id, or a file of predictions in SWE-bench's format.
        tasks: ``verified``, ``heldout100``, ``rehearsal``, a file or folder, or a ``TaskChoice``.
        workers: how many patches are graded in parallel.
        build: build images from the tasks' Dockerfiles.
        no_cache: grade again even if a cached verdict exists.
        swebench_setting: globs of tasks that are graded in swebench's own setting.
        store: the folder in which verdicts are cached; default as on the command line.
        progress: called with the number of graded patches.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.grading.patches import grade_all
    from dynamic_track.grading.submissions import read_predictions
    from dynamic_track.grading.verdict_store import VerdictStore
    from twinbench.containers.engine import Engine

    require_at_least(1, workers=workers)
    wanted = validate_patches(patches) if isinstance(patches, Mapping) else read_predictions(Path(patches))
    chosen, all_of = _to_task_choice(tasks).load(progress, swebench_setting=swebench_setting)
    for name in wanted:
        all_of.task(name)
    if isinstance(patches, Mapping):  # only the given tasks, not the whole set
        chosen = tuple(task for task in chosen if task.id in wanted)
    with Engine.connect() as engine:
        return grade_all(
            engine,
            chosen,
            wanted,
            VerdictStore(Store(store)),
            workers=workers,
            build=build,
            no_cache=no_cache,
            progress=progress,
        )


def grade_run(
    run: Path | str, *, workers: int = 2, build: bool = False, progress: Progress = no_progress
) -> RegradeResult:
    """Grade all patches of a run again and update its directory; no model is called.

    Args:
        run: the run directory.
        workers: how many patches are graded in parallel.
        build: build images from the tasks' Dockerfiles.
        progress: called with the number of graded patches.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.running.rerun import regrade_run

    require_at_least(1, workers=workers)
    return regrade_run(Path(run), workers=workers, build=build, progress=progress)


def audit(
    run: Path | str,
    *,
    pool: str | None = None,
    head: tuple[int, str] | None = None,
    against: Sequence[Path | str] = (),
    progress: Progress = no_progress,
) -> Audit:
    """Audit a run: find everything in it that is inconsistent, and anything that a case must not do.

    Args:
        run: the run directory, or a copy of it; nothing in it is changed.
        pool: the run's pool, by name or file, if it was moved.
        head: number and hash of a journal line that were published earlier; the journal must contain that line.
        against: directories of other runs, which must not contain the same responses.
        progress: called for each check.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.auditing.audit import audit as audited
    from dynamic_track.auditing.audit import run_pool

    path = Path(run)
    if head is not None and list(map(type, head)) != [int, str]:
        raise UsageError(f"head is {head!r}: give the number of a line and its hash")
    return audited(path, run_pool(path, pool), head=head, against=[Path(each) for each in against], progress=progress)


def _to_task_choice(tasks: str | TaskChoice) -> TaskChoice:
    from dynamic_track.tasks.selection import TaskChoice

    return TaskChoice(tasks=tasks) if isinstance(tasks, str) else tasks
