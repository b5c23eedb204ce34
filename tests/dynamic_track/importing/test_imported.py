"""Runs that were made elsewhere: their costs beside the gateway's, and recordings of them that replay."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.importing.recording import import_runs
from dynamic_track.importing.replaying import replay_imported
from static_track.banks.bank import Bank
from tests.cli.commands import Ran, files, twinbench
from tests.examples import thinned
from tests.runs import (
    MODEL,
    OPENING,
    V1,
    V2,
    Run,
    a_pool,
    a_run,
    calling,
    observed,
    packaged_run,
    response,
    saying,
    v1,
    v2,
    write_run,
)
from twinbench.calls.journal import read_journal
from twinbench.calls.recording import Recording, read_recordings
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest
from twinbench.storage.store import Store

COST = Decimal("0.0014")
"""Of each call of ``tests.runs``: 500 fresh tokens, 500 from the cache, 25 out."""

REPORTED = {
    "django__django-12262": (25, "0.299123"),
    "matplotlib__matplotlib-24637": (41, "0.5139246"),
    "psf__requests-1142": (71, "0.7816148"),
    "pydata__xarray-4629": (18, "0.1260062"),
    "sympy__sympy-21612": (57, "0.5504482"),
}
"""Calls and the gateway's cost of the shared runs, as each file's ``model_stats`` have them."""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return a_pool(tmp_path / "pool.toml")


def imported(run: Path, pool: Path | str, *paths: Path) -> Ran:
    return twinbench("dynamic", "import", *paths, "--run", run, "--pool", pool, "--json")


def replayed(run: Path, *more: str | Path) -> Ran:
    return twinbench("dynamic", "replay", run, "--json", *more)


def recorded(run: Path) -> dict[str, Recording]:
    return {case: each for (case, _), each in read_recordings(read_journal(run / "journal")).items()}


def test_each_calls_cost_stands_beside_the_gateways_with_the_difference(tmp_path: Path, pool: Path) -> None:
    content = v1()
    content["messages"][2]["extra"]["response"]["usage"]["cost"] = 0.0015
    ran = imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", content)).succeeded()

    (run,) = ran.json["runs"]
    assert (run["case"], run["calls"], run["recorded"], run["exit_status"]) == ("a__a-1", 3, 3, "Submitted")
    assert [call["cost_usd"] for call in run["by_call"]] == [float(COST)] * 3
    assert [call["difference_usd"] for call in run["by_call"]] == [-0.0001, 0.0, 0.0]
    assert run["difference_usd"] == -0.0001
    first = run["by_call"][0]
    assert first["usage"] == {"input": 500, "cache_read": 500, "cache_write": 0, "output": 25}
    assert (first["served_model"], first["served_by"], first["candidate"]) == (MODEL, "Host", "one")


def test_both_formats_replay_to_their_end(tmp_path: Path, pool: Path) -> None:
    paths = [write_run(tmp_path / "1.traj.json", v1()), write_run(tmp_path / "2.traj.json", v2())]
    imported(tmp_path / "run", pool, *paths).succeeded()

    ran = replayed(tmp_path / "run").succeeded()

    assert (ran.json["cases"], ran.json["equal"]) == (2, 2)
    text, tools = ran.json["runs"]
    assert (text["replayed"], text["answers"], text["commands"]) == (3, 3, 2)  # the second answer had no command
    assert (tools["replayed"], tools["answers"], tools["commands"]) == (3, 2, 3)  # the second answer was not kept
    assert text["cost_usd"] == tools["cost_usd"] == float(3 * COST)


def test_the_recording_is_a_run_of_ours_that_says_where_it_is_from(tmp_path: Path, pool: Path) -> None:
    imported(tmp_path / "run", pool, write_run(tmp_path / "2.traj.json", v2())).succeeded()

    plan = json.loads((tmp_path / "run" / "plan.json").read_text("utf-8"))
    assert plan["identity"]["imported"] == "mini-swe-agent"
    found = recorded(tmp_path / "run")["b__b-2"]
    assert found.start is not None
    assert found.start.imported is not None
    assert (found.start.imported["version"], found.start.imported["actions"]) == ("2.4.6", "tool")
    assert (found.cost_usd, found.usage, found.models) == (3 * COST, Usage(1500, 1500, 0, 75), {"one": 3})
    assert [command.command for command in found.steps[1].commands] == ["ls", "pwd"]
    assert found.end is not None
    assert (found.end.exit_status, found.end.cause) == ("Submitted", None)
    assert all(answer.settle is not None and answer.settle.latency_s is None for answer in found.answers)
    case = json.loads((tmp_path / "run" / "cases" / "b__b-2" / "1" / "case.json").read_text("utf-8"))
    assert (case["steps"], case["cost_usd"], case["resolved"], case["bill_usd"]) == (3, 0.0042, None, None)
    assert (tmp_path / "run" / "cases" / "b__b-2" / "1" / "patch.diff").read_text("utf-8") == "diff --git a/x b/x\n"


def test_a_model_without_a_locked_price_is_said_to_have_none_and_costs_not_zero(tmp_path: Path) -> None:
    ran = imported(tmp_path / "run", "live-2026-04", write_run(tmp_path / "a.traj.json", v1()))

    assert ran.code == 1
    (run,) = ran.json["runs"]
    assert (run["cost_usd"], run["reported_cost_usd"], run["difference_usd"]) == (None, 0.0042, None)
    assert run["recorded"] == 0
    assert f"no candidate of the pool live-2026-04 is served as '{MODEL}': no locked price" in run["why"]
    assert ran.json["run"] is None
    assert not (tmp_path / "run").exists()


def _changed(change: Callable[[Run], Any], content: Mapping[str, Any]) -> Run:
    changed = copy.deepcopy(dict(content))
    change(changed)
    return changed


def _third(content: Run) -> Run:
    """The bookkeeping of the third call's answer, in ``v1``."""
    extra: Run = content["messages"][6]["extra"]
    return extra


