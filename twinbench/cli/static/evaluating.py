"""Open a bank and make its evaluator, as a command's options say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from twinbench.cli.options import EvaluationOptions, GatewayOptions
from twinbench.cli.output import make_printable, progress
from twinbench.cli.plugin_options import PluginOptions

if TYPE_CHECKING:
    from static_track.banks.bank import Bank
    from static_track.board import Entry
    from static_track.evaluator import Evaluator
    from twinbench.calls.metered import MeteredLlm
    from twinbench.statistics import Resampling


_SWITCH_INTERVAL_S = 0.0002
"""How long a thread keeps Python's lock while another one waits for it. A score has some fifty SQL statements; after
each it would wait for the thread that imports modules, by Python's default up to 5 ms."""


@contextmanager
def open_evaluator(
    chosen: EvaluationOptions, plugins: PluginOptions, gateway: GatewayOptions, routers: Sequence[str]
) -> Iterator[tuple[Bank, Evaluator]]:
    """Open a bank and make its evaluator; warnings are printed when the block ends without an error.

    Args:
        chosen: the bank, and how routers are evaluated.
        plugins: limits of routers' processes.
        gateway: the gateway for routers that ask an LLM themselves.
        routers: the routers that will be called.

    Raises:
        UsageError: the bank, part or tokenizer set does not exist, or options contradict each other.
    """
    from static_track.banks.opening import open_bank, open_bank_ahead
    from twinbench.storage.store import Store

    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    store = Store(chosen.store)
    open_bank_ahead(chosen.bank, store)

    from static_track.evaluator import Evaluator
    from twinbench.providers.metering import open_metered_llm
    from twinbench.storage.manifest_files import static_manifest

    limits = plugins.limits(processes=_have_processes(routers))
    with (
        progress() as shown,
        open_bank(chosen.bank, store, shown) as opened,
        open_metered_llm(gateway.api_base, gateway.api_key_env, gateway.router_usd, gateway.pool) as llm,
    ):
        judge = Evaluator(
            opened,
            split=chosen.split,
            manifest=None if chosen.prices is None else static_manifest(chosen.prices),
            tokenizers=chosen.tokenizers,
            order_seed=chosen.order_seed,
            no_cache=chosen.no_cache,
            in_sample=chosen.in_sample,
            plugins=limits,
            llm=llm,
            pool=gateway.pool,
            progress=shown,
        )
        _print_estimate(judge, llm, gateway.pool)
        yield opened, judge
    for warning in judge.warnings:
        typer.echo(make_printable(f"warning: {warning}"), err=True)


def import_what_results_need(resampling: Resampling | None, *, is_drawn: bool) -> None:
    """Import what results need in a thread, while DuckDB works.

    Args:
        resampling: how trajectories are resampled; None: no intervals.
        is_drawn: whether the results are drawn as a table for people.
    """
    from twinbench.executing.ahead import import_ahead

    intervals = () if resampling is None else ("static_track.intervals",)
    import_ahead(*intervals, *(("rich.console", "rich.table") if is_drawn else ()))


def print_failures(entries: Iterable[Entry]) -> bool:
    """Print the routers that failed on every row or were stopped to standard error; return whether there are any."""
    failed = [entry for entry in entries if entry.failure is not None]
    for entry in failed:
        typer.echo(make_printable(f"error: {entry.router} {entry.failure}: {entry.first_error}"), err=True)
    return bool(failed)


def _have_processes(routers: Sequence[str]) -> bool:
    """Return whether any of these routers runs in a process of its own."""
    from twinbench.plugins.spec import parse_spec

    return any(parse_spec(router).has_process for router in routers)


def _print_estimate(judge: Evaluator, llm: MeteredLlm | None, pool: str) -> None:
    """Print what may be spent, before anything is."""
    if llm is None:
        return
    from static_track.own_estimate import own_estimate_usd

    least, most = own_estimate_usd(judge, pool)
    cap = "without a cap" if llm.budget.limit_usd is None else f"capped at {llm.budget.limit_usd} USD"
    typer.echo(
        f"a router that asks an LLM about every row spends about {least:.4f} to {most:.4f} USD (cheapest to most "
        f"expensive candidate of pool {llm.pool.name}); {cap}",
        err=True,
    )
