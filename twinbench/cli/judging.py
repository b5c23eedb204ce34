"""A bank and its judge, as the options of a command choose them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from twinbench.cli.output import printable, progress

if TYPE_CHECKING:
    from static_track.bank import Bank
    from static_track.board import Entry, Judge
    from twinbench.calls.metered import MeteredLlm
    from twinbench.plugins.limits import PluginLimits


@dataclass(frozen=True)
class Judging:
    """What is judged on what, as options say."""

    bank: str | None = None
    split: str | None = None
    tokenizers: str = "offline"
    fresh: bool = False
    store: str | None = None
    api_base: str | None = None
    api_key_env: str | None = None
    router_usd: str | None = None
    pool: str = "live-2026-04"
    prices: str | None = None
    """A static manifest with other rates and another cache lifetime than the locked one's; None: that."""


@contextmanager
def judged(judging: Judging, plugins: PluginLimits) -> Iterator[tuple[Bank, Judge]]:
    """A bank, opened, and its judge; warnings are shown when the block ends well.

    Raises:
        UsageError: there is no such bank, part or tokenizer set.
    """
    from static_track.board import Judge
    from static_track.starter import open_bank
    from twinbench.pools import static_manifest
    from twinbench.providers.metering import metered_llm
    from twinbench.store import Store

    chosen = judging
    with (
        progress() as shown,
        open_bank(chosen.bank, Store(chosen.store), shown) as opened,
        metered_llm(chosen.api_base, chosen.api_key_env, chosen.router_usd, chosen.pool) as llm,
    ):
        judge = Judge(
            opened,
            split=chosen.split,
            manifest=None if chosen.prices is None else static_manifest(chosen.prices),
            tokenizers=chosen.tokenizers,
            fresh=chosen.fresh,
            plugins=plugins,
            llm=llm,
            pool=chosen.pool,
            progress=shown,
        )
        _tell_estimate(judge, llm)
        yield opened, judge
    for warning in judge.warnings:
        typer.echo(printable(f"warning: {warning}"), err=True)


def tell_failures(entries: Iterable[Entry]) -> bool:
    """Name the routers that failed on every row or were given up on, on standard error; whether there are any."""
    failed = [entry for entry in entries if entry.failure is not None]
    for entry in failed:
        typer.echo(printable(f"error: {entry.router} {entry.failure}: {entry.first_error}"), err=True)
    return bool(failed)


def have_processes(routers: Sequence[str]) -> bool:
    """Whether any of these routers runs in a process of its own."""
    from twinbench.plugins.spec import parse_spec

    return any(parse_spec(router).has_process for router in routers)


def _tell_estimate(judge: Any, llm: MeteredLlm | None) -> None:
    """Say what may be spent before anything is."""
    if llm is None:
        return
    least, most = judge.own_estimate_usd()
    cap = "without a cap" if llm.budget.limit_usd is None else f"capped at {llm.budget.limit_usd} USD"
    typer.echo(
        f"a router that asks an LLM about every row spends about {least:.4f} to {most:.4f} USD (pool {llm.pool.name}, "
        f"cheapest to dearest); {cap}",
        err=True,
    )