SHORT: dict[str, tuple[Run, str | None, str]] = {
    "no response": (_changed(lambda c: _third(c).clear(), v1()), None, "the file does not contain its response"),
    "a response as text": (
        _changed(lambda c: _third(c).update(response="ModelResponse()"), v1()),
        None,
        "the file does not contain its response",
    ),
    "no usage": (
        _changed(lambda c: _third(c)["response"].pop("usage"), v1()),
        "usage",
        "usage: the response has no usage: missing",
    ),
    "usage of other types": (
        _changed(lambda c: _third(c)["response"].update(usage={"prompt_tokens": "many"}), v1()),
        "usage",
        "usage.prompt_tokens is not a token count: 'many'",
    ),
    "more cached than sent": (
        _changed(lambda c: _third(c)["response"]["usage"].update(prompt_tokens=5, total_tokens=30), v1()),
        "usage",
        "are more than a prompt of 5",
    ),
    "no choices": (
        _changed(lambda c: _third(c)["response"].update(choices=[]), v1()),
        "transport",
        "the response cannot be read",
    ),
    "another model": (
        _changed(lambda c: _third(c)["response"].update(model="else/where"), v1()),
        None,
        "no candidate of the pool of-tests is served as 'else/where'",
    ),
    "a model of another type": (
        _changed(lambda c: _third(c)["response"].update(model=["x"]), v1()),
        None,
        "the response does not name its model",
    ),
}


