"""``twinbench rehearse``: routers on simulated models, with real containers and SWE-bench's real grading."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.edits import EditKind, read_edits
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.live import KEY, KEY_VARIABLE, Done, Victims, live, until
from tests.dynamic_track.rehearsal.playing import EASY, HIGH, LOW, TASKS, completion, known_as, opening
from tests.examples import thinned
from tests.timing import wall_s
from twinbench.calls.journal import read_journal
from twinbench.containers.engine import Engine

pytestmark = pytest.mark.usefixtures("rehearsal")

MEDIUM = "rehearsal__tidecache-41"
SIMULATED = "A rehearsal: simulated models"

EXPLORER = '''
class Explorer:
    """The cheapest model looks around, the dearest one does the rest."""
    def route(self, call):
        return call.candidates[0] if call.step_index <= 3 else call.candidates[-1]
'''


def rehearsed(runs: Path, *routers: str, only: Sequence[str] = (EASY, MEDIUM), more: Sequence[str] = ()) -> Any:
    """The JSON of a rehearsal."""
    chosen = [word for name in only for word in ("--only", name)]
    return twinbench("rehearse", *routers, *chosen, "--runs", runs, "--json", *more).succeeded().json


def essence(run: Path) -> list[Any]:
    """What a run decided, asked, paid and came to: everything but times."""
    told = []
    for entry in read_journal(run / "journal"):
        fields = entry.fields
        names = {
            "decision": ("case", "step", "candidate"),
            "settle": ("case", "step", "attempt", "cost_usd", "usage", "cause", "latency_s", "at"),
            "reserve": ("case", "step", "request_key"),
            "command": ("case", "step", "command"),
            "end": ("case", "exit_status", "patch_sha256"),
            "verdict": ("case", "resolved"),
        }.get(entry.kind, ())
        told.append([entry.kind, *(fields[name] for name in names)])
    cases = sorted(run.glob("cases/*/*/case.json"))
    return [told, [json.loads(path.read_text("utf-8")) for path in cases]]


def test_a_rehearsal_gives_run_directories_a_score_and_a_table(tmp_path: Path) -> None:
    router = tmp_path / "explorer.py"
    router.write_text(EXPLORER, "utf-8")
    routers = ("always-low", "always-high", f"{router}:Explorer")
    content = rehearsed(tmp_path / "runs", *routers)
    assert content["simulated"].lower().startswith(SIMULATED.lower())
    assert [each["router"] for each in content["runs"]] == list(routers)
    assert content["give_up_bill_usd"] == pytest.approx(1.2)
    for each in content["runs"]:
        assert (each["cases"], each["infra"], each["cap"]) == (2, 0, 0)
        assert each["resolved"] + each["unresolved"] == 2
        assert each["bill_usd"] == pytest.approx(each["cost_usd"] + 0.6 * each["unresolved"])
        assert each["cost_usd"] == each["spend_usd"] > 0
        assert json.loads((Path(each["run"]) / "plan.json").read_text("utf-8"))["identity"]["provider"]["simulation"]
    low, high, explorer = content["runs"]
    for each, of_all in zip(content["runs"], content["routers"], strict=True):
        assert (each["seed"], of_all["router"], of_all["reference"]) == ("0", each["router"], False)
        assert of_all["scores"]["bill_usd"] == pytest.approx(each["bill_usd"])
        assert (of_all["rank"], of_all["intervals"]["bill_usd"]) == ([1, 3], None), "two tasks rank nothing"
        assert "2 cases" in of_all["no_interval"]
    assert low["models"].keys() == {LOW}
    assert high["models"].keys() == {HIGH}
    assert explorer["models"].keys() == {LOW, HIGH}
    assert low["cost_usd"] < high["cost_usd"] / 20

    words = ["rehearse", *routers, "--only", EASY, "--only", MEDIUM, "--runs", str(tmp_path / "runs")]
    again = twinbench(*words).succeeded()
    assert again.text.startswith(SIMULATED), "it says so first"
    assert "give up (computed)" in again.text
    done = Done(Path(high["run"]), MEDIUM)
    assert done.case["steps"] == len(done.fields("decision")), "what is finished was not run again"


@pytest.mark.acceptance
def test_the_same_seed_gives_the_same_run_and_a_replay_is_equal(tmp_path: Path) -> None:
    first = rehearsed(tmp_path / "a", "round-robin", "random", only=[EASY], more=["--seed", "7"])
    second = rehearsed(tmp_path / "b", "round-robin", "random", only=[EASY], more=["--seed", "7", "--workers", "1"])
    for one, other in zip(first["runs"], second["runs"], strict=True):
        assert {**one, "run": ""} == {**other, "run": ""}
        assert essence(Path(one["run"])) == essence(Path(other["run"]))
    run = first["runs"][0]["run"]
    assert twinbench("dynamic", "replay", run, "--route", "--json").succeeded().json["equal"] == 1
    assert twinbench("dynamic", "replay", run).succeeded().text.startswith("A rehearsal")
    elsewhere = rehearsed(tmp_path / "c", "round-robin", only=[EASY], more=["--seed", "8"])
    assert essence(Path(elsewhere["runs"][0]["run"])) != essence(Path(run))


def test_seeds_are_runs_of_their_own_and_one_line_of_the_table(tmp_path: Path) -> None:
    def under(seeds: str) -> Any:
        return rehearsed(tmp_path, "always-high", only=[EASY], more=["--seeds", seeds])

    first = under("2")
    assert [(each["router"], each["seed"]) for each in first["runs"]] == [("always-high", "0"), ("always-high", "1")]
    folders = [Path(each["run"]).relative_to(tmp_path) for each in first["runs"]]
    assert folders == [Path("always-high/seed-0"), Path("always-high/seed-1")]
    assert essence(Path(first["runs"][0]["run"])) != essence(Path(first["runs"][1]["run"]))
    (router,) = first["routers"]
    assert (router["tasks"], router["seeds"]) == (1, 2)
    assert router["scores"]["bill_usd"] == pytest.approx(sum(each["bill_usd"] for each in first["runs"]) / 2)

    before = {path: path.read_bytes() for path in tmp_path.glob("*/*/cases/*/*/*")}
    more = under("0,1,7")
    assert more["runs"][:2] == first["runs"], "what is finished is not run again"
    assert {path: path.read_bytes() for path in before} == before
    assert more["seeds"] == ["0", "1", "7"]
    words = ("--only", EASY, "--seeds", "2", "--runs", tmp_path)
    shown = twinbench("rehearse", "always-high", *words).succeeded().text
    assert "mean of 2 seeds" in shown
    assert sum("always-high" in line for line in shown.splitlines()) == 1


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "kill", thinned([(("after", "reserve", 4),), (("before", "settle", 6),), (("after", "settle", 5),)], 3)
)
def test_a_killed_rehearsal_goes_on_and_ends_as_one_that_was_not(
    kill: tuple[str, str, int], tmp_path: Path, killing: Victims, engine: Engine
) -> None:
    whole = rehearsed(tmp_path / "whole", "round-robin", only=[MEDIUM])["runs"][0]
    words = ["rehearse", "round-robin", "--only", MEDIUM, "--runs", str(tmp_path / "killed"), "--json"]
    killing.killed(words, kill)
    went_on = rehearsed(tmp_path / "killed", "round-robin", only=[MEDIUM])["runs"][0]
    assert twinbench("dynamic", "gc", "--json").code == 0
    lost = sum(Done(Path(went_on["run"]), MEDIUM).at_reservation, start=Decimal(0))
    assert (lost > 0) is (kill != ("after", "settle", 5))
    same = ("resolved", "unresolved", "cost_usd", "bill_usd", "avg_steps", "models")
    assert {name: went_on[name] for name in same} == {name: whole[name] for name in same}
    assert went_on["spend_usd"] == pytest.approx(whole["spend_usd"] + float(lost))


def without_right(folder: Path) -> Path:
    """The task repo with one task, whose declaration lacks the right edit."""
    shutil.copytree(TASKS / EASY, folder / "tasks" / EASY)
    shutil.copy(TASKS.parent / "sweb.yaml", folder)
    path = folder / "tasks" / EASY / "edits.toml"
    blocks = re.split(r"(?m)^(?=\[\[edits\]\]$)", path.read_text("utf-8"))
    path.write_text("".join(block for block in blocks if 'kind = "right"' not in block), "utf-8")
    assert EditKind.right not in {edit.kind for edit in read_edits(path.parent).edits}
    return folder


@pytest.mark.acceptance
def test_with_the_right_edit_taken_out_no_skill_solves_a_task(tmp_path: Path) -> None:
    folder = without_right(tmp_path / "repo")
    options = ["--tasks", str(folder)]
    for seed in ("0", "1"):
        runs = rehearsed(tmp_path / seed, "always-high", only=[EASY], more=[*options, "--seed", seed])["runs"]
        assert [(each["resolved"], each["unresolved"]) for each in runs] == [(0, 1)]
    solved = [rehearsed(tmp_path / f"with-{seed}", "always-high", only=[EASY], more=["--seed", seed]) for seed in "01"]
    assert any(each["runs"][0]["resolved"] for each in solved)


@pytest.mark.acceptance
def test_faults_cost_attempts_and_change_no_decision(tmp_path: Path) -> None:
    plain = rehearsed(tmp_path / "plain", "round-robin", only=[MEDIUM])["runs"][0]
    faulty = rehearsed(tmp_path / "faulty", "round-robin", only=[MEDIUM], more=["--faults", "0.3:429,500,cut"])
    (run,) = faulty["runs"]
    causes = {each["cause"] for each in Done(Path(run["run"]), MEDIUM).fields("settle")}
    assert causes > {None}
    assert {name: run[name] for name in ("resolved", "cost_usd", "models")} == {
        name: plain[name] for name in ("resolved", "cost_usd", "models")
    }
    assert run["spend_usd"] > run["cost_usd"]


@pytest.mark.acceptance
def test_both_styles_of_actions_work(tmp_path: Path) -> None:
    (run,) = rehearsed(tmp_path, "always-high", only=[EASY], more=["--action-format", "text"])["runs"]
    assert (run["infra"], run["avg_steps"] > 4) == (0, True)


def test_images_are_built_and_kept() -> None:
    built = twinbench("rehearse", "build", "--only", EASY, "--json").succeeded().json
    assert (len(built["ready"]), built["failed"]) == (1, {})
    assert "1 image ready, for 1 task" in twinbench("rehearse", "build", "--only", EASY).succeeded().text


def test_the_models_are_served_alone_and_a_live_run_uses_them(
    tmp_path: Path, killing: Victims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    out, err = tmp_path / "out", tmp_path / "err"
    serving = killing.start(["rehearse", "serve", "--port", "0", "--api-key-env", KEY_VARIABLE], written_to=tmp_path)
    until(lambda: out.is_file() and out.read_text("utf-8").endswith("\n"))
    api_base = out.read_text("utf-8").strip()
    port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/v1", api_base)[1])  # type: ignore[index]
    assert completion(port, HIGH, opening(known_as(EASY)))[0] == 401
    ran = live(api_base, tmp_path / "run", router="always-high")
    assert (ran.code, ran.json["cases"], ran.json["infra"]) == (0, 1, 0)
    os.kill(serving, signal.SIGINT)
    assert killing.ended() == 130
    assert "Traceback" not in err.read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name the routers to rehearse"),
        (["always-low", "--faults", "2"], "--faults 2"),
        (["always-low", "--seeds", "0"], "--seeds 0: give the number of seeds"),
        (["always-low", "--seeds", "2", "--seed", "7"], "one of the two"),
        (["always-low", "--resamples", "7"], "--resamples 7"),
        (["always-low", "--action-format", "prose"], "--action-format prose"),
        (["always-low", "--only", "no-such"], "no-such"),
        (["always-lowest"], "always-lowest"),
        (["always-low", "--pool", "static-2026-04"], "static-2026-04"),
        (["always-low", "--tasks", "verified", "--only", "x"], ""),
    ],
)
def test_wrong_usage_is_told_with_what_to_do(words: list[str], told: str, tmp_path: Path) -> None:
    if "verified" in words:
        rows = tmp_path / "rows.jsonl"
        rows.write_text("", "utf-8")
        words, told = ["always-low", "--tasks", str(rows)], "rows.jsonl"
    ran = twinbench("rehearse", "run", *words)
    assert ran.code in (1, 2)
    assert told in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.acceptance
def test_a_run_of_something_else_in_its_place_is_refused(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    first_s = wall_s(lambda: rehearsed(tmp_path, "always-low", only=[EASY]))
    refused = twinbench("rehearse", "always-low", "--only", EASY, "--runs", tmp_path, "--faults", "0.1", "--json")
    assert refused.code == 2
    assert "its simulated models" in refused.err
    refused = twinbench("rehearse", "always-low", "--only", EASY, "--runs", tmp_path, "--skills", "flat-2026")
    assert (refused.code, "its simulated models" in refused.err) == (2, True)
    again: list[Any] = []
    assert wall_s(lambda: again.append(rehearsed(tmp_path, "always-low", only=[EASY]))) < 3 * first_s, "nothing waits"
    assert again[0]["runs"][0]["cases"] == 1
