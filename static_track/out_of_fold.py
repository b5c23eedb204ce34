"""A router's answers for each fold of a bank, by what was trained on the other folds; folds can run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

from static_track.banks.bank import Bank
from static_track.banks.splits import BankPart
from static_track.evaluator import Evaluator
from static_track.folds import Fold, Folds
from static_track.predictions import Predictions, failed_rows
from static_track.row_features import row_features, uses_sentences
from static_track.training import train
from twinbench.errors import UsageError
from twinbench.executing.executor import collect_results, require_workers
from twinbench.executing.processes import Processes
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_trained
from twinbench.plugins.spec import RouterSpec, parse_spec
from twinbench.plugins.training import FitLimits, NotTrainableError, TrainingError
from twinbench.storage.manifests import StaticManifest
from twinbench.storage.store import Store
from twinbench.storage.temporary_folders import temporary_folder


@dataclass(frozen=True)
class FoldTraining:
    """How routers are trained on folds."""

    seed: int = 0
    """The seed of training."""
    fit: FitLimits = field(default_factory=FitLimits)
    """The limits of training, for each fold."""
    workers: int = 1
    """How many folds are trained and evaluated at the same time, each in a process of its own if there are several."""

    def __post_init__(self) -> None:
        """Check the number of workers.

        Raises:
            UsageError: it is less than 1.
        """
        try:
            require_workers(self.workers)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def require_spreadable(self, judge: Evaluator) -> None:
        """Check that an evaluator's routers can be trained and asked in several processes, if several are wanted.

        Raises:
            UsageError: they run in strict isolation, or may ask an LLM.
        """
        if self.workers > 1 and (judge.plugins.isolation is not None or judge.has_llm):
            what = "in strict isolation" if judge.plugins.isolation is not None else "that may ask an LLM"
            raise UsageError(f"folds of routers {what} are answered one after the other: leave out --workers")


@dataclass(frozen=True)
class _FoldJob:
    """What another process needs to train a router on the other folds and to let it decide one fold."""

    store: Path
    bank: str
    bank_sha256: str
    manifest_json: str
    tokenizers: str
    order_seed: int
    plugins: PluginLimits
    spec: str
    fold: Fold
    training: FoldTraining
    folder: Path
    """A folder of the caller, who removes it however this process ends."""

    def __repr__(self) -> str:
        return f"fold {self.fold.name} of {self.spec}"


@dataclass(frozen=True)
class _FoldAnswer:
    """A router's answers for the rows of a fold."""

    predictions: Predictions | None
    """None if the router cannot be trained."""
    printed: str = ""
    """The end of what the router printed."""
    before_failure: str | None = None
    """The end of what it printed before it first failed; None if it did not fail, or printed nothing."""


def predict_out_of_fold(judge: Evaluator, spec: str, folds: Folds, training: FoldTraining) -> Predictions:
    """Return a router's answers, for each fold by what was trained on the other rows.

    A router without ``fit`` is used as it is; if training on a fold fails, the rows of that fold are errors.

    Raises:
        UsageError: several workers are wanted, and routers run in strict isolation or may ask an LLM.
    """
    training.require_spreadable(judge)
    found = (
        _one_by_one(judge, spec, folds, training) if training.workers == 1 else _spread(judge, spec, folds, training)
    )
    return judge.ask(judge.load(spec)) if found is None else join_predictions(found)


def _one_by_one(judge: Evaluator, spec: str, folds: Folds, training: FoldTraining) -> list[Predictions] | None:
    """Answer fold by fold; None if the router cannot be trained."""
    found = []
    with _folds_folder() as folder:
        for number, fold in enumerate(folds.folds, 1):
            judge.progress(f"{spec}, folds", number, len(folds.folds))
            answer = _predict_fold(judge, spec, fold, training, folder / str(number))
            if answer is None:
                return None
            found.append(answer)
    return found


