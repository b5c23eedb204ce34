"""Labels beside the cheapest passing assignment, over worlds that are drawn and enumerated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.construction.exhaustive import compare_exhaustively
from tests.static_track.construction.worlds import World, of_length, random_world, tier_number
from twinbench.causes import Cause
from twinbench.errors import TwinbenchError, UsageError


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(2, 4))
def test_no_labels_are_cheaper_than_the_cheapest_passing_assignment(seed: int, steps: int, tiers: int) -> None:
    world = random_world(seed, steps, tiers=tiers)
    compared = compare_exhaustively(world)
    assert len(world.asked) == len({*world.asked}) == tiers**steps
    for each in compared.tasks:
        assert each.labels_usd >= each.cheapest_usd
        assert each.steps_compared == steps
        assert (tuple(each.labels) == tuple(each.cheapest)) == (each.labels_usd == each.cheapest_usd)
    for record in compared.records():
        assert record["equal"] + record["higher"] + record["lower"] == record["steps"] == steps
        assert record["executions"] <= 1 + steps * (tiers - 1)


def test_steps_that_need_nothing_of_each_other_get_the_cheapest_labels() -> None:
    needed = ("mid", "low", "mid_high")
    world = World(
        lambda _task, path, _repeat: all(tier_number(a) >= tier_number(b) for a, b in zip(path, needed, strict=True)),
        of_length(3),
    )
    for record in compare_exhaustively(world).records():
        assert (record["equal"], record["higher"], record["lower"]) == (3, 0, 0)
        assert record["cost_ratio"] == 1


def test_a_greedy_search_can_lock_what_makes_later_steps_dear() -> None:
    # A low first answer leaves the second to the strongest; with mid first, low is enough there.
    passing = {("low", "high"), ("mid", "low"), ("mid", "high"), ("high", "high"), ("high", "low")}
    world = World(lambda _task, path, _repeat: path in passing, of_length(2))
    (record, *_) = compare_exhaustively(world, ["equal"]).records()
    assert (record["equal"], record["higher"], record["lower"]) == (0, 1, 1)
    assert record["cost_ratio"] > 1


def test_the_equal_rule_lifts_labels_where_weak_answers_change_the_number_of_steps() -> None:
    world = World(
        lambda _task, _path, _repeat: True,
        lambda path: len(path) >= 2 + (path[:1] == ("low",)),
        {"low": ("low",), "high": ("high",)},
    )
    equal, within, any_ = compare_exhaustively(world).records()
    assert (equal["step_rule"], equal["higher"], equal["lower"]) == ("equal", 1, 0)
    assert (any_["higher"], within["higher"]) == (0, 0)
    assert equal["labels_usd"] > any_["labels_usd"] == within["labels_usd"] == any_["cheapest_usd"]


def test_drawn_worlds_show_what_each_step_rule_does() -> None:
    """Where the number of steps varies, the stricter rule gives the higher labels, in sum over many worlds."""
    by_rule: dict[str, list[int]] = {}
    for seed in range(60):
        for record in compare_exhaustively(random_world(seed, 3, varies=True)).records():
            by_rule.setdefault(record["step_rule"], []).append(record["higher"] - record["lower"])
    sums = {rule: sum(found) for rule, found in by_rule.items()}
    assert sums["equal"] > sums["within:1"] > sums["any"]


def test_what_cannot_be_enumerated_is_left_out_by_name() -> None:
    assert compare_exhaustively(World(lambda *_: True, of_length(5))).left_out == ["task"]
    assert compare_exhaustively(World(lambda *_: False, of_length(2))).left_out == ["task"]
    lost = World(lambda *_: True, of_length(2), lost=lambda _task, each, _repeat: Cause.engine if each.first else None)
    with pytest.raises(TwinbenchError, match="got no verdict"):
        compare_exhaustively(lost)
    with pytest.raises(UsageError, match="unknown step rule"):
        compare_exhaustively(lost, ["most"])
