"""The cost of the calls of a run that was made elsewhere: computed at a pool's locked prices, and as the gateway
reported it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from twinbench.calls.billing import BillError, read_usage, reported_cost_usd, served_by, served_model
from twinbench.calls.mini_swe_agent import ModelCall, Trajectory
from twinbench.display.wording import format_count
from twinbench.routing.usage import Usage
from twinbench.storage.manifests import LiveCandidate, LiveManifest


@dataclass(frozen=True)
class CallCost:
    """The cost of one call of a run: computed here, and as the gateway reported it."""

    case: str
    call: int
    """Number of the call, from 1."""
    served_model: str | None
    served_by: str | None
    candidate: str | None
    """The candidate whose locked prices apply; None if the pool has no prices for this model."""
    usage: Usage | None
    cost_usd: Decimal | None
    """None if the usage or the price is unknown; an unknown cost is never zero."""
    reported_cost_usd: Decimal | None
    problem: str | None = None
    """Why no cost could be computed."""

    @property
    def difference_usd(self) -> Decimal | None:
        """The computed minus the reported cost; None if one of them is unknown."""
        if self.cost_usd is None or self.reported_cost_usd is None:
            return None
        return self.cost_usd - self.reported_cost_usd

    def to_json(self) -> dict[str, Any]:
        """Return the call as a JSON object."""
        return {
            "case": self.case,
            "call": self.call,
            "served_model": self.served_model,
            "served_by": self.served_by,
            "candidate": self.candidate,
            "usage": None if self.usage is None else self.usage.to_json(),
            **sums_to_json(self.cost_usd, self.reported_cost_usd, self.difference_usd),
            "problem": self.problem,
        }


def sum_costs(calls: Sequence[CallCost]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return the sums of the computed costs, of the reported costs and of their differences; None for a sum with an
    unknown part.
    """
    costs = [call.cost_usd for call in calls]
    reported = [call.reported_cost_usd for call in calls]
    computed_usd, reported_usd = _sum(costs), _sum(reported)
    difference = None if computed_usd is None or reported_usd is None else computed_usd - reported_usd
    return computed_usd, reported_usd, difference


def call_costs(trajectory: Trajectory, pool: LiveManifest) -> tuple[CallCost, ...]:
    """Return the cost of each call of a run at the pool's locked prices, beside the cost that the gateway reported."""
    return tuple(_call_cost(trajectory.instance_id, call, pool) for call in trajectory.calls)


def _call_cost(case: str, call: ModelCall, pool: LiveManifest) -> CallCost:
    body = call.response
    if body is None:
        return CallCost(case, call.number, None, None, None, None, None, None, "the file does not contain its response")
    model = served_model(body)
    candidate, problem = _candidate(pool, model)
    usage: Usage | None = None
    try:
        if candidate is None:
            usage = read_usage(body)
        else:  # classified in the same way as in a recording
            priced = candidate.prices.cache_write_1h is not None
            usage = read_usage(body, max_tokens=candidate.max_tokens, one_hour_writes=priced)
    except BillError as error:
        problem = f"{call.field}: {error}"
    cost = None if usage is None or candidate is None else usage.cost_usd(candidate.prices.prices())
    return CallCost(
        case,
        call.number,
        model,
        served_by(body),
        None if candidate is None else candidate.id,
        usage,
        cost,
        reported_cost_usd(body),
        problem,
    )


def _candidate(pool: LiveManifest, model: str | None) -> tuple[LiveCandidate | None, str | None]:
    """Return the candidate that answers under this name, or why there is no locked price."""
    if model is None:
        return None, "the response does not name its model, so there is no locked price"
    found = [candidate for candidate in pool.candidates if model in candidate.served_as]
    if len(found) == 1:
        return found[0], None
    if not found:
        return None, f"no candidate of the pool {pool.name} is served as {model[:80]!r}: no locked price (--pool FILE)"
    ids = ", ".join(candidate.id for candidate in found)
    return (
        None,
        f"{format_count(len(found), 'candidate')} of the pool {pool.name} have the model name {model[:80]!r}: {ids}",
    )


def _sum(values: Sequence[Decimal | None]) -> Decimal | None:
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(values) else None


def sums_to_json(cost: Decimal | None, reported: Decimal | None, difference: Decimal | None) -> dict[str, float | None]:
    """Return the three sums as JSON fields, in USD."""
    named = {"cost_usd": cost, "reported_cost_usd": reported, "difference_usd": difference}
    return {name: None if usd is None else float(usd) for name, usd in named.items()}
