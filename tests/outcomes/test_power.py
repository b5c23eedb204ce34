"""What an experiment could find: exact power against simulation and scipy, ranks, noise, pilots, texts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar

import twinbench as tb
from tests.cli.commands import twinbench
from tests.outcomes.tables import INFO, POOL, SHIPPED, World, a_grid, grid_of, outcome, write_csv
from twinbench.errors import UsageError
from twinbench.outcomes.noise import agreement_between_tables
from twinbench.outcomes.pilot import choose_pilot, choose_tasks, rank_agreement
from twinbench.outcomes.power import Plan, compute_power
from twinbench.outcomes.predictability import default_group, group_texts, measure_predictability
from twinbench.outcomes.wording import power_notes
from twinbench.statistics import Resampling
from twinbench.statistics.auc import stratified_auc
from twinbench.statistics.comparing import sign_test
from twinbench.statistics.planning import detectable_difference, needed_tasks, sign_test_p_values, sign_test_power
from twinbench.storage.store import STORE_VARIABLE, Store

MODELS = ("--models", ",".join(POOL.values()))
QUICK = Resampling(300)


def exact_power(tasks: int, differing: float, difference: float) -> float:
    """By scipy, over every count."""
    total = 0.0
    for coins in range(1, tasks + 1):
        ahead = (1 + difference / differing) / 2
        found = [k for k in range(coins + 1) if sign_test(k, coins - k) <= 0.05]
        total += float(binom.pmf(coins, tasks, differing)) * float(binom.pmf(found, coins, ahead).sum())
    return total


@pytest.mark.parametrize(("tasks", "differing", "difference"), [(30, 0.4, 0.3), (60, 0.2, 0.1), (100, 0.15, 0.12)])
def test_power_is_exact(tasks: int, differing: float, difference: float) -> None:
    assert sign_test_power(tasks, differing, difference) == pytest.approx(
        exact_power(tasks, differing, difference), abs=1e-6
    )


def test_what_is_detectable_is_found_with_the_stated_power_in_simulated_comparisons() -> None:
    """A small version of ``tests/simulations/test_outcomes.py``."""
    tasks, differing = 100, 0.2
    difference = detectable_difference(tasks, differing)
    assert difference is not None
    random, found = np.random.default_rng(1), 0
    for _ in range(1000):
        split = random.multinomial(tasks, [(differing + difference) / 2, (differing - difference) / 2, 1 - differing])
        found += sign_test(int(split[0]), int(split[1])) <= 0.05
    assert found / 1000 == pytest.approx(0.8, abs=0.04)
    needed = needed_tasks(difference, differing)
    assert needed is not None
    assert abs(needed - tasks) <= 6, "power has steps"
    assert detectable_difference(5, 0.5) is None
    assert needed_tasks(0, 0.2) is None


def test_many_sign_tests_are_those_of_one() -> None:
    plus, minus = np.random.default_rng(0).integers(0, 60, (2, 50))
    assert sign_test_p_values(plus, minus) == pytest.approx(
        [sign_test(int(a), int(b)) for a, b in zip(plus, minus, strict=True)]
    )


def test_pairs_of_the_shipped_table_are_those_of_statsmodels() -> None:
    found = tb.outcomes_power(SHIPPED, list(POOL.values()), tasks=100, resampling=QUICK)
    grid = tb.open_outcomes(SHIPPED).outcomes.grid().select_models(list(POOL.values()))
    for pair in found.pairs:
        first, second = (grid.solved[grid.models.index(name)] for name in (pair.first, pair.second))
        known = np.isfinite(first) & np.isfinite(second)
        table = [[int((known & (first == a) & (second == b)).sum()) for b in (1, 0)] for a in (1, 0)]
        assert pair.p == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert pair.tasks == known.sum()
    # A hundred tasks cannot tell the four apart by what they resolve; by their cost a few dozen can.
    assert found.detectable is not None
    assert found.detectable > 10 > max(abs(pair.difference or 0.0) for pair in found.pairs)
    assert all(pair.cost["needed_tasks"] < 100 for pair in found.pairs if POOL["high"] in (pair.first, pair.second))


def test_all_models_of_the_table_are_ranked_and_people_are_told() -> None:
    ran = twinbench("outcomes", "power", SHIPPED, "--json", "--resamples", "0").succeeded().json
    assert (len(ran["models"]), ran["all_pairs"], ran["pairs"]) == (34, 561, [])
    ranks = {each["model"]: each["rank"] for each in ran["models"]}
    assert ranks["claude-fable-5"] == [1, 1]
    low, high = ranks[POOL["high"]]
    assert low <= 4 < 20 < high, "models of the pool are in one crowd"
    assert [each["group"] for each in ran["models"]] == sorted(each["group"] for each in ran["models"])
    told = twinbench("outcomes", "power", SHIPPED, *MODELS, "--tasks", "100", "--resamples", "200").succeeded().text
    for said in ("100 tasks detect a difference of 10.4 points or more", "another scaffold", "bill of a task"):
        assert said in told


def test_trials_are_compared_by_resampling_and_their_noise_is_told() -> None:
    random = np.random.default_rng(2)
    rows = [
        outcome(model, f"t-{task}", int(random.random() < chance), 1, trial=trial)
        for model, chance in (("good", 0.9), ("bad", 0.2))
        for task in range(30)
        for trial in range(3)
    ]
    found = compute_power(a_grid(rows), INFO, Plan(30, 10), penalty_usd=0.6, resampling=QUICK)
    assert [each.model for each in found.models] == ["good", "bad"]
    assert found.pairs[0].p is not None
    assert found.pairs[0].p < 0.001
    with pytest.raises(UsageError, match="a comparison needs at least two models"):
        compute_power(a_grid(rows).select_models(["good"]), INFO, Plan(30, 10), penalty_usd=0.6, resampling=QUICK)


def test_agreement_of_trials_and_of_two_tables(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    rows = [outcome("a", f"t-{task}", int(task < 8 or trial), 1, trial=trial) for task in range(10) for trial in (0, 1)]
    rows += [outcome("b", f"t-{task}", 1, 1, trial=0) for task in range(10)]
    twinbench("outcomes", "import", write_csv(tmp_path / "one.csv", rows), "--name", "one").succeeded()
    other = [outcome("A2", f"t-{task}", int(task > 0), 1) for task in range(10)]
    twinbench("outcomes", "import", write_csv(tmp_path / "two.csv", other), "--name", "two").succeeded()
    command = ("outcomes", "power", "one", "--against", "two", "--same", "b=A2", "--resamples", "200")
    found = twinbench(*command, "--json").succeeded().json["agreement"]
    assert [(each["model"], each["other"], each["tasks"], each["share"]) for each in found] == [
        ("a", "a", 10, 80.0),
        ("b", "A2", 10, 90.0),
    ]
    assert all(each["interval"][0] < each["share"] < each["interval"][1] for each in found)
    assert "two trials of a agree on 80.0 %" in twinbench(*command).text
    nothing = agreement_between_tables(grid_of(np.array([[1.0]])), grid_of(np.array([[math.nan]])), {}, None)
    assert [(each.tasks, each.share) for each in nothing] == [(0, None)]


def test_a_pilot_beats_random_tasks_on_models_left_out_of_a_simulated_world() -> None:
    """A small version of ``tests/simulations/test_outcomes.py``."""
    world, random = World(tuple(np.linspace(-1, 1, 30))), np.random.default_rng(5)
    ahead = 0.0
    for seed in range(4):
        found = choose_pilot(world.draw(random, 200), 20, seed)
        assert found.agreement is not None
        assert found.random_agreement is not None
        ahead += found.agreement - found.random_agreement
    assert ahead > 0


def test_a_pilot_is_seeded_nested_and_honest_about_few_models() -> None:
    grid = tb.open_outcomes(SHIPPED).outcomes.grid()
    one, again, more = choose_pilot(grid, 10, 3), choose_pilot(grid, 10, 3), choose_pilot(grid, 20, 3)
    assert one == again
    assert list(more.tasks[:10]) == list(one.tasks)
    assert len(set(more.tasks)) == 20
    few = choose_pilot(grid.select_models(list(POOL.values())), 10)
    assert few.agreement is None
    told = (
        twinbench("outcomes", "power", SHIPPED, *MODELS, "--pilot", "50", "--resamples", "0", "--json").succeeded().json
    )
    assert told["pilot"]["models"] == 34, "all models of the table take part"
    assert told["pilot"]["agreement"] > told["pilot"]["random_between"][1]
    for size in (0, 500):
        with pytest.raises(UsageError, match="must be less than"):
            choose_pilot(grid, size)


def test_tasks_that_tell_models_apart_come_first_and_others_fill_up() -> None:
    solved = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]], float)
    assert sorted(choose_tasks(solved, 2).tolist()) == [1, 3]
    assert choose_tasks(solved, 4).tolist()[2:] == [0, 2]
    every = np.ones(3, bool)
    assert rank_agreement(np.arange(3.0), np.arange(3.0), every) == 1
    assert rank_agreement(np.arange(3.0), -np.arange(3.0), every) == -1


def test_a_text_that_tells_the_verdict_is_found_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    solved = random.integers(0, 2, (1, 200)).astype(float)
    grid = grid_of(np.vstack([solved, random.integers(0, 2, (1, 200))]))
    words = ["trivial typo", "deadlock race"]
    texts = {
        name: f"{words[0] if solved[0, place] else words[1]} in module {random.integers(50)}"
        for place, name in enumerate(grid.tasks)
    }
    groups = {name: f"repo-{place % 7}" for place, name in enumerate(grid.tasks)}
    telling, silent = measure_predictability(grid, group_texts(texts, groups))
    assert telling.auc == pytest.approx(1.0)
    assert silent.interval is not None
    assert silent.interval[0] < 0.5, "no better than chance"
    with pytest.raises(UsageError, match="at least 50 are needed"):
        measure_predictability(grid, group_texts(dict(list(texts.items())[:10])))
    with pytest.raises(UsageError, match="all tasks with a text are in one group"):
        measure_predictability(grid, group_texts(texts, dict.fromkeys(texts, "one")))
    assert default_group("django__django-12345") == "django__django"
    wrong = tmp_path / "tasks.jsonl"
    wrong.write_text(json.dumps({"instance_id": "t-0000"}) + "\n", "utf-8")
    ran = twinbench("outcomes", "power", SHIPPED, *MODELS, "--text", wrong)
    assert (ran.code, "line 1: has no text in any of problem_statement" in ran.err) == (1, True)


def test_the_auc_is_that_of_all_pairs_within_strata() -> None:
    random = np.random.default_rng(4)
    scores, truth, strata = (
        random.integers(0, 6, 80).astype(float),
        random.integers(0, 2, 80),
        random.integers(0, 3, 80),
    )
    pairs = [
        (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
        for i in range(80)
        for j in range(80)
        if truth[i] == 1 and truth[j] == 0 and strata[i] == strata[j]
    ]
    found = stratified_auc(scores, truth, strata)
    assert found is not None
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.pairs == len(pairs)
    assert stratified_auc(scores, np.ones(80, np.intp), strata) is None


@pytest.mark.acceptance
def test_the_issue_s_text_predicts_next_to_nothing(shared: Path) -> None:
    """AUCs of the four models of the pool, with all of a repository on one side."""
    text = shared / "tasks" / "swebench_verified.jsonl.gz"
    found = tb.outcomes_power(SHIPPED, list(POOL.values()), text=text, resampling=None)
    assert [each.model for each in found.text] == list(POOL.values())
    for each in found.text:
        assert each.auc is not None
        assert each.interval is not None
        assert 0.48 < each.auc < 0.6
        assert each.interval[0] < 0.53


def test_models_without_a_common_verdict_are_not_called_equal() -> None:
    rows = [outcome("a", "t-0"), outcome("b", "t-1"), outcome("c", "t-0", "")]
    found = compute_power(a_grid(rows), INFO, Plan(10, 5), penalty_usd=0.6, resampling=None)
    assert [(pair.tasks, pair.difference, pair.p_holm) for pair in found.pairs] == [(0, None, None)] * 3
    assert {each.model: each.resolved for each in found.models} == {"a": 1, "b": 1, "c": None}
    assert "a less b: not known, since no task has a verdict of both" in power_notes(found)


def test_workloads_in_which_nothing_can_be_compared_are_left_out(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    rows = [outcome("a", "t", benchmark="one"), outcome("b", "t", benchmark="one"), outcome("a", "t", benchmark="two")]
    twinbench("outcomes", "import", write_csv(tmp_path / "r.csv", rows), "--name", "r").succeeded()
    assert twinbench("outcomes", "power", "r", "--json").succeeded().json["workload"] == "one"
    apart = twinbench("outcomes", "power", "r", "--models", "b,c")
    assert (apart.code, "no workload of the table has all of b, c; there are one, two" in apart.err) == (2, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--models", "nobody,GLM-5"), "no model 'nobody'"),
        (("--models", "GLM-5,GLM-5"), "named twice"),
        (("--power", "1"), "give a chance between 0 and 1"),
        (("--difference", "0"), "points from 0 to 100"),
        (("--against", "nothing"), "no table of outcomes 'nothing'"),
        (("--same", "x"), "give MODEL=MODEL"),
        (("--level", "2"), "must be between"),
    ],
)
def test_what_makes_no_sense_is_refused(more: tuple[str, ...], said: str) -> None:
    ran = twinbench("outcomes", "power", SHIPPED, *more)
    assert ran.code == 2
    assert said in ran.err
