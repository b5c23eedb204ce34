"""Scores of runs from their directories: the bill by hand, what lies beside it, runs compared, prices that might be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dynamic_track.rehearsal.replies import MessageReply, Reply, TokenCounts, server_error
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.results.live_results import views
from dynamic_track.results.loading import load_run
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.live import (
    HIGH,
    KEY,
    KEY_VARIABLE,
    LOW,
    SENTINEL,
    SIX,
    live,
    pool_file,
    rewritten,
    said,
    solving,
    step_of,
)
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.store import Store

PENALTY = 0.6
UNSOLVED = SIX[:2]


@dataclass(frozen=True)
class Runs:
    """Two runs of six cases: one router solves four of them, the other all."""

    folder: Path

    @property
    def low(self) -> Path:
        return self.folder / "low"

    @property
    def turns(self) -> Path:
        return self.folder / "turns"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Runs:
    """Two runs of six cases, of two routers."""
    solved = solving(rehearsal)

    def priced(asked: ReceivedRequest) -> Reply:
        """Every call reads what its model read before, but for the third; the second fails once."""
        step = step_of(asked)
        if step == 2 and asked.body["model"] == LOW and asked.turn == 1:
            return server_error()
        reply = solved(asked)
        assert isinstance(reply, MessageReply)
        statement = json.dumps(asked.body["messages"][1])
        weak = asked.body["model"] == LOW and any(
            json.dumps(task.problem_statement.strip()[:200])[1:-1] in statement
            for task in rehearsal
            if task.id in UNSOLVED
        )
        usage = TokenCounts(prompt=1000 * step, read=0 if step == 3 else 1000 * (step - 1), output=100, cost_usd=0.001)
        return said(f"echo {SENTINEL}", usage=usage) if weak else MessageReply(reply.text, reply.calls, usage=usage)

    every = [word for name in SIX for word in ("--only", name)]

    def run_both(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(KEY_VARIABLE, KEY)
            for router, name in (("always-low", "low"), ("round-robin?tiers=mid_high:high", "turns")):
                with ScriptedServer(priced) as server:
                    live(server.api_base, folder / name, *every, "--workers", "3", only="", router=router).succeeded()

    return Runs(made_once(tmp_path_factory, "scored-runs", run_both))


def scored(*paths: Path, code: int = 0, more: Sequence[str] = ()) -> Any:
    ran = twinbench("dynamic", "score", *paths, "--json", *more)
    assert ran.code == code, ran.err
    return ran.json


def cases(run: Path) -> Mapping[str, Any]:
    return {path.parent.parent.name: json.loads(path.read_text("utf-8")) for path in run.glob("cases/*/1/case.json")}


def test_a_score_adds_up_to_the_bill(runs: Runs) -> None:
    found, written = scored(runs.low), cases(runs.low)
    assert (found["cases"], found["resolved"], found["unresolved"], found["infra"], found["cap"]) == (6, 4, 2, 0, 0)
    assert found["cost_usd"] == pytest.approx(sum(case["cost_usd"] for case in written.values()))
    assert found["spend_usd"] == pytest.approx(sum(case["spend_usd"] for case in written.values()))
    assert found["penalty_usd"] == pytest.approx(2 * PENALTY)
    assert found["bill_usd"] == pytest.approx(found["cost_usd"] + 2 * PENALTY)
    assert found["avg_steps"] == pytest.approx(sum(case["steps"] for case in written.values()) / 6)
    assert {name: each[0] for name, each in found["by_case"].items()} == written
    assert found["lost_usd"] == pytest.approx(found["spend_usd"] - found["cost_usd"])
    assert found["lost_usd"] > 0, "the failed attempts count their reservations"
    assert found["reported_usd"] == pytest.approx(0.001 * found["avg_steps"] * 6)
    assert found["cost_per_resolved_usd"] == pytest.approx(found["cost_usd"] / 4)
    assert found["give_up_usd"] == pytest.approx(6 * PENALTY)
    assert (found["switches"], found["tiers"]["low"]) == (0, 1)
    assert found["latency_ms"].keys() == {"p50", "p95"}


def test_intervals_are_around_what_they_are_of_and_need_enough_cases(runs: Runs) -> None:
    found = scored(runs.low)
    for name in ("bill_usd", "cost_usd"):
        low, high = found["intervals"][name]
        assert low <= found[name] <= high
    low, high = found["intervals"]["resolved"]
    assert 0 <= low < 100 * 4 / 6 < high <= 100
    assert found == scored(runs.low), "the same seed draws the same"
    few = scored(runs.low, more=["--level", "0.999"])
    assert few["intervals"] == {"bill_usd": None, "cost_usd": None, "resolved": None}
    assert few["no_interval"].startswith("only 6 cases")
    for wrong in (["--level", "1"], ["--resamples", "5"]):
        assert twinbench("dynamic", "score", runs.low, *wrong).code == 2
    none = scored(runs.low, more=["--resamples", "0"])
    assert (none["intervals"], none["no_interval"]) == (few["intervals"], "not asked for: 0 resamples")
    refused = twinbench("dynamic", "compare", runs.low, runs.turns, "--resamples", "0")
    assert (refused.code, "--resamples 0" in refused.err) == (2, True)


def test_what_broken_caches_cost_is_what_was_not_read_again(runs: Runs) -> None:
    found = scored(runs.low)
    price = next(each for each in live_manifest().candidates if each.id == LOW).prices
    broken = sum(case["steps"] == 3 for case in cases(runs.low).values())
    assert found["broken_cache_usd"] == pytest.approx(broken * 2000 * float(price.input - price.cache_read) / 1e6)
    assert scored(runs.turns)["switches"] > 0


def test_runs_stand_in_one_table_with_giving_up_and_the_references(runs: Runs) -> None:
    found = scored(runs.low, runs.turns)
    assert [each["router"] for each in found["runs"]] == ["always-low", "round-robin?tiers=mid_high:high"]
    assert found["references"] == {
        "cheapest model alone": str(runs.low),
        "most expensive model alone": None,
        "random": None,
        "round-robin over the two strongest": str(runs.turns),
    }
    by_penalty = {each["penalty_usd"]: each for each in found["penalties"]}
    assert by_penalty[0.0]["bills"]["give up"] == 0
    assert by_penalty[0.6]["bills"][str(runs.low)] == pytest.approx(found["runs"][0]["bill_usd"])
    # Six cases tell two runs apart only where all six agree: both are cheaper than giving up, or nothing is known.
    assert by_penalty[0.6]["ranks"].keys() == {str(runs.low), str(runs.turns), "give up"}
    assert [each["rank"] for each in found["runs"]] == [
        by_penalty[0.6]["ranks"][str(path)] for path in (runs.low, runs.turns)
    ]
    assert all(each["rank"] is None for each in scored(runs.low, runs.turns, more=["--resamples", "0"])["runs"])
    table = twinbench("dynamic", "score", runs.low, runs.turns).succeeded()
    assert "most expensive model alone: not run" in table.text
    assert "give up (computed)" in table.text
    assert "Rank" in table.text


def test_prices_that_might_be_bill_the_raw_usage_again(runs: Runs, tmp_path: Path) -> None:
    doubled = pool_file(
        tmp_path / "dear.toml",
        lambda text: text.replace("input = 0.252, cache_read = 0.0252, cache_write = 0.252, output = 0.378",
                                  "input = 0.504, cache_read = 0.0504, cache_write = 0.504, output = 0.756")
        .replace("unresolved_penalty_usd = 0.6", "unresolved_penalty_usd = 0.1"),
    )  # fmt: skip
    was, found = scored(runs.low), scored(runs.low, more=["--prices", str(doubled)])
    assert found["cost_usd"] == pytest.approx(2 * was["cost_usd"])
    assert found["bill_usd"] == pytest.approx(2 * was["cost_usd"] + 2 * 0.1)
    assert found["fingerprint"] != was["fingerprint"]
    assert (found["division"], was["division"]) == ("open", "locked")
    lacking = tmp_path / "lacking.toml"
    lacking.write_text(doubled.read_text("utf-8").replace(LOW, "acme/other"), "utf-8")
    refused = twinbench("dynamic", "score", runs.low, "--prices", lacking)
    assert (refused.code, LOW in refused.err) == (2, True)


@pytest.mark.acceptance
def test_cases_without_a_verdict_are_named_or_left_out(runs: Runs, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(runs.low, lost)

    def ended(line: dict[str, Any]) -> dict[str, Any] | None:
        fields = line["fields"]
        if fields.get("case") == SIX[3] and line["kind"] == "verdict":
            return None
        if fields.get("case") == SIX[3] and line["kind"] == "end":
            fields |= {"cause": "transport", "detail": "gone"}
        return line

    rewritten(lost, ended)
    found = scored(lost, code=1)
    assert (found["cases"], found["infra"], found["resolved"] + found["unresolved"]) == (6, 1, 5)
    left_out = scored(lost, more=["--exclude-infra"])
    assert (left_out["cases"], left_out["infra"]) == (5, 0)
    assert left_out["bill_usd"] == pytest.approx(found["bill_usd"])
    assert left_out["cost_usd"] < found["cost_usd"]
    assert "1 trial without a verdict" in twinbench("dynamic", "score", lost).err


def test_two_runs_are_compared_case_by_case(runs: Runs) -> None:
    ran = twinbench("dynamic", "compare", runs.low, runs.turns, "--json").succeeded().json
    one, other = scored(runs.low), scored(runs.turns)
    assert ran["cases"] == 6
    assert ran["bill_usd"]["difference"] == pytest.approx(one["bill_usd"] - other["bill_usd"])
    low, high = ran["bill_usd"]["interval"]
    assert low <= ran["bill_usd"]["difference"] <= high
    assert 0 < ran["bill_usd"]["p"] <= 1
    assert (ran["resolved"]["first_only"], ran["resolved"]["second_only"], ran["resolved"]["p"]) == (0, 2, 0.5)
    assert [each["case"] for each in ran["contested"]] == sorted(UNSOLVED)
    shown = twinbench("dynamic", "compare", runs.low, runs.turns).succeeded().text
    assert UNSOLVED[0] in shown
    same = twinbench("dynamic", "compare", runs.low, runs.low, "--json").succeeded().json
    assert (same["bill_usd"]["difference"], same["bill_usd"]["p"], same["contested"]) == (0, 1, [])


def test_runs_that_differ_in_more_than_the_router_are_never_put_together(runs: Runs, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(runs.low, other)
    plan = json.loads((other / "plan.json").read_text("utf-8"))
    plan["identity"]["seed"] = "9"
    (other / "plan.json").write_text(json.dumps(plan), "utf-8")
    for command in ("score", "compare"):
        refused = twinbench("dynamic", command, runs.turns, other)
        assert (refused.code, "seed" in refused.err) == (2, True)
        assert twinbench("dynamic", command, tmp_path, other).code == 2


def test_scores_are_kept_for_sql(runs: Runs, tmp_path: Path) -> None:
    for _ in range(2):
        twinbench("dynamic", "score", runs.low, runs.turns, "--store", tmp_path).succeeded()
    with duckdb.connect() as connection:
        connection.execute(views(Store(tmp_path)))
        rows = connection.execute("SELECT router, cases, bill_usd FROM live_runs ORDER BY router").fetchall()
        calls = connection.execute("SELECT candidate, count(*) FROM live_calls GROUP BY 1 ORDER BY 1").fetchall()
        trials = connection.execute("SELECT count(*), sum(cost_usd) FROM live_trials").fetchone()
    assert [row[:2] for row in rows] == [("always-low", 6), ("round-robin?tiers=mid_high:high", 6)]
    assert rows[0][2] == pytest.approx(scored(runs.low)["bill_usd"])
    assert dict(calls).keys() == {LOW, HIGH, "google/gemini-3-flash-preview"}
    assert trials is not None
    assert trials[0] == 12


def test_a_copy_scores_the_same(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs.low, tmp_path / "copy")
    assert load_run(tmp_path / "copy").fingerprint == load_run(runs.low).fingerprint
    assert Decimal(str(scored(tmp_path / "copy")["bill_usd"])) == Decimal(str(scored(runs.low)["bill_usd"]))
