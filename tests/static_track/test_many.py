"""Many sets of predictions at once score as each of them does by itself."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinbench as tb
from static_track.metrics import SCORES
from tests.banks import a_trajectory, import_rows
from twinbench.errors import UsageError
from twinbench.storage.store import Store


@pytest.fixture
def row_ids(store: Store) -> list[str]:
    dice = random.Random(1)  # noqa: S311 - no secret
    rows = [
        row
        for number in range(12)
        for row in a_trajectory([dice.randrange(4) for _ in range(3)], workload="ab"[number % 2], instance=f"{number}")
    ]
    import_rows(rows, store, "bank")
    with tb.open_bank("bank", store=store.root) as bank:
        return list(bank.row_ids)


def drawn(row_ids: list[str], seed: int) -> list[int | None]:
    dice = random.Random(seed)  # noqa: S311 - no secret
    return [dice.choice([0, 1, 2, 3, 3, None]) for _ in row_ids]


def test_each_set_scores_as_a_prediction_file_of_it(row_ids: list[str], store: Store, tmp_path: Path) -> None:
    sets = {f"set {seed}": drawn(row_ids, seed) for seed in range(5)}
    files = []
    for name, answers in sets.items():
        files.append(str(tmp_path / f"{name}.jsonl"))
        lines = (
            {"id": row_id, "error": "no"} if tier is None else {"id": row_id, "tier_id": tier}
            for row_id, tier in zip(row_ids, answers, strict=True)
        )
        Path(files[-1]).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    many = tb.score_many(sets, "bank", store=store.root)
    board = tb.score([], "bank", predictions=files, resampling=None, store=store.root)
    assert list(many.scores) == list(sets)
    for name, entry in zip(sets, board.entries, strict=False):
        assert dict(many.scores[name]) == dict(entry.score.scores)
        assert many.errors[name] == entry.score.counts["errors"]
        assert many.passed_trajectories[name] == entry.score.counts["passed_trajectories"]
    assert [(each["router"], each["reference"], each["rank"]) for each in many.to_json()["routers"]] == [
        (name, False, None) for name in sets
    ]
    assert [row["router"] for row in many.records()] == list(sets)


def test_sets_may_be_by_id_by_row_or_arrays(row_ids: list[str], store: Store) -> None:
    tiers = [tier or 0 for tier in drawn(row_ids, 3)]
    sets: dict[str, Any] = {"list": tiers, "array": np.array(tiers), "by id": dict(zip(row_ids, tiers, strict=True))}
    found = tb.score_many(sets, "bank", store=store.root)
    assert found.scores["list"] == found.scores["array"] == found.scores["by id"]
    part = tb.score_many({"some": {row_ids[0]: 3}}, "bank", store=store.root)
    assert part.errors["some"] == len(row_ids) - 1


def test_what_a_path_costs_is_what_always_high_costs_less_what_it_saves(row_ids: list[str], store: Store) -> None:
    costs = tb.score_many({"high": [3] * len(row_ids), "low": [0] * len(row_ids)}, "bank", store=store.root).costs_usd
    high = tb.score(["always-high"], "bank", resampling=None, store=store.root).entries[0]
    assert costs["high"] == pytest.approx(sum(block["d_usd"] for block in high.score.by_workload.values()))
    assert 0 < costs["low"] < costs["high"]


def test_a_part_of_a_bank_is_scored_alone(row_ids: list[str], store: Store) -> None:
    with tb.open_bank("bank", store=store.root) as bank:
        bank.make_split("halves", "a=50,b=50", 0)
    tiers = drawn(row_ids, 8)
    whole = tb.score_many({"it": tiers}, "bank", store=store.root)
    parts = [tb.score_many({"it": tiers}, "bank", split=part, store=store.root) for part in "ab"]
    assert sum(part.errors["it"] for part in parts) == whole.errors["it"]
    assert sum(part.rows for part in parts) == whole.rows == len(row_ids)
    assert sum(part.costs_usd["it"] for part in parts) == pytest.approx(whole.costs_usd["it"])


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([1], "has 1 predictions; the bank has 36 rows"),
        ({"nobody": 1}, "the bank has no row 'nobody'"),
        ([4] * 36, "4 is not a tier id"),
        (["low"] * 36, "'low' is not a tier id"),
        ([[1]] * 36, r"\[1\] is not a tier id"),
        ([True] * 36, "True is not a tier id"),
        (np.full(36, 1.5), "1.5 is not a tier id"),
    ],
)
def test_what_is_no_set_is_refused_by_its_name(row_ids: list[str], store: Store, answers: Any, told: str) -> None:
    with pytest.raises(UsageError, match=f"set 'mine'.*{told}"):
        tb.score_many({"mine": answers}, "bank", store=store.root)


def test_nothing_to_score_is_refused(row_ids: list[str], store: Store) -> None:
    with pytest.raises(UsageError, match="at least one set of predictions"):
        tb.score_many({}, "bank", store=store.root)


def test_all_sets_are_scored_where_they_do_not_fit_at_once(
    row_ids: list[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {str(seed): drawn(row_ids, seed) for seed in range(7)}
    at_once = tb.score_many(sets, "bank", store=store.root)
    monkeypatch.setattr("static_track.many._ROWS_AT_ONCE", 3 * len(row_ids))
    assert tb.score_many(sets, "bank", store=store.root) == at_once
    assert set(at_once.scores["0"]) == set(SCORES)
