"""What a response costs: its usage in four buckets, the worst case of a request, the bill of a case.

Usage is read from the raw body: libraries in between make zeros of what is missing (dynamic.md, "Spend").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from twinbench.causes import Cause, CausedError
from twinbench.usage import Prices, Usage

_MOST_TOKENS = 10**8
"""No model reads or writes as many in one call."""
_MOST_USD = Decimal(10**6)
_SHOWN = 60

_PROMPT = ("prompt_tokens", "promptTokenCount", "prompt_token_count")
"""The whole prompt: what was read from the cache and written to it included."""
_READ = (
    "prompt_tokens_details.cached_tokens",
    "cache_read_input_tokens",
    "prompt_cache_hit_tokens",
    "cached_content_token_count",
    "cachedContentTokenCount",
)
_WRITE = (
    "prompt_tokens_details.cache_write_tokens",
    "prompt_tokens_details.cache_creation_tokens",
    "cache_creation_input_tokens",
)
_OUTPUT = ("completion_tokens", "output_tokens")
_GEMINI_OUTPUT = (
    ("candidatesTokenCount", "thoughtsTokenCount"),
    ("candidates_token_count", "thoughts_token_count"),
)
"""Answer and thoughts, which Gemini counts apart; each is left out where it is zero."""


class BillError(CausedError):
    """A usage from which no cost follows: missing, no whole numbers, or impossible."""

    cause = Cause.usage


def usage_of(body: Mapping[str, Any], *, max_tokens: int | None = None, one_hour_writes: bool = False) -> Usage:
    """The four buckets of a response, which do not overlap.

    A cache that is not spoken of was not used; nothing else is zero unless the provider says so. What is told under
    several keys has to be the same under each.

    Args:
        body: the response's JSON as it came. Its usage may have the shape of OpenAI, Anthropic, DeepSeek or Gemini,
            or several at once.
        max_tokens: of the request: an answer that is longer cannot be true. None: the request is not known.
        one_hour_writes: whether the candidate's prices have one for cache writes that last an hour
            (``LiveCandidate.prices.cache_write_1h is not None``). Where they have none, such writes are refused.

    Raises:
        BillError: the usage is missing, has what is no count, or cannot be true.
    """
    name, usage = _usage_object(body)
    counts = _Counts(name, usage)
    read = counts.agreed(_READ)
    write = counts.agreed(_WRITE)
    cached = (read or 0) + (write or 0)
    prompt = counts.agreed(_PROMPT)
    miss = counts.of("prompt_cache_miss_tokens")
    uncached = counts.of("input_tokens")  # Anthropic's own, without what was read and written

    if prompt is None and miss is not None and read is not None:
        prompt = read + miss
    if prompt is None and uncached is not None:
        prompt = uncached + cached
    if prompt is None:
        raise BillError(f"{name} does not say how long the prompt was: no {_alternatives((*_PROMPT, 'input_tokens'))}")
    if cached > prompt:
        raise BillError(f"{name}: {read or 0} tokens read and {write or 0} written are more than a prompt of {prompt}")
    if miss is not None and (read or 0) + miss != prompt:
        raise BillError(f"{name}.prompt_cache_miss_tokens: {miss} missed and {read or 0} hit are no prompt of {prompt}")
    if uncached is not None and uncached not in (prompt, prompt - cached):
        # Beside prompt_tokens some gateways repeat the whole prompt under this key.
        raise BillError(f"{name}.input_tokens: {uncached} where the prompt has {prompt}, {cached} of them cached")
    if not one_hour_writes and counts.of("cache_creation.ephemeral_1h_input_tokens"):
        raise BillError(f"{name}.cache_creation: cache writes that last an hour, which the pool has no price for")
    output = _output(counts)
    if max_tokens is not None and output > max_tokens:
        raise BillError(f"{name}: an answer of {output} tokens where max_tokens allows {max_tokens}")
    return Usage(input=prompt - cached, cache_read=read or 0, cache_write=write or 0, output=output)


def reported_cost_usd(body: Mapping[str, Any]) -> Decimal | None:
    """What the provider says that the call cost (``usage.cost``); None where it says nothing that is an amount."""
    usage = body.get("usage")
    cost = usage.get("cost") if isinstance(usage, Mapping) else None
    if isinstance(cost, bool) or not isinstance(cost, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(cost))
    except (InvalidOperation, ValueError):
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD else None


def served_model(body: Mapping[str, Any]) -> str | None:
    """The name under which a model answered."""
    return _text(body.get("model"))


def served_by(body: Mapping[str, Any]) -> str | None:
    """The host that answered, where a gateway names it (OpenRouter's ``provider``)."""
    return _text(body.get("provider"))


def worst_case_usd(prompt_tokens: int, prices: Prices, max_tokens: int) -> Decimal:
    """The most that an attempt can cost: what is reserved for it.

    The prompt counts as 1.3 times as long, since it was counted by another tokenizer than the provider's, and as
    written to a cold cache where that is dearer than plain input; the answer as long as it may become. A part of a
    femtodollar counts as a whole one.

    Args:
        prompt_tokens: as counted here, tools included.
        prices: of the candidate.
        max_tokens: of the answer.
    """
    if prompt_tokens < 0 or max_tokens < 0:
        raise ValueError(f"no counts of tokens: {prompt_tokens}, {max_tokens}")
    into, _, written, out = prices.fusd_per_token()
    prompt_fusd = -(-13 * prompt_tokens * max(into, written) // 10)
    return Decimal(prompt_fusd + max_tokens * out).scaleb(-15)


def bill_usd(cost_usd: Decimal, resolved: bool, penalty_usd: Decimal) -> Decimal:
    """The bill of a case that has a verdict: its cost, and the penalty where it is unresolved (dynamic.md, "Bill")."""
    return cost_usd if resolved else cost_usd + penalty_usd


class _Counts:
    """Numbers of tokens in a usage object, by key; ``a.b`` is ``b`` inside the object ``a``."""

    def __init__(self, name: str, usage: Mapping[str, Any]) -> None:
        self._name = name
        self._usage = usage

    def of(self, key: str) -> int | None:
        """The count under a key; None where it is not there or null."""
        value: Any = self._usage
        path = self._name
        for part in key.split("."):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise BillError(f"{path} is no object: {_shown(value)}")
            value = value.get(part)
            path += f".{part}"
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
            raise BillError(f"{path} is no count of tokens: {_shown(value)}")
        return value

    def agreed(self, keys: Iterable[str]) -> int | None:
        """The count that stands under any of these keys; None where it stands under none."""
        found = {key: count for key in keys if (count := self.of(key)) is not None}
        return self.same(found)

    def same(self, found: Mapping[str, int]) -> int | None:
        """The one count that several keys tell."""
        if len(set(found.values())) > 1:
            told = " and ".join(f"{key} = {count}" for key, count in found.items())
            raise BillError(f"{self._name} tells two things of one: {told}")
        return next(iter(found.values()), None)

    @property
    def name(self) -> str:
        """What the usage object is called in the response."""
        return self._name


def _output(counts: _Counts) -> int:
    found = {key: count for key in _OUTPUT if (count := counts.of(key)) is not None}
    for keys in _GEMINI_OUTPUT:
        parts = [count for key in keys if (count := counts.of(key)) is not None]
        if parts:
            found[" + ".join(keys)] = sum(parts)
    output = counts.same(found)
    if output is None:
        missing = _alternatives((*_OUTPUT, _GEMINI_OUTPUT[0][0]))
        raise BillError(f"{counts.name} does not say how long the answer was: no {missing}")
    return output


def _usage_object(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for name in ("usage", "usageMetadata", "usage_metadata"):
        usage = body.get(name)
        if usage is None:
            continue
        if not isinstance(usage, Mapping):
            raise BillError(f"{name} is no object: {_shown(usage)}")
        if not usage:
            raise BillError(f"{name} is empty")
        return name, usage
    raise BillError(f"the response has no usage: {'null' if 'usage' in body else 'missing'}")


def _alternatives(keys: Iterable[str]) -> str:
    return ", ".join(keys)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
