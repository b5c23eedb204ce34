"""Which steps cost a router its points, and where two routers part, in dollars that add up to the score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from static_track.analysis.explain import difference, explain
from static_track.banks.bank import Bank
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import twinbench
from twinbench.errors import UsageError
from twinbench.routing.router import Call
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store

ROWS = [
    *a_trajectory([0, 1, 3], instance="hard"),
    *a_trajectory([0, 0], instance="easy"),
    *a_trajectory([1, 2], workload="qa", instance="middle"),
]


class Depth:
    """Goes one tier up with every step."""

    def route(self, call: Call) -> Tier:
        return Tier(min(call.step_index - 1, 3))


class Fails:
    """Is no use at the second step."""

    def route(self, call: Call) -> Tier:
        if call.step_index == 2:
            raise ValueError("[bold]no[/bold] second step")
        return Tier.HIGH


@pytest.fixture
def bank(tmp_path: Path) -> Any:
    store = Store(tmp_path)
    import_rows(ROWS, store)
    with Bank.open("bank", store) as opened:
        yield opened


@pytest.mark.slow
def test_every_failing_step_is_named_with_what_its_trajectory_costs(bank: Bank) -> None:
    judge = Evaluator(bank)
    found = explain(bank, judge, Depth())
    assert [(each.step.instance_id, each.step.step_index, each.predicted) for each in found.failures] == [
        ("hard", 3, "mid_high"),
        ("middle", 1, "low"),
        ("middle", 2, "mid"),
    ]
    assert [each.failing_steps for each in found.failures] == [1, 2, 2]
    assert (found.failed_trajectories, found.failing_steps) == (2, 3)
    assert found.lost_usd == pytest.approx(found.failures[0].lost_usd + found.failures[1].lost_usd)
    score = judge.board([Depth()]).entries[0].score
    assert found.scores == score.scores
    assert found.lost_usd < sum(block["d_usd"] for block in score.by_workload.values())


def test_what_was_lost_is_what_cost_save_lacks(bank: Bank) -> None:
    """With its failing trajectories repaired at no further cost, CostSave is higher by just the points shown."""
    found = explain(bank, Evaluator(bank), "always-low")
    points = {(each.step.workload, each.step.instance_id): each.lost_points for each in found.failures}
    judge = Evaluator(bank)
    with judge.scorer() as scorer:
        scorer.load([judge.predictions("always-low")])
        would = scorer.connection.execute(
            "SELECT sum(weight * 100 * (d - pred) / d) FROM workload_score JOIN ("
            "SELECT workload, sum(pred) AS pred FROM trajectory_bill JOIN trajectory USING (trajectory) GROUP BY 1"
            ") USING (workload)"
        ).fetchone()
    assert would is not None
    assert found.scores["cost_save"] is not None
    assert sum(points.values()) == pytest.approx(would[0] - found.scores["cost_save"])


def test_overspending_counts_passing_trajectories_and_what_is_above_the_target(bank: Bank) -> None:
    found = explain(bank, Evaluator(bank), "always-high")
    assert found.failures == ()
    assert [each.overspent_usd for each in found.overspending] == sorted(
        (each.overspent_usd for each in found.overspending), reverse=True
    )
    assert {each.step.target for each in found.overspending} <= {"low", "mid", "mid_high"}
    assert found.overspent_usd == pytest.approx(sum(each.overspent_usd for each in found.overspending))
    assert found.overspent_steps == sum(row["target_tier"] != "high" for row in ROWS)


def test_an_error_is_a_failing_step_with_its_words(bank: Bank) -> None:
    found = explain(bank, Evaluator(bank), Fails())
    assert {each.step.step_index for each in found.failures} == {2}
    assert all("[bold]no[/bold]" in (each.error or "") for each in found.failures)
    assert all(each.predicted is None for each in found.failures)


def test_the_end_of_the_prompt_is_shown_and_long_texts_are_cut_at_their_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = a_trajectory([3], instance="long")
    rows[0]["messages"][-1]["content"] = "a" * 5000 + "the end"
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        (failure,) = explain(bank, Evaluator(bank), "always-low").failures
    assert failure.step.tail[-1].text.endswith("the end")
    assert len(failure.step.tail[-1].text) < 1000
    assert [each.role for each in failure.step.tail] == ["system", "user"]


@pytest.mark.slow
def test_two_routers_part_where_they_answer_differently(bank: Bank) -> None:
    judge = Evaluator(bank)
    found = difference(bank, judge, "always-low", Depth())
    assert found.rows == sum(len(each.disagreements) for each in found.trajectories) == 4
    assert found.differing_trajectories == 3
    assert (found.only_a_passes, found.only_b_passes) == (0, 0)
    assert found.gained_usd == pytest.approx(sum(each.gained_usd for each in found.trajectories))
    n_usd = []
    for router in ("always-low", Depth()):
        score = judge.board([router]).entries[0].score
        n_usd.append(sum(block["n_usd"] for block in score.by_workload.values()))
    assert found.gained_usd == pytest.approx(n_usd[1] - n_usd[0])
    limited = difference(bank, judge, "always-low", Depth(), limit=1)
    assert len(limited.trajectories) == 1
    assert (limited.rows, limited.gained_usd) == (found.rows, found.gained_usd)
    assert difference(bank, judge, "always-low", "always-low").trajectories == ()


def test_a_bank_without_labels_explains_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [{k: v for k, v in row.items() if not k.startswith("target")} for row in ROWS]
    import_rows(rows, store)
    with Bank.open("bank", store) as bank, pytest.raises(UsageError, match="no labels"):
        explain(bank, Evaluator(bank), "always-low")


@pytest.mark.slow
def test_both_commands_print_a_table_and_json() -> None:
    shown = twinbench("static", "explain", "depth-rule", "--limit", "2").succeeded()
    assert "below target failed" in shown.text
    content = twinbench("static", "explain", "depth-rule", "--limit", "0", "--json").succeeded().json
    assert content["failing_steps"] == len(content["failures"])
    assert content["overspent_steps"] == len(content["overspending"])
    assert content["failures"][0].keys() >= {"id", "tail", "predicted", "error", "lost_usd", "lost_points"}
    other = twinbench("static", "diff", "depth-rule", "always-high", "--json").succeeded().json
    assert other["a"]["router"] == "depth-rule"
    assert other["parted"] >= len(other["trajectories"])
    wrong = twinbench("static", "explain", "labels")
    assert (wrong.code, "sees the labels" in wrong.err) == (2, True)
