"""Routed calls over real HTTP: what goes wrong at a gateway or in a router, and what the journal then says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.replies import (
    ABSENT,
    ABSURD_USAGE,
    CloseReply,
    CutReply,
    HangReply,
    MessageReply,
    RawReply,
    Reply,
    ResetReply,
    TokenCounts,
    TrickleReply,
    bad_request,
    empty_body,
    error_reply,
    forbidden,
    foreign_reasoning,
    invalid_json,
    not_found,
    payment_required,
    rate_limit_reply,
    server_error,
    too_long,
    unauthorized,
    unavailable,
)
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.running.unexpected_errors import record_end
from tests.scripted.server import Script, ScriptedServer
from tests.timing import HANG_S, limit_for
from twinbench.calls.attempts import CallFailedError, RetryLimits
from twinbench.calls.billing import worst_case_usd
from twinbench.calls.budget import Budget, CapError
from twinbench.calls.exchange import Request, Response, ResponseSource
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.lines import Settle
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.recording import DivergedError, RecordedEndError, Recording, read_recordings
from twinbench.calls.routed import (
    Answer,
    ComparingDecider,
    Decider,
    RecordingDecider,
    RoutedCall,
    RouterDecider,
    RouterFailedError,
    TrialClock,
)
from twinbench.calls.translation import ConversationMessage
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import CAUSES, Cause
from twinbench.causes import OutcomeClass as CountsAs
from twinbench.providers.gateway import Gateway
from twinbench.routing.cache_policy import WallClockTtl
from twinbench.routing.router import Call, Limits
from twinbench.routing.session import SESSION_HEADER, Session
from twinbench.storage.manifest_files import live_manifest, static_manifest
from twinbench.storage.manifests import LiveCandidate
from twinbench.text.tokens import find_tokenizer_set

POOL = {candidate.id: candidate for candidate in live_manifest().candidates}
LOW, MID, MID_HIGH, HIGH = POOL
GO = [
    ConversationMessage({"role": "system", "content": "You fix bugs."}),
    ConversationMessage({"role": "user", "content": "Fix this."}),
]
TOKENIZERS = find_tokenizer_set(static_manifest())
USED = TokenCounts(prompt=1000, read=600, output=50)


class Waits:
    """A clock that stands but for waits, which it remembers."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


