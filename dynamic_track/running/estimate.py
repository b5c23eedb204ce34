"""What a run may cost before it is begun: a range, and whether its cap leaves its workers room.

Without finished cases the range is of an assumed case, billed at the cheapest candidate with a warm cache and at the
dearest with a cold one; with some, it is of what those cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from statistics import fmean, stdev
from typing import Any

from dynamic_track.running.trial import Trial
from twinbench.calls.billing import worst_case_usd
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate, LiveManifest

CALLS = 40
FIRST_PROMPT_TOKENS = 2_500
LAST_PROMPT_TOKENS = 20_000
OUTPUT_TOKENS = 350
"""An assumed case. Five public runs of mini-swe-agent on SWE-bench have 18 to 71 calls, 42 on average."""

_ENOUGH = 3
"""Finished cases, from which on they say more than the assumption."""


@dataclass(frozen=True)
class Estimate:
    """What the cases that are left may cost, in USD."""

    cases: int
    least_usd: float
    most_usd: float
    measured_on: int
    """Finished cases that it is taken from; 0: an assumed case."""
    call_usd: float
    """The most that one call of the dearest candidate may cost, late in a case: what is reserved for it."""
    workers: int
    starved: int
    """Workers that cannot have a call in flight at once under the cap."""

    def to_json(self) -> dict[str, Any]:
        """The estimate as a JSON object."""
        return asdict(self)


def estimate(
    pool: LiveManifest, cases: int, finished: Sequence[Trial], *, workers: int, run_usd: Decimal | None
) -> Estimate:
    """What a number of cases may cost.

    Args:
        pool: whose candidates answer.
        cases: that are left to run.
        finished: cases of the same run, with a verdict or without.
        workers: cases at once.
        run_usd: what may still be spent; None without a cap.
    """
    limit = float(pool.agent.cost_limit_usd)
    spends = [float(trial.spend_usd) for trial in finished]
    if len(spends) >= _ENOUGH:
        mean = fmean(spends)
        error = 2 * stdev(spends) * math.sqrt(1 / len(spends) + 1 / max(cases, 1))
        least, most = max(0.0, mean - error), mean + error
    else:
        least = min(_assumed_usd(each, warm=True) for each in pool.candidates)
        most = max(_assumed_usd(each, warm=False) for each in pool.candidates)
        spends = []
    call = max(worst_case_usd(LAST_PROMPT_TOKENS, each.prices.prices(), each.max_tokens) for each in pool.candidates)
    room = workers if run_usd is None or call == 0 else min(workers, int(run_usd / call))
    return Estimate(
        cases=cases,
        least_usd=cases * min(least, limit),
        most_usd=cases * min(most, limit),
        measured_on=len(spends),
        call_usd=float(call),
        workers=workers,
        starved=workers - room,
    )


def _assumed_usd(candidate: LiveCandidate, *, warm: bool) -> float:
    prices = candidate.prices.prices()
    total = Decimal(0)
    earlier = 0
    for call in range(CALLS):
        prompt = FIRST_PROMPT_TOKENS + (LAST_PROMPT_TOKENS - FIRST_PROMPT_TOKENS) * call // (CALLS - 1)
        read = earlier if warm else 0
        total += Usage(0, read, prompt - read, OUTPUT_TOKENS).cost_usd(prices)
        earlier = prompt
    return float(total)
