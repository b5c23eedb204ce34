"""Whole runs: many cases at once, caps that hold, pilots widened, shards merged, stops from outside."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import MessageReply, Reply, TokenCounts
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.containers.running import ours
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    SENTINEL,
    Done,
    Victims,
    by_step,
    live,
    replayed,
    run_arguments,
    said,
    solving,
    until,
)
from tests.scripted.server import ScriptedServer
from tests.timing import HANG_S
from twinbench.calls.journal import read_journal
from twinbench.containers.engine import Engine

LEAVES = f"echo {SENTINEL}"
THREE = ("rehearsal__pennyledger-58", "rehearsal__plainconf-23", EASY)
EVERY_ONE = tuple(word for name in THREE for word in ("--only", name))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def dear(*replies: MessageReply) -> Callable[[ReceivedRequest], Reply]:
    """A script whose every answer costs the same."""
    return by_step([MessageReply(each.text, each.calls, usage=TokenCounts(1000, output=400)) for each in replies])


def all_three(api_base: str, run: Path, *more: str, **options: Any) -> Any:
    return live(api_base, run, *EVERY_ONE, *more, only="", **options)


def essence(run: Path) -> dict[str, Any]:
    """What became of each trial, but for tokens: the ids of tool calls, which count, are longer later on."""
    cases = [json.loads(path.read_text("utf-8")) for path in run.glob("cases/*/*/case.json")]
    kept = ("resolved", "cause", "steps", "models", "exit_status")
    return {f"{case['id']}/{case['trial']}": {name: case[name] for name in kept} for case in cases}


@pytest.mark.acceptance
def test_many_workers_come_to_the_same_as_one_and_call_the_router_serially(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    (tmp_path / "alone.py").write_text(
        "import time\n"
        "class Alone:\n"
        "    busy = False\n"
        "    def route(self, call):\n"
        "        assert not Alone.busy\n"
        "        Alone.busy = True\n"
        "        time.sleep(0.01)\n"
        "        Alone.busy = False\n"
        "        return 'low'\n",
        "utf-8",
    )
    router = f"{tmp_path / 'alone.py'}:Alone"
    with ScriptedServer(solving(rehearsal)) as server:
        one = all_three(server.api_base, tmp_path / "one", router=router).succeeded().json
    with ScriptedServer(solving(rehearsal)) as server:  # another, whose prompt caches are cold
        many = all_three(server.api_base, tmp_path / "many", "--workers", "3", router=router).succeeded().json
    assert one["resolved"] == 3
    assert many["cost_usd"] == pytest.approx(one["cost_usd"], rel=1e-3)
    assert essence(tmp_path / "one") == essence(tmp_path / "many")
    assert ours(engine, "case") == ours(engine, "grade") == []
    assert replayed(tmp_path / "many").succeeded().json["equal"] == 3


@pytest.mark.acceptance
def test_a_cap_that_sixteen_workers_try_to_break_holds(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    script = dear(*(said("ls") for _ in range(6)), said(LEAVES))
    words = ("--workers", "16", "--trials", "6", "--grade", "none")
    with ScriptedServer(script) as server:
        ran = all_three(server.api_base, tmp_path / "run", *words, router="always-high", usd="0.9")
        spent = Decimal(str(ran.json["spend_usd"]))
        asked = len(server.completions)
        assert ran.code == 1
        assert ran.json["cases"] == 18
        assert ran.json["cap"] > 0
        assert 0 < spent <= Decimal("0.9")
        more = all_three(server.api_base, tmp_path / "run", *words, router="always-high", usd="60").succeeded()
        again = len(server.completions) - asked
    assert (more.json["cap"], more.json["infra"]) == (0, 0)
    assert again == 18 * 7 - asked, "what was paid is not asked for again"
    journal = read_journal(tmp_path / "run/journal")
    settled = sum(Decimal(entry.fields["cost_usd"]) for entry in journal if entry.kind == "settle")
    assert settled == Decimal(str(more.json["spend_usd"]))


@pytest.mark.acceptance
def test_a_pilot_is_widened_and_pays_nothing_again(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    with ScriptedServer(solving(rehearsal)) as server:
        pilot = live(server.api_base, tmp_path / "run", "--only", THREE[0], only=THREE[1]).succeeded().json
        asked = len(server.completions)
        wide = all_three(server.api_base, tmp_path / "run", "--workers", "3").succeeded().json
    assert (pilot["cases"], wide["cases"], wide["resolved"]) == (2, 3, 3)
    steps = {name: Done(tmp_path / "run", name).case["steps"] for name in THREE}
    assert asked == steps[THREE[0]] + steps[THREE[1]]
    assert len(server.completions) == sum(steps.values())
    sittings = [entry.fields for entry in read_journal(tmp_path / "run/journal") if entry.kind == "sitting"]
    assert [(len(each["cases"]), each["workers"]) for each in sittings] == [(2, 1), (3, 3)]


@pytest.mark.acceptance
def test_every_trial_of_a_case_has_its_directory_and_another_number_is_another_run(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    with ScriptedServer(dear(said("ls"), said(LEAVES))) as server:
        ran = live(server.api_base, tmp_path / "run", "--trials", "3", "--workers", "3").succeeded()
        sessions = Counter(asked.session for asked in server.completions)
        refused = live(server.api_base, tmp_path / "run", "--trials", "2")
    assert ran.json["cases"] == 3
    assert [Done(tmp_path / "run", EASY, number).case["trial"] for number in (1, 2, 3)] == [1, 2, 3]
    assert sorted(sessions.values()) == [2, 2, 2]
    assert refused.code == 2
    assert "trials was 3, is now 2" in refused.err


@pytest.mark.acceptance
def test_shards_are_merged_into_one_run_and_other_plans_are_refused(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    parts = [tmp_path / "one", tmp_path / "two"]
    with ScriptedServer(solving(rehearsal)) as server:
        whole = all_three(server.api_base, tmp_path / "whole").succeeded().json
    with ScriptedServer(solving(rehearsal)) as server:
        for number, part in enumerate(parts, 1):
            all_three(server.api_base, part, "--shard", f"{number}/2").succeeded()
        other = live(server.api_base, tmp_path / "other", "--seed", "9").succeeded()
    assert other.json["cases"] == 1
    for part in parts:
        plan = json.loads((part / "plan.json").read_text("utf-8"))
        assert plan["where"]["shard"][1] == 2
        (sitting,) = (entry for entry in read_journal(part / "journal") if entry.kind == "sitting")
        assert Decimal(sitting.fields["run_usd"]) == 10
    merged = twinbench("dynamic", "merge", *parts, "--run", tmp_path / "merged", "--json").succeeded().json
    assert (merged["cases"], merged["resolved"]) == (3, 3)
    assert merged["cost_usd"] == pytest.approx(whole["cost_usd"], rel=1e-3)
    assert essence(tmp_path / "merged") == essence(tmp_path / "whole")
    assert replayed(tmp_path / "merged", "--only", EASY).succeeded().json["equal"] == 1
    for sources, told in (
        ([parts[0], tmp_path / "other"], "seed"),
        ([parts[0], parts[0]], "trial 1 is in both"),
        ([parts[0]], "two runs"),
        ([parts[0], tmp_path], "no plan.json"),
    ):
        refused = twinbench("dynamic", "merge", *sources, "--run", tmp_path / "again")
        assert (refused.code, told in refused.err) == (2, True), refused.err
        assert not (tmp_path / "again").exists()
    assert twinbench("dynamic", "merge", *parts, "--run", tmp_path / "merged").code == 2
    assert live(server.api_base, tmp_path / "wrong", "--shard", "3/2").code == 2


def test_a_dry_run_asks_nobody_and_says_what_may_be_spent(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    with ScriptedServer(solving(rehearsal)) as server:
        words = ("--dry-run", "--workers", "16", "--trials", "2")
        shown = all_three(server.api_base, tmp_path / "run", *words, usd="3").succeeded().json
        assert server.asked == []
        assert not (tmp_path / "run").exists()
        assert sorted(shown["cases"]) == sorted(THREE)
        assert shown["estimate"]["cases"] == 6
        assert 0 < shown["estimate"]["least_usd"] < shown["estimate"]["most_usd"] <= 18
        assert (shown["estimate"]["measured_on"], shown["estimate"]["starved"] > 0) == (0, True)
        all_three(server.api_base, tmp_path / "run", "--workers", "3").succeeded()
        after = all_three(server.api_base, tmp_path / "run", "--dry-run").succeeded().json
    assert (after["estimate"]["cases"], after["estimate"]["measured_on"]) == (0, 3)
    text = [word for word in run_arguments(server.api_base, tmp_path / "new", "--dry-run") if word != "--json"]
    assert "nothing was run" in twinbench(*text).succeeded().text


@pytest.mark.acceptance
def test_a_run_may_be_graded_later_and_again(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    run = tmp_path / "run"
    with ScriptedServer(solving(rehearsal)) as server:
        ran = all_three(server.api_base, run, "--grade", "none", "--workers", "3").succeeded().json
    assert (ran["cases"], ran["resolved"], ran["unresolved"]) == (3, 0, 0)
    assert {Done(run, name).case["resolved"] for name in THREE} == {None}
    graded = twinbench("dynamic", "grade", run, "--workers", "2", "--json").succeeded().json
    assert (graded["resolved"], graded["changed"], graded["without_task"]) == (3, [], [])
    assert {Done(run, name).case["bill_usd"] == Done(run, name).case["cost_usd"] for name in THREE} == {True}
    again = twinbench("dynamic", "grade", run).succeeded()
    assert "verdicts that changed: none" in again.text
    assert twinbench("dynamic", "grade", run, "--case", "x").code == 2
    assert twinbench("dynamic", "grade", tmp_path / "none").code == 2


@pytest.mark.parametrize(
    "how", ["stop", *(pytest.param(name, marks=pytest.mark.acceptance) for name in ("SIGINT", "SIGTERM", "SIGHUP"))]
)
def test_a_stopped_run_keeps_everything_and_the_same_command_goes_on(
    tmp_path: Path, rehearsal: Sequence[Task], engine: Engine, killing: Victims, how: str
) -> None:
    run = tmp_path / "run"

    def slowly(asked: ReceivedRequest) -> Reply:
        reply = solving(rehearsal)(asked)
        assert isinstance(reply, MessageReply)
        return MessageReply(reply.text, reply.calls, usage=reply.usage, after_s=0.4)

    with ScriptedServer(slowly) as server:
        words = run_arguments(server.api_base, run, *EVERY_ONE, "--workers", "2", only="")
        process = killing.start(words, written_to=tmp_path)
        until(lambda: len(server.completions) >= 3)
        shown = twinbench("dynamic", "status", run, "--json").succeeded().json
        assert shown["active"] is True
        assert {trial["state"] for trial in shown["trials"]} >= {"planned", "running"}
        assert twinbench("dynamic", "rm", run, "--yes").code == 2
        if how == "stop":
            assert twinbench("dynamic", "stop", run, "--json").succeeded().json["asked"] is True
        else:
            os.kill(process, signal.Signals[how])
        code, err = killing.ended(), (tmp_path / "err").read_text("utf-8")
        assert code == 128 + signal.Signals["SIGINT" if how == "stop" else how], err
        assert "Traceback" not in err
        assert "the same command to continue" in err
        stopped = json.loads((tmp_path / "out").read_text("utf-8"))
        assert stopped["cases"] < 3
        settled = [entry.fields for entry in read_journal(run / "journal") if entry.kind == "settle"]
        spent = float(sum(Decimal(fields["cost_usd"]) for fields in settled))
        assert spent > 0
        for told in (stopped, twinbench("dynamic", "status", run, "--json").json):
            assert told["spend_usd"] == pytest.approx(spent), "what was paid in cases that have not ended is spent too"
        asked = len(server.completions)
        assert ours(engine, "case") == []
        state = twinbench("dynamic", "status", run).succeeded()
        assert "USD spent; not active" in state.text
        assert twinbench("dynamic", "stop", run).succeeded().text == "no process is executing this run\n"
        done = all_three(server.api_base, run, "--workers", "2").succeeded().json
    assert (done["cases"], done["resolved"]) == (3, 3)
    steps = sum(Done(run, name).case["steps"] for name in THREE)
    assert len(server.completions) == steps > asked
    assert done["spend_usd"] == done["cost_usd"]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.acceptance)])
def test_a_second_signal_leaves_at_once_and_nothing_is_lost(
    number: signal.Signals, tmp_path: Path, rehearsal: Sequence[Task], killing: Victims
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step([said("ls"), said("ls", after_s=5 * HANG_S), said(LEAVES)])) as server:
        process = killing.start(run_arguments(server.api_base, run), written_to=tmp_path)
        until(lambda: len(server.completions) == 2)
        os.kill(process, number)
        until(lambda: "interrupt again to exit at once" in (tmp_path / "err").read_text("utf-8"))
        os.kill(process, number)
        assert killing.ended() == 128 + number
    assert twinbench("dynamic", "gc", "--json").code == 0
    with ScriptedServer(by_step([said("ls"), said("ls"), said(LEAVES)])) as server:
        ran = live(server.api_base, run).succeeded().json
        assert len(server.completions) == 2, "the first answer stands in the journal"
    assert ran["spend_usd"] > ran["cost_usd"], "what was in flight counts its reservation"


def test_runs_are_listed_weighed_and_removed(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    folder = tmp_path / "runs"
    with ScriptedServer(dear(said(LEAVES))) as server:
        live(server.api_base, folder / "a").succeeded()
        live(server.api_base, folder / "rehearsal" / "deeper" / "b").succeeded()
    (folder / "broken").mkdir()
    (folder / "broken" / "plan.json").write_text("{", "utf-8")
    listed = twinbench("dynamic", "list", "--in", folder, "--json").succeeded().json["runs"]
    by_name = {Path(row["run"]).name: row for row in listed}
    assert set(by_name) == {"a", "b", "broken"}
    assert (by_name["a"]["trials"], by_name["a"]["left"], by_name["a"]["active"]) == (1, 0, False)
    assert "plan.json" in by_name["broken"]["problem"]
    text = twinbench("dynamic", "list", "--in", folder).succeeded().text
    assert "Active" in text
    assert f"3 runs, {sum(row['bytes'] for row in listed) / 2**20:.1f} MiB in all" in text
    of_a = sum(path.stat().st_size for path in (folder / "a").rglob("*") if path.is_file())
    assert (by_name["a"]["bytes"], by_name["broken"]["bytes"]) == (of_a, 1)
    assert twinbench("dynamic", "rm", folder / "a").code == 2
    assert (folder / "a").exists()
    assert twinbench("dynamic", "rm", folder, "--yes").code == 2
    twinbench("dynamic", "rm", folder / "a", folder / "rehearsal" / "deeper" / "b", "--yes").succeeded()
    assert not (folder / "a").exists()
    assert twinbench("dynamic", "list", "--in", tmp_path / "none", "--json").succeeded().json == {"runs": []}
