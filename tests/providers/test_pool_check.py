"""``pool check --live``: what a gateway has of a pool, for less than a cent."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.refusals import Model
from dynamic_track.rehearsal.replies import (
    ABSENT,
    ABSURD_USAGE,
    Counts,
    Cut,
    Hang,
    Message,
    Raw,
    Reply,
    Shape,
    bad_request,
    invalid_json,
    rate_limited,
    server_error,
    unauthorized,
)
from dynamic_track.rehearsal.server import Asked
from tests.cli.commands import Ran, twinbench
from tests.providers.asking import KEY, KEY_VARIABLE
from tests.scripted.server import ScriptedServer
from twinbench.providers.checking import bounds
from twinbench.storage import resources
from twinbench.storage.manifest_files import live_manifest, load_manifest
from twinbench.storage.manifests import LiveCandidate, LiveManifest

POOL = "live-2026-04"


def pool() -> LiveManifest:
    manifest = load_manifest(POOL)
    assert isinstance(manifest, LiveManifest)
    return manifest


def listed(**changed: str) -> list[Model]:
    """The pool's models at its prices; ``changed`` are prices of the first."""
    names = {
        "prompt": "input",
        "completion": "output",
        "input_cache_read": "cache_read",
        "input_cache_write": "cache_write",
    }
    models = []
    for index, candidate in enumerate(pool().candidates):
        prices = {key: f"{getattr(candidate.prices, bucket).scaleb(-6):f}" for key, bucket in names.items()}
        models.append(Model(candidate.model, prices | (changed if index == 0 else {}), candidate.context_window))
    return models


def check(server: ScriptedServer, *more: str, named: str | Path = POOL) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        live = ("--live", "--api-base", server.api_base, "--api-key-env", KEY_VARIABLE)
        return twinbench("pool", "check", str(named), *live, *more)


def first(reply: Reply, **options: Any) -> tuple[Ran, dict[str, Any]]:
    """The check where the pool's first candidate answers so and the others well; what is found about the first."""

    def script(asked: Asked) -> Reply:
        return reply if asked.body["model"] == pool().candidates[0].model else Message("Ready")

    with ScriptedServer(script, **({"models": listed(), "api_key": KEY} | options)) as server:
        # Who hangs is waited for; on a busy machine, and where litellm is loaded first, the others take seconds too.
        ran = check(server, "--json", "--call-timeout", "15" if isinstance(reply, Hang) else "120")
    found = ran.json["live"][POOL]["candidates"]
    assert not any(each["problems"] for each in found[1:])
    return ran, found[0]


def test_a_gateway_that_has_all_is_well() -> None:
    with ScriptedServer(lambda _: Message("Ready", usage=Shape.own), models=listed(), api_key=KEY) as server:
        ran = check(server, "--json").succeeded()
        seen = check(server).succeeded()
    live = ran.json["live"][POOL]
    assert [each["id"] for each in live["candidates"]] == [each.id for each in pool().candidates]
    for each in live["candidates"]:
        assert each["problems"] == []
        assert each["listed"] is True
        assert each["answered"] is True
        assert each["prices_differ"] is False
        assert set(each["told_usd"]) == {"input", "cache_read", "cache_write", "output"}
        assert each["served_model"] == each["id"]
        assert sum(each["usage"].values()) > 0
    assert 0 < float(live["spent_usd"]) <= float(live["estimate_usd"]) < 0.01
    assert f"asking 4 models for one word: {float(live['estimate_usd']):.7f} USD at most" in seen.err
    assert "as locked" in seen.text
    assert KEY not in ran.text + ran.err + seen.text + seen.err


def test_a_candidate_is_asked_once_as_a_run_would_ask_it() -> None:
    with ScriptedServer(lambda _: Message("Ready"), models=listed()) as server:
        check(server, "--json").succeeded()
    bodies = {asked.body["model"]: asked.body for asked in server.completions}
    assert len(server.completions) == len(bodies) == len(pool().candidates)
    for candidate in pool().candidates:
        body = bodies[candidate.model]
        assert body["max_tokens"] == 16
        assert body["temperature"] == candidate.temperature
        assert ("cache_control" in str(body)) == (candidate.cache_control is not None)


def test_a_model_that_is_not_listed_is_wrong() -> None:
    ran, found = first(Message("Ready"), models=listed()[1:])
    assert ran.code == 1
    assert found["listed"] is False
    assert "no deepseek/deepseek-v3.2" in found["problems"][0]


def test_a_gateway_without_a_list_is_no_problem() -> None:
    with ScriptedServer(lambda _: Message("Ready")) as server:
        ran = check(server, "--json").succeeded()
    assert {each["listed"] for each in ran.json["live"][POOL]["candidates"]} == {None}


