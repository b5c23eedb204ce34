"""Cases whose router asks an LLM itself: paid once, in the bill, and answered from the journal ever after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import MessageReply, Reply, TokenCounts
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.live import (
    EASY,
    HIGH,
    KEY,
    KEY_VARIABLE,
    LOW,
    MID,
    Done,
    Victims,
    by_step,
    gold,
    live,
    named,
    nearly,
    replayed,
    run_arguments,
    said,
)
from tests.examples import thinned
from tests.scripted.server import ScriptedServer

ASKS = """
from twinbench import Call, Decision, LlmError

class Asks:
    def __init__(self, word: str = "hard") -> None:
        self.word = word

    def use(self, llm) -> None:
        self.llm = llm

    def route(self, call: Call) -> Decision:
        question = f"Is step {call.step_index} {self.word}?"
        try:
            reply = self.llm.ask([{"role": "user", "content": question}], candidate="mid", max_tokens=20)
        except LlmError as error:
            return Decision("low", rationale=str(error))
        return Decision("high" if reply.text == "yes" else "low", rationale=reply.text)
"""
OWN = TokenCounts(prompt=100, output=2)
OWN_USD = Decimal("0.0000324")
"""100 · 0.3 + 2 · 1.2, per million."""


@pytest.fixture
def asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    (tmp_path / "asking.py").write_text(ASKS, "utf-8")
    return f"{tmp_path / 'asking.py'}:Asks"


def own(asked: ReceivedRequest) -> bool:
    return bool(asked.body["messages"][0]["content"].startswith("Is step"))


def solving(tasks: Sequence[Task]) -> Callable[[ReceivedRequest], Reply]:
    """The agent applies the gold patch; the router is told that the second step is hard."""
    agent = by_step([said(command) for command in gold(named(tasks, EASY))])

    def answer(asked: ReceivedRequest) -> Reply:
        if not own(asked):
            return agent(asked)
        return MessageReply("yes" if "step 2" in asked.body["messages"][0]["content"] else "no", usage=OWN)

    return answer


@pytest.mark.acceptance
def test_a_case_pays_for_its_routers_questions_and_its_replay_for_nothing(
    tmp_path: Path, rehearsal: Sequence[Task], asks: str
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(solving(rehearsal), api_key=KEY) as server:
        summary = live(server.api_base, done.run, router=asks).succeeded().json
        questions = [asked for asked in server.completions if own(asked)]
        assert len({asked.session for asked in server.completions}) == 1
    case = done.case
    assert [asked.body["model"] for asked in questions] == [MID] * 3
    assert (case["resolved"], case["steps"], case["models"]) == (True, 3, {LOW: 2, HIGH: 1})
    assert (case["router_calls"], case["router_usd"]) == (3, nearly(3 * OWN_USD))
    settled = done.fields("settle")
    agent = sum(Decimal(each["cost_usd"]) for each in settled if "own" not in each)
    assert case["cost_usd"] == case["spend_usd"] == case["bill_usd"] == nearly(agent + 3 * OWN_USD)
    assert nearly(summary["cost_usd"]) == case["cost_usd"]
    assert [each["rationale"] for each in done.fields("decision")] == ["no", "yes", "no"]
    for more in ((), ("--route",)):
        assert replayed(done.run, *more).succeeded().json == {"cases": 1, "equal": 1, "differences": []}


@pytest.mark.acceptance
def test_a_replay_names_a_question_that_is_another_one(tmp_path: Path, rehearsal: Sequence[Task], asks: str) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(solving(rehearsal)) as server:
        live(server.api_base, done.run, router=asks).succeeded()
    file = tmp_path / "asking.py"
    file.write_text(ASKS.replace('"hard"', '"easy"'), "utf-8")
    ran = replayed(done.run, "--route")
    assert ran.code == 1
    (found,) = ran.json["differences"]
    assert (found["step"], found["what"]) == (1, "call of the router's own")


KILLS: list[tuple[str, str, int]] = [("after", "reserve", 3), ("before", "settle", 3), ("after", "settle", 3)]
"""The third attempt is the router's question at the second step."""


@pytest.mark.parametrize(
    "kill", thinned([(kill,) for kill in KILLS], 3), ids=[" ".join(map(str, kill)) for kill in KILLS]
)
def test_a_case_killed_within_a_decision_goes_on_and_pays_for_no_question_twice(
    tmp_path: Path, rehearsal: Sequence[Task], asks: str, killing: Victims, kill: tuple[str, str, int]
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(solving(rehearsal)) as server:
        killing.killed(run_arguments(server.api_base, done.run, router=asks), kill)
        twinbench("dynamic", "gc").succeeded()  # what the killed one left
        live(server.api_base, done.run, router=asks).succeeded()
        questions = [asked.body["messages"][0]["content"] for asked in server.completions if own(asked)]
    case = done.case
    lost = sum(done.at_reservation, Decimal(0))
    assert (lost > 0) is (kill[:2] != ("after", "settle"))
    assert (case["resolved"], case["router_calls"], case["router_usd"]) == (True, 3, nearly(3 * OWN_USD))
    assert case["spend_usd"] == nearly(sum(Decimal(each["cost_usd"]) for each in done.fields("settle")))
    assert nearly(case["spend_usd"]) == nearly(case["cost_usd"] + lost)
    assert questions.count("Is step 1 hard?") == 1
    assert questions.count("Is step 2 hard?") == (2 if kill[:2] == ("before", "settle") else 1)
    assert replayed(done.run, "--route").succeeded().json["equal"] == 1


@pytest.mark.acceptance
def test_a_cap_that_a_question_reaches_ends_the_case_and_a_higher_one_goes_on(
    tmp_path: Path, rehearsal: Sequence[Task], asks: str
) -> None:
    done = Done(tmp_path / "run")
    with ScriptedServer(solving(rehearsal)) as server:
        ran = live(server.api_base, done.run, router=asks, usd="0.00001")
        assert (ran.code, ran.json["cap"], server.asked) == (1, 1, [])
        case: dict[str, Any] = done.case
        assert (case["cause"], case["resolved"], case["bill_usd"]) == ("cap", None, None)
        for more in ((), ("--route",)):
            assert replayed(done.run, *more).succeeded().json["equal"] == 1
        live(server.api_base, done.run, router=asks).succeeded()
    assert (done.case["resolved"], done.case["router_calls"]) == (True, 3)
