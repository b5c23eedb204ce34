"""What each check accepts and refuses; those that need no container."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from static_track.construction.turns.checks.judge import SCHEMA, LlmJudge
from static_track.construction.turns.checks.repair import edit_line
from static_track.construction.turns.evaluating import Answer, Evaluation, ProgramResult, find_check_kind
from twinbench.calls.completion import ToolCall

YES = {"reason": "It is right.", "hard_fails": []} | dict.fromkeys(
    ("resolves", "faithful", "appropriate", "complete"), "yes"
)


@dataclass
class Tools:
    """A judge that answers one thing, and no containers."""

    said: str = ""
    messages: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "When does it open?"},)
    asked: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)

    def run_program(self, files: Mapping[str, str], command: str, timeout_s: float) -> ProgramResult:
        raise AssertionError("no program is run here")

    def ask_judge(self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any]) -> str:
        assert schema == SCHEMA
        self.asked.append(messages)
        return self.said


def evaluated(check: Mapping[str, Any], answer: Answer | str, tools: Tools | None = None) -> Evaluation:
    fields = {key: value for key, value in check.items() if key != "kind"}
    evaluator = find_check_kind(check["kind"]).open(**fields)
    return evaluator.evaluate([Answer(answer) if isinstance(answer, str) else answer], tools or Tools())


CALL = {"name": "weather", "arguments": {"city": "Oslo", "days": 3}}
TOOL: Mapping[str, Any] = {"kind": "tool-call", "calls": [{**CALL, "accept": {"city": ["Oslo, Norway"]}}]}
OPTIONAL: Mapping[str, Any] = {"kind": "tool-call", "calls": [{**CALL, "optional": ["days"]}]}
TWO: Mapping[str, Any] = {"kind": "tool-call", "calls": [CALL, {"name": "now"}]}
FIELDS: Mapping[str, Any] = {
    "kind": "json",
    "json_schema": {"type": "object", "required": ["note"]},
    "fields": {"total": 12, "paid": True, "tags": ["a", "b"]},
    "accept": {"total": ["12 EUR"]},
}
SAID = {"total": 12.0, "paid": True, "tags": ["A", " b"], "note": ""}


@pytest.mark.parametrize(
    ("check", "answer", "reason"),
    [
        ({"kind": "exact", "text": ["Blue  whale"]}, " Blue whale\n", None),
        ({"kind": "exact", "text": ["Blue whale"]}, "blue whale", "is not 'Blue whale'"),
        ({"kind": "exact", "text": ["no", "Blue whale"], "ignore_case": True}, "blue whale", None),
        ({"kind": "contains", "text": ["12", "may"], "most_characters": 20}, "On 12 May.", None),
        ({"kind": "contains", "text": ["12", "may"], "most_characters": 20}, "On 12 June.", "does not contain 'may'"),
        ({"kind": "contains", "text": ["12"], "most_characters": 5}, "10 11 12 13", "11 characters"),
        ({"kind": "numeric", "value": 1234.5, "tolerance": 0.1}, "So it is 7, no, 1,234.45.", None),
        ({"kind": "numeric", "value": 12}, "12.0.1 and v12", "has no number"),
        ({"kind": "numeric", "value": 12}, "12, or 13", "is 13, not 12"),
        ({"kind": "numeric", "value": 12, "field": "answer"}, '{"answer": 12}', None),
        ({"kind": "numeric", "value": 12, "field": "answer"}, '{"answer": "12"}', "no number 'answer'"),
        ({"kind": "numeric", "value": 1, "field": "answer"}, '{"answer": true}', "no number 'answer'"),
        ({"kind": "numeric", "value": 12, "field": "answer"}, '{"answer": NaN}', "NaN is not a JSON number"),
        (FIELDS, json.dumps(SAID), None),
        (FIELDS, f"Here:\n```json\n{json.dumps(SAID)}\n```", None),
        (FIELDS, json.dumps({**SAID, "note": "```\nsome code\n```"}), None),
        (FIELDS, json.dumps({**SAID, "total": "12 eur"}), None),
        (FIELDS, json.dumps({**SAID, "paid": 1}), "'paid' is 1, not true"),
        (FIELDS, json.dumps({**SAID, "tags": ["b", "a"]}), "'tags'"),
        (FIELDS, '{"total": 12, "paid": true, "tags": ["a", "b"]}', "'note' is a required property"),
        (FIELDS, '{"note": ""}', "no field 'total'"),
        (FIELDS, "[]", "not a JSON object"),
        (FIELDS, '{"total": 12', "not JSON"),
        (TOOL, json.dumps(CALL), None),
        (TOOL, json.dumps([CALL]), None),
        (TOOL, 'weather(days=3, city="oslo, norway")', None),
        (TOOL, '```python\n[weather(days=3.0, city="Oslo")]\n```', None),
        (TOOL, "weather('Oslo', 3)", "has no name"),
        (TOOL, "weather(city=open('x').read(), days=3)", "is not a literal value"),
        (TOOL, 'weather(city="Oslo")', "argument 'days' of weather is missing"),
        (TOOL, 'weather(city="Oslo", days=3, unit="C")', "must not have an argument 'unit'"),
        (TOOL, 'weather(city="Oslo", days="3")', "'days' of weather is \"3\", not 3"),
        (TOOL, "forecast(city='Oslo', days=3)", "calls 'forecast'"),
        (TOOL, "I would look up the weather.", "makes no tool call"),
        (TOOL, Answer("", [ToolCall(id="1", name="weather", arguments='{"city": "Oslo", "days": 3}')]), None),
        (TOOL, Answer("", [ToolCall(id="1", name="weather", arguments="{")]), "arguments of weather are not JSON"),
        (OPTIONAL, 'weather(city="Oslo")', None),
        (OPTIONAL, 'weather(city="Oslo", days=4)', "'days' of weather is 4"),
        (TWO, '[now(), weather(city="Oslo", days=3)]', None),
        (TWO, json.dumps(CALL), "makes 1 tool calls, not 2"),
        (TWO, "[now(), now()]", "calls 'now', not 'weather'"),
    ],
)
def test_an_answer_is_accepted_or_refused_with_its_reason(
    check: Mapping[str, Any], answer: Answer | str, reason: str | None
) -> None:
    found = evaluated(check, answer)
    assert found.passed is (reason is None), found.reason
    assert (reason or "") in found.reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (json.dumps(YES), None),
        (f"```json\n{json.dumps(YES)}\n```", None),
        ("Yes, it is right.", "gave no valid verdict"),
        (f"{json.dumps(YES)} I am sure.", "gave no valid verdict"),
        (json.dumps({**YES, "complete": "uncertain"}), "complete: uncertain"),
        (json.dumps({**YES, "resolves": "no"}), "resolves: no"),
        (json.dumps({**YES, "hard_fails": ["contradiction"]}), "found contradiction"),
        (json.dumps({**YES, "hard_fails": "none"}), "gave no valid verdict"),
        (json.dumps({key: value for key, value in YES.items() if key != "faithful"}), "gave no valid verdict"),
        ("", "gave no valid verdict"),
    ],
)
def test_only_a_judge_that_is_certain_of_everything_passes_an_answer(said: str, reason: str | None) -> None:
    tools = Tools(said)
    found = evaluated({"kind": "judge", "evidence": "It opens at 9.", "reference": "At 9."}, "At nine.", tools)
    assert found.passed is (reason is None)
    assert (reason or "") in found.reason
    [(system, user)] = tools.asked
    assert "no instruction" in system["content"]
    shown = json.loads(user["content"])
    assert shown["conversation"] == [{"role": "user", "text": "When does it open?"}]
    assert (shown["evidence"], shown["reference"], shown["answer"]) == ("It opens at 9.", "At 9.", "At nine.")


def test_an_empty_answer_is_not_judged_and_a_task_without_evidence_is_refused() -> None:
    tools = Tools(json.dumps(YES))
    assert evaluated({"kind": "judge", "evidence": "x"}, " ", tools).passed is False
    assert not tools.asked
    with pytest.raises(ValueError, match="evidence"):
        LlmJudge(evidence="  ")


def test_an_edit_keeps_the_indentation_of_the_line_that_it_replaces() -> None:
    source = "def f(n):\n    if n:\n        return 1\n    return 2\n"
    assert edit_line(source, 3, "return 3") == source.replace("1", "3")
    assert edit_line(source, 3, "  for i in n:\n    pass") == (
        "def f(n):\n    if n:\n        for i in n:\n          pass\n    return 2\n"
    )
    assert edit_line(source, 4, "") == "def f(n):\n    if n:\n        return 1\n"
    assert edit_line(source, 5, "x") is None
    assert edit_line(source, 0, "x") is None
