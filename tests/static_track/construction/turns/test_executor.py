"""Executions of tasks at a provider: what they give, what is paid for them, and what stays when they are killed."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import MessageReply, RawReply, Reply, TokenCounts, ToolCall
from dynamic_track.rehearsal.server import ReceivedRequest
from tests.scripted.server import ScriptedServer
from tests.static_track.construction.turns.building import HIGH, JUDGE, LOW, all_by, opened, settings_of, task
from tests.static_track.construction.turns.test_checks import YES
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.recording import read_recordings
from twinbench.causes import Cause
from twinbench.construction.execution import Assignment, BuildStoppedError
from twinbench.errors import ContentError, TwinbenchError, UsageError

USAGE = TokenCounts(prompt=8, output=10)
COST = {LOW: Decimal("0.000018"), HIGH: Decimal("0.00018"), JUDGE: Decimal("0.00009")}
"""Of a call with that usage, at the prices of the pool."""
EXACT = {"kind": "exact", "text": ["right"]}


def by_model(**texts: str) -> Any:
    """A script: each model says one thing."""
    return lambda asked: MessageReply(texts[asked.body["model"]], usage=USAGE)


def test_an_answer_is_checked_recorded_and_paid_once_over_sittings(tmp_path: Path) -> None:
    functions = [{"name": "look", "parameters": {"type": "object", "properties": {}}}]
    schema = {"type": "string"}
    tasks = [task("a", EXACT, functions=functions, response_format=schema, max_tokens=50), task("b", EXACT)]
    with ScriptedServer(by_model(weak="wrong", strong="right")) as server:
        settings = settings_of(tmp_path, server.api_base, tasks)
        with opened(settings, tmp_path / "executor") as executor:
            assert [(each.id, each.workload, each.group) for each in executor.tasks] == [
                ("a", "letters", "of-a"),
                ("b", "letters", "of-b"),
            ]
            assert executor.tiers == {"low": [LOW], "mid": [JUDGE], "mid_high": [], "high": [HIGH]}
            found = executor.execute("a", all_by(HIGH), 0)
            assert (found.passed, found.cause, found.detail) == (True, None, None)
            [step] = found.steps
            assert (step.messages, step.functions, step.candidate) == (tasks[0]["messages"], functions, HIGH)
            assert (step.usage.output, step.cost_usd) == (10, COST[HIGH])
            assert (found.cost_usd, found.spend_usd, found.paid_calls) == (COST[HIGH], COST[HIGH], 1)
            assert found.cost_usd < executor.worst_case_usd("a") < executor.worst_case_usd("b")
            wrong = executor.execute("a", Assignment((LOW,), HIGH), 0)
            assert (wrong.passed, wrong.detail) == (False, "the answer is not 'right'")
            again = executor.execute("a", Assignment((HIGH,), LOW), 0)
            assert (again.passed, again.cost_usd, again.spend_usd, again.paid_calls) == (
                True,
                COST[HIGH],
                Decimal(0),
                0,
            )
            repeated = executor.execute("a", all_by(HIGH), 1)
            assert (repeated.spend_usd, repeated.paid_calls) == (COST[HIGH], 1)
            spent, identity = executor.spent_usd, executor.identity
        assert spent == COST[HIGH] * 2 + COST[LOW]
        with opened(settings, tmp_path / "executor") as executor:
            assert (executor.spent_usd, executor.identity) == (spent, identity)
            for assignment, repeat in ((all_by(HIGH), 0), (all_by(LOW), 0), (all_by(HIGH), 1)):
                assert executor.execute("a", assignment, repeat).spend_usd == 0
    bodies = [asked.body for asked in server.completions]
    assert [body["model"] for body in bodies] == [HIGH, LOW, HIGH]
    assert bodies[0] == {
        "model": HIGH,
        "messages": tasks[0]["messages"],
        "tools": [{"type": "function", "function": functions[0]}],
        "max_tokens": 50,
        "temperature": 0.0,
        "cache_prompt": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    }


def test_tool_calls_are_checked_of_a_candidate_with_an_address_and_a_key_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAK_KEY", "the-key-of-weak")
    check = {"kind": "tool-call", "calls": [{"name": "look", "arguments": {"at": "x"}}]}
    with ScriptedServer([MessageReply(calls=[ToolCall({"at": "X"}, "look")])]) as server:
        own = {LOW: {"api_base": server.api_base, "api_key_env": "WEAK_KEY"}}
        settings = settings_of(tmp_path, "http://127.0.0.1:9/v1", [task("a", check)], bases=own)
        with opened(settings, tmp_path / "executor") as executor:
            assert executor.execute("a", all_by(LOW), 0).passed is True
            assert "the-key-of-weak" not in executor.calls.path.read_text("utf-8")
    assert server.completions[0].headers["authorization"] == "Bearer the-key-of-weak"


def test_a_judge_is_paid_from_the_same_cap_and_prose_of_it_fails(tmp_path: Path) -> None:
    check = {"kind": "judge", "evidence": "The answer is right."}
    verdicts = iter([json.dumps(YES), "I think it is fine."])

    def script(asked: ReceivedRequest) -> Reply:
        return MessageReply(next(verdicts) if asked.body["model"] == JUDGE else "right", usage=USAGE)

    with ScriptedServer(script) as server:
        judge = {"pool": str(tmp_path / "pool.toml"), "candidate": JUDGE, "api_base": server.api_base}
        settings = settings_of(tmp_path, server.api_base, [task("a", check), task("b", check)], judge=judge)
        with opened(settings, tmp_path / "executor", Decimal("0.05")) as executor:
            good = executor.execute("a", all_by(LOW), 0)
            assert (good.passed, len(good.steps), good.cost_usd) == (True, 1, COST[LOW])
            assert (good.spend_usd, good.paid_calls) == (COST[LOW] + COST[JUDGE], 2)
            assert executor.execute("a", all_by(LOW), 0).spend_usd == 0
            prose = executor.execute("b", all_by(LOW), 0)
            assert prose.passed is False
            assert "gave no valid verdict" in str(prose.detail)
            assert executor.spent_usd == 2 * (COST[LOW] + COST[JUDGE])
            assert executor.identity["judge"]["candidate"] == JUDGE
        with opened(settings, tmp_path / "second", Decimal("0.001")) as executor:
            ended = executor.execute("a", all_by(LOW), 0)
            assert (ended.passed, ended.cause, len(ended.steps)) == (None, Cause.cap, 1)  # the judge's call is too dear
            assert ended.spend_usd == COST[LOW]
            assert "continue with a higher --usd" in str(ended.detail)


@pytest.mark.slow
def test_infrastructure_is_no_failure_and_a_prompt_that_does_not_fit_is_one(tmp_path: Path) -> None:
    long = task("long", EXACT)
    long["messages"] = [{"role": "user", "content": "word " * 9000}]
    with ScriptedServer(lambda _: RawReply(401, b'{"error": {"message": "no"}}')) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", EXACT), long])
        with opened(settings, tmp_path / "executor") as executor:
            refused = executor.execute("a", all_by(LOW), 0)
            assert (refused.passed, refused.cause, refused.steps) == (None, Cause.access, ())
            too_long = executor.execute("long", all_by(LOW), 0)
            assert (too_long.passed, too_long.cause) == (False, Cause.router)
            assert "does not fit" in str(too_long.detail)
    assert len(server.completions) == 1


def test_what_was_in_flight_when_a_build_was_killed_counts_and_is_asked_again(tmp_path: Path) -> None:
    with ScriptedServer(by_model(weak="right")) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", EXACT)])
        with opened(settings, tmp_path / "first") as executor:
            executor.execute("a", all_by(LOW), 0)
        [reserve, _] = read_journal(tmp_path / "first" / "journal")
        with Journal.open(tmp_path / "executor" / "journal") as journal:  # as a kill leaves it: nothing settled
            journal.append(reserve.kind, **reserve.fields)
        reserved = Decimal(reserve.fields["reserved_usd"])
        with opened(settings, tmp_path / "executor") as executor:
            assert executor.spent_usd == reserved > COST[LOW]
            found = executor.execute("a", all_by(LOW), 0)
            assert (found.passed, found.spend_usd) == (True, COST[LOW])
            assert executor.spent_usd == reserved + COST[LOW]
    assert len(server.completions) == 2
    [recording] = read_recordings(read_journal(tmp_path / "executor" / "journal")).values()
    assert recording.spend_usd == reserved + COST[LOW]


def test_the_same_call_of_several_threads_is_sent_once(tmp_path: Path) -> None:
    with ScriptedServer(lambda _: MessageReply("right", usage=USAGE, after_s=0.2)) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", EXACT)])
        with opened(settings, tmp_path / "executor", workers=4) as executor:
            passed: list[bool | None] = []
            threads = [
                threading.Thread(target=lambda: passed.append(executor.execute("a", all_by(LOW), 0).passed))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert passed == [True] * 4
            assert executor.spent_usd == COST[LOW]
    assert len(server.completions) == 1


def test_a_call_that_cannot_be_recorded_is_not_made(tmp_path: Path) -> None:
    with ScriptedServer(by_model(weak="right")) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", EXACT)])
        with opened(settings, tmp_path / "executor") as executor:
            executor.calls.journal.close()
            with pytest.raises(OSError, match="cannot write"):
                executor.execute("a", all_by(LOW), 0)
    assert not server.completions


def test_a_build_that_is_to_stop_begins_no_call(tmp_path: Path) -> None:
    with ScriptedServer(by_model(weak="right")) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", EXACT)])
        with (
            opened(settings, tmp_path / "executor", is_stopping=lambda: True) as executor,
            pytest.raises(BuildStoppedError),
        ):
            executor.execute("a", all_by(LOW), 0)
    assert not server.completions


OWN_CHECK = """
class Own:
    version = 3
    needs_containers = needs_judge = False
    max_steps, max_reply_characters = 2, 10

    def __init__(self, mode):
        if mode not in ("ask", "break"):
            raise ValueError(f"mode is {mode}")
        self.mode = mode

    def evaluate(self, answers, tools):
        from static_track.construction.turns.evaluating import PASSED, continue_with
        if self.mode == "break":
            raise ZeroDivisionError("by zero")
        return continue_with("And then?") if len(answers) == 1 else PASSED
