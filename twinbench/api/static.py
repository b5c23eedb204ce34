"""The static track as a library: ``import twinbench as tb``.

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
from static_track.banks.bank import Bank
from static_track.banks.bank_info import BankInfo
from static_track.banks.importing import import_bank as _import_bank
from static_track.banks.opening import open_bank as _open_bank
from static_track.board import Board, Comparison
from static_track.judge import Judge
from static_track.leaks.checking import LeakReport
from static_track.leaks.checking import check_bank as _check_bank
from twinbench.api.arguments import refuse_below, refuse_resampling, routers_of, tier_of
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.providers.metering import amount_in_usd, metered_llm
from twinbench.routing.router import Router
from twinbench.routing.tiers import Tier
from twinbench.statistics import COMPARED_RESAMPLES, Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, DEFAULT_STATIC, static_manifest
from twinbench.storage.store import Store
from twinbench.text.tokens import OFFLINE

if TYPE_CHECKING:
    from static_track.construction.building import Build
    from static_track.construction.working import BuildState
    from static_track.many import Answers, ManyScores

DEFAULT_RESAMPLING = Resampling()
COMPARED_RESAMPLING = Resampling(COMPARED_RESAMPLES)


def open_bank(name: str | None = None, *, store: Path | str | None = None) -> Bank:
    """A bank of the store, opened for reading; without a name, the embedded one."""
    return _open_bank(name, Store(store))


def import_bank(path: Path | str, name: str, *, replace: bool = False, store: Path | str | None = None) -> BankInfo:
    """Bring a bank file, or the directory of a bank that was built, into the store: all of it or nothing."""
    return _import_bank(str(path), name, Store(store), replace=replace)


def build_bank(
    config: Path | str | None = None,
    *,
    out: Path | str,
    recordings: Path | str | None = None,
    usd: str | float | Decimal | None = None,
    workers: int = 1,
    repeats: int | None = None,
    progress: Progress = no_progress,
) -> Build:
    """Find the cheapest tier that is enough for each step of tasks, by executing them; what was begun goes on.

    ``import_bank`` takes the directory once no task is open.

    Args:
        config: a TOML file, as ``bank build --example`` prints one.
        out: the build's directory.
        recordings: instead of ``config``, what an earlier build recorded: no model and no container is needed.
        usd: the most that may be spent, over all sittings; needed where executions cost anything.
        workers: tasks at once.
        repeats: how often seed and labels are executed again, to leave out flaky tasks; default: as ``config`` says.
        progress: told of tasks whose search is over.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    from static_track.construction.building import BuildLimits, build, rebuild
    from static_track.construction.settings import read_settings

    def tell(state: BuildState, ended: object) -> None:
        if ended is not None:
            progress("executing tasks", state.done, state.tasks)

    refuse_below(1, workers=workers)
    if (config is None) == (recordings is None):
        raise UsageError("give a configuration, or recordings instead")
    if config is None:
        if usd is not None or repeats is not None:
            raise UsageError("recordings execute nothing: usd and repeats are for a configuration")
        return rebuild(Path(recordings or ""), Path(out), listener=tell)
    if repeats is not None:
        refuse_below(0, repeats=repeats)
    cap = None if usd is None else amount_in_usd(usd, "usd")
    settings = read_settings(Path(config), repeats=repeats)
    return build(settings, Path(out), BuildLimits(cap, workers), listener=tell, progress=progress)


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
        routers: specs, or instances. An instance runs in this process, is named ``instance:Class``, and its result is
            never kept.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        predictions: prediction files to score too.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        order_seed: another one asks routers about the trajectories in another order, which changes no honest router's
            score.
        fresh: run again what the store already holds.
        in_sample: also score trained routers on what they were trained on; their rows are marked.
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
    asked = routers_of(routers)
    refuse_resampling(resampling)
    with _judge(
        bank,
        store,
        (api_base, api_key_env, router_usd, pool),
        prices,
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        fresh=fresh,
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

    if not isinstance(sets, Mapping):
        raise UsageError(f"sets is {type(sets).__name__}: give sets of predictions by name")

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
    """Compare routers pair by pair on a bank; arguments as for ``score``.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    refuse_resampling(resampling, needed=True)
    with _judge(
        bank,
        store,
        (api_base, api_key_env, router_usd, pool),
        prices,
        split=split,
        tokenizers=tokenizers,
        order_seed=order_seed,
        fresh=fresh,
        in_sample=in_sample,
        plugins=plugins,
        progress=progress,
    ) as judge:
        return judge.compare(routers_of(routers), predictions, resampling)


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
    if limit is not None:
        refuse_below(0, limit=limit)
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
    if limit is not None:
        refuse_below(0, limit=limit)
    with open_bank(bank, store=store) as opened:
        return _difference(opened, Judge(opened, split=split, order_seed=order_seed), a, b, limit=limit)


def curve(
    router: str | Router,
    bank: str | None = None,
    *,
    split: str | None = None,
    order_seed: int = 0,
    weak: Tier | str = Tier.LOW,
    strong: Tier | str = Tier.HIGH,
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
    refuse_below(2, points=points)
    weak, strong = tier_of(weak), tier_of(strong)
    with open_bank(bank, store=store) as opened:
        return _curve(
            opened, Judge(opened, split=split, order_seed=order_seed), router, weak=weak, strong=strong, points=points
        )


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
