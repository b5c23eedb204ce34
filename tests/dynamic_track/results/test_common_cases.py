"""Runs of different cases: what they differ in is said, and their numbers stand on the cases that they share, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dynamic_track.results.common import common_cases
from dynamic_track.results.loading import load_run
from tests.cli.commands import twinbench
from tests.reports.journals import Case, write_live_run


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Four cases, three of them resolved."""
    cases = [Case("a__a-1"), Case("b__b-2", resolved=False), Case("c__c-3"), Case("d__d-4")]
    return write_live_run(tmp_path / "wide", cases, router="sticky")


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """Two of these, one that infrastructure ended, and one that was not begun."""
    lost = Case("d__d-4", resolved=None, cause="transport", detail="gone")
    run = write_live_run(tmp_path / "narrow", [Case("a__a-1"), Case("b__b-2"), lost], router="random")
    plan = json.loads((run / "plan.json").read_text("utf-8"))
    plan["cases"].append("e__e-5")
    (run / "plan.json").write_text(json.dumps(plan), "utf-8")
    return run


def test_what_is_left_out_is_told_with_its_reason(wide: Path, narrow: Path) -> None:
    common = common_cases([load_run(wide), load_run(narrow)])
    assert common.cases == ("a__a-1", "b__b-2")
    told = {
        path: [(each.case, f"{each.what} in {each.run}") for each in left_out]
        for path, left_out in common.left_out_cases.items()
    }
    assert told == {
        str(wide): [("c__c-3", f"not chosen in {narrow}"), ("d__d-4", f"no verdict in {narrow}")],
        str(narrow): [("d__d-4", f"no verdict in {narrow}"), ("e__e-5", f"not chosen in {wide}")],
    }
    assert [[trial.id for trial in run.trials] for run in common.runs] == [["a__a-1", "b__b-2"]] * 2
    assert common_cases([load_run(wide), load_run(wide)]).notes == []


def test_scores_of_runs_of_different_cases_stand_on_the_common_ones_too(wide: Path, narrow: Path) -> None:
    ran = twinbench("dynamic", "score", wide, narrow, "--json")
    assert ran.code == 1
    assert f"note: left out of {wide.name}: 2 cases" in ran.err
    assert "note: 1 planned trial not in the journal" in ran.err
    assert [each["missing"] for each in ran.json["runs"]] == [[], [["e__e-5", 1]]]
    common = ran.json["common"]
    assert common["cases"] == 2
    assert [each["case"] for each in common["left_out"][str(narrow)]] == ["d__d-4", "e__e-5"]
    whole, shared = ran.json["runs"], common["runs"]
    assert [(each["cases"], each["resolved"]) for each in whole] == [(4, 3), (3, 2)]
    assert [(each["cases"], each["resolved"]) for each in shared] == [(2, 1), (2, 2)]
    assert shared[1]["bill_usd"] < shared[0]["bill_usd"]

    text = twinbench("dynamic", "score", wide, narrow).text
    assert "these runs have different cases" in text
    assert "Common bill, USD" in text


def test_runs_of_the_same_cases_have_no_second_score(wide: Path, tmp_path: Path) -> None:
    same = [Case(name) for name in ("a__a-1", "b__b-2", "c__c-3", "d__d-4")]
    other = write_live_run(tmp_path / "other", same, router="random")
    ran = twinbench("dynamic", "score", wide, other, "--json").succeeded()
    assert ran.json["common"] == {"cases": 4, "left_out": {str(wide): [], str(other): []}, "runs": []}
    assert "different cases" not in ran.err
    assert "Common bill" not in twinbench("dynamic", "score", wide, other).text


def test_runs_that_share_no_case_are_scored_and_say_so(wide: Path, tmp_path: Path) -> None:
    apart = write_live_run(tmp_path / "apart", [Case("z__z-9")], router="random")
    ran = twinbench("dynamic", "score", wide, apart, "--json").succeeded()
    assert ran.json["common"]["cases"] == 0
    assert "different cases" in ran.err
    assert twinbench("dynamic", "compare", wide, apart).code == 2


def test_a_comparison_says_what_it_leaves_out(wide: Path, narrow: Path) -> None:
    found = twinbench("dynamic", "compare", wide, narrow, "--json").succeeded().json
    assert (found["cases"], found["common"]["cases"]) == (2, 2)
    assert [each["case"] for each in found["common"]["left_out"][str(wide)]] == ["c__c-3", "d__d-4"]
    assert f"left out of {narrow.name}: 2 cases" in twinbench("dynamic", "compare", wide, narrow).text
