"""The static part of a submission: predictions and scores put together, and verified without trust."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from twinbench.checks import Status
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
from twinbench.text.tokens import OFFLINE, find_tokenizer_set

STATIC_FOLDER = "static"
PREDICTIONS_FILE = "predictions.jsonl"

_EQUAL = 1e-9
"""How far a score may be from the one that is claimed: less than any rounding of a percentage."""
_MOST_NAMED = 5
_MOST_SEEN_BYTES = 64 * 2**20


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
    plugins: PluginLimits | None = None,
    store: Store,
    progress: Progress = no_progress,
) -> PackedPredictions:
    """Ask a router about a bank, or read its predictions, and score them.

    Args:
        router: its spec.
        bank_name: the bank; None for the embedded one.
        split: a part of the bank; None for all of it.
        predictions: a file of predictions, for a router that cannot be asked here.
        order_seed: the seed of the order in which the router sees trajectories.
        plugins: limits of the router's process.
        store: has the bank.
        progress: called as the work proceeds.

    Raises:
        UsageError: bank, part, router or file do not exist.
        ContentError: the file of predictions is invalid.
        TwinbenchError: the router failed as a whole.
    """
    with open_bank(bank_name, store, progress) as bank:
        judge = Evaluator(bank, split=split, order_seed=order_seed, plugins=plugins, progress=progress)
        if predictions is None:
            board = judge.board([router])
            predicted = judge.predictions(router)
        else:
            board = judge.board([], [predictions])
            predicted = read_predictions(predictions, bank.row_ids, judge.row_nos)
        if predicted.failure is not None:
            raise TwinbenchError(f"{router} {predicted.failure} on {bank.info.name}: such a router has no entry")
        found = bank.split(split)
        folder = f"{STATIC_FOLDER}/{bank.info.name}" + ("" if split is None else f"--{split.replace(':', '-')}")
        lines = "".join(f"{line}\n" for line in prediction_lines(predicted, bank.row_ids))
        part = StaticPart(
            predictions=f"{folder}/{PREDICTIONS_FILE}",
            bank=bank.info.name,
            bank_sha256=bank.info.sha256,
            part=split,
            part_fingerprint=found.fingerprint,
            protocol=judge.protocol,
            order_seed=order_seed,
            rows=len(predicted.row_nos),
            scores=dict(board.entries[0].score.scores),
        )
        return PackedPredictions(part, lines.encode(), tuple(_notes(bank, predicted)))


def _notes(bank: Bank, predicted: Predictions) -> Iterator[str]:
    if bank.info.caveat is not None:
        yield f"{bank.info.name}: {bank.info.caveat}"
    if predicted.errors:
        number, first = len(predicted.errors), next(iter(predicted.errors.values()))
        yield f"{bank.info.name}: {format_count(number, 'row')} without a decision, the first: {first}"
    if predicted.router_usd is not None:
        yield f"{bank.info.name}: the router asks an LLM itself, so its decisions cannot be verified by asking it again"


@dataclass(frozen=True)
class AskedAgain:
    """How a verification asks a submission's router again."""

    spec: str
    """Its spec, from where its files are now."""
    plugins: PluginLimits
    rows: int | None
    """About how many rows to ask about, in whole trajectories; None for all."""
    digest: str
    """SHA-256 of the submission's file, from which with the nonce the sample follows."""
    nonce: str


class StaticVerification:
    """Verifies the static part of one submission against the banks of a store."""

    def __init__(self, router: str, store: Store, findings: Findings, progress: Progress = no_progress) -> None:
        """Prepare a verification.

        Args:
            router: the name that results are to have, the router's spec.
            store: has the banks.
            findings: takes the checks.
            progress: called as the work proceeds.
        """
        for name in EMBEDDED:
            ensure_embedded(name, store, progress)
        self._router = router
        self._store = store
        self._findings = findings
        self._progress = progress
        self._banks = {info.sha256: info.name for info in list_banks(store)[0]}

    def verify(
        self, part: StaticPart, file: Path, trained_on: Sequence[str] | None, again: AskedAgain | None
    ) -> VerifiedResult | None:
        """Verify predictions on one bank.

        Args:
            part: what is claimed.
            file: the predictions, where they are now.
            trained_on: the groups of trajectories that the router was trained on, where its files say so.
            again: how the router is asked again; None: it is not.

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
                split = bank.split(part.part)
                judge = Evaluator(bank, split=part.part, order_seed=part.order_seed, progress=self._progress)
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
            overlap = self._check_in_sample(subject, part, bank, split, trained_on)
            if again is not None:
                self._ask_again(subject, part, bank, split, predicted, again)
            return _result(self._router, part, board, split, bank, in_sample=part.in_sample or overlap)

    def _check_in_sample(
        self, subject: str, part: StaticPart, bank: Bank, split: BankPart, trained_on: Sequence[str] | None
    ) -> bool:
        if trained_on is None:
            return False
        groups = bank.groups()
        numbers = range(len(groups)) if split.trajectories is None else split.trajectories
        seen = sorted({groups[number] for number in numbers} & set(trained_on))
        if seen and not part.in_sample:
            shared = format_count(len(seen), "group")
            what = f"the router was trained on {shared} of what it is scored on, such as {seen[0]}"
            self._findings.add("in-sample", subject, Status.failed, f"{what}, and the submission does not say so")
        else:
            told = (
                "declared: it is never ranked" if part.in_sample else "the router was trained on none of these groups"
            )
            self._findings.add("in-sample", subject, Status.passed, told, value=len(seen))
        return bool(seen)

    def _ask_again(
        self, subject: str, part: StaticPart, bank: Bank, split: BankPart, claimed: Predictions, again: AskedAgain
    ) -> None:
        manifest = static_manifest()
        chosen = _sampled(bank, split, again, subject)
        own = NoRouterLlm()
        try:
            loaded = load_router(again.spec, again.plugins)
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
            self._findings.add("decisions", subject, Status.failed, f"it cannot be asked: {error}", level=Level.ask)
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
            told = f"asked again, the router decides alike on {over}"
            self._findings.add("decisions", subject, Status.passed, told, value=len(asked), level=Level.ask)
            return
        named = ", ".join(bank.row_ids[number] for number in differing[:_MOST_NAMED])
        what = (
            f"asked again about {over}, the router decides otherwise on {format_count(len(differing), 'row')}: {named}"
        )
        if (first := next((found.errors[number] for number in differing if number in found.errors), None)) is not None:
            what += f"; the first error: {first}"
        self._findings.add("decisions", subject, Status.failed, what, value=len(differing), level=Level.ask)


def _sampled(bank: Bank, split: BankPart, again: AskedAgain, subject: str) -> BankPart:
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


def groups_trained_on(files: Mapping[str, bytes]) -> list[str] | None:
    """Return the groups of trajectories that a trained router was made of, as its own files say.

    Args:
        files: ``seen.json`` of each trained router among a submission's files, by path.

    Returns:
        None where there is no such file.

    Raises:
        ValueError: a file is not what training writes.
    """
    if not files:
        return None
    found: dict[str, None] = {}
    for path, data in files.items():
        if len(data) > _MOST_SEEN_BYTES:
            raise ValueError(f"{path} is larger than anything that training writes")
        content = json.loads(data)
        groups = content.get("groups") if isinstance(content, dict) else None
        if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
            raise ValueError(f"{path} does not say what the router was trained on")
        found.update(dict.fromkeys(groups))
    return list(found)
