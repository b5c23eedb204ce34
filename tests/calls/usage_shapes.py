"""Usage as providers print it: the same counts in the shape of each, after their documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from twinbench.routing.usage import Usage

Printed = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """What was counted; ``hour`` is part of ``write``, ``reasoning`` of ``output``."""

    input: int
    read: int
    write: int
    hour: int
    output: int
    reasoning: int

    @property
    def prompt(self) -> int:
        """All of the prompt."""
        return self.input + self.read + self.write

    @property
    def total(self) -> int:
        """Prompt and answer."""
        return self.prompt + self.output

    @property
    def usage(self) -> Usage:
        """The buckets that these counts are."""
        return Usage(self.input, self.read, self.write, self.output, self.hour)


@dataclass(frozen=True)
class Shape:
    """How a provider prints counts."""

    show: Callable[[Counts], Printed]
    tells: frozenset[str] = frozenset()
    """Which of the counts it tells: read, write, hour, reasoning."""
    summed: tuple[str, ...] = ()
    """Dotted keys of what its total sums up; empty where it has no total."""
    total: str = "total_tokens"
    place: str = "usage"

    def told(self, counts: Counts) -> Counts:
        """The counts without those that this provider does not tell."""
        if "hour" not in self.tells:
            counts = replace(counts, hour=0)
        left_out = {name: 0 for name in ("read", "write", "reasoning") if name not in self.tells}
        return replace(counts, **left_out, hour=0 if "write" in left_out else counts.hour)

    def body(self, counts: Counts) -> dict[str, Any]:
        """A response with these counts."""
        return {"id": "x", self.place: self.show(self.told(counts))}


def _openai(counts: Counts) -> Printed:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output,
        "total_tokens": counts.total,
        "prompt_tokens_details": {"cached_tokens": counts.read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _plain(counts: Counts) -> Printed:
    return {"prompt_tokens": counts.prompt, "completion_tokens": counts.output, "total_tokens": counts.total}


def _openrouter(counts: Counts) -> Printed:
    return {
        **_plain(counts),
        "cost": 0.00014,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": counts.read,
            "cache_write_tokens": counts.write,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.write - counts.hour,
            "ephemeral_1h_input_tokens": counts.hour,
        },
        "cost_details": {"upstream_inference_cost": None, "upstream_inference_prompt_cost": 0.0001},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "image_tokens": 0},
        "server_tool_use": {"web_search_requests": 0},
    }


def _xai(counts: Counts) -> Printed:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output - counts.reasoning,
        "total_tokens": counts.total,
        "prompt_tokens_details": {
            "text_tokens": counts.prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": counts.read,
        },
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "audio_tokens": 0},
        "num_sources_used": 0,
    }


def _deepseek(counts: Counts) -> Printed:
    return {
        **_plain(counts),
        "prompt_tokens_details": {"cached_tokens": counts.read},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        "prompt_cache_hit_tokens": counts.read,
        "prompt_cache_miss_tokens": counts.prompt - counts.read,
    }


def _moonshot(counts: Counts) -> Printed:
    return {**_plain(counts), "cached_tokens": counts.read}


def _mistral(counts: Counts) -> Printed:
    return {
        **_plain(counts),
        "prompt_audio_seconds": {},
        "num_cached_tokens": counts.read,
        "prompt_tokens_details": {"cached_tokens": counts.read},
        "prompt_token_details": {"cached_tokens": counts.read},
    }


def _dashscope(counts: Counts) -> Printed:
    return {
        **_plain(counts),
        "prompt_tokens_details": {
            "cached_tokens": counts.read,
            "cache_creation": {"ephemeral_5m_input_tokens": counts.write},
            "cache_creation_input_tokens": counts.write,
            "cache_type": "ephemeral",
        },
    }


def _groq(counts: Counts) -> Printed:
    return {
        **_plain(counts),
        "queue_time": 0.0187,
        "prompt_time": 0.0026,
        "completion_time": 0.463,
        "total_time": 0.466,
        "prompt_tokens_details": {"cached_tokens": counts.read},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def _anthropic(counts: Counts) -> Printed:
    return {
        "input_tokens": counts.input,
        "cache_creation_input_tokens": counts.write,
        "cache_read_input_tokens": counts.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.write - counts.hour,
            "ephemeral_1h_input_tokens": counts.hour,
        },
        "output_tokens": counts.output,
        "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
    }


def _anthropic_iterations(counts: Counts) -> Printed:
    plain = {name: value for name, value in _anthropic(counts).items() if name not in ("service_tier",)}
    return {**_anthropic(counts), "iterations": [{"type": "message", **plain}]}


def _litellm(counts: Counts) -> Printed:
    """Of an answer by Anthropic."""
    return {
        **_plain(counts),
        "prompt_tokens_details": {
            "audio_tokens": None,
            "cached_tokens": counts.read,
            "text_tokens": counts.input,
            "image_tokens": None,
            "cache_creation_tokens": counts.write,
            "cache_write_tokens": counts.write,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": counts.write - counts.hour,
                "ephemeral_1h_input_tokens": counts.hour,
            },
        },
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning, "text_tokens": counts.output},
        "cache_creation_input_tokens": counts.write,
        "cache_read_input_tokens": counts.read,
        "inference_geo": None,
    }


def _responses(counts: Counts) -> Printed:
    return {
        "input_tokens": counts.prompt,
        "output_tokens": counts.output,
        "total_tokens": counts.total,
        "input_tokens_details": {"cached_tokens": counts.read, "cache_write_tokens": counts.write},
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def _perplexity_responses(counts: Counts) -> Printed:
    return {
        "input_tokens": counts.prompt,
        "output_tokens": counts.output,
        "total_tokens": counts.total,
        "input_tokens_details": {
            "cache_read_input_tokens": counts.read,
            "cache_creation_input_tokens": counts.write,
        },
    }


def _bedrock(counts: Counts) -> Printed:
    return {
        "inputTokens": counts.input,
        "outputTokens": counts.output,
        "totalTokens": counts.total,
        "cacheReadInputTokens": counts.read,
        "cacheReadInputTokenCount": counts.read,
        "cacheWriteInputTokens": counts.write,
        "cacheDetails": [
            {"ttl": "1h", "inputTokens": counts.hour},
            {"ttl": "5m", "inputTokens": counts.write - counts.hour},
        ],
    }


def _gemini(counts: Counts) -> Printed:
    """Without what is zero, as protobuf leaves it out."""
    answer = counts.output - counts.reasoning
    told = {
        "promptTokenCount": counts.prompt,
        "candidatesTokenCount": answer,
        "thoughtsTokenCount": counts.reasoning,
        "cachedContentTokenCount": counts.read,
        "totalTokenCount": counts.total,
    }
    lists: Printed = {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}]}
    if counts.read:
        lists["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": counts.read}]
    return {name: count for name, count in told.items() if count} | lists


def _gemini_library(counts: Counts) -> Printed:
    return {
        "prompt_token_count": counts.prompt,
        "candidates_token_count": counts.output - counts.reasoning,
        "thoughts_token_count": counts.reasoning,
        "cached_content_token_count": counts.read,
        "total_token_count": counts.total,
        "prompt_tokens_details": [{"modality": "TEXT", "token_count": counts.prompt}],
    }


def _openai_camel(counts: Counts) -> Printed:
    """OpenAI's as client libraries for TypeScript spell it."""
    return {
        "promptTokens": counts.prompt,
        "completionTokens": counts.output,
        "totalTokens": counts.total,
        "promptTokensDetails": {"cachedTokens": counts.read, "cacheWriteTokens": counts.write},
        "completionTokensDetails": {"reasoningTokens": counts.reasoning},
    }


