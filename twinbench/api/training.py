"""Routers that learn, as a library: ``tb.train``, ``tb.crossval`` and ``tb.tune``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from static_track.crossval import CrossValidation, cross_validate
from static_track.folds import folds_by_group, folds_by_workload
from static_track.out_of_fold import FoldTraining
from static_track.training import train as _train
from static_track.tuning import Tuning, may_learn
from static_track.tuning import tune as _tune
from twinbench.api.arguments import require_resampling
from twinbench.api.static import DEFAULT_RESAMPLING, open_evaluator
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.artefact import Artefact
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.training import FitLimits
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import DEFAULT_STATIC
from twinbench.text.tokens import OFFLINE


def train(
    router: str,
    bank: str | None = None,
    *,
    out: Path | str,
    split: str | None = None,
    seed: int = 0,
    fit: FitLimits | None = None,
    tokenizers: str = OFFLINE,
    prices: str = DEFAULT_STATIC,
    plugins: PluginLimits | None = None,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Artefact:
    """Train a router on a part of a bank; the folder that comes of it is a router, by its path.

    Args:
        router: the spec of one with ``fit``, ``save`` and ``load``; it is trained in a process of its own.
        bank: its name in the store; default: the embedded bank.
        out: the folder that is made.
        split: the part to train on, such as ``train``; instances of heldout100 are left out of whatever it is.
        seed: seed of the order of trajectories, and of random generators in the router's process.
        fit: what training may take.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        prices: the static manifest with rates and cache lifetime, by name or file.
        plugins: what the router's process may take beside that, and where it runs.
        store: the store's folder; default as on the command line.
        progress: called with the number of trajectories sent, then with the seconds of fitting.

    Raises:
        twinbench.errors.UsageError: ``out`` exists, or the router is none that can be trained.
        twinbench.errors.TwinbenchError: training failed; nothing was written.
    """
    if not isinstance(router, str):
        raise UsageError(f"router is {type(router).__name__}: give a spec, since it is trained in a process of its own")
    with open_evaluator(
        bank,
        store,
        prices,
        split=split,
        tokenizers=tokenizers,
        plugins=plugins,
        progress=progress,
    ) as judge:
        return _train(judge, router, Path(out), seed=seed, fit=fit)


def crossval(
    routers: str | Sequence[str],
    bank: str | None = None,
    *,
    folds: int = 5,
    by: str = "group",
    split: str | None = None,
    seed: int = 0,
    fit: FitLimits | None = None,
    workers: int = 1,
    tokenizers: str = OFFLINE,
    prices: str = DEFAULT_STATIC,
    order_seed: int = 0,
    no_cache: bool = False,
    plugins: PluginLimits | None = None,
    resampling: Resampling | None = DEFAULT_RESAMPLING,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> CrossValidation:
    """Score routers on a bank, each row answered by what was trained on the other folds; arguments as for ``train``.

    Args:
        routers: specs; one without ``fit`` is used as it is.
        bank: its name in the store; default: the embedded bank.
        folds: how many, dealt by group.
        by: ``group``, or ``workload``: each workload is left out in turn, and ``folds`` says nothing.
        split: only this part of the bank.
        seed: of folds and training.
        fit: what training may take, for each fold.
        workers: how many folds are trained and evaluated at the same time, each in its own process; not for routers in
            strict isolation.
        tokenizers: the tokenizer set.
        prices: the static manifest.
        order_seed: seed of the order in which routers are given the trajectories.
        no_cache: train and ask again what the store already holds.
        plugins: what routers' processes may take beside that, and where they run.
        resampling: how trajectories are drawn again for intervals and ranks; None: without these.
        store: the store's folder.
        progress: called as the work proceeds.

    Raises:
        twinbench.errors.UsageError: no such folds, or a router that does not exist or was trained already.
    """
    asked = [routers] if isinstance(routers, str) else list(routers)
    if not all(isinstance(each, str) for each in asked):
        raise UsageError("routers are given as specs here: they are trained in processes of their own")
    if by not in ("group", "workload"):
        raise UsageError(f"by={by!r}: folds are by group or by workload")
    require_resampling(resampling)
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
        dealt = (
            folds_by_group(judge.bank, judge.split, folds, seed)
            if by == "group"
            else folds_by_workload(judge.bank, judge.split)
        )
        training = FoldTraining(seed, fit or FitLimits(), workers)
        return cross_validate(judge, asked, dealt, training=training, resampling=resampling)


def tune(
    router: str,
    bank: str | None = None,
    *,
    values: Mapping[str, Sequence[object]] | None = None,
    by: str = "combined",
    traj_pass: float | None = None,
    folds: int = 5,
    split: str | None = None,
    seed: int = 0,
    fit: FitLimits | None = None,
    workers: int = 1,
    tokenizers: str = OFFLINE,
    prices: str = DEFAULT_STATIC,
    in_sample: bool = False,
    plugins: PluginLimits | None = None,
    store: Path | str | None = None,
    progress: Progress = no_progress,
) -> Tuning:
    """Try the settings of a router on a bank, and choose the best; arguments as for ``crossval``.

    Args:
        router: the spec; its own arguments hold for every setting.
        bank: its name in the store; default: the embedded bank.
        values: the values to try, by setting; None: those that the built-in router declares.
        by: choose by ``combined``, ``cost_save`` or ``bill`` (cost, and a penalty for each trajectory that fails).
        traj_pass: choose only among settings with at least this TrajPass, in percent.
        folds: how many, for routers that learn: each row is answered by what was trained on the others.
        split: only this part of the bank, such as ``dev``.
        seed: of folds and training.
        fit: what training may take.
        workers: how many folds are trained and evaluated at the same time.
        tokenizers: the tokenizer set.
        prices: the static manifest.
        in_sample: also tune a trained router on rows that it was trained on.
        plugins: what routers' processes may take.
        store: the store's folder.
        progress: called as the work proceeds.

    Raises:
        twinbench.errors.UsageError: there is nothing to try, or a value does not fit.
    """
    if not isinstance(router, str):
        raise UsageError(f"router is {type(router).__name__}: give a spec, since its settings are arguments of one")
    with open_evaluator(
        bank,
        store,
        prices,
        split=split,
        tokenizers=tokenizers,
        in_sample=in_sample,
        plugins=plugins,
        progress=progress,
    ) as judge:
        dealt = folds_by_group(judge.bank, judge.split, folds, seed) if may_learn(router) else None
        texts = None if values is None else {name: [str(value) for value in each] for name, each in values.items()}
        training = FoldTraining(seed, fit or FitLimits(), workers)
        return _tune(judge, router, dealt, values=texts, by=by, traj_pass=traj_pass, training=training)