@pytest.mark.parametrize(("content", "cause", "words"), SHORT.values(), ids=SHORT.keys())
def test_a_run_is_recorded_and_replays_as_far_as_its_responses_go(
    tmp_path: Path, pool: Path, content: Run, cause: str | None, words: str
) -> None:
    ran = imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", content))

    assert ran.code == 1
    (run,) = ran.json["runs"]
    assert (run["calls"], run["recorded"]) == (3, 2)
    assert run["why"].startswith("call 3: ")
    assert words in run["why"]
    assert f"error: {tmp_path / 'a.traj.json'}: 2 of 3 calls recorded; call 3: " in ran.err
    end = recorded(tmp_path / "run")["a__a-1"].end
    assert end is not None
    assert end.cause == cause

    again = replayed(tmp_path / "run").succeeded()
    (shown,) = again.json["runs"]
    assert (shown["calls"], shown["recorded"], shown["replayed"], shown["equal"]) == (3, 2, 2, True)


def test_an_answer_that_is_not_what_the_response_says_is_a_difference(tmp_path: Path, pool: Path) -> None:
    content = v1()
    content["messages"][2]["content"] = saying("rm -rf /", "bash")["content"]
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", content)).succeeded()

    ran = replayed(tmp_path / "run")

    assert ran.code == 1
    difference = ran.json["runs"][0]["difference"]
    assert (difference["step"], difference["what"]) == (1, "answer")
    assert "rm -rf /" in difference["recorded"]["content"]
    assert "ls" in difference["replayed"]["content"]


def test_a_command_that_is_not_in_the_response_is_a_difference(tmp_path: Path, pool: Path) -> None:
    content = v2()
    content["messages"][2]["extra"]["actions"][1]["command"] = "whoami"
    imported(tmp_path / "run", pool, write_run(tmp_path / "b.traj.json", content)).succeeded()

    difference = replayed(tmp_path / "run").json["runs"][0]["difference"]

    assert difference == {"step": 1, "what": "command", "recorded": ["ls", "whoami"], "replayed": ["ls", "pwd"]}


def test_other_prices_are_another_pool(tmp_path: Path, pool: Path) -> None:
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", v1())).succeeded()
    dearer = tmp_path / "dearer.toml"
    dearer.write_text(pool.read_text("utf-8").replace("input = 2.0", "input = 3.0"), "utf-8")

    ran = replayed(tmp_path / "run", "--pool", dearer)

    assert ran.code == 1
    assert ran.json["runs"][0]["difference"]["what"] == "pool"


def test_an_edited_journal_does_not_replay(tmp_path: Path, pool: Path) -> None:
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", v1())).succeeded()
    journal = tmp_path / "run" / "journal" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"cost_usd":"0.0014', b'"cost_usd":"0.0013', 1))

    ran = replayed(tmp_path / "run")

    assert ran.code == 1
    assert "journal.jsonl, line " in ran.err


def test_broken_files_are_named_and_the_rest_goes_on(tmp_path: Path, pool: Path) -> None:
    folder = tmp_path / "runs"
    for name, content in {
        "1.traj.json": v1(),
        "cut.traj.json": json.dumps(v1("cut")).encode()[:300],
        "role.traj.json": v1("role") | {"messages": [{"role": "robot"}]},
        "up.traj.json": v1("../../up"),
        "none.traj.json": v2("none", responses=False),
        "2.traj.json": v2(),
    }.items():
        write_run(folder / name, content)

    ran = imported(tmp_path / "run", pool, folder)

    assert ran.code == 1
    assert {problem["source"] for problem in ran.json["problems"]} == {
        str(folder / name) for name in ("cut.traj.json", "role.traj.json", "up.traj.json")
    }
    assert (
        f"error: {folder / 'up.traj.json'}, field instance_id: '../../up' cannot name a folder, which a recording needs"
        in ran.err
    )
    told = {run["case"]: (run["recorded"], run["why"]) for run in ran.json["runs"]}
    assert told["a__a-1"] == told["b__b-2"] == (3, None)
    assert told["none"][0] == 0
    assert {path.split("/")[1] for path in files(tmp_path / "run") if path.startswith("cases/")} == {
        "a__a-1", "b__b-2", "none"
    }  # fmt: skip


