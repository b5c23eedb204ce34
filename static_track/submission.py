"""The static part of a submission: predictions and scores put together, and verified without trust."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from static_track.banks.bank import Bank
from static_track.banks.bank_info import list_banks
from static_track.banks.embedded import ensure_embedded
from static_track.banks.embedded_names import EMBEDDED
from static_track.banks.opening import open_bank
from static_track.banks.sidecar import base_file
from static_track.banks.splits import BankPart
from static_track.board import Board
from static_track.evaluator import Evaluator
from static_track.predict import predict
from static_track.predictions import Predictions, prediction_lines, read_predictions
from static_track.seen import Recogniser
from static_track.submission_parts import (
    check_absent_training,
    check_in_sample,
    check_training,
    describe_split,
    part_here,
)
from twinbench.checks import Status
from twinbench.containers.strict import StrictIsolation
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.errors import ContentError, TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint, sha256_text
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import load_router
from twinbench.reading.rows import open_source
from twinbench.routing.router_llm import NoRouterLlm
from twinbench.sql import sql_file
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store
from twinbench.submissions.fields import bounded_json
from twinbench.submissions.findings import Findings
from twinbench.submissions.manifest import Division, StaticPart
from twinbench.submissions.report import Level, VerifiedResult
from twinbench.submissions.sampling import order_of_drawing
from twinbench.submissions.trained import TrainedRouter
from twinbench.text.tokens import OFFLINE, find_tokenizer_set

STATIC_FOLDER = "static"
PREDICTIONS_FILE = "predictions.jsonl"

_EQUAL = 1e-9
"""How far a score may be from the one that is claimed: less than any rounding of a percentage."""
_MOST_NAMED = 5
_EXCHANGES_OF_A_ROW = 2
"""Messages that a router may take its time for: the decision and what it observes."""


@dataclass(frozen=True)
class PackedPredictions:
    """Predictions of a router on a bank, as a submission has them."""

    part: StaticPart
    content: bytes
    """The file of predictions."""
    notes: tuple[str, ...]
    """What a reviewer will find missing or strange."""


def pack_predictions(
    router: str,
    bank_name: str | None,
    *,
    split: str | None = None,
    predictions: str | None = None,
    order_seed: int = 0,
    in_sample: bool = False,
    no_cache: bool = False,
    plugins: PluginLimits | None = None,
    store: Store,
    progress: Progress = no_progress,
) -> PackedPredictions:
    """Ask a router about a bank, or read its predictions, and score them.

    Args:
        router: its spec.
        bank_name: the bank; None for the embedded one.
        split: a part of the bank; None for all of it.
        predictions: a file of predictions, for a router that cannot be called here.
        order_seed: the seed of the order in which the router sees trajectories.
        in_sample: also take a trained router that was trained on the part; the submission says so.
        no_cache: ask the router again even if the store has its predictions.
        plugins: limits of the router's process.
        store: the store with the bank.
        progress: called as the work proceeds.

    Raises:
        UsageError: bank, part, router or file do not exist.
        ContentError: the file of predictions is invalid.
        TwinbenchError: the router failed as a whole.
    """
    with open_bank(bank_name, store, progress) as bank:
        judge = Evaluator(
            bank,
            split=split,
            order_seed=order_seed,
            in_sample=in_sample,
            no_cache=no_cache,
            plugins=plugins,
            progress=progress,
        )
        if predictions is None:
            board = judge.board([router])
            predicted = judge.predictions(router)
        else:
            board = judge.board([], [predictions])
            predicted = read_predictions(predictions, bank.row_ids, judge.row_nos)
        if predicted.failure is not None:
            reason = next(iter(predicted.errors.values()))
            raise TwinbenchError(
                f"{router} {predicted.failure} on {bank.info.name}, and such a router has no entry: {reason}"
            )
        found = bank.split(split)
        folder = f"{STATIC_FOLDER}/{bank.info.name}" + ("" if split is None else f"--{split.replace(':', '-')}")
        lines = "".join(f"{line}\n" for line in prediction_lines(predicted, bank.row_ids))
        part = StaticPart(
            predictions=f"{folder}/{PREDICTIONS_FILE}",
            bank=bank.info.name,
            bank_sha256=bank.info.sha256,
            part=split,
            part_fingerprint=found.fingerprint,
            split=describe_split(bank, split),
            protocol=judge.protocol,
            order_seed=order_seed,
            rows=len(predicted.row_nos),
            scores=dict(board.entries[0].score.scores),
            in_sample=board.entries[0].in_sample,
        )
        return PackedPredictions(part, lines.encode(), tuple(_notes(bank, predicted)))


def _notes(bank: Bank, predicted: Predictions) -> Iterator[str]:
    if bank.info.caveat is not None:
        yield f"{bank.info.name}: {bank.info.caveat}"
    if predicted.errors:
        number, first = len(predicted.errors), next(iter(predicted.errors.values()))
        yield f"{bank.info.name}: {format_count(number, 'row')} without a decision, the first: {first}"
    if predicted.router_usd is not None:
        yield f"{bank.info.name}: the router calls an LLM itself, so calling it again cannot verify its decisions"


@dataclass(frozen=True)
class AskedAgain:
    """How a verification calls a submission's router again."""

    spec: str
    """Its spec, from where its files are now."""
    plugins: PluginLimits
    rows: int | None
    """About how many rows the router decides again, in whole trajectories; None for all."""
    digest: str
    """SHA-256 of the submission's file; with the nonce, it determines the sample."""
    nonce: str
    elsewhere: bool = False
    """Whether some of its code is not in the archive, so that it may not be possible to call it here."""
    included: frozenset[str] = frozenset()
    """Its files that the fingerprint is not of, so it must not import them; relative to its folder."""


