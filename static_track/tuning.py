"""Choose the settings of a router on a bank: each is tried, scored, and compared by one criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from inspect import signature
from itertools import product
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

import numpy as np

from static_track.banks.splits import BankPart
from static_track.board import Setting, SettingResult
from static_track.evaluator import Evaluator
from static_track.folds import Folds
from static_track.layer_settings import TRIED_AT_ONCE, DecisionLayerSettings, TrainedRows
from static_track.metrics import SCORES
from static_track.out_of_fold import FoldTraining, predict_out_of_fold
from static_track.predict import predict_side_by_side
from static_track.predictions import Predictions
from static_track.row_features import row_features
from static_track.training import training_trajectories
from twinbench.errors import UsageError
from twinbench.plugins.arguments import ArgumentError, convert_arguments
from twinbench.plugins.artefact import read_artefact
from twinbench.plugins.spec import parse_spec
from twinbench.routers.learned import Learned
from twinbench.routers.registry import BUILT_IN
from twinbench.routing.router_llm import NoRouterLlm
from twinbench.storage.manifest_files import live_manifest

CRITERIA = ("combined", "cost_save", "bill")
"""What a setting can be chosen by: Combined, CostSave, or the expected bill (cost, and a penalty for each trajectory
that does not pass)."""

MOST_SETTINGS = 2_000

_OF_LAYERS = {"layer", "tau", "weight"}
"""Settings that need no other training."""


@dataclass(frozen=True)
class Tried:
    """One combination of settings, and what it scored."""

    settings: Mapping[str, str]
    spec: str
    scores: Mapping[str, float | None]
    bill_usd: float
    """Cost of all rows plus the penalty of each trajectory that does not pass, in USD."""
    errors: int
    """Rows without a decision."""
    first_error: str | None
    """Why the first of these rows has none; None if every row has a decision."""


@dataclass(frozen=True, repr=False)
class Tuning(SettingResult):
    """All settings that were tried, best first."""

    setting: Setting
    router: str
    by: str
    traj_pass: float | None
    """The least TrajPass of a setting that may be chosen; None for any."""
    penalty_usd: float
    folds: Folds | None
    """The folds across which it was tried; None if nothing was trained."""
    tried: Sequence[Tried]
    chosen: Tried | None
    """The best; None if none reaches the wanted TrajPass."""

    number_columns: ClassVar = frozenset(("bill_usd", *SCORES))

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            **self.setting.to_json(),
            "router": self.router,
            "by": self.by,
            "traj_pass": self.traj_pass,
            "penalty_usd": self.penalty_usd,
            "crossval": None if self.folds is None else self.folds.to_json(),
            "chosen": None if self.chosen is None else asdict(self.chosen),
            "tried": [asdict(each) for each in self.tried],
        }

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each combination of settings."""
        return [
            {"spec": each.spec, **each.scores, "bill_usd": each.bill_usd, "errors": each.errors} for each in self.tried
        ]


def tune(
    judge: Evaluator,
    spec: str,
    folds: Folds | None,
    *,
    values: Mapping[str, Sequence[str]] | None = None,
    by: str = "combined",
    traj_pass: float | None = None,
    training: FoldTraining | None = None,
) -> Tuning:
    """Try the settings of a router, and choose the best.

    Args:
        judge: the evaluator of the part of the bank on which settings are compared.
        spec: the router's spec; arguments in it are kept for every setting.
        folds: folds of that part, for a router that learns: each row is answered by what was trained on the others.
            None: a router that is used as it is, such as a rule or a trained router.
        values: the values to try, by setting; None: those that the built-in router declares.
        by: one of ``CRITERIA``.
        traj_pass: choose only among settings with at least this TrajPass, in percent.
        training: how routers are trained on folds.

    Raises:
        UsageError: there is nothing to try, or a value does not fit.
    """
    judge.bank.require_labels()
    if by not in CRITERIA:
        raise UsageError(f"by={by!r}: settings are chosen by one of {', '.join(CRITERIA)}")
    grid = _grid(spec, values)
    specs = [_with_settings(spec, settings) for settings in grid]
    training = training or FoldTraining()
    if folds is not None:
        training.require_spreadable(judge)
    answers = _predictions(judge, spec, grid, specs, folds, training)
    penalty = float(live_manifest().unresolved_penalty_usd)
    tried = [
        Tried(settings, name, scores, cost_usd + penalty * failed, errors, next(iter(answer.errors.values()), None))
        for settings, name, answer, (scores, cost_usd, failed, errors) in zip(
            grid, specs, answers, _scores(judge, answers), strict=True
        )
    ]
    tried.sort(key=lambda each: (each.errors, _worth(each, by)))
    enough = [each for each in tried if traj_pass is None or (each.scores["traj_pass"] or 0.0) >= traj_pass]
    return Tuning(
        setting=judge.setting(),
        router=judge.name_of(spec),
        by=by,
        traj_pass=traj_pass,
        penalty_usd=penalty,
        folds=folds,
        tried=tried,
        chosen=next((each for each in enough if not each.errors), None),
    )


def may_learn(spec: str) -> bool:
    """Return whether a spec names a router that may have to be trained before it is asked.

    Raises:
        UsageError: the spec is invalid.
    """
    parsed = parse_spec(spec)
    if parsed.kind != "built-in":
        return parsed.kind not in ("artefact", "endpoint", "trb")
    try:
        return hasattr(BUILT_IN[parsed.target](**convert_arguments(BUILT_IN[parsed.target], parsed.arguments)), "fit")
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"router {spec!r}: {error}") from None


