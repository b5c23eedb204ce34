"""Routers that ask an LLM themselves, in a process of their own: questions and replies cross the pipe, and no more."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import Counts, Message, server_error
from dynamic_track.rehearsal.server import Asked
from tests.plugins.conftest import WriteRouter
from tests.plugins.hosting import limits
from tests.scripted.server import Script, ScriptedServer
from tests.twinbench.calls import TIERS, a_call
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.budget import Budget
from twinbench.calls.metered import MeteredLlm
from twinbench.plugins.hosted import HostedRouter
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import load_router
from twinbench.providers.gateway import Gateway
from twinbench.routing.llm import LlmError
from twinbench.routing.own_calls import UNPAID, Deciding, OwnCalls, checked_question
from twinbench.routing.router import Call, Decision, RouterError
from twinbench.storage.manifest_files import live_manifest

KEY = "sk-own-0123456789-must-never-show"
KEY_VARIABLE = "TWINBENCH_TEST_OWN_KEY"
USED = Counts(prompt=100, output=5)

ASKS = """
from twinbench import Call, Decision, LlmError

class R:
    def __init__(self, catches: bool = False) -> None:
        self.catches = catches

    def use(self, llm) -> None:
        self.llm = llm

    def route(self, call: Call) -> Decision:
        try:
            reply = self.llm.ask([{"role": "user", "content": "Which tier?"}], candidate="mid", max_tokens=9)
        except LlmError as error:
            if not self.catches:
                raise
            return Decision("low", rationale=str(error))
        usage = reply.usage
        return Decision(reply.text, rationale=f"{reply.candidate} {usage.input} {usage.output} {reply.cost_usd:.6f}")
"""


@dataclass
class Running:
    router: HostedRouter
    llm: OwnCalls
    server: ScriptedServer

    def route(self, **fields: Any) -> Decision:
        call = a_call(**fields)
        with self.llm.deciding(Deciding(call.session, call.step_index)):
            return self.router.route(call)

    def error(self, **fields: Any) -> str:
        with pytest.raises(RouterError) as error:
            self.route(**fields)
        return str(error.value)


@contextmanager
def running(spec: str, script: Script, plugin_limits: PluginLimits | None = None) -> Iterator[Running]:
    """A hosted router with a handle on a scripted server."""
    with ScriptedServer(script, api_key=KEY) as server, Gateway(server.api_base, KEY_VARIABLE) as gateway:
        llm = MeteredLlm(live_manifest(), gateway, Budget(Decimal(1)), limits=RetryLimits(attempts=1, attempt_s=20))
        with load_router(spec, plugin_limits or limits()).opened(TIERS, llm) as router:
            assert isinstance(router, HostedRouter)
            yield Running(router, llm, server)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


def says(text: str, **more: Any) -> Script:
    return lambda _: Message(text, usage=USED, **more)


def test_it_is_answered_with_text_usage_and_cost(write_router: WriteRouter) -> None:
    with running(write_router(ASKS), says("high")) as run:
        decisions = [run.route(session=session) for session in ("a", "b", "a")]
    assert {(each.candidate, each.rationale) for each in decisions} == {("high", "minimax/minimax-m2.7 100 5 0.000036")}
    assert [asked.session for asked in run.server.completions] == ["a", "b", "a"]
    assert run.server.completions[0].body["max_tokens"] == 9


def test_the_process_sees_neither_key_nor_address(write_router: WriteRouter, tmp_path: Path) -> None:
    code = f"""
import gc, os
{ASKS}
class Nosy(R):
    def route(self, call):
        decision = super().route(call)
        seen = repr(os.environ) + open("/proc/self/environ").read()
        for each in gc.get_objects():
            if type(each).__module__.startswith("twinbench") and hasattr(each, "__dict__"):
                seen += repr(vars(each))
        return Decision(decision.candidate, rationale=seen)
R = Nosy
"""
    with running(write_router(code), says("high")) as run:
        seen = run.route().rationale or ""
        assert "Handle" in seen
        assert KEY not in seen
        assert str(run.server.port) not in seen


def test_what_it_does_not_catch_is_the_error_of_its_decision(write_router: WriteRouter) -> None:
    with running(write_router(ASKS), lambda _: server_error()) as run:
        assert run.error().startswith("route raised LlmError: minimax/minimax-m2.7: status 500")
        assert run.router._process is not None, "it goes on in the same process"


def test_what_it_catches_is_its_own_affair(write_router: WriteRouter) -> None:
    with running(f"{write_router(ASKS)}?catches=true", lambda _: server_error()) as run:
        decision = run.route()
    assert (decision.candidate, (decision.rationale or "")[:10]) == ("low", "minimax/mi")


def test_without_anybody_who_pays_it_is_told_which_flags_there_are(write_router: WriteRouter) -> None:
    with load_router(write_router(ASKS), limits()).opened(TIERS) as router:
        assert isinstance(router, HostedRouter)
        with router.llm.deciding(Deciding("s", 1)) as deciding, pytest.raises(RouterError) as error:
            router.route(a_call())
    assert f"route raised LlmError: {UNPAID}" in str(error.value)
    assert deciding.asked == len(deciding.failures) == 1


LIMIT = 2.0


def test_the_limit_on_a_decision_does_not_count_the_call(write_router: WriteRouter) -> None:
    with running(write_router(ASKS), says("high", after_s=2 * LIMIT), limits(decision_s=LIMIT)) as run:
        started = time.monotonic()
        assert run.route().candidate == "high"
        assert time.monotonic() - started > 2 * LIMIT


def test_the_limit_counts_what_it_takes_itself_before_and_after(write_router: WriteRouter) -> None:
    code = f"""
