"""Explain a router's score: steps that failed trajectories, steps that overspent, and steps where two routers differ.

A failed trajectory saves nothing, and its own cost is subtracted: its failure costs the trajectory's whole always-high
cost (static.md, CostSave). A row that passes above its target overspends the difference to its cost on the target
path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from static_track.banks.bank import Bank
from static_track.board import Setting, SettingResult
from static_track.evaluator import Evaluator
from static_track.predictions import Predictions
from twinbench.routing.accepting import RouterLike
from twinbench.routing.tiers import Tier
from twinbench.text.messages import message_text

_TAIL_MESSAGES = 2
_TAIL_CHARACTERS = 600

_FAILURES = """
    WITH failed AS (
        SELECT *, sum(cost_high) OVER whole AS high, count(*) FILTER (NOT passes) OVER whole AS failing
        FROM bill
        WHERE router = 0
        WINDOW whole AS (PARTITION BY trajectory)
    )
    SELECT row_no, workload, instance_id, step_index, target, pred, failing, usd(high) AS lost_usd,
           coalesce(100 * weight * high / nullif(d, 0), 0)::DOUBLE AS lost_points
    FROM failed JOIN trajectory USING (trajectory) JOIN workload_score USING (workload)
    WHERE NOT passes AND workload_score.router = 0
    ORDER BY high DESC, workload, instance_id, step_index
"""

_OVERSPENT = """
    WITH kept AS (
        SELECT *, bool_and(passes) OVER (PARTITION BY trajectory) AS kept
        FROM bill
        WHERE router = 0
    )
    SELECT row_no, workload, instance_id, step_index, target, pred, usd(cost_pred - cost_target) AS overspent_usd
    FROM kept JOIN trajectory USING (trajectory)
    WHERE kept AND pred > target AND cost_pred > cost_target
    ORDER BY cost_pred - cost_target DESC, workload, instance_id, step_index
"""

_DIFFERING_SQL = """
    SELECT a.row_no, workload, instance_id, a.step_index, a.target, a.pred AS pred_a, b.pred AS pred_b,
           usd(coalesce(a.cost_pred, 0)) AS cost_a_usd, usd(coalesce(b.cost_pred, 0)) AS cost_b_usd
    FROM bill AS a JOIN bill AS b USING (row_no) JOIN trajectory ON trajectory.trajectory = a.trajectory
    WHERE a.router = 0 AND b.router = 1 AND a.pred IS DISTINCT FROM b.pred
    ORDER BY workload, instance_id, a.step_index
"""

_SAVINGS_SQL = """
    SELECT workload, instance_id,
           bool_or(passes) FILTER (router = 0) AS passes_a, bool_or(passes) FILTER (router = 1) AS passes_b,
           usd(sum(n) FILTER (router = 0)) AS saved_a_usd, usd(sum(n) FILTER (router = 1)) AS saved_b_usd
    FROM (
        SELECT router, trajectory, passes, CASE WHEN passes THEN high - pred ELSE -pred END AS n FROM trajectory_bill
    ) JOIN trajectory USING (trajectory)
    GROUP BY workload, instance_id
"""


@dataclass(frozen=True)
class ShownMessage:
    """A message at the end of a prompt, with its text shortened."""

    role: str
    text: str


@dataclass(frozen=True)
class Step:
    """One row of a bank, for display."""

    id: str
    workload: str
    instance_id: str
    step_index: int
    target: str
    tail: tuple[ShownMessage, ...]
    """The last messages of its prompt."""


@dataclass(frozen=True)
class Failure:
    """The step that failed its trajectory: it was routed below its target tier, or ended in an error."""

    step: Step
    predicted: str | None
    error: str | None
    """The router's error, if there was one."""
    failing_steps: int
    """How many failing steps the trajectory has."""
    lost_usd: float
    """Cost of the trajectory's failure; the same for each of its failing steps, so count it once per trajectory."""
    lost_points: float
    """``lost_usd`` as points of CostSave."""


@dataclass(frozen=True)
class Overspending:
    """A step of a passing trajectory that was sent above its target."""

    step: Step
    predicted: str
    overspent_usd: float


