"""The statistics of cases that are run again: what is claimed beside what came of it once more.

Of an honest submission, claim and rerun of a case are two draws of the same: as likely one way round as the other. Both
tests are exact under that, so an honest submission fails with the chance that the level says, whatever its noise is. A
claim that was chosen as the best of many runs is not such a draw, and rightly fails more often.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from twinbench.display.wording import format_count
from twinbench.statistics.comparing import sign_test

FALSE_ALARM = 0.008
"""The chance that an honest submission fails, over all tests of all its runs together: within the 1 % that is
promised."""
OVERSTATED = 0.15
"""The overstatement for which the power is reported beforehand: a claim of 15 points more resolved cases."""
ASSUMED_NOISE = 0.15
"""The share of cases on which two honest runs are assumed to disagree, where a run has no trials to measure it by."""

_ENUMERATED = 14
_DRAWS = 20_000


@dataclass(frozen=True)
class RepeatedCase:
    """A case as it was claimed and as it came out again."""

    case: str
    claimed_resolved: bool
    resolved: bool
    claimed_usd: float
    cost_usd: float


def level_of(tests: int) -> float:
    """Return the level of each of so many tests, so that all together keep ``FALSE_ALARM``."""
    return FALSE_ALARM / max(tests, 1)


def p_of_resolved(cases: Sequence[RepeatedCase]) -> float:
    """One-sided p-value of claims that resolve more than the rerun does: the sign test of the cases that differ.

    1 where the rerun resolves as many.
    """
    lost = sum(each.claimed_resolved and not each.resolved for each in cases)
    won = sum(each.resolved and not each.claimed_resolved for each in cases)
    return sign_test(lost, won) / 2 if lost > won else 1.0


def p_of_costs(cases: Sequence[RepeatedCase]) -> float:
    """One-sided p-value of claims that cost less than the rerun does: the randomisation test of the ratios' logarithms.

    With up to 14 cases all swaps are counted, else 20,000 are drawn from a fixed seed. Cases that cost nothing on a
    side are left out.
    """
    ratios = [
        math.log(each.cost_usd / each.claimed_usd) for each in cases if each.cost_usd > 0 and each.claimed_usd > 0
    ]
    if not ratios:
        return 1.0
    found = sum(ratios) - 1e-9
    if len(ratios) <= _ENUMERATED:
        swaps = [
            sum(sign * ratio for sign, ratio in zip(signs, ratios, strict=True))
            for signs in product((1, -1), repeat=len(ratios))
        ]
        return sum(each >= found for each in swaps) / len(swaps)
    generator = random.Random(0)  # noqa: S311 - a test statistic, no secret
    as_large = sum(
        sum(ratio if generator.random() < 0.5 else -ratio for ratio in ratios) >= found for _ in range(_DRAWS)
    )
    return (1 + as_large) / (1 + _DRAWS)


def rerun_power(cases: int, level: float, noise: float = ASSUMED_NOISE, overstated: float = OVERSTATED) -> float:
    """Return the chance that the test of resolved cases finds an overstated claim.

    Args:
        cases: how many are run again.
        level: the level of the one-sided test.
        noise: the share of cases on which two honest runs disagree.
        overstated: the share of cases by which the claim overstates.
    """
    from twinbench.statistics.planning import sign_test_power

    return sign_test_power(cases, min(1.0, noise + overstated), overstated, level=1 - 2 * level)


def describe_power(cases: int, level: float, noise: float | None) -> str:
    """Return the power in words, for a maintainer who is about to spend money."""
    assumed = ASSUMED_NOISE if noise is None else noise
    of = "as is assumed" if noise is None else "as its trials do"
    power = rerun_power(cases, level, assumed)
    return (
        f"{format_count(cases, 'case')} again: a claim of {OVERSTATED:.0%} more resolved cases is found with a chance "
        f"of {power:.0%}, where two honest runs disagree on {assumed:.0%} of cases, {of}; an honest claim fails with "
        "less than 1%"
    )
