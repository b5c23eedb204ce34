"""What a response cost is read from what the provider said, and never made up."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twinbench.calls.billing import (
    BillError,
    bill_usd,
    is_plausible,
    read_usage,
    reported_cost_usd,
    served_by,
    served_model,
    worst_case_usd,
)
from twinbench.calls.response_json import decode_response
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.routing.usage import Prices, UnpricedTokensError, Usage

OPUS = Prices(input=Decimal(5), cache_read=Decimal("0.5"), cache_write=Decimal("6.25"), output=Decimal(25))
DEEPSEEK = Prices(
    input=Decimal("0.252"), cache_read=Decimal("0.0252"), cache_write=Decimal("0.252"), output=Decimal("0.378")
)

SHAPES: dict[str, tuple[dict[str, Any], Usage]] = {
    "OpenAI without a cache": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
        Usage(1000, 0, 0, 50),
    ),
    "OpenAI, details null": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": None},
        Usage(1000, 0, 0, 50),
    ),
    "OpenAI, read": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 900}},
        Usage(100, 900, 0, 50),
    ),
    "OpenRouter, read and written": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 700, "cache_write_tokens": 200, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        Usage(100, 700, 200, 50),
    ),
    "litellm, written": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cache_creation_tokens": 200}},
        Usage(800, 0, 200, 50),
    ),
    "Anthropic": (
        {
            "input_tokens": 100,
            "cache_read_input_tokens": 700,
            "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 50,
        },
        Usage(100, 700, 200, 50),
    ),
    "Anthropic without a cache": ({"input_tokens": 100, "output_tokens": 50}, Usage(100, 0, 0, 50)),
    "Anthropic, nothing new": (
        {"input_tokens": 0, "cache_read_input_tokens": 700, "output_tokens": 0},
        Usage(0, 700, 0, 0),
    ),
    "Anthropic's keys beside prompt_tokens": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "cache_read_input_tokens": 700,
            "cache_creation_input_tokens": 200,
        },
        Usage(100, 700, 200, 50),
    ),
    "everything twice": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "prompt_tokens_details": {
                "cached_tokens": 700,
                "cache_write_tokens": 200,
                "cache_creation_tokens": 200,
            },
            "input_tokens": 100,
            "output_tokens": 50,
            "cache_read_input_tokens": 700,
            "cache_creation_input_tokens": 200,
            "prompt_cache_hit_tokens": 700,
            "prompt_cache_miss_tokens": 300,
            "cached_content_token_count": 700,
        },
        Usage(100, 700, 200, 50),
    ),
    "a gateway that repeats the whole prompt": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "input_tokens": 1000,
            "prompt_tokens_details": {"cached_tokens": 700},
        },
        Usage(300, 700, 0, 50),
    ),
    "DeepSeek": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 50,
            "prompt_cache_hit_tokens": 960,
            "prompt_cache_miss_tokens": 40,
        },
        Usage(40, 960, 0, 50),
    ),
    "DeepSeek without a sum": (
        {"completion_tokens": 50, "prompt_cache_hit_tokens": 960, "prompt_cache_miss_tokens": 40},
        Usage(40, 960, 0, 50),
    ),
    "DeepSeek, hit alone": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_cache_hit_tokens": 960},
        Usage(40, 960, 0, 50),
    ),
    "Gemini in OpenAI's shape": (
        {"prompt_tokens": 1000, "completion_tokens": 50, "cached_content_token_count": 600},
        Usage(400, 600, 0, 50),
    ),
    "Gemini's own": (
        {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 30,
            "thoughtsTokenCount": 20,
            "cachedContentTokenCount": 600,
            "totalTokenCount": 1050,
        },
        Usage(400, 600, 0, 50),
    ),
    "Gemini's own, thoughts only": ({"promptTokenCount": 10, "thoughtsTokenCount": 20}, Usage(10, 0, 0, 20)),
    "Gemini's own, as its library writes it": (
        {"prompt_token_count": 10, "candidates_token_count": 20, "cached_content_token_count": 4},
        Usage(6, 4, 0, 20),
    ),
}

ONE = {"prompt_tokens": 1000, "completion_tokens": 50}
"""A usage in which nothing is wrong."""
HOURLY = Prices(**{**asdict(OPUS), "cache_write_1h": Decimal(10)})


def nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = {"x": found}
    return found


REFUSED: dict[str, tuple[Any, str]] = {
    "null": (None, "no usage: null"),
    "empty": ({}, "usage is empty"),
    "a list": ([1], r"usage is not an object: \[1\]"),
    "no prompt": ({"completion_tokens": 5}, "how long the prompt was"),
    "no answer": ({"prompt_tokens": 5}, "how long the answer was"),
    "null prompt": ({"prompt_tokens": None, "completion_tokens": 5}, "how long the prompt was"),
    "null answer": ({"prompt_tokens": 5, "completion_tokens": None}, "how long the answer was"),
    "a miss without a hit": ({"prompt_cache_miss_tokens": 5, "completion_tokens": 5}, "how long the prompt was"),
    "negative": ({"prompt_tokens": -1, "completion_tokens": 5}, r"usage.prompt_tokens is not a token count: -1"),
    "float": ({"prompt_tokens": 12.0, "completion_tokens": 5}, r"usage.prompt_tokens is not a token count: 12.0"),
    "string": ({"prompt_tokens": 5, "completion_tokens": "5"}, r"usage.completion_tokens is not a token count: '5'"),
    "bool": ({"prompt_tokens": True, "completion_tokens": 5}, r"usage.prompt_tokens is not a token count: True"),
    "absurd": (
        {"prompt_tokens": 10**12, "completion_tokens": 5},
        r"prompt_tokens is not a token count: 1000000000000",
    ),
    "a long value": ({"prompt_tokens": "9" * 500, "completion_tokens": 5}, r"'9{59}…$"),
    "negative detail": (
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -2}},
        r"usage.prompt_tokens_details.cached_tokens is not a token count: -2",
    ),
    "details that are no object": (
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": 7},
        r"usage.prompt_tokens_details is not an object: 7",
    ),
    "more cached than there is": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 41},
        },
        "60 tokens read and 41 written are more than a prompt of 100",
    ),
    "hit and miss are not the prompt": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_cache_hit_tokens": 60,
            "prompt_cache_miss_tokens": 41,
        },
        "prompt_cache_miss_tokens: 41 missed and 60 hit do not add up to a prompt of 100",
    ),
    "two reads": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "cache_read_input_tokens": 60,
            "prompt_tokens_details": {"cached_tokens": 50},
        },
        "prompt_tokens_details.cached_tokens = 50 and cache_read_input_tokens = 60",
    ),
    "two writes": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cache_write_tokens": 5, "cache_creation_tokens": 6},
        },
        "cache_write_tokens = 5 and prompt_tokens_details.cache_creation_tokens = 6",
    ),
    "two answers": (
        {"prompt_tokens": 100, "completion_tokens": 5, "output_tokens": 6},
        "completion_tokens = 5 and output_tokens = 6",
    ),
    "two prompts": (
        {"prompt_tokens": 100, "completion_tokens": 5, "input_tokens": 70, "cache_read_input_tokens": 20},
        "input_tokens: 70 where the prompt has 100, 20 of them cached",
    ),
    "nothing at all": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "a prompt of 0 tokens"),
    "an answer to nothing": ({"prompt_tokens": 0, "completion_tokens": 7}, "a prompt of 0 tokens"),
    "a total that is too large": (
        {**ONE, "total_tokens": 1725},
        "a total of 1725 tokens is not a prompt of 1000 and an answer of 50; nothing explains the other 675",
    ),
    "a total that is too small": (
        {**ONE, "total_tokens": 1049},
        "a total of 1049 tokens is not a prompt of 1000 and an answer of 50$",
    ),
    "a total of nothing": ({**ONE, "total_tokens": 0}, "a total of 0 tokens is not"),
    "a total in words": ({**ONE, "total_tokens": "1050"}, "usage.total_tokens is not a token count: '1050'"),
    "two totals": (
        {**ONE, "total_tokens": 1050, "totalTokens": 1051},
        "totalTokens = 1051 and total_tokens = 1050|total_tokens = 1050 and totalTokens = 1051",
    ),
    # As a Portkey gateway reported Bedrock (Portkey-AI/gateway#1211), with fewer cached tokens than fresh ones.
    "a prompt without its cached tokens": (
        {**ONE, "total_tokens": 1650, "prompt_tokens_details": {"cached_tokens": 600}},
        "the prompt seems to lack its 600 cached tokens",
    ),
    "part of the reasoning beside the answer": (
        {**ONE, "total_tokens": 1250, "completion_tokens_details": {"reasoning_tokens": 300}},
        "a total of 1250 tokens is not a prompt of 1000 and an answer of 50 and 300 of reasoning$",
    ),
    # 293 and 321 stood side by side in one report, 102 and 109 in another were a rough count of what was inside.
    "more reasoning than answer": (
        {**ONE, "completion_tokens_details": {"reasoning_tokens": 51}},
        "51 tokens of reasoning in an answer of 50, and no total_tokens proves",
    ),
    "more reasoning than answer, by its total": (
        {**ONE, "total_tokens": 1050, "completion_tokens_details": {"reasoning_tokens": 51}},
        "51 tokens of reasoning in an answer of 50, by its total of 1050",
    ),
    "reasoning of two sizes": (
        {**ONE, "reasoning_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
        "reasoning_tokens = 6 and reasoning_tokens = 5|reasoning_tokens = 5 and completion_tokens_details",
    ),
    "reasoning in words": ({**ONE, "reasoning_tokens": "5"}, "usage.reasoning_tokens is not a token count: '5'"),
    "an answer of Gemini's that is not the other one": (
        {**ONE, "candidates_token_count": 30, "thoughts_token_count": 5},
        "an answer of 50, and one of 30 with 5 of thoughts",
    ),
    "input with and without the cache": (
        {
            "input_tokens": 1000,
            "output_tokens": 50,
            "cache_read_input_tokens": 600,
            "input_tokens_details": {"cached_tokens": 600},
        },
        "input_tokens may include the cached tokens or not, and no total_tokens says which",
    ),
    "input whose cached tokens are nowhere documented": (
        {"input_tokens": 1000, "output_tokens": 50, "cached_tokens": 600},
        "input_tokens may include the cached tokens or not",
    ),
    "input without the cache in its total": (
        {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050, "cache_read_input_tokens": 600},
        "a total of 1050 tokens is not a prompt of 1600 and an answer of 50",
    ),
    "a split that is not its sum": (
        {
            "input_tokens": 10,
            "output_tokens": 50,
            "cache_creation_input_tokens": 900,
            "cache_creation": {"ephemeral_5m_input_tokens": 800, "ephemeral_1h_input_tokens": 0},
        },
        "cache_creation_input_tokens = 900 and cache_creation = 800",
    ),
    "an hour without a price": (
        {
            "input_tokens": 10,
            "output_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 800},
        },
        r"800 tokens were written .* for one hour, but the pool has no price for that \(prices.cache_write_1h\)",
    ),
    "an hour of Bedrock's": (
        {"inputTokens": 10, "outputTokens": 5, "cacheDetails": [{"ttl": "1h", "inputTokens": 800}]},
        "800 tokens were written to a cache for one hour",
    ),
    "no answer, though a total": (
        {"prompt_tokens": 10, "total_tokens": 10},
        "does not say how long the answer was",
    ),
    "no answer of Gemini's, and no total": ({"promptTokenCount": 10}, "does not say how long the answer was"),
    "a total that lacks a single cached token": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 16, "prompt_cache_hit_tokens": 1},
        "the prompt seems to lack its 1 cached tokens",
    ),
    "a lifetime that nobody knows": (
        {"inputTokens": 10, "outputTokens": 5, "cacheDetails": [{"ttl": "12h", "inputTokens": 800}]},
        "no price is known for a ttl of '12h'",
    ),
    "a split for half an hour": (
        {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_30m_input_tokens": 800}},
        "cache_creation.ephemeral_30m_input_tokens = 800: an unknown key that seems to count cached tokens",
    ),
    "a list of reads that is not their sum": (
        {
            "promptTokenCount": 1000,
            "candidatesTokenCount": 50,
            "cachedContentTokenCount": 600,
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 500}],
        },
        "500 tokens read from a cache by modality, 600 in all",
    ),
    "sound in": ({**ONE, "prompt_tokens_details": {"audio_tokens": 30}}, "audio_tokens = 30: audio, which no price"),
    "sound in, of Gemini's": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 5,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
        },
        "audio, or an answer that is not text, which no price of the pool covers",
    ),
    "an image out": (
        {**ONE, "completion_tokens_details": {"image_tokens": 40}},
        "image_tokens = 40: an answer that is not text",
    ),
    "an image out, of Gemini's": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 50,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 40}],
        },
        "audio, or an answer that is not text",
    ),
    "a search": ({**ONE, "server_tool_use": {"web_search_requests": 2}}, "web_search_requests = 2: a search by the"),
    "a live search": ({**ONE, "num_sources_used": 3}, "num_sources_used = 3: a search by the provider"),
    "a search in every request": ({**ONE, "search_context_size": "low"}, "search_context_size = 'low': a search"),
    "tools of the provider's": (
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "toolUsePromptTokenCount": 70, "totalTokenCount": 85},
        "toolUsePromptTokenCount = 70: tools that the provider ran",
    ),
    "iterations that are more": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "iterations": [
                {"type": "compaction", "input_tokens": 9000, "output_tokens": 700},
                {"type": "message", "input_tokens": 10, "output_tokens": 5},
            ],
        },
        "iterations add up to other counts than the usage around them",
    ),
    "iterations that are none": ({**ONE, "iterations": 3}, "usage.iterations is not a list: 3"),
    "deep": ({**ONE, "more": nested(100)}, "nested more than 64 deep"),
    "a number of 61 digits": ({**ONE, "total_tokens": 10**60}, "a number of more than 60 digits"),
    "a number of 60 digits": ({**ONE, "total_tokens": 10**60 - 1}, "is not a token count: 9999"),
    "more tokens than any call has": ({**ONE, "prompt_tokens": 10**8 + 1}, "is not a token count: 100000001"),
    "a huge number": ({**ONE, "total_tokens": 10**5000}, "a number of more than 60 digits"),
}


CACHES: list[tuple[tuple[str, ...], Any]] = [
    (("cached",), 1),
    (("cache_hits",), 9000),
    (("cacheHits",), 9000),
    (("CACHED_TOKENS",), 9000),
    (("Cached_Tokens",), 9000),
    (("prompt-cache-tokens",), 9000),
    (("prompt_caching_tokens",), 9000),
    (("kvCacheReadTokens",), 9000),
    (("cache_hit_rate",), 0.5),
    (("cached_tokens_text",), "9000"),
    (("cached_tokens_text",), " 9e3 "),
    (("cached_tokens_text",), "NaN"),
    (("from_cache",), True),
    (("cached_more",), -5),
    (("cached_more",), float("nan")),
    (("prompt_tokens_details", "cached_text"), 5),
    (("prompt_tokens_details", "cached_tokens_details", "text_tokens"), 5),
    (("completion_tokens_details", "cached_tokens"), 5),
    (("cost_details", "cache_read_cost"), 0.25),
    (("a", "b", "c", "d", "cache_e"), 5),
    (("cache", "read"), 5),
    (("cache", "levels"), [0, 0, 7]),
    (("levels",), [{"cache": 1}]),
    (("prompt_tokens_details.cached_tokens",), 5),
]


def with_cache(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A usage with a value under a path of keys."""
    usage: dict[str, Any] = copy.deepcopy(ONE)
    inner = usage
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    return usage


