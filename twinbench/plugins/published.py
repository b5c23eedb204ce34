"""What routers published for the TwinRouterBench repository import from it, stood in for: it is on no index.

Where the repository is at hand, as a checkout or an installed package, all other modules of it are its own: these
stand-ins are found first, because they need nothing installed, meter nobody's LLM calls unseen, and know no label.
Source: the repository's public interface at commit 7cbb0de (2026-08). Standard library only.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar, runtime_checkable

from twinbench.plugins import published_text
from twinbench.routing.router import show_object
from twinbench.routing.tiers import TIER_LABELS

WALLCLOCK_TTL_S = 300


@dataclass(frozen=True)
class ModelCacheView:
    """The state of a model's prompt cache."""

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
        """The view of one model; None where it is not in the pool."""
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
    """The information that a live router gets before a call."""

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


@runtime_checkable
class LiveRouter(Protocol):
    """Picks a model by name."""

    def select(self, ctx: RouterContext) -> RouterDecision:
        """The model for this call."""
        ...


@dataclass
class FunctionRouter:
    """A live router made of a function, which answers with a model's name or a decision."""

    label: str
    func: Callable[[RouterContext], str | RouterDecision]
    rationale_prefix: str | None = None

    def select(self, ctx: RouterContext) -> RouterDecision:
        """Return the function's answer as a decision.

        Raises:
            TypeError: the answer is neither a model's name nor a decision.
        """
        answer = self.func(ctx)
        if isinstance(answer, str):
            return RouterDecision(answer, rationale=self.rationale_prefix)
        if not isinstance(answer, RouterDecision):
            raise TypeError(
                f"the function of {self.label!r} answered {show_object(answer)}: "
                "a model's name or a RouterDecision is wanted"
            )
        return answer


def validate_decision(decision: Any, available_models: Sequence[str]) -> RouterDecision:
    """Return ``decision`` if it names an available model.

    Raises:
        TypeError: it is not a ``RouterDecision``.
        ValueError: it does not name an available model.
    """
    if not isinstance(decision, RouterDecision):
        raise TypeError(f"{show_object(decision)} is not a RouterDecision")
    if decision.model_id not in available_models:
        raise ValueError(f"{decision!r} names none of the available models")
    return decision


@dataclass(frozen=True)
class TierPrediction:
    """A static router's answer."""

    tier_id: int
    usage: Any = None


@runtime_checkable
class QuestionBankRouterPredictor(Protocol):
    """Predicts a tier of a row."""

    def predict(self, row: dict[str, Any]) -> TierPrediction:
        """The tier of a row."""
        ...


class FunctionPredictor:
    """A static router made of a function of a row."""

    def __init__(self, fn: Callable[[dict[str, Any]], int]) -> None:
        self._fn = fn

    def predict(self, row: dict[str, Any]) -> TierPrediction:
        """Return the function's answer as a prediction.

        Raises:
            TypeError: the answer is not an integer.
        """
        tier_id = self._fn(row)
        if not hasattr(tier_id, "__index__"):  # an integer of numpy is one too
            raise TypeError(
                f"the predictor's function answered {show_object(tier_id)}: a tier id, an integer, is wanted"
            )
        return TierPrediction(tier_id)


