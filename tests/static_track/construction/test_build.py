"""A bank built from nothing by real processes: rows, resumption, recordings, and every way to end early."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.construction.building import BuildLimits, BuildResult, build
from static_track.construction.settings import example, read_settings
from tests.banks import write_jsonl
from tests.cli.commands import files, twinbench
from tests.static_track.construction import shells
from tests.static_track.construction.shell_executor import BEGUN_FILE, CALLS_FILE, TOOLS
from twinbench.errors import StoreWriteError, UsageError
from twinbench.storage.store import Store

PUBLISHED = ("rows.jsonl.gz", "recordings.jsonl.gz", "evidence.jsonl.gz", "manifest.json")


def built(config: Path, out: Path, **limits: Any) -> BuildResult:
    return build(read_settings(config), out, BuildLimits(**limits))


def published(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in PUBLISHED}


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress((out / "rows.jsonl.gz").read_bytes()).splitlines()]


def labels(out: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows(out):
        found.setdefault(row["instance_id"], []).append(row["target_tier"])
    return found


def begun(out: Path) -> list[str]:
    return (out / "executor" / BEGUN_FILE).read_text("utf-8").splitlines()


def test_a_built_bank_ranks_nothing_where_its_settings_say_so(tmp_path: Path, store: Store) -> None:
    config = shells.configuration(tmp_path)
    config.write_text(config.read_text().replace("caveat =", "ranks_nothing = true\ncaveat ="))
    made = tb.build_bank(config, out=tmp_path / "out", usd=5)
    assert (made.manifest or {})["ranks_nothing"] is True
    info = tb.import_bank(tmp_path / "out", "shell", store=store.root)
    assert info.ranks_nothing
    assert "rank nothing" in (info.caveat or "")


def test_tasks_become_a_bank_that_scores_and_is_built_again_from_its_recordings(tmp_path: Path, store: Store) -> None:
    config = shells.configuration(tmp_path, usd_a_call="0.01")
    out, again = tmp_path / "out", tmp_path / "again"
    made = tb.build_bank(config, out=out, usd=5, workers=2)

    assert labels(out) == {"a-1": ["low", "mid", "low"], "a-2": ["low", "mid", "low"]}
    first = rows(out)[0]
    assert (first["benchmark"], first["group"], first["caveat"]) == ("shell", "a", "Said by scripts.")
    assert [message["content"] for message in rows(out)[2]["messages"]][1::2] == ["good", "good"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert made.manifest == manifest
    assert manifest["labels"] == {"shell": {"low": 4, "mid": 2, "mid_high": 0, "high": 0}}
    assert manifest["left_out"] == [{"task": "b-1", "reason": "seed_failed"}]
    assert manifest["tiers_not_executed"] == ["mid_high"]
    calls = len((out / "executor" / CALLS_FILE).read_text().splitlines())
    assert manifest["executions"] == made.state.executed_now == 5 + 5 + 1
    assert Decimal(str(manifest["spent_usd"])) == calls * Decimal("0.01")
    assert manifest["calls_from_cache"] == manifest["calls"] - calls > 0
    assert manifest["tokens_spent"]["output"] > manifest["tokens_saved"]["output"] > 0
    tokens = sum(
        step.usage.output for each in made.outcomes for found in each.findings for step in found.execution.steps
    )
    assert manifest["tokens_spent"]["output"] + manifest["tokens_saved"]["output"] == tokens
    assert manifest["saved_usd"] == pytest.approx(manifest["cost_usd"] - manifest["spent_usd"])
    assert [record["task"] for record in made.records()] == ["a-1", "a-2", "b-1"]
    published_text = gzip.decompress((out / "rows.jsonl.gz").read_bytes()).decode()
    assert not any(candidate in published_text for candidate in shells.CANDIDATES)

    info = tb.import_bank(out, "shell", store=store.root)
    assert info.sha256 == manifest["sha256"]["rows.jsonl.gz"]
    assert info.caveats == ("Said by scripts.",)
    assert not info.ranks_nothing
    assert tb.score("always-mid", "shell", store=store.root, resampling=None).records()

    rebuilt = tb.build_bank(recordings=out / "recordings.jsonl.gz", out=again)
    assert published(again) == published(out)
    assert rebuilt.state.executed_now == 0
    assert not (again / "executor").exists()
    # One who has the recordings goes on with them as if the build were theirs.
    assert tb.build_bank(config, out=again, usd=5).state.executed_now == 0


def test_a_cap_leaves_tasks_open_and_a_higher_one_finishes_them(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path, usd_a_call="0.01")
    out = tmp_path / "out"
    asked = ("bank", "build", config, "--out", out)

    refused = twinbench(*asked)
    assert refused.code == 2
    assert "--usd" in refused.err
    capped = twinbench(*asked, "--usd", "0.12", "--json")
    assert capped.code == 1
    assert [(each["task"], each["cause"]) for each in capped.json["open"]] == [("a-2", "cap"), ("b-1", "cap")]
    assert "2 tasks unfinished with cause cap: raise the cap: --usd" in capped.err
    assert "the same command to continue" in capped.err
    assert capped.json["manifest"] is None
    assert not (out / "rows.jsonl.gz").exists()
    refused = twinbench("bank", "import", out, "--name", "x", "--store", tmp_path / "store")
    assert refused.code == 2
    assert "has finished" in refused.err
    finished = twinbench(*asked, "--usd", "1").succeeded()
    assert "left out, the strongest tier does not pass: b-1" in finished.text
    assert "no candidate, so no label: mid_high" in finished.text
    assert len(labels(out)) == 2


def test_a_lost_execution_is_no_failed_downgrade(tmp_path: Path) -> None:
    flag = tmp_path / "back"
    lost = f'if [ ! -e {flag} ]; then echo "no route to host" >&2; exit 7; fi; {shells.STEADY}'
    config = shells.configuration(tmp_path, candidates=shells.CANDIDATES | {"mid-1": lost})
    out = tmp_path / "out"
    ran = twinbench("bank", "build", config, "--out", out)
    assert ran.code == 1
    assert "a-1 is unfinished: no attempt got a readable response: no route to host" in ran.err
    assert "b-1: left out" in ran.err
    flag.touch()
    before = len(begun(out))
    assert "2 tasks labelled" in twinbench("bank", "build", config, "--out", out).succeeded().text
    # The seed, both tries of low and the lost execution stand there; what was whole is not begun again.
    assert len(begun(out)) - before == 2 * 2
    assert labels(out) == {"a-1": ["low", "mid", "low"], "a-2": ["low", "mid", "low"]}


def test_a_build_stops_where_the_first_tasks_are_all_lost_alike(tmp_path: Path) -> None:
    tasks = {f"t-{number}": shells.NOTHING_BAD for number in range(8)}
    config = shells.configuration(tmp_path, candidates=dict.fromkeys(shells.CANDIDATES, "exit 1"), tasks=tasks)
    ran = built(config, tmp_path / "out")
    assert [each.cause for each in ran.unfinished_tasks] == ["transport"] * 3 + [None] * 5
    assert len(begun(tmp_path / "out")) == 3


def test_a_build_that_was_asked_to_stop_goes_on_later(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    out = tmp_path / "out"
    left = iter(range(7))
    stopped = build(read_settings(config), out, BuildLimits(), is_stopping=lambda: next(left, None) is None)
    assert stopped.was_stopped
    assert [each["open"] for each in stopped.records()][-1] == "stopped"
    assert 0 < stopped.state.executed_now < 11
    whole = built(config, out)
    assert whole.is_complete
    assert whole.state.executed_now == 11 - stopped.state.executed_now


def test_repeats_leave_flaky_tasks_out_by_name_and_may_be_asked_for_later(tmp_path: Path) -> None:
    flaky = '[ "$TASK$REPEAT$STEP" = a-22"1" ] && echo bad; ' + shells.STEADY
    config = shells.configuration(tmp_path, candidates=shells.CANDIDATES | {"high-1": flaky})
    out = tmp_path / "out"
    assert built(config, out).state.executed_now == 11
    ran = twinbench("bank", "build", config, "--out", out, "--repeats", "2", "--json").succeeded().json
    assert ran["left_out"] == [{"task": "a-2", "reason": "seed_flaky"}, {"task": "b-1", "reason": "seed_failed"}]
    assert ran["executed_now"] == 2 + 2 + 2
    assert [*labels(out)] == ["a-1"]
    evidence = [json.loads(line) for line in gzip.decompress((out / "evidence.jsonl.gz").read_bytes()).splitlines()]
    assert [each["purpose"] for each in evidence if each["task"] == "a-2"] == ["seed", "seed_repeat", "seed_repeat"]


KILLING = """
import json, os, random, signal, sys, time
from pathlib import Path
from static_track.construction.building import BuildLimits, build
from static_track.construction.settings import read_settings

