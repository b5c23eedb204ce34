"""The simulated provider over real HTTP: what its models do, bill, remember and refuse."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.conversation import check_command, edit_command
from dynamic_track.rehearsal.edits import Edit, EditKind, Subject, TaskEdits
from dynamic_track.rehearsal.provider import FAULTS, Faults, SimulatedModels, simulated_provider
from dynamic_track.rehearsal.server import ProviderServer
from dynamic_track.rehearsal.simulation import LIST_COMMAND, SUBMIT_COMMAND, KnownTask
from dynamic_track.rehearsal.skills import Skill, SkillTable, read_skill_table
from tests.dynamic_track.rehearsal.playing import (
    EASY,
    HIGH,
    LOW,
    MID,
    TOOLS,
    Message,
    Played,
    Project,
    all_known,
    completion,
    known_as,
    observed,
    opening,
    play,
)
from tests.examples import number_of
from twinbench.calls.billing import read_usage
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import live_manifest

POOL = live_manifest()


@contextmanager
def serving(tasks: Sequence[KnownTask] = (), api_key: str | None = None, **options: Any) -> Iterator[ProviderServer]:
    models = SimulatedModels(tasks or all_known(), POOL, **options)
    with simulated_provider(models, POOL, api_key=api_key) as server:
        yield server


def sure(**fields: Any) -> SkillTable:
    """A table in which all are as good as the best, but for some fields, and nothing is left to luck."""
    best = read_skill_table().high.model_dump()
    certain = {
        **best,
        "finds": 1,
        "reproduces": 0,
        "tests": 1,
        "repairs": 1,
        "spoils": 0,
        "circles": 0,
        "gives_up": 0,
        "solves": solving(1),
        "doubts": dict.fromkeys(best["doubts"], 1),
        **fields,
    }
    tiers = (tier.label for tier in Tier)
    return SkillTable(about="sure", **dict.fromkeys(tiers, Skill.model_validate(certain)))


def solving(chance: float) -> dict[str, dict[str, float]]:
    """The same chance of the right edit everywhere."""
    return {subject: dict.fromkeys(("easy", "medium", "hard"), chance) for subject in Subject}


def answer(
    server: ProviderServer, model: str, messages: Sequence[Message], session: str = "s", **more: Any
) -> Mapping[str, Any]:
    """The assistant's message."""
    status, content = completion(server.port, model, messages, session=session, **{"tools": TOOLS, **more})
    assert status == 200, content
    message: Mapping[str, Any] = content["choices"][0]["message"]
    return message


def played(server: ProviderServer, task: KnownTask, path: Path, model: str = HIGH, session: str = "s") -> Played:
    """A task played by one model."""
    return play(Project.of(task, path), task, lambda _, messages: answer(server, model, messages, session))


def said_commands(message: Mapping[str, Any]) -> list[str]:
    return [json.loads(call["function"]["arguments"])["command"] for call in message.get("tool_calls") or ()]


def after(task: KnownTask, project: Project, *commands: str) -> list[Message]:
    """A conversation in which somebody ran these commands."""
    messages = opening(task)
    for number, command in enumerate(commands):
        call = {"name": "bash", "arguments": json.dumps({"command": command})}
        calls = [{"id": f"c{number}", "type": "function", "function": call}]
        messages.append({"role": "assistant", "content": "So:", "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": project.run(command)})
    return messages


def of_kind(task: KnownTask, kind: EditKind) -> Edit:
    return task.edits.edits_of_kind(kind)[0]


def reading(task: KnownTask) -> list[str]:
    return [LIST_COMMAND, *(f"cat {file}" for file in task.edits.faulty_files)]


def test_a_sure_model_solves_a_task_by_its_right_edit(tmp_path: Path) -> None:
    task = known_as(EASY)
    with serving(skills=sure()) as server:
        done = played(server, task, tmp_path / "p")
    right = of_kind(task, EditKind.right)
    assert done.submitted
    assert done.commands.index(edit_command(right)) > done.commands.index(f"cat {right.files[0]}")
    assert done.commands[-1] == SUBMIT_COMMAND


@pytest.mark.acceptance
@pytest.mark.drawn
def test_without_its_right_edit_no_skill_makes_it(tmp_path: Path) -> None:
    task = known_as(EASY)
    left = TaskEdits(
        symptom=task.edits.symptom, edits=tuple(e for e in task.edits.edits if e.kind is not EditKind.right)
    )
    blind = replace(task, edits=left)
    right = of_kind(task, EditKind.right)
    with serving((blind,), skills=sure()) as server:
        for number in range(number_of(1, 2)):
            project = Project.of(task, tmp_path / str(number))
            done = play(project, task, lambda _, messages, n=number: answer(server, HIGH, messages, f"s{n}"))  # type: ignore[misc]
            assert done.submitted
            assert not project.holds(right)


