"""twinbench as a library: ``import twinbench as tb``.

board = tb.score([MyRouter(), "always-high"], bank="mine")
board.to_json()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from static_track.analysis.curves import POINTS, Curve
from static_track.analysis.curves import curve as _curve
from static_track.analysis.explain import Difference, Explanation
from static_track.analysis.explain import difference as _difference
from static_track.analysis.explain import explain as _explain
from static_track.banks.bank import Bank, BankInfo
from static_track.banks.importing import import_bank as _import_bank
from static_track.banks.opening import open_bank as _open_bank
from static_track.board import Board, Comparison
from static_track.judge import Judge
from static_track.leaks.checking import LeakReport
from static_track.leaks.checking import check_bank as _check_bank
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.providers.metering import metered_llm
from twinbench.routing.router import Router
from twinbench.routing.tiers import Tier
from twinbench.statistics import Resampling
from twinbench.storage.manifests import DEFAULT_LIVE, DEFAULT_STATIC, live_manifest, static_manifest
from twinbench.storage.store import Store
from twinbench.text.tokens import OFFLINE

if TYPE_CHECKING:
    from dynamic_track.auditing.audit import Audit
    from dynamic_track.grading.patches import Grades
    from dynamic_track.rehearsal.standings import RehearsalResult
    from dynamic_track.results.live_score import LiveScore, RunsCompared
    from dynamic_track.running.regrading import Regraded
    from dynamic_track.running.replay import Replayed
    from dynamic_track.running.runner import RunSummary
    from dynamic_track.tasks.selection import TaskChoice
    from static_track.many import Answers, ManyScores

DEFAULT_RESAMPLING = Resampling()


def open_bank(name: str | None = None, *, store: Path | str | None = None) -> Bank:
    """A bank of the store, opened for reading; without a name, the embedded one."""
    return _open_bank(name, Store(store))


def import_bank(path: Path | str, name: str, *, replace: bool = False, store: Path | str | None = None) -> BankInfo:
    """Bring a bank file into the store: all of it or nothing."""
    return _import_bank(str(path), name, Store(store), replace=replace)


def check_bank(name: str | None = None, *, split: str | None = None, store: Path | str | None = None) -> LeakReport:
    """How well the labels of a bank can be predicted without reading the conversation, as ``bank check`` says it.

    Args:
        name: of the bank in the store; default: the embedded bank.
        split: only this part of the bank.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.UsageError: the bank has no labels, or a single group.
    """
    with open_bank(name, store=store) as opened:
        return _check_bank(opened, split=opened.split(split))


def score(
    routers: str | Router | Sequence[str | Router],
    bank: str | None = None,
    *,
    split: str | None = None,
    predictions: Sequence[str] = (),
    tokenizers: str = OFFLINE,
    order_seed: int = 0,
    fresh: bool = False,
    api_base: str | None = None,
    api_key_env: str | None = None,
    router_usd: str | float | Decimal | None = None,
    pool: str = DEFAULT_LIVE,
    prices: str = DEFAULT_STATIC,
    plugins: PluginLimits | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Board:
    """Score routers on a bank, beside the references.

    Args:
        routers: specs, or instances. An instance runs in this process, is named ``instance:Class``, and its result is
            never kept.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        predictions: prediction files to score too.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        order_seed: another one asks routers about the trajectories in another order, which changes no honest router's
            score.
        fresh: run again what the store already holds.
        api_base: the gateway for routers that ask an LLM themselves, such as ``https://host/v1``.
        api_key_env: the environment variable with its key; None for a server that wants none.
        router_usd: the most that routers may spend there; needed where the pool costs anything.
        pool: the live pool that they may ask.
        prices: the static manifest with rates and cache lifetime, by name or file.
        plugins: what routers that are not built in may take, and where they run.
        resampling: how trajectories are drawn again for intervals and ranks; None: without these.
        store: the store's folder; default as on the command line.
        progress: told how many rows are done.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    asked = [routers] if isinstance(routers, str) or not isinstance(routers, Sequence) else list(routers)
    with _judge(
        bank,
        store,
        (api_base, api_key_env, router_usd, pool),
        prices,
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        fresh=fresh,
        plugins=plugins,
        progress=progress,
    ) as judge:
        return judge.board(asked, predictions, resampling)


