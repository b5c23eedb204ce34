"""The keys under which providers report token counts, each with where it is documented.

A key is the path to a value within the usage object, its parts in snake case: Bedrock's ``cacheReadInputTokens`` is
``("cache_read_input_tokens",)``, OpenAI's cached tokens are ``("prompt_tokens_details", "cached_tokens")``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Key = tuple[str, ...]

_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake_case(name: str) -> str:
    """Turn camel case into snake case; a name in any other style stays as it is, so that it is an unknown key."""
    return _CAMEL_HUMP.sub("_", name).lower() if name[:1].islower() and "_" not in name else name


def _keys(*paths: str) -> tuple[Key, ...]:
    return tuple(tuple(path.split(".")) for path in paths)


USAGE_OBJECTS = ("usage", "usageMetadata", "usage_metadata")
"""Fields of a response that contain its usage: OpenAI, Anthropic and most others; Gemini; Gemini's library."""

TOTAL = _keys("total_tokens", "total_token_count")
"""Total of prompt and answer tokens: OpenAI and Bedrock; Gemini. Anthropic has none."""

GEMINI_PROMPT = _keys("prompt_token_count")
PROMPT = _keys("prompt_tokens") + GEMINI_PROMPT
"""The whole prompt, tokens read from a cache and written to it among them: OpenAI; Gemini."""

INPUT = _keys("input_tokens")
"""The whole prompt in OpenAI's Responses API; without tokens read and written in Anthropic's Messages API ("Tracking
cache performance") and in Bedrock's Converse API ("Prompt caching": ``inputTokens``)."""

CACHE_MISS = _keys("prompt_cache_miss_tokens")
"""Prompt tokens that were not read from the cache: DeepSeek."""

_READ_EITHER = _keys(
    "cached_tokens",  # Moonshot, and Alibaba in some regions, beside prompt_tokens
    "cached_input_tokens",  # OpenAI's Codex
)
"""Tokens read from a cache; no document says whether ``INPUT`` includes them, so that a total has to."""

READ_INSIDE = _READ_EITHER + _keys(
    "prompt_tokens_details.cached_tokens",  # OpenAI, and most that are compatible with it
    "input_tokens_details.cached_tokens",  # Responses APIs of OpenAI and xAI
    "input_tokens_details.cache_read_input_tokens",  # Perplexity's Responses API
    "prompt_token_details.cached_tokens",  # Mistral
    "num_cached_tokens",  # Mistral
    "prompt_cache_hit_tokens",  # DeepSeek
    "cached_content_token_count",  # Gemini
)
"""Tokens read from a cache that the count of the prompt includes."""

READ_BESIDE = _READ_EITHER + _keys(
    "cache_read_input_tokens",  # Anthropic, Bedrock
    "cache_read_input_token_count",  # Bedrock, of some models, next to the one above
)
"""Tokens read from a cache that ``INPUT`` leaves out."""

_WRITE_EITHER = _keys("cache_write_tokens", "cache_creation_tokens")
"""Tokens written to a cache, from gateways that omit details; it is not documented whether ``INPUT`` includes them."""

WRITE_INSIDE = _WRITE_EITHER + _keys(
    "prompt_tokens_details.cache_write_tokens",  # OpenAI, OpenRouter
    "prompt_tokens_details.cache_creation_tokens",  # litellm
    "prompt_tokens_details.cache_creation_input_tokens",  # Alibaba's DashScope
    "input_tokens_details.cache_write_tokens",  # OpenAI's Responses API
    "input_tokens_details.cache_creation_tokens",  # gateways in front of it
    "input_tokens_details.cache_creation_input_tokens",  # Perplexity's Responses API
)
"""Tokens written to a cache that the count of the prompt includes."""

WRITE_BESIDE = _WRITE_EITHER + _keys(
    "cache_creation_input_tokens",  # Anthropic
    "cache_write_input_tokens",  # Bedrock
    "cache_write_input_token_count",  # Bedrock, of some models, next to the one above
)
"""Tokens written to a cache that ``INPUT`` leaves out."""

