"""The built-in routers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.banks.embedded_names import DEFAULT_BANK
from static_track.predict import predict
from tests.banks import Message
from tests.twinbench.calls import a_call, a_candidate
from twinbench.routers.registry import BUILT_IN, has_to_be_trained
from twinbench.routing.built_in import DepthRule, Random, RoundRobin, Sticky
from twinbench.routing.router import Call, Decision, Router, validate_decision
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store


def call_of(messages: int, last: str = "user", **fields: Any) -> Call:
    conversation: list[Message] = [{"role": "user", "content": "x"}] * (messages - 1) + [{"role": last, "content": "x"}]
    return replace(a_call(), messages=tuple(conversation), **fields)


def decided(router: Router, call: Call) -> Tier:
    return validate_decision(router.route(call), call.candidates).candidate.tier


@pytest.mark.parametrize("name", [name for name in BUILT_IN if not has_to_be_trained(name)])
def test_every_built_in_router_answers_every_row_of_the_embedded_bank(name: str, embedded_store: Store) -> None:
    with Bank.open(DEFAULT_BANK, embedded_store) as bank:
        predicted = predict(BUILT_IN[name](), bank, static_manifest())
        assert predict(BUILT_IN[name](), bank, static_manifest()).tier_ids == predicted.tier_ids
    assert not predicted.errors
    assert len(predicted.tier_ids) == bank.info.rows


@pytest.mark.parametrize("label", TIER_LABELS)
def test_a_constant_goes_to_its_tier(label: str) -> None:
    assert decided(BUILT_IN[f"always-{label}"](), call_of(9)).label == label


def test_random_depends_on_seed_session_and_step_alone() -> None:
    calls = [call_of(1, session=f"s{number % 10}", step_index=number // 10) for number in range(200)]
    drawn = [decided(Random(), call) for call in calls]
    assert [decided(Random(seed=0), call) for call in reversed(calls)] == drawn[::-1]
    assert [decided(Random(), replace(call, messages=())) for call in calls] == drawn
    assert [decided(Random(seed=1), call) for call in calls] != drawn
    assert min(Counter(drawn).values()) > 25


def test_random_draws_by_its_mix() -> None:
    calls = [call_of(1, session=f"s{number}") for number in range(400)]
    drawn = Counter(decided(Random(mix="3:1:0:0"), call) for call in calls)
    assert set(drawn) == {Tier.LOW, Tier.MID}
    assert 2 < drawn[Tier.LOW] / drawn[Tier.MID] < 4.5


@pytest.mark.parametrize("mix", ["", "1:1:1", "1:1:1:1:1", "a:1:1:1", "-1:1:1:1", "0:0:0:0", "inf:1:1:1", "nan:1:1:1"])
def test_a_mix_that_is_none_is_refused(mix: str) -> None:
    with pytest.raises(ValueError, match="mix"):
        Random(mix=mix)


def test_round_robin_takes_turns_within_each_session() -> None:
    router = RoundRobin(every=2)
    for session in ("a", "b"):
        router.start(session)
    picked = {session: [decided(router, call_of(1, session=session)) for _ in range(9)] for session in ("a", "b")}
    assert picked["a"] == picked["b"] == [0, 0, 1, 1, 2, 2, 3, 3, 0]
    router.end("a")
    router.start("a")
    assert decided(router, call_of(1, session="a")) == Tier.LOW
    with pytest.raises(ValueError, match="every must be 1 or more"):
        RoundRobin(every=0)


def test_round_robin_takes_the_tiers_that_the_pool_has() -> None:
    pool = [a_candidate("b", Tier.HIGH), a_candidate("a", Tier.LOW), a_candidate("c", Tier.HIGH, tier_default=False)]
    router = RoundRobin()
    router.start("session")
    picked = [validate_decision(router.route(a_call(pool)), pool).candidate.id for _ in range(4)]
    assert picked == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("messages", "last", "tier"),
    [
        (3, "user", 0),
        (4, "user", 1),
        (7, "user", 1),
        (8, "user", 3),
        (1, "tool", 0),
        (2, "tool", 1),
        (6, "function", 3),
    ],
)
def test_the_depth_rule_counts_messages_and_adds_for_tools(messages: int, last: str, tier: int) -> None:
    assert decided(DepthRule(mid=4, high=8, tool_bonus=2), call_of(messages, last)) == tier


def test_the_depth_rules_score_grows_with_depth_and_stays_a_score() -> None:
    scores = [DepthRule().route(call_of(depth)).score or 0 for depth in range(1, 60)]
    assert scores == sorted(scores)
    assert (scores[0] < 0.1, scores[-1]) == (True, 1)
    assert DepthRule(mid=0, high=0).route(call_of(1)) == Decision(Tier.HIGH, 1.0, "depth 1")
    with pytest.raises(ValueError, match="0 <= mid <= high"):
        DepthRule(mid=9, high=8)


def test_sticky_stays_where_the_cache_is_warm_as_long_as_that_is_cheaper() -> None:
    cold = a_call(tokens=20_000, mean_output_tokens=10)
    warm_mid = a_call(tokens=20_000, read={"mid": 20_000}, mean_output_tokens=10)
    assert decided(Sticky(at_least="mid"), cold) == Tier.MID_HIGH
    assert decided(Sticky(at_least="mid"), warm_mid) == Tier.MID
    warm = a_call(tokens=20_000, read={"high": 20_000}, mean_output_tokens=10)
    assert decided(Sticky(at_least="high"), warm) == Tier.HIGH
    warm_low = a_call(tokens=2_000, read={"low": 2_000}, mean_output_tokens=1000)
    assert decided(Sticky(), warm_low) == Tier.LOW
    assert "reads 2000 tokens" in (Sticky().route(warm_low).rationale or "")
    with pytest.raises(ValueError, match="unknown tier 'highest'"):
        Sticky(at_least="highest")


def test_sticky_trusts_one_tier_more_after_each_command_that_failed() -> None:
    def seen(*codes: int) -> Call:
        observed = [{"role": "tool", "content": f"<returncode>{code}</returncode>\n<output>\n"} for code in codes]
        return replace(a_call(tokens=2_000), messages=({"role": "user", "content": "Fix it."}, *observed))

    assert decided(Sticky(), seen(0, 0)) == Tier.LOW
    assert decided(Sticky(), seen(0, 1)) == decided(Sticky(), seen(1, 0, 0)) == Tier.MID
    assert decided(Sticky(), seen(-1, 127)) == Tier.MID_HIGH
    assert decided(Sticky(), seen(*[1] * 9)) == Tier.HIGH
    assert decided(Sticky(climbs=False), seen(*[1] * 9)) == Tier.LOW
    assert decided(Sticky(at_least="mid_high"), seen(1)) == Tier.HIGH