def _grid(spec: str, values: Mapping[str, Sequence[str]] | None) -> list[dict[str, str]]:
    """Return the combinations to try."""
    parsed = parse_spec(spec)
    if values:
        grid = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    else:
        name = read_artefact(Path(parsed.target)).manifest.target if parsed.kind == "artefact" else parsed.target
        declared: Sequence[Mapping[str, Sequence[Any]]] = getattr(BUILT_IN.get(name), "tunable", ())
        grid = [
            {
                name: f"{value:g}" if isinstance(value, float) else str(value)
                for name, value in zip(each, of, strict=True)
            }
            for each in declared
            for of in product(*each.values())
        ]
        grid = [
            each for each in grid if all(each.get(name, given) == given for name, given in parsed.arguments.items())
        ]
    if not grid:
        raise UsageError(f"router {spec!r} declares no settings to try: name them, as in --set tau=0.3,0.5,0.7")
    if len(grid) > MOST_SETTINGS:
        raise UsageError(f"{len(grid):,} combinations of settings; at most {MOST_SETTINGS:,} are tried")
    return grid


def _with_settings(spec: str, settings: Mapping[str, str]) -> str:
    parsed = parse_spec(spec)
    arguments = {**parsed.arguments, **settings}
    return f"{spec.partition('?')[0]}?{urlencode(arguments, safe='?/=', quote_via=quote)}"


def _predictions(
    judge: Evaluator,
    spec: str,
    grid: Sequence[Mapping[str, str]],
    specs: Sequence[str],
    folds: Folds | None,
    training: FoldTraining,
) -> list[Predictions]:
    """Return the answers under each combination of settings."""
    parsed = parse_spec(spec)
    found: dict[int, Predictions] = {}
    if folds is not None and parsed.kind == "built-in" and issubclass(BUILT_IN[parsed.target], Learned):
        given = {name: each.default for name, each in signature(BUILT_IN[parsed.target]).parameters.items()}
        layers = {
            number: DecisionLayerSettings(str(full["layer"]), float(full["tau"]), float(full["weight"]))
            for number, settings in enumerate(grid)
            if set(settings) <= _OF_LAYERS
            and (full := {**given, **parsed.arguments, **settings})["layer"] in TRIED_AT_ONCE
        }
        if layers:
            found = dict(
                zip(layers, _layers_at_once(judge, spec, folds, [*layers.values()], training.seed), strict=True)
            )
    if folds is None and parsed.kind == "built-in":
        return _rules_side_by_side(judge, specs)
    for number, name in enumerate(specs):
        if number not in found:
            judge.progress("trying settings", number, len(specs))
            found[number] = (
                judge.predictions(name) if folds is None else predict_out_of_fold(judge, name, folds, training)
            )
    return [found[number] for number in range(len(specs))]


def _rules_side_by_side(judge: Evaluator, specs: Sequence[str]) -> list[Predictions]:
    """Return the answers of built-in routers that are used as they are."""
    llm = NoRouterLlm()
    with ExitStack() as opened:
        return predict_side_by_side(
            [opened.enter_context(judge.open_router(spec, llm)) for spec in specs],
            judge.bank,
            judge.manifest,
            split=judge.split,
            base_file=judge.base_file,
            order_seed=judge.order_seed,
            llm=llm,
            progress=judge.progress,
        )


def _layers_at_once(
    judge: Evaluator, spec: str, folds: Folds, layers: Sequence[DecisionLayerSettings], seed: int
) -> list[Predictions]:
    """Return the answers of a built-in learned router under several layers; it is trained once for each fold.

    It is trained in this process: its code is twinbench's own, and nothing is loaded from a file.
    """
    parsed = parse_spec(spec)
    features = row_features(judge, parsed.arguments)
    parts: list[tuple[Any, Any]] = []
    for number, fold in enumerate(folds.folds):
        judge.progress(f"training {spec}, folds", number, len(folds.folds))
        router: Any = BUILT_IN[parsed.target](**convert_arguments(BUILT_IN[parsed.target], parsed.arguments))
        router.fit(tuple(training_trajectories(judge, BankPart(None, fold.train), seed, features)))
        test = judge.bank.trajectories(judge.manifest.candidates(), BankPart(None, fold.test), judge.base_file)
        rows = TrainedRows(router, test, judge.manifest, features)
        judge.progress(f"choosing for {spec} under settings", number, len(folds.folds))
        parts.append((rows.row_nos, rows.choose(layers)))
    row_nos, chosen = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
    order = np.argsort(row_nos)
    return [Predictions(row_nos[order].tolist(), tiers.tolist()) for tiers in chosen[:, order]]


def _scores(judge: Evaluator, answers: Sequence[Predictions]) -> list[tuple[dict[str, float | None], float, int, int]]:
    """Return headline, cost in USD, trajectories that do not pass and error rows, of each set of predictions."""
    error = 255
    rows = len(judge.row_nos)
    judge.progress("scoring settings", 0, None)
    with judge.scorer() as scorer:
        scorer.load_columns(
            np.repeat(np.arange(len(answers), dtype=np.int32), rows),
            np.array([row_no for each in answers for row_no in each.row_nos], np.int32),
            np.array([error if tier is None else tier for each in answers for tier in each.tier_ids], np.uint8),
            error=error,
        )
        return scorer.costs_and_passes()


def _worth(tried: Tried, by: str) -> float:
    """Return what a setting is worth by a criterion; less is better."""
    if by == "bill":
        return tried.bill_usd
    score = tried.scores[by]
    return float("inf") if score is None else -score