@dataclass(frozen=True, repr=False)
class Explanation(SettingResult):
    """The steps that cost a router most of its score."""

    router: str
    setting: Setting
    scores: Mapping[str, float | None]
    failures: tuple[Failure, ...]
    """Failing steps, those of the most expensive trajectories first."""
    overspending: tuple[Overspending, ...]
    """Overspending steps, the most expensive first."""
    failed_trajectories: int
    failing_steps: int
    lost_usd: float
    overspent_steps: int
    overspent_usd: float

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each failing step and each overspending step."""
        failed = [
            {
                "what": "failed",
                **_to_record(each.step),
                "predicted": each.predicted,
                "error": each.error,
                "usd": each.lost_usd,
            }
            for each in self.failures
        ]
        return failed + [
            {"what": "overspent", **_to_record(each.step), "predicted": each.predicted, "usd": each.overspent_usd}
            for each in self.overspending
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON object."""
        totals = ("failed_trajectories", "failing_steps", "lost_usd", "overspent_steps", "overspent_usd")
        return {
            "router": self.router,
            **self.setting.summary(),
            "scores": dict(self.scores),
            **{name: getattr(self, name) for name in totals},
            "failures": [_to_flat_json(each) for each in self.failures],
            "overspending": [_to_flat_json(each) for each in self.overspending],
        }


@dataclass(frozen=True)
class Disagreement:
    """A step at which two routers decided differently."""

    step: Step
    predicted_a: str | None
    predicted_b: str | None
    cost_a_usd: float
    cost_b_usd: float


@dataclass(frozen=True)
class TrajectoryDisagreement:
    """A trajectory on which two routers decided differently, with what each saved against always-high (negative if it
    failed).
    """

    workload: str
    instance_id: str
    passes_a: bool
    passes_b: bool
    saved_a_usd: float
    saved_b_usd: float
    disagreements: tuple[Disagreement, ...]

    @property
    def gained_usd(self) -> float:
        """How much more the second router saves than the first."""
        return self.saved_b_usd - self.saved_a_usd


@dataclass(frozen=True, repr=False)
class Difference(SettingResult):
    """The steps where two routers decide differently on a bank, the most expensive trajectories first."""

    setting: Setting
    router_a: str
    router_b: str
    scores_a: Mapping[str, float | None]
    scores_b: Mapping[str, float | None]
    rows: int
    """Rows on which they differ."""
    differing_trajectories: int
    """Trajectories on which they differ."""
    only_a_passes: int
    only_b_passes: int
    gained_usd: float
    """How much more the second router saves than the first, over all these trajectories."""
    trajectories: tuple[TrajectoryDisagreement, ...]
    """The most expensive trajectories, up to the requested number."""

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each step on which they differ."""
        return [
            {
                **_to_record(step.step),
                "a": step.predicted_a,
                "b": step.predicted_b,
                "cost_a_usd": step.cost_a_usd,
                "cost_b_usd": step.cost_b_usd,
                "passes_a": each.passes_a,
                "passes_b": each.passes_b,
                "gained_usd": each.gained_usd,
            }
            for each in self.trajectories
            for step in each.disagreements
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the difference as a JSON object."""
        return {
            **self.setting.summary(),
            "a": {"router": self.router_a, "scores": dict(self.scores_a)},
            "b": {"router": self.router_b, "scores": dict(self.scores_b)},
            "rows": self.rows,
            "parted": self.differing_trajectories,
            "only_a_passes": self.only_a_passes,
            "only_b_passes": self.only_b_passes,
            "gained_usd": self.gained_usd,
            "trajectories": [
                {
                    **asdict(each),
                    "gained_usd": each.gained_usd,
                    "partings": [_to_flat_json(step) for step in each.disagreements],
                }
                for each in self.trajectories
            ],
        }


def explain(bank: Bank, judge: Evaluator, router: str | RouterLike, *, limit: int | None = None) -> Explanation:
    """Find the steps that cost a router most of its score.

    Args:
        bank: the bank that the router is evaluated on.
        judge: the bank's evaluator.
        router: a spec or a router object.
        limit: the largest number of steps of each kind; None for all.
    """
    bank.require_labels()
    predictions = judge.predictions(router)
    with judge.scorer() as scorer:
        scorer.load([predictions])
        [scores] = scorer.headline()
        failed = scorer.connection.execute(_FAILURES).fetchall()
        overspent = scorer.connection.execute(_OVERSPENT).fetchall()
    shown = _Steps(bank, [row[0] for row in (*failed[:limit], *overspent[:limit])])
    by_trajectory = {(row[1], row[2]): row[7] for row in failed}
    return Explanation(
        router=judge.name_of(router),
        setting=judge.setting(),
        scores=scores,
        failures=tuple(_failure(row, shown, predictions) for row in failed[:limit]),
        overspending=tuple(
            Overspending(shown.step_for(row[:5]), Tier(row[5]).label, row[6]) for row in overspent[:limit]
        ),
        failed_trajectories=len(by_trajectory),
        failing_steps=len(failed),
        lost_usd=sum(by_trajectory.values()),
        overspent_steps=len(overspent),
        overspent_usd=sum(row[6] for row in overspent),
    )


