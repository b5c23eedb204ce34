"""A router's own calls in a trial: what they cost and where that counts, what the journal says, resume and replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import (
    ABSENT,
    Counts,
    Message,
    Reply,
    bad_request,
    not_found,
    rate_limited,
    server_error,
    unauthorized,
)
from dynamic_track.rehearsal.server import Asked
from tests.calls.test_routed import HIGH, LOW, MID, Case, Waits, case
from tests.scripted.server import ScriptedServer
from twinbench.calls.attempts import RetryLimits
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget, CapError
from twinbench.calls.exchange import Request
from twinbench.calls.metered import MeteredLlm, OwnCallError
from twinbench.calls.recording import DivergedError
from twinbench.calls.routed import Decider, RecordingDecides, RouterDecides, RouterFailedError, RouterIsCompared
from twinbench.calls.trial_log import CallLog
from twinbench.causes import Cause, CausedError
from twinbench.providers.gateway import Gateway
from twinbench.routing.llm import Llm, LlmError
from twinbench.routing.llm import Reply as Said
from twinbench.routing.router import Call, Candidate, Decision
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import live_manifest

USED = Counts(prompt=1000, read=600, output=50)
MANIFEST = live_manifest()
QUESTION = [{"role": "user", "content": "Which model?"}]
OWN_USD = Decimal("0.0001348200")  # 400 · 0.252 + 600 · 0.0252 + 50 · 0.378, per million
AGENT = "Fixed."


class Asks:
    """Asks, and picks what the answer says; what it was told stays in ``heard``."""

    def __init__(self, ask: Callable[[Llm, Call], Any] | None = None, *, catches: bool = False) -> None:
        self.llm: Llm | None = None
        self.heard: list[Said | LlmError] = []
        self._ask = ask or (lambda llm, _: llm.ask(QUESTION, max_tokens=64))
        self._catches = catches

    def use(self, llm: Llm) -> None:
        self.llm = llm

    def route(self, call: Call) -> Decision:
        assert self.llm is not None
        try:
            said = self._ask(self.llm, call)
        except LlmError as error:
            self.heard.append(error)
            if self._catches:
                return Decision(MID, rationale="without")
            raise
        self.heard.append(said)
        return Decision(said.text)


def is_own(asked: Asked) -> bool:
    return bool(asked.body["messages"][0]["content"] == QUESTION[0]["content"])


def answering(*own: Reply) -> Callable[[Asked], Reply]:
    """The agent is always answered; the router from a list, the last one for ever."""
    turn = -1

    def answer(asked: Asked) -> Reply:
        nonlocal turn
        if not is_own(asked):
            return Message(AGENT, usage=USED)
        turn += 1
        return own[min(turn, len(own) - 1)]

    return answer


PICKS_HIGH = Message(HIGH, usage=USED)


@dataclass
class Running:
    trial: Case
    server: ScriptedServer
    router: Asks
    budget: Budget

    @property
    def own_requests(self) -> list[Asked]:
        return [asked for asked in self.server.completions if is_own(asked)]


@contextmanager
def running(
    tmp_path: Path,
    script: Callable[[Asked], Reply] | Sequence[Reply],
    router: Asks | None = None,
    *,
    cap: str | None = None,
    mode: str = "live",
) -> Iterator[Running]:
    """A trial whose router may ask; ``mode``: live, replay, or route for a replay that asks the router again."""
    router = router or Asks()
    limits = RetryLimits(attempts=2, attempt_s=5)
    deciders: dict[str, Decider] = {
        "live": RouterDecides(router),
        "route": RouterIsCompared(router),
        "replay": RecordingDecides(),
    }
    with ScriptedServer(script) as server, Gateway(server.api_base, None) as gateway:
        source = gateway if mode == "live" else None
        with case(tmp_path, source, decider=deciders[mode], cap=cap, replay=mode != "live", limits=limits) as trial:
            own = MeteredLlm(MANIFEST, source, trial.routed.budget, Waits(), limits)
            trial.routed.own = own
            router.use(own)
            yield Running(trial, server, router, trial.routed.budget)


def test_an_own_call_is_in_the_cost_and_not_in_what_the_agent_is_told(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        answer = run.trial.ask()
        recording = run.trial.recording
        assert run.budget.spent_usd == recording.spend_usd == recording.cost_usd
        assert run.trial.routed.session.call(run.trial.routed.counter.prompt([], [], 2)).spent_usd == pytest.approx(
            float(answer.cost_usd)
        )
    assert answer.candidate.id == HIGH
    (said,) = run.router.heard
    assert isinstance(said, Said)
    assert (said.text, said.candidate, said.cost_usd) == (HIGH, LOW, float(OWN_USD))
    assert (said.usage.input, said.usage.cache_read, said.usage.output) == (400, 600, 50)
    assert recording.router_usd == OWN_USD
    assert recording.cost_usd == answer.cost_usd + OWN_USD
    assert len(recording.own_answers) == 1
    assert recording.models == {HIGH: 1}
    assert recording.usage == answer.usage


def test_what_is_on_the_wire_is_what_was_asked_and_no_more(tmp_path: Path) -> None:
    marked = {"role": "user", "content": QUESTION[0]["content"], "cache_control": {"type": "ephemeral"}, "x": 1}

    def ask(llm: Llm, _: Call) -> Said:
        return llm.ask([marked], candidate=Tier.HIGH, max_tokens=70, temperature=0.5)

    with running(tmp_path, answering(Message(LOW, usage=USED)), Asks(ask)) as run:
        run.trial.ask()
    (own,) = run.own_requests
    assert own.body == {"model": HIGH, "messages": QUESTION, "max_tokens": 70, "temperature": 0.5}
    assert {asked.session for asked in run.server.completions} == {"header"}


NAMES: list[tuple[Any, str]] = [
    (None, LOW),
    ("mid", MID),
    (Tier.MID, MID),
    (HIGH, HIGH),
    (Candidate("high", "high", Tier.HIGH, MANIFEST.candidates[0].prices.prices()), HIGH),
    (MANIFEST.candidates[1].candidate(), MID),
]


@pytest.mark.parametrize(("named", "model"), NAMES, ids=[str(number) for number in range(len(NAMES))])
def test_a_candidate_is_named_as_in_either_track(tmp_path: Path, named: Any, model: str) -> None:
    asks = Asks(lambda llm, _: llm.ask(QUESTION, candidate=named, max_tokens=50))
    with running(tmp_path, answering(Message(LOW, usage=USED)), asks) as run:
        run.trial.ask()
    assert run.own_requests[0].body["model"] == model


WRONG: dict[str, tuple[Callable[[Llm, Call], Any], str]] = {
    "nobody": (lambda llm, _: llm.ask(QUESTION, candidate="gpt-17"), "has no candidate 'gpt-17'"),
    "type": (lambda llm, _: llm.ask(QUESTION, candidate=3), "candidate must be"),  # type: ignore[arg-type]
    "empty": (lambda llm, _: llm.ask([]), "non-empty list"),
    "text": (lambda llm, _: llm.ask("hi"), "must be a non-empty list"),  # type: ignore[arg-type]
    "roleless": (lambda llm, _: llm.ask([{"content": "hi"}]), r"messages\[0\]"),
    "no JSON": (lambda llm, _: llm.ask([{"role": "user", "content": [{"text": object()}]}]), "cannot be sent"),
    "none": (lambda llm, _: llm.ask(QUESTION, max_tokens=0), "max_tokens must be"),
    "endless": (lambda llm, _: llm.ask(QUESTION, max_tokens=10**6), "is at most 32,768"),
    "hot": (lambda llm, _: llm.ask(QUESTION, temperature=3), "temperature must be"),
    "too long": (lambda llm, _: llm.ask([{"role": "user", "content": "a " * 170_000}]), "does not fit"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_question_that_cannot_be_asked_is_told_and_costs_nothing(tmp_path: Path, what: str) -> None:
    ask, told = WRONG[what]
    with running(tmp_path, answering(PICKS_HIGH), Asks(ask, catches=True)) as run:
        assert run.trial.ask().candidate.id == MID
    assert run.own_requests == []
    (heard,) = run.router.heard
    assert isinstance(heard, LlmError)
    with pytest.raises(LlmError, match=told):
        raise heard


def test_nothing_can_be_asked_outside_of_route(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        assert run.router.llm is not None
        for _ in range(2):
            with pytest.raises(LlmError, match=r"inside route\(\) only"):
                run.router.llm.ask(QUESTION)
            run.trial.ask()
    assert len(run.own_requests) == 2


def test_a_decision_asks_a_hundred_times_at_most(tmp_path: Path) -> None:
    def ask(llm: Llm, _: Call) -> Said:
        said = None
        for number in range(101):
            said = llm.ask([*QUESTION, {"role": "user", "content": f"{number}"}], max_tokens=50)
        assert said is not None
        return said

    with (
        running(tmp_path, answering(PICKS_HIGH), Asks(ask)) as run,
        pytest.raises(RouterFailedError, match="at most 100 LLM calls"),
    ):
        run.trial.ask()
    assert len(run.own_requests) == 100


def test_a_failure_that_the_router_catches_is_no_end_and_counts_what_it_may_have_cost(tmp_path: Path) -> None:
    with running(tmp_path, answering(server_error()), Asks(catches=True)) as run:
        assert run.trial.ask().candidate.id == MID
        recording = run.trial.recording
    assert len(run.own_requests) == 2
    assert recording.router_usd == 0
    assert recording.own_answers == []
    reserved = [each.reserve.reserved_usd for each in recording.steps[1].own[1].attempts]
    assert recording.spend_usd == recording.cost_usd + sum(reserved)
    assert str(run.router.heard[0]).startswith(f"{LOW}: status 500")


CAUSES: list[tuple[str, Reply, Cause]] = [
    ("transport", server_error(), Cause.transport),
    ("quota", rate_limited(0), Cause.quota),
    ("access", unauthorized(), Cause.access),
    ("gone", not_found(), Cause.model),
]


@pytest.mark.parametrize(("reply", "cause"), [each[1:] for each in CAUSES], ids=[each[0] for each in CAUSES])
def test_what_the_provider_did_is_not_blamed_on_a_router_that_lets_it_pass(
    tmp_path: Path, reply: Reply, cause: Cause
) -> None:
    with running(tmp_path, answering(reply)) as run, pytest.raises(OwnCallError) as failed:
        run.trial.ask()
    assert failed.value.cause is cause
    assert run.trial.recording.steps[1].decision is None


def test_a_request_that_is_refused_is_the_routers_own_mistake(tmp_path: Path) -> None:
    with running(tmp_path, answering(bad_request())) as run, pytest.raises(RouterFailedError, match="status 400"):
        run.trial.ask()


BAD: list[tuple[Reply, Cause]] = [
    (Message(HIGH, usage=ABSENT), Cause.usage),
    (Message(HIGH, usage={"prompt_tokens": -1, "completion_tokens": 1}), Cause.usage),
    (Message(HIGH, usage=USED, model="another"), Cause.model),
]


@pytest.mark.parametrize(("reply", "cause"), BAD, ids=["absent", "negative", "model"])
def test_a_call_that_has_no_bill_ends_the_case_whatever_the_router_makes_of_it(
    tmp_path: Path, reply: Reply, cause: Cause
) -> None:
    with running(tmp_path, answering(reply), Asks(catches=True)) as run, pytest.raises(CausedError) as ended:
        run.trial.ask()
    assert ended.value.cause is cause
    assert len(run.own_requests) == 1
    recording = run.trial.recording
    (attempt,) = recording.steps[1].own[1].attempts
    assert attempt.settle is not None
    assert attempt.settle.at_reservation is (cause is Cause.usage)
    assert recording.cost_usd == 0
    assert recording.spend_usd == attempt.settle.cost_usd > 0


def test_the_cap_ends_the_case_whatever_the_router_makes_of_it_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH), Asks(catches=True), cap="0.00001") as run, pytest.raises(CapError):
        run.trial.ask()
    assert run.server.completions == []
    assert isinstance(run.router.heard[0], LlmError)
    with running(tmp_path, answering(PICKS_HIGH), cap="9") as run:
        assert run.trial.ask().candidate.id == HIGH


def test_a_reservation_is_the_worst_case_of_the_question(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        run.trial.ask()
        (attempt,) = run.trial.recording.steps[1].own[1].attempts
    tokens = run.trial.routed.counter.prompt(QUESTION, [], 1).tokens[LOW]
    prices = MANIFEST.candidates[0].prices.prices()
    assert attempt.reserve.reserved_usd == worst_case_usd(tokens, prices, 64)


@pytest.mark.parametrize("catches", [False, True])
def test_a_replay_answers_from_the_recording(tmp_path: Path, catches: bool) -> None:
    script = answering(server_error(), server_error(), PICKS_HIGH) if catches else answering(PICKS_HIGH)
    with running(tmp_path, script, Asks(catches=catches)) as run:
        answers = [run.trial.ask() for _ in range(3)]
        spent = run.trial.recording.spend_usd
    heard = [str(each) for each in run.router.heard]
    for mode in ("replay", "route"):
        with running(tmp_path, [], Asks(catches=catches), mode=mode) as again:
            assert [again.trial.ask() for _ in range(3)] == answers
        assert again.server.asked == []
        assert again.trial.recording.spend_usd == spent
        assert [str(each) for each in again.router.heard] == ([] if mode == "replay" else heard)


def test_a_replay_finds_a_router_that_asks_something_else(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        run.trial.ask()
    other = Asks(lambda llm, _: llm.ask([{"role": "user", "content": "Another question"}]), catches=True)
    with running(tmp_path, [], other, mode="route") as again, pytest.raises(DivergedError, match="router's own"):
        again.trial.ask()


def test_a_resume_pays_for_nothing_twice_and_goes_on_in_the_middle_of_a_decision(tmp_path: Path) -> None:
    def twice(llm: Llm, _: Call) -> Said:
        llm.ask(QUESTION, max_tokens=64)
        return llm.ask(QUESTION, max_tokens=64)

    class KilledError(BaseException):
        """As if the process had ended."""

    def killed(llm: Llm, _: Call) -> Said:
        llm.ask(QUESTION, max_tokens=64)
        raise KilledError

    with running(tmp_path, answering(PICKS_HIGH), Asks(twice)) as run:
        run.trial.ask()
    with running(tmp_path, answering(Message(MID, usage=USED)), Asks(twice)) as run:
        run.trial.ask()
        assert run.own_requests == []
        run.router._ask = killed
        with pytest.raises(KilledError):
            run.trial.ask()
    with running(tmp_path, answering(Message(LOW, usage=USED)), Asks(twice)) as run:
        assert [run.trial.ask().candidate.id for _ in range(2)] == [HIGH, LOW]
        recording = run.trial.recording
    assert len(run.own_requests) == 1
    assert [said.text for said in run.router.heard if isinstance(said, Said)] == [HIGH, LOW]
    assert len(recording.own_answers) == 4
    assert recording.router_usd == 4 * OWN_USD


def test_a_resume_tries_again_what_the_provider_had_ended(tmp_path: Path) -> None:
    with running(tmp_path, answering(server_error())) as run, pytest.raises(OwnCallError):
        run.trial.ask()
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        assert run.trial.ask().candidate.id == HIGH
        recording = run.trial.recording
    assert [attempt.answered for attempt in recording.steps[1].own[1].attempts] == [False, False, True]
    with running(tmp_path, [], mode="route") as again:
        assert again.trial.ask().candidate.id == HIGH


def test_a_router_that_asks_something_else_in_a_resume_is_overruled_and_nothing_is_paid(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        run.trial.ask()
    other = Asks(lambda llm, _: llm.ask([*QUESTION, *QUESTION]), catches=True)
    with running(tmp_path, answering(PICKS_HIGH), other) as run:
        assert run.trial.ask().candidate.id == HIGH
    assert run.server.completions == []


def test_an_attempt_in_flight_at_a_kill_is_settled_at_its_reservation(tmp_path: Path) -> None:
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        request = Request({"max_tokens": 1}, "session")
        CallLog(run.trial.routed.log, 1, own=1).reserve(1, LOW, request, Decimal("0.5"))
    with running(tmp_path, answering(PICKS_HIGH)) as run:
        recording = run.trial.recording
        (attempt,) = recording.steps[1].own[1].attempts
        assert attempt.settle is not None
        assert (attempt.settle.own, attempt.settle.at_reservation) == (1, True)
        assert (recording.spend_usd, recording.cost_usd) == (Decimal("0.5"), Decimal(0))