@pytest.mark.acceptance
def test_nobody_edits_what_was_not_shown(tmp_path: Path) -> None:
    tasks = all_known()
    with serving() as server:
        for number, model in enumerate([LOW, MID, HIGH] * 2):
            task = tasks[number * 3 % len(tasks)]
            done = played(server, task, tmp_path / str(number), model, f"s{number}")
            shown = ""
            for message in done.messages[2:]:
                for command in said_commands(message):
                    for edit in task.edits.edits:
                        if edit_command(edit) in command:
                            assert all(change.old.rstrip("\n") in shown for change in edit.changes)
                if message["role"] == "tool":
                    shown += message["content"]


def test_a_strong_model_repairs_what_a_weak_one_broke(tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "p")
    broken = of_kind(task, EditKind.breaking)
    messages = after(task, project, *reading(task), edit_command(broken), check_command(task.edits))
    with serving(skills=sure()) as server:
        (command,) = said_commands(answer(server, HIGH, messages))
    assert "<returncode>0</returncode>" in project.run(command)
    assert project.holds(of_kind(task, EditKind.right))


def test_a_strong_model_doubts_what_only_looks_done(tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "p")
    partial = of_kind(task, EditKind.partial)
    messages = after(task, project, *reading(task), edit_command(partial), check_command(task.edits))
    assert "<returncode>0</returncode>" in messages[-1]["content"]
    with serving(skills=sure()) as server:
        (command,) = said_commands(answer(server, HIGH, messages))
    project.run(command)
    assert project.holds(of_kind(task, EditKind.right))


def test_a_late_weak_call_can_sink_what_was_right(tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "p")
    right = of_kind(task, EditKind.right)
    messages = after(task, project, *reading(task), edit_command(right), check_command(task.edits))
    with serving(skills=sure(spoils=1, solves=solving(0))) as server:
        (command,) = said_commands(answer(server, LOW, messages))
    project.run(command)
    assert not project.holds(right)
    with serving() as server:
        (steady,) = said_commands(answer(server, HIGH, messages))
    assert steady.startswith("git diff")


def test_the_same_request_is_answered_and_billed_alike_and_another_seed_is_other_luck(tmp_path: Path) -> None:
    task = known_as(EASY)
    paths = iter(range(100))

    def run(seed: str) -> list[str]:
        with serving(seed=seed) as server:
            return played(server, task, tmp_path / str(next(paths)), LOW).commands

    first = run("0")
    assert run("0") == first
    assert any(run(str(seed)) != first for seed in range(1, 5))


def test_a_request_that_comes_twice_costs_the_same_also_after_a_restart(tmp_path: Path) -> None:
    task = known_as(EASY)
    memory = tmp_path / "memory.jsonl"
    project = Project.of(task, tmp_path / "p")
    short, longer = opening(task), after(task, project, LIST_COMMAND)

    def usage(server: ProviderServer, messages: Sequence[Message]) -> Any:
        return completion(server.port, MID, messages, tools=TOOLS)[1]["usage"]

    with serving(memory=memory) as server:
        first, second, again = usage(server, short), usage(server, longer), usage(server, longer)
    assert second == again
    assert second["prompt_tokens_details"]["cached_tokens"] == first["prompt_tokens"]
    with memory.open("a") as file:
        file.write('{"session": "s", "mod')  # as a kill leaves it
    with serving(memory=memory) as server:
        assert usage(server, longer) == second
        assert usage(server, short) == first
        third = usage(server, [*longer, {"role": "user", "content": "Go on."}])
    assert third["prompt_tokens_details"]["cached_tokens"] == second["prompt_tokens"]
    assert len(memory.read_text("utf-8").splitlines()) == 3


def test_no_answer_is_billed_as_longer_than_what_was_asked_for() -> None:
    with serving() as server:
        told = completion(server.port, MID, opening(known_as(EASY)), tools=TOOLS, max_tokens=8)[1]["usage"]
    assert (told["completion_tokens"], told["total_tokens"]) == (8, told["prompt_tokens"] + 8)


def test_times_in_a_conversation_change_nothing(tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "p")
    answers = []
    for seconds in ("0.02", "13.51"):
        messages = after(task, project, LIST_COMMAND)
        messages[-1]["content"] = observed(0, f"{LIST_COMMAND}\n3 passed in {seconds}s\n")
        with serving() as server:
            status, content = completion(server.port, LOW, messages, tools=TOOLS)
        assert status == 200
        answers.append(content)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("model", [candidate.model for candidate in POOL.candidates])