class OpenAICompatRouterClassifier:
    """A classifier behind an LLM; a router's own LLM calls need the metered handle, which does not reach here."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(
            "this router asks an LLM through OpenAICompatRouterClassifier, which twinbench cannot meter: wrap it in a "
            "router of twinbench's own interface"
        )


@dataclass(frozen=True)
class TierPredictionResult:
    """The result of a classifier behind an LLM."""

    tier_id: int
    raw_content: str
    usage: dict[str, Any] | None = None


class LlmDigitClassifierPredictor:
    """A static router made of a classifier that answers about a text with a tier id."""

    def __init__(self, classifier: Any) -> None:
        self._classifier = classifier

    def predict(self, row: dict[str, Any]) -> TierPrediction:
        """Return the classifier's result for the row's conversation."""
        prompt = published_text.classifier_prompt(row["messages"], row.get("functions"))
        found = self._classifier.predict_tier_id(prompt)
        return TierPrediction(found.tier_id, found.usage)


TIER_IDS = {label: number for number, label in enumerate(TIER_LABELS)}
CHINESE_LABELS = dict(zip(("低", "中", "中高", "高"), TIER_LABELS, strict=True))


def tier_to_id(tier: str) -> int:
    """The id of a tier.

    Raises:
        ValueError: there is no such tier.
    """
    return _look_up(TIER_IDS, tier)


def tier_from_id(tier_id: int) -> str:
    """The tier of an id.

    Raises:
        ValueError: there is no such id.
    """
    return _look_up(dict(enumerate(TIER_LABELS)), tier_id)


def tier_from_chinese(value: str) -> str:
    """The tier of a Chinese label.

    Raises:
        ValueError: there is no such label.
    """
    return _look_up(CHINESE_LABELS, value)


def digit_to_id(content: str) -> int:
    """The tier id that is all of a text.

    Raises:
        ValueError: the text is something else.
    """
    return _look_up({str(number): number for number in range(len(TIER_LABELS))}, content.strip())


Key = TypeVar("Key")
Value = TypeVar("Value")


def _look_up(known: Mapping[Key, Value], key: Key) -> Value:
    if key not in known:
        raise ValueError(f"unknown tier {key!r}; known are {', '.join(map(str, known))}")
    return known[key]


def _modules() -> dict[str, dict[str, Any]]:
    """Return our replacements for the contents of the repository's modules, by the name of the module."""
    tiers: dict[str, Any] = {
        "PUBLIC_TIERS": TIER_LABELS,
        "TIER_TO_ID": TIER_IDS,
        "ID_TO_TIER": dict(enumerate(TIER_LABELS)),
        "CN_TIER_TO_PUBLIC": CHINESE_LABELS,
        **{f"TIER_{label.upper()}": label for label in TIER_LABELS},
        "public_tier_from_cn": tier_from_chinese,
        "public_tier_from_id": tier_from_id,
        "public_tier_to_id": tier_to_id,
    }
    text = {
        "linearize_messages_for_openai_compat": published_text.plain_messages,
        "format_linear_messages_as_user_prompt": published_text.transcript,
        "question_bank_messages_to_classifier_prompt": published_text.classifier_prompt,
    }
    llm = {
        "OpenAICompatRouterClassifier": OpenAICompatRouterClassifier,
        "TierPredictionResult": TierPredictionResult,
        "parse_tier_response_to_id": digit_to_id,
        "tier_id_to_public_label": tier_from_id,
    }
    static = {
        "FunctionPredictor": FunctionPredictor,
        "LlmDigitClassifierPredictor": LlmDigitClassifierPredictor,
        "QuestionBankRouterPredictor": QuestionBankRouterPredictor,
        "TierPrediction": TierPrediction,
    }
    live = {
        "CacheStateSnapshot": CacheStateSnapshot,
        "DecisionLike": str | RouterDecision,
        "FunctionRouter": FunctionRouter,
        "ModelCacheView": ModelCacheView,
        "Router": LiveRouter,
        "RouterContext": RouterContext,
        "RouterDecision": RouterDecision,
        "RunConfig": RunConfig,
        "validate_decision": validate_decision,
    }
    tokens = {
        "count_messages_tokens": published_text.count_messages_tokens,
        "count_text_tokens": published_text.count_text_tokens,
        "estimate_output_tokens_from_delta": published_text.output_tokens_of_delta,
        "is_semantic_prefix": published_text.is_semantic_prefix,
        "split_prompt_tokens_for_step": published_text.split_prompt_tokens,
    }
    return {
        "swerouter": {},
        "swerouter.router": live,
        "main": {**tiers, **text, **llm},
        "main.tiers": tiers,
        "main.chat_messages": text,
        "main.tokenizer": tokens,
        "main.router_llm": llm,
        "main.eval": static,
        "main.eval.predictors": static,
    }


_MARKS = {"swerouter": "router.py", "main": "tiers.py", "main.eval": "predictors.py"}
"""The file by which a folder is recognised as the repository's package: others are called ``main`` too."""


def install() -> None:
    """Make the names importable that published routers import, beside the repository's own modules where it is."""
    for name, content in _modules().items():
        parent, _, child = name.rpartition(".")
        module = ModuleType(name)
        # A package in any case, so that what is missing in it is called a missing module.
        module.__path__ = _repository_folders(name, sys.modules[parent].__path__ if parent else sys.path)
        module.__dict__.update(content)
        sys.modules[name] = module
        if parent:
            setattr(sys.modules[parent], child, module)


def _repository_folders(name: str, path: Sequence[str]) -> list[str]:
    """Return the folders with the modules of one of the repository's packages; empty if there are none."""
    if name not in _MARKS:
        return []
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    found = list(spec.submodule_search_locations or ()) if spec is not None else []
    return [folder for folder in found if (Path(folder) / _MARKS[name]).is_file()]


def read_arguments(constructor: Any, texts: Mapping[str, str], folder: Path, label: str) -> dict[str, str]:
    """Return arguments as the repository's command line gives them: texts, files by their whole path.

    Args:
        constructor: a class or a factory.
        texts: the texts of the spec.
        folder: the folder that relative paths start from; a router's process runs elsewhere.
        label: the label of routers that require one.
    """
    found = dict(texts)
    for name, text in texts.items():
        if "/" in text or "." in text:
            with contextlib.suppress(OSError):  # a text that is too long for a path is none
                if (folder / text).exists():
                    found[name] = str(folder / text)
    if "label" not in found and _needs_label(constructor):
        found["label"] = label
    return found


def _needs_label(constructor: Any) -> bool:
    try:
        parameter = inspect.signature(constructor).parameters.get("label")
    except (TypeError, ValueError):
        return False
    return parameter is not None and parameter.default is parameter.empty
