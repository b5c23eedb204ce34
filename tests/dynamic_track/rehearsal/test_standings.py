"""What a rehearsal of several seeds says: the task is the unit, and a seed is a draw of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.rehearsal.preparing import seeds_of
from dynamic_track.rehearsal.rehearsing import Rehearsed, run_folders
from dynamic_track.rehearsal.shared_verdicts import SharedVerdicts
from dynamic_track.rehearsal.standings import Standings, standings
from dynamic_track.running.runner import RunSummary
from dynamic_track.running.score import scored
from dynamic_track.running.trial import Trial
from twinbench.causes import Cause
from twinbench.errors import UsageError
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.store import Store

POOL = live_manifest()
TASKS = [f"task-{number:02}" for number in range(21)]


def trial(task: str, *, resolved: bool | None, cost_usd: str) -> Trial:
    cost = Decimal(cost_usd)
    return Trial(
        id=task,
        trial=1,
        resolved=resolved,
        cause=Cause.container if resolved is None else None,
        detail=None,
        exit_status="Submitted",
        steps=5,
        cost_usd=cost,
        spend_usd=cost,
        bill_usd=None if resolved is None else cost + (0 if resolved else POOL.unresolved_penalty_usd),
        usage={},
        models={POOL.candidates[0].id: 5},
        router_calls=0,
        router_usd=Decimal(0),
        router_errors=0,
        reported_usd=None,
    )


def runs(
    seeds: int, resolves: Callable[[str, int], bool | None], router: str = "mine", cost: str = "0.01"
) -> list[Rehearsed]:
    """A router's runs, by whether a task is resolved under a seed."""
    return [
        Rehearsed(
            router,
            str(seed),
            RunSummary("run", scored([trial(t, resolved=resolves(t, seed), cost_usd=cost) for t in TASKS], POOL)),
        )
        for seed in range(seeds)
    ]


def found(done: Sequence[Rehearsed]) -> Standings:
    return standings(done, POOL, Resampling(500))


def by_task(task: str, _seed: int) -> bool:
    return int(task[-2:]) % 3 > 0


def width(done: Sequence[Rehearsed]) -> float:
    [one] = found(done).routers
    assert one.intervals is not None
    ends = one.intervals["bill_usd"]
    assert ends is not None
    return ends[1] - ends[0]


def test_more_seeds_of_tasks_that_always_end_alike_say_no_more() -> None:
    assert width(runs(20, by_task)) == pytest.approx(width(runs(1, by_task)), rel=1e-6)


def test_more_seeds_of_tasks_that_end_by_luck_say_more() -> None:
    draw = random.Random(1)  # noqa: S311 - no secret
    assert width(runs(20, lambda *_: draw.random() < 0.67)) < 0.5 * width(runs(1, by_task))


def test_money_is_of_one_run_of_all_tasks_averaged_over_seeds() -> None:
    [one] = found(runs(4, lambda _, seed: seed > 0)).routers
    assert one.scores == {
        "bill_usd": pytest.approx(0.21 + 0.25 * 21 * 0.6),
        "cost_usd": pytest.approx(0.21),
        "penalty_usd": pytest.approx(0.25 * 21 * 0.6),
        "resolved": pytest.approx(75),
        "avg_steps": 5,
    }
    assert (one.tasks, one.seeds, one.rank) == (21, 4, (1, 1))
    assert one.intervals is not None
    low, high = one.intervals["bill_usd"] or (0, 0)
    assert low <= one.scores["bill_usd"] <= high  # type: ignore[operator]


def test_routers_are_told_apart_by_tasks_and_not_by_seeds() -> None:
    good = runs(20, lambda *_: True, "good")
    bad = runs(20, lambda task, _: task > "task-14", "bad")
    one_task = runs(20, lambda task, _: task > "task-00", "one task")
    told = found([*good, *bad, *one_task])
    assert [(each.router, each.rank) for each in told.routers] == [
        ("good", (1, 2)),
        ("bad", (3, 3)),
        ("one task", (1, 2)),
    ]
    [pair] = [each for each in told.pairs if (each.first, each.second) == ("good", "one task")]
    assert pair.bill.difference_usd == pytest.approx(-0.6)
    assert (pair.bill.p or 0) > 0.5, "twenty seeds of one task are one task"
    bill = told.pairs[0].to_json()["bill_usd"]
    assert 0 < bill["p"] <= bill["p_holm"] < 0.05


def test_cases_without_a_verdict_are_in_no_comparison() -> None:
    lost = runs(3, lambda task, seed: None if (task, seed) == ("task-00", 0) else True, "lost")
    whole = runs(3, lambda *_: True, "whole")
    told = found([*lost, *whole])
    assert told.pairs[0].bill.difference_usd == pytest.approx(0)
    assert told.routers[0].to_json()["counts"] == {"resolved": 62, "unresolved": 0, "infra": 1, "cap": 0}


def test_without_resamples_there_are_scores_alone() -> None:
    told = standings(runs(2, by_task), POOL, None)
    assert told.routers[0].to_json()["intervals"] is None
    assert told.routers[0].rank is None
    assert not told.pairs
    few = [
        replace(run, summary=replace(run.summary, score=scored(run.summary.trials[:3], POOL)))
        for run in runs(2, by_task)
    ]
    assert "3" in (found(few).routers[0].no_interval or "")


def test_seeds_are_a_number_or_named() -> None:
    assert seeds_of("0", None) == ("0",)
    assert seeds_of("any text", None) == ("any text",)
    assert seeds_of("0", "3") == ("0", "1", "2")
    assert seeds_of("0", "5,7") == ("5", "7")
    assert seeds_of("0", "7,") == ("7",)
    for wrong in ("", "0", "x", "5,5", "5,05", "-1", "1.5", ","):
        with pytest.raises(UsageError, match="--seeds"):
            seeds_of("0", wrong)
    with pytest.raises(UsageError, match="one of the two"):
        seeds_of("1", "3")


def test_every_router_has_a_folder_of_its_own() -> None:
    specs = ["always-mid_high", "depth-rule?mid=8&high=9", "a/mine.py:Mine", "b/mine.py:Mine", "verdicts", "…"]
    assert run_folders(specs) == [
        "always-mid_high",
        "depth-rule-mid-8-high-9",
        "mine.py-Mine",
        "mine.py-Mine-2",
        "verdicts-2",
        "router",
    ]


def test_a_patch_that_two_runs_submit_is_graded_once_and_kept_in_both(tmp_path: Path) -> None:
    beside = VerdictStore(Store(tmp_path))
    first, second = (SharedVerdicts(Store(tmp_path / name), beside) for name in ("one", "two"))
    assert second.find("f" * 64) is None
    first.keep("f" * 64, {"resolved": True}, "two passed", first.times_kept("f" * 64))
    content, log = second.find("f" * 64) or ({}, tmp_path)
    assert content == {"resolved": True}
    assert log.is_relative_to(tmp_path / "two")
    assert VerdictStore(Store(tmp_path / "two")).find("f" * 64) is not None, "the run's directory stands alone"
    second.keep("f" * 64, {"resolved": False}, "graded again", second.times_kept("f" * 64))
    assert (second.find("f" * 64) or ({},))[0] == {"resolved": False}
    (tmp_path / "verdicts" / ("f" * 64) / "test_output.txt.gz").write_bytes(b"no gzip")
    assert SharedVerdicts(Store(tmp_path / "three"), beside).find("f" * 64) is None, "what is damaged is graded again"
