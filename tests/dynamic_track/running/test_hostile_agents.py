"""Agents that destroy what they work in: their cases end by their doing, the others are none the worse for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dynamic_track.tasks.task import Task
from tests.dynamic_track.hostile_agents import HOSTILE, IN_THE_SUITE, HostileAgent, hasty_pool, play_agents
from tests.dynamic_track.live import (
    EASY,
    KEY,
    KEY_VARIABLE,
    Done,
    Victims,
    live,
    named,
    replayed,
    run_arguments,
)
from tests.scripted.server import ScriptedServer
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.containers.engine import Engine
from twinbench.containers.labels import RUN


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool whose commands may take a few seconds, and whose agents few steps."""
    return hasty_pool(tmp_path / "pool.toml", timeout_s=4, steps=8)


def left(engine: Engine, run: Path) -> list[str]:
    """The containers that there are of a run."""
    filters: dict[str, str | list[str] | bool] = {"label": f"{RUN}={run.name}"}
    return [str(each.name) for each in engine.client.containers.list(all=True, filters=filters, ignore_removed=True)]


def ends_as_it_must(done: Done, agent: HostileAgent) -> bool:
    """Whether a trial ended by what its agent did, and as that lets it end."""
    case = done.case
    cause = None if case["cause"] is None else Cause(case["cause"])
    if cause is not None and CAUSES[cause].outcome_class is not OutcomeClass.unresolved:
        return False
    return {True: "resolved", False: "unresolved"}.get(case["resolved"]) in agent.ends


def run_all(agents: Mapping[str, HostileAgent], run: Path, pool: Path, task: Task, workers: int) -> None:
    """Run agents, each as a trial of one case, and see that each ends as it must."""
    words = ("--trials", str(len(agents)), "--workers", str(workers), "--pool", str(pool))
    limits = ("--memory", "512", "--min-free-memory-mib", "0", "--tests-timeout", "60")
    with ScriptedServer(play_agents(list(agents.values()), task)) as server:
        ran = live(server.api_base, run, *words, *limits, usd="900")
    trials = {name: Done(run, task.id, number) for number, name in enumerate(agents, 1)}
    for name, done in trials.items():
        case = done.case
        observed = [fields["ended"] for fields in done.fields("observation") if fields["trial"] == done.trial]
        ended = f"resolved {case['resolved']}, cause {case['cause']}, {case['exit_status']}"
        print(f"{name}: {ended}; commands {', '.join(observed)}")
    assert {name for name, done in trials.items() if not ends_as_it_must(done, agents[name])} == set()
    assert ran.code == 0, ran.err


@pytest.mark.acceptance
def test_agents_that_destroy_their_containers_end_by_their_own_doing(
    tmp_path: Path, pool: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    run = tmp_path / f"hostile-{tmp_path.name}"
    run_all({name: HOSTILE[name] for name in IN_THE_SUITE}, run, pool, named(rehearsal, EASY), workers=4)
    assert left(engine, run) == []


@pytest.mark.acceptance
def test_every_hostile_agent_ends_by_its_own_doing(
    tmp_path: Path, pool: Path, rehearsal: Sequence[Task], engine: Engine
) -> None:
    assert len(HOSTILE) >= 40
    run = tmp_path / f"hostile-{tmp_path.name}"
    run_all(HOSTILE, run, pool, named(rehearsal, EASY), workers=4)
    assert left(engine, run) == []
    print(f"evidence: {len(HOSTILE)} hostile agents: none lost to infrastructure, no container left")


def test_a_run_of_a_destroyed_container_that_was_killed_goes_on_and_replays(
    tmp_path: Path, rehearsal: Sequence[Task], killing: Victims
) -> None:
    task, run, steps = named(rehearsal, EASY), tmp_path / f"hostile-{tmp_path.name}", 4
    pool = hasty_pool(tmp_path / "pool.toml", timeout_s=4, steps=steps)
    with ScriptedServer(play_agents([HOSTILE["bash removed, shell lost"]], task)) as server:
        words = run_arguments(server.api_base, run, "--pool", str(pool), usd="90")
        killing.killed(words, ("before", "decision", 3))
        assert live(server.api_base, run, "--pool", str(pool), usd="90").succeeded().json["unresolved"] == 1
        assert len(server.completions) == steps, "nothing was asked again"
    done = Done(run, task.id)
    assert (done.case["steps"], done.case["cause"]) == (steps, "empty")
    observed = done.fields("observation")
    assert [fields["ended"] for fields in observed] == ["lost", *["not_run"] * (steps - 1)]
    assert [fields["returncode"] for fields in observed] == [-1, *[127] * (steps - 1)]
    assert all("bash is missing" in fields["exception_info"] for fields in observed[1:])
    assert replayed(run).succeeded().json["equal"] == 1
