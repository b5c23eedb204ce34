"""What a call tells and what answers are taken."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twinbench.calls import TIERS, a_call, a_candidate
from twinbench.routing.router import CacheView, Candidate, Choice, Decision, DecisionError, Router, checked
from twinbench.routing.tiers import Tier
from twinbench.routing.usage import Prices, Usage

LOW, MID, MID_HIGH, HIGH = TIERS
SMALL = a_candidate("small", Tier.LOW)
SPARE = a_candidate("spare", Tier.HIGH, tier_default=False)
LARGE = a_candidate("large", Tier.HIGH)
POOL = (SMALL, SPARE, LARGE)

# --- Answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        (MID, Choice(MID)),
        (Tier.HIGH, Choice(HIGH)),
        ("mid_high", Choice(MID_HIGH)),
        (Decision("low"), Choice(LOW)),
        (Decision(Tier.MID, score=0, rationale=""), Choice(MID, 0.0, "")),
        (Decision(HIGH, score=1, rationale="hard"), Choice(HIGH, 1.0, "hard")),
    ],
)
def test_a_candidate_a_tier_a_name_and_a_decision_are_answers(answer: object, choice: Choice) -> None:
    assert checked(answer, TIERS) == choice


class Scalar:
    """A number of a library that Python knows nothing of, as numpy's and torch's are."""

    def __init__(self, value: float, dtype: str = "float32") -> None:
        self.value, self.dtype = value, dtype

    def __float__(self) -> float:
        if self.value > 1e300:
            raise TypeError("only one number can be converted")
        return self.value


@pytest.mark.parametrize("score", [Fraction(1, 4), Decimal("0.25"), Scalar(0.25), Scalar(0.25, "torch.float16")])
def test_a_real_number_of_any_kind_is_a_score(score: Any) -> None:
    choice = checked(Decision("low", score=score), TIERS)
    assert choice.score == 0.25
    assert type(choice.score) is float


@pytest.mark.parametrize(
    "score",
    [
        Scalar(1.5),
        Scalar(float("nan")),
        Scalar(1, "bool"),
        Scalar(1, "torch.bool"),
        Scalar(0.5, "complex64"),
        Scalar(1e301),
        10**400,
        1j,
    ],
)
def test_no_number_from_0_to_1_is_no_score_whatever_its_kind(score: Any) -> None:
    with pytest.raises(DecisionError, match="score must be a number from 0 to 1 or None"):
        checked(Decision("low", score=score), TIERS)


@pytest.mark.parametrize(
    ("answer", "picked"),
    [("spare", SPARE), ("large", LARGE), ("high", LARGE), (Tier.HIGH, LARGE), ("low", SMALL), (SPARE, SPARE)],
)
def test_a_tier_means_its_default_candidate_and_an_id_comes_before_a_tiers_name(
    answer: object, picked: Candidate
) -> None:
    assert checked(answer, POOL).candidate is picked
    misleading = (a_candidate("high", Tier.LOW), LARGE)
    assert checked("high", misleading).candidate is misleading[0]


def test_an_equal_candidate_that_was_made_elsewhere_is_taken() -> None:
    assert checked(replace(MID), TIERS).candidate == MID


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "route returned None, of type NoneType; it must return a Decision, a Candidate, a Tier or a str"),
        (1, "route returned 1, of type int;"),
        (True, "route returned True, of type bool;"),
        (["low"], "route returned ['low'], of type list;"),
        ("x" * 200, f"'{'x' * 76}… is neither a candidate (small, spare, large) nor a tier"),
        ("", "'' is neither a candidate (small, spare, large) nor a tier"),
        ("LOW", "'LOW' is neither a candidate"),
        ("mid", "the pool has no candidate of tier mid"),
        (Tier.MID_HIGH, "the pool has no candidate of tier mid_high"),
        (MID, "candidate 'mid' is not one of this call's candidates"),
        (replace(LARGE, max_tokens=7), "candidate 'large' is not one of this call's candidates"),
        (Decision(Decision("low")), "route returned Decision(candidate='low', "),  # type: ignore[arg-type]
        (Decision("low", score=-0.1), "score must be a number from 0 to 1 or None, not -0.1"),
        (Decision("low", score=1.01), "score must be a number from 0 to 1 or None, not 1.01"),
        (Decision("low", score=float("nan")), "score must be a number from 0 to 1 or None, not nan"),
        (Decision("low", score=True), "score must be a number from 0 to 1 or None, not True"),
        (Decision("low", score="0.5"), "score must be a number from 0 to 1 or None, not '0.5'"),  # type: ignore[arg-type]
        (Decision("low", rationale=b"why"), "rationale must be a str or None, not b'why'"),  # type: ignore[arg-type]
        (Decision("low", rationale="\ud800"), "rationale must be a str or None, not '\\ud800'"),
    ],
)
def test_any_other_answer_is_refused_in_words_for_its_author(answer: object, said: str) -> None:
    with pytest.raises(DecisionError) as refused:
        checked(answer, POOL)
    assert str(refused.value).startswith(said)


@given(
    st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.dictionaries(st.text(), st.integers()), st.binary())
)
def test_whatever_is_answered_is_a_choice_or_a_decision_error(answer: object) -> None:
    with suppress(DecisionError):
        assert checked(answer, TIERS).candidate in TIERS


# --- Calls ----------------------------------------------------------------------------------------------------------


def test_the_prompt_is_read_where_it_is_cached_and_the_rest_is_written() -> None:
    call = a_call(tokens=100, read={"mid": 60, "high": 130})
    assert call.prompt_usage(LOW) == Usage(cache_write=100)
    assert call.prompt_usage(MID) == Usage(cache_read=60, cache_write=40)
    assert call.prompt_usage(HIGH) == Usage(cache_read=130)  # the earlier prompt had more tokens: nothing is written


def test_a_candidate_that_bills_no_cache_writes_takes_the_rest_as_input() -> None:
    plain = a_candidate("plain", Tier.LOW, writes_cache=False)
    assert a_call([plain], tokens=100, read={"plain": 60}).prompt_usage(plain) == Usage(cache_read=60, input=40)


def test_the_expected_cost_is_the_prompt_and_the_sessions_mean_output() -> None:
    call = a_call(tokens=1000, read={"high": 400})
    assert call.cost(HIGH) == pytest.approx((400 * 0.5 + 600 * 6.25 + 500 * 25) / 1e6)
    assert replace(call, mean_output_tokens=20.5).cost(LOW) == pytest.approx((1000 * 0.26 + 20.5 * 0.5) / 1e6)


@pytest.mark.parametrize(("tokens", "fits"), [(68, True), (69, False)])
def test_a_prompt_fits_where_it_and_the_output_stay_within_the_context(tokens: int, *, fits: bool) -> None:
    narrow = a_candidate("narrow", Tier.LOW, context_window=100, max_tokens=32)
    assert a_call([narrow], tokens=tokens).fits(narrow) is fits


def test_a_tier_without_a_context_window_takes_any_prompt() -> None:
    assert all(a_call(tokens=10**9).fits(candidate) for candidate in TIERS)


def test_candidates_of_a_tier_come_with_its_default_first() -> None:
    call = a_call(POOL)
    assert call.of_tier(Tier.HIGH) == (LARGE, SPARE)
    assert call.of_tier(Tier.LOW) == (SMALL,)
    assert call.of_tier(Tier.MID) == ()


def test_the_cheapest_is_of_the_tiers_asked_for_fits_and_counts_what_is_warm() -> None:
    cold = a_call(tokens=1000)
    assert cold.cheapest() is LOW
    assert cold.cheapest(at_least=Tier.MID) is MID
    assert replace(cold, mean_output_tokens=1).cheapest() is MID_HIGH  # its cache_write is the lowest price of all
    assert a_call(tokens=9000, read={"high": 9000}).cheapest(at_least=Tier.HIGH) is HIGH
    narrow = a_candidate("narrow", Tier.LOW, output="0", context_window=10)
    assert a_call([narrow, LARGE], tokens=1000).cheapest() is LARGE
    with pytest.raises(LookupError, match="no candidate of tier low or above fits"):
        a_call([narrow], tokens=1000).cheapest()


def test_equal_costs_are_settled_by_tier_and_then_by_name() -> None:
    same = [a_candidate("b", Tier.HIGH), a_candidate("a", Tier.HIGH), a_candidate("c", Tier.MID)]
    assert a_call(same).cheapest().id == "c"
    assert a_call(same[:2]).cheapest().id == "a"


def test_the_cache_is_looked_up_by_candidate_or_by_id() -> None:
    cache = a_call(read={"mid": 7}).cache
    assert cache[MID] == cache["mid"] == CacheView(7, exact=True)
    assert list(cache) == ["low", "mid", "mid_high", "high"]
    assert len(cache) == 4
    with pytest.raises(KeyError):
        cache["gpt"]


def test_a_call_cannot_be_changed() -> None:
    call = a_call()
    for change in ("step_index", "session", "candidates"):
        with pytest.raises(FrozenInstanceError):
            setattr(call, change, None)
    with pytest.raises(TypeError):
        call.cache["low"] = CacheView(1, exact=True)  # type: ignore[index]


def test_a_router_is_whatever_has_route() -> None:
    class Mine:
        def route(self, call: Any) -> str:
            return "low"

    assert isinstance(Mine(), Router)
    assert not isinstance(object(), Router)


# --- Money ----------------------------------------------------------------------------------------------------------


def test_costs_are_exact_sums() -> None:
    prices = Prices(*map(Decimal, ("0.26", "0.13", "0.08333", "0.5")))
    usage = Usage(input=1, cache_read=2, cache_write=3, output=4)
    assert usage.cost_usd(prices) == Decimal("0.00000276999")
    assert usage.cost_fusd(prices) == 2_769_990_000
    assert usage + Usage(output=1) == Usage(input=1, cache_read=2, cache_write=3, output=5)


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4), st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_two_calls_cost_what_their_sum_costs(one: list[int], other: list[int]) -> None:
    for candidate in TIERS:
        prices = candidate.prices
        together = Usage(*one) + Usage(*other)
        assert together.cost_fusd(prices) == Usage(*one).cost_fusd(prices) + Usage(*other).cost_fusd(prices)
