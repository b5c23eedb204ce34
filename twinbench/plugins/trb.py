"""Routers published for the TwinRouterBench repository, run as they are.

They import a few names from that repository, which is on no index: this module stands in for those. A live router
answers ``select(ctx)``, a static one ``predict(row)``; both see a session's key where they would see an instance's id,
and no label.
Source: the repository's public interface at commit 7cbb0de (2026-08). Standard library only.
"""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from twinbench.routing.router import Call, Candidate, Decision
from twinbench.routing.tiers import TIER_LABELS, Tier

WALLCLOCK_TTL_S = 300


@dataclass(frozen=True)
class ModelCacheView:
    """What is known of a model's prompt cache."""

    model_id: str
    last_call_ts: float | None = None
    prefix_token_count: int = 0
    prefix_hash: str | None = None


@dataclass(frozen=True)
class CacheStateSnapshot:
    """The cache views of all models."""

    wallclock_ttl_sec: float
    now_ts: float
    by_model: Mapping[str, ModelCacheView] = field(default_factory=dict)

    def get(self, model_id: str) -> ModelCacheView | None:
        """The view of one model, if it was ever called."""
        return self.by_model.get(model_id)


@dataclass(frozen=True)
class RunConfig:
    """Limits of the run."""

    max_steps: int = 250
    budget_usd: float = 3.0
    wallclock_ttl_sec: float = WALLCLOCK_TTL_S
    select_timeout_sec: float = 30.0


@dataclass(frozen=True)
class RouterContext:
    """What a live router is shown before a call."""

    instance_id: str
    step_index: int
    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Any, ...]
    available_models: tuple[str, ...]
    cache_state: CacheStateSnapshot
    budget_so_far_usd: float
    run_config: RunConfig


@dataclass(frozen=True)
class RouterDecision:
    """A live router's answer."""

    model_id: str
    rationale: str | None = None


class LiveRouter(Protocol):
    """Picks a model by name."""

    def select(self, ctx: RouterContext) -> RouterDecision:
        """The model for this call."""
        ...


class FunctionRouter:
    """A live router made of a function."""

    def __init__(self, label: str, func: Callable[[RouterContext], str], rationale_prefix: str | None = None) -> None:
        self.label = label
        self._func = func
        self._rationale_prefix = rationale_prefix

    def select(self, ctx: RouterContext) -> RouterDecision:
        """What the function says."""
        return RouterDecision(self._func(ctx), rationale=self._rationale_prefix)


def validate_decision(decision: Any, available_models: Sequence[str]) -> RouterDecision:
    """``decision`` if it names an available model.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(decision, RouterDecision) or decision.model_id not in available_models:
        raise ValueError(f"{decision!r} names none of the available models")
    return decision


@dataclass(frozen=True)
class TierPrediction:
    """A static router's answer."""

    tier_id: int
    usage: Any = None


class FunctionPredictor:
    """A static router made of a function of a row."""

    def __init__(self, fn: Callable[[Mapping[str, Any]], int]) -> None:
        self._fn = fn

    def predict(self, row: Mapping[str, Any]) -> TierPrediction:
        """What the function says."""
        return TierPrediction(int(self._fn(row)))


class OpenAICompatRouterClassifier:
    """A classifier behind an LLM; a router's own LLM calls need the metered handle, which does not reach here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(
            "this router asks an LLM through OpenAICompatRouterClassifier, which twinbench cannot meter: wrap it in a "
            "router of twinbench's own interface"
        )


def install() -> None:
    """Make the names importable that published routers import."""
    tiers = {
        "PUBLIC_TIERS": TIER_LABELS,
        "TIER_TO_ID": {label: number for number, label in enumerate(TIER_LABELS)},
        "ID_TO_TIER": dict(enumerate(TIER_LABELS)),
    }
    live: dict[str, Any] = {
        "CacheStateSnapshot": CacheStateSnapshot,
        "FunctionRouter": FunctionRouter,
        "ModelCacheView": ModelCacheView,
        "Router": LiveRouter,
        "RouterContext": RouterContext,
        "RouterDecision": RouterDecision,
        "RunConfig": RunConfig,
        "validate_decision": validate_decision,
    }
    static = {"FunctionPredictor": FunctionPredictor, "TierPrediction": TierPrediction}
    modules: dict[str, dict[str, Any]] = {
        "swerouter": {},
        "swerouter.router": live,
        "main": {},
        "main.tiers": tiers,
        "main.router_llm": {"OpenAICompatRouterClassifier": OpenAICompatRouterClassifier},
        "main.eval": {},
        "main.eval.predictors": static,
    }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__path__ = []  # a package, so that its submodules are looked for where they are
        module.__dict__.update(content)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def adapted(router: Any, models: Mapping[str, str]) -> LiveAdapter | StaticAdapter:
    """A published router behind our interface.

    Args:
        router: has ``select`` or ``predict``.
        models: the model name that a live router knows a candidate by, by candidate id.

    Raises:
        TypeError: it has neither.
    """
    if callable(getattr(router, "select", None)):
        return LiveAdapter(router, models)
    if callable(getattr(router, "predict", None)):
        return StaticAdapter(router)
    raise TypeError("it has neither select(ctx) nor predict(row)")


class LiveAdapter:
    """A live router; in the static track each tier goes by the name of the live pool's default model of that tier."""

    def __init__(self, router: LiveRouter, models: Mapping[str, str]) -> None:
        self._router = router
        self._models = models

    def route(self, call: Call) -> Decision:
        """The candidate whose model it selects."""
        by_model: dict[str, Candidate] = {self._models.get(each.id, each.model): each for each in call.candidates}
        now = time.time()
        views = {
            model: ModelCacheView(model, now, call.cache[candidate].read_tokens)
            for model, candidate in by_model.items()
            if call.cache[candidate].read_tokens
        }
        decision = self._router.select(
            RouterContext(
                instance_id=call.session,
                step_index=call.step_index - 1,
                messages=tuple(call.messages),
                tools=(),
                available_models=tuple(by_model),
                cache_state=CacheStateSnapshot(WALLCLOCK_TTL_S, now, views),
                budget_so_far_usd=call.spent_usd,
                run_config=RunConfig(
                    max_steps=call.limits.steps or RunConfig.max_steps,
                    budget_usd=call.limits.cost_usd or RunConfig.budget_usd,
                ),
            )
        )
        model = getattr(decision, "model_id", None)
        if model not in by_model:
            raise ValueError(f"select answered {model!r}; the models are {', '.join(by_model)}")
        rationale = getattr(decision, "rationale", None)
        return Decision(by_model[model], rationale=None if rationale is None else str(rationale))


class StaticAdapter:
    """A static router: it sees a row without labels, without what lies ahead, its ids the session's key."""

    def __init__(self, router: Any) -> None:
        self._router = router

    def route(self, call: Call) -> Tier:
        """The tier that it predicts."""
        row = {
            "id": f"{call.session}-{call.step_index}",
            "benchmark": "",
            "instance_id": call.session,
            "step_index": call.step_index,
            "messages": list(call.messages),
            "functions": [tool.get("function", tool) for tool in call.tools],
        }
        prediction = self._router.predict(row)
        tier_id = getattr(prediction, "tier_id", prediction)
        try:
            if isinstance(tier_id, bool):
                raise TypeError
            return Tier(operator.index(tier_id))  # an integer of numpy is one too
        except (TypeError, ValueError):
            raise ValueError(f"predict answered {tier_id!r}, not a tier id from 0 to {len(Tier) - 1}") from None
