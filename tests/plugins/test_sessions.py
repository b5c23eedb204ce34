"""One process serves many sessions, knows each conversation, and is told each message once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.predict import predict
from tests.banks import a_trajectory, conversation, import_rows
from tests.plugins.conftest import WriteRouter
from tests.plugins.hosting import asked, children, decided, growing, hosted, hostile, limits
from tests.plugins.stateful import Stateful
from tests.twinbench.calls import TIERS, a_call
from twinbench.plugins import process, wire
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.routing.router import Call, Candidate, Decision, Outcome, Router, RouterError, checked
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store

STATEFUL = f"{Path(__file__).parent / 'stateful.py'}:Stateful"

Requests = list[dict[str, Any]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """All that is sent to routers' processes, as the other side reads it."""
    sent: Requests = []
    frame = wire.request_frame

    def recorded(content: Mapping[str, Any]) -> bytes:
        made = frame(content)
        left = memoryview(made)

        def read(size: int) -> bytes:
            nonlocal left
            part, left = bytes(left[:size]), left[size:]
            return part

        sent.append(wire.read_request(read) | {"bytes": len(made)})
        return made

    monkeypatch.setattr(process, "request_frame", recorded)
    return sent


def lived(router: Any, calls: list[Call]) -> dict[tuple[str, int], Decision]:
    """Decisions about calls in their order, each observed, sessions started and ended."""
    last = {call.session: call.step_index for call in calls}
    started: set[str] = set()
    decisions = {}
    for call in calls:
        if call.session not in started:
            started.add(call.session)
            router.start(call.session)
        decision = router.route(call)
        choice = checked(decision, call.candidates)
        decisions[call.session, call.step_index] = Decision(choice.candidate.id, choice.score, choice.rationale)
        router.observe(an_outcome(call, choice.candidate))
        if call.step_index == last[call.session]:
            router.end(call.session)
    return decisions


def an_outcome(call: Call, candidate: Candidate, text: str = "said") -> Outcome:
    return Outcome(call.session, call.step_index, candidate, Usage(output=len(call.messages)), 0.25, text)


def test_fifty_interleaved_sessions_are_decided_like_one_after_the_other() -> None:
    trajectories = [growing(4 + number % 5, session=f"s{number}") for number in range(50)]
    one_by_one = [call for calls in trajectories for call in calls]
    turns = random.Random(7)  # noqa: S311 - an order, no secret
    waiting = [list(calls) for calls in trajectories]
    interleaved = []
    while waiting:
        calls = turns.choice(waiting)
        interleaved.append(calls.pop(0))
        if not calls:
            waiting.remove(calls)
    assert interleaved != one_by_one
    in_process = lived(Stateful(), one_by_one)
    with hosted(STATEFUL) as router:
        assert lived(router, one_by_one) == in_process
        assert lived(router, interleaved) == in_process
    with hosted(STATEFUL) as fresh:
        assert lived(fresh, interleaved) == in_process
    assert len({decision.candidate for decision in in_process.values()}) == 4


def test_a_bank_is_decided_alike_in_a_process_and_in_this_one(store: Store) -> None:
    rows = [row for number in range(5) for row in a_trajectory([0] * 6, instance=f"i{number}")]
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        here = predict(Stateful(3), bank, static_manifest())
        with hosted(f"{STATEFUL}?salt=3") as router:
            there = predict(router, bank, static_manifest())
    assert not here.errors
    assert (there.tier_ids, there.scores, there.rationales) == (here.tier_ids, here.scores, here.rationales)


def test_each_message_crosses_once(requests: Requests) -> None:
    calls = growing(20, size=5000)
    with hosted(STATEFUL) as router:
        lived(router, calls)
    routes = [request for request in requests if request["do"] == "route"]
    assert [request["keep"] for request in routes] == [2 * step for step in range(20)]
    assert [message for request in routes for message in request["append"]] == list(calls[-1].messages)
    assert max(request["bytes"] for request in routes) < 8_000


def test_messages_cross_once_whoever_else_speaks_and_whoever_made_them_anew(requests: Requests) -> None:
    """A driver may make its messages anew for each call; equal ones are not sent again."""
    with hosted(STATEFUL) as router:
        for one, other in zip(growing(5, "one"), growing(5, "other"), strict=True):
            for call in (one, other):
                copied = tuple(json.loads(json.dumps(call.messages)))
                router.route(a_call(messages=copied, session=call.session, step_index=call.step_index))
    routes = [request for request in requests if request["do"] == "route"]
    assert [len(request["append"]) for request in routes] == [2] * 10