def difference(
    bank: Bank, judge: Evaluator, a: str | RouterLike, b: str | RouterLike, *, limit: int | None = None
) -> Difference:
    """Find the steps where two routers decide differently, and what that cost.

    Args:
        bank: the bank that the routers are evaluated on.
        judge: the bank's evaluator.
        a: the first router, a spec or a router object.
        b: the second router.
        limit: the largest number of trajectories; None for all.
    """
    bank.require_labels()
    both = [judge.predictions(a), judge.predictions(b)]
    with judge.scorer() as scorer:
        scorer.load(both)
        scores_a, scores_b = scorer.headline()
        apart = scorer.connection.execute(_DIFFERING_SQL).fetchall()
        worth = {(row[0], row[1]): row[2:] for row in scorer.connection.execute(_SAVINGS_SQL).fetchall()}
    rows: dict[tuple[str, str], list[Any]] = {}
    for row in apart:
        rows.setdefault((row[1], row[2]), []).append(row)
    parted = {each: worth[each] for each in rows}
    dearest = sorted(rows, key=lambda each: (-abs(worth[each][3] - worth[each][2]), each))[:limit]
    shown = _Steps(bank, [row[0] for each in dearest for row in rows[each]])
    found = tuple(
        _make_trajectory_disagreement(each, worth[each], tuple(_make_disagreement(row, shown) for row in rows[each]))
        for each in dearest
    )
    return Difference(
        setting=judge.setting(),
        router_a=judge.name_of(a),
        router_b=judge.name_of(b),
        scores_a=scores_a,
        scores_b=scores_b,
        rows=len(apart),
        differing_trajectories=len(parted),
        only_a_passes=sum(passes_a and not passes_b for passes_a, passes_b, _, _ in parted.values()),
        only_b_passes=sum(passes_b and not passes_a for passes_a, passes_b, _, _ in parted.values()),
        gained_usd=sum(saved_b - saved_a for _, _, saved_a, saved_b in parted.values()),
        trajectories=found,
    )


class _Steps:
    """Makes steps for display from rows: their ids and the ends of their prompts."""

    def __init__(self, bank: Bank, row_nos: Sequence[int]) -> None:
        self._ids = bank.row_ids
        self._texts = bank.messages_json() if row_nos else []
        numbers = bank.cursor().execute(
            "SELECT row_no, messages[-$1:] FROM step WHERE row_no IN (SELECT unnest($2::INTEGER[]))",
            [_TAIL_MESSAGES, list(row_nos)],
        )
        self._tails = {row_no: tuple(map(self._shown_message, tail)) for row_no, tail in numbers.fetchall()}

    def step_for(self, row: Sequence[Any]) -> Step:
        """Return the step of a row given as number, workload, instance, step index and target."""
        row_no, workload, instance_id, step_index, target = row
        return Step(
            self._ids[row_no], workload, instance_id, step_index, Tier(target).label, self._tails.get(row_no, ())
        )

    def _shown_message(self, number: int) -> ShownMessage:
        message = json.loads(self._texts[number])
        text = message_text(message)
        if len(text) > _TAIL_CHARACTERS:
            text = f"…{text[-_TAIL_CHARACTERS:]}"
        return ShownMessage(str(message.get("role")), text)


def _failure(row: Sequence[Any], shown: _Steps, predictions: Predictions) -> Failure:
    row_no, pred = row[0], row[5]
    return Failure(
        step=shown.step_for(row[:5]),
        predicted=None if pred is None else Tier(pred).label,
        error=predictions.errors.get(row_no),
        failing_steps=row[6],
        lost_usd=row[7],
        lost_points=row[8],
    )


def _make_disagreement(row: Sequence[Any], shown: _Steps) -> Disagreement:
    labels = [None if pred is None else Tier(pred).label for pred in row[5:7]]
    return Disagreement(shown.step_for(row[:5]), labels[0], labels[1], row[7], row[8])


def _make_trajectory_disagreement(
    whose: tuple[str, str], worth: Sequence[Any], partings: tuple[Disagreement, ...]
) -> TrajectoryDisagreement:
    passes_a, passes_b, saved_a_usd, saved_b_usd = worth
    return TrajectoryDisagreement(*whose, passes_a, passes_b, saved_a_usd, saved_b_usd, partings)


def _to_flat_json(each: Failure | Overspending | Disagreement) -> dict[str, Any]:
    content = asdict(each)
    return {**content.pop("step"), **content}


def _to_record(step: Step) -> dict[str, Any]:
    content = asdict(step)
    tail = content.pop("tail")
    return {**content, "last_message": tail[-1]["text"] if tail else None}