def test_every_candidate_bills_in_its_providers_shape_and_reads_its_own_cache(model: str, tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "p")
    first, second = opening(task), after(task, project, LIST_COMMAND)
    if model == HIGH:
        for messages in (first, second):
            messages[-1] = {**messages[-1], "cache_control": {"type": "ephemeral"}}
    with serving() as server:
        bodies = [completion(server.port, model, messages, tools=TOOLS)[1] for messages in (first, second)]
        _, elsewhere = completion(server.port, model, second, session="other", tools=TOOLS)
    cold, warm = read_usage(bodies[0]), read_usage(bodies[1])
    assert cold.cache_read == read_usage(elsewhere).cache_read == 0
    assert warm.cache_read == cold.input + cold.cache_write
    assert (cold.cache_write > 0) is (model == HIGH)
    assert cold.output > 0
    shown = {LOW: "prompt_cache_hit_tokens", MID: "prompt_tokens_details", HIGH: "cache_creation_input_tokens"}
    assert shown.get(model, "cached_content_token_count") in bodies[1]["usage"]


def test_a_cache_is_cold_after_its_time_by_the_sessions_own_clock(tmp_path: Path) -> None:
    task = known_as(EASY)
    messages = opening(task)
    slow = sure(tokens_per_second=0.5, thinking_tokens=2000)
    with serving(skills=slow) as server:
        status, first = completion(server.port, MID, messages, tools=TOOLS)
        assert (status, first["simulated"]["seconds"] > POOL.wallclock_ttl_seconds) == (200, True)
        longer = [*messages, {"role": "user", "content": "Go on."}]
        _, second = completion(server.port, MID, longer, tools=TOOLS)
    assert read_usage(second).cache_read == 0


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_faults_come_on_demand_and_another_attempt_helps(kind: str) -> None:
    messages = opening(known_as(EASY))
    outcomes: Counter[str] = Counter()
    with serving(faults=Faults.parse(f"0.5:{kind}")) as server:
        for number in range(20):
            for _ in range(12):
                try:
                    status, _ = completion(server.port, LOW, messages, session=f"s{number}", tools=TOOLS)
                except (OSError, ValueError, HTTPException):
                    status = 0
                outcomes["ok" if status == 200 else "fault"] += 1
                if status == 200:
                    break
            else:
                pytest.fail("no attempt of twelve was answered")
    assert outcomes["ok"] == 20
    assert 5 <= outcomes["fault"] <= 60


@pytest.mark.parametrize("text", ["1", "-0.1", "many", "0.1:521", "0.1:"])
def test_wrong_faults_are_refused(text: str) -> None:
    if text == "0.1:":
        assert Faults.parse(text) == Faults(0.1)
        return
    with pytest.raises(UsageError, match="--faults"):
        Faults.parse(text)


def test_what_a_real_provider_refuses_is_refused() -> None:
    messages = opening(known_as(EASY))
    stray = [*messages, {"role": "tool", "tool_call_id": "c", "content": "?"}]
    long = [{"role": "user", "content": "word " * 170_000}]
    with serving(api_key="k") as server:
        assert completion(server.port, LOW, messages, key="k", tools=TOOLS)[0] == 200
        assert completion(server.port, LOW, messages, key="other")[0] == 401
        assert completion(server.port, LOW, messages)[0] == 401
        assert completion(server.port, "acme/none", messages, key="k")[0] == 404
        assert completion(server.port, LOW, stray, key="k")[0] == 400
        assert completion(server.port, LOW, messages, key="k", max_tokens=163_700)[0] == 400
        assert completion(server.port, LOW, messages, key="k", max_tokens="many")[0] == 400
        assert completion(server.port, LOW, ["no object"], key="k")[0] == 400  # type: ignore[list-item]
        status, refused = completion(server.port, LOW, long, key="k")
        assert (status, refused["error"]["code"]) == (400, "context_length_exceeded")


def test_thirty_two_connections_at_once_are_served() -> None:
    messages = opening(known_as(EASY))
    with serving() as server, ThreadPoolExecutor(32) as threads:
        asked = [threads.submit(completion, server.port, LOW, messages, session=str(n), tools=TOOLS) for n in range(96)]
        assert [each.result()[0] for each in asked] == [200] * 96


def test_a_conversation_about_no_task_gets_an_answer_that_says_so() -> None:
    with serving() as server:
        status, content = completion(server.port, LOW, [{"role": "user", "content": "Which tier is needed?"}])
    assert status == 200
    assert "simulated model" in content["choices"][0]["message"]["content"]


def test_without_tools_an_answer_is_text_with_one_command() -> None:
    with serving() as server:
        status, content = completion(server.port, HIGH, opening(known_as(EASY)))
    message = content["choices"][0]["message"]
    assert (status, "tool_calls" in message) == (200, False)
    assert message["content"].count("```mswea_bash_command\n") == 1
