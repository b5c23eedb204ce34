"""Cost–quality curves of routers that return a score, by sweeping a threshold.

At a threshold, calls whose score reaches it go to the strong tier, the others to the weak one; the router runs again
for each threshold, since what it sees depends on earlier choices. Picking one of two operating points at random for
each trajectory reaches every mean in between. So a curve is valued by its upper concave hull, and the baseline without
a router is the straight line from the weak tier alone to the strong tier alone (the random mix).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from static_track import references
from static_track.banks.bank import Bank
from static_track.board import InSetting, Setting
from static_track.judge import Judge
from static_track.predictions import Predictions
from twinbench.errors import UsageError
from twinbench.plugins.loading import router_name
from twinbench.routing.accepting import RouterLike
from twinbench.routing.llm import LlmError
from twinbench.routing.own_calls import NoCalls
from twinbench.routing.router import Call, Decision, Router, RouterError
from twinbench.routing.tiers import Tier

if TYPE_CHECKING:
    from static_track.figures import Drawing

POINTS = 11

_WHY_NOT = "it asks an LLM itself, and would pay for that again at every threshold"


@dataclass(frozen=True)
class Point:
    """An operating point: a threshold with its cost and its share of passed trajectories."""

    threshold: float | None
    """The threshold; None for the point where no call goes to the strong tier."""
    strong_share: float
    """Rows that go to the strong tier, in percent."""
    cost_usd: float
    """Cost of all rows on the predicted path."""
    traj_pass: float
    combined: float | None


@dataclass(frozen=True, repr=False)
class Curve(InSetting):
    """The curve of a router on a bank, over its thresholds."""

    router: str
    setting: Setting
    weak: str
    strong: str
    points: tuple[Point, ...]
    """The operating points, sorted by cost."""
    hull: tuple[tuple[float, float], ...]
    """Cost and TrajPass of the corners of the upper concave hull, from the weak tier alone to the strong tier alone."""
    optimal: tuple[float, float]
    """Cost and TrajPass of the cheapest choice that passes every row."""
    area: float | None
    """Mean TrajPass of the hull over the costs from weak to strong; None if strong costs no more than weak."""
    area_random: float | None
    """Like ``area``, for the straight line of the random mix."""
    area_optimal: float | None
    """Like ``area``, for the hull that includes the cheapest passing choice."""

    @property
    def gain(self) -> float | None:
        """The router's gain over the random mix as a share of the optimum's gain; 0 is the random mix, 1 the
        optimum.
        """
        if self.area is None or self.area_random is None or self.area_optimal is None:
            return None
        room = self.area_optimal - self.area_random
        return (self.area - self.area_random) / room if room > 0 else None

    @property
    def at(self) -> list[tuple[float, float]]:
        """Cost and TrajPass at each threshold."""
        return [(point.cost_usd, point.traj_pass) for point in self.points]

    def plot(self, *others: Curve) -> Drawing:
        """Draw this curve, and others of the same bank beside it, as a matplotlib figure.

        Raises:
            PlotsMissingError: matplotlib is not installed.
        """
        from twinbench.display.html.plots import require_plots

        require_plots()
        from static_track.figures import curve_figure

        return curve_figure(f"{self.bank}: cost against quality", [self, *others], self.optimal, self.caveat)

    number_columns: ClassVar = frozenset({"threshold", "traj_pass", "combined"})

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each operating point."""
        return [{"router": self.router, **asdict(point)} for point in self.points]

    def to_json(self) -> dict[str, Any]:
        """Return the curve as a JSON object."""
        found = asdict(self)
        del found["setting"]
        return {"router": found.pop("router"), **self.setting.summary(), **found, "gain": self.gain}


