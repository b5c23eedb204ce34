"""A table of routers on a bank: those that were asked for, and the references beside them.

Everything is kept in the store under the fingerprints of bank, protocol, tokenizer set and router, and not run twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from static_track import references
from static_track.bank import Bank, BankInfo
from static_track.bank_file import sql_file
from static_track.predict import SESSION_SALT, predict
from static_track.predictions import Predictions, read_predictions
from static_track.results import LATENCIES, KeptScore, PredictionsIdentity, Results, ScoreIdentity
from static_track.scoring import OwnCost, Score, Scorer
from static_track.sidecar import base_file
from static_track.splits import Split
from static_track.unique_messages import Progress, no_progress
from twinbench.errors import StoreWriteError, UsageError
from twinbench.fingerprint import fingerprint, sha256_file, sha256_text
from twinbench.llm import MAX_TOKENS
from twinbench.own_calls import NoCalls, OwnCalls
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import LoadedRouter, load_router
from twinbench.pools import DEFAULT_LIVE, StaticManifest, live_manifest, static_manifest
from twinbench.router import Router
from twinbench.tiers import Tier
from twinbench.tokens import OFFLINE, tokenizer_set
from twinbench.usage import Usage

if TYPE_CHECKING:
    from twinbench.calls.metered import MeteredLlm


@dataclass(frozen=True)
class Entry:
    """One line of the table."""

    router: str
    reference: bool
    score: Score
    latency_ms: Mapping[str, float | None]
    first_error: str | None = None
    """The text of the first error row."""
    given_up: bool = False
    own: OwnCost | None = None
    """What the router's own LLM calls cost; None where it made none."""
    failure: str | None = None
    """How the router failed as a whole, as a sentence's end; None where it did not, and for a prediction file."""

    def to_json(self, *, legacy: bool = False) -> dict[str, Any]:
        """The entry as a JSON object."""
        return {
            "router": self.router,
            "reference": self.reference,
            **self.score.to_json(legacy=legacy),
            "latency_ms": dict(self.latency_ms),
            "first_error": self.first_error,
            "given_up": self.given_up,
            "router_usd": None if self.own is None else self.own.router_usd,
            "cost_save_net": None if self.own is None else self.own.cost_save_net,
        }


@dataclass(frozen=True)
class Board:
    """Routers scored on the same bank under the same protocol."""

    bank: BankInfo
    split: str | None
    rows: int
    trajectories: int
    protocol: str
    entries: Sequence[Entry]

    def to_json(self, *, legacy: bool = False) -> dict[str, Any]:
        """The board as a JSON object."""
        return {
            "bank": {
                "name": self.bank.name,
                "sha256": self.bank.sha256,
                "source_sha256": self.bank.source_sha256,
                "split": self.split,
                "rows": self.rows,
                "trajectories": self.trajectories,
                **({} if self.bank.caveat is None else {"caveat": self.bank.caveat}),
            },
            "protocol": self.protocol,
            "routers": [entry.to_json(legacy=legacy) for entry in self.entries],
        }


