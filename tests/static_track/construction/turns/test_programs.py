"""Checks that run what a model wrote: functions against tests, and repairs in steps, in real containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import MessageReply
from dynamic_track.rehearsal.server import ReceivedRequest
from static_track.construction.turns.programs import Programs
from tests.scripted.server import ScriptedServer
from tests.static_track.construction.turns.building import HIGH, LOW, all_by, opened, settings_of, task
from twinbench.construction.execution import Assignment
from twinbench.containers.engine import Engine

TEST = "from answer import double\nassert double(4) == 8, f'double(4) gave {double(4)}'"
GOOD = "Sure:\n```python\ndef double(n):\n    return 2 * n\n```"


@pytest.mark.acceptance
def test_a_function_passes_its_test_or_fails_it_whatever_it_does(engine: Engine, base_image: str) -> None:
    from static_track.construction.turns.checks.program import Program
    from static_track.construction.turns.evaluating import Answer
    from tests.static_track.construction.turns.test_checks import Tools

    programs = Programs(engine, lambda: None)

    class Contained(Tools):
        def run_program(self, files: Any, command: str, timeout_s: float) -> Any:
            return programs.run(files, command, timeout_s, task="a")

    check = Program(test=TEST, timeout_s=5)
    said = {
        text: check.evaluate([Answer(text)], Contained())
        for text in (
            GOOD,
            "def double(n):\n    return n",
            "import sys\nsys.exit(0)",
            "def double(n):\n    while True:\n        pass",
            "import urllib.request\ndouble = urllib.request.urlopen('http://1.1.1.1', timeout=3)",
            "no code at all",
        )
    }
    passed, wrong, left, endless, network, prose = said.values()
    assert passed.passed is True
    assert (wrong.passed, wrong.reason) == (False, "AssertionError: double(4) gave 4")
    assert (left.passed, endless.passed, network.passed, prose.passed) == (False, False, False, False)
    assert "longer than 5 s" in endless.reason
    assert "unreachable" in network.reason
    assert Program(test=TEST, field="code").evaluate([Answer(json.dumps({"code": GOOD[16:-3]}))], Contained()).passed


def repair_script(asked: ReceivedRequest) -> MessageReply:
    """The strong model repairs; the weak one shows and submits, whatever stands in the file."""
    last = str(asked.body["messages"][-1]["content"])
    if asked.body["model"] == LOW:
        return MessageReply('{"command": "show"}' if last.startswith("Task") else '{"command": "submit"}')
    if last.startswith("Task"):
        return MessageReply("What should I do?")
    if "This is not a command" in last:
        return MessageReply('{"command": "edit", "line": 2, "text": "return n"}')
    edit = {"command": "edit", "line": 2, "text": "return 2 * n"}
    return MessageReply('{"command": "submit"}' if "All tests pass" in last else json.dumps(edit))


def test_a_repair_goes_on_until_it_is_submitted_and_each_step_may_be_another_models(
    engine: Engine, base_image: str, tmp_path: Path
) -> None:
    check = {
        "kind": "repair",
        "file": "shop.py",
        "source": "def double(n):\n    return n\n",
        "test": TEST.replace("answer", "shop"),
        "steps": 4,
    }
    with ScriptedServer(repair_script) as server:
        settings = settings_of(tmp_path, server.api_base, [task("a", check)])
        with opened(settings, tmp_path / "executor") as executor:
            assert str(executor.identity["image"])
            by_strong = executor.execute("a", all_by(HIGH), 0)
            assert (by_strong.passed, len(by_strong.steps)) == (True, 4)
            replies = [str(step.messages[-1]["content"]) for step in by_strong.steps]
            assert "This is not a command" in replies[1]
            assert replies[2].startswith(
                "Line 2 is the same as before: nothing changed.\nshop.py:\n1: def double(n):\n"
            )
            assert replies[3] == "shop.py:\n1: def double(n):\n2:     return 2 * n\n\nAll tests pass."
            mixed = executor.execute("a", Assignment((LOW, HIGH, LOW), HIGH), 0)
            assert (mixed.passed, [step.candidate for step in mixed.steps]) == (True, [LOW, HIGH, LOW])
            assert "2:     return n\n\nTests fail: AssertionError: double(4) gave 4" in str(
                mixed.steps[1].messages[-1]["content"]
            )
            by_weak = executor.execute("a", all_by(LOW), 0)
            assert (by_weak.passed, len(by_weak.steps)) == (False, 2)
            assert "submitted, and the tests fail" in str(by_weak.detail)
            assert executor.execute("a", Assignment((LOW, HIGH), LOW), 0).spend_usd == 0
