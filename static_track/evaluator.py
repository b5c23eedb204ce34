"""Evaluate routers on a bank: get their predictions and score them, together with the references.

Results are cached in the store under the fingerprints of bank, protocol, tokenizer set and router, so nothing runs
twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from static_track import references
from static_track.banks.bank import Bank
from static_track.banks.sidecar import base_file
from static_track.banks.splits import BankPart
from static_track.board import RANKED_BY, Board, Comparison, Entry, Setting, compare_pairs
from static_track.metrics import SCORES
from static_track.predict import SESSION_SALT, predict
from static_track.predictions import Predictions, read_predictions
from static_track.results import CachedScore, PredictionsIdentity, ResultCache, ScoreIdentity, percentiles
from static_track.scoring import Scorer
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import PREDICTIONS
from twinbench.errors import StoreWriteError, UsageError
from twinbench.fingerprint import fingerprint, sha256_installed, sha256_text
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import LoadedRouter, load_router
from twinbench.reading.rows import STDIN
from twinbench.routing.accepting import RouterLike
from twinbench.routing.llm import MAX_TOKENS
from twinbench.routing.router import Router
from twinbench.routing.router_llm import NoRouterLlm, RouterLlm
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Usage
from twinbench.sql import sql_file
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest, static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.text.messages import PROTOCOL_TEXT
from twinbench.text.tokens import OFFLINE, TokenizerSet, tokenizer_set

if TYPE_CHECKING:
    from static_track.intervals import RouterSample
    from static_track.trajectory_parts import TrajectoryParts
    from twinbench.calls.metered import MeteredLlm


@dataclass(frozen=True)
class _BoardLine:
    """A line of a board to be computed: its name, and the keys under which its predictions are cached."""

    name: str
    reference: bool
    key: str | None
    asking_key: str | None = None
    """The cache key if the router asked an LLM itself; None if it cannot."""
    router: LoadedRouter | None = None
    file: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The cache keys to look up."""
        return tuple(key for key in (self.key, self.asking_key) if key is not None)

    def cache_key_for(self, predictions: Predictions) -> str | None:
        """Return the cache key to store predictions under; None if they may differ next time."""
        if predictions.failure is not None or predictions.llm_failure is not None:
            return None
        return self.key if predictions.router_usd is None else self.asking_key


def protocol_fingerprint(manifest: StaticManifest, tokenizers: TokenizerSet) -> str:
    """Return the fingerprint of the protocol that scores are made by."""
    return fingerprint({"manifest": manifest.fingerprint, "tokenizers": tokenizers.fingerprint_parts})


def locked_protocol() -> str:
    """Return the fingerprint of the locked protocol: the locked static manifest, with its tokenizer files."""
    manifest = static_manifest()
    return protocol_fingerprint(manifest, tokenizer_set(manifest, OFFLINE))


