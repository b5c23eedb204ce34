"""Sweeps over a threshold: their ends are the two tiers alone, and a hull holds all that mixing reaches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.analysis.curves import curve, mean_height, upper_hull
from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import twinbench
from twinbench.errors import UsageError
from twinbench.routing.router import Call, Decision
from twinbench.routing.tiers import Tier
from twinbench.storage.store import STORE_VARIABLE, Store

TARGETS = {"a": [0, 0, 3], "b": [0, 1], "c": [3, 3], "d": [0, 0, 0, 0]}


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    store = Store(tmp_path)
    rows = []
    for instance, targets in TARGETS.items():
        trajectory = a_trajectory(targets, instance=instance)
        for row, target in zip(trajectory, targets, strict=True):
            row["messages"] = [*row["messages"][:-1], {"role": "user", "content": f"needs {target}"}]
        rows += trajectory
    import_rows(rows, store)
    with Bank.open("bank", store) as opened:
        yield opened


class Knows:
    """Its score is what the last message says that is needed."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def start(self, session: str) -> None:
        self.started.append(session)

    def route(self, call: Call) -> Decision:
        needed = int(str(call.messages[-1]["content"]).rsplit(" ", 1)[1])
        return Decision(Tier.MID, score=needed / 3)


class Constant:
    def route(self, call: Call) -> Decision:
        return Decision(Tier.MID, score=0.5)


class Silent:
    def route(self, call: Call) -> Tier:
        return Tier.MID


@pytest.mark.slow
def test_the_ends_of_a_sweep_are_the_two_tiers_alone(bank: Bank) -> None:
    judge = Evaluator(bank)
    found = curve(bank, judge, Knows())
    by_name = {entry.router: entry.score for entry in judge.board([]).entries}
    assert found.points[0].threshold is None
    assert (found.points[0].strong_share, found.points[-1].strong_share) == (0, 100)
    assert found.points[0].combined == by_name["always-low"].scores["combined"]
    assert found.points[-1].combined == by_name["always-high"].scores["combined"]
    d_usd = sum(block["d_usd"] for block in by_name["always-high"].by_workload.values())
    assert found.points[-1].cost_usd == pytest.approx(d_usd)
    assert found.optimal[1] == 100


def test_who_knows_gains_more_than_who_does_not(bank: Bank) -> None:
    knows, constant = curve(bank, Evaluator(bank), Knows()), curve(bank, Evaluator(bank), Constant())
    assert constant.gain == pytest.approx(0)
    assert knows.gain is not None
    assert 0.2 < knows.gain <= 1
    assert knows.area is not None
    assert constant.area == constant.area_random == knows.area_random
    assert knows.area <= (knows.area_optimal or 0)


def test_the_router_lives_through_every_threshold_anew(bank: Bank) -> None:
    router = Knows()
    found = curve(bank, Evaluator(bank), router)
    assert len(router.started) == len(TARGETS) * len(found.points)


def test_a_router_without_a_score_cannot_be_swept(bank: Bank) -> None:
    with pytest.raises(UsageError, match=r"instance:Silent.*have no score"):
        curve(bank, Evaluator(bank), Silent())
    with pytest.raises(UsageError, match="not below"):
        curve(bank, Evaluator(bank), Knows(), weak=Tier.HIGH, strong=Tier.LOW)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 100)), min_size=1, max_size=12),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_a_hull_is_concave_and_under_none_of_its_points(points: list[tuple[int, int]], low: int, high: int) -> None:
    ends = [(0.0, float(low)), (50.0, float(high))]
    given_points = [(float(cost), float(height)) for cost, height in points]
    hull = upper_hull([*ends, *given_points], 0, 50)
    slopes = [(right[1] - left[1]) / (right[0] - left[0]) for left, right in pairwise(hull)]
    assert all(earlier > later for earlier, later in pairwise(slopes))
    assert set(hull) <= {*ends, *given_points}
    for cost, height in given_points:
        assert any(
            left[0] <= cost <= right[0]
            and height <= left[1] + (right[1] - left[1]) * (cost - left[0]) / (right[0] - left[0]) + 1e-9
            for left, right in pairwise(hull)
        )
    area, straight = mean_height(hull), mean_height(ends)
    assert area is not None
    assert straight is not None
    assert area >= straight - 1e-9


def test_cheaper_than_the_weak_tier_counts_where_the_hull_begins_and_dearer_is_left_out() -> None:
    assert upper_hull([(2, 10), (4, 20), (1, 15), (5, 90)], 2, 4) == [(2, 15), (4, 20)]
    assert mean_height([(2, 10), (2, 20)]) is None


def test_the_command_prints_points_and_gain(embedded_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(embedded_store.root))
    shown = twinbench("static", "curve", "depth-rule", "--points", "3").succeeded()
    assert "gain" in shown.text
    content = twinbench("static", "curve", "depth-rule", "--points", "3", "--json").succeeded().json
    (found,) = content["curves"]
    assert found.keys() >= {"points", "hull", "optimal", "area", "area_random", "area_optimal", "gain"}
    for words in ([], ["sticky"], ["depth-rule", "--weak", "none"], ["depth-rule", "--weak", "high"]):
        assert twinbench("static", "curve", *words).code == 2