_SUM = ("prompt_tokens", "completion_tokens")
_READS = frozenset({"read"})
_THINKS = _READS | {"reasoning"}
_ALL = frozenset({"read", "write", "hour", "reasoning"})

SHAPES: Mapping[str, Shape] = {
    "OpenAI": Shape(_openai, _THINKS, _SUM),
    "Ollama, vLLM without details": Shape(_plain, frozenset(), _SUM),
    "OpenRouter": Shape(_openrouter, _ALL, _SUM),
    "xAI": Shape(_xai, _THINKS, (*_SUM, "completion_tokens_details.reasoning_tokens")),
    "DeepSeek": Shape(_deepseek, _THINKS, _SUM),
    "Moonshot": Shape(_moonshot, _READS, _SUM),
    "Mistral": Shape(_mistral, _READS, _SUM),
    "DashScope": Shape(_dashscope, frozenset({"read", "write"}), _SUM),
    "Groq": Shape(_groq, _THINKS, _SUM),
    "Anthropic": Shape(_anthropic, frozenset({"read", "write", "hour"})),
    "Anthropic, one iteration": Shape(_anthropic_iterations, frozenset({"read", "write", "hour"})),
    "litellm": Shape(_litellm, _ALL, _SUM),
    "Responses": Shape(_responses, frozenset({"read", "write", "reasoning"}), ("input_tokens", "output_tokens")),
    "Perplexity's Responses": Shape(
        _perplexity_responses, frozenset({"read", "write"}), ("input_tokens", "output_tokens")
    ),
    "Bedrock": Shape(
        _bedrock, frozenset({"read", "write", "hour"}), ("inputTokens", "outputTokens"), total="totalTokens"
    ),
    "Gemini": Shape(
        _gemini,
        _THINKS,
        ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"),
        total="totalTokenCount",
        place="usageMetadata",
    ),
    "Gemini's library": Shape(
        _gemini_library,
        _THINKS,
        ("prompt_token_count", "candidates_token_count", "thoughts_token_count"),
        total="total_token_count",
        place="usage_metadata",
    ),
    "camel case": Shape(
        _openai_camel,
        frozenset({"read", "write", "reasoning"}),
        ("promptTokens", "completionTokens"),
        total="totalTokens",
    ),
}