def test_other_prices_are_named() -> None:
    ran, found = first(Message("Ready"), models=listed(completion="0.0000005", input_cache_write="0"))
    assert ran.code == 1
    assert found["problems"] == ["output costs 0.5 USD per million tokens; the locked price is 0.378"]
    assert found["prices_differ"] is True


@pytest.mark.parametrize("pricing", [{"completion": "-1"}, {"completion": "free"}, {"completion": "NaN"}])
def test_a_price_that_is_none_is_not_told(pricing: dict[str, str]) -> None:
    ran, found = first(Message("Ready"), models=listed(**pricing))
    assert ran.code == 0
    assert "output" not in found["told_usd"]


def test_another_name_is_proposed() -> None:
    ran, found = first(Message("Ready", model="deepseek/deepseek-v3.2-20251201"))
    assert ran.code == 1
    assert found["answered"] is True
    assert found["proposed"] == ["deepseek/deepseek-v3.2", "deepseek/deepseek-v3.2-20251201"]
    assert float(found["cost_usd"]) > 0


def test_the_table_tells_what_to_write() -> None:
    with ScriptedServer(lambda _: Message("Ready", model="other/[red]\x1b[31m"), models=listed()) as server:
        ran = check(server)
    assert ran.code == 1
    assert 'served_as = ["deepseek/deepseek-v3.2", "other/[red]' in ran.text
    assert "\x1b" not in ran.text + ran.err


@pytest.mark.parametrize("usage", [*ABSURD_USAGE.values(), None, ABSENT], ids=[*ABSURD_USAGE, "null itself", "none"])
def test_usage_that_cannot_be_billed_is_wrong(usage: Any) -> None:
    ran, found = first(Message("Ready", usage=usage))
    assert ran.code == 1
    assert found["usage"] is None
    assert found["answered"] is True
    assert "usage" in found["problems"][0]


@pytest.mark.parametrize("shape", [*Shape, Counts(prompt=10, read=4, output=2, cost_usd=0.0001)], ids=str)
def test_every_shape_of_usage_is_known(shape: Shape | Counts) -> None:
    ran, found = first(Message("Ready", usage=shape))
    assert ran.code == 0
    assert found["usage"]["output"] > 0


def test_usage_is_judged_by_what_was_asked_for() -> None:
    longer = {"prompt_tokens": 10, "completion_tokens": 17, "total_tokens": 27}
    ran, found = first(Message("Ready", usage=longer))
    assert ran.code == 1
    assert found["problems"] == ["usage: an answer of 17 tokens where max_tokens allows 16"]