WRITE_SPLIT_INSIDE = _keys(
    "prompt_tokens_details.cache_creation",  # Alibaba's DashScope
    "prompt_tokens_details.cache_creation_token_details",  # litellm
    "input_tokens_details.cache_creation",
)
"""Objects with ``FIVE_MINUTES`` and ``ONE_HOUR``, whose sum is the tokens written to a cache, counted as
``WRITE_INSIDE``.
"""

WRITE_SPLIT_BESIDE = _keys("cache_creation")
"""Like ``WRITE_SPLIT_INSIDE``, but counted as ``WRITE_BESIDE``: Anthropic, OpenRouter."""

FIVE_MINUTES = "ephemeral_5m_input_tokens"
ONE_HOUR = "ephemeral_1h_input_tokens"

WRITE_LIST_BESIDE: Key = ("cache_details",)
"""Cache writes by lifetime as a list of ``ttl`` and ``inputTokens``: Bedrock."""

READ_LIST_INSIDE: Key = ("cache_tokens_details",)
"""Tokens read from a cache as a list of ``modality`` and ``tokenCount``: Gemini."""

ANSWER = _keys("completion_tokens", "output_tokens")
"""Tokens of the answer: OpenAI; Anthropic, Bedrock, Responses APIs."""

CANDIDATES = _keys("candidates_token_count")
"""The answer without its thoughts: Gemini, which leaves out counts of zero."""

THOUGHTS = _keys("thoughts_token_count")
"""Tokens of thinking: Gemini."""

REASONING = _keys(
    "completion_tokens_details.reasoning_tokens",  # OpenAI: part of the answer; xAI: beside it
    "output_tokens_details.reasoning_tokens",  # OpenAI's Responses API
    "reasoning_tokens",  # Perplexity
)

ITERATIONS: Key = ("iterations",)
"""A usage per model run for one answer, for example to compact the conversation: Anthropic."""

COUNTS: frozenset[Key] = frozenset(
    {
        *(*TOTAL, *PROMPT, *INPUT, *CACHE_MISS, *ANSWER, *CANDIDATES, *THOUGHTS, *REASONING),
        *(*READ_INSIDE, *READ_BESIDE, *WRITE_INSIDE, *WRITE_BESIDE),
        *((*split, name) for split in (*WRITE_SPLIT_INSIDE, *WRITE_SPLIT_BESIDE) for name in (FIVE_MINUTES, ONE_HOUR)),
    }
)
"""All keys under which a count of tokens is read."""

OBJECTS: frozenset[Key] = frozenset(key[:-1] for key in COUNTS if len(key) > 1)
"""All keys of objects with such counts."""

LISTS = (WRITE_LIST_BESIDE, READ_LIST_INSIDE, ITERATIONS)
"""All keys of lists that are read."""

_SEARCHES = _keys(
    "server_tool_use.web_search_requests",  # Anthropic: 0.01 USD each
    "prompt_tokens_details.web_search_requests",  # litellm's name for the same
    "prompt_tokens_details.google_maps_grounding_requests",  # Gemini, by litellm
    "num_sources_used",  # xAI's live search
    "num_search_queries",  # Perplexity
    "search_context_size",  # Perplexity: a fee for each request, 97 % of a short one's price (vercel/ai#13705)
    "citation_tokens",  # Perplexity
)
_PROVIDER_TOOLS = _keys(
    "tool_use_prompt_token_count",  # Gemini
    "prompt_tokens_details.tool_use_tokens",  # litellm's name for the same
)
_OTHER_OUTPUT = _keys(
    "completion_tokens_details.image_tokens",  # OpenRouter
    "completion_tokens_details.video_tokens",
    "output_tokens_details.image_tokens",
    "output_tokens_details.video_tokens",
)

UNPRICED: Mapping[Key, str] = {
    **dict.fromkeys(_SEARCHES, "a search by the provider"),
    **dict.fromkeys(_PROVIDER_TOOLS, "tools that the provider ran"),
    **dict.fromkeys(_OTHER_OUTPUT, "an answer that is not text"),
}
"""Counts that no price of a pool covers, with a description. twinbench never requests any of these."""
