"""Cache writes that last an hour: billed again at other prices, and in what a run is exported to."""

from __future__ import annotations

import json
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.commands import twinbench
from tests.reports.journals import HIGH, Call, Case, write_live_run
from twinbench.storage import resources
from twinbench.storage.manifest_files import live_manifest

CALLS = (
    Call(HIGH, usage=(100, 0, 1000, 50), hour=600, cost_usd="0.01025"),
    Call(HIGH, usage=(100, 1000, 0, 50), cost_usd="0.00225"),
    Call(HIGH, usage=(100, 0, 2000, 50), hour=1500, cost_usd="0.019875"),
)
"""At 5, 0.5, 6.25, 25 USD a million tokens, and 10 for what is written for an hour."""


def pool(path: Path, hour: str | None) -> Path:
    """The released pool, with a price of its strongest model's writes for an hour."""
    text = (resources.pools_dir() / "live-2026-04.toml").read_text("utf-8").replace("live-2026-04", "hourly")
    if hour is not None:
        old = "cache_write = 6.25"
        assert text.count(old) == 1
        text = text.replace(old, f"{old}, cache_write_1h = {hour}")
    path.write_text(text, "utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    hourly = pool(tmp_path / "hourly.toml", "10")
    return write_live_run(tmp_path / "run", [Case(calls=CALLS)], pool=str(hourly))


def test_a_run_is_billed_again_at_another_price_of_an_hour(run: Path, tmp_path: Path) -> None:
    whole = twinbench("dynamic", "score", run, "--json").succeeded().json
    assert whole["cost_usd"] == pytest.approx(0.032375)
    dearer = pool(tmp_path / "dearer.toml", "20")
    again = twinbench("dynamic", "score", run, "--json", "--prices", dearer).succeeded().json
    # 2100 tokens for an hour cost 10 USD a million more
    assert again["cost_usd"] == pytest.approx(0.032375 + 0.021)


def test_prices_without_one_for_an_hour_cannot_bill_such_writes_again(run: Path, tmp_path: Path) -> None:
    ran = twinbench("dynamic", "score", run, "--prices", pool(tmp_path / "plain.toml", None))
    assert ran.code == 2
    assert "a__a-1: 600 tokens written to a cache for one hour have no price" in ran.err
    assert f"candidate {HIGH} of --prices hourly needs prices.cache_write_1h" in ran.err


def test_a_broken_cache_is_paid_at_the_price_of_what_was_written_again(run: Path) -> None:
    # The second call read all but 100 tokens of the first, which were plain input; the third read none of the 1,100 of
    # the second: they were written again, for an hour.
    found = twinbench("dynamic", "score", run, "--json").succeeded().json
    assert found["broken_cache_usd"] == pytest.approx((100 * (5 - 0.5) + 1100 * (10 - 0.5)) / 1e6)


@pytest.mark.acceptance
def test_exports_count_a_write_once(run: Path, tmp_path: Path) -> None:
    for what in ("calls", "attempts"):
        lines = twinbench("dynamic", "export", run, "-o", "-", "--what", what).succeeded().text.splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["cache_write_1h"] for row in rows] == [600, 0, 1500]
        assert [row["cache_write"] for row in rows] == [1000, 0, 2000]
    [trial] = twinbench("dynamic", "export", run, "-o", "-", "--what", "trials").succeeded().text.splitlines()
    assert (json.loads(trial)["cache_write"], json.loads(trial)["cache_write_1h"]) == (3000, 2100)

    spans = twinbench("dynamic", "export", run, "-o", "-", "--format", "otel").succeeded().text
    told = [int(count) for count in re.findall(r'"gen_ai.usage.input_tokens", "value": {"intValue": "(\d+)"', spans)]
    assert told == [1100, 1100, 2100]
    assert re.findall(r'"twinbench.cache_write_1h", "value": {"intValue": "(\d+)"', spans) == ["2100", "600", "1500"]

    target = tmp_path / "run.eval"
    twinbench("dynamic", "export", run, "-o", target, "--format", "inspect").succeeded()
    usage = json.loads(zipfile.ZipFile(target).read("header.json"))["stats"]["model_usage"][HIGH]
    assert (usage["input_tokens_cache_write"], usage["total_tokens"]) == (3000, 4300 + 150)


def test_a_pool_keeps_its_fingerprint_where_an_hour_has_no_price(tmp_path: Path) -> None:
    released = live_manifest()
    plain, hourly = pool(tmp_path / "plain.toml", None), pool(tmp_path / "hourly.toml", "10")
    plain.write_text(plain.read_text("utf-8").replace('name = "hourly"', f'name = "{released.name}"'), "utf-8")
    assert live_manifest(str(plain)).fingerprint == released.fingerprint
    assert live_manifest(str(hourly)).fingerprint != released.fingerprint
    shown = twinbench("pool", "show", plain, "--json").succeeded().json
    assert all(set(each["prices"]) == {"input", "cache_read", "cache_write", "output"} for each in shown["candidates"])
    shown = twinbench("pool", "show", hourly, "--json").succeeded().json
    assert [Decimal(each["prices"].get("cache_write_1h", -1)) for each in shown["candidates"]] == [-1, -1, -1, 10]


def test_the_static_track_knows_no_such_price(tmp_path: Path) -> None:
    text = (resources.pools_dir() / "static-2026-04.toml").read_text("utf-8")
    path = tmp_path / "static.toml"
    path.write_text(text.replace("cache_write = ", "cache_write_1h = 1, cache_write = ", 1), "utf-8")
    ran = twinbench("pool", "check", path)
    assert ran.code == 1
    assert "cache_write_1h: is not a known field" in ran.err
