"""Score many sets of predictions at once, for searches over routers' parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from static_track.banks.bank import Bank
from static_track.board import Setting
from static_track.judge import Judge
from static_track.metrics import SCORES
from static_track.scoring import Scorer
from twinbench.display.frames import Tabular
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier

Answers = Mapping[str, int | None] | Sequence[int | None] | NDArray[np.integer[Any]]
"""Tier ids (None for an error): by row id, or one per row in the order of ``Bank.row_ids``."""

_ERROR = len(Tier)
_ROWS_AT_ONCE = 1_000_000

_QUERY = f"""
    SELECT router, {", ".join(SCORES)}, errors, passed_trajectories, cost_usd FROM score ORDER BY router
"""  # noqa: S608 - made of our own words


@dataclass(frozen=True, repr=False)
class ManyScores(Setting, Tabular):
    """The metrics and costs of many sets of predictions on the same bank."""

    scores: Mapping[str, Mapping[str, float | None]]
    """The five metrics of each set in percent, by the set's name; None if undefined."""
    costs_usd: Mapping[str, float]
    """The cost of each set's path through all trajectories, without error rows."""
    errors: Mapping[str, int]
    """The number of error rows of each set."""
    passed_trajectories: Mapping[str, int]

    def records(self) -> list[dict[str, Any]]:
        """A row for each set."""
        return [
            {
                "router": name,
                **metrics,
                "cost_usd": self.costs_usd[name],
                "errors": self.errors[name],
                "passed_trajectories": self.passed_trajectories[name],
            }
            for name, metrics in self.scores.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """The scores as a JSON object."""
        return {
            **super().to_json(),
            "routers": [
                {
                    "router": name,
                    "reference": False,
                    "scores": dict(metrics),
                    "intervals": None,
                    "rank": None,
                    "cost_usd": self.costs_usd[name],
                    "counts": {"errors": self.errors[name], "passed_trajectories": self.passed_trajectories[name]},
                }
                for name, metrics in self.scores.items()
            ],
        }


def score_many(bank: Bank, judge: Judge, sets: Mapping[str, Answers]) -> ManyScores:
    """Score sets of predictions.

    Args:
        bank: an opened bank.
        judge: the bank's evaluator.
        sets: sets by name; a row missing in a set by id is an error, as in a prediction file.

    Raises:
        UsageError: there are no sets, the bank has no labels, or a set has an unknown id, a wrong length, or an invalid
            tier id.
    """
    bank.require_labels()
    if not sets:
        raise UsageError("score_many needs at least one set of predictions")
    row_ids = bank.row_ids
    number_of = {row_id: number for number, row_id in enumerate(row_ids)}
    row_nos = np.asarray(judge.row_nos, np.int32)
    names = list(sets)
    found: list[tuple[Any, ...]] = []
    at_once = max(1, _ROWS_AT_ONCE // len(row_nos))
    with judge.scorer() as scorer:
        for start in range(0, len(names), at_once):
            chunk = names[start : start + at_once]
            tiers = np.stack([_tier_ids(name, sets[name], number_of)[row_nos] for name in chunk])
            found += _scored(scorer, row_nos, tiers)
    return ManyScores(
        **vars(judge.setting()),
        scores={name: dict(zip(SCORES, row[1:6], strict=True)) for name, row in zip(names, found, strict=True)},
        errors={name: int(row[6]) for name, row in zip(names, found, strict=True)},
        passed_trajectories={name: int(row[7]) for name, row in zip(names, found, strict=True)},
        costs_usd={name: row[8] for name, row in zip(names, found, strict=True)},
    )


def _scored(scorer: Scorer, row_nos: NDArray[np.int32], tiers: NDArray[np.uint8]) -> list[tuple[Any, ...]]:
    """Score a chunk of sets.

    Args:
        scorer: a scorer of the part of the bank.
        row_nos: shape (rows,).
        tiers: shape (sets, rows).
    """
    sets, rows = tiers.shape
    scorer.load_columns(
        np.repeat(np.arange(sets, dtype=np.int32), rows), np.tile(row_nos, sets), tiers.ravel(), error=_ERROR
    )
    return scorer.connection.execute(_QUERY).fetchall()


def _is_list(answers: object) -> bool:
    return isinstance(answers, np.ndarray) or (isinstance(answers, Sequence) and not isinstance(answers, str | bytes))


def _is_tier_id(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < _ERROR


def _tier_ids(name: str, answers: Answers, number_of: Mapping[str, int]) -> NDArray[np.uint8]:
    """Convert a set to one number per row of the bank, shape (rows,); errors become one above the highest tier."""
    if isinstance(answers, Mapping):
        if unknown := [row_id for row_id in answers if row_id not in number_of]:
            raise UsageError(f"set {name!r}: the bank has no row {unknown[0]!r}")
        values: list[Any] = [None] * len(number_of)
        for row_id, tier_id in answers.items():
            values[number_of[row_id]] = tier_id
    elif isinstance(answers, np.ndarray) and (answers.ndim != 1 or answers.dtype.kind not in "iufO"):
        raise UsageError(
            f"set {name!r}: an array of shape {answers.shape} and {answers.dtype} is not a list of tier ids"
        )
    elif not _is_list(answers):
        raise UsageError(
            f"set {name!r}: {type(answers).__name__} is neither a list of tier ids nor a mapping by row id"
        )
    else:
        values = answers.tolist() if isinstance(answers, np.ndarray) else list(answers)
        if len(values) != len(number_of):
            raise UsageError(f"set {name!r} has {len(values):,} predictions; the bank has {len(number_of):,} rows")
    wrong = [value for value in values if not (value is None or _is_tier_id(value))]
    if wrong:
        what = f"{wrong[0]!r} is not a tier id; tier ids are 0 to {_ERROR - 1}, and None for an error"
        raise UsageError(f"set {name!r}: {what}")
    return np.array([_ERROR if value is None else value for value in values], np.uint8)