class Evaluator:
    """Predicts and scores on one part of one bank under one protocol."""

    def __init__(
        self,
        bank: Bank,
        *,
        split: str | None = None,
        manifest: StaticManifest | None = None,
        tokenizers: str = OFFLINE,
        order_seed: int = 0,
        fresh: bool = False,
        plugins: PluginLimits | None = None,
        llm: MeteredLlm | None = None,
        pool: str = DEFAULT_LIVE,
        progress: Progress = no_progress,
    ) -> None:
        """Make an evaluator for a part of a bank.

        Args:
            bank: an opened bank.
            split: the part; None for the whole bank.
            manifest: rates, cache TTL and tokenizers; default: the locked manifest.
            tokenizers: the tokenizer set.
            order_seed: the seed of the order in which routers see the trajectories.
            fresh: ask routers again even if the store has their results.
            plugins: limits of user routers' processes.
            llm: the LLM handle for routers that ask an LLM themselves; None: their LLM calls are refused.
            pool: the live pool that ``llm`` asks; part of such routers' cache keys, so results are found without
                ``llm``.
            progress: called as the work proceeds.

        Raises:
            UsageError: the part or tokenizer set does not exist, or the part has no rows.
        """
        self._bank = bank
        self._plugins = plugins or PluginLimits()
        self._llm = llm
        self._pool = pool
        self._manifest = manifest or static_manifest()
        self._tokenizers = tokenizer_set(self._manifest, tokenizers)
        self._order_seed = order_seed
        self._no_cache = fresh
        self._progress = progress
        self._predictions_by_key: dict[str, Predictions] = {}
        """Predictions of this evaluator by cache key; each router is asked once, since that may take time and money."""
        self._results = ResultCache(bank.store, bank.cursor())
        self._split: BankPart = bank.split(split)
        self.warnings: tuple[str, ...] = ()
        self.protocol = protocol_fingerprint(self._manifest, self._tokenizers)
        if not self.row_nos:
            raise UsageError(f"the part {self._split.name!r} of the bank {bank.info.name!r} has no rows")

    @cached_property
    def _base_file(self) -> Path | None:
        return base_file(self._bank, self._manifest, self._tokenizers, self._progress)

    @cached_property
    def row_nos(self) -> list[int]:
        """The row numbers of the part of the bank."""
        return self._bank.row_nos(self._split)

    def board(
        self,
        routers: Sequence[str | RouterLike],
        prediction_files: Sequence[str] = (),
        resampling: Resampling | None = None,
    ) -> Board:
        """Score routers and prediction files, in their order, and then the references.

        Args:
            routers: specs or router objects.
            prediction_files: paths of prediction files.
            resampling: how trajectories are resampled; None: no intervals and no ranks.

        Raises:
            UsageError: a router or file does not exist, or the bank has no labels.
            ContentError: a prediction file is invalid.
            TwinbenchError: a router's code fails while it loads.
        """
        wanted = self._requested_lines(routers, prediction_files)
        named = {each.name for each in wanted}
        for name in references.NAMES:
            if name in references.ROUTERS and name not in named:
                wanted.append(self._make_line(load_router(name), reference=True))
            elif name not in named:
                wanted.append(_BoardLine(name, reference=True, key=self._reference_key(name)))
        entries, _ = self._entries(wanted, resampling)
        return Board(**vars(self.setting(resampling)), entries=entries)

    def compare(
        self, routers: Sequence[str | RouterLike], prediction_files: Sequence[str], resampling: Resampling
    ) -> Comparison:
        """Compare routers and prediction files pairwise, each with each later one.

        Args:
            routers: specs or router objects.
            prediction_files: paths of prediction files.
            resampling: how trajectories are resampled.

        Raises:
            UsageError: as for ``board``, or fewer than two are given.
            ContentError: a prediction file is invalid.
            TwinbenchError: a router's code fails while it loads.
        """
        wanted = self._requested_lines(routers, prediction_files)
        if len({each.name for each in wanted}) < max(2, len(wanted)):
            raise UsageError("a comparison needs at least two different routers or prediction files")
        entries, sample = self._entries(wanted, resampling)
        assert sample is not None  # noqa: S101 - there is a resampling
        ranks = {
            metric: {entries[number].router: rank for number, rank in sample.ranks(range(len(entries)), metric).items()}
            for metric in SCORES
        }
        return Comparison(
            **vars(self.setting(resampling)),
            entries=entries,
            pairs=compare_pairs([entry.router for entry in entries], sample),
            ranks=ranks,
        )

    def _requested_lines(
        self, routers: Sequence[str | RouterLike], prediction_files: Sequence[str]
    ) -> list[_BoardLine]:
        self._bank.require_labels()
        loaded = _with_unique_names([self._load_router(router) for router in routers])
        wanted = [self._make_line(router, reference=False) for router in loaded]
        if prediction_files.count(STDIN) > 1:
            raise UsageError("standard input can be read only once: give --predictions - once")
        wanted += (
            _BoardLine(f"{PREDICTIONS}{path}", reference=False, key=None, file=path) for path in prediction_files
        )
        return wanted

    def setting(self, resampling: Resampling | None = None) -> Setting:
        """Return what all scores of this evaluator share.

        Args:
            resampling: how trajectories are resampled; None: they are not.
        """
        size = self._bank.size(self._split)
        return Setting(
            bank=self._bank.info,
            split=self._split.name,
            rows=size.rows,
            trajectories=size.trajectories,
            groups=size.groups,
            protocol=self.protocol,
            order_seed=self._order_seed,
            resampling=resampling,
        )

    def _entries(
        self, wanted: Sequence[_BoardLine], resampling: Resampling | None
    ) -> tuple[list[Entry], RouterSample | None]:
        kept = self._kept_scores(wanted, parts=resampling is not None)
        missing = [each for each in wanted if each.name not in kept]
        if missing:
            kept |= self._score(missing, parts=resampling is not None)
        found = [kept[each.name] for each in wanted]
        entries = [
            Entry(
                each.name,
                each.reference,
                score.score,
                score.latency_ms,
                score.first_error,
                score.given_up,
                score.own,
                None if each.router is None else score.failure,
                self._plugins.output.before_failure(each.name),
            )
            for each, score in zip(wanted, found, strict=True)
        ]
        if resampling is None:
            return entries, None
        from static_track.intervals import RouterSample

        self._progress("drawing trajectories", 0, None)
        sample = RouterSample([score.parts for score in found if score.parts is not None], resampling)
        see_labels = {name for name in references.NAMES if name not in references.ROUTERS}
        ranks = sample.ranks([number for number, each in enumerate(wanted) if each.name not in see_labels], RANKED_BY)
        return [
            replace(
                entry,
                intervals=sample.intervals(number),
                workload_intervals=partial(sample.by_workload, number),
                rank=ranks.get(number),
            )
            for number, entry in enumerate(entries)
        ], sample

    @property
    def manifest(self) -> StaticManifest:
        """Rates, cache lifetime and tokenizers."""
        return self._manifest

    @contextmanager
    def open_router(self, router: str | RouterLike, llm: RouterLlm) -> Iterator[Router]:
        """Open a router for use within the block; its process, if it has one, ends with the block.

        Args:
            router: a spec or a router object.
            llm: the handle through which it may ask an LLM.

        Raises:
            UsageError: the router does not exist.
            RouterLoadError: its code fails while it loads.
        """
        with self._load_router(router).open(self._manifest.candidates(), llm) as found:
            yield found

    def _handle(self) -> RouterLlm:
        """Return a new LLM handle for a router."""
        return NoRouterLlm() if self._llm is None else replace(self._llm)

    def scorer(self) -> Scorer:
        """Return a scorer for the part under the protocol."""
        return Scorer(self._bank.path, self._manifest, base_file=self._base_file, split=self._split)

    def predictions(self, router: str | RouterLike) -> Predictions:
        """Return a router's predictions for the rows of the part, cached ones if there are any."""
        return self._predictions(self._make_line(self._load_router(router), reference=False))

    def estimate_router_llm_usd(self) -> tuple[Decimal, Decimal]:
        """Estimate the spend of a router that asks an LLM once per row: with the cheapest and most expensive candidate.

        Assumes that it sends the whole conversation, without cached tokens, and gets answers of the default length.
        """
        prompts = self._bank.prompt_tokens(self._split)
        found = []
        for each in live_manifest(self._pool).candidates:
            usage = Usage(input=prompts[Tier.from_label(each.tier)], output=MAX_TOKENS * len(self.row_nos))
            found.append(usage.cost_usd(each.prices.prices()))
        return min(found), max(found)

    def _load_router(self, router: str | RouterLike) -> LoadedRouter:
        if isinstance(router, str) and router in references.NAMES and router not in references.ROUTERS:
            raise UsageError(
                f"{router!r} is a reference that sees the labels, not a router; its score is in every table, even if "
                "no router is named: twinbench static score"
            )
        return load_router(router, self._plugins)

    def _make_line(self, router: LoadedRouter, *, reference: bool) -> _BoardLine:
        if router.fingerprint is None:
            return _BoardLine(router.name, reference, None, router=router)
        who = {"router": router.fingerprint, "salt": SESSION_SALT, "order_seed": self._order_seed}
        asking = self._key(who | {"llm": live_manifest(self._pool).fingerprint}) if router.may_ask else None
        return _BoardLine(router.name, reference, self._key(who), asking, router)

    def _reference_key(self, name: str) -> str:
        return self._key({"reference": name, "code": sha256_installed(Path(references.__file__))})

    def _key(self, who: Mapping[str, Any]) -> str:
        info = self._bank.info
        where = {"bank": info.sha256, "split": self._split.fingerprint, "protocol": self.protocol}
        rules = {} if info.text_rules == PROTOCOL_TEXT else {"text_rules": info.text_rules}
        return fingerprint(where | rules | dict(who))

    def _score_key(self, predictions: str) -> str:
        return self._key({"predictions": predictions, "scoring": sha256_text(sql_file(__package__, "scoring.sql"))})

    def _kept_scores(self, wanted: Sequence[_BoardLine], *, parts: bool) -> dict[str, CachedScore]:
        if self._no_cache:
            return {}
        keys = {self._score_key(key): each.name for each in wanted for key in each.keys}
        return {keys[key]: kept for key, kept in self._results.scores(list(keys), parts=parts).items()}

    def _score(self, wanted: Sequence[_BoardLine], *, parts: bool) -> dict[str, CachedScore]:
        with self.scorer() as scorer:
            predictions = [self._predictions(each, scorer) for each in wanted]
            self._progress("scoring", 0, None)
            scorer.load(predictions)
            kept: dict[str, CachedScore] = {}
            scores = scorer.scores()
            own = scorer.router_llm_costs()
            added: Mapping[int, TrajectoryParts] = scorer.parts() if parts else {}
            for number, (each, predicted, score) in enumerate(zip(wanted, predictions, scores, strict=True)):
                found = CachedScore(
                    score,
                    percentiles(predicted.latencies_ms),
                    first_error=next(iter(predicted.errors.values()), None),
                    given_up=predicted.stopped,
                    own=own.get(number),
                    parts=added.get(number),
                )
                kept[each.name] = found
                if (key := each.cache_key_for(predicted)) is not None:
                    whose = self._identity(each, key)
                    identity = ScoreIdentity(**asdict(whose), fingerprint=self._score_key(key))
                    self._keep(partial(self._results.store_score, identity, found, scorer, number))
            return kept

    def _predictions(self, wanted: _BoardLine, scorer: Scorer | None = None) -> Predictions:
        if wanted.file is not None:
            return read_predictions(wanted.file, self._bank.row_ids, self.row_nos)
        if wanted.key in self._predictions_by_key:
            return self._predictions_by_key[wanted.key]
        for known in () if self._no_cache else wanted.keys:
            if (kept := self._results.predictions(known, self.row_nos)) is not None:
                return kept
        if wanted.router is not None:
            predicted = self._ask_router(wanted.router)
        else:
            assert scorer is not None  # noqa: S101 - only boards need references that see labels
            predicted = (
                references.labels(scorer.connection)
                if wanted.name == references.LABELS
                else references.cost_optimal(scorer.connection, self._manifest)
            )
        if predicted.llm_failure is not None and predicted.failure is None:
            self._warn(
                f"{wanted.name}: some of its LLM calls got no answer, so its result is not cached; the first error: "
                f"{predicted.llm_failure}"
            )
        if (key := wanted.cache_key_for(predicted)) is not None:
            identity = self._identity(wanted, key)
            self._keep(partial(self._results.store_predictions, identity, predicted, self._bank.row_ids))
        if wanted.key is not None:  # an instance or an endpoint may change between calls
            self._predictions_by_key[wanted.key] = predicted
        return predicted

    def _identity(self, wanted: _BoardLine, key: str) -> PredictionsIdentity:
        return PredictionsIdentity(
            predictions=key,
            router=wanted.name,
            router_fingerprint=wanted.router.fingerprint if wanted.router is not None else None,
            bank=self._bank.info.name,
            bank_sha256=self._bank.info.sha256,
            split=self._split.name,
            protocol=self.protocol,
            order_seed=None if wanted.router is None else str(self._order_seed),
            caveat=self._bank.info.caveat,
        )

    def _ask_router(self, router: LoadedRouter) -> Predictions:
        """Ask a router for its predictions; one that cannot be loaded fails on every row, and the others continue."""
        llm = self._handle()
        try:
            with router.open(self._manifest.candidates(), llm) as opened:
                return predict(
                    opened,
                    self._bank,
                    self._manifest,
                    split=self._split,
                    base_file=self._base_file,
                    order_seed=self._order_seed,
                    llm=llm,
                    progress=self._progress,
                )
        except RouterLoadError as failure:
            errors = dict.fromkeys(self.row_nos, str(failure))
            return Predictions(self.row_nos, [None] * len(self.row_nos), errors, stopped=True)

    def _keep(self, write: Callable[[], None]) -> None:
        """Store a result; if the store cannot be written, only time is lost at the next run."""
        try:
            write()
        except StoreWriteError as error:
            self._warn(f"results are not cached: {error}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings = (*self.warnings, text)


def _with_unique_names(routers: Sequence[LoadedRouter]) -> list[LoadedRouter]:
    """Give unidentifiable routers unique names: the second ``instance:Mine`` becomes ``instance:Mine#2``."""
    named = Counter[str]()
    told_apart = []
    for router in routers:
        named[router.name] += 1
        again = router.fingerprint is None and named[router.name] > 1
        told_apart.append(replace(router, name=f"{router.name}#{named[router.name]}") if again else router)
    return told_apart
