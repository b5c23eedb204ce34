"""Cases that are run again: honest claims hold, overstated ones fall with the chance that was told."""

from __future__ import annotations

import random

import pytest

from twinbench.submissions.repetition import (
    FALSE_ALARM,
    RepeatedCase,
    describe_power,
    level_of,
    p_of_costs,
    p_of_resolved,
    rerun_power,
)

TIMES = 400


def drawn(
    seed: int, cases: int, *, overstated: float = 0.0, cheaper: float = 1.0, spread: float = 0.6
) -> list[RepeatedCase]:
    """Cases of a router and its claim: two draws of each, one of them polished."""
    generator = random.Random(seed)  # noqa: S311 - not for secrets
    found = []
    for number in range(cases):
        chance = generator.choice((0.02, 0.3, 0.7, 0.95))
        claimed, again = (generator.random() < chance for _ in range(2))
        typical = generator.lognormvariate(-2, 1)
        usd, cost = (typical * generator.lognormvariate(0, spread) for _ in range(2))
        if not claimed and generator.random() < overstated:
            claimed = True
        found.append(RepeatedCase(str(number), claimed, again, usd / cheaper, cost))
    return found


@pytest.mark.parametrize("cases", [5, 20, 60])
def test_an_honest_claim_fails_in_less_than_one_percent(cases: int) -> None:
    level = level_of(2)
    failed = 0
    for seed in range(TIMES):
        honest = drawn(seed, cases)
        failed += p_of_resolved(honest) <= level or (cases <= 20 and p_of_costs(honest[:10]) <= level)
    # A binomial with the promised 0.8 % has more than 9 of 400 in one of 500.
    assert failed <= 9
    assert FALSE_ALARM < 0.01


def test_an_overstated_claim_is_found_with_the_chance_that_is_told() -> None:
    level = level_of(2)
    found = []
    noise = []
    for seed in range(TIMES):
        cases = drawn(seed, 200, overstated=0.3)  # of the half that is not resolved: 15 points of all
        found.append(p_of_resolved(cases) <= level)
        honest = drawn(seed, 200)
        noise.append(sum(each.claimed_resolved != each.resolved for each in honest) / 200)
    power = rerun_power(200, level, sum(noise) / len(noise))
    assert abs(sum(found) / TIMES - power) < 0.12
    assert power > 0.5


def test_costs_that_are_claimed_too_low_are_found() -> None:
    level = level_of(2)
    assert p_of_costs(drawn(1, 14, cheaper=2.0, spread=0.2)) <= level
    assert p_of_costs(drawn(1, 100, cheaper=1.5, spread=0.4)) <= level
    assert p_of_costs(drawn(1, 100, cheaper=0.5)) > 0.9
    assert p_of_costs([]) == 1.0
    assert p_of_costs([RepeatedCase("a", True, True, 0.0, 1.0)]) == 1.0


def test_the_exact_values_are_those_of_the_sign_test() -> None:
    lost = [RepeatedCase(str(number), True, False, 1, 1) for number in range(8)]
    assert p_of_resolved(lost) == 2**-8
    assert p_of_resolved(lost[:0]) == 1.0
    assert p_of_resolved([RepeatedCase("a", False, True, 1, 1)] * 5) == 1.0


def test_power_is_told_in_words() -> None:
    told = describe_power(200, level_of(2), None)
    assert told.startswith("200 cases again: a claim of 15% more resolved cases is found with a chance of 89%")
    assert "as is assumed" in told
    assert "as its trials do" in describe_power(200, level_of(2), 0.3)
    assert rerun_power(200, level_of(4)) < rerun_power(200, level_of(2))