@pytest.mark.parametrize(("path", "value"), CACHES, ids=str)
def test_a_count_of_a_cache_under_an_unknown_key_is_refused_by_name(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(BillError, match="an unknown key that seems to count cached tokens") as refused:
        read_usage({"usage": with_cache(path, value)})
    assert str(refused.value).startswith("usage." + ".".join(path))


@pytest.mark.parametrize("value", [0, 0.0, "0", None, False, "ephemeral", "", [], {}, [0, None]], ids=str)
@pytest.mark.parametrize("path", [("cache_type",), ("prompt_tokens_details", "cacheMode"), ("cache", "read")], ids=str)
def test_a_cache_that_counts_nothing_is_no_trouble(path: tuple[str, ...], value: Any) -> None:
    assert read_usage({"usage": with_cache(path, value)}) == Usage(1000, 0, 0, 50)


@pytest.mark.parametrize("value", ["9000", -1, 5.0, True, [600], {"x": 1}, 10**9], ids=str)
@pytest.mark.parametrize(
    "path",
    [("cached_tokens",), ("cacheReadInputTokens",), ("prompt_tokens_details", "cached_tokens"), ("num_cached_tokens",)],
    ids=str,
)
def test_a_known_count_of_a_cache_is_a_whole_number(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(BillError, match=r"is not a token count|an unknown key"):
        read_usage({"usage": with_cache(path, value)})


TWICE = {
    "a count": '{"usage": {"prompt_tokens": 9, "prompt_tokens": 1000, "completion_tokens": 50}}',
    "the same count": '{"usage": {"prompt_tokens": 1000, "prompt_tokens": 1000, "completion_tokens": 50}}',
    "what is not read": '{"usage": {"prompt_tokens": 1000, "completion_tokens": 50, "note": 1, "note": 2}}',
    "a detail": '{"usage": {"prompt_tokens": 1000, "completion_tokens": 50, "x": [{"y": {"z": 1, "z": 1}}]}}',
    "the usage": '{"usage": {"prompt_tokens": 1000, "completion_tokens": 50}, "usage": null}',
}


@pytest.mark.parametrize("case", TWICE)
def test_a_key_that_stands_twice_has_no_one_cost(case: str) -> None:
    with pytest.raises(BillError, match=r"has a duplicate key: |appears twice"):
        read_usage(decode_response(TWICE[case].encode()))


def test_a_key_that_stands_twice_outside_the_usage_is_no_trouble() -> None:
    body = decode_response(b'{"id": 1, "id": 2, "usage": {"prompt_tokens": 1000, "completion_tokens": 50}}')
    assert read_usage(body) == Usage(1000, 0, 0, 50)


def test_two_usages_have_to_agree() -> None:
    gemini = {"promptTokenCount": 1000, "candidatesTokenCount": 50}
    assert read_usage({"usage": ONE, "usageMetadata": gemini}) == Usage(1000, 0, 0, 50)
    with pytest.raises(BillError, match="usage and usageMetadata of the response do not agree"):
        read_usage({"usage": ONE, "usageMetadata": {**gemini, "candidatesTokenCount": 51}})


def test_writes_for_an_hour_have_a_price_of_their_own() -> None:
    # As of Anthropic: five minutes cost 1.25 times the input, one hour twice as much as the input.
    told = {
        "input_tokens": 100,
        "cache_creation_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
        "output_tokens": 50,
    }
    usage = read_usage({"usage": told}, one_hour_writes=True)
    assert usage == Usage(100, 0, 1000, 50, cache_write_1h=600)
    # 100 · 5 + 400 · 6.25 + 600 · 10 + 50 · 25 = 10250
    assert usage.cost_usd(HOURLY) == Decimal("0.01025")
    with pytest.raises(UnpricedTokensError, match="600 tokens written to a cache for one hour have no price"):
        usage.cost_usd(OPUS)


def test_the_largest_count_is_a_hundred_million() -> None:
    found = read_usage({"usage": {"prompt_tokens": 10**8, "completion_tokens": 1}})
    assert found == Usage(input=10**8, output=1)


def test_bedrocks_list_of_writes_is_read_by_lifetime() -> None:
    usage = {"inputTokens": 10, "outputTokens": 5, "cacheDetails": [{"ttl": "5m", "inputTokens": 8}]}
    assert read_usage({"usage": usage}) == Usage(input=10, cache_write=8, output=5)
    usage["cacheDetails"] = [{"ttl": "5m", "inputTokens": 8}, {"ttl": "1h", "inputTokens": 3}]
    found = read_usage({"usage": usage}, one_hour_writes=True)
    assert found == Usage(input=10, cache_write=11, output=5, cache_write_1h=3)


def test_usage_of_old_journals_is_written_and_read_as_before() -> None:
    old = {"input": 100, "cache_read": 0, "cache_write": 1000, "output": 50}
    assert Usage(**old).to_json() == old
    assert (Usage(**old) + Usage(**old, cache_write_1h=7)).to_json() == {
        "input": 200,
        "cache_read": 0,
        "cache_write": 2000,
        "output": 100,
        "cache_write_1h": 7,
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_usage_gives_four_buckets(shape: str) -> None:
    told, expected = SHAPES[shape]
    assert read_usage({"id": "x", "usage": told}) == expected


def test_geminis_own_response_is_read_under_its_own_name() -> None:
    told, expected = SHAPES["Gemini's own"]
    assert read_usage({"usageMetadata": told}) == expected
    assert read_usage({"usage": None, "usageMetadata": told}) == expected
    with pytest.raises(BillError, match=r"usageMetadata.promptTokenCount is not a token count: -1"):
        read_usage({"usageMetadata": {**told, "promptTokenCount": -1}})


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_true_is_never_zero(case: str) -> None:
    told, message = REFUSED[case]
    with pytest.raises(BillError, match=message) as refused:
        read_usage({"usage": told})
    assert refused.value.cause is Cause.usage
    assert CAUSES[refused.value.cause].outcome_class is OutcomeClass.infra


def test_a_response_without_usage_is_refused() -> None:
    with pytest.raises(BillError, match="no usage: missing"):
        read_usage({"choices": []})


COUNTS = st.integers(0, 200_000)


@given(input_=COUNTS, read=COUNTS, write=COUNTS, output=COUNTS, data=st.data())
def test_the_buckets_sum_to_the_prompt_in_every_shape(
    input_: int, read: int, write: int, output: int, data: st.DataObject
) -> None:
    prompt = input_ + read + write
    assume(prompt > 0)
    shapes: list[dict[str, Any]] = [
        {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": write},
        },
        {
            "input_tokens": input_,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write,
            "output_tokens": output,
        },
        {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write,
            "prompt_cache_miss_tokens": input_ + write,
        },
    ]
    usage = read_usage({"usage": data.draw(st.sampled_from(shapes))})
    assert usage == Usage(input_, read, write, output)
    assert usage.input + usage.cache_read + usage.cache_write == prompt


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*SHAPES["everything twice"][0], "cached_tokens", "cost"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_usage_is_whole_counts_or_an_error(told: Any) -> None:
    body = {"usage": told, "model": told, "provider": told}
    cost = reported_cost_usd(body)
    assert cost is None or cost >= 0
    assert served_model(body) == (told or None if isinstance(told, str) else None)
    try:
        usage = read_usage(body)
    except BillError:
        return
    assert min(usage.input, usage.cache_read, usage.cache_write, usage.output) >= 0


def test_a_call_costs_what_its_buckets_cost() -> None:
    told = SHAPES["OpenRouter, read and written"][0]
    # 100 · 5 + 700 · 0.5 + 200 · 6.25 + 50 · 25 = 3350 USD a million tokens
    assert read_usage({"usage": told}).cost_usd(OPUS) == Decimal("0.00335")
    # 40 · 0.252 + 960 · 0.0252 + 50 · 0.378 = 53.172
    assert read_usage({"usage": SHAPES["DeepSeek"][0]}).cost_usd(DEEPSEEK) == Decimal("0.000053172")


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (0.01172, "0.01172"),
        (1.5e-07, "1.5E-7"),
        (0, "0"),
        (10**6, "1000000"),
        ("1000000.01", None),
        ("0.00405", "0.00405"),
        (Decimal("0.3"), "0.3"),
        (None, None),
        (True, None),
        (-0.5, None),
        (float("nan"), None),
        (float("inf"), None),
        ("free", None),
        ("1e999999999", None),
        ({"usd": 1}, None),
        ([0.1], None),
    ],
)
def test_the_providers_own_cost_is_an_amount_or_nothing(cost: Any, expected: str | None) -> None:
    found = reported_cost_usd({"usage": {"cost": cost}})
    assert found == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("usd", "plausible"),
    [
        ("1e12", True),
        ("1000000000000.01", False),
        ("-0.01", False),
        ("0." + "1" * 60, True),
        ("0." + "1" * 61, False),
        ("1." + "1" * 59, True),
        ("1." + "1" * 60, False),
        ("1e-60", True),
        ("1e-61", False),
        ("0e60", True),
        ("0e61", False),
        ("NaN", False),
        ("Infinity", False),
    ],
)
def test_an_amount_that_can_occur_has_few_digits(usd: str, plausible: bool) -> None:
    assert is_plausible(Decimal(usd)) is plausible