def _spread(judge: Evaluator, spec: str, folds: Folds, training: FoldTraining) -> list[Predictions] | None:
    """Answer several folds at once; None if the router cannot be trained."""
    # What each process would otherwise compute for itself, and keep beside the bank.
    _ = judge.base_file
    parsed = parse_spec(spec)
    if parsed.kind == "built-in" and uses_sentences(parsed.arguments):
        row_features(judge, parsed.arguments)
    with _folds_folder() as folder:
        jobs = [
            _FoldJob(
                store=judge.bank.store.root,
                bank=judge.bank.info.name,
                bank_sha256=judge.bank.info.sha256,
                manifest_json=judge.manifest.model_dump_json(),
                tokenizers=judge.tokenizers,
                order_seed=judge.order_seed,
                plugins=judge.plugins,
                spec=spec,
                fold=fold,
                training=training,
                folder=folder / str(number),
            )
            for number, fold in enumerate(folds.folds)
        ]
        judge.progress(f"{spec}, folds", 0, len(jobs))
        answers = collect_results(
            Processes(training.workers),
            jobs,
            _answer_fold,
            on_progress=lambda done: judge.progress(f"{spec}, folds", done, len(jobs)),
        )
    for answer in answers:
        judge.plugins.output.add(spec, (answer.before_failure or answer.printed).encode())
        if answer.before_failure is not None:
            judge.plugins.output.note_failure(spec)
    predictions = [answer.predictions for answer in answers if answer.predictions is not None]
    return predictions if len(predictions) == len(answers) else None


def _answer_fold(job: _FoldJob, _: None) -> _FoldAnswer:
    """Answer one fold in a worker process."""
    judge = _open_judge(job.store, job.bank, job.bank_sha256, job.manifest_json, job.tokenizers, job.order_seed)
    judge.plugins = job.plugins  # its output is new in each job, since none is pickled
    predictions = _predict_fold(judge, job.spec, job.fold, job.training, job.folder)
    output = judge.plugins.output
    return _FoldAnswer(predictions, output.read_output(job.spec), output.before_failure(job.spec))


@cache
def _open_judge(store: Path, bank: str, sha256: str, manifest_json: str, tokenizers: str, order_seed: int) -> Evaluator:
    """Open an evaluator of a bank, once for each process.

    Raises:
        UsageError: the bank was replaced meanwhile.
    """
    opened = Bank.open(bank, Store(store))
    if opened.info.sha256 != sha256:
        raise UsageError(f"the bank {bank!r} was replaced while routers were trained on it: try again")
    return Evaluator(
        opened,
        manifest=StaticManifest.model_validate_json(manifest_json),
        tokenizers=tokenizers,
        order_seed=order_seed,
    )


@contextmanager
def _folds_folder() -> Iterator[Path]:
    """Make a folder for what is trained on folds, and remove it after the block."""
    with temporary_folder() as folder:
        folder.chmod(0o755)  # strict isolation reads it as another user
        yield folder


def _predict_fold(judge: Evaluator, spec: str, fold: Fold, training: FoldTraining, folder: Path) -> Predictions | None:
    """Return a router's answers for one fold; None if the router cannot be trained.

    Args:
        judge: opened.
        spec: the router.
        fold: what is predicted and trained on.
        training: how.
        folder: is made, for the trained router.
    """
    test = BankPart(None, fold.test)
    try:
        train(judge, spec, folder, part=BankPart(None, fold.train), seed=training.seed, fit=training.fit)
    except NotTrainableError:
        return None
    except TrainingError as failure:
        why = f"fold {fold.name}: {str(failure).removesuffix('; nothing was written')}"
        return failed_rows(judge.bank.row_nos(test), why)
    trained = RouterSpec(spec, "artefact", str(folder), "", {})
    return judge.ask(load_trained(trained, judge.plugins), test)


def join_predictions(parts: Iterable[Predictions]) -> Predictions:
    """Return the predictions of several parts of a bank as those of all of it."""
    rows: dict[int, tuple[int | None, float | None, str | None, Decimal | None]] = {}
    errors: dict[int, str] = {}
    latencies: list[float] = []
    unanswered: str | None = None
    given_up = False
    for each in parts:
        nothing = [None] * len(each.row_nos)
        columns = zip(
            each.tier_ids, each.scores or nothing, each.rationales or nothing, each.router_usd or nothing, strict=True
        )
        rows |= dict(zip(each.row_nos, columns, strict=True))
        errors |= each.errors
        latencies += each.latencies_ms or ()
        unanswered = unanswered or each.llm_failure
        given_up = given_up or each.stopped
    row_nos = sorted(rows)
    tier_ids, scores, rationales, router_usd = zip(*(rows[row_no] for row_no in row_nos), strict=True)
    return Predictions(
        row_nos=row_nos,
        tier_ids=tier_ids,
        errors=errors,
        latencies_ms=latencies or None,
        scores=scores,
        rationales=rationales,
        router_usd=None if set(router_usd) == {None} else router_usd,
        llm_failure=unanswered,
        stopped=given_up,
    )
