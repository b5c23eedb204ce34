"""Checks whether a gateway offers the models and prices of a pool, before money is spent on runs (dynamic.md,
"Locked").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from twinbench.calls.billing import worst_case_usd
from twinbench.calls.exchange import Request, Response, TransportError
from twinbench.calls.prompts import PromptCounter
from twinbench.calls.response_classification import AttemptResult, classify_response
from twinbench.calls.translation import ConversationMessage, build_request_body
from twinbench.causes import Cause
from twinbench.routing.usage import Usage
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import LiveCandidate, PriceTable
from twinbench.text.tokens import find_tokenizer_set

QUESTION = "Answer with one word: ready?"
MAX_TOKENS = 16
TEMPLATE_TOKENS = 200
"""More tokens than any chat template adds to a question: gpt-oss's adds about 70, most add fewer than 40."""
_MESSAGE = {"role": "user", "content": QUESTION}
_WORKERS = 8

_PRICE_KEYS = {
    "input": ("prompt", "input"),
    "cache_read": ("input_cache_read", "cache_read"),
    "cache_write": ("input_cache_write", "cache_write"),
    "output": ("completion", "output"),
}
"""The keys under which gateways list the price of each kind of token, in USD per token."""
_PRICE_TOLERANCE = Decimal("1e-6")
"""The relative tolerance for listed prices, which are rounded."""


class CheckedGateway(Protocol):
    """The methods of a gateway that are needed here."""

    def fetch(self, request: Request, within_s: float) -> Response:
        """Request one completion, once."""
        ...

    def fetch_models(self, within_s: float) -> Response:
        """Request the list of models."""
        ...


@dataclass(frozen=True)
class CandidateCheck:
    """The result of checking one candidate at a gateway."""

    id: str
    problems: tuple[str, ...]
    """The problems to fix before a run; empty if there are none."""
    listed: bool | None
    """Whether the gateway lists the model; None if the gateway gives no list."""
    listed_usd: Mapping[str, Decimal]
    """The listed price of each kind of token, per million tokens; kinds without a listed price are absent."""
    prices_differ: bool
    """Whether any listed price differs from the locked one."""
    answered: bool
    served_model: str | None
    served_by: str | None
    proposed_served_as: tuple[str, ...] | None
    """The value that ``served_as`` would need for the name under which it answered."""
    usage: Usage | None
    cost_usd: Decimal | None
    """The cost at the locked prices."""
    spent_usd: Decimal
    """The cost; if the usage is unknown and the question may have been billed, the most that it can cost."""
    reported_cost_usd: Decimal | None
    latency_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object; amounts of money are decimal strings."""
        return {
            **asdict(self),
            "problems": list(self.problems),
            "listed_usd": {bucket: str(price) for bucket, price in self.listed_usd.items()},
            "proposed_served_as": None if self.proposed_served_as is None else list(self.proposed_served_as),
            "usage": None if self.usage is None else self.usage.to_json(),
            "cost_usd": None if self.cost_usd is None else decimal_text(self.cost_usd),
            "spent_usd": decimal_text(self.spent_usd),
            "reported_cost_usd": None if self.reported_cost_usd is None else decimal_text(self.reported_cost_usd),
            "latency_s": round(self.latency_s, 3),
        }


@dataclass(frozen=True)
class CostBound:
    """The most that a candidate's question may cost; it is asked once, without retries."""

    prompt_tokens: int
    """Our count, plus ``TEMPLATE_TOKENS``."""
    max_tokens: int
    """The limit of the answer."""
    usd: Decimal
    """The cost at the locked prices of a prompt 1.3 times as long, written to an empty cache, and an answer of the
    largest allowed length."""


def cost_bounds(candidates: Sequence[LiveCandidate]) -> dict[str, CostBound]:
    """Compute the most that each candidate's question may cost, by the candidate's id.

    If a provider bills more than that, this is reported as a problem: the reservations of a run would be too small
    there, too.
    """
    counted = PromptCounter(candidates, find_tokenizer_set(static_manifest())).make_prompt([_MESSAGE], (), 0).tokens
    found = {}
    for each in candidates:
        prompt_tokens, max_tokens = counted[each.id] + TEMPLATE_TOKENS, min(MAX_TOKENS, each.max_tokens)
        usd = worst_case_usd(prompt_tokens, each.prices.prices(), max_tokens)
        found[each.id] = CostBound(prompt_tokens, max_tokens, usd)
    return found


def estimate_usd(candidates: Sequence[LiveCandidate]) -> Decimal:
    """Return the most that asking every candidate its one question may cost, at the locked prices."""
    return sum((bound.usd for bound in cost_bounds(candidates).values()), Decimal(0))