def test_nothing_but_broken_files_makes_no_run(tmp_path: Path, pool: Path) -> None:
    ran = imported(tmp_path / "run", pool, write_run(tmp_path / "x.traj.json", b"{"))
    assert ran.code == 1
    assert ran.err.rstrip().endswith("Nothing was imported.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool.toml", "x.traj.json"]


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path, pool: Path) -> None:
    run = tmp_path / "run"
    path = write_run(tmp_path / "a.traj.json", v1())
    imported(run, pool, path).succeeded()
    before = files(run)

    ran = imported(run, pool, path)

    assert ran.code == 2
    assert "choose another --run" in ran.err
    assert files(run) == before


def test_an_imported_run_had_no_router_to_compare_with(tmp_path: Path, pool: Path) -> None:
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", v1())).succeeded()
    ran = replayed(tmp_path / "run", "--route")
    assert ran.code == 2
    assert "an imported run has none" in ran.err


def test_only_some_runs_are_replayed(tmp_path: Path, pool: Path) -> None:
    paths = [write_run(tmp_path / "1.traj.json", v1()), write_run(tmp_path / "2.traj.json", v2())]
    imported(tmp_path / "run", pool, *paths).succeeded()
    assert [run["case"] for run in replayed(tmp_path / "run", "--only", "b*").json["runs"]] == ["b__b-2"]
    assert replayed(tmp_path / "run", "--only", "nobody").code == 2


def test_a_pattern_from_a_file_is_never_run(tmp_path: Path, pool: Path) -> None:
    endless = {"role": "assistant", "content": "a" * 40 + "!"}
    turn = endless | {"extra": {"response": response(endless)}}
    content = a_run(V1, [*OPENING, turn], config={"agent": {"action_regex": "(a+)+$"}})
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", content)).succeeded()
    assert replayed(tmp_path / "run").succeeded().json["runs"][0]["commands"] == 0


def test_a_text_answer_without_content_is_an_empty_one(tmp_path: Path, pool: Path) -> None:
    empty = {"role": "assistant", "content": None}
    turn = {"role": "assistant", "content": "", "extra": {"response": response(empty)}}
    content = a_run(V1, [*OPENING, turn, observed("what?"), turn])
    imported(tmp_path / "run", pool, write_run(tmp_path / "a.traj.json", content)).succeeded()
    assert replayed(tmp_path / "run").succeeded().json["runs"][0]["answers"] == 2


def test_the_tables_show_text_from_files_as_text(tmp_path: Path, pool: Path) -> None:
    content = v1("a[red]b") | {"info": {"exit_status": "\x1b[31mred", "mini_version": "<b>"}}
    path = write_run(tmp_path / "a.traj.json", content)
    run = tmp_path / "run"

    shown = twinbench("dynamic", "import", path, "--run", run, "--pool", pool).succeeded()
    again = twinbench("dynamic", "replay", run).succeeded()

    assert "\x1b" not in shown.text
    assert "a[red]b" in shown.text
    assert "a[red]b" in again.text
    assert "3 calls: computed 0.004200 USD, reported 0.004200 USD, difference 0.000000 USD" in shown.text
    assert "only the model calls were replayed: no command ran, and nothing was graded" in again.text


def test_a_line_for_each_call_is_printed_where_asked(tmp_path: Path, pool: Path) -> None:
    path = write_run(tmp_path / "b.traj.json", v2())
    arguments = ("dynamic", "import", path, "--run", tmp_path / "run", "--pool", pool, "--calls", "--format", "jsonl")
    lines = [json.loads(line) for line in twinbench(*arguments).succeeded().text.splitlines()]
    assert [(line["call"], line["cache_read"], line["cost_usd"]) for line in lines] == [
        (1, 500, 0.0014), (2, 500, 0.0014), (3, 500, 0.0014)
    ]  # fmt: skip


