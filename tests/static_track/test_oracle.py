"""The oracle itself: it agrees with every vector of the released scorer, and with enumeration where it is clever."""

import itertools
import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import oracle, strategies
from tests.comparing import assert_agree
from tests.examples import examples

SHARED = Path(__file__).resolve().parents[3] / "shared"
VECTORS = SHARED / "vectors" / "static"
ABSENT = f"the protocol's vectors are not at {VECTORS}"

# Vectors made earlier lack these, and the block `further`.
LATER_KEYS = {
    "assumed_completion_tokens_per_routing_step",
    "baseline_tier",
    "baseline_nominal_cost_per_step_usd",
    "cost_formula",
}

needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=ABSENT)


def prediction_sets(name: str) -> list[str]:
    """The names of a bank's prediction files."""
    paths = sorted((VECTORS / name).glob("predictions.*.jsonl"))
    return [path.name.removeprefix("predictions.").removesuffix(".jsonl") for path in paths]


FILES = ("*/expected.json", "*/predictions.*.jsonl")
BANKS = sorted({path.parent.name for pattern in FILES for path in VECTORS.glob(pattern)})


@cache
def bank(name: str) -> list[oracle.Row]:
    beside = VECTORS / name / "question_bank.jsonl"
    return oracle.read_jsonl(beside if beside.exists() else SHARED / "banks" / name / "question_bank.jsonl.gz")


LARGE = "swemini_g3p_dev"
"""It takes longer than all others together; acceptance scores it."""


# One test a bank: to count its tokens, which every worker would do again, takes longer than all its scores.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.acceptance) if name == LARGE else name for name in BANKS]
    or [pytest.param("none", marks=pytest.mark.skip(reason=ABSENT))],
)
def test_oracle_gives_the_scores_of_the_vectors(name: str) -> None:
    expected = json.loads((VECTORS / name / "expected.json").read_text(encoding="utf-8"))
    assert set(prediction_sets(name)) == set(expected)
    for prediction_set, wanted in expected.items():
        predictions = oracle.read_predictions(VECTORS / name / f"predictions.{prediction_set}.jsonl")
        assert_agree({prediction_set: scored_blocks(bank(name), predictions, like=wanted)}, {prediction_set: wanted})


def scored_blocks(rows: list[oracle.Row], predictions: Any, *, like: dict[str, Any]) -> dict[str, Any]:
    """What a vector holds of a score."""
    scored = oracle.score(rows, predictions)
    blocks: dict[str, Any] = {key: scored[key] for key in ("scores_v2", "router_accounting", "section_11")}
    if "further" in like:
        hit_rates = {workload: block["high_tier_hit_rate"] for workload, block in scored["by_workload"].items()}
        blocks["further"] = {key: scored[key] for key in ("confusion", "error_pattern", "ablation")}
        blocks["further"]["high_tier_hit_rate"] = hit_rates
    else:
        blocks["section_11"] = {key: value for key, value in scored["section_11"].items() if key not in LATER_KEYS}
    return blocks


@needs_vectors
def test_constants_are_those_of_the_protocol() -> None:
    published = json.loads((SHARED / "protocol" / "constants.json").read_text(encoding="utf-8"))
    assert {name: published[name] for name in oracle.CONSTANTS} == oracle.CONSTANTS
    assert tuple(published["tiers"]) == oracle.TIERS


@needs_vectors
def test_cost_optimal_beats_the_labels_on_plain_as_the_protocol_says() -> None:
    rows = bank("plain")
    optimal = oracle.score(rows, oracle.cost_optimal(rows))["scores"]
    labels = oracle.score(rows, oracle.labels(rows))["scores"]
    assert (round(optimal["cost_save"], 2), optimal["row_pass"], optimal["traj_pass"]) == (46.30, 100, 100)
    assert (round(labels["cost_save"], 2), labels["row_exact"], labels["traj_pass"]) == (39.99, 100, 100)


@examples(8, 30)
@given(strategies.banks(max_trajectories=1, max_rows=4))
def test_cost_optimal_is_the_cheapest_of_all_assignments_that_pass(rows: list[oracle.Row]) -> None:
    (trajectory,) = oracle.trajectories(rows, oracle.labels(rows))
    passing = itertools.product(*(range(target, 4) for target in trajectory.targets))
    cheapest = min(sum(trajectory.path_costs(path), Fraction(0)) for path in passing)
    assert sum(trajectory.path_costs(oracle.cheapest_path(trajectory)), Fraction(0)) == cheapest


@examples(30, 100)
@given(st.data())
def test_row_order_changes_no_score(data: st.DataObject) -> None:
    rows = data.draw(strategies.banks())
    predictions = data.draw(strategies.predictions(rows))
    assert oracle.score(data.draw(strategies.scrambled(rows)), predictions) == oracle.score(rows, predictions)


@examples(50, 200)
@given(st.data())
def test_prefix_comparison_overlooks_spelling_and_sees_edits(data: st.DataObject) -> None:
    message = data.draw(strategies.messages())
    assert oracle.is_semantic_prefix([message], [data.draw(strategies.restyled(message))])
    assert not oracle.is_semantic_prefix([message], [data.draw(strategies.edited(message))])


def bad_row(change: dict[str, Any]) -> list[oracle.Row]:
    row = {
        "id": "a",
        "benchmark": "bfcl",
        "instance_id": "i-1",
        "step_index": 1,
        "total_steps": 2,
        "messages": [{"role": "user", "content": "hi"}],
        "target_tier": "low",
        "target_tier_id": 0,
    }
    return [row, {**row, "id": "b", "step_index": 2, **change}]


@pytest.mark.parametrize(
    "change",
    [{"target_tier_id": 1}, {"id": "a"}, {"step_index": 1}, {"messages": [{"role": "user", "content": "\ud83d"}]}],
    ids=lambda change: next(iter(change)),
)
def test_a_bank_that_may_not_be_scored_is_refused_with_its_row(change: dict[str, Any]) -> None:
    rows = bad_row(change)
    with pytest.raises(ValueError, match=f"row '{rows[1]['id']}'"):
        oracle.score(rows, {})


@pytest.mark.parametrize("predictions", [{"nobody": 0}, {"a": 4}, {"a": -1}])
def test_predictions_outside_the_bank_or_its_tiers_are_refused(predictions: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="prediction"):
        oracle.score(bad_row({}), predictions)