def test_a_reported_cost_begins_within_thirty_places() -> None:
    assert reported_cost_usd({"usage": {"cost": "1e-30"}}) == Decimal("1e-30")
    assert reported_cost_usd({"usage": {"cost": "9e-31"}}) is None


def test_the_providers_own_cost_survives_json_exactly() -> None:
    assert reported_cost_usd(json.loads('{"usage": {"cost": 0.1}}')) == Decimal("0.1")
    assert reported_cost_usd({}) is None
    assert reported_cost_usd({"usage": None}) is None


def test_who_answered_is_told() -> None:
    body = {"model": "anthropic/claude-opus-4.6", "provider": "Google"}
    assert (served_model(body), served_by(body)) == ("anthropic/claude-opus-4.6", "Google")
    assert (served_model({"model": ""}), served_by({"provider": {"name": "x"}})) == (None, None)


def test_the_worst_case_is_all_cold_and_as_long_as_it_may_become() -> None:
    # 1.3 · 1000 · 6.25 + 100 · 25 = 10625 USD a million tokens: writing is dearer than input
    assert worst_case_usd(1000, OPUS, 100) == Decimal("0.010625")
    cheap = Prices(
        input=Decimal("0.5"), cache_read=Decimal("0.05"), cache_write=Decimal("0.083333333"), output=Decimal(3)
    )
    # 1.3 · 1000 · 0.5 + 100 · 3 = 950: input is dearer
    assert worst_case_usd(1000, cheap, 100) == Decimal("0.00095")
    assert worst_case_usd(0, OPUS, 0) == 0


