"""Library functions of the static track (``import twinbench as tb``).

board = tb.score([MyRouter(), "always-high"], bank="mine")
board.to_json()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, overload

from static_track.analysis.curves import POINTS, Curve
from static_track.analysis.curves import curve as _curve
from static_track.analysis.explain import Difference, Explanation
from static_track.analysis.explain import difference as _difference
from static_track.analysis.explain import explain as _explain
from static_track.banks.bank import Bank
from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import import_bank as _import_bank
from static_track.banks.opening import open_bank as _open_bank
from static_track.board import Board, Comparison
from static_track.evaluator import Evaluator
from static_track.leaks.checking import LeakReport
from static_track.leaks.checking import check_bank as _check_bank
from twinbench.api.arguments import is_several, require_at_least, require_resampling, router_list, to_tier
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.providers.metering import open_metered_llm, parse_usd
from twinbench.routing.accepting import RouterLike
from twinbench.routing.tiers import Tier
from twinbench.statistics import COMPARISON_RESAMPLES, Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, DEFAULT_STATIC, static_manifest
from twinbench.storage.store import Store
from twinbench.text.tokens import OFFLINE

if TYPE_CHECKING:
    from static_track.construction.build_work import BuildState
    from static_track.construction.building import BuildResult
    from static_track.score_many import Answers, ManyScores
    from twinbench.executing.ray_cluster import RayCluster

DEFAULT_RESAMPLING = Resampling()
COMPARED_RESAMPLING = Resampling(COMPARISON_RESAMPLES)


def open_bank(name: str | None = None, *, store: Path | str | None = None) -> Bank:
    """Open a bank of the store for reading; without a name, the embedded bank."""
    return _open_bank(name, Store(store))


def import_bank(path: Path | str, name: str, *, replace: bool = False, store: Path | str | None = None) -> BankInfo:
    """Import a bank file, or the directory of a finished bank build, into the store: completely or not at all."""
    return _import_bank(str(path), name, Store(store), replace=replace)


def build_bank(
    config: Path | str | None = None,
    *,
    out: Path | str,
    recordings: Path | str | None = None,
    usd: str | float | Decimal | None = None,
    workers: int = 1,
    cluster: RayCluster | None = None,
    repeats: int | None = None,
    progress: Progress = no_progress,
) -> BuildResult:
    """Build a bank: find the cheapest sufficient tier for each step of tasks by executing them. Continues an earlier
    build.

    Once all tasks are done, ``import_bank`` imports the directory.

    Args:
        config: a TOML file, such as the one that ``bank build --example`` prints.
        out: the build's directory.
        recordings: recordings of an earlier build, or the name of an embedded bank, used instead of ``config``: no
            model and no container is needed.
        usd: the spending cap over all executions of the build; required if executing tasks costs anything.
        workers: how many tasks are searched in parallel.
        cluster: the Ray cluster whose nodes run containers; None: the Docker engine of this machine.
        repeats: how often seed and labels are executed again, to find flaky tasks; default: as ``config`` says.
        progress: called for tasks whose search has finished.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from static_track.construction.building import BuildLimits, build, rebuild
    from static_track.construction.settings import read_settings

    def tell(state: BuildState, ended: object) -> None:
        if ended is not None:
            progress("executing tasks", state.done, state.tasks)

    require_at_least(1, workers=workers)
    if (config is None) == (recordings is None):
        raise UsageError("give either config or recordings")
    if config is None:
        if usd is not None or repeats is not None:
            raise UsageError("usd and repeats are not allowed with recordings, which execute nothing")
        return rebuild(Path(recordings or ""), Path(out), listener=tell)
    if repeats is not None:
        require_at_least(0, repeats=repeats)
    cap = None if usd is None else parse_usd(usd, "usd")
    settings = read_settings(Path(config), repeats=repeats)
    return build(settings, Path(out), BuildLimits(cap, workers, cluster), listener=tell, progress=progress)


