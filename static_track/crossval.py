"""Routers that learn, scored on a whole bank: each row is answered by what was trained on the other folds.

Beside the usual references there is a cascade whose settings were chosen on the other folds: what anybody gets who
tunes a rule instead of training a router.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

from static_track.asked_for import Answered
from static_track.board import Board, Entry
from static_track.evaluator import Evaluator
from static_track.folds import Fold, Folds
from static_track.intervals import Difference, RouterSample
from static_track.out_of_fold import FoldTraining, join_predictions, predict_out_of_fold
from static_track.predict import SESSION_SALT
from static_track.predictions import Predictions
from static_track.trajectory_parts import TrajectoryParts
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint
from twinbench.plugins.loading import load_router
from twinbench.plugins.spec import parse_spec
from twinbench.routers.cascade import Cascade
from twinbench.routers.signals import Reader
from twinbench.routing.built_in import CONSTANTS
from twinbench.routing.tiers import Tier
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import holm

CASCADE = "cascade-tuned"
"""The reference whose settings were chosen on the other folds."""

_LEVEL = 0.05
"""The largest corrected p-value of routers that are called different."""
_SMALLEST_P = 0.001

_CASCADES = {
    f"start={start.label}&up={up}&calm={calm}": Cascade(start.label, up, calm)
    for start in Tier
    for up, calm in ((0, 0), *((up, calm) for up in (1, 2, 3, 5, 8) for calm in (0, 2, 5)))
    if up == 0 or start < Tier.HIGH
}
"""The cascades by setting; one that never goes up is a constant."""


@dataclass(frozen=True, repr=False)
class CrossValidation(Board):
    """A board of routers of which each row was answered by what was trained on other rows."""

    folds: Folds = field(kw_only=True)
    differences: Mapping[str, Difference] = field(kw_only=True)
    """Combined of each router minus that of the best constant, paired by trajectory, with p-values corrected for all of
    them (Holm); empty if no intervals were requested."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the routers were trained."""
        best = self.best_constant
        constant = "" if best is None else best.router
        verdicts = [f"{router}: {self.verdict(router)} the best constant, {constant}." for router in self.differences]
        return (
            f"Each row was answered by what was trained on the other rows: {self.folds.title}.",
            *verdicts,
            f"{CASCADE}: of {len(_CASCADES)} settings of cascade, those with the best Combined on the other folds.",
        )

    def verdict(self, router: str) -> str:
        """Return in words how a router's Combined compares with the best constant's: ``better than``, or other."""
        found = self.differences[router]
        if found.difference is None or found.p_holm is None or found.interval.ends is None:
            return f"not told apart from ({found.interval.reason or 'Combined is undefined'})"
        low, high = found.interval.ends
        numbers = f"{found.difference:+.2f} [{low:.2f}, {high:.2f}], p {_p(found.p_holm)}"
        if found.p_holm > _LEVEL:
            return f"not told apart from ({numbers})"
        return f"{'better' if found.difference > 0 else 'worse'} than ({numbers})"

    def to_json(self, *, legacy: bool = False) -> dict[str, Any]:
        """Return the board as a JSON object, with its folds and the differences from the best constant."""
        differences = {router: each.to_json() for router, each in self.differences.items()}
        return {
            **super().to_json(legacy=legacy),
            "crossval": {**self.folds.to_json(), "combined_less_best_constant": differences},
        }


def cross_validate(
    judge: Evaluator,
    specs: Sequence[str],
    folds: Folds,
    *,
    training: FoldTraining | None = None,
    resampling: Resampling | None = None,
) -> CrossValidation:
    """Train each router once a fold, and score what the folds answered together.

    A router without ``fit`` is used as it is. If training on a fold fails, the rows of that fold are errors.

    Args:
        judge: the evaluator of the part of the bank that was split into folds.
        specs: the specs of routers.
        folds: the folds of that part.
        training: how routers are trained on folds.
        resampling: how trajectories are drawn again; None: no intervals and no ranks.

    Raises:
        UsageError: no router, one twice, or one that does not exist, was trained already, or needs another bank;
            or routers that cannot be trained in several processes, which are wanted.
    """
    judge.bank.require_labels()
    if not specs or len(set(specs)) < len(specs):
        raise UsageError("name the routers to cross-validate, each once, such as ordinal knn")
    training = training or FoldTraining()
    training.require_spreadable(judge)  # also where all results are cached
    lines = [_line(judge, spec, folds, training) for spec in specs]
    if CASCADE not in specs:
        lines.append(_cascade_line(judge, folds))
    entries, sample = judge.entries(lines, resampling)
    differences = {} if sample is None else _less_best_constant(entries, sample)
    return CrossValidation(**vars(judge.setting(resampling)), entries=entries, folds=folds, differences=differences)