import time
{ASKS}
class Slow(R):
    def route(self, call):
        time.sleep({0.7 * LIMIT})
        decision = super().route(call)
        time.sleep({0.7 * LIMIT})
        return decision
R = Slow
"""
    with running(write_router(code), says("high"), limits(decision_s=LIMIT)) as run:
        assert (run.error() or "").startswith(f"the decision took longer than {LIMIT:g} s")
        assert len(run.server.completions) == 1


OUTSIDE = """
import threading
from twinbench import Decision, LlmError

Q = [{"role": "user", "content": "Q"}]

class R:
    def __init__(self, where: str) -> None:
        self.where, self.heard = where, []

    def ask(self, where):
        if self.where == where:
            try:
                self.heard.append(self.llm.ask(Q).text)
            except LlmError as error:
                self.heard.append(str(error))

    def use(self, llm):
        self.llm = llm
        self.ask("use")

    def start(self, session):
        self.ask("start")

    def observe(self, outcome):
        self.ask("observe")

    def route(self, call):
        if self.where == "thread" and call.step_index == 1:
            self.asks = threading.Event()
            threading.Thread(target=lambda: (self.asks.wait(60), self.ask("thread"), self.done.set())).start()
            self.done = threading.Event()
        elif self.where == "thread":
            self.done.wait(60)
        return Decision("low", rationale=repr(self.heard))

    def end(self, session):
        if self.where == "thread":
            self.asks.set()
            self.done.wait(60)
        self.ask("end")
"""


@pytest.mark.parametrize("where", ["use", "start", "end", "thread"])
def test_outside_of_route_nothing_can_be_asked(write_router: WriteRouter, where: str) -> None:
    with running(f"{write_router(OUTSIDE)}?where={where}", says("high")) as run:
        run.router.start("session")
        run.route()
        run.router.end("session")
        run.router.start("session")
        heard = run.route(step_index=2).rationale
    assert run.server.completions == []
    assert "inside route() only" in (heard or "")


def test_threads_of_a_router_may_ask_within_route(write_router: WriteRouter) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from twinbench import Decision

class R:
    def use(self, llm):
        self.llm = llm

    def one(self, number):
        return self.llm.ask([{"role": "user", "content": f"{number}"}], max_tokens=9).text

    def route(self, call):
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(self.one, range(8)))
        return Decision("low", rationale=" ".join(said))
"""

    def echo(asked: Asked) -> Message:
        return Message(asked.body["messages"][0]["content"], usage=USED)

    with running(write_router(code), echo) as run:
        assert run.route().rationale == "0 1 2 3 4 5 6 7"


HANDLES = """
import os
from twinbench import Decision, LlmError

class R:
    def __init__(self, how: str = "") -> None:
        self.how = how

    def use(self, llm):
        if self.how == "raises":
            raise ValueError("no thanks")
        self.llm = llm

    def route(self, call):
        if self.how == "dies":
            os._exit(3)
        messages = {
            "long": [{"role": "user", "content": "a " * 600_000}],
            "endless": [{"role": "user", "content": "a " * 2**24}],
            "object": [{"role": "user", "content": object()}],
            "none": None,
        }.get(self.how, [{"role": "user", "content": "\\ud800 and \\u2028"}])
        try:
            self.llm.ask(messages, candidate="mid_high", max_tokens=9)
        except LlmError as error:
            return Decision("low", rationale=str(error))
        return "high"
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("endless", "at most 16,777,216 are taken"),
        ("object", "messages cannot be sent"),
        ("none", "must be a non-empty list of OpenAI chat messages"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told(write_router: WriteRouter, how: str, told: str) -> None:
    with running(f"{write_router(HANDLES)}?how={how}", says("high")) as run:
        assert told in (run.route().rationale or "")
    assert run.server.completions == []


def test_a_conversation_of_megabytes_can_be_asked_about(write_router: WriteRouter) -> None:
    with running(f"{write_router(HANDLES)}?how=long", says("high")) as run:
        llm = run.llm
        assert isinstance(llm, MeteredLlm)
        llm.budget = Budget(None)
        assert run.route().candidate == "high"
    assert len(run.server.completions[0].raw) > 2**20


def test_a_handle_that_is_refused_fails_the_loading(write_router: WriteRouter) -> None:
    with pytest.raises(RouterLoadError, match="use raised ValueError: no thanks"):
        load_router(f"{write_router(HANDLES)}?how=raises", limits()).opened(TIERS).__enter__()


def test_a_new_process_gets_a_handle_too(write_router: WriteRouter) -> None:
    code = ASKS.replace(
        "        try:", "        import os\n        if call.step_index == 2:\n            os._exit(1)\n        try:"
    )
    with running(write_router(code), says("high")) as run:
        assert run.route().candidate == "high"
        assert "exited with code 1" in run.error(step_index=2)
        assert run.route(step_index=3).candidate == "high"


def test_a_watched_decision_is_not_said_to_read_what_was_answered(write_router: WriteRouter) -> None:
    with running(write_router(ASKS), says("high", fields={"x": "y" * 500}), limits(watch=True)) as run:
        for _ in range(3):
            run.route()
        assert run.router.reached == []


FORGES = """
import json, os, struct
from twinbench import Call