SEEN = """
import json
from twinbench import Call, Decision

class R:
    def route(self, call: Call) -> Decision:
        return Decision("low", rationale=json.dumps([list(call.messages), list(call.tools)]))
"""
SHORTENED: list[tuple[str, list[Any], int]] = [
    ("dropped", [{"role": "user", "content": "a"}], 1),
    ("reworded", [{"role": "user", "content": "a"}, {"role": "user", "content": "B"}, {"role": "user"}], 1),
    ("summarised", [{"role": "system", "content": "a, b and c"}], 0),
    ("other order of keys", [{"content": "a", "role": "user"}], 0),
    ("true for one", [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "n": True}], 1),
    ("emptied", [], 0),
]


@pytest.mark.parametrize(("how", "messages", "kept"), SHORTENED, ids=[how for how, _, _ in SHORTENED])
def test_a_rewritten_history_is_told_from_where_it_differs(
    how: str, messages: list[Any], kept: int, write_router: WriteRouter, requests: Requests
) -> None:
    before = [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "n": 1}, {"role": "user"}]
    with hosted(write_router(SEEN)) as router:
        for wanted in (before, messages, before):
            decision = router.route(a_call(messages=tuple(wanted)))
            # As texts, since True equals 1.
            assert decision.rationale == json.dumps([wanted, []])
    assert [request["keep"] for request in requests if request["do"] == "route"][1] == kept


def test_tools_cross_when_they_change(write_router: WriteRouter, requests: Requests) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "ab"]
    offered = [(), tuple(tools), tuple(map(dict, tools)), tuple(tools[:1]), ()]
    with hosted(write_router(SEEN)) as router:
        for each in offered:
            decision = router.route(a_call(tools=each))
            assert json.loads(decision.rationale or "")[1] == list(each)
    assert ["tools" in request for request in requests if request["do"] == "route"] == [True, True, False, True, True]


def test_what_a_call_shows_is_the_same_on_both_sides(write_router: WriteRouter) -> None:
    code = """
from twinbench import Decision

def shown(call):
    views = [(call.cache[each].read_tokens, call.cache[each].exact) for each in call.candidates]
    numbers = [(each.id, call.prompt_tokens(each), call.cost(each), call.fits(each)) for each in call.candidates]
    limits = (call.limits.steps, call.limits.cost_usd)
    rest = (call.step_index, call.session, call.spent_usd, limits, call.mean_output_tokens, call.candidates)
    return repr((views, numbers, rest, call.cheapest().id))

class R:
    def route(self, call):
        return Decision("low", rationale=shown(call))
"""
    here: dict[str, Callable[[Call], str]] = {}
    exec(code, here)  # noqa: S102 - the same code on both sides
    call = a_call(
        tokens={each.id: 10**number for number, each in enumerate(TIERS)}, read={TIERS[0].id: 1}, spent_usd=0.1
    )
    with hosted(write_router(code)) as router:
        assert router.route(call).rationale == here["shown"](call)


LONE = "half a \ud83d, \0 and \u2028"


def test_odd_texts_cross(write_router: WriteRouter) -> None:
    nested: Any = []
    for _ in range(500):
        nested = [nested]
    messages = ({"role": "user", "content": LONE, "deep": nested, "n": 2**70, "f": 1e-300},)
    code = (
        "class R:\n    def route(self, call):\n        return 'high' if call.messages[0]['content'] == W else 'low'\n"
    )
    with hosted(write_router(f"W = {LONE!a}\n{code}")) as router:
        assert asked(router, messages=messages) == "high"


def test_what_no_json_holds_is_an_error_of_the_call_alone() -> None:
    with hosted(STATEFUL) as router:
        assert asked(router, messages=({"role": "user", "content": object()},)).startswith(
            "error: the conversation cannot be sent ("
        )
        assert not asked(router).startswith("error")
        assert len(children()) == 2


DIES = """
import os
from twinbench import Call, Decision

class R:
    def __init__(self, at: int = 3) -> None:
        self.at = at
        self.told = []

    def start(self, session):
        self.told.append(f"start {session}")

    def observe(self, outcome):
        self.told.append(f"observe {outcome.step_index}")

    def end(self, session):
        self.told.append(f"end {session}")

    def route(self, call: Call) -> Decision:
        if call.step_index == self.at and call.session == "s":
            os._exit(1)
        self.told.append(f"route {call.session} {call.step_index} of {len(call.messages)}")
        return Decision("mid", rationale=", ".join(self.told))
"""


def test_a_restart_goes_on_with_the_whole_prefix(write_router: WriteRouter, requests: Requests) -> None:
    with hosted(write_router(DIES)) as router:
        told = []
        for call in growing(5, "s"):
            if call.step_index == 1:
                router.start("s")
            try:
                told.append(router.route(call).rationale)
            except RouterError as error:
                told.append(str(error))
            else:
                router.observe(an_outcome(call, TIERS[1]))
    assert told == [
        "start s, route s 1 of 2",
        "start s, route s 1 of 2, observe 1, route s 2 of 4",
        "its process exited with code 1",
        "start s, route s 4 of 8",
        "start s, route s 4 of 8, observe 4, route s 5 of 10",
    ]
    routes = [request for request in requests if request["do"] == "route"]
    assert [(request["keep"], len(request["append"])) for request in routes] == [(0, 2), (2, 2), (4, 2), (0, 8), (8, 2)]