def check_candidates(
    gateway: CheckedGateway,
    candidates: Sequence[LiveCandidate],
    within_s: float,
    progress: Callable[[str, int, int | None], None] = lambda *_: None,
) -> list[CandidateCheck]:
    """Request a gateway's list of models, and ask every candidate for one word, once.

    Args:
        gateway: the gateway.
        candidates: the pool's candidates.
        within_s: the time limit of each question.
        progress: called with the number of candidates that are done.
    """
    listing = _fetch_listing(gateway, within_s)
    most = cost_bounds(candidates)
    found: dict[str, CandidateCheck] = {}
    with ThreadPoolExecutor(_WORKERS) as threads:
        asked = [
            threads.submit(_check_candidate, gateway, each, most[each.id], listing, within_s) for each in candidates
        ]
        for done, future in enumerate(as_completed(asked), 1):
            progress("asking the models", done, len(candidates))
            found[future.result().id] = future.result()
    return [found[each.id] for each in candidates]


def _check_candidate(
    gateway: CheckedGateway,
    candidate: LiveCandidate,
    bound: CostBound,
    listing: Mapping[str, Mapping[str, Any]] | None,
    within_s: float,
) -> CandidateCheck:
    problems: list[str] = []
    listed = None if listing is None else candidate.model in listing
    if listed is False:
        problems.append(f"the gateway's list of models has no {candidate.model}")
    told = _listed_usd((listing or {}).get(candidate.model, {}))
    differences = list(_differences(candidate.prices, told))
    problems += differences
    judged, latency_s = _ask(gateway, candidate, bound, within_s)
    proposed = None
    if judged.served_model is not None and judged.served_model not in candidate.served_as:
        proposed = (*candidate.served_as, judged.served_model)
    if judged.cause is Cause.usage and proposed is not None:
        problems.append(f"it answered as {judged.served_model}")
    if judged.cause is not None:
        problems.append(judged.detail or judged.cause.value)
    answered = judged.cause in (None, Cause.usage) or judged.served_model is not None
    cost_usd = None if judged.usage is None else judged.usage.cost_usd(candidate.prices.prices())
    spent_usd = (bound.usd if judged.billed else Decimal(0)) if cost_usd is None else cost_usd
    if judged.usage is not None and spent_usd > bound.usd:
        problems.append(_overspending(judged.usage, spent_usd, bound))
    return CandidateCheck(
        candidate.id,
        tuple(problems),
        listed,
        told,
        bool(differences),
        answered,
        judged.served_model,
        judged.served_by,
        proposed,
        judged.usage,
        cost_usd,
        spent_usd,
        judged.reported_cost_usd,
        latency_s,
    )


def _overspending(usage: Usage, spent_usd: Decimal, bound: CostBound) -> str:
    return (
        f"the question cost {decimal_text(spent_usd)} USD, but at most {decimal_text(bound.usd)} USD was expected, "
        f"so that the reservations of a run would be too small: it bills {usage.prompt_tokens} tokens for a prompt "
        f"that we count as at most {bound.prompt_tokens}, and {usage.output} for an answer that max_tokens limits "
        f"to {bound.max_tokens}"
    )


def _ask(
    gateway: CheckedGateway, candidate: LiveCandidate, bound: CostBound, within_s: float
) -> tuple[AttemptResult, float]:
    """Return the candidate's answer to the question, which is sent like an agent's first call."""
    candidate = candidate.model_copy(update={"max_tokens": bound.max_tokens})  # as the request has it
    body = build_request_body(candidate, [ConversationMessage(_MESSAGE)], (), {})
    outcome: Response | TransportError
    try:
        outcome = gateway.fetch(Request(body, "pool-check"), within_s)
    except TransportError as error:
        outcome = error
    judged = classify_response(outcome, candidate, switched=False)
    if judged.cause is Cause.quota and judged.retry_after_s is not None:
        judged = replace(judged, detail=f"{judged.detail}; ask again in {judged.retry_after_s:.0f} s")
    return judged, outcome.latency_s


def _fetch_listing(gateway: CheckedGateway, within_s: float) -> dict[str, Mapping[str, Any]] | None:
    """Return the entries of ``/models`` by id; None if the list cannot be read."""
    try:
        answer = gateway.fetch_models(within_s)
        entries = json.loads(answer.body)["data"] if answer.status == 200 else None
    except (TransportError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(entries, list):
        return None
    return {str(entry["id"]): entry for entry in entries if isinstance(entry, Mapping) and "id" in entry}


def _listed_usd(entry: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return a model's prices in a list; a cache price of 0 and a negative price mean that there is none."""
    pricing = entry.get("pricing")
    told: dict[str, Decimal] = {}
    for bucket, keys in _PRICE_KEYS.items():
        for key in keys:
            price = _decimal(pricing.get(key)) if isinstance(pricing, Mapping) else None
            if price is not None and (price > 0 or (price == 0 and not bucket.startswith("cache"))):
                told.setdefault(bucket, price.scaleb(6))
    return told


def _differences(locked: PriceTable, told: Mapping[str, Decimal]) -> Iterator[str]:
    for bucket, price in told.items():
        ours: Decimal = getattr(locked, bucket)
        if abs(price - ours) > _PRICE_TOLERANCE * max(price, ours):
            listed, expected = decimal_text(price), decimal_text(ours)
            yield f"{bucket} costs {listed} USD per million tokens; the locked price is {expected}"


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def decimal_text(amount: Decimal) -> str:
    """Return an amount with all its digits and without trailing zeros."""
    return f"{amount.normalize():f}"
