"""What is warm in the live track, and what a session remembers of what was billed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from twinbench.routing.cache_policy import Prompt, WallClockTtl
from twinbench.routing.session import Session
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import live_manifest

CANDIDATES = tuple(candidate.to_candidate() for candidate in live_manifest().candidates)
A, B = CANDIDATES[0], CANDIDATES[-1]
TTL_S = 300.0


class Clock:
    """Stands until it is set."""

    time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def prompt(*texts: str) -> Prompt:
    messages = [{"role": "user", "content": text} for text in texts]
    tokens = {each.id: 100 * len(texts) + number for number, each in enumerate(CANDIDATES)}
    return Prompt(messages, (), len(texts), tokens, list(texts))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Session:
    return Session("key", CANDIDATES, WallClockTtl(TTL_S, clock))


def read(session: Session, *texts: str) -> dict[str, int]:
    """What is warm for each candidate."""
    return {name: session.open_call(prompt(*texts)).cache[name].read_tokens for name in (A.id, B.id)}


def answered(session: Session, candidate: object, texts: Sequence[str]) -> None:
    session.open_call(prompt(*texts))
    session.record_billed_answer(next(each for each in CANDIDATES if each == candidate), Usage(input=1))


@pytest.mark.parametrize(("later_s", "warm"), [(0, True), (299.9, True), (TTL_S, True), (300.1, False), (86400, False)])
def test_a_model_is_warm_for_five_minutes_whoever_answered_in_between(
    session: Session, clock: Clock, later_s: float, warm: bool
) -> None:
    answered(session, A, ["1"])
    answered(session, B, ["1", "2"])
    clock.time += later_s
    assert read(session, "1", "2", "3") == ({A.id: 100, B.id: 203} if warm else {A.id: 0, B.id: 0})


def test_each_call_begins_the_time_anew(session: Session, clock: Clock) -> None:
    answered(session, A, ["1"])
    clock.time += 200
    answered(session, A, ["1", "2"])
    clock.time += 200
    assert read(session, "1", "2", "3") == {A.id: 200, B.id: 0}


def test_a_rewritten_conversation_is_cold_and_its_own_extension_warm(session: Session) -> None:
    answered(session, A, ["1", "2"])
    assert read(session, "1", "other", "3")[A.id] == 0
    assert read(session, "1")[A.id] == 0, "shorter than what was seen"
    assert read(session, "1", "2")[A.id] == 200
    answered(session, A, ["1", "other"])
    assert read(session, "1", "2", "3")[A.id] == 0
    assert read(session, "1", "other", "3")[A.id] == 200


def test_a_call_that_nobody_answered_changes_nothing(session: Session, clock: Clock) -> None:
    answered(session, A, ["1"])
    clock.time += 299
    session.open_call(prompt("1", "2"))
    session.record_failure()
    clock.time += 2
    assert read(session, "1", "2") == {A.id: 0, B.id: 0}


def test_it_is_a_hint(session: Session) -> None:
    answered(session, A, ["1"])
    assert not session.open_call(prompt("1", "2")).cache[A].exact


def test_what_was_billed_counts_and_not_what_was_foreseen(session: Session) -> None:
    call = session.open_call(prompt("1"))
    assert (call.spent_usd, call.mean_output_tokens) == (0, 500)
    outcome = session.record_billed_answer(
        A, Usage(input=1_000_000, cache_read=1_000_000, output=1_000_000), "text", None
    )
    assert outcome.cost_usd == pytest.approx(0.252 + 0.0252 + 0.378)
    assert (outcome.session, outcome.step_index, outcome.text, outcome.cause) == ("key", 1, "text", None)
    session.open_call(prompt("1", "2"))
    session.record_billed_answer(B, Usage(output=500_000))
    call = session.open_call(prompt("1", "2", "3"))
    assert call.spent_usd == pytest.approx(0.6552 + 12.5)
    assert call.mean_output_tokens == 750_000


def test_nothing_is_billed_without_a_call(session: Session) -> None:
    with pytest.raises(RuntimeError, match="no call is open"):
        session.record_billed_answer(A, Usage())
    answered(session, A, ["1"])
    with pytest.raises(RuntimeError, match="no call is open"):
        session.record_billed_answer(A, Usage())