@dataclass(frozen=True)
class _Wanted:
    """A line to come: how it is named, and under which fingerprint its predictions are kept (None: never)."""

    name: str
    reference: bool
    key: str | None
    asking_key: str | None = None
    """Under which they are where the router asked an LLM itself; None where it cannot."""
    router: LoadedRouter | None = None
    file: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Where to look for them."""
        return tuple(key for key in (self.key, self.asking_key) if key is not None)

    def kept_under(self, predictions: Predictions) -> str | None:
        """Where to keep them; None where they may be others the next time, or nobody knows what they depend on."""
        if predictions.failure is not None or predictions.unanswered is not None:
            return None
        return self.key if predictions.router_usd is None else self.asking_key


class Judge:
    """Predicts and scores over one part of one bank under one protocol."""

    def __init__(
        self,
        bank: Bank,
        *,
        split: str | None = None,
        manifest: StaticManifest | None = None,
        tokenizers: str = OFFLINE,
        fresh: bool = False,
        plugins: PluginLimits | None = None,
        llm: MeteredLlm | None = None,
        pool: str = DEFAULT_LIVE,
        progress: Progress = no_progress,
    ) -> None:
        """Take a part of a bank.

        Args:
            bank: opened.
            split: the part; None for all of it.
            manifest: rates, cache TTL and tokenizers; default: the locked one.
            tokenizers: the tokenizer set.
            fresh: run again what the store already holds.
            plugins: what routers that are not built in may take.
            llm: what routers that ask an LLM themselves ask; None: they cannot.
            pool: the live pool that ``llm`` asks: results of such routers are kept under it, and found without ``llm``.
            progress: told what is going on.

        Raises:
            UsageError: there is no such part or tokenizer set, or the part has no rows.
        """
        self._bank = bank
        self._plugins = plugins
        self._llm = llm
        self._pool = pool
        self._manifest = manifest or static_manifest()
        self._tokenizers = tokenizer_set(self._manifest, tokenizers)
        self._fresh = fresh
        self._progress = progress
        self._results = Results(bank.store, bank.cursor())
        self._split: Split = bank.split(split)
        self.warnings: tuple[str, ...] = ()
        self.protocol = fingerprint(
            {"manifest": self._manifest.fingerprint, "tokenizers": self._tokenizers.fingerprint_parts}
        )

        if not self._row_nos:
            raise UsageError(f"the part {self._split.name!r} of the bank {bank.info.name!r} has no rows")

    @cached_property
    def _base_file(self) -> Path | None:
        return base_file(self._bank, self._manifest, self._tokenizers, self._progress)

    @cached_property
    def _row_nos(self) -> list[int]:
        return self._bank.row_nos(self._split)

    def board(self, routers: Sequence[str | Router], prediction_files: Sequence[str] = ()) -> Board:
        """Score the routers and prediction files asked for, in their order, and then the references.

        Raises:
            UsageError: a router or file does not exist, or the bank has no labels.
            ContentError: a prediction file is refused.
            TwinbenchError: a router's code fails while it loads.
        """
        self._bank.require_labels()
        loaded = _told_apart([self._loaded(router) for router in routers])
        wanted = [self._wanted(router, reference=False) for router in loaded]
        wanted += (_Wanted(f"predictions:{path}", reference=False, key=None, file=path) for path in prediction_files)
        named = {each.name for each in wanted}
        for name in references.NAMES:
            if name in references.ROUTERS and name not in named:
                wanted.append(self._wanted(load_router(name), reference=True))
            elif name not in named:
                wanted.append(_Wanted(name, reference=True, key=self._reference_key(name)))
        kept = self._kept_scores(wanted)
        missing = [each for each in wanted if each.name not in kept]
        if missing:
            kept |= self._scored(missing)
        entries = [
            Entry(
                each.name,
                each.reference,
                found.score,
                found.latency_ms,
                found.first_error,
                found.given_up,
                found.own,
                None if each.router is None else found.failure,
            )
            for each in wanted
            for found in (kept[each.name],)
        ]
        counts = entries[0].score.counts
        return Board(self._bank.info, self._split.name, counts["rows"], counts["trajectories"], self.protocol, entries)

    def predictions(self, router: str | Router) -> Predictions:
        """A router's answers for the rows of the part, kept ones where there are any."""
        return self._predictions(self._wanted(self._loaded(router), reference=False))

    def own_estimate_usd(self) -> tuple[Decimal, Decimal]:
        """What a router spends that asks an LLM once a row: at the cheapest candidate of the pool and at the dearest.

        It shows the whole conversation, finds no cache, and gets an answer as long as it is by default.
        """
        prompts = self._bank.prompt_tokens(self._split)
        found = []
        for each in live_manifest(self._pool).candidates:
            usage = Usage(input=prompts[Tier.from_label(each.tier)], output=MAX_TOKENS * len(self._row_nos))
            found.append(usage.cost_usd(each.prices.prices()))
        return min(found), max(found)

    def _loaded(self, router: str | Router) -> LoadedRouter:
        if isinstance(router, str) and router in references.NAMES and router not in references.ROUTERS:
            raise UsageError(
                f"router {router!r}: it sees the labels, so it is no router and decides no call; its score stands in "
                "every table, also where no router is named: twinbench static score"
            )
        return load_router(router, self._plugins)

    def _wanted(self, router: LoadedRouter, *, reference: bool) -> _Wanted:
        if router.fingerprint is None:
            return _Wanted(router.name, reference, None, router=router)
        who = {"router": router.fingerprint, "salt": SESSION_SALT}
        asking = self._key(who | {"llm": live_manifest(self._pool).fingerprint}) if router.may_ask else None
        return _Wanted(router.name, reference, self._key(who), asking, router)

    def _reference_key(self, name: str) -> str:
        return self._key({"reference": name, "code": sha256_file(Path(references.__file__))})

    def _key(self, who: Mapping[str, Any]) -> str:
        where = {"bank": self._bank.info.sha256, "split": self._split.fingerprint, "protocol": self.protocol}
        return fingerprint(where | dict(who))

    def _score_key(self, predictions: str) -> str:
        return self._key({"predictions": predictions, "scoring": sha256_text(sql_file("scoring.sql"))})

    def _kept_scores(self, wanted: Sequence[_Wanted]) -> dict[str, KeptScore]:
        if self._fresh:
            return {}
        keys = {self._score_key(key): each.name for each in wanted for key in each.keys}
        return {keys[key]: kept for key, kept in self._results.scores(list(keys)).items()}

    def _scored(self, wanted: Sequence[_Wanted]) -> dict[str, KeptScore]:
        with Scorer(self._bank.path, self._manifest, base_file=self._base_file, split=self._split) as scorer:
            predictions = [self._predictions(each, scorer) for each in wanted]
            self._progress("scoring", 0, None)
            scorer.load(predictions)
            kept: dict[str, KeptScore] = {}
            scores = scorer.scores()
            own = scorer.own_costs()
            for number, (each, predicted, score) in enumerate(zip(wanted, predictions, scores, strict=True)):
                found = KeptScore(
                    score,
                    _percentiles(predicted.latencies_ms),
                    first_error=next(iter(predicted.errors.values()), None),
                    given_up=predicted.given_up,
                    own=own.get(number),
                )
                kept[each.name] = found
                if (key := each.kept_under(predicted)) is not None:
                    whose = self._identity(each, key)
                    identity = ScoreIdentity(**asdict(whose), fingerprint=self._score_key(key))
                    self._keep(partial(self._results.keep_score, identity, found, scorer, number))
            return kept

    def _predictions(self, wanted: _Wanted, scorer: Scorer | None = None) -> Predictions:
        if wanted.file is not None:
            return read_predictions(wanted.file, self._bank.row_ids, self._row_nos)
        for known in () if self._fresh else wanted.keys:
            if (kept := self._results.predictions(known)) is not None:
                return kept
        if wanted.router is not None:
            predicted = self._asked(wanted.router)
        else:
            assert scorer is not None  # noqa: S101 - only boards ask for references that see labels
            predicted = (
                references.labels(scorer.connection)
                if wanted.name == references.LABELS
                else references.cost_optimal(scorer.connection, self._manifest)
            )
        if predicted.unanswered is not None and predicted.failure is None:
            self._warn(
                f"{wanted.name} asked an LLM and was not always answered, so its result is not kept; the first time: "
                f"{predicted.unanswered}"
            )
        if (key := wanted.kept_under(predicted)) is not None:
            identity = self._identity(wanted, key)
            self._keep(partial(self._results.keep_predictions, identity, predicted, self._bank.row_ids))
        return predicted

    def _identity(self, wanted: _Wanted, key: str) -> PredictionsIdentity:
        return PredictionsIdentity(
            predictions=key,
            router=wanted.name,
            router_fingerprint=wanted.router.fingerprint if wanted.router is not None else None,
            bank=self._bank.info.name,
            bank_sha256=self._bank.info.sha256,
            split=self._split.name,
            protocol=self.protocol,
        )

    def _asked(self, router: LoadedRouter) -> Predictions:
        """What a router answers now; one that cannot be loaded fails every row, and the others go on."""
        llm: OwnCalls = NoCalls() if self._llm is None else replace(self._llm)  # a handle of its own for each router
        try:
            with router.opened(self._manifest.candidates(), llm) as opened:
                return predict(
                    opened,
                    self._bank,
                    self._manifest,
                    split=self._split,
                    base_file=self._base_file,
                    llm=llm,
                    progress=self._progress,
                )
        except RouterLoadError as failure:
            errors = dict.fromkeys(self._row_nos, str(failure))
            return Predictions(self._row_nos, [None] * len(self._row_nos), errors, given_up=True)

    def _keep(self, write: Callable[[], None]) -> None:
        """Keep a result; a store that cannot be written costs time at the next run, not this run's scores."""
        try:
            write()
        except StoreWriteError as error:
            self._warn(f"results are not kept: {error}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings = (*self.warnings, text)


def _told_apart(routers: Sequence[LoadedRouter]) -> list[LoadedRouter]:
    """The routers, those that nobody can identify each under a name of its own: ``instance:Mine#2`` is the second."""
    named = Counter[str]()
    told_apart = []
    for router in routers:
        named[router.name] += 1
        again = router.fingerprint is None and named[router.name] > 1
        told_apart.append(replace(router, name=f"{router.name}#{named[router.name]}") if again else router)
    return told_apart


def _percentiles(latencies_ms: Sequence[float] | None) -> dict[str, float | None]:
    if not latencies_ms:
        return dict.fromkeys(LATENCIES)
    if len(latencies_ms) == 1:
        return dict.fromkeys(LATENCIES, latencies_ms[0])
    cuts = quantiles(latencies_ms, n=100, method="inclusive")
    return {name: cuts[int(name[1:]) - 1] for name in LATENCIES}