class StaticVerification:
    """Verifies the static part of one submission against the banks of a store."""

    def __init__(self, router: str, store: Store, findings: Findings, progress: Progress = no_progress) -> None:
        """Prepare a verification.

        Args:
            router: the name that results are to have, the router's spec.
            store: the store with the banks.
            findings: collects the checks.
            progress: called as the work proceeds.
        """
        for name in EMBEDDED:
            ensure_embedded(name, store, progress)
        self._router = router
        self._store = store
        self._findings = findings
        self._progress = progress
        self._banks = {info.sha256: info.name for info in list_banks(store)[0]}

    def check_training(self, trained: TrainedRouter, parts: Sequence[StaticPart]) -> bool:
        """Hold what a trained router's folder says about its training data against the bank, where that is here.

        Args:
            trained: the trained router.
            parts: the submission's, whose splits may be that of the training data.

        Returns:
            Whether its record of what it has seen is what training on that bank records.
        """
        data = trained.manifest.data
        name = self._banks.get(data.bank_sha256)
        if name is None:
            check_absent_training(trained, self._banks, self._findings)
            return False
        with open_bank(name, self._store, self._progress) as bank:
            return check_training(bank, trained, parts, self._findings)

    def verify(
        self,
        part: StaticPart,
        file: Path,
        trained: Sequence[TrainedRouter],
        again: AskedAgain | None,
        *,
        recorded: bool = True,
    ) -> VerifiedResult | None:
        """Verify predictions on one bank.

        Args:
            part: the part of the submission, with its claims.
            file: the predictions, where they are now.
            trained: the trained routers among the submission's files.
            again: how the router is called again; None: it is not called.
            recorded: whether ``check_training`` found the record of each trained router to be true.

        Returns:
            What may be listed; None where nothing could be scored.
        """
        subject = part.predictions
        name = self._banks.get(part.bank_sha256)
        if name is None:
            what = f"the store has no bank with the SHA-256 {part.bank_sha256} ({part.bank}): import or pull it first"
            self._findings.add("bank", subject, Status.failed, what)
            return None
        told = f"the bank's rows are those of {name} in the store"
        self._findings.add("bank", subject, Status.passed, told)
        with open_bank(name, self._store, self._progress) as bank:
            try:
                split = part_here(bank, part)
                judge = Evaluator(bank, split=split, order_seed=part.order_seed, progress=self._progress)
                bank.require_labels()
            except UsageError as error:
                self._findings.add("part", subject, Status.failed, str(error))
                return None
            different = split.fingerprint != part.part_fingerprint
            self._findings.judge(
                "part",
                subject,
                [f"the part {part.part!r} has other trajectories here than where it was made"] if different else [],
                f"{judge.setting().title}: {format_count(len(judge.row_nos), 'row')}",
            )
            other = [f"the protocol is {part.protocol}, here it is {judge.protocol}"]
            self._findings.judge(
                "protocol",
                subject,
                other if judge.protocol != part.protocol else [],
                "the locked manifest and its tokenizers",
            )
            try:
                predicted = read_predictions(str(file), bank.row_ids, judge.row_nos)
                self._findings.judge(
                    "rows", subject, _row_problems(file, bank, part, judge.row_nos), "each row has one line"
                )
            except (ContentError, UsageError) as error:
                self._findings.add("rows", subject, Status.failed, str(error).replace(str(file), subject))
                return None
            board = judge.board([], [str(file)], Resampling())
            self._findings.judge("scores", subject, _score_problems(part, board), "scored again, they are as claimed")
            in_sample = check_in_sample(
                Recogniser(bank, split), part, predicted, trained, self._findings, recorded=recorded
            )
            if again is not None:
                self._ask_again(subject, part, bank, split, predicted, again)
            return _result(self._router, part, board, split, bank, in_sample=in_sample)

    def _ask_again(
        self, subject: str, part: StaticPart, bank: Bank, split: BankPart, claimed: Predictions, again: AskedAgain
    ) -> None:
        manifest = static_manifest()
        chosen = _draw_sample(bank, split, again, subject)
        own = NoRouterLlm()
        try:
            loaded = load_router(again.spec, _limits_for(again.plugins, bank.size(chosen).rows))
            if imported := sorted(again.included.intersection((loaded.identity or {}).get("files", ()))):
                what = f"it imports {imported[0]}, and its fingerprint is not of that file: it was not called"
                self._findings.add("decisions", subject, Status.failed, what, level=Level.ask)
                return
            with loaded.open(manifest.candidates(), own) as router:
                found = predict(
                    router,
                    bank,
                    manifest,
                    split=chosen,
                    base_file=base_file(bank, manifest, find_tokenizer_set(manifest, OFFLINE), self._progress),
                    order_seed=part.order_seed,
                    llm=own,
                    progress=self._progress,
                )
        except (RouterLoadError, UsageError) as error:
            status, what = Status.failed, f"it cannot be asked: {error}"
            if again.elsewhere:
                status, what = Status.warned, f"{what}; it needs more than the archive has (--plugin-wheels)"
            self._findings.add("decisions", subject, status, what, level=Level.ask)
            return
        except Exception as error:  # noqa: BLE001 - a stranger's router must not keep the report from being written
            what = f"asking it ended in an error, so nothing shows that it decides so: {_in_words(error)}"
            self._findings.add("decisions", subject, Status.failed, what, level=Level.ask)
            return
        if found.llm_failure is not None:
            what = "the router asks an LLM itself, so its decisions are not verified: only its bill can be, by --rerun"
            self._findings.add("decisions", subject, Status.warned, what, level=Level.ask)
            return
        before = dict(zip(claimed.row_nos, claimed.tier_ids, strict=True))
        asked = list(zip(found.row_nos, found.tier_ids, strict=True))
        differing = [number for number, tier in asked if before.get(number) != tier]
        over = f"{format_count(len(asked), 'row')} of {format_count(len(claimed.row_nos), 'row')}"
        if not differing:
            told = f"called again, the router decides alike on {over}"
            self._findings.add("decisions", subject, Status.passed, told, value=len(asked), level=Level.ask)
            return
        named = ", ".join(bank.row_ids[number] for number in differing[:_MOST_NAMED])
        what = (
            f"called again for {over}, the router decides otherwise on {format_count(len(differing), 'row')}: {named}"
        )
        if (first := next((found.errors[number] for number in differing if number in found.errors), None)) is not None:
            what += f"; the first error: {first}"
        self._findings.add("decisions", subject, Status.failed, what, value=len(differing), level=Level.ask)


