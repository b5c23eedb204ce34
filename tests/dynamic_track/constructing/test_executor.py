"""The agent executor on real containers and simulated models: what is paid, reused, gone on with, and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.constructing.executor import AgentExecutor, agent_executor
from dynamic_track.rehearsal.preparing import prepare_rehearsal, rehearse_routers
from dynamic_track.tasks.selection import TaskChoice
from dynamic_track.tasks.task import Task
from tests.dynamic_track.live import EASY, HIGH, KEY, KEY_VARIABLE, LOW, MID, MID_HIGH, rewritten, solving
from tests.scripted.server import ScriptedServer
from twinbench.calls.journal import JOURNAL_FILE, read_journal
from twinbench.calls.normalise import normalise
from twinbench.calls.recording import read_recordings
from twinbench.causes import Cause
from twinbench.construction.execution import Assignment, BuildStoppedError, ConstructionTask, Execution, ExecutorContext
from twinbench.containers.engine import Engine
from twinbench.errors import ContentError, UsageError
from twinbench.plugins.loading import load_router

SEED = Assignment((), HIGH)
FIRST = Assignment((LOW,), HIGH)
SECOND = Assignment((LOW, LOW), HIGH)
REHEARSAL = {"provider": "rehearsal", "only": [EASY]}

with_images = pytest.mark.usefixtures("rehearsal")


@contextmanager
def opened(folder: Path, cap: str | None = None, **more: Any) -> Iterator[AgentExecutor]:
    settings = {**REHEARSAL, **{name: value for name, value in more.items() if name != "is_stopping"}}
    stopping = more.get("is_stopping", lambda: False)
    context = ExecutorContext(folder, None if cap is None else Decimal(cap), is_stopping=stopping)
    with agent_executor(settings, context) as executor:
        assert isinstance(executor, AgentExecutor)
        yield executor


def outcome(execution: Execution) -> tuple[Any, ...]:
    """What an execution gives the search for labels, without what was paid now, and how long its commands took."""
    steps = [(normalise(list(each.messages)), each.functions, each.candidate, each.usage) for each in execution.steps]
    return execution.passed, execution.cause, execution.cost_usd, steps


def left_by_a_kill(whole: Path, folder: Path, kind: str) -> Decimal:
    """Copy what a kill would have left of an executor's folder after the second line of a kind.

    Returns:
        What is reserved by the last of these lines.
    """
    lines = (whole / "journal" / JOURNAL_FILE).read_text("utf-8").splitlines(keepends=True)
    last = [number for number, line in enumerate(lines) if json.loads(line)["kind"] == kind][1]
    (folder / "journal").mkdir(parents=True)
    (folder / "journal" / JOURNAL_FILE).write_text("".join(lines[: last + 1]), "utf-8")
    shutil.copy(whole / "provider-0.jsonl", folder)
    return Decimal(json.loads(lines[last])["fields"].get("reserved_usd", 0))


@with_images
def test_executions_share_what_they_have_in_common(tmp_path: Path, engine: Engine) -> None:
    [found] = entry_points(group="twinbench.executors", name="agent")
    assert found.load() is agent_executor
    with opened(tmp_path / "build", seeds=2) as executor:
        task = executor.tasks[0]
        assert [each.id for each in executor.tasks] == [f"{EASY}@0", f"{EASY}@1"]
        assert task == ConstructionTask(f"{EASY}@0", "easy", EASY)
        assert executor.tiers == {"low": (LOW,), "mid": (MID,), "mid_high": (MID_HIGH,), "high": (HIGH,)}
        seed = executor.execute(task.id, SEED, 0)
        first = executor.execute(task.id, FIRST, 0)
        second = executor.execute(task.id, SECOND, 0)
        assert [each.passed for each in (seed, first, second)] == [True, True, True]
        # The first step of the third is that of the second, whose response and observations stand.
        assert (seed.paid_calls, first.paid_calls) == (len(seed.steps), len(first.steps))
        assert second.paid_calls < len(second.steps)
        assert second.spend_usd < second.cost_usd
        assert [each.candidate for each in second.steps[:3]] == [LOW, LOW, HIGH]
        assert second.steps[1].messages == first.steps[1].messages
        assert second.steps[0].functions is not None
        assert second.steps[0].functions[0]["name"] == "bash"
        roles = [message["role"] for message in second.steps[1].messages]
        assert roles[:3] == ["system", "user", "assistant"]
        assert executor.spent_usd == seed.spend_usd + first.spend_usd + second.spend_usd
        # Asked once more it costs nothing, and is the same; another repeat and another seed have their own.
        assert outcome(again := executor.execute(task.id, FIRST, 0)) == outcome(first)
        assert (again.paid_calls, again.spend_usd) == (0, Decimal(0))
        repeat = executor.execute(task.id, SEED, 1)
        assert repeat.paid_calls == len(repeat.steps)
        assert repeat.cost_usd != seed.cost_usd
        assert executor.worst_case_usd(task.id) == 0
    # In full it is the same, and under the strongest candidate what a rehearsal of that seed is.
    with opened(tmp_path / "full", reuse_observations=False) as executor:
        assert [outcome(executor.execute(task.id, each, 0)) for each in (SEED, FIRST, SECOND)] == [
            outcome(each) for each in (seed, first, second)
        ]
    rehearsed = rehearse_routers(
        prepare_rehearsal(TaskChoice(only=(EASY,))), [load_router("always-high")], tmp_path / "runs", resampling=None
    )
    [trial] = rehearsed.runs[0].summary.trials
    assert (trial.resolved, trial.steps, trial.cost_usd) == (seed.passed, len(seed.steps), seed.cost_usd)


@pytest.mark.acceptance
@with_images
def test_what_was_ended_goes_on_and_nothing_is_paid_twice(tmp_path: Path, engine: Engine) -> None:
    task = f"{EASY}@0"
    with opened(tmp_path / "whole") as executor:
        whole = [executor.execute(task, each, 0) for each in (SEED, FIRST)]
        spent = executor.spent_usd
    build = tmp_path / "build"
    # Another sitting for every second call, by a stop; what has ended before is told again from the journal.
    done: list[Execution] = []
    sittings = 0
    while len(done) < 2:
        sittings += 1
        asked = iter(range(12 * sittings))
        with opened(build, is_stopping=lambda asked=asked: next(asked, None) is None) as executor:
            try:
                done = [executor.execute(task, each, 0) for each in (SEED, FIRST)]
            except BuildStoppedError:
                continue
    assert sittings > 2
    assert [outcome(each) for each in done] == [outcome(each) for each in whole]
    assert [each.spend_usd for each in done] == [each.spend_usd for each in whole]
    with opened(build) as executor:
        assert executor.spent_usd == spent
    told = read_recordings(read_journal(build / "journal"))
    assert [each.trial for each in told.values()] == [1, 2]
    # A kill leaves the beginning of a journal. What was in flight may have been billed, and is asked again; no more is.
    for kind, in_flight in (("reserve", True), ("verdict", False)):
        killed = tmp_path / kind
        reserved = left_by_a_kill(tmp_path / "whole", killed, kind)
        with opened(killed) as executor:
            assert executor.spent_usd <= spent + reserved
            gone_on = [executor.execute(task, each, 0) for each in (SEED, FIRST)]
            assert [outcome(each) for each in gone_on] == [outcome(each) for each in whole]
            assert executor.spent_usd == spent + (reserved if in_flight else 0)
    # A cap ends an execution, which goes on under a higher one. What is kept is paid, and needs no room.
    with opened(build, cap=f"{spent}") as executor:
        capped = executor.execute(task, SECOND, 0)
        assert (capped.passed, capped.cause) == (None, Cause.cap)
        assert "--usd" in str(capped.detail)
        assert executor.execute(task, FIRST, 0).passed
        assert executor.spent_usd == spent
    # Neither does infrastructure decide: no disk, no engine.
    with opened(build, min_free_mib=10**9) as executor:
        no_disk = executor.execute(task, SECOND, 0)
        assert (no_disk.passed, no_disk.cause) == (None, Cause.disk)
    with pytest.MonkeyPatch.context() as patch, opened(build) as executor:
        patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
        no_engine = executor.execute(task, SECOND, 0)
        assert (no_engine.passed, no_engine.cause) == (None, Cause.engine)
        patch.undo()
        assert executor.execute(task, SECOND, 0).passed


@pytest.mark.acceptance
@with_images
def test_an_observation_that_is_not_repeated_is_found_out(tmp_path: Path, engine: Engine) -> None:
    task = f"{EASY}@0"
    with opened(tmp_path) as executor:
        honest = executor.execute(task, SEED, 0)
    changed: list[str] = []

    def change(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "observation" and line["fields"]["step"] == 1:
            changed.append(line["fields"]["output"])
            line["fields"]["returncode"] = 3
        return line

    rewritten(tmp_path, change)
    assert changed
    with opened(tmp_path) as executor:
        # Its first step is what stands in the journal; the second goes on in a container, which says otherwise.
        found = executor.execute(task, Assignment((HIGH, LOW), HIGH), 0)
        assert found.passed is not None
        assert "executed in full" in str(found.detail)
        assert found.steps[1].messages[:4] == honest.steps[1].messages[:4]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "[executor] provider: is missing"),
        ({"provider": "rehearsal", "task": "x"}, "[executor] task: is not a known field"),
        ({"provider": "gateway"}, "api_base is missing"),
        ({"provider": "gateway", "api_base": "nowhere"}, "[executor] api_base: 'nowhere' is not an address"),
        (
            {"provider": "gateway", "api_base": "http://x/v1", "candidate_limits": ["x"]},
            "[executor] candidate_limits: x: give",
        ),
        (
            {"provider": "rehearsal", "api_base": "http://x/v1"},
            'api_base cannot be combined with provider = "rehearsal"',
        ),
        ({"provider": "rehearsal", "seeds": 0}, "[executor] seeds:"),
        ({"provider": "rehearsal", "seeds": [1, 1]}, "seeds contains a seed twice"),
        ({"provider": "rehearsal", "models_a_tier": 4}, "[executor] models_a_tier:"),
        ({"provider": "rehearsal", "only": ["nothing*"]}, "[executor] only: 'nothing*' matches no task"),
        ({"provider": "rehearsal", "pool": "nothing"}, "[executor] pool: no pool manifest 'nothing'"),
        ({"provider": "rehearsal", "skills": "nothing"}, "[executor] skills: nothing: give one of"),
        ({"provider": "rehearsal", "faults": "2"}, "[executor] faults: 2: give a share"),
        ({"provider": "rehearsal", "tasks": "nowhere"}, "[executor] tasks:"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, ContentError)) as refused:
        agent_executor(settings, ExecutorContext(tmp_path / "build", None))
    assert said in str(refused.value)
    assert not (tmp_path / "build").exists()


def test_a_gateway_is_asked_under_a_cap_and_with_its_key(
    tmp_path: Path, engine: Engine, rehearsal: Sequence[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer(solving(rehearsal), api_key=KEY) as server:
        settings = {"provider": "gateway", "only": [EASY], "api_base": server.api_base, "api_key_env": KEY_VARIABLE}
        with agent_executor(settings, ExecutorContext(tmp_path, None)) as executor:
            assert executor.identity["provider"] == {"kind": "gateway"}
            with pytest.raises(UsageError, match="with --usd"):
                executor.execute(f"{EASY}@0", SEED, 0)
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
        missing = pytest.raises(UsageError, match=rf"\[executor\] api_key_env: .* {KEY_VARIABLE}")
        with agent_executor(settings, ExecutorContext(tmp_path, Decimal(20))) as executor, missing:
            executor.execute(f"{EASY}@0", SEED, 0)
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        with agent_executor(settings, ExecutorContext(tmp_path, Decimal(20))) as executor:
            seed, mixed = (executor.execute(f"{EASY}@0", each, 0) for each in (SEED, Assignment((HIGH, LOW), HIGH)))
            assert [(each.passed, len(each.steps)) for each in (seed, mixed)] == [(True, 3), (True, 3)]
            assert (seed.paid_calls, mixed.paid_calls) == (3, 2)
            assert executor.spent_usd == seed.spend_usd + mixed.spend_usd
            assert 0 < seed.cost_usd < executor.worst_case_usd(f"{EASY}@0")
        asked = [request.body["model"] for request in server.completions]
        assert asked == [HIGH, HIGH, HIGH, LOW, HIGH]
        assert len({request.session for request in server.completions}) == 1
    assert KEY not in (tmp_path / "journal" / JOURNAL_FILE).read_text("utf-8")
