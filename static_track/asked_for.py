"""The requested lines of a table: routers, prediction files and answers made elsewhere, each with its own name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from static_track import references
from static_track.banks.bank import Bank
from static_track.banks.splits import BankPart
from static_track.predictions import Predictions
from static_track.seen import Recogniser
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import LoadedRouter, load_router
from twinbench.plugins.seen import Seen, mark_in_sample, read_seen
from twinbench.routing.accepting import RouterLike


@dataclass(frozen=True)
class Wanted:
    """A line of the table: its name, and the fingerprint under which its predictions are kept (None: never)."""

    name: str
    reference: bool
    key: str | None
    asking_key: str | None = None
    """The key of the predictions if the router called an LLM itself; None if it cannot."""
    router: LoadedRouter | None = None
    file: str | None = None
    make: Callable[[], Predictions] | None = None
    """Makes the predictions if they come neither from a router of this evaluator nor from a file."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys under which predictions may be kept."""
        return tuple(key for key in (self.key, self.asking_key) if key is not None)

    def cache_key_for(self, predictions: Predictions) -> str | None:
        """Return the key for keeping predictions; None if they may differ next time, or their inputs are unknown."""
        if predictions.failure is not None or predictions.llm_failure is not None:
            return None
        return self.key if predictions.router_usd is None else self.asking_key


@dataclass(frozen=True)
class Answered:
    """A line of a table whose answers are not made by the evaluator."""

    name: str
    make: Callable[[], Predictions]
    """Makes an answer for each row of the evaluator's part; called if none are kept."""
    key: Mapping[str, Any] | None
    """What the answers depend on beside bank, part and protocol; None if that is unknown, so that none are kept."""
    reference: bool = False


class RouterLoader:
    """Loads the routers that are scored on a part of a bank, and refuses those that were trained on it."""

    def __init__(self, bank: Bank, split: BankPart, plugins: PluginLimits | None, *, in_sample: bool) -> None:
        """Take a part of a bank.

        Args:
            bank: opened.
            split: the part.
            plugins: what routers that are not built in may take.
            in_sample: whether routers that were trained on the part are let through, under a name that says so.
        """
        self._plugins = plugins
        self._in_sample = in_sample
        self._recogniser = Recogniser(bank, split)
        self._trained: dict[str, LoadedRouter] = {}
        """Trained routers that were let through, by spec: what they were trained on is compared once."""

    def load(self, router: str | RouterLike) -> LoadedRouter:
        """The router that a spec names, or an instance as it is.

        Raises:
            UsageError: it is none, sees the labels, or was trained on what it would be scored on.
        """
        if isinstance(router, str) and router in references.NAMES and router not in references.ROUTERS:
            raise UsageError(
                f"{router!r} is a reference that sees the labels, not a router; its score is in every table, even if "
                "no router is named: twinbench static score"
            )
        if isinstance(router, str) and router in self._trained:
            return self._trained[router]
        loaded = load_router(router, self._plugins)
        if loaded.artefact is None:
            return loaded
        self._trained[loaded.name] = admitted = self._admit(loaded, read_seen(loaded.artefact.seen))
        return admitted

    def _admit(self, loaded: LoadedRouter, seen: Seen) -> LoadedRouter:
        if not (overlap := self._recogniser.overlap(seen)):
            return loaded
        if not self._in_sample:
            raise UsageError(
                f"router {loaded.name!r} was trained on what it would be scored on ({overlap}): score it on a part "
                "that it was not trained on (--split; for submit pack, --bank NAME:PART), or with --in-sample, which "
                "marks the row"
            )
        return replace(loaded, name=mark_in_sample(loaded.name))


def make_names_unique(routers: Sequence[LoadedRouter]) -> list[LoadedRouter]:
    """Return the routers, with a number added to repeated names of routers that have no fingerprint, such as
    ``instance:Mine#2``.
    """
    named = Counter[str]()
    renamed = []
    for router in routers:
        named[router.name] += 1
        again = router.fingerprint is None and named[router.name] > 1
        renamed.append(replace(router, name=f"{router.name}#{named[router.name]}") if again else router)
    return renamed