settings, out = read_settings(Path(sys.argv[1])), Path(sys.argv[2])
begun, kept, kills = out / "executor" / "begun.txt", out / "executions.jsonl", []
def size(path):
    return path.stat().st_size if path.exists() else 0
for number in range(20):
    watched = kept if number % 2 else begun  # killed after something was kept, or before
    before = size(watched)
    child = os.fork()
    if not child:
        build(settings, out, BuildLimits(workers=2))
        os._exit(0)
    ended = False  # on a busy machine the build may be over before the last kills
    while number and size(watched) == before and not ended:
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
        time.sleep(0.001)
    if not ended:
        time.sleep(random.Random(number).uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    lines = kept.read_text().split("\\n")[:-1] if kept.exists() else []
    whole = [each for each in map(json.loads, lines) if each["kind"] == "execution"]
    kills.append([
        len(begun.read_text().splitlines()) if begun.exists() else 0,
        [json.dumps([each["task"], each["first"], each["rest"], each["repeat"]]) for each in whole],
    ])
build(settings, out, BuildLimits(workers=2))
print(json.dumps(kills))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_build_killed_twenty_times_gives_the_same_labels_and_executes_nothing_whole_twice(tmp_path: Path) -> None:
    tasks = {f"a-{number}": shells.NOTHING_BAD for number in range(10)}
    config = shells.configuration(tmp_path, tasks=tasks)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = subprocess.run([sys.executable, "-c", KILLING, config, killed], check=True, stdout=subprocess.PIPE)
    kills = json.loads(done.stdout)
    assert len(kills) == 20
    assert 0 < len(kills[9][1]) < 50  # or the kills would come too early or too late to show anything
    for begun_before, kept in kills:
        assert not {*begun(killed)[begun_before:]} & {*kept}
    built(config, whole)
    assert (killed / "rows.jsonl.gz").read_bytes() == (whole / "rows.jsonl.gz").read_bytes()
    lines = map(json.loads, (killed / "executions.jsonl").read_text().splitlines())
    assert sum(each["kind"] == "execution" for each in lines) == 10 * 5


def test_what_differs_from_the_build_that_is_continued_is_named(tmp_path: Path) -> None:
    out = tmp_path / "out"
    built(shells.configuration(tmp_path / "one"), out)
    for changed, said in (
        ({"search": 'step_rule = "any"'}, 'step_rule was "equal", is now "any"'),
        ({"search": "cascade = 2"}, "cascade was 3, is now 2"),
        ({"tasks": {"a-1": "true"}}, "tasks was"),
        ({"candidates": shells.CANDIDATES | {"low-1": "echo other done"}}, "executor.files was"),
    ):
        other = shells.configuration(tmp_path / f"other-{sorted(changed)[0]}-{said[:4]}", **changed)
        with pytest.raises(UsageError, match="a build with a different configuration") as refused:
            built(other, out)
        assert said in str(refused.value)
    renamed = shells.configuration(tmp_path / "one")
    renamed.write_text(renamed.read_text().replace('licence = "CC0-1.0"', 'licence = "CC-BY-4.0"'))
    ran = built(renamed, out)
    assert ran.state.executed_now == 0
    assert ran.manifest is not None
    assert ran.manifest["licence"] == "CC-BY-4.0"


def test_tasks_may_be_added_to_a_build_and_not_taken_away(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    small, whole = tmp_path / "small", tmp_path / "whole"
    built(config, whole)
    lines = [json.loads(line) for line in gzip.decompress((whole / "recordings.jsonl.gz").read_bytes()).splitlines()]
    lines[0]["plan"]["identity"]["tasks"] = lines[0]["plan"]["identity"]["tasks"][:1]
    of_one = write_jsonl(tmp_path / "one.jsonl", lines)
    tb.build_bank(recordings=of_one, out=small)
    assert {row["instance_id"] for row in rows(small)} == {"a-1"}

    kept = map(json.loads, (small / "executions.jsonl").read_text("utf-8").splitlines())
    write_jsonl(small / "executions.jsonl", (line for line in list(kept) if line.get("task", "a-1") == "a-1"))
    grown = built(config, small)
    assert grown.state.executed_now == 5 + 1
    for name in ("rows.jsonl.gz", "evidence.jsonl.gz"):  # the lines of the recordings were written anew above
        assert (small / name).read_bytes() == (whole / name).read_bytes()
    with pytest.raises(UsageError, match="a build with a different configuration"):
        tb.build_bank(recordings=of_one, out=small)
    # From recordings too.
    tb.build_bank(recordings=of_one, out=tmp_path / "again")
    tb.build_bank(recordings=whole / "recordings.jsonl.gz", out=tmp_path / "again")
    assert published(tmp_path / "again") == published(whole)


def test_another_directory_is_refused_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path / "config")
    (other := tmp_path / "other").mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"has other content \(notes.txt\)"):
        built(config, other)
    assert files(other) == {"notes.txt": b"mine"}
    with pytest.raises(UsageError, match="is a file"):
        built(config, other / "notes.txt")
    built(config, out := tmp_path / "out")
    before = files(out)
    recordings = tmp_path / "recordings.jsonl.gz"
    recordings.write_bytes(before["recordings.jsonl.gz"])
    (out / "plan.json").unlink()
    with pytest.raises(UsageError, match="has executions but no plan"):
        tb.build_bank(recordings=recordings, out=out)
    assert files(out) == {name: content for name, content in before.items() if name != "plan.json"}


