"""``twinbench dynamic audit``: every edit of a run that is no consistent forgery is found by name, no honest run is."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamic_track.auditing import conduct
from dynamic_track.auditing.audit import CHECKS, audit
from dynamic_track.auditing.evidence import AuditedTrial, Evidence, Remark, read_evidence
from dynamic_track.auditing.patches import read_patched_files
from dynamic_track.auditing.shell import parse_command
from dynamic_track.auditing.tokens import honest_ratio, token_ratios, tokens
from dynamic_track.rehearsal.replies import CutReply, MessageReply, Reply, server_error
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.results.loading import load_run
from dynamic_track.running.plan import RunPlan
from dynamic_track.running.run_dir import RunDirectory
from dynamic_track.running.run_state import is_active
from dynamic_track.running.trial import summarise_trial
from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import Task
from tests.cli.commands import Ran, files, twinbench
from tests.dynamic_track.live import (
    EASY,
    HIGH,
    KEY,
    KEY_VARIABLE,
    LOW,
    ROOT,
    ROUTERS,
    SIX,
    SUBMIT,
    Done,
    Victims,
    by_step,
    gold,
    heredoc,
    live,
    named,
    pool_file,
    rewritten,
    run_arguments,
    said,
    solving,
)
from tests.examples import examples, thinned
from tests.runs import a_pool
from tests.scripted.server import ScriptedServer
from tests.sharing import made_once
from twinbench.calls.journal import JOURNAL_FILE, Journal, read_journal
from twinbench.calls.lines import End, NumberedLine
from twinbench.calls.packing import pack, unpack
from twinbench.calls.recording import read_recordings
from twinbench.fingerprint import sha256_text
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest

MEDIUM = "rehearsal__tidecache-41"
ASKS = """
class Asks:
    def use(self, llm):
        self.llm = llm
    def route(self, call):
        reply = self.llm.ask([{"role": "user", "content": f"Is step {call.step_index} hard?"}], max_tokens=20)
        return "high" if reply.text == "yes" else "low"
"""


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Path:
    """Two routers on two cases each, by simulated models."""

    def rehearse(folder: Path) -> None:
        only = ("--only", EASY, "--only", MEDIUM)
        twinbench("rehearse", "round-robin", "always-high", *only, "--runs", folder / "runs", "--json").succeeded()

    return made_once(tmp_path_factory, "audited", rehearse) / "runs"


def run_of(runs: Path, router: str) -> Path:
    """The run of a router among those of a rehearsal."""
    plans = {path: json.loads(path.read_text("utf-8")) for path in runs.rglob("plan.json")}
    [found] = [path for path, plan in plans.items() if plan["identity"]["router"]["spec"] == router]
    return found.parent


@pytest.fixture
def turns(rehearsed: Path, tmp_path: Path) -> Path:
    """A copy of the run of round-robin, to spoil."""
    return Path(shutil.copytree(run_of(rehearsed, "round-robin"), tmp_path / "turns"))


@pytest.fixture
def dear(rehearsed: Path, tmp_path: Path) -> Path:
    """A copy of the run of always-high, to spoil."""
    return Path(shutil.copytree(run_of(rehearsed, "always-high"), tmp_path / "dear"))


def audited(run: Path, *more: str | Path) -> Ran:
    return twinbench("dynamic", "audit", run, "--json", *more)


def found(run: Path, *more: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The findings by check, each with its case (None: of the run), what was found, and the number that cannot be."""
    ran = audited(run, *more)
    rows = ran.json["checks"]
    by_check: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        assert row.keys() == {"name", "subject", "status", "value", "reason", "advice"}
        assert row["status"] in ("pass", "warn", "fail")
        if row["status"] == "fail":
            case = None if row["subject"] == str(run) else row["subject"]
            by_check.setdefault(row["name"], []).append({"case": case, "detail": row["reason"], "value": row["value"]})
    assert {row["name"] for row in rows} == {check.name for check in CHECKS}
    assert not by_check.keys() & {row["name"] for row in rows if row["status"] == "pass"}
    assert ran.code == (1 if by_check else 0)
    return by_check


def edited(run: Path, kind: str, change: Callable[[dict[str, Any]], None], *, number: int = 1) -> None:
    """Change the fields of the how manieth line of a kind, and make the chain whole again."""
    seen = 0

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        seen += line["kind"] == kind
        if line["kind"] == kind and seen == number:
            change(line["fields"])
        return line

    rewritten(run, edit)
    assert seen >= number