def test_a_count_that_stands_twice_is_wrong() -> None:
    def twice(asked: Asked) -> Reply:
        body = {
            "model": asked.body["model"],
            "choices": [{"message": {"role": "assistant", "content": "Ready"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        }
        return Raw(
            200, json.dumps(body).replace('"prompt_tokens": 10', '"prompt_tokens": 10, "prompt_tokens": 9').encode()
        )

    with ScriptedServer(twice, models=listed()) as server:
        ran = check(server, "--json")
    assert ran.code == 1
    for each in ran.json["live"][POOL]["candidates"]:
        assert each["problems"] == ["usage has a duplicate key: 'prompt_tokens'"]


HOURLY = {"deepseek/deepseek-v3.2": "0.6", "anthropic/claude-opus-4.6": "10.0"}
"""Prices of writes for an hour, of a pool of one's own."""


def dearest(candidate: LiveCandidate) -> Message:
    """An answer that costs all that the question may: nothing read, all written, for an hour where that is sold."""
    bound = bounds(pool().candidates)[candidate.id]
    prompt = bound.prompt_tokens * 13 // 10
    hour = prompt if candidate.model in HOURLY else 0
    return Message(
        "Ready",
        usage={
            "input_tokens": 0,
            "cache_creation_input_tokens": prompt,
            "cache_creation": {"ephemeral_5m_input_tokens": prompt - hour, "ephemeral_1h_input_tokens": hour},
            "output_tokens": bound.max_tokens,
        },
    )


def hourly_pool(path: Path) -> Path:
    """The released pool, with prices of writes for an hour."""
    lines = []
    model = ""
    for line in (resources.pools_dir() / f"{POOL}.toml").read_text("utf-8").splitlines():
        model = line.split('"')[1] if line.startswith("model = ") else model
        if model in HOURLY and line.startswith("prices = "):
            line = line.replace("}", f", cache_write_1h = {HOURLY[model]} }}")
        lines.append(line)
    path.write_text("\n".join(lines).replace(f'name = "{POOL}"', 'name = "hourly"'), "utf-8")
    return path


def test_at_most_is_what_the_dearest_answers_cost(tmp_path: Path) -> None:
    by_model = {candidate.model: candidate for candidate in pool().candidates}
    hourly = hourly_pool(tmp_path / "hourly.toml")
    with ScriptedServer(lambda asked: dearest(by_model[asked.body["model"]]), models=listed()) as server:
        ran = check(server, "--json", named=hourly)
        asked = len(server.completions)
    live = ran.json["live"][str(hourly)]
    assert asked == len(by_model), "each is asked once, so that no retry costs more"
    # Writes are cheaper than plain input in one candidate's prices: that one can cost more than this answer does.
    cheap = [each for each in by_model.values() if each.prices.cache_write < each.prices.input]
    for each in live["candidates"]:
        assert each["problems"] == []
        bound = bounds(live_manifest(str(hourly)).candidates)[each["id"]].usd
        spent = Decimal(each["spent_usd"])
        assert spent <= bound
        assert spent > bound * Decimal("0.99") or each["id"] in [candidate.id for candidate in cheap]
        assert (each["usage"].get("cache_write_1h", 0) > 0) == (by_model[each["id"]].model in HOURLY)
    assert Decimal(live["spent_usd"]) <= Decimal(live["estimate_usd"])


@pytest.mark.parametrize("reply", [server_error(), Cut(), Message("Ready", usage={})], ids=["500", "cut", "no usage"])
def test_what_may_have_been_billed_counts_in_full(reply: Reply) -> None:
    with ScriptedServer(lambda _: reply, models=listed()) as server:
        live = check(server, "--json").json["live"][POOL]
    assert len(server.completions) == len(pool().candidates)
    assert live["spent_usd"] == live["estimate_usd"]


def test_what_was_refused_costs_nothing() -> None:
    with ScriptedServer(lambda _: bad_request(), models=listed()) as server:
        live = check(server, "--json").json["live"][POOL]
    assert live["spent_usd"] == "0"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 9000, "completion_tokens": 2, "total_tokens": 9002},
        {
            "prompt_tokens": 20,
            "completion_tokens": 2,
            "total_tokens": 4022,
            "completion_tokens_details": {"reasoning_tokens": 4000},
        },
    ],
    ids=["a long prompt of its own", "reasoning beside the answer"],
)
def test_who_bills_more_than_can_be_reserved_is_named(usage: dict[str, Any]) -> None:
    ran, found = first(Message("Ready", usage=usage))
    assert ran.code == 1
    assert "reservations of a run would be too small:" in found["problems"][0]
    assert Decimal(found["spent_usd"]) == Decimal(found["cost_usd"]) > bounds(pool().candidates)[found["id"]].usd


REFUSED: dict[str, tuple[Reply, str]] = {
    "bad key": (unauthorized(), "status 401"),
    "bad request": (bad_request("max_tokens: at least 1024"), "max_tokens: at least 1024"),
    "busy": (rate_limited(17), "ask again in 17 s"),
    "hang": (Hang(), "no full answer within"),
    "cut": (Cut(), "connection broke"),
    "no JSON": (invalid_json(), "cannot be read"),
}


@pytest.mark.parametrize(("reply", "said"), REFUSED.values(), ids=REFUSED)
def test_a_candidate_that_does_not_answer_is_wrong(reply: Reply, said: str) -> None:
    ran, found = first(reply)
    assert ran.code == 1
    assert found["answered"] is False
    assert said in found["problems"][0]


def test_more_than_allowed_is_not_asked() -> None:
    with ScriptedServer(lambda _: Message("Ready"), models=listed()) as server:
        ran = check(server, "--max-usd", "0.0001")
        assert not server.asked
    assert ran.code == 2
    assert "more than --max-usd 0.0001" in ran.err


def test_a_manifest_that_is_wrong_is_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "live"\n', "utf-8")
    with ScriptedServer(lambda _: Message("Ready")) as server:
        ran = check(server, "--json", named=path)
        assert not server.asked
    assert ran.code == 1
    assert ran.json["live"] == {}


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no pool": (("--live", "--api-base", "http://127.0.0.1:9/v1"), "name the pool"),
    "no address": ((POOL, "--live"), "--api-base"),
    "no live pool": (("static-2026-04", "--live", "--api-base", "http://127.0.0.1:9/v1"), "is for live pools"),
    "no --live": ((POOL, "--api-base", "http://127.0.0.1:9/v1"), "of --live"),
    "no key": (
        (POOL, "--live", "--api-base", "http://127.0.0.1:9/v1", "--api-key-env", "NOT_SET_HERE"),
        "NOT_SET_HERE",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_told(arguments: tuple[str, ...], said: str) -> None:
    ran = twinbench("pool", "check", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_a_gateway_that_is_not_there_is_wrong_for_every_candidate() -> None:
    ran = twinbench("pool", "check", POOL, "--live", "--api-base", "http://127.0.0.1:9/v1", "--json")
    assert ran.code == 1
    for each in ran.json["live"][POOL]["candidates"]:
        assert each["listed"] is None
        assert "refused" in each["problems"][0]