def _less_best_constant(entries: Sequence[Entry], sample: RouterSample) -> dict[str, Difference]:
    """Compare each router that was named, and the tuned cascade, with the best constant."""
    constants = [
        number
        for number, each in enumerate(entries)
        if each.router in CONSTANTS and each.score.scores["combined"] is not None
    ]
    if not constants:
        return {}
    best = max(constants, key=lambda number: entries[number].score.scores["combined"] or 0.0)
    found = {
        each.router: sample.differences(number, best)["combined"]
        for number, each in enumerate(entries)
        if number != best and (not each.reference or each.router == CASCADE)
    }
    tested = {router: each.p for router, each in found.items() if each.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {router: replace(each, p_holm=corrected.get(router)) for router, each in found.items()}


def _p(value: float) -> str:
    return "< 0.001" if value < _SMALLEST_P else f"{value:.3f}"


def _line(judge: Evaluator, spec: str, folds: Folds, training: FoldTraining) -> str | Answered:
    """A router as a line of the table."""
    kind = parse_spec(spec).kind
    if kind == "artefact":
        raise UsageError(f"router {spec!r} was trained already: name the router that it was made of")
    loaded = judge.load(spec)
    if kind in ("endpoint", "trb"):
        return spec
    key = None
    if loaded.fingerprint is not None:
        who = {"router": loaded.fingerprint, "salt": SESSION_SALT, "order_seed": judge.order_seed}
        key = {**who, "crossval": _folds_key(folds), "seed": training.seed}
    return Answered(spec, partial(predict_out_of_fold, judge, spec, folds, training), key)


def _folds_key(folds: Folds) -> str:
    return fingerprint([(fold.test, fold.train) for fold in folds.folds])


def _cascade_line(judge: Evaluator, folds: Folds) -> Answered:
    """The tuned cascade as a line of the table."""
    who = {"cascade": load_router("cascade").fingerprint, "among": list(_CASCADES), "order_seed": judge.order_seed}
    key = {**who, "crossval": _folds_key(folds)}
    return Answered(CASCADE, partial(_tuned_cascade, judge, folds), key, reference=True)


def _tuned_cascade(judge: Evaluator, folds: Folds) -> Predictions:
    """Return for each fold the answers of the cascade with the best Combined on the other folds; settings as reason."""
    answers: dict[int, list[int]] = {}
    reader = Reader()
    for trajectory in judge.bank.trajectories(judge.manifest.candidates(), judge.split, judge.base_file):
        for step in trajectory.steps:
            seen = reader.read("", step.prompt.messages)
            answers[step.row_no] = [int(cascade.tier_after(seen)[0]) for cascade in _CASCADES.values()]
        reader.forget("")
    row_nos = sorted(answers)
    tried = [Predictions(row_nos, [answers[row_no][number] for row_no in row_nos]) for number in range(len(_CASCADES))]
    with judge.scorer() as scorer:
        scorer.load(tried)
        parts = scorer.parts()
    labels = judge.bank.labels()
    of_row = dict(judge.bank.cursor().execute("SELECT row_no, trajectory FROM base").fetchall())
    settings = list(_CASCADES)
    found = []
    for fold in folds.folds:
        others = {(labels[number].workload, labels[number].instance_id) for number in fold.train}
        combined = [_combined(parts[number], others) for number in range(len(_CASCADES))]
        best = max(range(len(_CASCADES)), key=lambda number: combined[number])
        found.append(_rows_of(tried[best], fold, of_row, settings[best]))
    return join_predictions(found)


def _combined(parts: TrajectoryParts, wanted: set[tuple[str, str]]) -> float:
    """Return Combined over some trajectories; minus infinity if it is undefined."""
    pairs = zip(parts.workloads, parts.instances, strict=True)
    places = [place for place, pair in enumerate(pairs) if pair in wanted]
    workloads, instances = ([names[place] for place in places] for names in (parts.workloads, parts.instances))
    combined = TrajectoryParts(workloads, instances, parts.values[places]).metrics()["combined"]
    return -inf if combined is None else combined


def _rows_of(predictions: Predictions, fold: Fold, of_row: Mapping[int, int], why: str) -> Predictions:
    """The predictions for the rows of a fold, each with a reason."""
    test = set(fold.test)
    rows = [
        (row_no, tier_id)
        for row_no, tier_id in zip(predictions.row_nos, predictions.tier_ids, strict=True)
        if of_row[row_no] in test
    ]
    return Predictions([row_no for row_no, _ in rows], [tier for _, tier in rows], rationales=[why] * len(rows))
