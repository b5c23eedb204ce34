"""Run routers that were published for the TwinRouterBench repository, unchanged.

A live router answers ``select(ctx)``, a static one ``predict(row)``; both see a session's key where they would see an
instance's id, and no label. What they import is in ``published.py``. Standard library only.
"""

from __future__ import annotations

import inspect
import operator
import time
from collections.abc import Mapping
from typing import Any

from twinbench.plugins.published import (
    WALLCLOCK_TTL_S,
    CacheStateSnapshot,
    LiveRouter,
    ModelCacheView,
    RouterContext,
    RunConfig,
)
from twinbench.plugins.published_text import take_call
from twinbench.routing.router import NOT_AWAITED, Call, Candidate, Decision, show_object
from twinbench.routing.tiers import Tier


class NotPublishedError(Exception):
    """An object that has neither of the methods of a published router."""


def require_router_factory(found: Any, attribute: str) -> None:
    """Reject a plain routing function; a published name must refer to a class or a factory.

    Raises:
        NotPublishedError: it is a plain routing function.
    """
    if not inspect.isfunction(found):
        return
    first = next(iter(inspect.signature(found).parameters.values()), None)
    made = {"ctx": f"FunctionRouter({attribute!r}, {attribute})", "row": f"FunctionPredictor({attribute})"}
    if first is not None and first.default is first.empty and first.name in made:
        raise NotPublishedError(
            f"{attribute}({first.name}) decides itself: name a function that makes a router, such as "
            f"def make(): return {made[first.name]}"
        )


def adapt(router: Any, models: Mapping[str, str]) -> LiveAdapter | StaticAdapter:
    """Wrap a published router in our interface.

    Args:
        router: an object with ``select`` or ``predict``.
        models: the model name that a live router knows a candidate by, by candidate id.

    Raises:
        NotPublishedError: it has neither.
    """
    if callable(getattr(router, "select", None)):
        return LiveAdapter(router, models)
    if callable(getattr(router, "predict", None)):
        return StaticAdapter(router)
    if callable(getattr(router, "route", None)):
        raise NotPublishedError("it is a router of twinbench's own interface: leave out trb: before its name")
    raise NotPublishedError("it has neither select(ctx) nor predict(row)")


class LiveAdapter:
    """Adapts a live router; in the static track each tier has the name of the live pool's default model of that
    tier.
    """

    def __init__(self, router: LiveRouter, models: Mapping[str, str]) -> None:
        self._router = router
        self._models = models

    def route(self, call: Call) -> Decision:
        """Pick the candidate whose model the router selects."""
        by_model: dict[str, Candidate] = {self._models.get(each.id, each.model): each for each in call.candidates}
        now = time.time()
        views = {
            model: ModelCacheView(model, now if read else None, read)
            for model, candidate in by_model.items()
            for read in [call.cache[candidate].read_tokens]
        }
        take_call(call)
        decision: Any = self._router.select(  # foreign code, whatever it declares
            RouterContext(
                instance_id=call.session,
                step_index=call.step_index - 1,
                messages=tuple(call.messages),
                tools=tuple(call.tools),
                available_models=tuple(by_model),
                cache_state=CacheStateSnapshot(WALLCLOCK_TTL_S, now, views),
                budget_so_far_usd=call.spent_usd,
                run_config=RunConfig(
                    max_steps=call.limits.steps or RunConfig.max_steps,
                    budget_usd=call.limits.cost_usd or RunConfig.budget_usd,
                ),
            )
        )
        if not hasattr(decision, "model_id"):
            raise ValueError(_describe_answer("select", decision, "a RouterDecision", "def select(self, ctx)"))
        model = decision.model_id
        if not isinstance(model, str) or model not in by_model:
            raise ValueError(f"select chose the model {show_object(model)}; the models are {', '.join(by_model)}")
        rationale = getattr(decision, "rationale", None)
        return Decision(by_model[model], rationale=None if rationale is None else str(rationale))


class StaticAdapter:
    """Adapts a static router: it sees a row without labels or later steps, with the session's key in its ids."""

    def __init__(self, router: Any) -> None:
        self._router = router

    def route(self, call: Call) -> Tier:
        """Pick the tier that the router predicts."""
        row = {
            "id": f"{call.session}-{call.step_index}",
            "benchmark": "",
            "instance_id": call.session,
            "step_index": call.step_index,
            "messages": list(call.messages),
            "functions": [tool.get("function", tool) for tool in call.tools],
        }
        take_call(call)
        prediction = self._router.predict(row)
        tier_id = getattr(prediction, "tier_id", prediction)
        try:
            if isinstance(tier_id, bool):
                raise TypeError
            return Tier(operator.index(tier_id))  # accepts numpy integers too
        except (TypeError, ValueError):
            wanted = f"a tier id from 0 to {len(Tier) - 1}"
            raise ValueError(_describe_answer("predict", tier_id, wanted, "def predict(self, row)")) from None


def _describe_answer(method: str, answer: object, wanted: str, instead: str) -> str:
    """Return the error message about a method's answer of a wrong type."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()  # nobody awaits it, about which Python would print a warning
        return f"{method} answered something to be awaited, and {NOT_AWAITED.format(instead=instead)}"
    return f"{method} answered {show_object(answer)}, not {wanted}"