class Scripted:
    """A router that answers from a list, the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.told: list[tuple[str, Any]] = []
        self.calls: list[Call] = []

    def route(self, call: Call) -> Any:
        self.calls.append(call)
        answer = self.answers[min(len(self.calls), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer(call) if callable(answer) else answer

    def start(self, session: str) -> None:
        self.told.append(("start", session))

    def observe(self, outcome: Any) -> None:
        self.told.append(("observe", outcome))

    def end(self, session: str) -> None:
        self.told.append(("end", session))


@dataclass
class Case:
    """A trial whose agent only asks."""

    routed: RoutedCall
    journal: Path
    clock: Waits
    said: list[ConversationMessage] = field(default_factory=lambda: list(GO))

    def ask(self) -> Answer:
        """One more call of the conversation."""
        answer = self.routed.ask(self.said, [])
        self.said += [
            answer.conversation_message,
            ConversationMessage({"role": "user", "content": f"Result {answer.step}."}),
        ]
        return answer

    @property
    def recording(self) -> Recording:
        """What the journal tells."""
        return read_recordings(read_journal(self.journal))[("c", 1)]

    def attempts(self, step: int = 1) -> list[Settle]:
        """The settles of a step; each attempt has one."""
        attempts = self.recording.steps[step].attempts
        assert [each.reserve.attempt for each in attempts] == list(range(1, len(attempts) + 1))
        assert all(each.settle is not None for each in attempts)
        return [each.settle for each in attempts if each.settle is not None]


@contextmanager
def case(
    tmp_path: Path,
    source: ResponseSource | None,
    router: Any = LOW,
    *,
    decider: Decider | None = None,
    limits: RetryLimits | None = None,
    cap: str | None = None,
    pool: Mapping[str, LiveCandidate] = POOL,
    clock: Waits | None = None,
    replay: bool = False,
) -> Iterator[Case]:
    """A trial, begun or gone on with."""
    clock = clock or Waits()
    folder = tmp_path / "journal"
    if isinstance(router, str):
        router = Scripted(router)
    kept = read_recordings(read_journal(folder)).get(("c", 1)) if folder.exists() else None
    recording = kept or Recording("c", 1)
    with Journal.open(folder) as journal:
        log = TrialLog(recording, None if replay else journal, clock)
        log.settle_in_flight()
        ticking = TrialClock(clock)
        routed = RoutedCall(
            session=Session(
                "key",
                tuple(candidate.to_candidate() for candidate in pool.values()),
                WallClockTtl(300, ticking),
                Limits(250, 3.0),
            ),
            session_header="header",
            decider=decider or RouterDecider(router),
            source=source,
            trial_log=log,
            budget=Budget(None if cap is None else Decimal(cap), recording.spend_usd),
            clock=ticking,
            pool=pool,
            counter=PromptCounter(list(pool.values()), TOKENIZERS),
            limits=limits or RetryLimits(attempts=3, attempt_s=HANG_S),
        )
        routed.start()
        yield Case(routed, folder, clock)
        routed.end()


@contextmanager
def asking(tmp_path: Path, script: Script, router: Any = LOW, **more: Any) -> Iterator[tuple[Case, ScriptedServer]]:
    """A trial and the server that it asks."""
    with (
        ScriptedServer(script) as server,
        Gateway(server.api_base, None) as gateway,
        case(tmp_path, gateway, router, **more) as running,
    ):
        yield running, server


def patience_s(tmp_path: Path, reply: Reply) -> float:
    """How long an attempt may take: many times what a good one takes, where the reply will not come."""
    if not isinstance(reply, HangReply | TrickleReply):
        return HANG_S
    with asking(tmp_path / "good", always(ANSWER)) as (running, _):
        running.ask()
        return limit_for(running.ask, at_least_s=0.4)


def always(reply: Reply) -> Callable[[ReceivedRequest], Reply]:
    return lambda _: reply


ANSWER = MessageReply("ok", usage=USED)
PRICED = (Decimal(400) * Decimal("0.252") + 600 * Decimal("0.0252") + 50 * Decimal("0.378")) / 10**6
"""What that costs of the cheapest candidate, by hand."""


def worst(step: int = 1, candidate: str = LOW) -> Decimal:
    """The reservation of a call, from its length by hand."""
    tokens = {LOW: TOKENIZERS.tokenizer_name(live_manifest().candidates[0].to_candidate().tier)}
    assert step == 1
    texts = [str(each.plain["content"]) for each in GO]
    counted = TOKENIZERS.count(texts)[tokens[candidate]]
    found = POOL[candidate]
    return worst_case_usd(TOKENIZERS.prompt_tokens(counted), found.to_candidate().prices, found.max_tokens)


FREE, RESERVED, KNOWN = "free", "reserved", "known"
LLAMA_CPP_TOO_LONG = (
    b'{"error":{"code":400,"message":"request (9031 tokens) exceeds the available context size (8192 tokens), try '
    b'increasing it","type":"exceed_context_size_error","n_prompt_tokens":9031,"n_ctx":8192}}'
)
"""As its server said it to us."""

FAULTS: dict[str, tuple[Reply, Cause, bool, str]] = {
    "429": (rate_limit_reply(), Cause.quota, True, FREE),
    "429 with Retry-After": (rate_limit_reply(3), Cause.quota, True, FREE),
    "429 with a date": (rate_limit_reply(20, as_date=True), Cause.quota, True, FREE),
    "429 with nonsense in Retry-After": (rate_limit_reply("soon"), Cause.quota, True, FREE),
    "500": (server_error(), Cause.transport, True, RESERVED),
    "500 that speaks of a rate limit": (server_error("rate limit"), Cause.transport, True, RESERVED),
    "503": (unavailable(2), Cause.transport, True, RESERVED),
    "an error within 200": (error_reply(200, "upstream", 503), Cause.transport, True, RESERVED),
    "429 within 200": (error_reply(200, "upstream", 429), Cause.quota, True, FREE),
    "hang": (HangReply(), Cause.transport, True, RESERVED),
    "trickle": (TrickleReply(every_s=0.05), Cause.transport, True, RESERVED),
    "trickle from the first byte": (TrickleReply(every_s=0.05, head_too=True), Cause.transport, True, RESERVED),
    "cut": (CutReply(), Cause.transport, True, RESERVED),
    "reset": (ResetReply(), Cause.transport, True, RESERVED),
    "reset within the body": (ResetReply(30), Cause.transport, True, RESERVED),
    "closed": (CloseReply(), Cause.transport, True, RESERVED),
    "invalid JSON": (invalid_json(), Cause.transport, True, RESERVED),
    "no body": (empty_body(), Cause.transport, True, RESERVED),
    "HTML": (RawReply(200, b"<html>Bad gateway</html>"), Cause.transport, True, RESERVED),
    "a list": (RawReply(200, b"[1, 2]"), Cause.transport, True, RESERVED),
    "no choices": (RawReply(200, b'{"choices": [], "usage": {}}'), Cause.transport, True, RESERVED),
    "a redirect": (RawReply(302, b"", {"Location": "http://127.0.0.1:1/"}), Cause.request, False, FREE),
    "ended with an error": (
        MessageReply("par", usage=USED, finish_reason="error"),
        Cause.transport,
        True,
        KNOWN,
    ),
    "401": (unauthorized(), Cause.access, False, FREE),
    "401 that speaks of a rate limit": (unauthorized("rate limit, try again"), Cause.access, False, FREE),
    "402": (payment_required(), Cause.quota, False, FREE),
    "403": (forbidden(), Cause.access, False, FREE),
    "404": (not_found(), Cause.model, False, FREE),
    "400": (bad_request(), Cause.request, False, FREE),
    "400 that speaks of the context length": (
        bad_request("context_length_exceeded"),
        Cause.request,
        False,
        FREE,
    ),
    "413": (error_reply(413, "too large"), Cause.request, False, FREE),
    "422": (error_reply(422, "unprocessable"), Cause.request, False, FREE),
    "400: too long": (too_long(), Cause.router, False, FREE),
    "400: too long, as llama.cpp says it": (RawReply(400, LLAMA_CPP_TOO_LONG), Cause.router, False, FREE),
    "another model": (MessageReply("ok", usage=USED, model="gpt-17"), Cause.model, False, KNOWN),
    "no model": (MessageReply("ok", usage=USED, response_fields={"model": None}), Cause.model, False, KNOWN),
    "another model without usage": (MessageReply("ok", usage=ABSENT, model="gpt-17"), Cause.usage, False, RESERVED),
    **{
        f"usage: {name}": (MessageReply("ok", usage=usage), Cause.usage, False, RESERVED)
        for name, usage in ABSURD_USAGE.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("reply", "cause", "retried", "billed"), FAULTS.values(), ids=FAULTS)
def test_each_fault_ends_in_its_cause_and_every_attempt_is_accounted_for(
    tmp_path: Path, reply: Reply, cause: Cause, retried: bool, billed: str
) -> None:
    limits = RetryLimits(attempts=2, attempt_s=patience_s(tmp_path, reply))
    with asking(tmp_path, always(reply), limits=limits) as (running, server):
        with pytest.raises(CallFailedError) as caught:
            running.ask()
        attempts = running.attempts()
        sent = len(server.completions)
    assert caught.value.cause is cause
    assert CAUSES[cause].outcome_class is (CountsAs.unresolved if cause is Cause.router else CountsAs.infra)
    assert sent == len(attempts) == (2 if retried else 1)
    assert len(running.clock.slept) == sent - 1
    cost = {FREE: Decimal(0), RESERVED: worst(), KNOWN: PRICED}[billed]
    for attempt in attempts:
        assert (attempt.cause, attempt.cost_usd) == (cause, cost)
        assert attempt.at_reservation == (billed == RESERVED)
        assert (attempt.usage is None) == (billed != KNOWN)
        assert attempt.detail
    assert running.routed.budget.spent_usd == running.recording.spend_usd == cost * len(attempts)
    assert running.routed.budget.committed_usd == running.routed.budget.spent_usd
    assert running.recording.cost_usd == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault[2]])
def test_after_a_fault_that_may_pass_the_next_attempt_answers(tmp_path: Path, name: str) -> None:
    reply, _, _, billed = FAULTS[name]
    limits = RetryLimits(attempt_s=patience_s(tmp_path, reply))
    with asking(tmp_path, [reply, ANSWER], limits=limits) as (running, _):
        answer = running.ask()
        attempts = running.attempts()
    assert (answer.cost_usd, answer.usage.cache_read) == (PRICED, 600)
    assert [attempt.cause for attempt in attempts] == [FAULTS[name][1], None]
    lost = {FREE: Decimal(0), RESERVED: worst(), KNOWN: PRICED}[billed]
    assert running.recording.cost_usd == PRICED
    assert running.recording.spend_usd == PRICED + lost


def test_where_nobody_listens_nothing_can_be_billed(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        base = server.api_base
    with Gateway(base, None) as gateway, case(tmp_path, gateway) as running:
        with pytest.raises(CallFailedError) as caught:
            running.ask()
        attempts = running.attempts()
    assert caught.value.cause is Cause.transport
    assert len(attempts) == 3
    assert {(attempt.cost_usd, attempt.at_reservation) for attempt in attempts} == {(Decimal(0), False)}


def test_retry_after_is_waited_for_and_jitter_else(tmp_path: Path) -> None:
    replies: list[Reply] = [rate_limit_reply(7), rate_limit_reply(), unavailable(2.5), server_error(), ANSWER]
    with asking(tmp_path, replies, limits=RetryLimits()) as (running, _):
        running.ask()
        slept = running.clock.slept
    assert 7 <= slept[0] < 7.7
    assert 2.5 <= slept[2] < 2.75
    assert all(0 <= wait <= 30 for wait in (slept[1], slept[3]))


def test_a_call_is_tried_six_times_at_most(tmp_path: Path) -> None:
    with asking(tmp_path, always(rate_limit_reply(1)), limits=RetryLimits()) as (running, server):
        with pytest.raises(CallFailedError):
            running.ask()
        assert len(server.completions) == 6
    assert all(1 <= wait < 1.1 for wait in running.clock.slept)
    assert len(set(running.clock.slept)) == 5, "each with a jitter of its own"


@pytest.mark.parametrize(("asked_s", "attempts"), [(1000, 1), (121, 1), (50, 3), (119, 2)])
def test_a_call_waits_for_two_minutes_at_most(tmp_path: Path, asked_s: float, attempts: int) -> None:
    with asking(tmp_path, always(rate_limit_reply(asked_s)), limits=RetryLimits()) as (running, server):
        with pytest.raises(CallFailedError):
            running.ask()
        assert len(server.completions) == attempts
    assert sum(running.clock.slept) <= 120


@pytest.mark.parametrize(
    ("second", "reply", "cause"),
    [
        (MID, foreign_reasoning(), Cause.switch),
        (LOW, bad_request(), Cause.request),
        (MID, too_long(), Cause.router),
        (MID, unauthorized(), Cause.access),
        (MID, not_found(), Cause.model),
    ],
)
def test_a_400_after_a_switch_is_a_cause_of_its_own(tmp_path: Path, second: str, reply: Reply, cause: Cause) -> None:
    with asking(tmp_path, [ANSWER, reply], Scripted(LOW, second)) as (running, server):
        running.ask()
        with pytest.raises(CallFailedError) as caught:
            running.ask()
        assert len(server.completions) == 2
    assert caught.value.cause is cause


def test_after_a_switch_that_went_well_a_400_is_no_switch(tmp_path: Path) -> None:
    with asking(tmp_path, [ANSWER, ANSWER, bad_request()], Scripted(LOW, MID, MID)) as (running, _):
        running.ask()
        running.ask()
        with pytest.raises(CallFailedError) as caught:
            running.ask()
    assert caught.value.cause is Cause.request


def test_the_journal_keeps_the_answer_its_host_and_the_providers_own_price(tmp_path: Path) -> None:
    reply = MessageReply("ok", usage=TokenCounts(1000, 600, 0, 50, cost_usd=0.25), response_fields={"provider": "Acme"})
    with asking(tmp_path, [reply]) as (running, server):
        running.ask()
        attempt = running.attempts()[0]
        sent = Request(server.completions[0].body, "header")
    assert (attempt.served_model, attempt.served_by, attempt.reported_cost_usd) == (LOW, "Acme", Decimal("0.25"))
    assert (attempt.status, attempt.cost_usd) == (200, PRICED)
    assert json.loads(attempt.body or b"")["provider"] == "Acme"
    assert attempt.latency_s is not None
    assert attempt.latency_s > 0
    reserve = running.recording.steps[1].attempts[0].reserve
    assert (reserve.request_sha256, reserve.request_key) == (sent.sha256, sent.key)
    assert reserve.reserved_usd == worst()


# Routers


class Stubborn:
    """A router one of whose methods fails."""

    def __init__(self, hook: str) -> None:
        self._hook = hook

    def route(self, _: Call) -> str:
        return self._fails("route")

    def start(self, _: str) -> None:
        self._fails("start")

    def observe(self, _: Any) -> None:
        self._fails("observe")

    def end(self, _: str) -> None:
        self._fails("end")

    def _fails(self, hook: str) -> str:
        if hook == self._hook:
            raise ValueError(f"no {hook}")
        return LOW


TINY = {LOW: POOL[LOW].model_copy(update={"context_window": 32_768 + 10})}

FAILING: dict[str, tuple[Any, int, str]] = {
    "raises": (Stubborn("route"), 1, "route raised ValueError: no route"),
    "unknown": (Scripted("gpt-17"), 1, "neither a candidate"),
    "none": (Scripted(None), 1, "must return"),
    "start": (Stubborn("start"), 1, "start raised ValueError"),
    "observe": (Stubborn("observe"), 2, "observe raised ValueError"),
    "later": (Scripted(LOW, ValueError("not twice")), 2, "not twice"),
}


@pytest.mark.parametrize(("router", "step", "said"), FAILING.values(), ids=FAILING)
def test_a_router_that_fails_ends_the_case_for_its_own_fault(tmp_path: Path, router: Any, step: int, said: str) -> None:
    with asking(tmp_path, always(ANSWER), router) as (running, server):
        for _ in range(step - 1):
            running.ask()
        with pytest.raises(RouterFailedError, match=said) as caught:
            running.ask()
        assert len(server.completions) == step - 1
    assert caught.value.cause is Cause.router
    decision = running.recording.steps[step].decision
    assert decision is not None
    assert said in str(decision.error)
    with case(tmp_path, None, decider=RecordingDecider(), replay=True) as again:
        for _ in range(step - 1):
            again.ask()
        with pytest.raises(RouterFailedError, match=said):
            again.ask()


def test_what_does_not_fit_is_the_routers_fault(tmp_path: Path) -> None:
    with asking(tmp_path, always(ANSWER), LOW, pool=TINY) as (running, server):
        with pytest.raises(RouterFailedError, match="does not fit"):
            running.ask()
        assert server.completions == []
    decision = running.recording.steps[1].decision
    assert decision is not None
    assert decision.candidate == LOW


@pytest.mark.parametrize(("router", "step", "pool"), [(Stubborn("observe"), 2, POOL), (Stubborn("end"), 1, TINY)])
def test_a_failure_that_the_router_repeats_is_no_difference(
    tmp_path: Path, router: Any, step: int, pool: Mapping[str, LiveCandidate]
) -> None:
    def fail(running: Case) -> str:
        for _ in range(step - 1):
            running.ask()
        with pytest.raises(RouterFailedError) as caught:
            running.ask()
        return str(caught.value)

    with asking(tmp_path, always(ANSWER), router, pool=pool) as (running, _):
        then = fail(running)
    with case(tmp_path, None, decider=ComparingDecider(router), pool=pool, replay=True) as again:
        assert fail(again) == then


def test_a_router_that_decides_otherwise_is_a_difference(tmp_path: Path) -> None:
    with asking(tmp_path, always(ANSWER), Scripted(LOW, MID)) as (running, _):
        running.ask()
        running.ask()
    with case(tmp_path, None, decider=ComparingDecider(Scripted(LOW, HIGH)), replay=True) as again:
        again.ask()
        with pytest.raises(DivergedError) as caught:
            again.ask()
    found = caught.value
    assert (found.step, found.what) == (2, "decision")
    assert (found.recorded["candidate"], found.replayed["candidate"]) == (MID, HIGH)


def test_a_router_is_told_what_was_billed_and_nothing_of_attempts(tmp_path: Path) -> None:
    router = Scripted(LOW)
    with asking(tmp_path, [rate_limit_reply(1), ANSWER, ANSWER], router) as (running, _):
        running.ask()
        running.ask()
    assert [hook for hook, _ in router.told] == ["start", "observe", "observe", "end"]
    outcome = router.told[1][1]
    assert (outcome.candidate.id, outcome.usage.cache_read, outcome.text, outcome.cause) == (LOW, 600, "ok", None)
    assert Decimal(str(outcome.cost_usd)) == PRICED
    assert router.calls[1].spent_usd == outcome.cost_usd
    assert router.calls[1].mean_output_tokens == 50


# The cap


def test_a_call_that_the_cap_leaves_no_room_for_is_not_sent_and_goes_on_under_a_higher_one(tmp_path: Path) -> None:
    router = Scripted(LOW)
    with asking(tmp_path, always(ANSWER), router, cap=f"{worst()}") as (running, server):
        running.ask()
        with pytest.raises(CapError) as caught:
            running.ask()
        assert len(server.completions) == 1
    assert caught.value.cause is Cause.cap
    assert CAUSES[Cause.cap].outcome_class is CountsAs.cap
    with asking(tmp_path, always(ANSWER), router, cap="1") as (again, server):
        again.ask()
        again.ask()
        assert len(server.completions) == 1
    assert again.recording.spend_usd == again.recording.cost_usd == 2 * PRICED


def test_a_cap_that_failing_attempts_used_up_says_what_failed(tmp_path: Path) -> None:
    with (
        asking(tmp_path, always(server_error("the machine is on fire")), cap=f"{worst()}") as (running, _),
        pytest.raises(CapError, match=r"is reached.*attempt 1 failed: status 500: the machine is on fire"),
    ):
        running.ask()


# Going on and repeating


class Nobody:
    """Must not be asked."""

    def fetch(self, request: Request, within_s: float) -> Response:
        raise AssertionError(f"{request.body['model']} was asked")


def test_what_is_recorded_is_not_asked_again(tmp_path: Path) -> None:
    router = Scripted(LOW, HIGH, LOW)
    with asking(tmp_path, always(ANSWER), router) as (running, _):
        first = [running.ask() for _ in range(3)]
    with case(tmp_path, Nobody(), router=Scripted(MID)) as again:
        assert [again.ask() for _ in range(3)] == first
    assert again.recording.models == {LOW: 2, HIGH: 1}


def test_an_attempt_in_flight_at_a_kill_counts_its_reservation_and_is_tried_again(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    class Kills:
        def fetch(self, request: Request, within_s: float) -> Response:
            raise Killed

    with pytest.raises(Killed), case(tmp_path, Kills()) as running:
        running.ask()
    with asking(tmp_path, always(ANSWER)) as (again, _):
        assert again.routed.budget.spent_usd == worst()
        answer = again.ask()
        attempts = again.attempts()
    assert answer.cost_usd == PRICED
    assert [(each.cause, each.at_reservation) for each in attempts] == [("transport", True), (None, False)]
    assert again.recording.spend_usd == worst() + PRICED
    assert again.routed.budget.spent_usd == worst() + PRICED


def test_another_request_than_the_recorded_one_is_a_difference(tmp_path: Path) -> None:
    with asking(tmp_path, always(ANSWER)) as (running, _):
        running.ask()
    with case(tmp_path, None, decider=RecordingDecider(), replay=True) as again:
        again.said[1] = ConversationMessage({"role": "user", "content": "Fix that."})
        with pytest.raises(DivergedError) as caught:
            again.ask()
    assert (caught.value.step, caught.value.what) == (1, "request")
    assert caught.value.recorded != caught.value.replayed


def test_requests_that_differ_in_times_alone_are_the_same(tmp_path: Path) -> None:
    def at(time: str) -> ConversationMessage:
        return ConversationMessage({"role": "user", "content": f"ran at 2026-11-24 {time}, 3 passed in 0.1{time[-1]}s"})

    with asking(tmp_path, always(ANSWER)) as (running, _):
        running.said[1] = at("10:00:01")
        running.ask()
    with case(tmp_path, None, decider=RecordingDecider(), replay=True) as again:
        again.said[1] = at("11:22:33")
        assert again.ask().cost_usd == PRICED


def test_other_prices_are_a_difference(tmp_path: Path) -> None:
    with asking(tmp_path, always(ANSWER)) as (running, _):
        running.ask()
    prices = POOL[LOW].prices.model_copy(update={"output": Decimal("0.4")})
    dearer = {**POOL, LOW: POOL[LOW].model_copy(update={"prices": prices})}
    with (
        case(tmp_path, None, decider=RecordingDecider(), replay=True, pool=dearer) as again,
        pytest.raises(DivergedError) as caught,
    ):
        again.ask()
    assert caught.value.what == "cost"
    assert Decimal(caught.value.recorded) < Decimal(caught.value.replayed)


def test_a_recording_that_has_no_more_is_a_difference_unless_it_ended_there(tmp_path: Path) -> None:
    with asking(tmp_path, [ANSWER, unauthorized()]) as (running, _):
        running.ask()
        with pytest.raises(CallFailedError):
            running.ask()
        with case_replayed(tmp_path, running) as again:
            again.ask()
            with pytest.raises(DivergedError) as caught:
                again.ask()
        assert (caught.value.step, caught.value.what, caught.value.recorded) == (2, "response", None)
        record_end(running.routed.trial_log, Cause.access, "401")
        with case_replayed(tmp_path, running) as again:
            again.ask()
            with pytest.raises(RecordedEndError) as ended:
                again.ask()
        assert ended.value.cause is Cause.access


@pytest.mark.parametrize("decider", [RecordingDecider(), ComparingDecider(Scripted(LOW))])
def test_a_recording_that_ended_before_a_decision_ends_there_again(tmp_path: Path, decider: Decider) -> None:
    with asking(tmp_path, always(ANSWER)) as (running, _):
        running.ask()
        record_end(running.routed.trial_log, Cause.engine, "it went away")
        with case_replayed(tmp_path, running, decider) as again:
            again.ask()
            with pytest.raises(RecordedEndError) as ended:
                again.ask()
    assert ended.value.cause is Cause.engine


@contextmanager
def case_replayed(tmp_path: Path, running: Case, decider: Decider | None = None) -> Iterator[Case]:
    """A replay of what a trial has written until now."""
    (tmp_path / "again").mkdir(exist_ok=True)
    copy = tmp_path / "again" / "journal"
    copy.mkdir(exist_ok=True)
    (copy / "journal.jsonl").write_bytes((running.journal / "journal.jsonl").read_bytes())
    with case(tmp_path / "again", None, decider=decider or RecordingDecider(), replay=True) as again:
        yield again


def test_what_a_router_is_shown_to_be_warm_is_what_was_warm_then(tmp_path: Path) -> None:
    """Between the calls of a run lie minutes, between those of its replay milliseconds."""
    read: list[list[int]] = []

    def ask(running: Case, router: Scripted, *, gaps: Sequence[float]) -> None:
        for gap in gaps:
            running.ask()
            running.clock.time += gap
        read.append([call.cache[LOW].read_tokens for call in router.calls])

    gaps = (10, 301, 0)
    router = Scripted(LOW)
    with asking(tmp_path, always(ANSWER), router) as (running, _):
        ask(running, router, gaps=gaps)
    again = Scripted(LOW)
    with case(tmp_path, None, decider=ComparingDecider(again), replay=True) as replaying:
        ask(replaying, again, gaps=(0, 0, 0))
    later = Scripted(LOW)
    late = Waits()
    late.time += 100_000
    with asking(tmp_path, always(ANSWER), later, clock=late) as (resumed, _):
        ask(resumed, later, gaps=(0, 0, 0, 0))
    assert [tokens > 0 for tokens in read[0]] == [False, True, False]
    assert read[1] == read[0]
    assert read[2][:3] == read[0]
    assert read[2][3] == 0, "the last recorded call is long ago"


def test_the_header_is_the_same_for_every_request(tmp_path: Path) -> None:
    with asking(tmp_path, [server_error(), ANSWER, ANSWER], Scripted(LOW, HIGH)) as (running, server):
        running.ask()
        running.ask()
        assert {asked.headers[SESSION_HEADER.lower()] for asked in server.completions} == {"header"}
