"""Evaluate routers on a bank: get their predictions and score them, together with the references.

Results are cached in the store under the fingerprints of bank, protocol, tokenizer set and router, so nothing runs
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from static_track import references
from static_track.asked_for import Answered, RouterLoader, Wanted, make_names_unique
from static_track.banks.bank import Bank
from static_track.banks.sidecar import base_file
from static_track.banks.splits import BankPart
from static_track.board import RANKED_BY, Board, Comparison, Entry, Setting, compare_pairs
from static_track.metrics import SCORES
from static_track.predict import SESSION_SALT, predict
from static_track.predictions import Predictions, failed_rows, read_predictions
from static_track.results import CachedScore, PredictionsIdentity, ResultCache, ScoreIdentity, percentiles
from static_track.scoring import Scorer
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import PREDICTIONS
from twinbench.errors import StoreWriteError, UsageError
from twinbench.fingerprint import fingerprint, sha256_installed, sha256_text
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import LoadedRouter, load_router
from twinbench.plugins.seen import is_in_sample, mark_in_sample
from twinbench.reading.rows import STDIN
from twinbench.routing.accepting import RouterLike
from twinbench.routing.router import Router
from twinbench.routing.router_llm import NoRouterLlm, RouterLlm
from twinbench.sql import sql_file
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import DEFAULT_LIVE, live_manifest, static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.text.messages import PROTOCOL_TEXT_RULES
from twinbench.text.tokens import OFFLINE, TokenizerSet, find_tokenizer_set

if TYPE_CHECKING:
    from static_track.intervals import RouterSample
    from static_track.trajectory_parts import TrajectoryParts
    from twinbench.calls.metered import MeteredLlm


def protocol_fingerprint(manifest: StaticManifest, tokenizers: TokenizerSet) -> str:
    """Return the fingerprint of the protocol that scores are made by."""
    return fingerprint({"manifest": manifest.fingerprint, "tokenizers": tokenizers.fingerprint_parts})


def locked_protocol() -> str:
    """Return the fingerprint of the locked protocol: the locked static manifest, with its tokenizer files."""
    manifest = static_manifest()
    return protocol_fingerprint(manifest, find_tokenizer_set(manifest, OFFLINE))


class Evaluator:
    """Predicts and scores on one part of one bank under one protocol."""

    def __init__(
        self,
        bank: Bank,
        *,
        split: str | BankPart | None = None,
        manifest: StaticManifest | None = None,
        tokenizers: str = OFFLINE,
        order_seed: int = 0,
        no_cache: bool = False,
        in_sample: bool = False,
        plugins: PluginLimits | None = None,
        llm: MeteredLlm | None = None,
        pool: str = DEFAULT_LIVE,
        progress: Progress = no_progress,
    ) -> None:
        """Make an evaluator for a part of a bank.

        Args:
            bank: an opened bank.
            split: the part, or its name; None for the whole bank.
            manifest: rates, cache TTL and tokenizers; default: the locked manifest.
            tokenizers: the tokenizer set.
            order_seed: the seed of the order in which routers see the trajectories.
            no_cache: ask routers again even if the store has their results.
            in_sample: also score trained routers on rows that they were trained on, and mark them.
            plugins: limits of user routers' processes.
            llm: the LLM handle for routers that ask an LLM themselves; None: their LLM calls are refused.
            pool: the live pool that ``llm`` asks; part of such routers' cache keys, so results are found without
                ``llm``.
            progress: called as the work proceeds.

        Raises:
            UsageError: the part or tokenizer set does not exist, or the part has no rows.
        """
        self.bank = bank
        self.plugins = plugins or PluginLimits()
        self._llm = llm
        self._pool = pool
        self._manifest = manifest or static_manifest()
        self.tokenizers = tokenizers
        self._tokenizers = find_tokenizer_set(self._manifest, tokenizers)
        self._order_seed = order_seed
        self._no_cache = no_cache
        self.progress = progress
        self._predictions_by_key: dict[str, Predictions] = {}
        """Predictions of this evaluator by cache key; each router is called once, which may take time and money."""
        self._results = ResultCache(bank.store, bank.cursor())
        self.split = split if isinstance(split, BankPart) else bank.split(split)
        self._routers = RouterLoader(bank, self.split, plugins, in_sample=in_sample)
        self.warnings: tuple[str, ...] = ()
        self.protocol = protocol_fingerprint(self._manifest, self._tokenizers)
        if not self.row_nos:
            raise UsageError(f"the part {self.split.name!r} of the bank {bank.info.name!r} has no rows")

    @cached_property
    def base_file(self) -> Path | None:
        """The file with token counts under the judge's tokenizers; None where those of the bank are the same."""
        return base_file(self.bank, self._manifest, self._tokenizers, self.progress)

    @cached_property
    def row_nos(self) -> list[int]:
        """The row numbers of the part of the bank."""
        return self.bank.row_nos(self.split)

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
        entries, _ = self._entries([*wanted, *self._references_beside(wanted)], resampling)
        return Board(**vars(self.setting(resampling)), entries=entries)

    def entries(
        self, lines: Sequence[str | Answered], resampling: Resampling | None = None
    ) -> tuple[list[Entry], RouterSample | None]:
        """Score lines of whatever origin, in their order, and then the references; with the sample of ``resampling``.

        Args:
            lines: specs of routers, and what was answered elsewhere.
            resampling: see ``board``.
        """
        wanted = [
            self._make_line(self._routers.load(each), reference=False)
            if isinstance(each, str)
            else Wanted(each.name, each.reference, None if each.key is None else self._key(each.key), make=each.make)
            for each in lines
        ]
        return self._entries([*wanted, *self._references_beside(wanted)], resampling)

    def _references_beside(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """The references that were not requested by name."""
        named = {each.name for each in wanted}
        return [
            self._make_line(load_router(name), reference=True)
            if name in references.ROUTERS
            else Wanted(name, reference=True, key=self._reference_key(name))
            for name in references.NAMES
            if name not in named
        ]

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
        routers_ranked = () if self.bank.info.ranks_nothing else range(len(entries))
        ranks = {
            metric: {entries[number].router: rank for number, rank in sample.ranks(routers_ranked, metric).items()}
            for metric in SCORES
        }
        return Comparison(
            **vars(self.setting(resampling)),
            entries=entries,
            pairs=compare_pairs([entry.router for entry in entries], sample),
            ranks=ranks,
        )

    def _requested_lines(self, routers: Sequence[str | RouterLike], prediction_files: Sequence[str]) -> list[Wanted]:
        self.bank.require_labels()
        loaded = make_names_unique([self._routers.load(router).require_trained() for router in routers])
        wanted = [self._make_line(router, reference=False) for router in loaded]
        if prediction_files.count(STDIN) > 1:
            raise UsageError("standard input can be read only once: give --predictions - once")
        wanted += (Wanted(f"{PREDICTIONS}{path}", reference=False, key=None, file=path) for path in prediction_files)
        return wanted

    @property
    def has_llm(self) -> bool:
        """Whether routers may ask an LLM themselves."""
        return self._llm is not None

    @property
    def order_seed(self) -> int:
        """Seed of the order in which routers are given the trajectories."""
        return self._order_seed

    def setting(self, resampling: Resampling | None = None) -> Setting:
        """Return what all scores of this evaluator share.

        Args:
            resampling: how trajectories are resampled; None: they are not.
        """
        size = self.bank.size(self.split)
        return Setting(
            bank=self.bank.info,
            split=self.split.name,
            rows=size.rows,
            trajectories=size.trajectories,
            groups=size.groups,
            protocol=self.protocol,
            order_seed=self._order_seed,
            resampling=resampling,
            failure_usd=float(live_manifest().unresolved_penalty_usd) if self.bank.build_manifest else None,
        )

    def _entries(
        self, wanted: Sequence[Wanted], resampling: Resampling | None
    ) -> tuple[list[Entry], RouterSample | None]:
        parts = resampling is not None
        # What is never cached is scored first: reading cached scores with their parts needs numpy, which a command
        # imports in a thread.
        scores = self._score([each for each in wanted if not each.keys], parts=parts)
        scores |= self._kept_scores(wanted, parts=parts)
        scores |= self._score([each for each in wanted if each.name not in scores], parts=parts)
        found = [scores[each.name] for each in wanted]
        entries = [
            Entry(
                mark_in_sample(each.name, in_sample=score.in_sample),
                each.reference,
                score.score,
                score.latency_ms,
                score.first_error,
                score.given_up,
                score.own,
                None if each.router is None and each.make is None else score.failure,
                self.plugins.output.before_failure(each.name),
                in_sample=score.in_sample or is_in_sample(each.name),
            )
            for each, score in zip(wanted, found, strict=True)
        ]
        if resampling is None:
            return entries, None
        from static_track.intervals import RouterSample

        self.progress("drawing trajectories", 0, None)
        sample = RouterSample([score.parts for score in found if score.parts is not None], resampling)
        see_labels = {name for name in references.NAMES if name not in references.ROUTERS}
        routers = [number for number, each in enumerate(wanted) if each.name not in see_labels]
        ranks = sample.ranks([] if self.bank.info.ranks_nothing else routers, RANKED_BY)
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
        with self._routers.load(router).open(self._manifest.candidates(), llm) as found:
            yield found

    def _handle(self) -> RouterLlm:
        """Return a new LLM handle for a router."""
        return NoRouterLlm() if self._llm is None else replace(self._llm)

    def scorer(self) -> Scorer:
        """Return a scorer for the part under the protocol."""
        return Scorer(self.bank.path, self._manifest, base_file=self.base_file, split=self.split)

    def predictions(self, router: str | RouterLike) -> Predictions:
        """Return a router's predictions for the rows of the part, cached ones if there are any."""
        wanted = self._make_line(self._routers.load(router).require_trained(), reference=False)
        return replace(self._predictions(wanted), in_sample=is_in_sample(wanted.name))

    def load(self, router: str | RouterLike) -> LoadedRouter:
        """Load a router that may be scored on this part.

        Raises:
            UsageError: it does not exist, or was trained on the part.
        """
        return self._routers.load(router)

    def name_of(self, router: str | RouterLike) -> str:
        """Return the name that a router has in tables about this part."""
        return self._routers.load(router).name

    def _make_line(self, router: LoadedRouter, *, reference: bool) -> Wanted:
        if router.fingerprint is None:
            return Wanted(router.name, reference, None, router=router)
        who = {"router": router.fingerprint, "salt": SESSION_SALT, "order_seed": self._order_seed}
        asking = self._key(who | {"llm": live_manifest(self._pool).fingerprint}) if router.may_ask else None
        return Wanted(router.name, reference, self._key(who), asking, router)

    def _reference_key(self, name: str) -> str:
        return self._key({"reference": name, "code": sha256_installed(Path(references.__file__))})

    def _key(self, who: Mapping[str, Any]) -> str:
        info = self.bank.info
        where = {"bank": info.sha256, "split": self.split.fingerprint, "protocol": self.protocol}
        rules = {} if info.text_rules == PROTOCOL_TEXT_RULES else {"text_rules": info.text_rules}
        return fingerprint(where | rules | dict(who))

    def _score_key(self, predictions: str) -> str:
        return self._key({"predictions": predictions, "scoring": sha256_text(sql_file(__package__, "scoring.sql"))})

    def _kept_scores(self, wanted: Sequence[Wanted], *, parts: bool) -> dict[str, CachedScore]:
        if self._no_cache:
            return {}
        keys = {self._score_key(key): each.name for each in wanted for key in each.keys}
        return {keys[key]: kept for key, kept in self._results.scores(list(keys), parts=parts).items()}

    def _score(self, wanted: Sequence[Wanted], *, parts: bool) -> dict[str, CachedScore]:
        if not wanted:
            return {}
        with self.scorer() as scorer:
            predictions = [self._predictions(each, scorer) for each in wanted]
            self.progress("scoring", 0, None)
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
                    in_sample=predicted.in_sample,
                )
                kept[each.name] = found
                if (key := each.cache_key_for(predicted)) is not None:
                    whose = self._identity(each, key)
                    identity = ScoreIdentity(**asdict(whose), fingerprint=self._score_key(key))
                    self._keep(partial(self._results.store_score, identity, found, scorer, number))
            return kept

    def _predictions(self, wanted: Wanted, scorer: Scorer | None = None) -> Predictions:
        if wanted.file is not None:
            return read_predictions(wanted.file, self.bank.row_ids, self.row_nos)
        if wanted.key in self._predictions_by_key:
            return self._predictions_by_key[wanted.key]
        for known in () if self._no_cache else wanted.keys:
            if (kept := self._results.predictions(known, self.row_nos)) is not None:
                return kept
        if wanted.make is not None:
            predicted = wanted.make()
        elif wanted.router is not None:
            predicted = self.ask(wanted.router)
        else:
            assert scorer is not None  # noqa: S101 - only boards need references that see labels
            predicted = (
                references.labels(scorer.connection)
                if wanted.name == references.LABELS
                else references.cost_optimal(scorer.connection, self._manifest)
            )
        for warning in predicted.warnings:
            self._warn(f"{wanted.name} {warning}")
        if (key := wanted.cache_key_for(predicted)) is not None:
            identity = self._identity(wanted, key)
            self._keep(partial(self._results.store_predictions, identity, predicted, self.bank.row_ids))
        if wanted.key is not None:  # an instance or an endpoint may change between calls
            self._predictions_by_key[wanted.key] = predicted
        return predicted

    def _identity(self, wanted: Wanted, key: str) -> PredictionsIdentity:
        return PredictionsIdentity(
            predictions=key,
            router=wanted.name,
            router_fingerprint=wanted.router.fingerprint if wanted.router is not None else None,
            bank=self.bank.info.name,
            bank_sha256=self.bank.info.sha256,
            split=self.split.name,
            protocol=self.protocol,
            order_seed=None if wanted.router is None else str(self._order_seed),
            caveat=self.bank.info.caveat,
        )

    def ask(self, router: LoadedRouter, split: BankPart | None = None) -> Predictions:
        """Ask a router for its predictions; one that cannot be loaded fails on every row, and the others continue.

        Args:
            router: a loaded router.
            split: a part of the evaluator's part; None: all of that.
        """
        split = split or self.split
        llm = self._handle()
        try:
            with router.open(self._manifest.candidates(), llm) as opened:
                return predict(
                    opened,
                    self.bank,
                    self._manifest,
                    split=split,
                    base_file=self.base_file,
                    order_seed=self._order_seed,
                    llm=llm,
                    progress=self.progress,
                )
        except RouterLoadError as failure:
            return failed_rows(self.bank.row_nos(split), str(failure))

    def _keep(self, write: Callable[[], None]) -> None:
        """Store a result; if the store cannot be written, only time is lost at the next run."""
        try:
            write()
        except StoreWriteError as error:
            self._warn(f"results are not cached: {error}")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings = (*self.warnings, text)
