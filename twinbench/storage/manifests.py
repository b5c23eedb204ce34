"""The content of manifests: tiers and rates of the static track, the live pool, named splits, published banks.

A manifest is a TOML file with a name, a version and a fingerprint (of its content, not of its bytes). It is not valid
if a field is unknown, a price is missing or negative, or a candidate has no price or no tier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint
from twinbench.routing.router import Candidate
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.routing.usage import Prices
from twinbench.storage.locks import locked_fingerprints

_MAX_COUNT = 10**9
"""The largest value of a count: a larger one is a mistake, and does not fit into a column of a bank."""

T = TypeVar("T")
TierLabel = Literal["low", "mid", "mid_high", "high"]
Price = Annotated[Decimal, Field(ge=0, le=10**6, decimal_places=30, allow_inf_nan=False)]
Natural = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Positive = Annotated[int, Field(gt=0, le=_MAX_COUNT)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True
    )  # a command only needs one or two of these models


class PriceTable(_Model):
    """USD per million tokens of each kind of token."""

    input: Price
    cache_read: Price
    cache_write: Price
    output: Price

    def prices(self) -> Prices:
        """Return the same prices as the core's value type."""
        return Prices(self.input, self.cache_read, self.cache_write, self.output)


class LivePriceTable(PriceTable):
    """USD per million tokens of each kind of token, as a provider bills them."""

    cache_write_1h: Price | None = None
    """The price of tokens written to a cache for one hour; without it, a response that counts such tokens is refused.
    """

    def prices(self) -> Prices:
        """Return the same prices as the core's value type."""
        return replace(super().prices(), cache_write_1h=self.cache_write_1h)

    @model_serializer(mode="wrap")
    def _without_missing_prices(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Manifests from before there was this price keep their fingerprints.
        content: dict[str, Any] = serialise(self)
        if self.cache_write_1h is None:
            content.pop("cache_write_1h", None)
        return content


class PerTier(_Model, Generic[T]):
    """One value for each tier; none may be missing."""

    low: T
    mid: T
    mid_high: T
    high: T

    def __getitem__(self, tier: Tier) -> T:
        value: T = getattr(self, tier.label)
        return value


class TokenizerFile(_Model):
    """The location of a tokenizer's file: in an installed package (checked by sha256), or on the Hugging Face hub."""

    format: Literal["tokenizers", "tiktoken"]
    path: str
    package: str | None = None
    hub: str | None = None
    revision: str = "main"
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _check_location(self) -> Self:
        if (self.package is None) == (self.hub is None):
            raise ValueError("name either a package or a hub repository")
        if self.package is not None and self.sha256 is None:
            raise ValueError("a packaged tokenizer file needs its sha256")
        return self


class _Manifest(_Model):
    name: str
    version: Annotated[int, Field(ge=0, le=_MAX_COUNT)]
    dated: date
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the manifest's content."""
        return fingerprint(_normalise(self.model_dump(mode="python")))


class StaticManifest(_Manifest):
    """The numbers of the static track's rules: rates, cache TTL, token constants, tokenizer sets (static.md)."""

    kind: Literal["static"]
    rules: Literal["released-v1"]
    cache_ttl_steps: Natural
    fallback_output_tokens: Natural
    tokens_per_message: Natural
    tokens_priming: Natural
    rates: PerTier[PriceTable]
    models: PerTier[tuple[str, ...]]
    aliases: Mapping[str, str]
    tokenizers: Mapping[str, TokenizerFile]
    tokenizer_sets: Mapping[str, PerTier[str]]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for set_name, names in self.tokenizer_sets.items():
            for tier in Tier:
                if names[tier] not in self.tokenizers:
                    raise ValueError(f"tokenizer_sets.{set_name}.{tier.label}: there is no tokenizer {names[tier]!r}")
        known = {model for tier in Tier for model in self.models[tier]}
        for alias, model in self.aliases.items():
            if model not in known:
                raise ValueError(f"aliases.{alias}: no tier has a model {model!r}")
        return self

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the four tiers as the candidates of the static track, at their accounting rates."""
        return tuple(
            Candidate(
                id=tier.label,
                model=tier.label,
                tier=tier,
                prices=self.rates[tier].prices(),
                tier_default=True,
                writes_cache=True,
            )
            for tier in Tier
        )


class AgentLimits(_Model):
    """The limits of the agent scaffold in one case (dynamic.md, "One case")."""

    scaffold: str
    step_limit: Positive
    cost_limit_usd: Annotated[Price, Field(gt=0)]
    command_timeout_seconds: Positive


class LiveCandidate(_Model):
    """One model, with its parameters and host, that a live router may choose."""

    id: str
    model: str
    tier: TierLabel
    tier_default: bool
    context_window: Positive
    max_output: Positive
    max_tokens: Positive
    prices: LivePriceTable
    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    cache_control: Literal["ephemeral"] | None = None
    served_as: Annotated[tuple[str, ...], Field(min_length=1)]
    parameters: Mapping[str, str | int | FiniteFloat | bool] = {}
    sources: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _check_candidate(self) -> Self:
        if self.max_tokens > min(self.max_output, self.context_window):
            raise ValueError("max_tokens is larger than max_output or the context window")
        unknown = set(self.sources) - set(LiveCandidate.model_fields)
        if unknown:
            raise ValueError(f"sources names fields that do not exist: {', '.join(sorted(unknown))}")
        return self

    def to_candidate(self) -> Candidate:
        """Return the part of it that a router sees."""
        return Candidate(
            id=self.id,
            model=self.model,
            tier=Tier.from_label(self.tier),
            prices=self.prices.prices(),
            tier_default=self.tier_default,
            writes_cache=self.cache_control is not None,
            context_window=self.context_window,
            max_tokens=self.max_tokens,
            parameters=dict(self.parameters),
        )


class LiveManifest(_Manifest):
    """The live track's pool: candidates with prices, cache TTL, penalty, agent limits (dynamic.md)."""

    kind: Literal["live"]
    rules: Literal["released-v1"]
    gateway: Literal["openai-compatible"]
    wallclock_ttl_seconds: Positive
    unresolved_penalty_usd: Price
    agent: AgentLimits
    candidates: Annotated[tuple[LiveCandidate, ...], Field(min_length=1)]

    @property
    def tiers(self) -> list[str]:
        """The tiers of its candidates, each once, in the order of the candidates."""
        return list(dict.fromkeys(candidate.tier for candidate in self.candidates))

    @property
    def costs_nothing(self) -> bool:
        """Whether every price is zero."""
        return not any(any(candidate.prices.model_dump().values()) for candidate in self.candidates)

    @property
    def division(self) -> Literal["locked", "open"]:
        """Whether its fingerprint is that of a released pool; scores of different pools must not be in one table."""
        return "locked" if self.fingerprint in locked_fingerprints().values() else "open"

    @property
    def division_notes(self) -> tuple[str, ...]:
        """The notes about its pool for a table of scores; empty for a released pool."""
        note = f"open division: pool {self.name} is not locked; only compare scores with pool {self.fingerprint[:12]}"
        return () if self.division == "locked" else (note,)

    @model_validator(mode="after")
    def _check_candidates(self) -> Self:
        ids = [candidate.id for candidate in self.candidates]
        if repeated := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"candidate ids occur twice: {', '.join(sorted(repeated))}")
        for label in TIER_LABELS:
            of_tier = [candidate for candidate in self.candidates if candidate.tier == label]
            if of_tier and sum(candidate.tier_default for candidate in of_tier) != 1:
                raise ValueError(f"tier {label} needs exactly one candidate with tier_default = true")
        return self