def score_many(
    sets: Mapping[str, Answers],
    bank: str | None = None,
    *,
    split: str | None = None,
    tokenizers: str = OFFLINE,
    store: Path | str | None = None,
) -> ManyScores:
    """Score many sets of predictions at once: metrics and costs, no references, no intervals, nothing kept.

    Args:
        sets: by name, the tier ids: by row id, or one for each row of the bank in the order of ``open_bank(…).row_ids``
            (a list or an array); None, and a row that is not named, is an error.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.UsageError: a set has an unknown row or tier, or another length than the bank.
    """
    from static_track.many import score_many as scored

    with open_bank(bank, store=store) as opened:
        return scored(opened, Judge(opened, split=split, tokenizers=tokenizers), sets)


def compare(
    routers: Sequence[str | Router],
    bank: str | None = None,
    *,
    split: str | None = None,
    predictions: Sequence[str] = (),
    tokenizers: str = OFFLINE,
    order_seed: int = 0,
    fresh: bool = False,
    api_base: str | None = None,
    api_key_env: str | None = None,
    router_usd: str | float | Decimal | None = None,
    pool: str = DEFAULT_LIVE,
    prices: str = DEFAULT_STATIC,
    plugins: PluginLimits | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Compare routers pair by pair on a bank; arguments as for ``score``.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    with _judge(
        bank,
        store,
        (api_base, api_key_env, router_usd, pool),
        prices,
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        fresh=fresh,
        plugins=plugins,
        progress=progress,
    ) as judge:
        return judge.compare(routers, predictions, resampling)


def explain(
    router: str | Router,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    limit: int | None = None,
    store: Path | str | None = None,
) -> Explanation:
    """The steps that cost a router its points, the dearest first.

    Args:
        router: a spec or an instance.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        order_seed: as for ``score``.
        limit: the most steps of each kind; None: all.
        store: the store's folder; default as on the command line.
    """
    with open_bank(bank, store=store) as opened:
        return _explain(opened, Judge(opened, split=split, order_seed=order_seed), router, limit=limit)


def difference(
    a: str | Router,
    b: str | Router,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    limit: int | None = None,
    store: Path | str | None = None,
) -> Difference:
    """Where two routers part, and what it cost; arguments as for ``explain``."""
    with open_bank(bank, store=store) as opened:
        return _difference(opened, Judge(opened, split=split, order_seed=order_seed), a, b, limit=limit)


def curve(
    router: str | Router,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    weak: Tier = Tier.LOW,
    strong: Tier = Tier.HIGH,
    points: int = POINTS,
    store: Path | str | None = None,
) -> Curve:
    """A router that returns a score, swept over a threshold; other arguments as for ``explain``.

    Args:
        router: a spec or an instance.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        order_seed: as for ``score``.
        weak: the tier for calls below the threshold.
        strong: the tier for the others.
        points: how many thresholds.
        store: the store's folder; default as on the command line.
    """
    with open_bank(bank, store=store) as opened:
        return _curve(
            opened, Judge(opened, split=split, order_seed=order_seed), router, weak=weak, strong=strong, points=points
        )


def score_run(
    run: Path | str,
    *,
    exclude_infra: bool = False,
    prices: str | None = None,
    resampling: Resampling = DEFAULT_RESAMPLING,
) -> LiveScore:
    """The score of a live run, from its directory.

    Args:
        run: the directory, or a copy of it.
        exclude_infra: leave cases without a verdict out of all totals.
        prices: a pool by whose prices the raw usage is billed again.
        resampling: how cases are drawn again for intervals.
    """
    from dynamic_track.results.live_score import live_score
    from dynamic_track.results.loaded import load_run

    loaded = load_run(Path(run), None if prices is None else live_manifest(prices))
    return live_score(loaded, resampling, exclude_infra=exclude_infra)


def compare_runs(first: Path | str, second: Path | str, *, resampling: Resampling = DEFAULT_RESAMPLING) -> RunsCompared:
    """Two live runs compared case by case."""
    from dynamic_track.results.live_score import compared
    from dynamic_track.results.loaded import load_run

    return compared(load_run(Path(first)), load_run(Path(second)), resampling)


def run(
    router: str,
    tasks: str | TaskChoice = "rehearsal",
    *,
    run: Path | str,
    api_base: str,
    progress: Progress = no_progress,
    **more: Any,
) -> RunSummary:
    """Let mini-swe-agent solve tasks, the router picking the model before every call; what was begun goes on.

    Nobody is asked before money is spent: ``run_usd`` is the cap. What a run would be, and may cost, says
    ``dynamic_track.running.preparing.prepare_run``.

    Args:
        router: a spec.
        tasks: ``verified``, ``heldout100``, ``rehearsal``, a file or folder, or a choice of them.
        run: the run's directory; continued where it exists.
        api_base: the OpenAI-compatible gateway, such as ``https://host/v1``.
        progress: told of images that are fetched or built.
        more: other fields of ``twinbench.RunRequest``: ``api_key_env``, ``run_usd``, ``pool``, ``workers``, ``trials``…

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.running.preparing import RunRequest, prepare_run

    request = RunRequest(router=router, run_dir=Path(run), api_base=api_base, choice=_choice(tasks), **more)
    return prepare_run(request, progress).work(progress=progress)


def rehearse(
    routers: str | Sequence[str],
    tasks: str | TaskChoice = "rehearsal",
    *,
    runs: Path | str | None = None,
    seeds: int | Sequence[int | str] = 1,
    pool: str = DEFAULT_LIVE,
    skills: str = "spread",
    faults: str | None = None,
    actions: str = "tool",
    on_router_error: str | None = None,
    workers: int = 2,
    min_free_mib: int = 2048,
    plugins: PluginLimits | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    progress: Progress = no_progress,
) -> RehearsalResult:
    """Run routers live on small tasks and simulated models: real containers, real tests, no key, no spend.

    Args:
        routers: specs.
        tasks: our own 21, a folder in task-repo format whose tasks declare edits, or a choice of them.
        runs: a folder for the run directories; what exists is continued. Default: a new one.
        seeds: how many from 0 on, or which.
        pool: the live pool that is played, by name or file.
        skills: the models' declared skills: ``spread``, ``flat-2026``, or a file.
        faults: the share of attempts that fail, and how, such as ``0.1:429,cut``; None: none does.
        actions: how models say what to run, ``tool`` or ``text``.
        on_router_error: the tier that answers where a router fails; None: the case is unresolved.
        workers: runs at once.
        min_free_mib: start nothing with less free disk.
        plugins: what routers that are not built in may take, and where they run.
        resampling: how tasks are drawn again for intervals, tests and ranks; None: without these.
        progress: told how many cases are done.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.rehearsal.preparing import prepare_rehearsal, rehearse_routers
    from twinbench.plugins.loading import load_router

    rehearsal = prepare_rehearsal(
        _choice(tasks),
        pool=pool,
        seeds=[str(seed) for seed in (range(seeds) if isinstance(seeds, int) else seeds)],
        skills=skills,
        faults=faults,
        actions=actions,
        on_router_error=on_router_error,
        progress=progress,
    )
    asked = [routers] if isinstance(routers, str) else list(routers)
    if not asked or not rehearsal.seeds:
        raise UsageError("name at least one router, and one seed")
    return rehearse_routers(
        rehearsal,
        [load_router(router, plugins) for router in asked],
        None if runs is None else Path(runs),
        resampling=resampling,
        workers=workers,
        min_free_mib=min_free_mib,
        progress=progress,
    )


def replay(run: Path | str, *, route: bool = False, progress: Progress = no_progress, **more: Any) -> Replayed:
    """Run a recorded run again with real containers and grading and no provider, and compare everything.

    Args:
        run: its directory, or a copy of it.
        route: ask the router again, and compare its decisions with the recorded ones.
        progress: told how many trials are done.
        more: other arguments of ``dynamic_track.running.again.replay_run``: ``only``, ``tasks``, ``pool``, ``router``…

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.running.again import replay_run

    return replay_run(Path(run), route=route, progress=progress, **more)


def grade(
    patches: Mapping[str, str] | Path | str,
    tasks: str | TaskChoice = "rehearsal",
    *,
    workers: int = 2,
    build: bool = False,
    fresh: bool = False,
    swebench_setting: Sequence[str] = (),
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Grades:
    """Say whether patches resolve their tasks, as SWE-bench itself would.

    Args:
        patches: by task id, or a file of predictions in SWE-bench's format.
        tasks: ``verified``, ``heldout100``, ``rehearsal``, a file or folder, or a choice of them.
        workers: gradings at once.
        build: build images from the tasks' Dockerfiles.
        fresh: grade again where a verdict is kept.
        swebench_setting: globs of tasks that are graded in swebench's own setting.
        store: where verdicts are kept; default as on the command line.
        progress: told how many are done.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.grading.patches import grade_all
    from dynamic_track.grading.submissions import read_predictions
    from dynamic_track.grading.verdict_store import VerdictStore
    from twinbench.containers.engine import Engine

    wanted = dict(patches) if isinstance(patches, Mapping) else read_predictions(Path(patches))
    chosen, all_of = _choice(tasks).load(progress, swebench_setting=swebench_setting)
    for name in wanted:
        all_of.task(name)
    with Engine.connect() as engine:
        return grade_all(
            engine,
            chosen,
            wanted,
            VerdictStore(Store(store)),
            workers=workers,
            build=build,
            fresh=fresh,
            progress=progress,
        )


def grade_run(run: Path | str, *, workers: int = 2, build: bool = False, progress: Progress = no_progress) -> Regraded:
    """Grade all patches of a run again, in its directory; no model is asked.

    Args:
        run: its directory.
        workers: gradings at once.
        build: build images from the tasks' Dockerfiles.
        progress: told how many are done.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.running.again import regrade_run

    return regrade_run(Path(run), workers=workers, build=build, progress=progress)


def audit(
    run: Path | str,
    *,
    pool: str | None = None,
    head: tuple[int, str] | None = None,
    against: Sequence[Path | str] = (),
    progress: Progress = no_progress,
) -> Audit:
    """Look for everything in a run that cannot be true, and for what a case must not do.

    Args:
        run: its directory, or a copy of it; nothing in it is changed.
        pool: by name or file, if not where it was.
        head: number and hash of a line of the journal that were made known before; the journal has to hold them.
        against: directories of other runs, which must not have the same responses.
        progress: told of each check.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from dynamic_track.auditing.audit import audit as audited
    from dynamic_track.auditing.audit import run_pool

    path = Path(run)
    return audited(path, run_pool(path, pool), head=head, against=[Path(each) for each in against], progress=progress)


@contextmanager
def _judge(
    bank: str | None,
    store: Path | str | None,
    gateway: tuple[str | None, str | None, str | float | Decimal | None, str],
    prices: str,
    **settings: Any,
) -> Iterator[Judge]:
    """A judge over a bank of the store; the gateway is the arguments of ``metered_llm``."""
    with open_bank(bank, store=store) as opened, metered_llm(*gateway) as llm:
        yield Judge(opened, manifest=static_manifest(prices), llm=llm, pool=gateway[-1], **settings)


def _choice(tasks: str | TaskChoice) -> TaskChoice:
    from dynamic_track.tasks.selection import TaskChoice

    return TaskChoice(tasks=tasks) if isinstance(tasks, str) else tasks
