"""Every vector of the protocol, by the way that a user takes: import, score, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.banks.importing import import_bank
from static_track.evaluator import Evaluator
from tests.comparing import assert_agree
from tests.conftest import SHARED
from twinbench.storage.store import Store

VECTORS = SHARED / "vectors" / "static"
BANKS = sorted(path.parent.name for path in VECTORS.glob("*/expected.json"))
LARGEST = "swemini_g3p_dev"
"""It takes longer than all others together; acceptance scores it."""
ABSENT = pytest.param("none", marks=pytest.mark.skip(reason=f"the protocol's vectors are not at {VECTORS}"))

LEGACY = ("scores_v2", "router_accounting", "section_11")
# Vectors made earlier lack these.
LATER_KEYS = {
    "assumed_completion_tokens_per_routing_step",
    "baseline_tier",
    "baseline_nominal_cost_per_step_usd",
    "cost_formula",
}
REFERENCES = {
    "always-low": "low",
    "always-mid": "mid",
    "always-mid_high": "mid_high",
    "always-high": "high",
    "labels": "gold",
}
"""References that some prediction sets spell out."""


def blocks(entry: dict[str, Any], *, like: dict[str, Any]) -> dict[str, Any]:
    """What a vector holds of a score."""
    found = {name: dict(entry[name]) for name in LEGACY}
    assert found["router_accounting"].pop("fallback_output_tokens") == 500  # vectors do not hold it
    if "further" in like:
        hit_rates = {workload: block["high_tier_hit_rate"] for workload, block in entry["by_workload"].items()}
        further = {name: entry[name] for name in ("confusion", "error_pattern", "ablation")}
        return {**found, "further": {**further, "high_tier_hit_rate": hit_rates}}
    found["section_11"] = {key: value for key, value in found["section_11"].items() if key not in LATER_KEYS}
    return found


def bank_path(shared: Path, name: str) -> Path:
    beside = VECTORS / name / "question_bank.jsonl"
    return beside if beside.exists() else shared / "banks" / name / "question_bank.jsonl.gz"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.acceptance if name == LARGEST else ()) for name in BANKS] or [ABSENT],
)
def test_all_predictions_of_a_bank_score_as_the_vectors_say(name: str, shared: Path, store: Store) -> None:
    expected = json.loads((VECTORS / name / "expected.json").read_text("utf-8"))
    files = {f"predictions:{path}": path for path in sorted((VECTORS / name).glob("predictions.*.jsonl"))}
    import_bank(str(bank_path(shared, name)), name, store)

    with Bank.open(name, store) as bank:
        board = Evaluator(bank).board([], [str(path) for path in files.values()]).to_json(legacy=True)

    by_name = {entry["router"]: entry for entry in board["routers"]}
    prediction_sets = {path.name.split(".")[1]: by_name[spec] for spec, path in files.items()}
    assert set(prediction_sets) == set(expected)
    for prediction_set, wanted in expected.items():
        assert_agree({prediction_set: blocks(prediction_sets[prediction_set], like=wanted)}, {prediction_set: wanted})
    for reference, prediction_set in REFERENCES.items():
        if prediction_set in expected:
            assert_agree(blocks(by_name[reference], like=expected[prediction_set]), expected[prediction_set])


def test_cost_optimal_beats_the_labels_on_plain_as_the_protocol_says(shared: Path, store: Store) -> None:
    import_bank(str(bank_path(shared, "plain")), "plain", store)
    with Bank.open("plain", store) as bank:
        board = Evaluator(bank).board([]).to_json()
    scores = {entry["router"]: entry["scores"] for entry in board["routers"]}
    assert scores["cost-optimal"]["cost_save"] == pytest.approx(46.30, abs=0.005)
    assert scores["labels"]["cost_save"] == pytest.approx(39.99, abs=0.005)
    assert scores["cost-optimal"]["row_pass"] == scores["cost-optimal"]["traj_pass"] == 100
