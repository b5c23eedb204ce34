"""twinbench as a library: ``import twinbench as tb``.

board = tb.score([MyRouter(), "always-high"], bank="mine")
board.to_json()
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from static_track.bank import Bank, BankInfo
from static_track.board import Board, Judge
from static_track.importing import import_bank as _import_bank
from static_track.starter import open_bank as _open_bank
from twinbench.pools import DEFAULT_LIVE
from twinbench.providers.metering import metered_llm
from twinbench.router import Router
from twinbench.store import Store
from twinbench.tokens import OFFLINE


def open_bank(name: str | None = None, *, store: Path | str | None = None) -> Bank:
    """A bank of the store, opened for reading; without a name, the embedded one."""
    return _open_bank(name, Store(store))


def import_bank(path: Path | str, name: str, *, replace: bool = False, store: Path | str | None = None) -> BankInfo:
    """Bring a bank file into the store: all of it or nothing."""
    return _import_bank(str(path), name, Store(store), replace=replace)


def score(
    routers: str | Router | Sequence[str | Router],
    bank: str | None = None,
    *,
    split: str | None = None,
    predictions: Sequence[str] = (),
    tokenizers: str = OFFLINE,
    fresh: bool = False,
    api_base: str | None = None,
    api_key_env: str | None = None,
    router_usd: str | float | Decimal | None = None,
    pool: str = DEFAULT_LIVE,
    store: Path | str | None = None,
) -> Board:
    """Score routers on a bank, beside the references.

    Args:
        routers: specs, or instances. An instance runs in this process, is named ``instance:Class``, and its result is
            never kept.
        bank: its name in the store; default: the embedded bank.
        split: only this part of the bank.
        predictions: prediction files to score too.
        tokenizers: the tokenizer set, ``offline`` or ``native``.
        fresh: run again what the store already holds.
        api_base: the gateway for routers that ask an LLM themselves, such as ``https://host/v1``.
        api_key_env: the environment variable with its key; None for a server that wants none.
        router_usd: the most that routers may spend there; needed where the pool costs anything.
        pool: the live pool that they may ask.
        store: the store's folder; default as on the command line.

    Raises:
        twinbench.errors.TwinbenchError: as on the command line; its text is for a person.
    """
    asked = [routers] if isinstance(routers, str) or not isinstance(routers, Sequence) else list(routers)
    with open_bank(bank, store=store) as opened, metered_llm(api_base, api_key_env, router_usd, pool) as llm:
        judge = Judge(opened, split=split, tokenizers=tokenizers, fresh=fresh, llm=llm, pool=pool)
        return judge.board(asked, predictions)