class _Refusing(NoCalls):
    """An LLM handle that refuses every call and remembers that there was one, even if the router caught the error."""

    refused = False

    def ask(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse the question and remember it."""
        self.refused = True
        raise LlmError(_WHY_NOT)


def curve(
    bank: Bank,
    judge: Judge,
    router: str | RouterLike,
    *,
    weak: Tier = Tier.LOW,
    strong: Tier = Tier.HIGH,
    points: int = POINTS,
) -> Curve:
    """Compute a router's curve by sweeping its threshold.

    Args:
        bank: the bank that the router is evaluated on.
        judge: the bank's evaluator.
        router: a spec or a router object, whose decisions have a score.
        weak: the tier for calls with a score below the threshold.
        strong: the tier for all other calls.
        points: the number of thresholds, at even shares of the calls.

    Raises:
        UsageError: the weak tier is not below the strong one, a decision has no score, or the router asks an LLM.
    """
    bank.require_labels()
    if weak >= strong:
        raise UsageError(f"the weak tier {weak.label} is not below the strong one {strong.label}")
    with ExitStack() as stack:
        refusing = _Refusing()
        opened = stack.enter_context(judge.opened(router, refusing))
        first = _Swept(opened, None, weak, strong)
        swept: list[tuple[float | None, Predictions]] = [(None, judge.predictions(first))]
        for threshold in _thresholds(first.scores, points):
            again = _Swept(opened, threshold, weak, strong)
            swept.append((threshold, judge.predictions(again)))
    name = router_name(router)
    if refusing.refused:
        raise UsageError(f"router {name!r} cannot be swept: {_WHY_NOT}")
    if failed := next((each for _, each in swept if each.errors), None):
        raise UsageError(f"router {name!r} cannot be swept: {next(iter(failed.errors.values()))}")
    with judge.scorer() as scorer:
        optimal = references.cost_optimal(scorer.connection, judge.manifest)
        rows = len(optimal.row_nos)
        constants = [Predictions(optimal.row_nos, [int(tier)] * rows) for tier in (weak, strong)]
        found = _measured(scorer.connection, scorer.load, [*(each for _, each in swept), *constants, optimal])
    shares = [100 * sum(tier == strong for tier in each.tier_ids) / rows for _, each in swept]
    measured = [
        Point(threshold, share, *values) for (threshold, _), share, values in zip(swept, shares, found, strict=False)
    ]
    at_weak, at_strong, at_best = ((cost, passed) for cost, passed, _ in found[len(swept) :])
    return _drawn(name, judge.setting(), weak, strong, measured, at_weak, at_strong, at_best)


class _Swept:
    """A router at a fixed threshold; other attributes are those of the wrapped router."""

    def __init__(self, router: Router, threshold: float | None, weak: Tier, strong: Tier) -> None:
        self._router = router
        self._threshold = threshold
        self._tiers = (weak, strong)
        self.scores: list[float] = []

    def route(self, call: Call) -> Decision:
        """Pick the strong tier if the router's score reaches the threshold, else the weak one."""
        decision = self._router.route(call)
        score = decision.score if isinstance(decision, Decision) else None
        if score is None:
            raise RouterError("its decisions have no score, so no threshold can be swept")
        self.scores.append(score)
        reached = self._threshold is not None and score >= self._threshold
        return Decision(self._tiers[reached], score=score)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)


def _thresholds(scores: Sequence[float], points: int) -> list[float]:
    """Return the distinct scores at even shares of the calls, the highest first."""
    ordered = sorted(scores, reverse=True)
    if not ordered:
        return []
    places = (round(number * (len(ordered) - 1) / max(points - 1, 1)) for number in range(points))
    return list(dict.fromkeys(ordered[place] for place in places))


def _measured(
    connection: Any, load: Any, predictions: Sequence[Predictions]
) -> list[tuple[float, float, float | None]]:
    """Score predictions; return cost, TrajPass and Combined of each."""
    load(predictions)
    rows = connection.execute("SELECT cost_usd, traj_pass, combined FROM score ORDER BY router").fetchall()
    return [tuple(row) for row in rows]


def _drawn(
    router: str,
    setting: Setting,
    weak: Tier,
    strong: Tier,
    points: Sequence[Point],
    at_weak: tuple[float, float],
    at_strong: tuple[float, float],
    at_best: tuple[float, float],
) -> Curve:
    reached = [(each.cost_usd, each.traj_pass) for each in points]
    hull = upper_hull([at_weak, at_strong, *reached], at_weak[0], at_strong[0])
    best = upper_hull([at_weak, at_strong, at_best], at_weak[0], at_strong[0])
    return Curve(
        router,
        setting,
        weak.label,
        strong.label,
        points=tuple(sorted(points, key=lambda each: (each.cost_usd, each.traj_pass))),
        hull=tuple(hull),
        optimal=at_best,
        area=mean_height(hull),
        area_random=mean_height([at_weak, at_strong]),
        area_optimal=mean_height(best),
    )


def upper_hull(points: Iterable[tuple[float, float]], least: float, most: float) -> list[tuple[float, float]]:
    """Return the corners of the upper concave hull between two costs.

    Args:
        points: cost and height of each point; a point cheaper than ``least`` counts at ``least``.
        least: the cost at which the hull begins.
        most: the cost at which it ends; more expensive points are left out.
    """
    best: dict[float, float] = {}
    for cost, height in points:
        if cost <= most:
            at = max(cost, least)
            best[at] = max(height, best.get(at, height))
    corners: list[tuple[float, float]] = []
    for cost, height in sorted(best.items()):
        while len(corners) >= 2 and _turns_up(corners[-2], corners[-1], (cost, height)):
            corners.pop()
        corners.append((cost, height))
    return corners


def mean_height(line: Sequence[tuple[float, float]]) -> float | None:
    """Return the mean height of a line over its range of costs; None if the range is empty."""
    width = line[-1][0] - line[0][0]
    if width <= 0:
        return None
    area = sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairwise(line))
    return area / width


def _turns_up(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Return whether the middle point is on or below the line between the other two."""
    return (middle[0] - first[0]) * (last[1] - first[1]) >= (last[0] - first[0]) * (middle[1] - first[1])