def _limits_for(plugins: PluginLimits, rows: int) -> PluginLimits:
    """Return the limits of a router that decides so many rows, with containers that are needed no longer than that."""
    if not isinstance(plugins.isolation, StrictIsolation):
        return plugins
    life_s = 2 * plugins.load_s + _EXCHANGES_OF_A_ROW * rows * plugins.decision_s
    return replace(plugins, isolation=plugins.isolation.lasting(life_s))


def _in_words(error: Exception) -> str:
    """Return an error of ours as its text, and one that nobody foresaw with its kind."""
    return str(error) if isinstance(error, TwinbenchError) else repr(error)


def _draw_sample(bank: Bank, split: BankPart, again: AskedAgain, subject: str) -> BankPart:
    """Draw whole trajectories of a part until about as many rows as wanted are in the sample."""
    if again.rows is None:
        return split
    condition = split.condition("trajectory")
    counts = bank.cursor().execute(
        f"SELECT trajectory, count(*) FROM base WHERE {condition} GROUP BY trajectory"  # noqa: S608 - integers of ours
    )
    rows = {str(number): count for number, count in counts.fetchall()}
    chosen: list[int] = []
    total = 0
    for name in order_of_drawing(rows, digest=again.digest, nonce=again.nonce, purpose=f"ask {subject}"):
        if total >= again.rows:
            break
        chosen.append(int(name))
        total += rows[name]
    return BankPart("sample", tuple(sorted(chosen)))


