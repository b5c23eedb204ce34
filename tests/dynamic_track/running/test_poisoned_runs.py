"""Runs of sixteen cases, ten of which get something poisonous at some call: the six others never notice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from dynamic_track.rehearsal.replies import (
    CloseReply,
    CutReply,
    MessageReply,
    RawReply,
    Reply,
    bash_call,
    error_reply,
    invalid_json,
    payment_required,
    rate_limit_reply,
    server_error,
    too_long,
    unauthorized,
)
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import Task
from tests.calls.mutants import damaged
from tests.dynamic_track.live import KEY, KEY_VARIABLE, SIX, Done, gold, live
from tests.dynamic_track.running.test_odd_answers import FORMAT_ERRORS, saying
from tests.scripted.server import ScriptedServer
from twinbench.causes import CAUSES, Cause, OutcomeClass

_ATTEMPTS = 2
"""How often what may pass is sent before it does; a call is tried six times."""

PASSING: Sequence[Callable[[random.Random], Reply]] = (
    lambda _: CutReply(),
    lambda _: CloseReply(),
    lambda _: invalid_json(),
    lambda _: rate_limit_reply(0.05),
    lambda _: server_error(),
    lambda _: error_reply(200, "upstream", 502),
    lambda _: RawReply(200, b'{"error": "not now"}'),
    lambda _: RawReply(200, b'{"choices": [{"message": {"content": ' + b"[" * 900 + b"]" * 900 + b"}}]}"),
)
"""Gone at the third attempt, and the case goes on."""

LASTING: Sequence[Callable[[random.Random], Reply]] = (
    lambda _: too_long(),
    lambda _: unauthorized(),
    lambda _: payment_required(),
    lambda _: error_reply(429, "You exceeded your current quota", "insufficient_quota"),
    lambda _: MessageReply("x", usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
    lambda _: MessageReply("x", usage={"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 99}),
    lambda _: MessageReply("x", usage={"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_new_tokens": 7}),
    lambda _: MessageReply("x", model="another"),
    lambda dice: saying(**dice.choice(list(FORMAT_ERRORS.values()))),
    lambda dice: RawReply(200, damaged(json.loads(saying(content="x").body), dice)),
)
"""Sent whenever the call is made."""


@pytest.fixture
def tasks(rehearsal_images: None) -> Sequence[Task]:
    """All of our own."""
    return load_tasks("rehearsal").tasks


@pytest.mark.acceptance
def test_one_run_in_which_ten_of_sixteen_cases_are_poisoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: Sequence[Task]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    _poisoned_run(tmp_path / "run", tasks, 0, _alone(tmp_path / "alone", tasks))


@pytest.mark.acceptance
def test_twenty_runs_in_which_ten_of_sixteen_cases_are_poisoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: Sequence[Task]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    alone = _alone(tmp_path / "alone", tasks)
    ends = [end for seed in range(1, 21) for end in _poisoned_run(tmp_path / f"run-{seed}", tasks, seed, alone)]
    counted = ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))
    print(f"evidence: 20 runs of sixteen cases, ten poisoned: the six healthy as alone in each; the others: {counted}")


def _alone(run: Path, tasks: Sequence[Task]) -> dict[str, Decimal]:
    """What the healthy cases cost where nothing goes wrong."""
    with ScriptedServer(partial(_healthy, tasks)) as server:
        live(server.api_base, run, *_only(SIX), only="").succeeded()
    return {name: Done(run, name).case["cost_usd"] for name in SIX}


def _poisoned_run(run: Path, tasks: Sequence[Task], seed: int, alone: dict[str, Decimal]) -> list[str]:
    dice = random.Random(seed)  # noqa: S311 - no secret
    sick = dice.sample([task.id for task in tasks if task.id not in SIX], 10)
    poisons = {
        name: (dice.randrange(3), dice.random() < 0.5, dice.choice((*PASSING, *LASTING)), random.Random(dice.random()))  # noqa: S311
        for name in sick
    }
    attempts = dict.fromkeys(sick, 0)

    def answer(asked: ReceivedRequest) -> Reply:
        task = _task_of(asked, tasks)
        if task.id in poisons:
            step, both, poison, own_dice = poisons[task.id]
            at = _answers_in(asked)
            if at == step or (both and at > step):
                attempts[task.id] += 1
                if poison in LASTING or attempts[task.id] <= _ATTEMPTS:
                    return poison(own_dice)
        return _healthy(tasks, asked)

    # With the breaker, a run whose first three cases are by chance those that lose all is stopped.
    words = ("--workers", "4", "--no-breaker")
    with ScriptedServer(answer) as server:
        ran = live(server.api_base, run, *_only([*SIX, *sick]), *words, only="", usd="80")
    assert ran.code in (0, 1), ran.err
    assert "bug" not in ran.err
    json.dumps(ran.json, allow_nan=False)
    for name in SIX:
        done = Done(run, name)
        assert (done.case["resolved"], done.case["cause"]) == (True, None), name
        assert done.case["cost_usd"] == alone[name] == done.spend_usd, name
    return [_end(Done(run, name)) for name in sick]


def _end(done: Done) -> str:
    case = done.case
    assert done.spend_usd >= 0
    if case["cause"] is None:
        assert case["resolved"] is not None
        return "resolved" if case["resolved"] else "unresolved"
    cause = Cause(case["cause"])
    assert str(cause) != "internal", case["detail"]
    assert (case["resolved"] is None) == (CAUSES[cause].outcome_class is not OutcomeClass.unresolved)
    return str(cause)


def _only(names: Sequence[str]) -> list[str]:
    return [word for name in names for word in ("--only", name)]


def _task_of(asked: ReceivedRequest, tasks: Sequence[Task]) -> Task:
    prompt = json.dumps(asked.body["messages"][1])
    return next(task for task in tasks if json.dumps(task.problem_statement.strip()[:200])[1:-1] in prompt)


def _answers_in(asked: ReceivedRequest) -> int:
    return sum(message["role"] == "assistant" for message in asked.body["messages"])


def _healthy(tasks: Sequence[Task], asked: ReceivedRequest) -> Reply:
    """The gold patch, by how many answers the conversation has; its usage too."""
    command = gold(_task_of(asked, tasks))[_answers_in(asked)]
    length = 1000 + 100 * _answers_in(asked)  # not that of the text, in which times stand
    counts = {"prompt_tokens": length, "completion_tokens": 20, "total_tokens": length + 20}
    return MessageReply("So:", calls=[bash_call(command)], usage=counts)
