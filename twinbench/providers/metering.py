"""LLM calls of routers in the static track: a gateway, a pool and a cap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from twinbench.errors import UsageError
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest
from twinbench.storage.manifests import LiveManifest

if TYPE_CHECKING:
    from twinbench.calls.metered import MeteredLlm

_OPTION = "--router-usd"


@contextmanager
def open_metered_llm(
    api_base: str | None,
    api_key_env: str | None = None,
    router_usd: str | float | Decimal | None = None,
    pool: str = DEFAULT_LIVE,
    *,
    option: str = _OPTION,
    who: str = "routers",
) -> Iterator[MeteredLlm | None]:
    """Open the metered handle through which routers call an LLM; None without an address.

    Args:
        api_base: the OpenAI-compatible gateway, such as ``https://host/v1``.
        api_key_env: the environment variable with its key; None for a server that wants none.
        router_usd: the most that all routers together may spend; needed where the pool costs anything.
        pool: the live pool whose candidates may be called.
        option: what sets the cap, for messages.
        who: asks, for messages.

    Raises:
        UsageError: no such address, pool or amount; no key; or a cap or key without an address.
    """
    if api_base is None:
        for option, given in ((_OPTION, router_usd), ("--api-key-env", api_key_env)):
            if given is not None:
                raise UsageError(
                    f"{option} is for routers that call an LLM themselves: name the gateway with --api-base"
                )
        yield None
        return
    # A score without LLM calls needs no HTTP client.
    from twinbench.calls.budget import Budget
    from twinbench.calls.metered import MeteredLlm
    from twinbench.providers.gateway import Gateway

    manifest = live_manifest(pool)
    cap = spending_cap(router_usd, manifest, option, who)
    with Gateway(api_base, api_key_env) as gateway:
        yield MeteredLlm(manifest, gateway, Budget(cap, option=option))


def spending_cap(amount: str | float | Decimal | None, pool: LiveManifest, option: str, who: str) -> Decimal | None:
    """Return the amount that may be spent; None if the pool costs nothing and no amount is given.

    Raises:
        UsageError: the amount is not valid, or is missing.
    """
    if amount is None:
        if pool.costs_nothing:
            return None
        raise UsageError(f"pool {pool.name} costs money: give the most that {who} may spend with {option}")
    return parse_usd(amount, option)


def parse_usd(amount: str | float | Decimal, option: str) -> Decimal:
    """Parse the amount of USD of an option.

    Raises:
        UsageError: it is not an amount, or is implausibly large.
    """
    from twinbench.calls.billing import is_plausible

    try:
        cap = Decimal(str(amount))
    except InvalidOperation:
        cap = Decimal(-1)
    if not is_plausible(cap) or cap == 0:  # a journal line could not contain it, either
        raise UsageError(f"{option} {amount}: an amount in USD above 0 is needed, such as 2.50")
    return cap
