"""What providers' usage blocks cost where a run that was made elsewhere is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Ran, twinbench
from tests.runs import MODEL, POOL, V1, V1_BLOCK, a_run, response, saying, write_run

PRICES = "input = 1.0, cache_read = 0.1, cache_write = 1.25, output = 10.0"

FOUND: dict[str, tuple[float, tuple[int, int, int, int]] | str] = {
    "anthropic_native": (0.00325, (100, 9000, 1000, 100)),
    "anthropic_split_only": (0.00235, (100, 0, 1000, 100)),
    "deepseek": (0.0029, (1000, 9000, 0, 100)),
    "grok_reasoning_apart": (0.031, (10_000, 0, 0, 2100)),
    "kimi_cached_top_level": (0.0029, (1000, 9000, 0, 100)),
    "openai_reasoning_inside": (0.031, (10_000, 0, 0, 2100)),
    "openrouter_byok": (0.0029, (1000, 9000, 0, 100)),
    "prompt_excl_cache_total_incl": "the prompt seems to lack its 9000 cached tokens",
    "responses_style_input_details": (0.0029, (1000, 9000, 0, 100)),
    "zero_usage": "a prompt of 0 tokens",
}
"""Files of ``found/usage``: cost in USD and buckets, or why it is refused."""

BUCKETS = ("input", "cache_read", "cache_write", "output")


def imported(run: Path, pool: Path, file: Path) -> Ran:
    return twinbench("dynamic", "import", file, "--run", run, "--pool", pool, "--json")


def check(ran: Ran, right: tuple[float, tuple[int, int, int, int]] | str) -> dict[str, Any]:
    """That one call was imported at the right cost, or refused with the right words."""
    (run,) = ran.json["runs"]
    (call,) = run["by_call"]
    if isinstance(right, str):
        assert ran.code == 1
        assert (call["usage"], call["cost_usd"], run["recorded"]) == (None, None, 0)
        assert right in call["problem"]
        assert f"call 1: usage: {call['problem'].partition(': ')[2]}" == run["why"]
        assert right in ran.err
    else:
        cost_usd, buckets = right
        assert ran.code == 0, ran.err
        assert call["usage"] == dict(zip(BUCKETS, buckets, strict=True))
        assert (call["cost_usd"], run["cost_usd"], run["recorded"]) == (cost_usd, cost_usd, 1)
    found: dict[str, Any] = call
    return found


@pytest.mark.parametrize("name", FOUND)
def test_a_usage_that_was_once_wrong_costs_what_it_should(name: str, tmp_path: Path, shared: Path) -> None:
    folder = shared / "found" / "usage"
    if not folder.is_dir():
        pytest.skip(f"the inputs are not at {folder}")
    call = check(imported(tmp_path / "run", folder / "pool.toml", folder / f"{name}.traj.json"), FOUND[name])
    if call["cost_usd"] is not None and name != "openrouter_byok":  # whose reported cost is what the gateway keeps
        assert call["difference_usd"] == 0


def test_every_usage_that_was_once_wrong_is_tried(shared: Path) -> None:
    folder = shared / "found" / "usage"
    if not folder.is_dir():
        pytest.skip(f"the inputs are not at {folder}")
    assert {path.name.removesuffix(".traj.json") for path in folder.glob("*.traj.json")} == set(FOUND)


def a_file(path: Path, usage: dict[str, Any]) -> Path:
    """A run of one call with a usage."""
    answer = saying("ls", V1_BLOCK)
    told = response(answer, cost=None)
    told["usage"] = usage
    opening = [{"role": "user", "content": "Fix it."}]
    return write_run(path / "a.traj.json", a_run(V1, [*opening, answer | {"extra": {"response": told}}]))


def a_pool(path: Path, more: str = "", max_tokens: int = 4096) -> Path:
    text = POOL.replace("MODEL", MODEL).replace("max_tokens = 32768", f"max_tokens = {max_tokens}")
    start, end = text.index("prices = {"), text.index("served_as")
    path.write_text(f"{text[:start]}prices = {{ {PRICES}{more} }}\n{text[end:]}", "utf-8")
    return path


INLINE: dict[str, tuple[dict[str, Any], tuple[float, tuple[int, int, int, int]] | str]] = {
    "reasoning beside the answer": (
        {
            "prompt_tokens": 279,
            "completion_tokens": 6,
            "total_tokens": 374,
            "completion_tokens_details": {"reasoning_tokens": 89},
        },
        (0.001229, (279, 0, 0, 95)),
    ),
    "cached tokens on top": (
        {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "cached_tokens": 800},
        (0.00038, (200, 800, 0, 10)),
    ),
    "a split alone": (
        {"input_tokens": 10, "output_tokens": 10, "cache_creation": {"ephemeral_5m_input_tokens": 800}},
        (0.00111, (10, 0, 800, 10)),
    ),
    "camel case": (
        {"inputTokens": 10, "outputTokens": 10, "totalTokens": 820, "cacheReadInputTokens": 800},
        (0.00019, (10, 800, 0, 10)),
    ),
    "details of the prompt": (
        {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "total_tokens": 1010,
            "prompt_tokens_details": {"cache_creation_input_tokens": 800, "cached_tokens": 0},
        },
        (0.0013, (200, 0, 800, 10)),
    ),
    "no sum": (
        {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1500},
        "nothing explains the other 490",
    ),
    "a longer answer than allowed": (
        {"prompt_tokens": 1000, "completion_tokens": 4097, "total_tokens": 5097},
        "an answer of 4097 tokens where max_tokens allows 4096",
    ),
    "a cache that nobody knows": (
        {"prompt_tokens": 1000, "completion_tokens": 10, "promptCacheHits": 800},
        "usage.promptCacheHits = 800: an unknown key that seems to count cached tokens",
    ),
    "an hour without a price": (
        {
            "input_tokens": 10,
            "output_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 800},
        },
        "but the pool has no price for that (prices.cache_write_1h)",
    ),
}


@pytest.mark.parametrize("case", INLINE)
def test_a_usage_costs_what_it_says_or_is_refused(case: str, tmp_path: Path) -> None:
    usage, right = INLINE[case]
    check(imported(tmp_path / "run", a_pool(tmp_path / "pool.toml"), a_file(tmp_path, usage)), right)


def test_writes_for_an_hour_cost_what_the_pool_says(tmp_path: Path) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 10,
        "cache_creation_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 800},
    }
    pool = a_pool(tmp_path / "pool.toml", ", cache_write_1h = 2.0")
    ran = imported(tmp_path / "run", pool, a_file(tmp_path, usage)).succeeded()
    (run,) = ran.json["runs"]
    (call,) = run["by_call"]
    assert call["usage"] == dict(zip(BUCKETS, (10, 0, 1000, 10), strict=True)) | {"cache_write_1h": 800}
    # 10 · 1 + 200 · 1.25 + 800 · 2 + 10 · 10 = 1960 USD a million tokens
    assert (call["cost_usd"], run["recorded"]) == (0.00196, 1)

    again = twinbench("dynamic", "replay", tmp_path / "run", "--json").succeeded()
    (shown,) = again.json["runs"]
    assert (shown["equal"], shown["cost_usd"], shown["by_call"][0]["usage"]) == (True, 0.00196, call["usage"])
