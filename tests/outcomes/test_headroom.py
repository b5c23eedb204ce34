"""What routing could win: the public figures of the shipped table, and policies against plain Python."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import twinbench as tb
from tests.banks import write_jsonl
from tests.cli.commands import twinbench
from tests.examples import examples
from tests.outcomes.tables import INFO, POOL, SHIPPED, TIERS, World, a_grid, grid_of, outcome, write_csv
from tests.reports.pages import check
from twinbench.errors import UsageError
from twinbench.outcomes.foreseen import make_forecast
from twinbench.outcomes.headroom import compute_headroom
from twinbench.outcomes.policies import cascade_policy, constant_policy, mixed_policy, oracle_policy, upper_hull
from twinbench.outcomes.wording import headroom_notes
from twinbench.statistics import Resampling
from twinbench.storage.store import STORE_VARIABLE, Store

QUICK = Resampling(200)


def test_one_command_gives_the_public_figures() -> None:
    found = twinbench("outcomes", "headroom", SHIPPED, *TIERS, "--json").succeeded().json
    assert [each["resolved"] for each in found["models"]] == [358, 378, 373, 384]
    assert (found["tasks"], [each["model"] for each in found["models"]]) == (500, list(POOL.values()))
    [heldout] = found["splits"]
    assert (heldout["name"], heldout["tasks"]) == ("heldout100", 100)
    assert [each["resolved"] for each in heldout["models"]] == [75, 75, 76, 77]
    assert [round(each["bill_usd"]) for each in heldout["models"]] == [31, 34, 56, 85]
    assert found["oracle"]["resolved"] == 425
    assert round(found["oracle"]["mean_cost_usd"], 3) == 0.156
    [low_high] = [each for each in found["inversions"]["pairs"] if (each["lower"], each["higher"]) == ("low", "high")]
    assert low_high["lower_only"] == 20
    assert found["saving"]["interval"][0] < found["saving"]["usd"] < found["saving"]["interval"][1]
    assert "another scaffold" in found["table"]["caveat"]


def test_the_part_of_a_split_has_the_same_figures_and_people_are_told_them() -> None:
    ran = twinbench("outcomes", "headroom", SHIPPED, *TIERS, "--split", "heldout100", "--resamples", "200").succeeded()
    for figure in ("75", "76", "77", "31.32", "33.67", "55.93", "84.87"):
        assert figure in ran.text
    assert "another scaffold" in ran.text
    assert "not a router" in ran.text


def rows(draw: Any, models: int, tasks: int) -> list[list[tuple[bool | None, float | None]]]:
    cell = st.tuples(st.sampled_from([True, False, None]), st.sampled_from([None, 0.1, 0.2, 0.5, 1.0]))
    return [[draw(cell) for _ in range(tasks)] for _ in range(models)]


@st.composite
def tables(draw: Any) -> list[list[tuple[bool | None, float | None]]]:
    return rows(draw, draw(st.integers(2, 4)), draw(st.integers(1, 6)))


def as_grid(table: list[list[tuple[bool | None, float | None]]]) -> Any:
    solved = np.array([[math.nan if each is None else float(each) for each, _ in row] for row in table])
    cost = np.array([[math.nan if each is None else each for _, each in row] for row in table])
    return grid_of(solved, cost)


@examples(60, 500)
@given(tables())
def test_the_choice_in_hindsight_is_the_cheapest_known_solver(table: Any) -> None:
    found = oracle_policy(as_grid(table))
    for task, outcomes in enumerate(zip(*table, strict=True)):
        solvers = [each for each in outcomes if each[0] is True]
        wanted = solvers or list(outcomes)
        priced = [cost for _, cost in wanted if cost is not None]
        assert found.cost_usd[task] == pytest.approx(min(priced)) if priced else math.isnan(found.cost_usd[task])
        if solvers:
            assert found.solved[task] == 1
        elif all(each[0] is False for each in outcomes):
            assert found.solved[task] == 0


@examples(60, 500)
@given(tables(), st.sampled_from([0.0, 0.7, 1.0]), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_cascade_is_the_mean_of_all_that_its_verifier_may_say(
    table: Any, sensitivity: float, specificity: float
) -> None:
    grid = as_grid(table)
    found = cascade_policy(grid, "c", sensitivity, specificity)
    last = len(table) - 1
    for task, outcomes in enumerate(zip(*table, strict=True)):
        if any(verdict is None or cost is None for verdict, cost in outcomes):
            continue
        solved = cost_usd = 0.0
        for says in itertools.product([True, False], repeat=last):
            chance, spent, right = 1.0, 0.0, False
            for tier, (verdict, cost) in enumerate(outcomes):
                spent, right = spent + float(cost), bool(verdict)
                if tier == last:
                    break
                accepts = sensitivity if verdict else 1 - specificity
                chance *= accepts if says[tier] else 1 - accepts
                if says[tier]:
                    chance /= 2 ** (last - tier - 1)  # what is said of tiers that are not tried does not matter
                    break
            solved, cost_usd = solved + chance * right, cost_usd + chance * spent
        assert found.solved[task] == pytest.approx(solved)
        assert found.cost_usd[task] == pytest.approx(cost_usd)


def test_what_a_policy_does_not_need_may_be_unknown() -> None:
    grid = as_grid([[(True, 0.1), (None, 0.1)], [(None, None), (True, 1.0)]])
    assert cascade_policy(grid, "c").solved.tolist()[0] == 1
    assert math.isnan(cascade_policy(grid, "c").solved[1])
    assert mixed_policy(grid, [1, 0], "m").solved.tolist()[0] == 1
    assert math.isnan(mixed_policy(grid, [0.5, 0.5], "m").solved[0])
    assert constant_policy(grid, 1, "high").known_mask.tolist() == [False, True]
    assert oracle_policy(grid).solved.tolist() == [1, 1]


@examples(100, 1000)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8))
def test_no_mix_of_two_points_beats_the_hull(points: list[tuple[int, int]]) -> None:
    plain = [(float(x), float(y)) for x, y in points]
    corners = [plain[place] for place in upper_hull(plain)]
    assert corners == sorted(set(corners))
    xs, ys = zip(*corners, strict=True)
    for x, y in plain:
        assert y <= np.interp(x, xs, ys) + 1e-9


def test_kinds_of_tasks_inversions_and_penalties_are_counted() -> None:
    verdicts = {"easy": (1, 1), "hard": (0, 1), "odd": (1, 0), "hopeless": (0, 0), "open": (0, "")}
    made = [
        outcome(model, f"{name}-{number}", each[place], 0.1 + 0.9 * place)
        for name, each in verdicts.items()
        for number in range(2)
        for place, model in enumerate("ab")
    ]
    found = compute_headroom(a_grid(made), INFO, {"low": "a", "high": "b"}, penalty_usd=0.6, resampling=None)
    assert found.kinds == {"solved_by_all": 2, "contested": 4, "hopeless": 2, "unknown": 2}
    [pair] = found.inversions.pairs
    assert (pair["lower_only"], pair["higher_only"], found.inversions.tasks, found.inversions.known) == (2, 2, 2, 8)
    assert {each["tier"] for each in found.best_single} == {"low"}
    assert found.saving.against == "low"
    # To solve the hard ones costs more than low and a penalty do, so no router saves anything at this penalty.
    assert found.saving.usd == 0
    dear = compute_headroom(a_grid(made), INFO, {"low": "a", "high": "b"}, penalty_usd=2, resampling=None)
    assert dear.saving.usd == pytest.approx(2 * (0.1 + 2 - 1.0))
    bills = [each.bill_usd for each in (found.oracle, *found.of_kind("bound"))]
    assert bills == sorted(filter(None, bills), reverse=True)
    assert bills[0] != bills[1]


def test_workloads_of_one_file_are_shown_apart(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    made = [
        outcome(model, f"t-{number}", int(model == "b"), 1, workload=workload)
        for model in "ab"
        for workload in ("one", "two")
        for number in range(8)
    ]
    twinbench("outcomes", "import", write_csv(tmp_path / "two.csv", made), "--name", "two").succeeded()
    two = ("outcomes", "headroom", "two", "--tiers", "low=a,high=b", "--resamples", "100")
    assert [each["workload"] for each in twinbench(*two, "--json").succeeded().json["workloads"]] == ["one", "two"]
    assert twinbench(*two, "--workload", "two", "--json").succeeded().json["workload"] == "two"
    with pytest.raises(UsageError, match="several workloads: name one with --workload: one, two"):
        tb.headroom("two", {"low": "a", "high": "b"})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--tiers", "low=DeepSeek-V3.2-Reasoner"), "at least two of the tiers"),
        (("--tiers", "low=nobody,high=claude-opus-4-6"), "no model 'nobody'"),
        (("--tiers", "low=minimax-m2.7,high=claude-opus-4-6"), "did you mean 'MiniMax-M2.7'"),
        (("--tiers", "cheap=GLM-5,high=claude-opus-4-6"), "low, mid, mid_high, high"),
        (("--tiers", "low"), "give TIER=MODEL"),
        ((*TIERS, "--split", "nope"), "no named part of tasks 'nope'"),
        ((*TIERS, "--only", "nope*"), "matches no task"),
        ((*TIERS, "--workload", "nope"), "no workload 'nope'"),
        ((*TIERS, "--penalty-usd", "-1"), "the penalty is -1.0"),
        ((*TIERS, "--html", "no/such/page.html"), "--html no/such/page.html: no/such is not a folder"),
        ((*TIERS, "--sensitivity", "2"), "'--sensitivity': must be at most 1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(more: tuple[str, ...], said: str) -> None:
    ran = twinbench("outcomes", "headroom", SHIPPED, *more)
    assert ran.code == 2
    assert said in ran.err


def test_what_is_saved_is_of_tasks_that_are_known_of_every_tier() -> None:
    """A model that never tried a task is no reason to say that choosing it there saves nothing."""
    rows = [
        *(outcome("a", f"t-{number}", 1, 1.0) for number in range(4)),
        outcome("b", "t-0", 1, 0.25),
        outcome("b", "t-1", 1, ""),
        outcome("b", "t-2", "", 0.25),
    ]
    found = compute_headroom(a_grid(rows), INFO, {"low": "a", "high": "b"}, penalty_usd=0.6, resampling=None)
    assert (found.saving.against, found.saving.tasks, found.saving.usd) == ("high", 1, 0.0)
    cheap = [outcome("c", "t-0", 1, 0.5), outcome("c", "t-9", 1, 9.0), *rows]
    found = compute_headroom(a_grid(cheap), INFO, {"low": "a", "high": "c"}, penalty_usd=0.6, resampling=None)
    assert (found.saving.against, found.saving.tasks, found.saving.usd) == ("high", 1, 0.0)
    assert found.saving.share == 0


def test_tiers_without_a_common_task_have_no_saving_and_no_bill_of_nothing() -> None:
    rows = [outcome("a", "t-0", 1, 1.0), outcome("b", "t-1", 1, 2.0)]
    found = compute_headroom(a_grid(rows), INFO, {"low": "a", "high": "b"}, penalty_usd=0.6, resampling=None)
    assert (found.saving.usd, found.saving.tasks) == (None, 0)
    [lot] = [each for each in found.of_kind("mix") if each.policy.name == "any tier by lot"]
    assert (lot.resolved, lot.cost_usd, lot.bill_usd) == (None, None, None)
    told = headroom_notes(found)
    assert not [each for each in told if "a lower tier costs more" in each]
    turned = compute_headroom(a_grid(rows), INFO, {"low": "b", "high": "a"}, penalty_usd=0.6, resampling=None)
    assert "a lower tier costs more here than a higher one, and a cascade begins with" in "".join(
        headroom_notes(turned)
    )
    assert told[0].startswith("what a model chosen for each task could save is not known: no task has a verdict and")
    with pytest.raises(UsageError, match="no verdict and cost of every tier on any of the cases"):
        make_forecast(a_grid(rows), INFO, {"low": "a", "high": "b"}, ["t-0", "t-1"], penalty_usd=0.6)


def test_a_model_may_have_a_comma_in_its_name(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    rows = write_jsonl(tmp_path / "rows.jsonl", [outcome("a, b", "t"), outcome("x=y", "t", cost=2)])
    twinbench("outcomes", "import", rows, "--name", "comma").succeeded()
    ran = twinbench("outcomes", "headroom", "comma", "--tiers", "low=a, b,high=x=y", "--json").succeeded()
    assert [each["model"] for each in ran.json["models"]] == ["a, b", "x=y"]


def test_a_page_has_the_figures_the_plot_with_its_hull_and_the_command(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    options = ("--resamples", "200", "--sensitivity", "0.9", "--html", target)
    ran = twinbench("outcomes", "headroom", SHIPPED, *TIERS, *options).succeeded()
    assert "opens offline" in ran.err
    page = check(target.read_text("utf-8"))
    for word in ("425", "0.156", "another scaffold", "MIT", "hull of the single models", "84.87"):
        assert word in page.text, word
    assert "--sensitivity 0.9" in page.text
    assert [text for level, text in page.headings if level == 2][:4] == [
        "Policies",
        "Cost against resolved",
        "The order of tiers",
        "Penalties",
    ]
    again = tmp_path / "again.html"
    twinbench("outcomes", "headroom", SHIPPED, *TIERS, *options[:-1], again).succeeded()
    assert again.read_text("utf-8").replace("again.html", "page.html") == target.read_text("utf-8")


def test_the_library_gives_the_same_as_a_frame() -> None:
    found = tb.headroom(SHIPPED, POOL, resampling=QUICK)
    frame = found.df("pandas")
    assert list(frame["resolved"])[:4] == [358, 378, 373, 384]
    assert found.oracle.resolved == 425
    assert found.to_dict()["saving"]["against"] == "low"


def test_intervals_of_the_saving_hold_the_truth_on_simulated_tables() -> None:
    """A small version of ``tests/simulations/test_outcomes.py``."""
    world, random = World((-0.3, 0.8), (0.1, 0.9)), np.random.default_rng(7)
    whole = compute_headroom(
        world.draw(random, 40_000), INFO, {"low": "m-0", "high": "m-1"}, penalty_usd=0.6, resampling=None
    )
    assert whole.saving.usd is not None
    truth = whole.saving.usd / whole.saving.tasks
    held = 0
    for seed in range(60):
        drawn = world.draw(random, 100)
        found = compute_headroom(
            drawn, INFO, {"low": "m-0", "high": "m-1"}, penalty_usd=0.6, resampling=Resampling(200, seed=seed)
        )
        assert found.saving.interval is not None
        held += found.saving.interval[0] <= 100 * truth <= found.saving.interval[1]
    assert held >= 50, "far from 95 %"