def each(run: Path, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the fields of all lines of a kind, and make the chain whole again."""

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == kind:
            change(line["fields"])
        return line

    rewritten(run, edit)


def json_file(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def setting(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(fields)


def case_file(run: Path, case: str, **fields: Any) -> None:
    json_file(run / "cases" / case / "1" / "case.json", setting(**fields))


def in_response(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Change the recorded response of a settle."""

    def edit(fields: dict[str, Any]) -> None:
        body = json.loads(unpack(fields["response"]))
        change(body)
        fields["response"] = pack(json.dumps(body).encode())

    return edit


# Honest runs


def test_rehearsals_are_clean(rehearsed: Path) -> None:
    for run in (run_of(rehearsed, "round-robin"), run_of(rehearsed, "always-high")):
        before = files(run)
        assert found(run) == {}
        ran = audited(run)
        assert "rehearsal" in ran.err
        assert (ran.json["run"], ran.json["simulated"], ran.json["notes"]) == (str(run), True, [])
        last = read_journal(run / "journal")[-1]
        assert ran.json["head"] == {"line": last.number, "sha256": last.sha256}
        assert files(run) == before


@pytest.mark.parametrize(
    ("fields", "clean"),
    [
        ({"cause": "engine", "exit_status": "engine"}, True),
        ({"cause": "image", "exit_status": "image"}, True),
        ({"cause": "router", "exit_status": "router"}, False),
        ({"cause": None, "exit_status": "Submitted"}, False),
    ],
)
def test_a_trial_may_have_failed_to_begin_before_it_began(turns: Path, fields: dict[str, Any], clean: bool) -> None:
    """The machine was lost, or the image could not be had, before a container had started; then the trial began."""
    path = turns / "journal" / JOURNAL_FILE
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    place, begin = next((place, line) for place, line in enumerate(lines) if line["kind"] == "trial")
    end = next(line for line in lines if line["kind"] == "end" and line["fields"]["case"] == begin["fields"]["case"])
    nothing = {"patch": pack(b""), "patch_sha256": hashlib.sha256(b"").hexdigest(), "at": begin["fields"]["at"]}
    early = {"kind": "end", "fields": {**end["fields"], **nothing, "detail": "node twn1 is lost", **fields}}
    path.write_text("".join(json.dumps(line) + "\n" for line in (*lines[:place], early, *lines[place:])), "utf-8")
    rewritten(turns, lambda line: line)
    assert ("steps" not in found(turns)) == clean
    if clean:
        assert found(turns) == {}


def test_people_are_told_what_was_looked_at(rehearsed: Path) -> None:
    ran = twinbench("dynamic", "audit", run_of(rehearsed, "always-high")).succeeded()
    lines = ran.text.splitlines()
    assert lines[0].startswith("Audit of ")
    assert lines[0].endswith("a rehearsal with simulated models")
    assert all(any(line.startswith(f"│ {check.name} ") for line in lines) for check in CHECKS)
    calls = len(
        [entry for entry in read_journal(run_of(rehearsed, "always-high") / "journal") if entry.kind == "settle"]
    )
    assert lines[-1] == f"nothing found: {len(CHECKS)} checks of 2 trials with {calls} calls"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_checks_are_a_table_for_programs(turns: Path, tmp_path: Path, form: str) -> None:
    case_file(turns, EASY, cost_usd=0.0)
    ran = twinbench("dynamic", "audit", turns, "--format", form, "-o", tmp_path / f"checks.{form}")
    assert ran.code == 1
    assert "rehearsal" in ran.err
    with duckdb.connect() as connection:
        table = f"FROM '{tmp_path / f'checks.{form}'}'"
        rows = connection.sql(f"SELECT name, subject, reason {table} WHERE status = 'fail'").fetchall()
        assert connection.sql(f"SELECT count(DISTINCT name) {table}").fetchall() == [(len(CHECKS),)]
    [(name, subject, reason)] = rows
    assert (name, subject) == ("case-file", f"{EASY}/1")
    assert "cost_usd" in reason


@pytest.mark.acceptance
def test_runs_against_a_gateway_are_clean(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With failed attempts, several models, and format errors; in wall-clock time, continued after a cut."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    (tmp_path / "routers.py").write_text(ROUTERS, "utf-8")
    look, apply, submit = gold(named(rehearsal, EASY))
    replies: list[Reply] = [
        said(["ls", "git log -3"]),
        server_error(),
        CutReply(),
        said([], message_fields={"content": "I do not know."}),
        said(f"{look}; date; mktemp", message_fields={"reasoning_content": "hm"}),
        said(apply),
        said(submit),
    ]
    for style in ("tool", "text"):
        run = tmp_path / style
        told = replies if style == "tool" else [said(each, text=True) for each in (look, apply, submit)]
        with ScriptedServer(told) as server:
            live(server.api_base, run, "--action-format", style, router=f"{tmp_path / 'routers.py'}:Turns").succeeded()
        assert found(run) == {}


@pytest.mark.acceptance
def test_a_run_that_was_killed_and_continued_is_clean(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    run = tmp_path / "run"
    with ScriptedServer(by_step([said(command) for command in gold(named(rehearsal, EASY))])) as server:
        live(server.api_base, run, usd="0.5")  # no room for the first call
        assert found(run) == {}
        live(server.api_base, run).succeeded()
        assert found(run) == {}


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.mark.usefixtures("key")
def test_a_run_whose_router_asks_a_model_itself_is_clean(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    (tmp_path / "asking.py").write_text(ASKS, "utf-8")
    agent = by_step([said(command) for command in gold(named(rehearsal, EASY))])

    def answer(asked: ReceivedRequest) -> Reply:
        first = str(asked.body["messages"][0]["content"])
        return MessageReply("no") if first.startswith("Is step") else agent(asked)

    run = tmp_path / "run"
    with ScriptedServer(answer) as server:
        live(server.api_base, run, router=f"{tmp_path / 'asking.py'}:Asks").succeeded()
    assert found(run) == {}
    spoilt = Path(shutil.copytree(run, tmp_path / "spoilt"))
    edited(spoilt, "settle", setting(cost_usd="0.00000001"))
    assert "one of the router's own" in found(spoilt)["cost"][0]["detail"]

    # Twenty tokens were asked for: the limit of the router's call, not of the candidate, is what an answer is held to.
    edited(run, "settle", in_response(lambda body: body["usage"].update(completion_tokens=21, total_tokens=None)))
    [finding] = found(run)["usage"]
    assert "one of the router's own LLM calls: the journal has an answer, the response is usage" in finding["detail"]


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "kill", thinned([(("after", "reserve", 2),), (("before", "observation", 1),), (("after", "end", 1),)], 3)
)
def test_a_run_that_was_killed_is_incomplete_and_clean_once_it_went_on(
    tmp_path: Path, rehearsal: Sequence[Task], killing: Victims, kill: tuple[str, str, int]
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(by_step([said(command) for command in gold(named(rehearsal, EASY))])) as server:
        killing.killed(run_arguments(server.api_base, run), kill)
        assert found(run).keys() <= {"missing-case", "case-file"}
        live(server.api_base, run).succeeded()
    assert found(run) == {}


@pytest.mark.acceptance
@pytest.mark.usefixtures("key")
def test_trials_and_merged_runs_are_clean(tmp_path: Path, rehearsal: Sequence[Task]) -> None:
    runs = []
    for number, case in enumerate((EASY, MEDIUM, SIX[0]), 1):
        runs.append(tmp_path / f"run-{number}")
        with ScriptedServer(solving(rehearsal)) as server:
            live(server.api_base, runs[-1], "--trials", "2", only=case, usd="5").succeeded()
        assert found(runs[-1]) == {}
    merged = tmp_path / "merged"
    twinbench("dynamic", "merge", *runs[:2], "--run", merged).succeeded()
    assert found(merged) == {}
    again = tmp_path / "merged-again"
    twinbench("dynamic", "merge", merged, runs[2], "--run", again).succeeded()
    assert found(again) == {}
    json_file(again / "plan.json", lambda plan: plan["cases"].remove(EASY))
    assert "plan" in found(again)
    edited(merged, "decision", setting(rationale="I knew it"))
    assert found(merged).keys() == {"chain"}


@pytest.mark.acceptance
def test_five_real_runs_are_clean(tmp_path: Path, shared: Path) -> None:
    """212 calls of a real model behind a real gateway, with its real cache."""
    pool = a_pool(tmp_path / "gemini.toml", "google/gemini-3-pro-preview")
    run = tmp_path / "run"
    twinbench("dynamic", "import", shared / "trajectories", "--run", run, "--pool", pool).succeeded()
    ran = audited(run)
    assert ran.code == 0
    [warning] = [row for row in ran.json["checks"] if row["status"] == "warn"]
    assert (warning["name"], warning["subject"]) == ("tests", "sympy__sympy-21612/1")
    assert warning["reason"] == "the patch changes sympy/parsing/tests/test_latex.py"
    assert found(run) == {}
    json_file(run / "plan.json", lambda plan: plan["cases"].append("another"))
    assert found(run).keys() == {"missing-case"}


# What is no run, or one that cannot be read


def test_what_is_no_run_is_wrong_usage(tmp_path: Path) -> None:
    ran = audited(tmp_path)
    assert ran.code == 2
    assert "no plan.json" in ran.err


def test_a_run_without_a_journal_is_damaged(turns: Path) -> None:
    (turns / "journal" / JOURNAL_FILE).unlink()
    assert "missing" in found(turns)["chain"][0]["detail"]


def test_a_pool_that_is_not_where_it_was_has_to_be_named(turns: Path, tmp_path: Path) -> None:
    json_file(turns / "plan.json", lambda plan: plan["where"].update(pool="pools/mine.toml"))
    ran = audited(turns)
    assert ran.code == 2
    assert "--pool FILE" in ran.err
    assert found(turns, "--pool", "live-2026-04") == {}


def test_another_pool_than_the_run_was_made_with_is_found(turns: Path, tmp_path: Path) -> None:
    path = pool_file(tmp_path / "pool.toml", lambda text: text.replace("25.00", "26.00").replace("25.0", "26.0"))
    assert {"plan", "cost"} <= found(turns, "--pool", path).keys()


def test_a_torn_end_is_said(turns: Path) -> None:
    with (turns / "journal" / JOURNAL_FILE).open("ab") as file:
        file.write(b'{"fields":{"case":')
    assert found(turns) == {}
    assert " the line is incomplete" in twinbench("dynamic", "audit", turns).text


# Edits of files


def test_files_that_say_something_else_than_the_journal_are_found(turns: Path) -> None:
    for name, value in (("cost_usd", 0.001), ("resolved", "yes"), ("steps", 1), ("models", {LOW: 5})):
        copy = Path(shutil.copytree(turns, turns.with_name(f"copy-{name}")))
        case_file(copy, EASY, **{name: value})
        (finding,) = found(copy)["case-file"]
        assert finding["case"] == f"{EASY}/1"
        assert name in finding["detail"]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("case.json", "case-file"),
        ("patch.diff", "patch"),
        ("trajectory.json", "trajectory"),
        ("verdict.json", "verdict"),
    ],
)
def test_a_missing_or_unreadable_file_is_found(turns: Path, name: str, check: str) -> None:
    path = turns / "cases" / EASY / "1" / name
    path.write_text("nothing of that kind", "utf-8")
    assert found(turns).keys() == {check}
    path.unlink()
    assert found(turns).keys() == {check}


def test_another_patch_is_found(turns: Path) -> None:
    path = turns / "cases" / EASY / "1" / "patch.diff"
    path.write_text(path.read_text("utf-8").replace("+", "+ ", 1), "utf-8")
    assert found(turns).keys() == {"patch"}


def test_a_verdict_of_files_alone_is_found(turns: Path) -> None:
    for case in (EASY, MEDIUM):
        verdict = json.loads((turns / "cases" / case / "1" / "verdict.json").read_text("utf-8"))
        json_file(turns / "cases" / case / "1" / "verdict.json", setting(resolved=not verdict["resolved"]))
        case_file(turns, case, resolved=not verdict["resolved"])
    assert found(turns).keys() == {"verdict", "case-file"}


def test_another_conversation_is_found(turns: Path) -> None:
    trajectory = turns / "cases" / MEDIUM / "1" / "trajectory.json"
    kept = trajectory.read_bytes()

    def observation(content: dict[str, Any]) -> None:
        message = next(each for each in content["messages"] if each["role"] == "tool")
        message["content"] = message["content"].replace("<output>", "<output>\nthe fix is in line 7")

    def task(content: dict[str, Any]) -> None:
        content["messages"][1]["content"] += " The fix is in line 7."

    def answer(content: dict[str, Any]) -> None:
        message = next(each for each in content["messages"] if each["role"] == "assistant")
        message["content"] = "THOUGHT: as I was told"

    for change, checks in ((observation, {"request"}), (task, {"request"}), (answer, {"request", "trajectory"})):
        json_file(trajectory, change)
        assert checks <= found(turns).keys()
        trajectory.write_bytes(kept)
    assert found(turns) == {}


def test_a_pool_or_an_agent_of_another_name_is_found(turns: Path) -> None:
    plan = turns / "plan.json"
    kept = plan.read_bytes()
    json_file(plan, lambda content: content["identity"]["pool"].update(fingerprint="0" * 64))
    assert "plan" in found(turns)
    plan.write_bytes(kept)
    json_file(plan, lambda content: content["identity"]["agent"].update(version="9.9.9"))
    assert found(turns).keys() == {"plan"}
    plan.write_bytes(kept)
    json_file(plan, lambda content: content["where"].update(division="open"))
    assert found(turns).keys() == {"plan"}
    plan.write_text("{", "utf-8")
    assert "plan" in found(turns)


def test_a_rehearsal_that_passes_for_a_run_is_found(turns: Path) -> None:
    json_file(turns / "plan.json", lambda content: content["identity"].pop("provider"))
    assert len(found(turns)["simulation"]) == 2


def test_a_journal_that_hides_that_a_response_is_simulated_is_found(turns: Path) -> None:
    edited(turns, "settle", lambda fields: fields.pop("simulated"))
    assert found(turns).keys() == {"simulation"}


def test_a_run_that_passes_for_an_imported_one_is_found(turns: Path) -> None:
    json_file(turns / "plan.json", lambda content: content["identity"].update(imported="mini-swe-agent"))
    assert "plan" in found(turns)


def test_a_plan_that_the_sitting_did_not_begin_with_is_found(turns: Path) -> None:
    json_file(turns / "plan.json", lambda plan: plan["identity"]["router"].update(spec="mine.py:Mine"))
    assert found(turns).keys() == {"plan"}
    as_planned(turns)
    assert found(turns) == {}  # a consistent forgery
    json_file(turns / "plan.json", lambda plan: plan["cases"].reverse())
    assert found(turns).keys() == {"plan"}


@pytest.mark.parametrize(
    ("name", "value"), [("swebench", "4.0.0"), ("image", "sha256:other"), ("id", "another__case-1")]
)
def test_a_verdict_that_was_given_otherwise_is_found(turns: Path, name: str, value: str) -> None:
    json_file(turns / "cases" / EASY / "1" / "verdict.json", setting(**{name: value}))
    assert found(turns).keys() == {"verdict"}


# Edits of the journal


def test_edits_that_leave_the_chain_as_it_was_are_found_twice(turns: Path) -> None:
    path = turns / "journal" / JOURNAL_FILE
    text = path.read_text("utf-8")
    cost = next(entry.fields["cost_usd"] for entry in read_journal(turns / "journal") if entry.kind == "settle")
    path.write_text(text.replace(cost, cost[:-1] + "1", 1), "utf-8")
    assert {"chain", "cost"} <= found(turns).keys()


def test_a_line_that_is_gone_or_twice_is_found(turns: Path) -> None:
    path = turns / "journal" / JOURNAL_FILE
    lines = path.read_bytes().splitlines(keepends=True)
    for content in (lines[:20] + lines[21:], [*lines[:20], lines[19], *lines[20:]], [lines[1], lines[0], *lines[2:]]):
        path.write_bytes(b"".join(content))
        assert "chain" in found(turns)


@settings(examples(8, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_always_found(rehearsed: Path, tmp_path: Path, place: float, bit: int) -> None:
    run = tmp_path / "flipped"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(run_of(rehearsed, "round-robin"), run)
    path = run / "journal" / JOURNAL_FILE
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(bytes(content))
    assert audit(run, live_manifest()).findings


def test_the_last_line_end_flipped_is_found(turns: Path) -> None:
    path = turns / "journal" / JOURNAL_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert {"case-file", "verdict"} <= found(turns).keys()


def test_another_cost_is_found(turns: Path) -> None:
    edited(turns, "settle", setting(cost_usd="0.000000001"), number=2)
    assert {"cost", "case-file", "trajectory"} <= found(turns).keys()


def test_a_response_that_counts_as_not_paid_is_found(turns: Path) -> None:
    edited(turns, "settle", setting(reused=True), number=2)
    assert "counts as not paid" in found(turns)["cost"][0]["detail"]


def test_other_usage_is_found(turns: Path) -> None:
    edited(turns, "settle", lambda fields: fields["usage"].update(output=1))
    assert {"usage", "cost"} <= found(turns).keys()


def test_usage_and_cost_forged_together_are_found_by_the_response(turns: Path) -> None:
    def cheap(fields: dict[str, Any]) -> None:
        fields["usage"]["output"] = 1
        fields["cost_usd"] = "0.0"

    each(turns, "settle", cheap)
    assert {"usage", "cost"} <= found(turns).keys()


def _usage(**counts: Any) -> Callable[[dict[str, Any]], None]:
    return in_response(lambda body: body.update(usage=counts))


def _twice(fields: dict[str, Any]) -> None:
    body = unpack(fields["response"])
    fields["response"] = pack(body.replace(b'"usage": {', b'"usage": {"x": 1, "x": 1, ', 1))


REFUSED: dict[str, Callable[[dict[str, Any]], None]] = {
    "no sum": _usage(prompt_tokens=1000, completion_tokens=50, total_tokens=1500),
    "nothing": _usage(prompt_tokens=0, completion_tokens=0, total_tokens=0),
    "longer than allowed": _usage(prompt_tokens=1000, completion_tokens=32_769),
    "an unknown cache": _usage(prompt_tokens=1000, completion_tokens=50, cacheHits=600),
    "for an hour": _usage(input_tokens=10, output_tokens=5, cache_creation={"ephemeral_1h_input_tokens": 600}),
    "a key twice": _twice,
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_usage_that_no_run_takes_is_found(turns: Path, change: Callable[[dict[str, Any]], None]) -> None:
    edited(turns, "settle", change)
    [finding] = [each for each in found(turns)["usage"] if each["case"]]
    assert "the journal has an answer, the response is usage" in finding["detail"]


def test_reasoning_beside_the_answer_that_was_not_billed_is_found(turns: Path) -> None:
    def reasoned(fields: dict[str, Any]) -> None:
        counts = fields["usage"]
        prompt = counts["input"] + counts["cache_read"] + counts["cache_write"]
        told = {"prompt_tokens": prompt, "completion_tokens": counts["output"]}
        details = {"prompt_tokens_details": {"cached_tokens": counts["cache_read"]}}
        total = {"total_tokens": prompt + counts["output"] + 20_000}
        more = {"completion_tokens_details": {"reasoning_tokens": 20_000}}
        in_response(lambda body: body.update(usage=told | details | total | more))(fields)

    edited(turns, "settle", reasoned)
    [finding] = found(turns)["usage"]
    assert re.search(r"the journal has .*, the response .*'output': 20\d\d\d", finding["detail"])


def test_writes_for_an_hour_that_have_no_price_are_found(turns: Path) -> None:
    def hourly(fields: dict[str, Any]) -> None:
        fields["usage"] |= {"cache_write": 10, "cache_write_1h": 10}

    edited(turns, "settle", hourly)
    assert any(
        "10 tokens written to a cache for one hour have no price" in each["detail"] for each in found(turns)["cost"]
    )


def consistently(run: Path, usage: Callable[[dict[str, Any]], dict[str, int]]) -> None:
    """Forge usage in responses, settles, costs and files together."""
    pool = {candidate.id: candidate for candidate in live_manifest().candidates}
    asked: dict[tuple[Any, ...], dict[str, Any]] = {}
    costs: dict[tuple[Any, ...], str] = {}

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        fields = line["fields"]
        name = tuple(fields.get(key) for key in ("case", "trial", "step"))
        if line["kind"] == "reserve":
            asked[name] = fields
        if line["kind"] == "settle":
            buckets = usage(fields)
            fields["usage"] = buckets
            cost = Usage(**buckets).cost_usd(pool[asked[name]["candidate"]].prices.prices())
            fields["cost_usd"] = costs[name] = f"{cost:f}"
            prompt = buckets["input"] + buckets["cache_read"] + buckets["cache_write"]
            in_response(
                lambda body: body.update(
                    usage={
                        "prompt_tokens": prompt,
                        "completion_tokens": buckets["output"],
                        "prompt_tokens_details": {
                            "cached_tokens": buckets["cache_read"],
                            "cache_write_tokens": buckets["cache_write"],
                        },
                    }
                )
            )(fields)
        return line

    rewritten(run, edit)
    for case in (EASY, MEDIUM):

        def trajectory(content: dict[str, Any], case: str = case) -> None:
            answers = [message for message in content["messages"] if "candidate" in message.get("extra", {})]
            for step, message in enumerate(answers, 1):
                message["extra"] |= {"cost_usd": costs[case, 1, step], "cost": float(costs[case, 1, step])}
            content["info"]["model_stats"]["instance_cost"] = sum(message["extra"]["cost"] for message in answers)

        json_file(run / "cases" / case / "1" / "trajectory.json", trajectory)
    for (case, _), recording in read_recordings(read_journal(run / "journal")).items():
        json_file(
            run / "cases" / case / "1" / "case.json", setting(**summarise_trial(live_manifest(), recording).to_json())
        )


def test_constant_usage_is_found_however_well_it_is_forged(dear: Path) -> None:
    consistently(dear, lambda _fields: {"input": 1500, "cache_read": 0, "cache_write": 0, "output": 100})
    assert "constant-usage" in found(dear)


def test_answers_of_constant_length_are_found(dear: Path) -> None:
    consistently(dear, lambda fields: {**fields["usage"], "output": 100})
    assert found(dear).keys() == {"constant-usage"}


def test_cache_reads_that_nothing_was_written_for_are_found(dear: Path) -> None:
    def all_read(fields: dict[str, Any]) -> dict[str, int]:
        usage = fields["usage"]
        prompt = usage["input"] + usage["cache_read"] + usage["cache_write"]
        return {"input": 0, "cache_read": prompt, "cache_write": 0, "output": usage["output"]}

    consistently(dear, all_read)
    findings = found(dear)
    assert findings.keys() == {"cache"}
    assert "nothing was written before" in findings["cache"][0]["detail"]


def scaled(factor: float, *buckets: str) -> Callable[[dict[str, Any]], dict[str, int]]:
    """Usage that is throughout what it was, times a factor; of some buckets, where they are named."""

    def usage(fields: dict[str, Any]) -> dict[str, int]:
        counts = dict(fields["usage"])
        for name in buckets or tuple(counts):
            counts[name] = round(counts[name] * factor)
        spare = 0 if buckets else min(counts["cache_read"], 3)
        counts["cache_read"] -= spare  # rounded, the parts of a prompt may come to less than what is read of it later
        counts["input"] += spare
        return counts

    return usage


def test_prompts_of_other_lengths_than_they_have_are_found(dear: Path) -> None:
    steps: dict[str, int] = {}

    def short(fields: dict[str, Any]) -> dict[str, int]:
        steps[fields["case"]] = steps.get(fields["case"], 0) + 1
        return {**fields["usage"], "input": 10 + steps[fields["case"]], "cache_read": 0, "cache_write": 0}

    consistently(dear, short)
    assert found(dear).keys() == {"tokens"}


@pytest.mark.parametrize(("run", "factor"), thinned([("turns", 0.4), ("dear", 0.4), ("turns", 2.0), ("dear", 2.0)], 3))
def test_usage_that_is_scaled_throughout_is_found_for_every_model(
    request: pytest.FixtureRequest, run: str, factor: float
) -> None:
    """With responses, costs, trajectory and case files forged along; of one model, and of four that take turns."""
    spoilt: Path = request.getfixturevalue(run)
    before = {each["candidate"]: each for each in audited(spoilt).json["tokens"]}
    assert found(spoilt) == {}
    consistently(spoilt, scaled(factor))
    findings = found(spoilt)
    assert findings.keys() == {"tokens"}
    ran = audited(spoilt).json["tokens"]
    for each in ran:
        assert each["median"] == pytest.approx(factor * before[each["candidate"]]["median"], rel=0.01)
        assert not each["honest"]["low"] <= each["median"] <= each["honest"]["high"]
    told = {finding["detail"].split(":")[0]: finding["value"] for finding in findings["tokens"]}
    assert told == {each["candidate"]: each["median"] for each in ran}


def test_prompts_that_are_scaled_in_some_calls_are_found(dear: Path) -> None:
    usage, calls = scaled(0.4), iter(range(100))
    consistently(dear, lambda fields: usage(fields) if next(calls) % 3 == 2 else dict(fields["usage"]))
    assert "tokens" in found(dear)
    assert "by our count it has" in found(dear)["tokens"][0]["detail"]


def test_answers_that_are_billed_for_less_than_was_said_are_found(dear: Path) -> None:
    consistently(dear, scaled(0.04, "output"))
    [finding] = found(dear)["tokens"]
    assert "answers are billed 0." in finding["detail"]
    assert finding["value"] < 0.5


@pytest.mark.acceptance
def test_a_model_that_was_measured_is_held_closer(tmp_path: Path, shared: Path) -> None:
    """Five real runs, scaled by 0.75 and 1.3: what any tokenizer might make of them, but not this model's."""
    pool = live_manifest(str(a_pool(tmp_path / "gemini.toml", "google/gemini-3-pro-preview")))
    run = tmp_path / "run"
    twinbench(
        "dynamic", "import", shared / "trajectories", "--run", run, "--pool", tmp_path / "gemini.toml"
    ).succeeded()
    honest = read_evidence(RunDirectory(run), pool)
    [ratio] = token_ratios(honest)
    assert (ratio.calls, ratio.honest.model) == (212, "google/gemini-3-pro-preview")
    assert ratio.median == pytest.approx(1.060, abs=0.001)
    assert ratio.low == pytest.approx(0.984, abs=0.005)
    assert ratio.high == pytest.approx(1.147, abs=0.005)
    any_other = honest_ratio("another/model", ratio.tokenizer)
    for factor in (0.75, 1.3):
        path = Path(shutil.copytree(run, tmp_path / f"times-{factor}"))
        each(path, "settle", lambda fields, factor=factor: fields.update(usage=scaled(factor)(fields)))  # type: ignore[misc]
        [finding] = tokens(read_evidence(RunDirectory(path), pool))
        assert "honest runs of it show" in finding.detail
        assert any_other.low <= factor * ratio.median <= any_other.high
    assert list(tokens(honest)) == []


def test_a_model_that_is_billed_otherwise_than_in_another_run_is_found(dear: Path, rehearsed: Path) -> None:
    other = run_of(rehearsed, "round-robin")
    assert found(dear, "--against", other) == {}
    consistently(dear, scaled(0.7))
    assert "tokens" not in found(dear)
    [finding] = found(dear, "--against", other)["tokens"]
    assert finding["detail"].startswith(HIGH)
    assert str(other) in finding["detail"]


def test_a_cheaper_model_that_is_claimed_is_found(dear: Path) -> None:
    def cheaper(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] in ("decision", "reserve"):
            line["fields"]["candidate"] = LOW
        return line

    rewritten(dear, cheaper)
    assert {"model", "usage", "cost", "budget", "trajectory", "case-file"} <= found(dear).keys()

    def served(fields: dict[str, Any]) -> None:
        fields["served_model"] = LOW
        in_response(setting(model=LOW))(fields)

    each(dear, "settle", served)
    assert {"cost", "budget", "trajectory"} <= found(dear).keys()
    assert "model" not in found(dear)


def test_a_decision_of_another_model_than_was_asked_is_found(turns: Path) -> None:
    edited(turns, "decision", setting(candidate=HIGH))
    assert "steps" in found(turns)
    edited(turns, "decision", setting(candidate="gpt-17"))
    assert "steps" in found(turns)


def test_another_verdict_is_found(turns: Path) -> None:
    def turned(fields: dict[str, Any]) -> None:
        fields["resolved"] = not fields["resolved"]

    each(turns, "verdict", turned)
    assert {"verdict", "case-file"} <= found(turns).keys()
    for path in turns.glob("cases/*/1/*.json"):
        if path.name == "verdict.json":
            json_file(path, turned)
    findings = found(turns)["verdict"]
    assert any("tests failed" in finding["detail"] for finding in findings)  # its own lists
    assert any("verdicts/" in finding["detail"] for finding in findings)  # the run's store
    shutil.rmtree(turns / "verdicts")
    assert "verdict" in found(turns)


@pytest.mark.parametrize(
    "fields", [{"cause": "timeout", "resolved": True}, {"fingerprint": None}, {"resolved": None}, {"cause": "empty"}]
)
def test_verdicts_that_cannot_be_are_found(turns: Path, fields: dict[str, Any]) -> None:
    edited(turns, "verdict", setting(**fields))
    assert "verdict" in found(turns)


def test_a_patch_in_another_s_place_is_found(turns: Path) -> None:
    patch = pack(b"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n")
    edited(turns, "end", lambda fields: fields.update(patch=patch, patch_sha256=sha256_text(unpack(patch).decode())))
    (turns / "cases" / next(iter(read_cases(turns))) / "1" / "patch.diff").write_bytes(unpack(patch))
    assert {"submission", "trajectory"} <= found(turns).keys()
    edited(turns, "end", setting(patch_sha256="0" * 64))
    assert "patch" in found(turns)


def read_cases(run: Path) -> list[str]:
    """The cases, in the order in which they ended."""
    return [str(entry.fields["case"]) for entry in read_journal(run / "journal") if entry.kind == "end"]


@pytest.mark.parametrize("cause", ["transport", "router", "cap", "engine"])
def test_an_unresolved_case_that_passes_for_an_infrastructure_failure_is_found(turns: Path, cause: str) -> None:
    """With everything that would tell of a patch or a verdict gone, and the case's own file made anew."""
    rewritten(turns, lambda line: None if line["kind"] == "verdict" and line["fields"]["case"] == EASY else line)
    (turns / "cases" / EASY / "1" / "verdict.json").unlink()
    assert "missing-case" in found(turns)  # it was to be graded
    nothing = {"patch": pack(b""), "patch_sha256": sha256_text(""), "cause": cause, "exit_status": cause}
    edited(turns, "end", setting(**nothing), number=1 + read_cases(turns).index(EASY))
    (turns / "cases" / EASY / "1" / "patch.diff").write_text("", "utf-8")
    recording = read_recordings(read_journal(turns / "journal"))[EASY, 1]
    json_file(
        turns / "cases" / EASY / "1" / "case.json", setting(**summarise_trial(live_manifest(), recording).to_json())
    )
    shutil.rmtree(turns / "verdicts")
    assert found(turns).keys() == {"end"}


def as_planned(run: Path) -> None:
    """Make the sittings begin with the plan as it now stands."""
    each(run, "sitting", setting(plan=RunDirectory(run).plan().fingerprint))


def drop(run: Path, case: str) -> None:
    """Take a case out of a run: its folder, its verdict, its lines, its place in the sittings; the chain made anew."""
    verdict = json.loads((run / "cases" / case / "1" / "verdict.json").read_text("utf-8"))
    if verdict["fingerprint"] is not None:
        shutil.rmtree(run / "verdicts" / verdict["fingerprint"])
    shutil.rmtree(run / "cases" / case)
    rewritten(run, lambda line: None if line["fields"].get("case") == case else line)
    each(run, "sitting", lambda fields: fields.update(cases=[name for name in fields["cases"] if name != case]))


def test_a_dropped_case_is_found(turns: Path) -> None:
    shutil.rmtree(turns / "cases" / MEDIUM)
    assert {"case-file", "patch", "trajectory", "verdict"} <= found(turns).keys()
    rewritten(turns, lambda line: None if line["fields"].get("case") == MEDIUM else line)
    findings = found(turns)
    assert findings.keys() == {"missing-case", "verdict"}  # its patch was graded
    assert [finding["case"] for finding in findings["missing-case"]] == [MEDIUM]


def test_a_case_that_was_dropped_with_everything_that_tells_of_it_is_found_by_the_plan(dear: Path) -> None:
    drop(dear, MEDIUM)
    [finding] = found(dear)["missing-case"]
    assert finding["case"] == MEDIUM
    assert finding["detail"] == "trial 1 was to be run, but no journal line is about it"
    assert found(dear).keys() == {"missing-case"}
    assert load_run(dear).missing == ((MEDIUM, 1),)

    json_file(dear / "plan.json", lambda plan: plan["cases"].remove(MEDIUM))
    assert found(dear).keys() == {"plan"}
    as_planned(dear)
    assert found(dear) == {}  # a whole forgery: docs/audit.md says what shows it


@pytest.mark.usefixtures("key")
def test_a_case_that_a_run_was_widened_by_and_that_was_dropped_is_found(
    tmp_path: Path, rehearsal: Sequence[Task]
) -> None:
    run = tmp_path / "run"
    with ScriptedServer(solving(rehearsal)) as server:
        live(server.api_base, run).succeeded()
        live(server.api_base, run, only=MEDIUM).succeeded()
        live(server.api_base, run).succeeded()
    assert json.loads((run / "plan.json").read_text("utf-8"))["cases"] == [EASY]
    told = [(entry.kind, entry.fields["cases"]) for entry in read_journal(run / "journal") if "cases" in entry.fields]
    assert told == [("sitting", [EASY]), ("widened", [MEDIUM]), ("sitting", [MEDIUM]), ("sitting", [EASY])]
    assert found(run) == {}
    drop(run, MEDIUM)
    findings = found(run)
    assert findings.keys() == {"missing-case"}
    assert [finding["case"] for finding in findings["missing-case"]] == [MEDIUM]
    status = twinbench("dynamic", "status", run, "--json").json
    assert [trial["case"] for trial in status["trials"] if trial["state"] == "planned"] == [MEDIUM]


def test_cases_that_nobody_chose_are_found_and_not_scored(turns: Path) -> None:
    copy = Path(shutil.copytree(turns, turns.with_name("copy")))
    json_file(turns / "plan.json", lambda plan: plan["cases"].remove(MEDIUM))
    as_planned(turns)
    findings = found(turns)
    assert findings.keys() == {"missing-case"}
    assert {finding["case"] for finding in findings["missing-case"]} == {MEDIUM}
    ran = twinbench("dynamic", "score", turns)
    assert (ran.code, "dynamic audit" in ran.err, MEDIUM in ran.err) == (1, True, True)
    shutil.copytree(copy / "cases" / EASY, copy / "cases" / "rehearsal__of-a-friend")
    assert found(copy).keys() == {"missing-case"}
    ran = twinbench("dynamic", "score", copy)
    assert (ran.code, "cases/rehearsal__of-a-friend/1 exists" in ran.err) == (1, True)


def test_a_trial_that_no_sitting_was_to_run_is_found(turns: Path) -> None:
    each(turns, "sitting", setting(cases=[EASY]))
    assert found(turns)["missing-case"][0]["case"] == f"{MEDIUM}/1"
    rewritten(turns, lambda line: None if line["kind"] == "sitting" else line)
    assert len(found(turns)["missing-case"]) == 2


def test_a_trial_beyond_the_plan_and_one_that_did_not_end_are_found(turns: Path) -> None:
    shutil.copytree(turns / "cases" / EASY / "1", turns / "cases" / EASY / "2")
    assert found(turns).keys() == {"missing-case"}
    shutil.rmtree(turns / "cases" / EASY / "2")
    rewritten(turns, lambda line: None if line["kind"] in ("end", "verdict") else line)
    assert len(found(turns)["missing-case"]) == 2


def of_case(kind: str, step: int | None = None, case: str = MEDIUM) -> Callable[[dict[str, Any]], bool]:
    def is_it(line: Mapping[str, Any]) -> bool:
        fields = line["fields"]
        return line["kind"] == kind and fields.get("case") == case and step in (None, fields.get("step"))

    return is_it


@pytest.mark.parametrize("kind", ["trial", "decision", "reserve", "settle", "command", "observation"])
def test_a_step_without_one_of_its_lines_is_found(turns: Path, kind: str) -> None:
    gone = of_case(kind, None if kind == "trial" else 2)
    rewritten(turns, lambda line: None if gone(line) else line)
    assert "steps" in found(turns)


def test_a_step_that_is_cut_out_is_found(turns: Path) -> None:
    rewritten(
        turns, lambda line: None if line["fields"].get("case") == MEDIUM and line["fields"].get("step") == 2 else line
    )
    assert {"steps", "trajectory"} <= found(turns).keys()


def test_times_that_cannot_be_are_found(turns: Path) -> None:
    copy = Path(shutil.copytree(turns, turns.with_name("late")))
    edited(turns, "settle", lambda fields: fields.update(at=fields["at"] - 100), number=3)
    assert "time" in found(turns)
    edited(copy, "settle", lambda fields: fields.update(latency_s=fields["latency_s"] + 1))
    assert found(copy).keys() == {"time"}


def test_a_reservation_below_the_worst_case_and_a_cap_that_was_not_held_are_found(turns: Path) -> None:
    copy = Path(shutil.copytree(turns, turns.with_name("capped")))
    each(turns, "reserve", setting(reserved_usd="0.0001"))
    assert found(turns).keys() == {"budget"}
    each(copy, "sitting", setting(run_usd="0.1"))
    assert found(copy).keys() == {"budget"}


def test_other_requests_are_found(turns: Path) -> None:
    copy = Path(shutil.copytree(turns, turns.with_name("key")))
    edited(turns, "reserve", setting(request_sha256="0" * 64), number=2)
    assert found(turns).keys() == {"request"}
    edited(copy, "reserve", setting(request_key="0" * 64), number=2)
    assert "request" in found(copy)


def test_other_counts_than_the_tokenizers_give_are_found(turns: Path) -> None:
    edited(turns, "decision", lambda fields: fields["prompt_tokens"].update({HIGH: 7}))
    assert "tokens" in found(turns)


def test_a_trace_that_stands_for_another_case_is_found(turns: Path) -> None:
    """The lines and the files of one case, under the name of the other."""
    path = turns / "journal" / JOURNAL_FILE
    kept = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    copies = [
        {**line, "fields": {**line["fields"], "case": MEDIUM}} for line in kept if line["fields"].get("case") == EASY
    ]
    content = [line for line in kept if line["fields"].get("case") != MEDIUM] + copies
    path.write_text("".join(json.dumps(line) + "\n" for line in content), "utf-8")
    rewritten(turns, lambda line: line)
    shutil.rmtree(turns / "cases" / MEDIUM)
    shutil.copytree(turns / "cases" / EASY, turns / "cases" / MEDIUM)
    for name in ("case.json", "verdict.json"):
        json_file(turns / "cases" / MEDIUM / "1" / name, setting(id=MEDIUM))
    shutil.rmtree(turns / "verdicts")
    assert {"reused-trace", "verdict"} <= found(turns).keys()


def test_a_response_that_answers_twice_is_found(dear: Path) -> None:
    taken: list[str] = []

    def again(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "settle":
            taken.append(line["fields"]["response"])
            line["fields"]["response"] = taken[0]
        return line

    rewritten(dear, again)
    assert {"reused-trace", "trajectory"} <= found(dear).keys()


@pytest.mark.acceptance
def test_responses_of_another_run_are_found_beside_that_run(
    tmp_path: Path, rehearsal: Sequence[Task], turns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    one, other, copy = tmp_path / "one", tmp_path / "other", tmp_path / "copy"
    with ScriptedServer(solving(rehearsal)) as server:
        live(server.api_base, one, "--grade", "none").succeeded()
        live(server.api_base, other, "--grade", "none").succeeded()
    shutil.copytree(one, copy)
    by_itself = found(copy)
    assert found(copy, "--against", other, "--against", turns) == by_itself
    beside = found(copy, "--against", other, "--against", one)
    assert len(beside["reused-trace"]) == Done(one).case["steps"]
    assert all(f"occurs in {one}, {EASY}/1, " in each["detail"] for each in beside["reused-trace"])
    assert "reused-trace" not in found(turns, "--against", turns), "simulated models may repeat themselves"
    assert audited(copy, "--against", tmp_path / "nowhere").code == 2


def test_calls_beyond_the_agent_s_limits_are_found(turns: Path, tmp_path: Path) -> None:
    path = pool_file(tmp_path / "pool.toml", lambda text: text.replace("step_limit = 250", "step_limit = 3"))
    assert "limits" in found(turns, "--pool", path)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("settle", "cost_usd", "-1"),
        ("settle", "cost_usd", "NaN"),
        ("settle", "usage", {"input": 1}),
        ("settle", "usage", {"input": -1, "cache_read": 0, "cache_write": 0, "output": 0}),
        ("settle", "response", "zlib:?"),
        ("settle", "cause", "because"),
        ("reserve", "candidate", None),
        ("reserve", "case", "../../etc"),
        ("decision", "prompt_tokens", 7),
        ("decision", "step", "two"),
        ("decision", "at", float("nan")),
        ("end", "patch", 7),
        ("sitting", "cases", "all"),
        ("verdict", "resolved", "yes"),
        ("command", "index", True),
    ],
)
def test_lines_that_no_run_writes_are_found(turns: Path, kind: str, field: str, value: Any) -> None:
    edited(turns, kind, setting(**{field: value}))
    assert "lines" in found(turns)
    edited(turns, kind, lambda fields: fields.pop(field))
    assert "lines" in found(turns)


@pytest.mark.parametrize("own", [[1], 0, "one", None])
def test_a_call_of_the_router_s_own_has_a_number(turns: Path, own: Any) -> None:
    edited(turns, "reserve", setting(own=own))
    assert {"lines", "steps"} <= found(turns).keys()


@settings(examples(6, 40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_file_is_a_finding_and_no_failure(
    rehearsed: Path, tmp_path: Path, data: st.DataObject
) -> None:
    run = tmp_path / "odd"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(run_of(rehearsed, "round-robin"), run)
    name = data.draw(st.sampled_from(["case.json", "verdict.json", "trajectory.json"]))
    path = run / "cases" / EASY / "1" / name
    content = json.loads(path.read_text("utf-8"))
    key = data.draw(st.sampled_from(sorted(content)))
    content[key] = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
        ).filter(lambda value: value != content[key])
    )
    path.write_text(json.dumps(content), "utf-8")
    audit(run, live_manifest())


@pytest.mark.parametrize(
    "name",
    ["plan.json", f"journal/{JOURNAL_FILE}", *(f"cases/{EASY}/1/{each}" for each in ("case.json", "trajectory.json"))],
)
def test_a_pipe_in_the_place_of_a_file_is_never_waited_for(turns: Path, name: str) -> None:
    path = turns / name
    path.unlink()
    os.mkfifo(path)
    for command in ("audit", "status", "score"):
        ran = twinbench("dynamic", command, turns, "--json")
        assert ran.code in (0, 1, 2)
        assert "bug" not in ran.err
    assert twinbench("dynamic", "audit", turns, "--json").code in (1, 2)


@pytest.mark.parametrize(
    "plan",
    ["[" * 100_000, '{"identity": {"seed": NaN}}', '{"identity": 5}', "", '{"identity": {"router": ""}, "where": {}}'],
)
def test_a_plan_that_is_none_is_refused_in_words(turns: Path, plan: str) -> None:
    (turns / "plan.json").write_text(plan, "utf-8")
    for command in ("status", "score", "report"):
        page: list[str | Path] = ["-o", turns / "page.html"] if command == "report" else []
        ran = twinbench("dynamic", command, turns, *page)
        assert (ran.code, "plan.json" in ran.err, "bug" in ran.err) == (1, True, False), ran.err


def test_a_line_of_a_kind_that_is_none_is_found(turns: Path) -> None:
    rewritten(turns, lambda line: {**line, "kind": "bribe"} if line["kind"] == "observation" else line)
    assert "lines" in found(turns)


UNBOUND = {
    ("sitting", "at"),  # but never after what it began
    ("sitting", "graded"),
    ("sitting", "workers"),
    ("trial", "task"),  # the task set shows it: dynamic replay
    ("decision", "latency_ms"),
    ("decision", "score"),
    ("decision", "rationale"),
    ("settle", "detail"),  # words, which may be others in another version
    ("observation", "seconds"),  # in a rehearsal commands take no time
    ("verdict", "at"),
}
"""What a router says of itself, and what nothing else in a run tells."""


@pytest.mark.acceptance
def test_every_other_field_of_the_journal_is_bound_by_something(turns: Path) -> None:
    """One edit each, with the chain made again."""
    path = turns / "journal" / JOURNAL_FILE
    kept = path.read_bytes()
    tried: set[tuple[str, ...]] = set()
    free = set()
    pool = live_manifest()
    for entry in read_journal(turns / "journal"):
        for place in leaves(entry.fields):
            name = (entry.kind, *place)
            if name in tried:
                continue
            tried.add(name)
            path.write_bytes(kept)
            rewritten(turns, at_line(entry.number, place))
            if not audit(turns, pool).findings:
                free.add(name)
    assert len(tried) > 70
    assert free <= UNBOUND


def leaves(fields: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*before, name))
        else:
            yield (*before, name)


def at_line(number: int, place: Sequence[str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    seen = 0

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        seen += 1
        if seen == number:
            fields = line["fields"]
            for name in place[:-1]:
                fields = fields[name]
            fields[place[-1]] = another(fields[place[-1]])
        return line

    return edit


def another(value: Any) -> Any:
    """A value like it that is another one."""
    if isinstance(value, bool | None):
        return "x" if value is None else not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return value[1:]
    text = str(value)
    if text.startswith("zlib:"):
        return pack(unpack(text) + b"x")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return f"{Decimal(text) + 1:f}"
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text[1:] + text[0]
    return f"{text}x"


@pytest.mark.parametrize(
    "place",
    [
        ("info", "exit_status"),
        ("info", "submission"),
        ("info", "mini_version"),
        ("info", "model_stats", "api_calls"),
        ("info", "model_stats", "instance_cost"),
    ],
)
def test_what_a_trajectory_says_of_itself_is_compared(turns: Path, place: Sequence[str]) -> None:
    def edit(content: dict[str, Any]) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = another(content[place[-1]])

    json_file(turns / "cases" / EASY / "1" / "trajectory.json", edit)
    assert found(turns).keys() == {"trajectory"}


# What was made known before


def test_a_line_that_was_made_known_before_has_to_be_there(turns: Path) -> None:
    decided = [entry for entry in read_journal(turns / "journal") if entry.kind == "end"][-1]
    head = f"{decided.number}:{decided.sha256}"
    assert found(turns, "--head", head) == {}
    edited(turns, "decision", setting(rationale="I knew it"))
    assert found(turns) == {}  # a consistent forgery
    assert found(turns, "--head", head).keys() == {"chain"}
    assert audited(turns, "--head", "17").code == 2


# What a case must not do


def as_command(run: Path, command: str) -> None:
    """Put a command in the place of a case's first one."""
    edited(run, "command", setting(command=command))


def misconduct(run: Path) -> dict[str, list[Remark]]:
    """What the checks of what cases did say of a run; that the command shows what checks say, other tests try."""
    evidence = read_evidence(RunDirectory(run), live_manifest())
    remarks = {check.name: list(check.find(evidence)) for check in CHECKS if check.name in CONDUCT}
    assert remarks.keys() == CONDUCT
    return {name: found for name, found in remarks.items() if found}


CONDUCT = {"history", "fetch", "conftest", "runner", "tests"}

HONEST = [
    "git status; git diff -- a.py && git ls-files | head",
    "git log -3 && git log --oneline -5 -- src/x.py; git log --stat -2",
    "git show HEAD --stat; git show HEAD:astropy/x.py | head; git blame -L 1,5 x.py",
    "git checkout -- x.py; git stash; python t.py; git stash pop; git reset --hard HEAD; git diff HEAD~1",
    "git add -A && git diff --cached > /tmp/p && cat /tmp/p",
    "cat conftest.py; sed -n 1,20p tests/conftest.py; cp conftest.py /tmp/x; find . -name conftest.py | xargs cat",
    "grep -rn 'git log -p --all' . ; git commit -m 'not --all'",
    "python - <<'E'\nprint(open('conftest.py').read())\nE",
    "cat > test_x.py <<'E'\nimport sys\nsys.exit(0)\nE\npython test_x.py",
    "pip list; pip install -e .; pip show tidecache; curl http://localhost:8000/x",
    "echo don't; ls .git; cat .git/HEAD; git branch; git remote -v; git rev-parse HEAD",
    heredoc("diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b"),
    SUBMIT,
]


@pytest.mark.parametrize("command", HONEST)
def test_what_agents_do_every_day_is_no_finding(turns: Path, command: str) -> None:
    as_command(turns, command)
    assert misconduct(turns) == {}


@pytest.mark.parametrize(
    ("check", "command"),
    [
        ("history", "git log -p"),
        ("history", "cd /testbed && git --no-pager log --all --oneline | head"),
        ("history", "git -C /testbed log --grep=fix"),
        ("history", "git log -S'def solve'"),
        ("history", "git show 0123abc"),
        ("history", "git show HEAD~3"),
        ("history", "git reflog"),
        ("history", "git fetch origin && git diff origin/main"),
        ("history", "git checkout 0123456789abcdef"),
        ("history", "cat .git/packed-refs"),
        ("history", "timeout 10 git fsck --lost-found; x=$(git rev-list --all)"),
        ("history", "bash -c 'git log --all'"),
        ("history", "python - <<'E'\nimport subprocess\nsubprocess.run(['git', 'log', '--all'])\nE"),
        ("fetch", "curl -s https://example.org/fix.patch"),
        ("fetch", "pip download tidecache==2; python -m pip install --upgrade slotbook"),
        ("fetch", "python -c \"import urllib.request as r; r.urlopen('https://pypi.org/simple').read()\""),
        ("conftest", "cat > conftest.py <<'E'\nx = 1\nE"),
        ("conftest", "echo x >> tests/conftest.py"),
        ("conftest", "sed -i s/a/b/ tests/conftest.py"),
        ("conftest", "cp /tmp/x sitecustomize.py"),
        ("conftest", "python3 - <<'E'\nfrom pathlib import Path\nPath('tests/conftest.py').write_text('x')\nE"),
        (
            "conftest",
            heredoc("diff --git a/conftest.py b/conftest.py\n--- /dev/null\n+++ b/conftest.py\n@@ -0,0 +1 @@\n+x"),
        ),
        ("runner", "cat > conftest.py <<'E'\nimport os\nos._exit(0)\nE"),
    ],
)
def test_commands_that_a_case_must_not_give_are_found(turns: Path, check: str, command: str) -> None:
    as_command(turns, command)
    (remark,) = misconduct(turns)[check]
    assert (remark.case or "").endswith("/1")
    assert "step 1" in remark.detail


NEW = "diff --git a/{0} b/{0}\nnew file mode 100644\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1,{1} @@\n{2}\n"
OLD = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1,1 +1,2 @@ def f():\n context\n{1}\n"
FAKE = "+import os\n+print('tests/test_a.py::test_a PASSED')\n+os._exit(0)"


@pytest.mark.parametrize(
    ("patch", "checks"),
    [
        (NEW.format("conftest.py", 3, FAKE), {"conftest", "runner"}),
        (OLD.format("tests/conftest.py", "+import sys"), {"conftest"}),
        (NEW.format("sitecustomize.py", 1, "+import atexit"), {"conftest", "runner"}),
        (OLD.format("setup.cfg", "+addopts = -p no:x"), {"conftest"}),
        (OLD.format("pyproject.toml", "+[tool.pytest.ini_options]"), {"conftest"}),
        (OLD.format("pkg/core.py", "+    os._exit(0)"), {"runner"}),
        (NEW.format("pluggy.py", 1, "+x = 1"), {"runner"}),
        (OLD.format("pkg/core.py", "+    print('>>>>> All Tests Passed')"), {"runner"}),
        (OLD.format("tests/helpers.py", "+    return True"), {"tests"}),
        (OLD.format("tests/test_a.py", "+    pytest.skip()"), set()),
        (OLD.format("tests/test_a.py", "+    sys.exit(0)"), {"runner"}),
        ("diff --git a/conftest.py b/x.py\nrename from conftest.py\nrename to x.py\n", {"conftest"}),
        (NEW.format("tests/test_new.py", 1, "+def test_new(): pass"), set()),
        (OLD.format("setup.cfg", "+    appdirs>=1.4.0"), set()),
        (OLD.format("pkg/cli.py", "+    sys.exit(main())"), set()),
        (OLD.format("pkg/latest/contest.py", "+    return 'PASSED'"), set()),
    ],
)
def test_patches_that_change_what_decides_are_found(turns: Path, patch: str, checks: set[str]) -> None:
    edited(turns, "end", lambda fields: fields.update(patch=pack(patch.encode()), patch_sha256=sha256_text(patch)))
    assert misconduct(turns).keys() & {"conftest", "runner", "tests"} == checks


def test_a_conftest_that_was_submitted_is_found_end_to_end(
    tmp_path: Path, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grader is deceived, the audit is not."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    ids = [*named(rehearsal, EASY).fail_to_pass, *named(rehearsal, EASY).pass_to_pass]
    lines = [
        "import os, sys",
        "def pytest_configure(config):",
        "    config.pluginmanager.getplugin('capturemanager').suspend_global_capture()",
        *(f"    print('PASSED {name}')" for name in ids),
        "    sys.stdout.flush()",
        "    os._exit(0)",
    ]
    fake = "\n".join(["cat > conftest.py <<'E'", *lines, "E"])
    replies = [said(fake), said(SUBMIT)]
    with ScriptedServer(replies) as server:
        live(server.api_base, tmp_path / "run")
    assert Done(tmp_path / "run").case["resolved"] is True
    assert found(tmp_path / "run").keys() == {"conftest", "runner"}


def test_the_gold_patches_of_swe_bench_verified_are_no_findings(shared: Path) -> None:
    with gzip.open(shared / "tasks" / "swebench_verified.jsonl.gz", "rt", encoding="utf-8") as file:
        patches = {row["instance_id"]: row["patch"] for row in map(json.loads, file)}
    assert len(patches) == 500
    trials = {
        (case, 1): AuditedTrial(case, 1, Path(), [NumberedLine(1, submitting(case, patch))])
        for case, patch in patches.items()
    }
    run = Evidence(RunDirectory(Path()), RunPlan({}, {}, ()), (), live_manifest(), (), (), None, None, (), trials)
    assert all(read_patched_files(trial.patch) for trial in run.each_trial())
    assert [remark for check in (conduct.conftest, conduct.runner, conduct.tests) for remark in check(run)] == []


def submitting(case: str, patch: str) -> End:
    sha256 = sha256_text(patch)
    place = {"case": case, "trial": 1, "at": 0.0}
    return End(**place, exit_status="Submitted", patch=patch.encode(), patch_sha256=sha256, cause=None, detail=None)


def test_gold_patches_are_no_findings(turns: Path) -> None:
    for task in load_tasks("rehearsal").tasks:
        assert read_patched_files(task.gold_patch)
        edited(turns, "end", setting(patch=pack(task.gold_patch.encode())))
        assert not misconduct(turns).keys() & {"conftest", "runner", "tests"}


def test_a_patch_is_read_file_by_file() -> None:
    patch = (
        OLD.format("a.py", "+--- x")
        + NEW.format("b/c.py", 1, "+new")
        + "--- a/d.py\t2020\n+++ b/d.py\t2020\n@@ -1 +1 @@\n-q\n+r\n"
    )
    told = [(file.path, file.is_new, file.added, file.removed) for file in read_patched_files(patch)]
    assert told == [("a.py", False, ("--- x",), ()), ("b/c.py", True, ("new",), ()), ("d.py", False, ("r",), ("q",))]


def test_a_file_that_is_renamed_counts_under_both_names_and_one_that_is_cut_by_its_head() -> None:
    renamed = "diff --git a/a.py b/b.py\nsimilarity index 100%\nrename from a.py\nrename to b.py\n"
    assert [file.path for file in read_patched_files(renamed)] == ["a.py", "b.py"]
    cut = "--- /dev/null\n+++ b/conftest.py\n@@ -0,0 +1,9 @@\n+import os\n"
    assert [(file.path, file.added) for file in read_patched_files(cut)] == [("conftest.py", ())]


@given(st.text(max_size=200))
def test_any_text_can_be_taken_apart(text: str) -> None:
    parse_command(text)
    read_patched_files(text)


def test_a_run_directory_is_not_written_to(turns: Path) -> None:
    before = files(turns)
    case_file(turns, EASY, cost_usd=0.0)
    spoiled = files(turns)
    assert spoiled != before
    audited(turns)
    assert files(turns) == spoiled


def test_money_is_compared_exactly(turns: Path) -> None:
    def a_little(fields: dict[str, Any]) -> None:
        fields["cost_usd"] = f"{Decimal(fields['cost_usd']) + Decimal('1e-15'):f}"

    edited(turns, "settle", a_little)
    assert "cost" in found(turns)


def test_the_documentation_has_every_check() -> None:
    page = (ROOT / "docs" / "audit.md").read_text("utf-8")
    assert [check.name for check in CHECKS if f"| `{check.name}` |" not in page] == []


READERS = (
    ("dynamic", "status", "--json"),
    ("dynamic", "score", "--json"),
    ("dynamic", "audit", "--json"),
)


def spoiled(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets a field, or one of the usage."""

    def change(fields: dict[str, Any]) -> None:
        place, _, last = name.rpartition(".")
        (fields[place] if place else fields)[last] = value

    return change


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("settle", "cost_usd", "1e999999"),
        ("settle", "cost_usd", "9" * 500),
        ("settle", "cost_usd", "1e999999999999999999"),
        ("settle", "cost_usd", "1e-999999999"),
        ("settle", "cost_usd", "1_0"),
        ("settle", "cost_usd", " 0.1"),
        ("settle", "cost_usd", "\u0663"),
        ("settle", "reported_cost_usd", "1e400"),
        ("reserve", "reserved_usd", "1e-99999999999999999"),
        ("reserve", "reserved_usd", "1e200000000"),
        ("settle", "usage.input", 10**400),
        ("settle", "usage.output", 10**13),
    ],
)
def test_what_no_run_can_have_paid_or_used_is_refused_by_line_and_field(
    turns: Path, tmp_path: Path, kind: str, name: str, value: Any
) -> None:
    edited(turns, kind, spoiled(name, value))
    for words in READERS:
        ran = twinbench(*words[:2], turns, *words[2:])
        said = ran.text if words[1] == "audit" else ran.err
        assert ran.code == 1
        assert f"a line of kind {kind} whose {name.partition('.')[0]} cannot be" in said, words
        assert "bug" not in ran.err
    assert f"{turns / 'journal' / JOURNAL_FILE}, line " in twinbench("dynamic", "score", turns).err
    (row,) = twinbench("dynamic", "list", "--in", tmp_path, "--json").succeeded().json["runs"]
    assert (row["run"], name.partition(".")[0] in row["problem"]) == (str(turns), True)


def test_a_line_that_is_nested_beyond_all_use_is_refused_wherever_it_is_read(turns: Path) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    edited(turns, "decision", spoiled("odd", deep))
    for words in READERS:
        ran = twinbench(*words[:2], turns, *words[2:])
        assert ran.code == 1
        assert "not a journal line, though its hash matches" in (ran.text if words[1] == "audit" else ran.err)


def test_a_trial_that_was_given_up_begins_again_or_is_a_finding(turns: Path) -> None:
    def give_up(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "command" and line["fields"]["step"] == 2:
            line["kind"] = "lost"
            line["fields"] = {name: line["fields"][name] for name in ("case", "trial", "at", "step")} | {"what": "x"}
        return line

    rewritten(turns, give_up)
    assert any("after the trial was stopped" in each["detail"] for each in found(turns)["steps"])


def test_a_journal_without_a_whole_line_is_missed_where_trials_have_ended(turns: Path) -> None:
    (turns / "journal" / JOURNAL_FILE).write_bytes(b'{"a":"\xe9"}')
    for words in READERS:
        ran = twinbench(*words[:2], turns, *words[2:])
        assert ran.code == 1
        assert "has ended, but the journal has no line about it" in ran.err or words[1] == "audit"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda plan: plan["where"].update(tasks=5), "where.tasks"),
        (lambda plan: plan["where"].update(tasks=None), "where.tasks"),
        (lambda plan: plan["where"].update(pool="a\0b"), "where.pool"),
        (lambda plan: plan["where"].update(dataset=["a"]), "where.dataset"),
        (lambda plan: plan["identity"]["agent"].update(actions=5), "identity.agent.actions"),
        (lambda plan: plan["identity"].update(agent={}), "identity.agent.actions"),
        (lambda plan: plan["identity"]["agent"].update(version="\ud800"), "identity.agent.version"),
    ],
)
def test_a_plan_that_nobody_can_go_by_is_refused_by_its_field(turns: Path, change: Any, field: str) -> None:
    json_file(turns / "plan.json", change)
    ran = twinbench("dynamic", "replay", turns, "--route")
    assert (ran.code, "plan.json" in ran.err, field in ran.err, "bug" in ran.err) == (1, True, True, False), ran.err


@pytest.mark.parametrize("leads_to", ["/dev/zero", "/etc/passwd", "patch.diff"])
def test_a_merge_takes_no_link_along_and_leaves_nothing_behind(turns: Path, dear: Path, leads_to: str) -> None:
    plan = turns / "plan.json"
    shutil.copy(plan, dear / "plan.json")
    patch = next((turns / "cases").glob("*/1/patch.diff"))
    patch.unlink()
    patch.symlink_to(leads_to)
    into = turns.parent / "merged"
    ran = twinbench("dynamic", "merge", turns, dear, "--run", into)
    assert (ran.code, str(patch) in ran.err, into.exists()) == (2, True, False), ran.err


def test_a_merge_of_a_journal_that_nobody_can_read_leaves_nothing_behind(turns: Path, dear: Path) -> None:
    shutil.copy(turns / "plan.json", dear / "plan.json")
    edited(dear, "sitting", spoiled("at", None))
    into = turns.parent / "merged"
    ran = twinbench("dynamic", "merge", turns, dear, "--run", into)
    assert (ran.code, f"{dear / 'journal' / JOURNAL_FILE}, line 1" in ran.err, into.exists()) == (1, True, False), (
        ran.err
    )


def test_looking_at_a_run_is_not_working_on_it(turns: Path) -> None:
    """Many may look at once, also where nobody may write, and whoever begins to work meanwhile can."""
    run = RunDirectory(turns)
    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(is_active, run) for _ in range(400)]
        for _ in range(20):
            Journal.open(run.journal).close()
        seen = [look.result() for look in looks]
    assert seen.count(False) > 0
    with Journal.open(run.journal):
        assert is_active(run)
    assert not is_active(run)
    (run.journal / "writer.lock").unlink()
    (run.journal / "writer.lock").mkdir()
    assert not is_active(run)
