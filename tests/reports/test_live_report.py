"""``twinbench dynamic report``: what is on the page of runs, and that all that they hold stays text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.commands import twinbench
from tests.cli.test_hostile_text import HOSTILE, SHOWN
from tests.reports.journals import HIGH, LOW, Call, Case, write_live_run
from tests.reports.pages import Page, check
from tests.runs import a_pool, v1, write_run

GIVE_UP = "0.6"


def reported(*runs: Path, more: Sequence[str] = ()) -> Page:
    """The page of runs, which is beside the first."""
    target = runs[0].parent / "page.html"
    twinbench("dynamic", "report", *runs, "-o", target, *more).succeeded()
    return check(target.read_text("utf-8"))


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    """One that resolves one case of three and loses one to infrastructure, and one that resolves two."""
    calls = [Call(failed="it was cut"), Call(HIGH, says="Now I know.", rationale="depth 2"), Call(HIGH)]
    first = write_live_run(
        tmp_path / "first",
        [
            Case("a__a-1", calls),
            Case("b__b-2", resolved=False),
            Case("c__c-3", cause="transport", detail="nobody answered", resolved=None),
            Case("d__d-4", calls=[Call()], ended=False),
        ],
    )
    second = write_live_run(tmp_path / "second", [Case("a__a-1"), Case("b__b-2")], router="always-high")
    return first, second


def test_the_table_has_the_bill_and_counts_infrastructure_apart(two_runs: tuple[Path, Path]) -> None:
    page = reported(*two_runs)
    assert page.headings[:2] == [(1, "Live runs of 2 routers"), (2, "Runs")]
    assert page.text.index("Live runs: real models") < page.text.index("Live runs of 2 routers")
    words = " ".join(page.text.split())
    # resolved, unresolved, apart, cost, penalty, bill, give up, spend, steps, calls
    assert "1 stickyfirst 1–3 1 1 1 infra, 1 running" in words
    assert "0.0070 0.60 0.6050 1.2000" in words
    assert "verdicts on the same cases" not in words


def test_runs_of_other_cases_are_said_not_to_compare(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    third = write_live_run(tmp_path / "third", [Case("a__a-1")], router="always-low")
    words = " ".join(reported(*two_runs, third).text.split())
    assert "do not have verdicts on the same cases" in words
    assert "On their 1 common case: 1 sticky: 1 of 1 trial resolved, bill" in words
    assert "; 3 always-low: 1 of 1 trial resolved, bill 0.0020 USD." in words
    other = write_live_run(tmp_path / "other", [Case("e__e-5")])
    assert "They have no common case with a verdict." in reported(*two_runs, other).text


def test_a_run_of_many_cases_has_intervals_and_one_of_few_says_why_not(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    cases = [Case(f"a__a-{number}", resolved=number % 3 == 0) for number in range(1, 13)]
    many = write_live_run(tmp_path / "many", cases)
    scored = twinbench("dynamic", "score", many, "--json").succeeded().json
    low, high = scored["intervals"]["bill_usd"]
    words = " ".join(reported(many, two_runs[0]).text.split())
    assert f"[{low:.2f}, {high:.2f}]" in words
    assert "In brackets: 95 % intervals" in words
    assert f"No intervals of {two_runs[0].name}: only 2 cases with a verdict" in words


def test_causes_are_named_with_what_they_mean(two_runs: tuple[Path, Path]) -> None:
    words = " ".join(reported(*two_runs).text.split())
    assert "transport infra no attempt got a readable response 1 0" in words
    assert "nobody answered" in words


def test_every_call_shows_model_cache_tokens_dollars_commands_and_what_they_gave(two_runs: tuple[Path, Path]) -> None:
    words = " ".join(reported(two_runs[0]).text.split())
    start = words.index("Step 2")
    step = words[start : words.index("Step 3", start)]
    for shown in (
        f"{HIGH} high, switched; 1,000 tokens in, 90 % from the cache; 0.0010 USD",
        "Decided in 0.500 ms, score 0.2500; answered in 1.5 s",
        "Why, says the router depth 2",
        "100 900 0 50 90 % 0.001000",
        "The model said Now I know.",
        "Command ls",
        "It gave, exit code 0, after 0.1 s README.md",
    ):
        assert shown in step
    assert "transport (500): it was cut; 0.0002 USD" in words
    assert f"{LOW} low; 1,000 tokens in" in words


def test_what_is_long_is_cut_and_its_length_said(tmp_path: Path) -> None:
    run = write_live_run(tmp_path / "run", [Case(calls=[Call(gives="a" * 3000 + "MIDDLE" + "z" * 3000)])])
    page = reported(run)
    assert "[… 4,006 characters left out …]" in page.text
    assert "4,006 characters of 6,006 left out" in page.text
    assert "MIDDLE" not in page.text
    whole = reported(run, more=("--cut", "0"))
    assert "MIDDLE" in whole.text
    assert "left out" not in whole.text


def test_a_rehearsal_says_so_first_and_stands_beside_no_real_run(tmp_path: Path) -> None:
    rehearsed = write_live_run(tmp_path / "rehearsed", simulated=True)
    real = write_live_run(tmp_path / "real")
    page = reported(rehearsed)
    content = page.text[page.text.index("To the content") :]
    assert " ".join(content.split()[3:7]) == "A rehearsal: simulated models"
    target = tmp_path / "mixed.html"
    ran = twinbench("dynamic", "report", real, rehearsed, "-o", target)
    assert ran.code == 2
    assert "cannot be in one report" in ran.err
    assert "a rehearsal: simulated models" in ran.err
    assert not target.exists()


def test_imported_runs_say_so_first_and_claim_no_tests_bills_and_containers(tmp_path: Path) -> None:
    pool, run, other = a_pool(tmp_path / "pool.toml"), tmp_path / "run", tmp_path / "simulated"
    twinbench("dynamic", "import", write_run(tmp_path / "a.traj.json", v1()), "--run", run, "--pool", pool).succeeded()
    page = reported(run)
    said = page.text[page.text.index("To the content") :]
    assert " ".join(said.split()[3:9]) == "Imported runs: an agent ran elsewhere,"
    assert (1, "Imported run") in page.headings
    assert {"Causes", "Bill against resolved"}.isdisjoint(name for _, name in page.headings)
    claims = (
        "Rank",
        "Penalty",
        "Give up",
        "Grader",
        "real models",
        "in a container",
        "The tests of the case",
        "grading",
    )
    assert [claim for claim in claims if claim in page.text] == []
    assert "ungraded" in page.text
    state = twinbench("dynamic", "status", run).succeeded().text
    assert state.startswith("Imported runs: an agent ran elsewhere")
    assert "1 ungraded; its calls cost 0.0042 USD" in state

    content = v1()
    for message in content["messages"]:
        if "response" in message.get("extra", {}):
            message["extra"]["response"]["simulated"] = {"seconds": 1.0}
    simulated = write_run(tmp_path / "b.traj.json", content)
    twinbench("dynamic", "import", simulated, "--run", other, "--pool", pool).succeeded()
    assert "Imported runs of simulated models" in reported(other).text
    mixed = twinbench("dynamic", "report", run, other, "-o", tmp_path / "mixed.html")
    assert (mixed.code, "cannot be in one report" in mixed.err) == (2, True)


def test_runs_of_different_pools_stand_in_no_table(tmp_path: Path) -> None:
    other = a_pool(tmp_path / "pool.toml")
    first = write_live_run(tmp_path / "first")
    second = write_live_run(tmp_path / "second", [Case(calls=[Call("one")])], pool=str(other))
    ran = twinbench("dynamic", "report", first, second, "-o", tmp_path / "page.html")
    assert ran.code == 2
    assert "different pools" in ran.err
    assert "open division" in reported(second).text


def test_what_else_differs_between_runs_is_named(tmp_path: Path) -> None:
    runs = [write_live_run(tmp_path / seed, seed=seed) for seed in ("0", "1")]
    assert "Beside the router, these runs differ in: seed." in reported(*runs).text


def test_what_others_wrote_shows_as_text(tmp_path: Path) -> None:
    call = Call(says=HOSTILE, command=HOSTILE, gives=HOSTILE, rationale=HOSTILE, router_error=HOSTILE, failed=HOSTILE)
    case = Case(HOSTILE.replace("/", "|"), [call], cause="router", detail=HOSTILE, patch=HOSTILE, resolved=None)
    run = write_live_run(tmp_path / "<b>[red]run", [case], router=f"$x${HOSTILE}")
    page = reported(run)
    assert page.text.count(SHOWN) >= 9
    assert SHOWN.replace("/", "|") in page.text
    assert page.all("b") == []


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path: Path) -> None:
    run = write_live_run(tmp_path / "run", [Case(calls=[Call(gives="\ud800\x00 end")])])
    assert r"\x00 end" in reported(run).text


def test_an_imported_run_shows_its_conversation(tmp_path: Path) -> None:
    run, pool = tmp_path / "run", a_pool(tmp_path / "pool.toml")
    twinbench("dynamic", "import", write_run(tmp_path / "a.traj.json", v1()), "--run", run, "--pool", pool).succeeded()
    page = reported(run)
    assert "THOUGHT: next." in page.text
    moved = tmp_path / "moved.toml"
    pool.rename(moved)
    assert "THOUGHT: next." in reported(run, more=("--pool", str(moved))).text


def test_the_same_runs_give_the_same_bytes(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        ran = twinbench("dynamic", "report", *two_runs, "-o", tmp_path / name, "--json").succeeded()
        assert ran.json == {"file": str(tmp_path / name), "bytes": (tmp_path / name).stat().st_size}
        pages.append((tmp_path / name).read_text("utf-8").replace(name, ""))
    assert pages[0] == pages[1]


def test_what_is_no_run_leaves_no_file(tmp_path: Path) -> None:
    damaged = write_live_run(tmp_path / "damaged")
    journal = damaged / "journal" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"README", b"readme").replace(b'"ls"', b'"rm"'))
    target = tmp_path / "page.html"
    for folder, code, said in (
        (tmp_path / "none", 2, "is not a run directory"),
        (damaged, 1, "was edited"),
    ):
        ran = twinbench("dynamic", "report", folder, "-o", target)
        assert ran.code == code
        assert said in ran.err
    good = write_live_run(tmp_path / "good")
    twice = twinbench("dynamic", "report", good, good, "-o", target)
    assert (twice.code, "given twice" in twice.err) == (2, True)
    assert twinbench("dynamic", "report", good, "-o", tmp_path / "none" / "page.html").code == 2
    assert twinbench("dynamic", "report", "-o", target).code == 2
    assert not target.exists()
    assert json.loads((good / "plan.json").read_text("utf-8"))


def test_no_path_of_this_machine_is_on_the_page_and_runs_go_by_their_own_names(tmp_path: Path) -> None:
    said = f"route raised FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/my models/w.bin'"
    case = Case("a__a-1", [Call(router_error=said)], cause="router", detail=said, resolved=None)
    runs = [
        write_live_run(
            tmp_path / "runs" / name / "seed-0", [case], router=f"{tmp_path}/{name}.py:Mine?w={tmp_path}/w.bin"
        )
        for name in ("one", "two")
    ]
    target = tmp_path / "page.html"
    twinbench("dynamic", "report", *runs, "-o", target).succeeded()
    text = target.read_text("utf-8")
    page = check(text)
    assert str(tmp_path) not in text
    assert page.text.count("Folder of the runs") == 1
    for shown in ("one/seed-0", "two/seed-0", "…/one.py:Mine?w=…/w.bin", "'…/w.bin'"):
        assert shown in page.text
    twinbench("dynamic", "report", runs[0], write_live_run(tmp_path / "b" / "one" / "seed-0"), "-o", target).succeeded()
    assert {"runs/one/seed-0", "b/one/seed-0"} <= set(check(target.read_text("utf-8")).text.split())
