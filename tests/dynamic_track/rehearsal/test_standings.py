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
        first_router_error=None,
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


def failing(router: str, *, cases: int = len(TASKS)) -> list[Rehearsed]:
    """The run of a router that raises at the first step of so many tasks, and solves the others."""
    trials = [trial(task, resolved=number >= cases, cost_usd="0.01") for number, task in enumerate(TASKS)]
    told = "step 1: oops"
    ended = [
        replace(each, cause=Cause.router, detail=told, steps=0, router_errors=1, first_router_error=told)
        if number < cases
        else each
        for number, each in enumerate(trials)
    ]
    return [Rehearsed(router, "0", RunSummary("run", scored(ended, POOL)))]


def test_a_router_that_fails_in_every_case_has_a_bill_and_no_rank_and_is_in_no_test() -> None:
    not_loaded = [Rehearsed("no router", "0", RunSummary("run", scored([], POOL, not_loaded="it has no route")))]
    routers = [*runs(1, by_task, "good"), *failing("broken"), *failing("shaky", cases=20), *not_loaded]
    told = found(routers)
    good, broken, shaky, nothing = told.routers
    assert [(each.failure, each.rank is None) for each in told.routers] == [
        (None, False),
        ("failed in every case", True),
        (None, False),
        ("could not be loaded", True),
    ]
    assert [(each.first, each.second) for each in told.pairs] == [("good", "shaky")]
    assert (good.rank, shaky.rank) == ((1, 1), (2, 2))
    [note] = broken.failure_notes
    assert note.startswith("broken: failed in every case; its bill is 12.8100 USD, without a rank")
    assert note.endswith("21 router failures, the first: task-00, step 1: oops")
    assert shaky.failure_notes == ["shaky: 20 router failures, the first: task-00, step 1: oops"]
    assert nothing.failure_notes == ["it has no route; no case was run"]
    content = broken.to_json()
    assert (content["router_failure"], content["router_errors"]) == ("failed in every case", 21)
    assert content["first_router_error"] == "task-00, step 1: oops"


def test_where_another_model_answers_a_router_failed_that_decided_nothing_itself() -> None:
    one = trial("task-00", resolved=True, cost_usd="0.01")
    assert not replace(one, router_errors=4, first_router_error="step 1: x").router_failed
    assert replace(one, router_errors=5, first_router_error="step 1: x").router_failed
    lost = trial("task-01", resolved=None, cost_usd="0.01")
    assert scored([replace(one, router_errors=5), lost], POOL).router_failure is not None, "a lost case tells nothing"
    assert scored([lost], POOL).router_failure is None


def test_how_an_agent_ended_that_did_not_submit_is_told() -> None:
    ended = replace(trial("task-00", resolved=False, cost_usd="0.01"), cause=Cause.empty, exit_status="LimitsExceeded")
    odd = replace(ended, id="task-01", exit_status="RepeatedFormatError")
    by_cause = replace(ended, id="task-02", cause=Cause.transport, exit_status="transport", resolved=None)
    score = scored([ended, odd, odd, by_cause, trial("task-03", resolved=True, cost_usd="0.01")], POOL)
    assert score.agent_ends == {"LimitsExceeded": 1, "RepeatedFormatError": 2}
    [note] = score.failure_notes("mine")
    assert note.startswith("mine: the agent ended without submitting in 3 cases: 1 by LimitsExceeded (")


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
    specs = {
        "always-mid_high": "always-mid_high",
        "depth-rule?mid=8&high=9": "depth-rule-mid-8-high-9",
        "a/mine.py:Mine": "mine.py-Mine",
        "b/mine.py:Mine": "mine.py-Mine-2",
        "a/mine.py:Mine?table=/data/b/table.json": "mine.py-Mine-table-data-b-table.json",
        "http://localhost:8000/route?key=a/b": "http-localhost-8000-route-key-a-b",
        "verdicts": "verdicts-2",
        "…": "router",
    }
    assert run_folders(list(specs)) == list(specs.values())


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