def test_a_full_disk_ends_a_build_and_keeps_what_was_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    config = shells.configuration(tmp_path)
    out = tmp_path / "out"
    flush, flushed = os.fsync, iter(range(6))

    def full(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().name == "executions.jsonl" and next(flushed, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreWriteError, match=r"executions.jsonl \(No space left on device\).*free disk space"):
            built(config, out)
    kept = (out / "executions.jsonl").read_bytes()
    assert kept.endswith(b"\n")
    ran = built(config, out)
    assert ran.is_complete
    assert 0 < ran.state.executed_now < 11


def test_a_configuration_is_checked_before_anything_is_executed(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    text = config.read_text()
    for was, now, code, said in (
        ('name = "shell"', "", 2, "field bank.name: is missing"),
        ('name = "shell"', 'name = "my bank"', 2, "field bank.name: "),
        ('name = "shell"', 'name = "shell"\ncolour = 1', 2, "field bank.colour: is not a known field"),
        ("[search]", '[search]\nstep_rule = "within"', 2, "field search.step_rule: unknown step rule 'within'"),
        ("[search]", "[search]\ncascade = 4", 2, "field search.cascade"),
        ("[search]", '[search]\nproposer = "nobody"', 2, "field search.proposer: no proposer is named 'nobody'"),
        ("[search]", '[search]\nproposer = "router:nobody"', 2, "nobody"),
        ("[search]", "[search", 2, "not a TOML file"),
        (f'kind = "{shells.EXECUTOR}"', 'kind = "agents"', 2, "no executor is named 'agents'"),
        (f'kind = "{shells.EXECUTOR}"', 'kind = "nothing.py:open"', 2, "no file nothing.py"),
        (f'kind = "{shells.EXECUTOR}"', 'kind = "json:open"', 2, "json has no open"),
        (f'kind = "{shells.EXECUTOR}"', 'kind = "json:dumps"', 2, "[executor]: could not open the plugin: TypeError"),
        (f'kind = "{shells.EXECUTOR}"', 'kind = "shutil:which"', 2, "[executor]: could not open the plugin"),
        ("folder =", "colour = 1\nfolder =", 2, "[executor]: colour: is not a key"),
    ):
        assert was in text
        config.write_text(text.replace(was, now, 1))
        ran = twinbench("bank", "build", config, "--out", tmp_path / "out")
        assert (ran.code, said in ran.err) == (code, True), ran.err
        assert str(config) in ran.err
    config.write_text(text)
    for name in ("mid-1", "low-1"):
        (tmp_path / "candidates" / f"{name}.sh").unlink()
    ran = twinbench("bank", "build", config, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "a search needs candidates in at least two tiers; the executor has candidates in: high" in ran.err
    assert not (tmp_path / "out" / "executions.jsonl").exists()


def test_options_that_go_together_or_not(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    for arguments, said in (
        ((), "give a CONFIG"),
        ((config,), "--out DIR"),
        ((config, "--recordings", config, "--out", tmp_path), "give a CONFIG"),
        (("--recordings", config, "--out", tmp_path, "--usd", "1"), "--recordings executes nothing"),
        ((config, "--out", tmp_path, "--usd", "much"), "--usd much"),
        ((config, "--out", tmp_path, "--assume-steps", "3"), "--assume-steps needs --dry-run"),
        ((tmp_path / "no.toml", "--out", tmp_path), "no file"),
        (("--recordings", "small-model", "--out", tmp_path), "did you mean 'small-models'?"),
        (
            ("--recordings", tmp_path / "no", "--out", tmp_path),
            "with recordings: rehearsal, small-models",
        ),
    ):
        ran = twinbench("bank", "build", *arguments)
        assert ran.code == 2
        assert said in ran.err


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (path := tmp_path / "example.toml").write_text(twinbench("bank", "build", "--example").succeeded().text)
    assert path.read_text() == example()
    settings = read_settings(path)
    assert settings.search == type(settings.search)()
    assert settings.executor.kind == "agent"


def test_an_estimate_executes_nothing_and_knows_the_seeds_that_were_executed(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path, usd_a_call="0.01")
    out = tmp_path / "out"
    asked = ("bank", "build", config, "--out", out, "--dry-run")
    told = twinbench(*asked, "--json").succeeded().json
    # Two tiers below the strongest, a candidate each.
    assert told["most_executions"] == 3 * (1 + 2 * 9)
    assert told["worst_usd"] == pytest.approx(told["most_executions"] * 6 * 0.01)
    assert not out.exists()
    assert "at most 15 executions" in twinbench(*asked, "--assume-steps", "2").succeeded().text
    capped = built(config, out, cap_usd=Decimal("0.12"))
    # What was executed can be looked at, though the build is over.
    step = capped.outcomes[0].findings[0].execution.steps[0]
    assert (step.messages[0]["content"], step.functions) == ("Solve a-1.", TOOLS)
    config.write_text(config.read_text().replace("CC0-1.0", "MIT"))
    before = files(out)
    told = twinbench(*asked, "--json").succeeded().json
    assert (told["seeds"], told["assumed_steps"], told["most_executions"]) == (2, 3, 3 * (1 + 2 * 3))
    assert files(out) == before


def test_damaged_recordings_and_rows_are_refused_by_file_and_line(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    built(config, out := tmp_path / "out")
    lines = [json.loads(line) for line in gzip.decompress((out / "recordings.jsonl.gz").read_bytes()).splitlines()]
    last = next(number for number in reversed(range(len(lines))) if lines[number]["kind"] == "execution")
    plan = lines[0]["plan"]
    identity = plan["identity"]
    search = identity["search"] | {"step_rule": "most"}
    execution, step = lines[-1], lines[-1]["steps"][0]
    wrong = {
        "none": ([], "is not recordings"),
        "rows": (rows(out), "line 1"),
        "short": (lines[:last], "incomplete"),
        "number": (
            [*lines[:-1], lines[-1] | {"steps": [lines[-1]["steps"][0] | {"added": [99]}]}],
            "refers to value 99",
        ),
        "kept": ([*lines[:-1], execution | {"steps": [step | {"kept": 5}]}], "5 messages"),
        "passed": ([*lines[:-1], execution | {"passed": None}], "passed"),
        "rule": (
            [lines[0] | {"plan": plan | {"identity": identity | {"search": search}}}, *lines[1:]],
            "unknown step rule",
        ),
        "version": ([lines[0] | {"version": 2}, *lines[1:]], "version"),
    }
    for name, (content, said) in wrong.items():
        path = write_jsonl(tmp_path / f"{name}.jsonl", content)
        ran = twinbench("bank", "build", "--recordings", path, "--out", tmp_path / name)
        assert ran.code == 1, name
        assert said in ran.err, name
    (out / "rows.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    ran = twinbench("bank", "import", out, "--name", "x", "--store", tmp_path / "store")
    assert ran.code == 1
    assert "one of them was changed" in ran.err


def test_no_task_with_labels_is_no_bank(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path, tasks={"b-1": "exit 1"})
    ran = twinbench("bank", "build", config, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "no task got labels" in ran.err
    assert "left out, the strongest tier does not pass: b-1" in ran.err


def test_what_may_not_be_published_is_named_and_no_rows_are_written(tmp_path: Path) -> None:
    config = shells.configuration(tmp_path)
    built(config, out := tmp_path / "out")
    header, *lines = [
        json.loads(line) for line in gzip.decompress((out / "recordings.jsonl.gz").read_bytes()).splitlines()
    ]
    answered = next(each for each in lines if "assistant" in str(each.get("value")))
    for name, said in (
        ("reasoning_content", "messages[1].reasoning_content: is a provider-specific field"),
        ("content", "field messages[1].content: must be a string"),
    ):
        value = answered["value"] | {name: {"by": "low-1"}}
        changed = [header, *(each | {"value": value} if each is answered else each for each in lines)]
        path = write_jsonl(tmp_path / f"{name}.jsonl", changed)
        ran = twinbench("bank", "build", "--recordings", path, "--out", tmp_path / name)
        assert ran.code == 1
        assert said in ran.err
        assert "No rows were written" in ran.err
        assert not (tmp_path / name / "rows.jsonl.gz").exists()


def test_an_executor_that_does_something_else_than_it_was_asked_for_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    source = Path(shells.EXECUTOR.rpartition(":")[0]).read_text("utf-8")
    wrong.write_text(source.replace("candidate, usage, self._usd)", '"high-1", usage, self._usd)'), "utf-8")
    config = shells.configuration(tmp_path)
    config.write_text(config.read_text().replace(shells.EXECUTOR, f"{wrong}:open_shell"))
    ran = twinbench("bank", "build", config, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "step 1 of a-1 was answered by 'high-1' instead of 'low-1': a bug in the executor" in ran.err


def test_a_signal_stops_a_build_that_the_same_command_goes_on_with(tmp_path: Path) -> None:
    import signal
    import time

    from tests.cli.commands import SCRIPT

    slow = f"sleep 0.2; {shells.STEADY}"
    config = shells.configuration(tmp_path, candidates=shells.CANDIDATES | {"high-1": slow})
    out = tmp_path / "out"
    with subprocess.Popen(
        [SCRIPT, "bank", "build", config, "--out", out], stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "executor" / BEGUN_FILE).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "3 tasks of 3 left" in said
    assert "the same command to continue" in said
    assert built(config, out).is_complete


def test_a_bank_of_whole_tasks_says_what_a_router_would_be_billed(tmp_path: Path, store: Store) -> None:
    out = tmp_path / "out"
    tb.build_bank(shells.configuration(tmp_path, usd_a_call="0.01"), out=out, usd=5)
    tb.import_bank(out, "shell", store=store.root)
    board = tb.score(["always-low", "always-mid"], "shell", store=store.root, resampling=None)
    bills = {record["router"]: (record["expected_bill_usd"], record["cost_usd"]) for record in board.records()}
    # Both tasks need mid at one step: two fail under low, none under mid.
    assert bills["always-low"][0] == pytest.approx(bills["always-low"][1] + 2 * 0.60)
    assert bills["always-mid"][0] == bills["always-mid"][1]
    asked = ("static", "score", "always-low", "--bank", "shell", "--store", store.root, "--resamples", "0")
    assert "bill, USD" in twinbench(*asked, "--format", "markdown").succeeded().text
    # Of rows alone nobody knows whether trajectories are whole.
    tb.import_bank(out / "rows.jsonl.gz", "rows", store=store.root)
    rows_alone = tb.score("always-low", "rows", store=store.root, resampling=None)
    assert "expected_bill_usd" not in rows_alone.records()[0]
    assert "expected_bill_usd" not in rows_alone.to_json()["routers"][0]
    assert board.to_json()["routers"][0]["expected_bill_usd"] == bills["always-low"][0]
