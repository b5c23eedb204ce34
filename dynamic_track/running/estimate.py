"""Estimate a run's cost before it starts: a range, and whether its cap lets all workers work.

Without finished cases the range is for an assumed case, from the cheapest candidate with a warm cache to the most
expensive with a cold one; with finished cases it is derived from their costs.
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
"""Sizes of the assumed case. Five public runs of mini-swe-agent on SWE-bench have 18 to 71 calls, 42 on average."""

_ENOUGH = 3
"""From this many finished cases on, their costs are used instead of the assumed case."""


@dataclass(frozen=True)
class Estimate:
    """What the remaining cases may cost, in USD."""

    cases: int
    least_usd: float
    most_usd: float
    measured_on: int
    """Number of finished cases that the estimate is based on; 0: it is based on an assumed case."""
    call_usd: float
    """The most that a late call of the most expensive candidate may cost, which is reserved for it."""
    workers: int
    starved: int
    """Number of workers for whose calls the cap leaves no room at the same time."""

    def to_json(self) -> dict[str, Any]:
        """The estimate as a JSON object."""
        return asdict(self)


def estimate(
    pool: LiveManifest, cases: int, finished: Sequence[Trial], *, workers: int, run_usd: Decimal | None
) -> Estimate:
    """Estimate what a number of cases may cost.

    Args:
        pool: the pool whose candidates answer.
        cases: the number of cases left to run.
        finished: finished cases of the same run, with or without verdicts.
        workers: cases in parallel.
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
