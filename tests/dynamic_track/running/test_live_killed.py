"""Runs ended by SIGKILL, at every stage of a step, and gone on with by the same command."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import Counts, Hang, Message, Reply
from dynamic_track.rehearsal.server import Asked
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
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
from tests.scripted.server import ScriptedServer
from twinbench.containers.engine import Engine


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def looking() -> list[Reply]:
    """Runs two commands at once, then one more, and leaves."""
    return priced(said(["ls; date; mktemp", "git status"]), said(f"echo {SENTINEL}"))


def solving_it(tasks: Sequence[Task]) -> list[Reply]:
    """Looks around, then applies the gold patch and submits."""
    return priced(said(["ls; date", "git status"]), said([heredoc(named(tasks, EASY).gold_patch), SUBMIT]))


def priced(*messages: Message) -> list[Reply]:
    """Answers whose usage does not depend on what a server has in its cache."""
    return [replace(each, usage=Counts(1000 * number, output=100)) for number, each in enumerate(messages, 1)]


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

    script: Callable[[Asked], Reply]
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


@pytest.mark.parametrize(("when", "kind", "number"), STAGES)
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


def test_a_run_killed_while_a_server_hangs_goes_on(
    tmp_path: Path, engine: Engine, killing: Victims, wholes: Callable[[bool], Whole]
) -> None:
    hanging = True
    whole = wholes(False)

    def answer(asked: Asked) -> Reply:
        return Hang() if hanging and len(asked.body["messages"]) > 2 else whole.script(asked)

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