def check_bank(name: str | None = None, *, split: str | None = None, store: Path | str | None = None) -> LeakReport:
    """Check how well a bank's labels can be predicted without reading the conversation, like ``bank check``.

    Args:
        name: the bank's name in the store; default: the embedded bank.
        split: use only this part of the bank.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.UsageError: the bank has no labels, or a single group.
    """
    with open_bank(name, store=store) as opened:
        return _check_bank(opened, split=opened.split(split))


def score(
    routers: str | RouterLike | Sequence[str | RouterLike],
    bank: str | None = None,
    *,
    split: str | None = None,
    predictions: Sequence[str] = (),
    tokenizers: str = OFFLINE,
    order_seed: int = 0,
    no_cache: bool = False,
    in_sample: bool = False,
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
        routers: specs, instances, or functions of one call. The latter two run in this process, are named
            ``instance:Class`` and ``function:name``, and their results are never kept.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        predictions: prediction files to score too.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        order_seed: another one asks routers about the trajectories in another order, which changes no honest router's
            score.
        no_cache: run again what the store already holds.
        in_sample: also score trained routers on what they were trained on; their rows are marked.
        api_base: the gateway for routers that ask an LLM themselves, such as ``https://host/v1``.
        api_key_env: the environment variable with its key; None for a server that wants none.
        router_usd: the most that routers may spend there; needed where the pool costs anything.
        pool: the live pool that they may ask.
        prices: the static manifest with rates and cache lifetime, by name or file.
        plugins: what routers that are not built in may take, and where they run.
        resampling: how trajectories are drawn again for intervals and ranks; None: without these.
        store: the store's folder; default as on the command line.
        progress: called with the number of rows done.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    asked = router_list(routers)
    require_resampling(resampling)
    with open_evaluator(
        bank,
        store,
        prices,
        gateway=(api_base, api_key_env, router_usd, pool),
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        no_cache=no_cache,
        in_sample=in_sample,
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
    """Score many sets of predictions at once: metrics and costs only; no references, no intervals, nothing is cached.

    Args:
        sets: sets of tier ids by name. A set maps row ids to tier ids, or is a list or array with one tier id per row
            in the order of ``open_bank(…).row_ids``; None or a missing row counts as an error of the router.
        bank: the bank's name in the store; default: the embedded bank.
        split: use only this part of the bank.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.UsageError: a set has an unknown row or tier, or its length is not that of the bank.
    """
    from static_track.score_many import score_many as scored

    if not isinstance(sets, Mapping):
        raise UsageError(f"sets must be a mapping from names to sets of predictions, not {type(sets).__name__}")

    with open_bank(bank, store=store) as opened:
        return scored(opened, Evaluator(opened, split=split, tokenizers=tokenizers), sets)


def compare(
    routers: Sequence[str | RouterLike],
    bank: str | None = None,
    *,
    split: str | None = None,
    predictions: Sequence[str] = (),
    tokenizers: str = OFFLINE,
    order_seed: int = 0,
    no_cache: bool = False,
    in_sample: bool = False,
    api_base: str | None = None,
    api_key_env: str | None = None,
    router_usd: str | float | Decimal | None = None,
    pool: str = DEFAULT_LIVE,
    prices: str = DEFAULT_STATIC,
    plugins: PluginLimits | None = None,
    resampling: Resampling = COMPARED_RESAMPLING,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Compare routers pairwise on a bank; arguments as for ``score``.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    require_resampling(resampling, needed=True)
    with open_evaluator(
        bank,
        store,
        prices,
        gateway=(api_base, api_key_env, router_usd, pool),
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        no_cache=no_cache,
        in_sample=in_sample,
        plugins=plugins,
        progress=progress,
    ) as judge:
        return judge.compare(router_list(routers), predictions, resampling)


def explain(
    router: str | RouterLike,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    limit: int | None = None,
    store: Path | str | None = None,
) -> Explanation:
    """List the steps that cost a router most of its score, the most expensive first.

    Args:
        router: a spec or a router object.
        bank: the bank's name in the store; default: the embedded bank.
        split: use only this part of the bank.
        order_seed: see ``score``.
        limit: the largest number of steps of each kind; None: all.
        store: the store's folder; default as on the command line.
    """
    if limit is not None:
        require_at_least(0, limit=limit)
    with open_bank(bank, store=store) as opened:
        return _explain(opened, Evaluator(opened, split=split, order_seed=order_seed), router, limit=limit)


def difference(
    a: str | RouterLike,
    b: str | RouterLike,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    limit: int | None = None,
    store: Path | str | None = None,
) -> Difference:
    """List the steps where two routers decide differently, and what that cost; arguments as for ``explain``."""
    if limit is not None:
        require_at_least(0, limit=limit)
    with open_bank(bank, store=store) as opened:
        return _difference(opened, Evaluator(opened, split=split, order_seed=order_seed), a, b, limit=limit)


class _CurveSettings(TypedDict, total=False):
    split: str | None
    tokenizers: str
    order_seed: int
    no_cache: bool
    weak: Tier | str
    strong: Tier | str
    points: int
    prices: str
    plugins: PluginLimits | None
    store: Path | str | None
    progress: Progress


@overload
def curve(router: str | RouterLike, bank: str | None = None, **settings: Unpack[_CurveSettings]) -> Curve: ...  # type: ignore[overload-overlap]
@overload
def curve(
    router: Sequence[str | RouterLike], bank: str | None = None, **settings: Unpack[_CurveSettings]
) -> list[Curve]: ...
def curve(
    router: str | RouterLike | Sequence[str | RouterLike],
    bank: str | None = None,
    *,
    split: str | None = None,
    tokenizers: str = OFFLINE,
    order_seed: int = 0,
    no_cache: bool = False,
    weak: Tier | str = Tier.LOW,
    strong: Tier | str = Tier.HIGH,
    points: int = POINTS,
    prices: str = DEFAULT_STATIC,
    plugins: PluginLimits | None = None,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Curve | list[Curve]:
    """A router that returns a score, swept over a threshold; of a list of routers, a curve of each.

    What is not described here is as for ``score``.

    Args:
        router: a spec, an instance or a function; or a list of them.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        tokenizers: the tokenizer set.
        order_seed: seed of the order of trajectories.
        no_cache: run again what the store already holds.
        weak: the tier for calls below the threshold.
        strong: the tier for the others.
        points: how many thresholds.
        prices: the static manifest.
        plugins: what routers that are not built in may take.
        store: the store's folder.
        progress: called with the number of rows done.

    Raises:
        twinbench.errors.UsageError: no such tiers, a decision without a score, or a router that asks an LLM.
    """
    require_at_least(2, points=points)
    weak, strong = to_tier(weak), to_tier(strong)
    asked = router_list(router)
    with open_evaluator(
        bank,
        store,
        prices,
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        no_cache=no_cache,
        plugins=plugins,
        progress=progress,
    ) as judge:
        found = [_curve(judge.bank, judge, each, weak=weak, strong=strong, points=points) for each in asked]
    return found if is_several(router) else found[0]


@contextmanager
def open_evaluator(
    bank: str | None,
    store: Path | str | None,
    prices: str,
    *,
    gateway: tuple[str | None, str | None, str | float | Decimal | None, str] = (None, None, None, DEFAULT_LIVE),
    **settings: Any,
) -> Iterator[Evaluator]:
    """Open an evaluator over a bank of the store, for use within the block.

    Args:
        bank: the bank's name; None: the embedded bank.
        store: the store's folder; None: as on the command line.
        prices: the static manifest, by name or file.
        gateway: the arguments of ``metered_llm``, for routers that ask an LLM themselves; by default they cannot.
        settings: other settings of the evaluator.
    """
    with open_bank(bank, store=store) as opened, open_metered_llm(*gateway) as llm:
        yield Evaluator(opened, manifest=static_manifest(prices), llm=llm, pool=gateway[-1], **settings)