class R:
    def use(self, llm):
        self.llm = llm
        ask = llm._ask.__self__
        self.send, self.number = ask._send_frame, lambda: ask._number

    def route(self, call: Call):
        body = json.dumps({"number": self.number(), "ask": %s}).encode()
        self.send(struct.pack(">I", len(body)) + body)
        return "low"
"""


FORGED = [
    ("7", "sent an answer with ask = 7; it must be an object with messages, candidate, max_tokens and temperature"),
    ("[]", "sent an answer with ask = a list; it must be an object with messages, candidate, "),
    (
        '{"messages": 1, "candidate": [], "max_tokens": {}}',
        "sent an answer with ask.candidate = a list; it must be a text, or null",
    ),
    ('{"messages": [], "candidate": None, "max_tokens": 1}', "sent an answer without ask.temperature"),
]


@pytest.mark.parametrize(("question", "message"), FORGED)
def test_a_forged_question_is_an_error_of_its_decision(write_router: WriteRouter, question: str, message: str) -> None:
    with running(write_router(FORGES % question), says("high")) as run:
        for session in ("one", "another"):
            assert run.error(session=session).startswith(f"its process {message}")
    assert run.server.completions == []


MESSAGES_THAT_CANNOT_BE_SENT = [
    ("deep(900)", "nested (more than 64 deep|too deeply)"),
    ("deep(70)", "nested more than 64 deep"),
    ("[{'role': 'user', 'content': float('nan')}]", "not JSON compliant|no number in JSON"),
    ("[{'role': 'user', 'content': 'hi', 'n': [1e308 * 10]}]", "not JSON compliant|no number in JSON"),
]


@pytest.mark.parametrize("hosted", [True, False])
@pytest.mark.parametrize(("messages", "message"), MESSAGES_THAT_CANNOT_BE_SENT)
def test_messages_that_no_provider_can_be_sent_are_refused_before_it(
    messages: str, message: str, hosted: bool, write_router: WriteRouter
) -> None:
    code = f"""
from twinbench import Decision, LlmError

def deep(levels):
    found = "hi"
    for _ in range(levels):
        found = [found]
    return [{{"role": "user", "content": found}}]

class R:
    def use(self, llm):
        self.llm = llm

    def route(self, call):
        try:
            self.llm.ask({messages})
        except LlmError as error:
            return Decision("low", rationale=str(error))
        return "high"
"""
    with running(write_router(code), says("high")) as run:
        if hosted:
            decision = run.route()
        else:
            names: dict[str, Any] = {}
            exec(code, names)  # noqa: S102 - the same router in this process
            router = names["R"]()
            router.use(run.llm)
            with run.llm.deciding(Deciding("s", 1)):
                decision = router.route(a_call())
    assert decision.candidate == "low"
    assert re.search(f"^messages cannot be sent: .*({message})", decision.rationale or "")
    assert run.server.completions == []


@pytest.mark.parametrize("text", ["half \\ud83d", "\\udc00"])
def test_half_a_surrogate_pair_reaches_no_provider(text: str) -> None:
    with pytest.raises(LlmError, match="half a surrogate pair"):
        checked_question([{"role": "user", "content": [{"text": text.encode().decode("unicode_escape")}]}], None, 1, 0)


class InProcess:
    """A router of this process."""

    def use(self, llm: OwnCalls) -> None:
        self.llm = llm
        self.process = os.getpid()

    def route(self, call: Call) -> str:
        return self.llm.ask(call.messages, candidate=call.candidates[0], max_tokens=9).text


def test_a_router_of_this_process_gets_the_same_handle() -> None:
    with ScriptedServer(says("mid")) as server, Gateway(server.api_base, None) as gateway:
        llm = MeteredLlm(live_manifest(), gateway, Budget(Decimal(1)))
        with load_router(InProcess()).opened(TIERS, llm) as router, llm.deciding(Deciding("s", 1)) as deciding:
            assert router.route(a_call()) == "mid"
    assert deciding.spent_usd == Decimal("0.00002709")
    assert server.completions[0].body["model"] == "deepseek/deepseek-v3.2"
