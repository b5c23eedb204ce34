"""Proposers: routers that are asked about seeds, plugins by path, and answers that are no hints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import Counts, Message, server_error
from static_track.construction.building import Build, BuildLimits, build
from static_track.construction.ladder import Ladder
from static_track.construction.proposers import open_proposer, trajectory_of
from static_track.construction.settings import read_settings
from tests.scripted.server import Script, ScriptedServer
from tests.static_track.construction import shells
from tests.static_track.construction.worlds import ALL_TIERS, TASK, World, of_length
from twinbench.causes import Cause
from twinbench.construction.execution import Assignment
from twinbench.construction.proposing import NOT_DOWNGRADEABLE

PROPOSER = """
from contextlib import contextmanager
from twinbench.errors import UsageError

class Proposer:
    def __init__(self, hints):
        self.hints = hints
    identity = {"mine": 1}
    spent_usd = 0
    def propose(self, task, seed):
        with open(__file__ + ".asked", "a") as file:
            print(task.id, len(seed.steps), file=file)
        return self.hints

@contextmanager
def open_mine(settings, tiers):
    if "hints" not in settings:
        raise UsageError("hints: is missing")
    yield Proposer(settings["hints"])
"""


def built(folder: Path, hints: list[str]) -> Build:
    (folder / "mine.py").write_text(PROPOSER, "utf-8")
    config = shells.configuration(folder, search=f'proposer = "{folder}/mine.py:open_mine"')
    config.write_text(f"{config.read_text('utf-8')}\n[proposer]\nhints = {json.dumps(hints)}\n", "utf-8")
    return build(read_settings(config), folder / "out", BuildLimits())


def test_a_router_is_asked_about_the_seeds_prefixes_and_its_tier_is_the_hint() -> None:
    world = World(lambda *_: True, of_length(4))
    seed = world.execute(TASK.id, Assignment((), "high"), 0)
    ladder = Ladder.of(ALL_TIERS)
    with open_proposer("router:depth-rule?mid=2&high=6", {}, ladder) as proposer:
        assert proposer.propose(TASK, seed) == ["low", "mid", "mid", NOT_DOWNGRADEABLE]
        assert proposer.identity["router"] == "depth-rule?mid=2&high=6"
        assert proposer.identity["fingerprint"]
    trajectory = trajectory_of(TASK, seed)
    assert [len(step.prompt.messages) for step in trajectory.steps] == [1, 3, 5, 7]
    assert trajectory.steps[0].visible_text == "1 as 3 would say it"
    # As the bank of the same rows would count it.
    assert trajectory.steps[1].prompt.tokens["low"] > trajectory.steps[0].prompt.tokens["low"] > 0
    with open_proposer("router:always-high", {}, Ladder.of({"low": ("a",), "mid": ("b",)})) as proposer:
        assert proposer.propose(TASK, seed) == [NOT_DOWNGRADEABLE] * 4


def test_a_proposer_of_ones_own_is_asked_once_a_seed_and_prunes(tmp_path: Path) -> None:
    first = built(tmp_path, ["mid", NOT_DOWNGRADEABLE])
    assert first.manifest is not None
    assert first.manifest["labels"]["shell"] == {"low": 2, "mid": 2, "mid_high": 0, "high": 2}
    assert first.manifest["proposer"] == {"mine": 1}
    assert first.state.executed_now == 2 * 3 + 1
    assert built(tmp_path, ["mid", NOT_DOWNGRADEABLE]).state.executed_now == 0
    assert (tmp_path / "mine.py.asked").read_text().splitlines() == ["a-1 3", "a-2 3"]


@pytest.mark.parametrize("hint", ["lowest", "", "LOW"])
def test_what_is_no_hint_leaves_the_task_open_with_the_reason(tmp_path: Path, hint: str) -> None:
    ran = built(tmp_path, ["low", hint])
    assert [(each.task.id, each.cause) for each in ran.open_tasks] == [("a-1", Cause.internal), ("a-2", Cause.internal)]
    assert str(ran.open_tasks[0].detail).startswith(
        f"the proposer: the hint for step 2 of a-1 is {hint!r}; hints are low"
    )
    assert built(tmp_path, ["low", "mid"]).is_complete


def asked_of_a_model(folder: Path, script: Script, usd: str = "1", **more: Any) -> tuple[Build, ScriptedServer]:
    config = shells.configuration(folder, search='proposer = "model"', **more)
    with ScriptedServer(script) as server:
        table = f'api_base = "{server.api_base}"\ncandidate = "deepseek/deepseek-v3.2"\nusd = "{usd}"\n'
        config.write_text(f"{config.read_text('utf-8')}\n[proposer]\n{table}", "utf-8")
        return build(read_settings(config), folder / "out", BuildLimits()), server


def test_a_model_is_shown_each_seed_once_and_its_answer_prunes(tmp_path: Path) -> None:
    answer = 'Here it is: {"hints": ["mid", "not_downgradeable", "whatever"]}'
    used = Counts(prompt=1000, output=10)
    first, server = asked_of_a_model(tmp_path, lambda _: Message(answer, usage=used))
    assert first.manifest is not None
    assert first.manifest["labels"]["shell"] == {"low": 2, "mid": 2, "mid_high": 0, "high": 2}
    assert len(server.completions) == 2
    body = server.completions[0].body
    assert "exactly 3 entries" in body["messages"][0]["content"]
    assert "[assistant (step 1)]\ngood" in body["messages"][1]["content"]
    assert first.manifest["proposer_usd"] > 0
    again, server = asked_of_a_model(tmp_path, lambda _: server_error())
    assert server.completions == []
    assert again.manifest == first.manifest


def test_prose_of_a_model_prunes_nothing(tmp_path: Path) -> None:
    answers = ["I would try them all.", '{"hints": 3}', "[]", "{", '{"hints": []}']
    left = iter(answers)
    tasks = {f"a-{number}": shells.NOTHING_BAD for number in range(len(answers))}
    ran, _ = asked_of_a_model(tmp_path, lambda _: Message(next(left), usage=Counts(prompt=100, output=9)), tasks=tasks)
    assert next(left, None) is None
    assert ran.manifest is not None
    assert ran.manifest["labels"]["shell"] == {"low": 10, "mid": 5, "mid_high": 0, "high": 0}


def test_a_model_that_cannot_answer_leaves_tasks_open(tmp_path: Path) -> None:
    ran, _ = asked_of_a_model(tmp_path, lambda _: Message("{}", usage=Counts(prompt=1, output=1)), usd="0.00001")
    assert [each.cause for each in ran.open_tasks] == [Cause.cap, Cause.cap, Cause.cap]
    assert "proposer.usd" in str(ran.open_tasks[0].detail)
