"""Manifests: what is refused, what is locked, and that their numbers are the protocol's."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from twinbench.errors import ContentError, UsageError
from twinbench.routing.tiers import TIER_LABELS, Tier
from twinbench.storage import resources
from twinbench.storage.locks import locked_fingerprints
from twinbench.storage.manifest_files import (
    check_manifest,
    heldout_instances,
    live_manifest,
    load_manifest,
    manifest_names,
    static_manifest,
)
from twinbench.storage.manifests import LiveManifest, SplitsManifest, StaticManifest
from twinbench.storage.published import published_results

STATIC, LIVE, SPLITS, BANKS = "static-2026-04", "live-2026-04", "splits-2026-04", "banks-2026-04"
SMALL = "small-models-2026-11"

Edit = Callable[[str], str]


def replacing(old: str, new: str) -> Edit:
    """An edit of a manifest's text that must find what it replaces."""

    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def edited(name: str, edit: Edit, folder: Path) -> Path:
    """A shipped manifest with one change, as a file of one's own."""
    path = folder / "mine.toml"
    path.write_text(edit((resources.pools_dir() / f"{name}.toml").read_text("utf-8")), "utf-8")
    return path


# What is wrong: the manifest, what stands there, what stands there instead, the field named, and words of the message.
REFUSED: dict[str, tuple[str, str, str, str, str]] = {
    "unknown field": (STATIC, "[rates]", "surprise = 1\n[rates]", "surprise", "is not a known field"),
    "unknown field of a price": (
        STATIC,
        "output = 0.5 }",
        "output = 0.5, tax = 1 }",
        "rates.low.tax",
        "is not a known field",
    ),
    "negative price": (STATIC, "output = 0.5", "output = -0.5", "rates.low.output", "must be at least 0"),
    "price that is not a number": (STATIC, "output = 0.5", "output = nan", "rates.low.output", "finite"),
    "endless price": (LIVE, "output = 0.378", "output = inf", "candidates[0].prices.output", "finite"),
    "number without end": (STATIC, "ttl_steps = 3", "ttl_steps = 1e999999999", "", "too large or too small"),
    "count beyond all bounds": (
        STATIC,
        "tokens_priming = 2",
        "tokens_priming = 3000000000",
        "tokens_priming",
        "must be at most",
    ),
    "missing price": (STATIC, "cache_read = 0.13, ", "", "rates.low.cache_read", "is missing"),
    "tier without rates": (STATIC, "mid = { input", "middle = { input", "rates.mid", "is missing"),
    "negative cache time": (STATIC, "ttl_steps = 3", "ttl_steps = -1", "cache_ttl_steps", "must be at least 0"),
    "other rules": (STATIC, '"released-v1"', '"released-v9"', "rules", "released-v1"),
    "other kind": (STATIC, 'kind = "static"', 'kind = "frozen"', "kind", "frozen"),
    "no kind": (STATIC, 'kind = "static"\n', "", "kind", "is missing"),
    "set of a tokenizer that is not listed": (
        STATIC,
        'low = "deepseek-v3"',
        'low = "gpt2"',
        "",
        "tokenizer_sets.native.low: there is no tokenizer 'gpt2'",
    ),
    "tokenizer in two places": (
        STATIC,
        'hub = "deepseek-ai/',
        'package = "x"\nhub = "deepseek-ai/',
        "tokenizers.deepseek-v3",
        "either a package or",
    ),
    "packaged tokenizer without sha256": (
        STATIC,
        'sha256 = "c241',
        '#sha256 = "c241',
        "tokenizers.anthropic",
        "needs its sha256",
    ),
    "alias of no model": (
        STATIC,
        '= "openai/gpt-5.4"\n',
        '= "openai/gpt-9"\n',
        "",
        "no tier has a model 'openai/gpt-9'",
    ),
    "candidate without a tier": (LIVE, 'tier = "low"\n', "", "candidates[0].tier", "is missing"),
    "candidate of an unknown tier": (LIVE, 'tier = "low"', 'tier = "lowest"', "candidates[0].tier", "'low'"),
    "candidate without prices": (
        LIVE,
        "prices = { input = 0.252",
        "# prices = { input = 0.252",
        "candidates[0].prices",
        "is missing",
    ),
    "candidate with half a price list": (
        LIVE,
        "cache_write = 0.3, ",
        "",
        "candidates[1].prices.cache_write",
        "is missing",
    ),
    "candidate ids that repeat": (
        LIVE,
        'id = "minimax/minimax-m2.7"',
        'id = "deepseek/deepseek-v3.2"',
        "",
        "occur twice: deepseek/deepseek-v3.2",
    ),
    "two defaults in a tier": (
        LIVE,
        'tier = "mid"',
        'tier = "low"',
        "",
        "tier low needs exactly one candidate with tier_default",
    ),
    "no default in a tier": (
        LIVE,
        "tier_default = true",
        "tier_default = false",
        "",
        "tier low needs exactly one candidate",
    ),
    "more output than the model gives": (
        LIVE,
        "max_tokens = 32768",
        "max_tokens = 999999",
        "candidates[0]",
        "max_tokens is larger than",
    ),
    "source of a field that is none": (
        LIVE,
        '\nprices = "public',
        '\nprize = "public',
        "candidates[0]",
        "fields that do not exist: prize",
    ),
    "count that the list does not have": (SPLITS, "count = 100", "count = 99", "splits[1]", "count is 99"),
    "rows that are not the labels": (BANKS, "rows = 970", "rows = 971", "banks[0]", "rows is 971, but there are"),
    "no sha256": (BANKS, 'sha256 = "5b4f', 'sha256 = "xyz', "banks[0].sha256", "must match the pattern"),
    "a price without end": (
        LIVE,
        "input = 0.252",
        'input = "1e999999999"',
        "candidates[0].prices.input",
        "must be at most 1000000",
    ),
    "a price of no more than nothing": (
        LIVE,
        "input = 0.252",
        'input = "1e-999999999"',
        "candidates[0].prices.input",
        "digits behind the point",
    ),
    "a parameter that is no number": (
        LIVE,
        "max_tokens = 32768",
        "max_tokens = 32768\nparameters = { top_p = nan }",
        "candidates[0].parameters.top_p.float",
        "neither infinite nor NaN",
    ),
    "a number of 5,000 digits": (LIVE, "max_tokens = 32768", f"max_tokens = {'9' * 5000}", "", "not a TOML file"),
    "no TOML": (SPLITS, "[[splits]]", "[[splits", "", "not a TOML file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_manifest_is_refused_and_the_wrong_field_named(what: str, tmp_path: Path) -> None:
    name, old, new, field, message = REFUSED[what]
    path = edited(name, replacing(old, new), tmp_path)
    with pytest.raises(ContentError) as refused:
        load_manifest(str(path))
    problem = next(each for each in refused.value.problems if (each.field or "") == field)
    assert message in problem.what
    assert problem.source == str(path)
    assert check_manifest(str(path)) == list(refused.value.problems)


def test_a_manifest_of_ones_own_may_differ_where_the_model_allows(tmp_path: Path) -> None:
    path = edited(STATIC, replacing("output = 0.5 }", "output = 0.75 }"), tmp_path)
    mine = static_manifest(str(path))
    assert mine.rates[Tier.LOW].output == Decimal("0.75")
    assert mine.fingerprint != static_manifest().fingerprint
    assert check_manifest(str(path)) == []


def test_a_fingerprint_is_of_the_content_and_not_of_its_spelling(tmp_path: Path) -> None:
    path = edited(STATIC, lambda text: "# a comment\n" + text.replace("output = 25.0", "output = 25.000"), tmp_path)
    assert load_manifest(str(path)).fingerprint == load_manifest(STATIC).fingerprint


def test_shipped_manifests_have_their_locked_fingerprints() -> None:
    assert manifest_names() == sorted(locked_fingerprints())
    for name in manifest_names():
        assert check_manifest(name) == []
        assert load_manifest(name).fingerprint == locked_fingerprints()[name]
        assert load_manifest(name).name == name


def test_an_edited_release_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in resources.pools_dir().glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    edited(STATIC, replacing("output = 0.5 }", "output = 0.6 }"), tmp_path).rename(tmp_path / f"{STATIC}.toml")
    monkeypatch.setattr(resources, "pools_dir", lambda: tmp_path)
    (problem,) = check_manifest(STATIC)
    assert "a released manifest was edited" in problem.what
    assert check_manifest(LIVE) == []


@pytest.mark.parametrize(("name", "kind"), [(LIVE, "live"), (SPLITS, "splits"), (BANKS, "banks")])
def test_a_manifest_of_another_kind_is_no_static_one(name: str, kind: str) -> None:
    with pytest.raises(UsageError, match=f"of kind '{kind}', but a static one is needed"):
        static_manifest(name)


def test_an_unknown_manifest_names_those_there_are() -> None:
    known = f"{BANKS}, {LIVE}, {SMALL}, {SPLITS}, {STATIC}"
    with pytest.raises(UsageError, match=f"no pool manifest 'nowhere': give a file or one of {known}"):
        load_manifest("nowhere")


# --- The protocol's numbers -----------------------------------------------------------------------------------------


@pytest.fixture
def constants(shared: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((shared / "protocol" / "constants.json").read_text("utf-8"))
    return content


def test_the_static_manifest_has_the_protocols_constants(constants: dict[str, Any]) -> None:
    manifest = load_manifest(STATIC)
    assert isinstance(manifest, StaticManifest)
    assert list(TIER_LABELS) == constants["tiers"]
    assert {
        tier.label: {bucket: float(price) for bucket, price in manifest.rates[tier].model_dump().items()}
        for tier in Tier
    } == constants["tier_rates_usd_per_mtok"]
    assert manifest.cache_ttl_steps == constants["static_cache_ttl_steps"]
    for name in ("fallback_output_tokens", "tokens_per_message", "tokens_priming"):
        assert getattr(manifest, name) == constants[name]
    assert {tier.label: list(manifest.models[tier]) for tier in Tier} == constants["static_pool"]
    assert dict(manifest.aliases) == constants["static_pool_aliases"]


def test_the_live_manifest_has_the_protocols_constants(constants: dict[str, Any]) -> None:
    manifest = load_manifest(LIVE)
    assert isinstance(manifest, LiveManifest)
    pool = [
        {
            "model": candidate.model,
            "tier": candidate.tier,
            "context": candidate.context_window,
            "max_output": candidate.max_output,
            **{bucket: float(price) for bucket, price in candidate.prices.model_dump().items()},
            "cache_control": candidate.cache_control,
        }
        for candidate in manifest.candidates
    ]
    assert pool == constants["dynamic_pool"]
    assert manifest.wallclock_ttl_seconds == constants["wallclock_ttl_seconds"]
    assert float(manifest.unresolved_penalty_usd) == constants["unresolved_penalty_usd"]
    assert manifest.dated.isoformat() == constants["dynamic_prices_fetched"]
    agent = manifest.agent.model_dump() | {"cost_limit_usd": float(manifest.agent.cost_limit_usd)}
    assert agent == constants["agent"]


def test_heldout100_and_the_published_results_are_the_protocols(constants: dict[str, Any]) -> None:
    assert heldout_instances() == set(constants["heldout100"])
    published = published_results()
    assert published["official_bank"] == constants["official_bank"]
    assert {key: value for key, value in published.items() if key in constants["published"]} == constants["published"]


def test_only_a_split_with_a_list_gives_instances() -> None:
    manifest = load_manifest(SPLITS)
    assert isinstance(manifest, SplitsManifest)
    assert len(manifest.instances("heldout100")) == 100
    for name in ("verified", "nothing"):
        with pytest.raises(UsageError, match=f"'{name}'"):
            manifest.instances(name)


def test_static_candidates_are_the_four_tiers_at_their_rates() -> None:
    manifest = static_manifest()
    candidates = manifest.candidates()
    assert [candidate.tier for candidate in candidates] == list(Tier)
    assert [candidate.id for candidate in candidates] == list(TIER_LABELS)
    for candidate in candidates:
        assert candidate.prices == manifest.rates[candidate.tier].prices()
        assert (candidate.tier_default, candidate.writes_cache, candidate.context_window) == (True, True, None)


def test_a_live_candidate_shows_a_router_its_limits_and_how_it_is_billed() -> None:
    manifest = load_manifest(LIVE)
    assert isinstance(manifest, LiveManifest)
    shown = {candidate.tier: candidate.to_candidate() for candidate in manifest.candidates}
    assert shown["high"].writes_cache
    assert not shown["low"].writes_cache
    assert (shown["low"].context_window, shown["low"].max_tokens) == (163800, 32768)
    assert shown["mid_high"].prices.cache_write == Decimal("0.08333333333333334")


def test_a_pool_is_of_the_open_division_unless_its_content_is_a_released_one(tmp_path: Path) -> None:
    released = live_manifest()
    assert (released.division, released.division_notes) == ("locked", ())
    copied = live_manifest(str(edited(LIVE, lambda text: text + "\n# my copy\n", tmp_path)))
    assert (copied.division, copied.division_notes) == ("locked", ())
    own = load_manifest(str(edited(LIVE, replacing("output = 0.378", "output = 0.379"), tmp_path)))
    assert isinstance(own, LiveManifest)
    assert own.division == "open"
    assert [own.fingerprint[:12] in note for note in own.division_notes] == [True]