def test_a_restart_tells_other_sessions_from_their_start_too(write_router: WriteRouter) -> None:
    with hosted(f"{write_router(DIES)}?at=2") as router:
        one, other = growing(3, "s"), growing(3, "t")
        router.start("s")
        router.start("t")
        assert [decided(router, call) for call in (one[0], other[0], one[1])] == [
            "mid",
            "mid",
            "error: its process exited with code 1",
        ]
        router.observe(an_outcome(other[0], TIERS[0]))  # of a call that this process never saw
        assert router.route(other[1]).rationale == "start t, route t 2 of 4"
        router.end("s")  # which this process never saw
        assert router.route(other[2]).rationale == "start t, route t 2 of 4, route t 3 of 6"


def test_a_restart_decides_like_a_run_without_one(store: Store, write_router: WriteRouter) -> None:
    """Where all that a router knows can be had from the call."""
    rows = [row for number in range(3) for row in a_trajectory([0] * 6, instance=f"i{number}")]
    import_rows(rows, store)
    code = """
import os, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from stateful import Stateless

class R(Stateless):
    def __init__(self, once: str = "") -> None:
        self._once = once

    def route(self, call):
        if self._once and call.step_index == 3 and not Path(self._once).exists():
            Path(self._once).touch()
            os._exit(1)
        return super().route(call)
"""
    spec = write_router(code.format(folder=str(Path(__file__).parent)))
    with Bank.open("bank", store) as bank:
        with hosted(spec) as router:
            unharmed = predict(router, bank, static_manifest())
        with hosted(f"{spec}?once={store.root / 'died'}") as router:
            restarted = predict(router, bank, static_manifest())
    assert list(restarted.errors.values()) == ["its process exited with code 1"]
    (died,) = restarted.errors
    after = [(row, tier) for row, tier in zip(restarted.row_nos, restarted.tier_ids, strict=True) if row != died]
    assert after == [(row, tier) for row, tier in zip(unharmed.row_nos, unharmed.tier_ids, strict=True) if row != died]


def test_hooks_are_told_what_a_router_may_know_and_no_more(store: Store, write_router: WriteRouter) -> None:
    rows = [
        row | {"messages": conversation(row["step_index"])}
        for row in a_trajectory([3, 0, 2], instance="i1") + a_trajectory([1], instance="i2")
    ]
    import_rows(rows, store)
    code = """
from pathlib import Path
from dataclasses import asdict

class R:
    def __init__(self, report: Path) -> None:
        self.report = report
        self.last = None

    def note(self, *words):
        with self.report.open("a") as file:
            print(*words, file=file)

    def start(self, session):
        assert self.last is None
        self.last = session
        self.note("start")

    def route(self, call):
        assert call.session == self.last
        self.note("route", call.step_index)
        return "mid"

    def observe(self, outcome):
        assert outcome.session == self.last
        self.note("observe", outcome.step_index, outcome.candidate.tier.label, outcome.cause, outcome.cost_usd > 0,
                  outcome.usage.output > 0, "Step" in outcome.text, sorted(asdict(outcome)))

    def end(self, session):
        assert session == self.last
        self.last = None
        self.note("end")
"""
    report = store.root.parent / "report"
    with Bank.open("bank", store) as bank, hosted(f"{write_router(code)}?report={report}") as router:
        assert not predict(router, bank, static_manifest()).errors
    fields = ["candidate", "cause", "cost_usd", "session", "step_index", "text", "usage"]
    known = f"mid None True True True {fields}"
    sessions = [told.splitlines() for told in report.read_text().split("start\n")]
    assert sorted(sessions, key=len) == [
        [],
        ["route 1", "end"],
        ["route 1", f"observe 1 {known}", "route 2", f"observe 2 {known}", "route 3", "end"],
    ]


def test_a_session_that_begins_again_is_a_new_one(write_router: WriteRouter) -> None:
    with hosted(f"{write_router(DIES)}?at=99") as router:
        for told in ("start s, route s 1 of 2", "start s, route s 1 of 2, end s, start s, route s 1 of 2"):
            router.start("s")
            assert router.route(growing(1, "s")[0]).rationale == told
            router.end("s")


def test_what_a_session_said_is_forgotten_at_its_end() -> None:
    with hosted(hostile("failing", "Raises")) as router:
        for number in range(10):
            for call in growing(1, f"s{number}", size=2**24):
                decided(router, call)
            router.end(f"s{number}")
        assert router.memory_mib() < 150


def test_the_process_of_a_library_call_gets_the_default_limits(write_router: WriteRouter) -> None:
    with load_router(write_router(SEEN)).opened(TIERS) as router:
        assert isinstance(router, Router)
        assert decided(router, a_call()) == "low"
    assert limits().load_s < PluginLimits().load_s
