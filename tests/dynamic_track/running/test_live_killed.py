"""Runs ended by signals, at every stage of a step, and gone on with by the same command."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import HangReply, MessageReply, Reply, TokenCounts, error_reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import SCRIPT, twinbench
from tests.dynamic_track.hostile_agents import submit_file
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    POOL,
    SENTINEL,
    SUBMIT,
    Done,
    Victims,
    by_step,
    heredoc,
    live,
    named,
    nearly,
    replayed,
    run_arguments,
    said,
    until,
)
from tests.examples import thinned
from tests.scripted.server import ScriptedServer
from tests.timing import HANG_S
from twinbench.calls.journal import read_journal
from twinbench.containers.engine import Engine

LEAVES = f"echo {SENTINEL}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def looking() -> list[Reply]:
    """Runs two commands at once, then one more, and leaves."""
    return priced(said(["ls; date; mktemp", "git status"]), said(f"echo {SENTINEL}"))


def solving_it(tasks: Sequence[Task]) -> list[Reply]:
    """Looks around, then applies the gold patch and submits."""
    return priced(said(["ls; date", "git status"]), said([heredoc(named(tasks, EASY).gold_patch), SUBMIT]))


def priced(*messages: MessageReply) -> list[Reply]:
    """Answers whose usage does not depend on what a server has in its cache."""
    return [replace(each, usage=TokenCounts(1000 * number, output=100)) for number, each in enumerate(messages, 1)]


def kept_containers(engine: Engine, run: str) -> list[str]:
    """The containers that stand there of a run."""
    filters: dict[str, str | list[str] | bool] = {"label": f"twinbench.run={run}"}
    return [str(each.id) for each in engine.client.containers.list(all=True, filters=filters, ignore_removed=True)]


STAGES = [
    pytest.param("after", "trial", 1, marks=pytest.mark.acceptance),
    ("before", "decision", 2),
    ("after", "decision", 2),
    pytest.param("after", "reserve", 1, marks=pytest.mark.acceptance),
    ("after", "reserve", 2),
    ("before", "settle", 2),
    ("after", "settle", 2),
    ("after", "command", 2),
    ("before", "observation", 2),
    ("after", "observation", 2),
    ("before", "end", 1),
    ("before", "verdict", 1),
    ("after", "verdict", 1),
]
"""Before a reserve is ``after`` its decision, after a fetch is ``before`` its settle."""

LOSES = {("after", "reserve"), ("before", "settle")}
ROUTER = "round-robin"


@dataclass(frozen=True)
class Whole:
    """A run that nobody killed."""

    script: Callable[[ReceivedRequest], Reply]
    case: dict[str, Any]
    spend: Decimal


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory, rehearsal: Sequence[Task]) -> Callable[[bool], Whole]:
    """What a solved case and one that leaves end with, each run when it is asked for first."""

    @cache
    def run(solved: bool) -> Whole:
        done = Done(tmp_path_factory.mktemp("whole") / "run")
        script = by_step(solving_it(rehearsal) if solved else looking())
        with pytest.MonkeyPatch.context() as patch, ScriptedServer(script) as server:
            patch.setenv(KEY_VARIABLE, KEY)
            live(server.api_base, done.run, router=ROUTER).succeeded()
        assert done.case["resolved"] == solved
        return Whole(script, done.case, done.spend_usd)

    return run


def requests(server: ScriptedServer) -> Counter[str]:
    """How often each request came."""
    return Counter(json.dumps(asked.body, sort_keys=True) for asked in server.completions)


@pytest.mark.parametrize(("when", "kind", "number"), thinned(STAGES, 3))
def test_a_killed_run_goes_on_to_the_same_end(
    tmp_path: Path,
    engine: Engine,
    killing: Victims,
    wholes: Callable[[bool], Whole],
    when: str,
    kind: str,
    number: int,
) -> None:
    done = Done(tmp_path / f"killed-{os.urandom(4).hex()}")
    lost = int((when, kind) in LOSES)
    whole = wholes(kind in ("end", "verdict"))
    with ScriptedServer(whole.script) as server:
        killing.killed(run_arguments(server.api_base, done.run, router=ROUTER), (when, kind, number))
        before = len(server.completions)
        live(server.api_base, done.run, router=ROUTER).succeeded()
        sent = requests(server)
        assert len({asked.session for asked in server.completions}) == 1
    compare(done, whole, lost)
    assert len(server.completions) == 2 + int((when, kind) == ("before", "settle"))
    assert before <= 2
    assert max(sent.values()) == 1 + int((when, kind) == ("before", "settle"))
    collected(engine, done.run.name)


def compare(done: Done, whole: Whole, lost: int) -> None:
    """The same verdict and cost as the run that nobody killed; spent is what was in flight more."""
    case = done.case
    for name in ("resolved", "cause", "steps", "cost_usd", "bill_usd", "usage", "models"):
        assert case[name] == whole.case[name], name
    assert len(done.at_reservation) == lost
    assert done.spend_usd == whole.spend + sum(done.at_reservation)
    assert case["spend_usd"] == nearly(done.spend_usd)
    for name in ("trajectory.json", "patch.diff", "verdict.json"):
        assert (done.folder / name).is_file(), name


def collected(engine: Engine, run: str) -> None:
    """Collect what the killed process left; then nothing of the run is there."""
    twinbench("dynamic", "gc").succeeded()
    assert kept_containers(engine, run) == []


@pytest.mark.acceptance
def test_a_run_killed_while_a_server_hangs_goes_on(
    tmp_path: Path, engine: Engine, killing: Victims, wholes: Callable[[bool], Whole]
) -> None:
    hanging = True
    whole = wholes(False)

    def answer(asked: ReceivedRequest) -> Reply:
        return HangReply() if hanging and len(asked.body["messages"]) > 2 else whole.script(asked)

    done = Done(tmp_path / f"killed-{os.urandom(4).hex()}")
    with ScriptedServer(answer) as server:
        victim = killing.start(run_arguments(server.api_base, done.run, router=ROUTER))
        until(lambda: len(server.completions) == 2)
        standing = kept_containers(engine, done.run.name)
        os.kill(victim, signal.SIGKILL)
        assert killing.ended() == -signal.SIGKILL
        hanging = False
        live(server.api_base, done.run, router=ROUTER).succeeded()
        assert len(server.completions) == 3
    compare(done, whole, lost=1)
    assert len(standing) == 1
    collected(engine, done.run.name)
    assert replayed(done.run).succeeded().json == {"cases": 1, "equal": 1, "differences": []}


def test_a_run_killed_while_a_command_runs_goes_on(
    tmp_path: Path,
    engine: Engine,
    rehearsal: Sequence[Task],
    killing: Victims,
) -> None:
    done = Done(tmp_path / f"killed-{os.urandom(4).hex()}")
    with ScriptedServer(by_step([said("sleep 2; echo slept"), said(f"echo {SENTINEL}")])) as server:
        victim = killing.start(run_arguments(server.api_base, done.run, router=ROUTER))
        until(lambda: (done.run / "journal").is_dir() and b'"kind":"command"' in journal(done.run))
        os.kill(victim, signal.SIGKILL)
        assert killing.ended() == -signal.SIGKILL
        live(server.api_base, done.run, router=ROUTER).succeeded()
        assert len(server.completions) == 2
        assert "slept" in server.completions[1].body["messages"][-1]["content"]
    assert done.case["cause"] == "empty"
    assert done.at_reservation == []
    collected(engine, done.run.name)


def journal(run: Path) -> bytes:
    """The journal as it stands there."""
    path = run / "journal" / "journal.jsonl"
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.acceptance
def test_a_run_killed_again_and_again_goes_on(
    tmp_path: Path, killing: Victims, wholes: Callable[[bool], Whole]
) -> None:
    done = Done(tmp_path / "run")
    whole = wholes(False)
    with ScriptedServer(whole.script) as server:
        arguments = run_arguments(server.api_base, done.run, router=ROUTER)
        for stage in (("after", "reserve", 1), ("after", "reserve", 1), ("before", "settle", 2), ("before", "end", 1)):
            killing.killed(arguments, stage)
        live(server.api_base, done.run, router=ROUTER).succeeded()
    compare(done, whole, lost=3)


@pytest.mark.acceptance
def test_where_a_command_gives_something_else_the_trial_starts_over_and_what_it_spent_is_lost(
    tmp_path: Path,
    rehearsal: Sequence[Task],
    killing: Victims,
) -> None:
    replies = [said("ls"), said("echo $RANDOM$RANDOM$RANDOM"), said(f"echo {SENTINEL}")]
    done = Done(tmp_path / "run")
    with ScriptedServer(by_step(replies)) as server:
        killing.killed(run_arguments(server.api_base, done.run, router=ROUTER), ("after", "reserve", 3))
        live(server.api_base, done.run, router=ROUTER).succeeded()
        sent = len(server.completions)
        assert len({asked.session for asked in server.completions}) == 1
    case, settles = done.case, done.fields("settle")
    assert sent == 5, "two before the kill, three after it"
    (lost,) = done.fields("lost")
    assert (lost["step"], lost["what"]) == (2, "observation")
    costs = [Decimal(each["cost_usd"]) for each in settles]
    assert [each["at_reservation"] for each in settles] == [False, False, True, False, False, False]
    assert (case["steps"], case["cost_usd"]) == (3, nearly(sum(costs[3:])))
    assert case["spend_usd"] == nearly(sum(costs)) == nearly(done.spend_usd)
    assert case["models"] == {POOL[0]: 1, POOL[1]: 1, POOL[2]: 1}
    assert replayed(done.run).json["differences"][0]["what"] == "observation"


SIGNALLED = [
    pytest.param(signal.SIGTERM, "after", "reserve", 2, id="while a call is in flight"),
    pytest.param(signal.SIGHUP, "after", "command", 2, id="while a command runs", marks=pytest.mark.acceptance),
    pytest.param(signal.SIGTERM, "after", "end", 1, id="while tests run", marks=pytest.mark.acceptance),
    pytest.param(signal.SIGTERM, "after", "sitting", 1, id="before all", marks=pytest.mark.acceptance),
    pytest.param(signal.SIGHUP, "after", "decision", 1, id="while a router decides", marks=pytest.mark.acceptance),
    pytest.param(signal.SIGINT, "after", "verdict", 1, id="at the end", marks=pytest.mark.acceptance),
]


@pytest.mark.parametrize(("number", "when", "kind", "nth"), SIGNALLED)
def test_a_run_that_a_signal_ends_leaves_no_container_and_goes_on_to_the_same_end(
    tmp_path: Path,
    engine: Engine,
    killing: Victims,
    wholes: Callable[[bool], Whole],
    number: signal.Signals,
    when: str,
    kind: str,
    nth: int,
) -> None:
    done = Done(tmp_path / f"signalled-{os.urandom(4).hex()}")
    whole = wholes(True)
    with ScriptedServer(whole.script) as server:
        killing.start(run_arguments(server.api_base, done.run, router=ROUTER), (when, kind, nth), number)
        assert killing.ended() == (0 if kind == "verdict" else 128 + number)
        assert kept_containers(engine, done.run.name) == []
        assert read_journal(done.run / "journal").note is None
        live(server.api_base, done.run, router=ROUTER).succeeded()
        assert max(requests(server).values()) == 1, "nothing is paid twice"
    compare(done, whole, lost=0)


def test_a_command_that_runs_when_a_signal_comes_is_not_waited_for(
    tmp_path: Path, engine: Engine, rehearsal: Sequence[Task], killing: Victims
) -> None:
    done = Done(tmp_path / f"signalled-{os.urandom(4).hex()}")
    with ScriptedServer(by_step([said("[ -e /tmp/x ] || sleep 50; echo slept"), said(LEAVES)])) as server:
        killing.start(run_arguments(server.api_base, done.run, router=ROUTER), ("after", "command", 1), signal.SIGTERM)
        assert killing.ended() == 128 + signal.SIGTERM
    assert done.fields("observation") == [], "a command that is waited for has one"
    assert kept_containers(engine, done.run.name) == []


def test_a_wait_for_a_provider_is_not_waited_for_when_a_signal_comes(
    tmp_path: Path, rehearsal: Sequence[Task], killing: Victims
) -> None:
    done = Done(tmp_path / "run")
    arguments = partial(run_arguments, run=done.run, router=ROUTER)
    with ScriptedServer(lambda _: error_reply(429, "later", headers={"Retry-After": "9"})) as server:
        killing.start(arguments(server.api_base), ("after", "settle", 1), signal.SIGTERM)
        assert killing.ended() == 128 + signal.SIGTERM
        assert len(server.completions) == 1, "one that is waited for is asked again"
    with ScriptedServer(by_step([said(LEAVES)])) as server:
        live(server.api_base, done.run, router=ROUTER).succeeded()
    assert (done.case["cause"], len(done.fields("settle"))) == ("empty", 2)


MOMENTS = 20


@pytest.mark.acceptance
def test_a_run_that_sigterm_ends_at_any_moment_goes_on_to_the_same_end(
    tmp_path: Path, engine: Engine, killing: Victims, wholes: Callable[[bool], Whole]
) -> None:
    whole = wholes(True)
    draw = random.Random(20)  # noqa: S311 - moments, no secrets

    def slowly(asked: ReceivedRequest) -> Reply:
        reply = whole.script(asked)
        assert isinstance(reply, MessageReply)
        return replace(reply, after_s=0.3)

    with ScriptedServer(slowly) as server:
        began = time.monotonic()
        killing.start(run_arguments(server.api_base, tmp_path / "timed", router=ROUTER))
        assert killing.ended() == 0
        takes_s = time.monotonic() - began
    ended = Counter[int]()
    for moment in range(MOMENTS):
        done = Done(tmp_path / f"signalled-{moment}-{os.urandom(4).hex()}")
        with ScriptedServer(slowly) as server:
            pid = killing.start(run_arguments(server.api_base, done.run, router=ROUTER))
            time.sleep(takes_s * (moment + draw.random()) / MOMENTS)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            ended[killing.ended()] += 1
            assert kept_containers(engine, done.run.name) == []
            live(server.api_base, done.run, router=ROUTER).succeeded()
            assert max(requests(server).values()) == 1, "nothing is paid twice"
        compare(done, whole, lost=0)
    assert ended.keys() <= {0, 128 + signal.SIGTERM, -signal.SIGTERM}
    assert ended[128 + signal.SIGTERM] >= MOMENTS // 2
    codes = ", ".join(f"{count} × {code}" for code, count in sorted(ended.items()))
    print(f"evidence: SIGTERM at {MOMENTS} moments of a run of {takes_s:.1f} s: exit codes {codes}; no container left")


def own_containers(engine: Engine, pid: int) -> list[str]:
    """The containers that a process made."""
    found = engine.client.containers.list(all=True, filters={"label": "twinbench.role"}, ignore_removed=True)
    return [str(each.name) for each in found if each.labels.get("twinbench.process", "").startswith(f"{pid}@")]


GRADING = ["rehearse"]
OTHERS = ["grade patches", "doctor", "grade a run", "replay", "score in strict isolation"]


@pytest.mark.acceptance
@pytest.mark.parametrize("what", [*GRADING, *(pytest.param(each, marks=pytest.mark.acceptance) for each in OTHERS)])
def test_other_commands_that_hold_containers_end_by_a_signal_too(
    what: str, tmp_path: Path, engine: Engine, rehearsal: Sequence[Task], killing: Victims
) -> None:
    run, patch, store = tmp_path / "run", tmp_path / "patch.diff", ("--store", str(tmp_path / "store"))
    (tmp_path / "router").mkdir()
    slow = tmp_path / "router" / "slow.py"
    slow.write_text(
        "import time\nclass Slow:\n    def route(self, call):\n        time.sleep(1)\n        return 'low'\n"
    )
    endless = submit_file("conftest.py", "import time\nwhile True:\n    time.sleep(1)").partition("\n")[2]
    patch.write_text(f"{endless.rpartition('END_OF_PATCH')[0]}", "utf-8")
    if what in ("grade a run", "replay"):
        with ScriptedServer(by_step(solving_it(rehearsal))) as server:
            live(server.api_base, run, router=ROUTER).succeeded()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    words = {
        "grade patches": ["dynamic", "grade", "--patch", str(patch), "--case", EASY, *store],
        "grade a run": ["dynamic", "grade", str(run)],
        "doctor": ["dynamic", "doctor", "--tasks", "rehearsal", "--only", EASY],
        "replay": ["dynamic", "replay", str(run)],
        "score in strict isolation": ["static", "score", f"{slow}:Slow", "--isolation", "strict", *store],
        "rehearse": ["rehearse", "always-low", "--limit", "2", "--runs", str(run)],
    }[what]
    pid = killing.start(words)
    until(lambda: own_containers(engine, pid) != [])
    os.kill(pid, signal.SIGTERM)
    assert killing.ended() == 128 + signal.SIGTERM
    assert own_containers(engine, pid) == []
    if what == "rehearse":
        twinbench(*words).succeeded()
    else:
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_hangup_that_is_ignored_from_the_start_stays_ignored(
    tmp_path: Path, rehearsal: Sequence[Task], killing: Victims
) -> None:
    """As ``nohup`` leaves it."""
    done = Done(tmp_path / "run")
    with ScriptedServer(by_step([said("ls"), said("ls", after_s=1), said(LEAVES)])) as server:
        command = run_arguments(server.api_base, done.run, router=ROUTER)
        process = killing.start(command, ignores=[signal.SIGHUP], written_to=tmp_path)
        until(lambda: len(server.completions) == 2)
        os.kill(process, signal.SIGHUP)
        assert killing.ended() == 0, (tmp_path / "err").read_text("utf-8")
    assert done.case["cause"] == "empty"


@pytest.mark.acceptance
def test_a_terminal_that_is_closed_ends_a_run_in_good_order(
    tmp_path: Path, engine: Engine, rehearsal: Sequence[Task]
) -> None:
    done = Done(tmp_path / f"closed-{os.urandom(4).hex()}")
    leader, terminal = os.openpty()
    with ScriptedServer(by_step([said("ls"), said("ls", after_s=1), said(LEAVES)])) as server:
        words = [word for word in run_arguments(server.api_base, done.run, "--yes", router=ROUTER) if word != "--json"]
        with subprocess.Popen(
            ["setsid", "--ctty", str(SCRIPT), *words],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, KEY_VARIABLE: KEY},
        ) as process:
            os.close(terminal)
            until(lambda: len(server.completions) == 2)
            os.close(leader)
            assert process.wait(HANG_S) == 128 + signal.SIGHUP
        assert kept_containers(engine, done.run.name) == []
        assert live(server.api_base, done.run, router=ROUTER).succeeded().json["infra"] == 0
        assert len(server.completions) == 3, "nothing is paid twice"
