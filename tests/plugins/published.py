"""Routers as they are published for the TwinRouterBench repository, importing what they import from it."""
# mypy: ignore-errors

from __future__ import annotations

import main.eval.predictors
from main.eval.predictors import FunctionPredictor, TierPrediction
from main.router_llm import OpenAICompatRouterClassifier
from main.tiers import ID_TO_TIER, PUBLIC_TIERS, TIER_TO_ID
from swerouter.router import (
    CacheStateSnapshot,
    FunctionRouter,
    ModelCacheView,
    Router,
    RouterContext,
    RouterDecision,
    RunConfig,
    validate_decision,
)

KNOWN_WHEN_IMPORTED = (CacheStateSnapshot, ModelCacheView, Router, RunConfig, TierPrediction, PUBLIC_TIERS)


class Live:
    """Tells in its rationale all that it was shown."""

    def __init__(self, prefer: str = "0") -> None:
        assert isinstance(prefer, str)
        self._prefer = prefer

    @classmethod
    def best(cls, **words: str) -> Live:
        return cls(**words, prefer="-1")

    def select(self, ctx: RouterContext) -> RouterDecision:
        assert isinstance(ctx, RouterContext)
        assert isinstance(ctx.messages, tuple)
        assert isinstance(ctx.tools, tuple)
        views = {model: ctx.cache_state.get(model) for model in ctx.available_models}
        shown = {
            "instance_id": ctx.instance_id,
            "step_index": ctx.step_index,
            "messages": len(ctx.messages),
            "models": ctx.available_models,
            "warm": {model: view.prefix_token_count for model, view in views.items() if view.last_call_ts},
            "ttl": ctx.cache_state.wallclock_ttl_sec,
            "spent": ctx.budget_so_far_usd,
            "limits": (ctx.run_config.max_steps, ctx.run_config.budget_usd),
            "fields": sorted(vars(ctx)),
        }
        decision = RouterDecision(ctx.available_models[int(self._prefer)], rationale=repr(shown))
        return validate_decision(decision, ctx.available_models)


class Static:
    """Fails where a row has what it must not have."""

    def predict(self, row: dict) -> TierPrediction:
        wanted = {"id", "benchmark", "instance_id", "step_index", "messages", "functions"}
        if set(row) != wanted:
            raise KeyError(sorted(set(row) ^ wanted))
        assert row["step_index"] >= 1
        assert row["id"].startswith(row["instance_id"])
        return TierPrediction(TIER_TO_ID["mid_high"], usage={"tokens": 1})


def function(level: str = "2") -> FunctionPredictor:
    return FunctionPredictor(lambda row: int(level) if row["messages"] else 0)


def by_name() -> FunctionRouter:
    return FunctionRouter("by name", lambda ctx: ctx.available_models[len(ID_TO_TIER) - 1], rationale_prefix="last")


class Unknown:
    def select(self, ctx: RouterContext) -> RouterDecision:
        return RouterDecision("gpt-17")


class Odd:
    """Predicts whatever it was given."""

    def __init__(self, what: str) -> None:
        self._what = {"five": 5, "text": "high", "true": True, "minus": -1, "none": None}[what]

    def predict(self, row: dict) -> object:
        return self._what


class Asks:
    def __init__(self) -> None:
        self._classifier = OpenAICompatRouterClassifier(model="x")


class Neither:
    """Has neither select nor predict."""


def predictors_are_a_module() -> object:
    return main.eval.predictors.FunctionPredictor(lambda _: 1)