class NamedSplit(_Model):
    """A named set of task instances; without a list, the whole data set."""

    name: str
    dataset: str
    count: Positive
    instances: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if self.instances is not None and len(set(self.instances)) != self.count:
            raise ValueError(f"count is {self.count}, but the list has {len(set(self.instances))} different instances")
        return self


class SplitsManifest(_Manifest):
    """Named sets of SWE-bench Verified instances."""

    kind: Literal["splits"]
    splits: tuple[NamedSplit, ...]

    def instances(self, name: str) -> frozenset[str]:
        """Return the instance ids of a split that lists them.

        Raises:
            UsageError: there is no such split, or it has no list.
        """
        for split in self.splits:
            if split.name == name and split.instances is not None:
                return frozenset(split.instances)
        raise UsageError(f"{self.name} has no split {name!r} with a list of instances")


class PublishedBank(_Model):
    """A bank on the Hugging Face hub, identified by its file's SHA-256, with its published counts."""

    name: str
    hub: str
    """The name of the data set on the hub."""
    revision: str = "main"
    file: str
    sha256: Sha256
    rows: Positive
    trajectories: Positive
    labels: Mapping[str, tuple[int, int, int, int]]
    """The number of rows with each label (low to high), by workload."""

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if (labels := sum(map(sum, self.labels.values()))) != self.rows:
            raise ValueError(f"rows is {self.rows}, but there are {labels} labels")
        return self


class BanksManifest(_Manifest):
    """Banks that can be downloaded."""

    kind: Literal["banks"]
    banks: tuple[PublishedBank, ...]


AnyManifest = StaticManifest | LiveManifest | SplitsManifest | BanksManifest
KINDS: Mapping[str, type[AnyManifest]] = {
    "static": StaticManifest,
    "live": LiveManifest,
    "splits": SplitsManifest,
    "banks": BanksManifest,
}
"""The model of each kind of manifest."""


def _normalise(value: Any) -> Any:
    """Return ``value`` with equal decimals in the same form (5.0 and 5.00), so that a fingerprint depends only on the
    content.
    """
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, Mapping):
        return {key: _normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    return value
