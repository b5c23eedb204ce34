"""Routers that learn, as a library: ``tb.train`` and ``tb.crossval``."""

from __future__ import annotations

from pathlib import Path

from static_track.judge import Judge
from static_track.training import train as _train
from twinbench.api.static import open_bank
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import UsageError
from twinbench.plugins.artefact import Artefact
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.training import FitLimits
from twinbench.storage.manifest_files import DEFAULT_STATIC, static_manifest
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
        seed: of the order of trajectories, and of random generators in the router's process.
        fit: what training may take.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        prices: the static manifest with rates and cache lifetime, by name or file.
        plugins: what the router's process may take beside that, and where it runs.
        store: the store's folder; default as on the command line.
        progress: told of trajectories that were sent, then of seconds.

    Raises:
        twinbench.errors.UsageError: ``out`` exists, or the router is none that can be trained.
        twinbench.errors.TwinbenchError: training failed; nothing was written.
    """
    if not isinstance(router, str):
        raise UsageError(f"router is {type(router).__name__}: give a spec, since it is trained in a process of its own")
    with open_bank(bank, store=store) as opened:
        judge = Judge(
            opened,
            split=split,
            manifest=static_manifest(prices),
            tokenizers=tokenizers,
            plugins=plugins,
            progress=progress,
        )
        return _train(judge, router, Path(out), seed=seed, fit=fit)