"""


def test_a_check_of_ones_own_may_reply_and_its_mistakes_are_no_models_fault(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_CHECK, "utf-8")
    kind = f"{file}:Own"
    tasks = [task("a", {"kind": kind, "mode": "ask"}), task("b", {"kind": kind, "mode": "break"})]
    with ScriptedServer(by_model(weak="first", strong="second")) as server:
        settings = settings_of(tmp_path, server.api_base, tasks)
        with opened(settings, tmp_path / "executor") as executor:
            found = executor.execute("a", Assignment((LOW,), HIGH), 0)
            assert (found.passed, [step.candidate for step in found.steps]) == (True, [LOW, HIGH])
            assert found.steps[1].messages == [
                *tasks[0]["messages"],
                {"role": "assistant", "content": "first"},
                {"role": "user", "content": "And then?"},
            ]
            broken = executor.execute("b", all_by(LOW), 0)
            assert (broken.passed, broken.cause) == (None, Cause.internal)
            assert "by zero" in str(broken.detail)
            assert executor.identity["evaluators"][kind]["version"] == 3
            before = executor.identity["evaluators"][kind]["sha256"]
        file.write_text(f"{OWN_CHECK}\n# another rule\n", "utf-8")
        with opened(settings, tmp_path / "executor") as executor:
            assert executor.identity["evaluators"][kind]["sha256"] != before


def test_a_file_of_tasks_is_checked_wholly_before_anything_is_asked(tmp_path: Path) -> None:
    wrong = [
        task("a", EXACT),
        task("a", EXACT),
        task("x/y", EXACT),
        task("b", {"kind": "guess"}),
        task("c", {"kind": "exact", "text": []}),
        task("d", {"kind": "json", "json_schema": {"$ref": "https://example.org/schema"}}),
        task("e", {"kind": "judge", "evidence": ""}),
        task("f", EXACT, response_format={"type": 3}),
        {"id": "g"},
    ]
    settings = settings_of(tmp_path, "http://127.0.0.1:9/v1", wrong)
    with pytest.raises(ContentError) as caught, opened(settings, tmp_path / "executor"):
        pass
    text = str(caught.value)
    for said in (
        "line 2, field id: 'a' is in the file twice",
        "line 3, field id: cannot be a task's id",
        "line 4, field check.kind: no evaluator is named 'guess'",
        "line 5, field check.text",
        "line 6, field check.json_schema: refers to 'https://example.org/schema'",
        "line 7, field check.evidence",
        "line 8, field response_format: is not a JSON schema",
        "line 9, field workload: is missing",
    ):
        assert said in text
    assert not (tmp_path / "executor").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"taks": "x"}, "executor.taks is not a known field"),
        ({"pool": None}, "executor.pool"),
        ({"pool": "static-2026-04"}, "a live one is needed"),
        ({"api_base": None}, "executor.api_base is missing"),
        ({"api_base": "nowhere"}, "address of weak"),
        ({"api_base": None, "api_key_env": "KEY"}, "api_key_env is the key of api_base"),
        ({"bases": {"other": {"api_base": "http://127.0.0.1:9/v1"}}}, "executor.bases.other"),
        ({"api_key_env": "TWINBENCH_NO_SUCH_KEY"}, "TWINBENCH_NO_SUCH_KEY"),
        ({"tasks": "nowhere.jsonl"}, "no file nowhere.jsonl"),
        ({"call_timeout_s": 0}, "executor.call_timeout_s"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    settings = settings_of(tmp_path, "http://127.0.0.1:9/v1", [task("a", EXACT)]) | change
    with pytest.raises(TwinbenchError) as caught, opened(settings, tmp_path / "executor"):
        pass
    assert said in str(caught.value)
    assert isinstance(caught.value, UsageError)


def test_a_judge_that_is_needed_must_be_named(tmp_path: Path) -> None:
    tasks = [task("a", {"kind": "judge", "evidence": "x"})]
    settings = settings_of(tmp_path, "http://127.0.0.1:9/v1", tasks)
    with pytest.raises(UsageError, match="judge is missing"), opened(settings, tmp_path / "executor"):
        pass
    judge = {"pool": settings["pool"], "candidate": "nobody", "api_base": "http://127.0.0.1:9/v1"}
    with (
        pytest.raises(UsageError, match=r"executor.judge.candidate: pool turns has no 'nobody'"),
        opened(settings | {"judge": judge}, tmp_path / "executor"),
    ):
        pass