def test_a_part_of_a_femtodollar_is_a_whole_one() -> None:
    tiny = Prices(input=Decimal("0.000000001"), cache_read=Decimal(0), cache_write=Decimal(0), output=Decimal(0))
    assert worst_case_usd(1, tiny, 0) == Decimal("0.000000000000002")  # 1.3 femtodollars
    assert worst_case_usd(10, tiny, 0) == Decimal("0.000000000000013")


@given(
    input_=COUNTS,
    read=COUNTS,
    write=COUNTS,
    share=st.floats(0, 1),
    output=st.integers(0, 32_768),
    prices=st.builds(
        Prices, *[st.decimals(0, 100, places=3)] * 4, cache_write_1h=st.none() | st.decimals(0, 100, places=3)
    ),
)
def test_no_call_within_its_count_costs_more_than_its_worst_case(
    input_: int, read: int, write: int, share: float, output: int, prices: Prices
) -> None:
    hour = 0 if prices.cache_write_1h is None else int(share * write)
    usage = Usage(input_, read, write, output, hour)
    counted = -(-10 * (input_ + read + write) // 13)
    assert usage.cost_usd(prices) <= worst_case_usd(counted, prices, 32_768)


def test_the_worst_case_is_dearer_where_an_hour_is_priced() -> None:
    # 1.3 · 1000 · 10 + 100 · 25 = 15500 USD a million tokens
    assert worst_case_usd(1000, HOURLY, 100) == Decimal("0.0155")


@pytest.mark.parametrize(("prompt", "answer"), [(-1, 0), (0, -1)])
def test_a_worst_case_of_no_counts_is_refused(prompt: int, answer: int) -> None:
    with pytest.raises(ValueError, match="token counts must be"):
        worst_case_usd(prompt, OPUS, answer)


PENALTY = Decimal("0.60")
PUBLISHED = [
    # policy, resolved, cases, cost, penalty, bill: constants.json, published.dynamic_heldout100 (TwinRouterBench,
    # arXiv 2605.18859, table of the live track); the penalty is its unresolved_penalty_usd
    ("UncommonRoute (trained)", 75, 100, "25.6595579424", "15.0", "40.6595579424"),
    ("Opus 4.6 (no routing)", 74, 100, "54.72827875", "15.6", "70.32827875"),
    ("SR-KNN router", 75, 100, "55.607370784", "15.0", "70.607370784"),
    ("UncommonRoute (rule-based)", 73, 100, "172.5628115", "16.2", "188.7628115"),
]


@pytest.mark.parametrize(("policy", "resolved", "cases", "cost", "penalty", "bill"), PUBLISHED)
def test_published_bills_are_reproduced(
    policy: str, resolved: int, cases: int, cost: str, penalty: str, bill: str
) -> None:
    # The published rows have totals only; however they are divided over the cases, the bills add up to the total.
    first, *others = [Decimal(cost) / 4, *[Decimal(0)] * (cases - 2), Decimal(cost) / 4 * 3]
    bills = [bill_usd(each, number < resolved, PENALTY) for number, each in enumerate((first, *others))]
    assert sum(bills) == Decimal(bill)
    assert sum(bills) - Decimal(cost) == Decimal(penalty)


def test_giving_up_costs_the_penalty_of_every_case() -> None:
    assert sum(bill_usd(Decimal(0), False, PENALTY) for _ in range(100)) == 60