def _row_problems(file: Path, bank: Bank, part: StaticPart, row_nos: Sequence[int]) -> Iterator[str]:
    wanted = {bank.row_ids[number] for number in row_nos}
    with open_source(str(file)) as source:
        found = {each.row["id"] for each in source.rows if not hasattr(each, "what")}
    if missing := sorted(wanted - found):
        yield f"{format_count(len(missing), 'row')} of the part without a line, such as {missing[0]}"
    if strange := sorted(found - wanted):
        yield f"{format_count(len(strange), 'line')} about rows of other parts, such as {strange[0]}"
    if part.rows != len(row_nos):
        yield f"claimed are {format_count(part.rows, 'row')}, the part has {len(row_nos):,}"


def _score_problems(part: StaticPart, board: Board) -> Iterator[str]:
    found = board.entries[0].score.scores
    for metric in dict.fromkeys((*found, *part.scores)):
        claimed, scored = part.scores.get(metric), found.get(metric)
        same = claimed == scored or (
            claimed is not None and scored is not None and abs(claimed - scored) <= _EQUAL * max(1.0, abs(scored))
        )
        if not same:
            yield f"{metric}: claimed is {claimed}, scored again it is {scored}"


def _result(
    router: str, part: StaticPart, board: Board, split: BankPart, bank: Bank, *, in_sample: bool
) -> VerifiedResult:
    content = board.to_json()
    setting = {name: content[name] for name in ("bank", "protocol", "order_seed", "resampling", "best_constant")}
    conditions = {
        "bank": bank.info.sha256,
        "part": split.fingerprint,
        "protocol": board.protocol,
        "scoring": sha256_text(sql_file(__package__, "scoring.sql")),
        "text_rules": bank.info.text_rules,
    }
    return VerifiedResult(
        division=Division.static,
        kind="static",
        subject=part.predictions,
        comparable=fingerprint(conditions),
        in_sample=in_sample,
        setting=setting,
        score={**_compact(content["routers"][0]), "router": router},
        references=tuple(_compact(each) for each in content["routers"][1:]),
    )


def _compact(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a router's object without what only a page about workloads shows."""
    found: dict[str, Any] = bounded_json({k: value for k, value in entry.items() if k != "intervals_by_workload"})
    return found
