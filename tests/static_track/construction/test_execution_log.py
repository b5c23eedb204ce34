"""Executions that are kept: read back as they were, messages once each, and what a kill leaves of them."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.construction.execution_log import EXECUTIONS_FILE, ExecutionLog
from tests.examples import examples
from tests.strategies import messages as any_message
from twinbench.construction.execution import Assignment, ExecutedStep, Execution
from twinbench.errors import ContentError
from twinbench.routing.usage import Usage


def executed(*conversations: list[dict[str, Any]], task: str = "task", **fields: Any) -> Execution:
    tools = [{"name": "say", "parameters": {"type": "object", "properties": {}}}]
    steps = [
        ExecutedStep(messages, tools if number % 2 else None, "low", Usage(number, 2, 3, 4, 1), Decimal("0.00100"))
        for number, messages in enumerate(conversations)
    ]
    return Execution(task, Assignment(("low",), "high"), 0, True, steps, **fields)


def said(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def as_data(execution: Execution) -> list[Any]:
    """An execution with all that is in it, keys of messages in their order."""
    steps = [
        [json.dumps(list(step.messages)), step.functions, step.candidate, step.usage, str(step.cost_usd)]
        for step in execution.steps
    ]
    return [execution.task, execution.assignment, execution.passed, steps, execution.spend_usd, execution.paid_calls]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@examples(15, 100)
@given(st.lists(st.lists(any_message(), max_size=4), max_size=4))
def test_what_is_kept_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, conversations: list[list[dict[str, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("log") / EXECUTIONS_FILE
    execution = executed(*conversations, detail="\x1b[0m é", spend_usd=Decimal("0.5"), paid_calls=1)
    with ExecutionLog(path) as log:
        assert as_data(log.add(execution)) == as_data(execution)
        log.add_hints("task", ["low"])
    with ExecutionLog(path) as log:
        found = log.find("task", execution.assignment, 0)
        assert found is not None
        assert as_data(found) == as_data(execution)
        assert found.cost_usd == execution.cost_usd
        assert log.hints("task") == ("low",)
        assert log.find("task", execution.assignment, 1) is None


def test_each_message_stands_there_once_and_a_conversation_is_what_it_adds(tmp_path: Path) -> None:
    path = tmp_path / EXECUTIONS_FILE
    first = [said("a"), said("b")]
    with ExecutionLog(path) as log:
        log.add(executed(first, [*first, said("c")]))
        log.add(executed(first, [said("a"), said("c")], task="other"))
    kept = lines(path)
    assert [each["value"]["content"] for each in kept if each["kind"] == "value" and "content" in each["value"]] == [
        *"abc"
    ]
    executions = [each for each in kept if each["kind"] == "execution"]
    assert [(step["kept"], len(step["added"])) for step in executions[0]["steps"]] == [(0, 2), (2, 1)]
    assert [(step["kept"], len(step["added"])) for step in executions[1]["steps"]] == [(0, 2), (1, 1)]


def test_a_line_that_a_kill_cut_short_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / EXECUTIONS_FILE
    with ExecutionLog(path) as log:
        log.add(executed([said("a")]))
    whole = path.read_bytes()
    with ExecutionLog(path) as log:
        log.add(executed([said("b")], task="other"))
    both = path.read_bytes()
    for cut in (len(whole), len(whole) + 1, (len(whole) + len(both)) // 2, len(both) - 1):
        path.write_bytes(both[:cut])
        with ExecutionLog(path) as log:
            assert len(log) == 1
            log.add(executed([said("b")], task="other"))
        with ExecutionLog(path) as log:
            found = log.find("other", Assignment(("low",), "high"), 0)
            assert found is not None
            assert as_data(found) == as_data(executed([said("b")], task="other"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b'"kept":0', b'"kept":7'),
        lambda line: line.replace(b'"added":[0]', b'"added":[3]'),
        lambda line: line.replace(b'"passed":true', b'"passed":"perhaps"'),
        lambda line: line.replace(b'"kind":"execution"', b'"kind":"trial"'),
        lambda line: line[: len(line) // 2] + b"\n",
        lambda _line: b"\xff\n",
        lambda line: line.replace(b'"task":"task"', b'"task":"task","task":"task"'),
    ],
)
def test_a_damaged_line_is_refused_by_its_number_and_nothing_is_changed(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / EXECUTIONS_FILE
    with ExecutionLog(path) as log:
        log.add(executed([said("a")]))
        log.add(executed([said("b")], task="other"))
    kept = path.read_bytes().splitlines(keepends=True)
    damaged = damage(kept[1])
    assert damaged != kept[1]
    path.write_bytes(b"".join([kept[0], damaged, *kept[2:]]))
    before = path.read_bytes()
    with pytest.raises(ContentError, match=rf"{EXECUTIONS_FILE}, line 2: "):
        ExecutionLog(path)
    assert path.read_bytes() == before


def test_threads_may_keep_and_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / EXECUTIONS_FILE
    wrong: list[int] = []
    with ExecutionLog(path) as log:

        def work(number: int) -> None:
            for turn in range(20):
                execution = executed([said("shared"), said(f"{number} {turn}")], task=f"{number}-{turn}")
                if as_data(log.add(execution)) != as_data(execution):
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    with ExecutionLog(path) as log:
        assert len(log) == 80
        assert {as_data(each)[0] for each in log.executions()} == {f"{a}-{b}" for a in range(4) for b in range(20)}
