"""Golden vectors of our own (tests/vectors): what a clone without the protocol's files checks itself against."""

from __future__ import annotations

import json
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.banks.importing import import_bank
from static_track.evaluator import Evaluator
from tests.comparing import assert_agree
from tests.vectors import make
from twinbench.storage.store import Store


def committed(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((make.HERE / name / "expected.json").read_text("utf-8"))
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", make.NAMES)
def test_a_golden_bank_scores_as_committed(name: str, store: Store) -> None:
    wanted = committed(name)
    files = make.prediction_files(name)
    import_bank(str(make.bank_path(name)), "golden", store)

    with Bank.open("golden", store) as bank:
        board = Evaluator(bank).board([], [str(path) for path in files.values()]).to_json(legacy=True)

    by_name = {entry["router"]: entry for entry in board["routers"]}
    assert len(wanted) >= 9
    for prediction_set, path in files.items():
        entry = by_name[f"predictions:{path}"]
        assert entry["router_accounting"].pop("fallback_output_tokens") == 500  # vectors do not hold it
        assert_agree({key: entry[key] for key in wanted[prediction_set]}, wanted[prediction_set])
    references = {"always-low": "low", "always-high": "high", "labels": "labels", "cost-optimal": "cost_optimal"}
    for reference, prediction_set in references.items():
        assert by_name[reference]["scores"] == by_name[f"predictions:{files[prediction_set]}"]["scores"]


@pytest.mark.parametrize("name", make.NAMES)
def test_the_oracle_still_gives_the_committed_scores(name: str) -> None:
    assert_agree(make.expected(name), committed(name))