@pytest.mark.parametrize("calls", [[], ["--calls"]])
@pytest.mark.parametrize("form", ["csv", "parquet", "table"])
def test_the_tables_can_be_written_to_a_file(tmp_path: Path, pool: Path, form: str, calls: list[str]) -> None:
    path, target = write_run(tmp_path / "b.traj.json", v2()), tmp_path / "out"
    told: list[str | Path] = ["--run", tmp_path / "run", "--pool", pool, "--format", form, "-o", target, *calls]
    assert twinbench("dynamic", "import", path, *told).succeeded().out == b""
    assert b"b__b-2" in target.read_bytes()
    again = twinbench("dynamic", "replay", tmp_path / "run", "--format", form, "-o", tmp_path / "again").succeeded()
    assert again.out == b""
    assert b"b__b-2" in (tmp_path / "again").read_bytes()


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.parametrize("style", thinned(["tool", "text"], 2))
def test_a_run_of_the_installed_package_is_recorded_replays_and_becomes_a_bank(
    tmp_path: Path, pool: Path, style: str, store: Store
) -> None:
    submit = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && echo done"

    def said(command: str) -> Run:
        return calling(command) if style == "tool" else saying(command, "mswea_bash_command")

    lost = {"role": "assistant", "content": "I am not sure."}
    answers = [response(each) for each in (said("echo hello"), lost, said(submit))]
    path = packaged_run(tmp_path / "own" / "c__c-3.traj.json", style, answers)
    assert json.loads(path.read_text("utf-8"))["trajectory_format"] == V2

    (run,) = imported(tmp_path / "run", pool, path).succeeded().json["runs"]
    assert (run["case"], run["recorded"], run["cost_usd"], run["difference_usd"]) == ("c__c-3", 3, 0.0042, 0.0)

    (again,) = replayed(tmp_path / "run").succeeded().json["runs"]
    assert (again["replayed"], again["answers"], again["commands"]) == (3, 2, 2)

    bank = ("--name", "runs", "--format", "mini-swe-agent", "--store", store.root)
    twinbench("bank", "import", path, *bank).succeeded()
    with Bank.open("runs", store) as opened:
        rows = list(opened.rows())
    assert [row["step_index"] for row in rows] == [1, 2, 3]
    assert {row["instance_id"] for row in rows} == {"c__c-3"}
    assert ["functions" in row for row in rows] == [style == "tool"] * 3
    answered = "tool" if style == "tool" else "user"
    assert [message["role"] for message in rows[2]["messages"]] == ["system", "user", "assistant", answered, "user"]
    assert "hello" in rows[1]["messages"][-1]["content"]


@pytest.mark.acceptance
@pytest.mark.slow
def test_the_five_real_runs_cost_exactly_what_the_gateway_said_and_replay(tmp_path: Path, shared: Path) -> None:
    pool = a_pool(tmp_path / "gemini.toml", "google/gemini-3-pro-preview")
    manifest = live_manifest(str(pool))

    found = import_runs([str(shared / "trajectories")], tmp_path / "run", manifest, str(pool), lambda *_: None)

    assert found.is_complete
    assert {run.case: (len(run.calls), run.sums[1]) for run in found.runs} == {
        case: (calls, Decimal(usd)) for case, (calls, usd) in REPORTED.items()
    }
    assert {call.difference_usd for run in found.runs for call in run.calls} == {Decimal(0)}

    again = replay_imported(manifest, list(recorded(tmp_path / "run").values()), lambda *_: None)
    assert all(run.equal for run in again)
    assert {run.case: len(run.calls) for run in again} == {case: calls for case, (calls, _) in REPORTED.items()}
    rejected = sum(
        "EXACTLY ONE" in str(message["content"])[:200]
        for each in recorded(tmp_path / "run").values()
        for step in each.steps.values()
        for message in step.conversation or ()
        if message["role"] == "user"
    )
    assert sum(run.commands for run in again) == 212 - rejected
