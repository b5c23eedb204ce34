"""The SQL pass against the oracle, and equations that hold on every bank; all on generated banks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from static_track import references
from static_track.banks.bank import Bank
from static_track.banks.exporting import export_bank
from static_track.banks.importing import import_bank
from static_track.predict import predict
from static_track.predictions import Predictions
from static_track.scoring import Scorer
from tests import oracle, strategies
from tests.banks import import_rows
from tests.comparing import assert_agree
from tests.examples import examples
from tests.static_track import in_memory
from twinbench.routing.router import Call, Candidate
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store

Row = dict[str, Any]


@st.composite
def scored_banks(draw: st.DrawFn) -> tuple[list[Row], list[dict[str, int | None]]]:
    """A bank and what one to three routers answered on it."""
    rows = draw(strategies.banks())
    return rows, draw(st.lists(strategies.predictions(rows), min_size=1, max_size=3))


def assert_sql_agrees_with_the_oracle(rows: Sequence[Row], answers: Sequence[dict[str, int | None]]) -> None:
    for got, each in zip(in_memory.scores(rows, answers), answers, strict=True):
        assert_agree(got, oracle.score(rows, each))


@examples(25, 300)
@given(scored_banks())
def test_the_sql_scores_as_the_oracle_does(case: tuple[list[Row], list[dict[str, int | None]]]) -> None:
    assert_sql_agrees_with_the_oracle(*case)


@pytest.mark.acceptance
@settings(max_examples=5000)
@given(scored_banks())
def test_the_sql_scores_as_the_oracle_does_on_5000_banks(case: tuple[list[Row], list[dict[str, int | None]]]) -> None:
    assert_sql_agrees_with_the_oracle(*case)


# --- Export ---------------------------------------------------------------------------------------------------------


def by_field(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Each row's fields as JSON texts, by id: 1, 1.0 and true differ, and so does the order of keys inside a field."""
    return {row["id"]: {key: json.dumps(value) for key, value in row.items()} for row in rows}


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "parquet"])
@examples(1, 8)
@given(rows=strategies.banks(max_rows=8))
def test_an_export_gives_back_every_row_field_by_field_and_imports_as_the_same_bank(
    rows: list[Row], ending: str
) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        info = import_rows(rows, store)
        target = Path(folder) / f"export.{ending}"
        with Bank.open("bank", store) as bank:
            export_bank(bank, str(target))
        again = import_bank(str(target), "again", store)
        with Bank.open("again", store) as bank:
            assert by_field(list(bank.rows())) == by_field(rows)
        assert again.sha256 == info.sha256
        if ending == "jsonl":
            assert again.source_sha256 == info.sha256
            assert by_field(oracle.read_jsonl(target)) == by_field(rows)


@examples(30, 100)
@given(st.data())
def test_the_banks_sha256_is_of_its_rows_in_whatever_order(data: st.DataObject) -> None:
    rows = data.draw(strategies.banks())
    shuffled = data.draw(strategies.scrambled(rows))
    assert in_memory.parsed(shuffled).canonical_sha256() == in_memory.parsed(rows).canonical_sha256()


# --- Costs ----------------------------------------------------------------------------------------------------------


class Scripted:
    """Answers as it was told, and writes down what every call showed of every candidate's prompt."""

    def __init__(self, answers: Sequence[int | None]) -> None:
        self._answers = iter(answers)
        self.shown: list[dict[Tier, int]] = []

    def route(self, call: Call) -> Candidate:
        self.shown.append({each.tier: call.prompt_usage(each).cost_fusd(each.prices) for each in call.candidates})
        answer = next(self._answers)
        if answer is None:
            raise RuntimeError("told so")
        return call.candidates[answer]


@examples(6, 25)
@given(st.data())
def test_what_a_call_shows_of_a_candidates_prompt_is_what_is_billed_if_it_is_picked(data: st.DataObject) -> None:
    rows = data.draw(strategies.banks(max_rows=9))
    answers = data.draw(strategies.predictions(rows))
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        import_rows(rows, store)
        with Bank.open("bank", store) as bank:
            tiers = [answers.get(row_id) for row_id in bank.row_ids]
            asked = [
                step.row_no
                for trajectory in bank.trajectories(in_memory.MANIFEST.candidates())
                for step in trajectory.steps
            ]
            router = Scripted([tiers[row_no] for row_no in asked])
            predicted = predict(router, bank, in_memory.MANIFEST)
            assert dict(zip(predicted.row_nos, predicted.tier_ids, strict=True)) == dict(enumerate(tiers))
            shown = dict(zip(asked, router.shown, strict=True))
            # A set of predictions for every row and tier: the router's own, but for that tier on that row.
            picked = [(row_no, tier) for row_no in range(len(rows)) for tier in Tier]
            row_nos = range(len(rows))
            with Scorer(bank.path, in_memory.MANIFEST) as scorer:
                scorer.load(
                    [Predictions(row_nos, [*tiers[:row_no], tier, *tiers[row_no + 1 :]]) for row_no, tier in picked]
                )
                billed = scorer.connection.execute("""
                    SELECT router, row_no, cost_pred - output * getvariable('rate_output')[pred + 1]
                    FROM bill WHERE NOT error
                """).fetchall()
    prompt_cost = {(router, row_no): cost for router, row_no, cost in billed}
    for number, (row_no, tier) in enumerate(picked):
        assert shown[row_no][tier] == prompt_cost[number, row_no], (row_no, tier)


@examples(25, 60)
@given(st.data())
def test_cost_optimal_costs_what_the_oracles_does_and_no_assignment_that_passes_beats_it(data: st.DataObject) -> None:
    rows = data.draw(strategies.banks(max_rows=10))
    passing = st.fixed_dictionaries({row["id"]: st.integers(row["target_tier_id"], 3) for row in rows})
    others = data.draw(st.lists(passing, min_size=1, max_size=20))
    bank = in_memory.parsed(rows)
    scorer = in_memory.scorer_of(bank)

    optimal = references.cost_optimal(scorer.connection, in_memory.MANIFEST)

    scorer.load([optimal, *(in_memory.in_row_order(bank, each) for each in (oracle.cost_optimal(rows), *others))])
    spent = dict(
        scorer.connection.execute("SELECT router, sum(pred) FROM scored WHERE passes GROUP BY router").fetchall()
    )
    targets = [row.target or 0 for row in bank.rows]
    assert all(tier is not None and tier >= target for tier, target in zip(optimal.tier_ids, targets, strict=True))
    assert spent[0] == spent[1]
    assert spent[0] == 10**15 * optimal_cost(rows)
    assert spent[0] == min(spent.values())
    assert len(spent) == 2 + len(others)


def optimal_cost(rows: Sequence[Row]) -> Fraction:
    """USD of the oracle's cheapest assignment, by the oracle's own accounting."""
    trajectories = oracle.trajectories(rows, oracle.cost_optimal(rows))
    return sum((cost for trajectory in trajectories for cost in trajectory.predicted_costs), Fraction(0))
