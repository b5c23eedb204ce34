"""The JSON that others script against (issue 8): its keys, types and order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import a_manifest, import_rows, write_jsonl
from tests.cli.commands import commands, twinbench
from tests.cli.conftest import two_workloads
from tests.cli.test_table_formats import OF_SUBMISSIONS, WITH_BUILD, WITH_DOCKER
from tests.plugins.test_training import LEARNING
from tests.runs import a_pool, v1, write_run
from twinbench.storage.store import Store

REFERENCES = ["always-low", "always-mid", "always-mid_high", "always-high", "random", "labels", "cost-optimal"]
TIERS_AND_ERROR = 5


@pytest.fixture
def perfect(tmp_path: Path) -> Path:
    """Predictions that are the labels."""
    lines = [{"id": row["id"], "tier_id": row["target_tier_id"]} for row in two_workloads()]
    return write_jsonl(tmp_path / "perfect.jsonl", lines)


@pytest.fixture
def failures(tmp_path: Path) -> Path:
    """Predictions that are all errors."""
    return write_jsonl(tmp_path / "failures.jsonl", [{"id": row["id"], "error": "gave up"} for row in two_workloads()])


def names(board: Any) -> list[str]:
    return [entry["router"] for entry in board["routers"]]


def entry_of(board: Any, router: str) -> Any:
    (found,) = [entry for entry in board["routers"] if entry["router"] == router]
    return found


def test_a_score_says_what_was_scored(kept_store: Store) -> None:
    board = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded().json

    assert list(board) == ["bank", "protocol", "order_seed", "resampling", "best_constant", "routers"]
    (listed,) = [bank for bank in twinbench("bank", "list", "--json").json["banks"] if bank["name"] == "mine"]
    assert board["bank"] == {
        "name": "mine",
        "sha256": listed["sha256"],
        "source_sha256": listed["source_sha256"],
        "split": None,
        "rows": 7,
        "trajectories": 3,
        "groups": 3,
    }
    assert len(board["bank"]["sha256"]) == len(board["bank"]["source_sha256"]) == 64
    assert board["protocol"]
    assert isinstance(board["protocol"], str)


def test_an_entry_has_exactly_the_promised_keys_and_types(kept_store: Store) -> None:
    board = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded().json

    entry = entry_of(board, "sticky")
    promised = [
        *("router", "reference", "scores", "counts", "by_workload", "confusion"),
        *("error_pattern", "ablation", "cost_usd", "above_best_constant", "latency_ms"),
    ]
    assert list(entry)[: len(promised)] == promised
    # more than issue 8 promises
    assert entry.keys() - promised == {
        *(
            "first_error",
            "given_up",
            "router_usd",
            "cost_save_net",
            "intervals_by_workload",
            "intervals",
            "no_interval",
            "rank",
        )
    }
    assert entry["reference"] is False
    assert list(entry["scores"]) == ["row_pass", "row_exact", "traj_pass", "cost_save", "combined"]
    assert all(type(value) is float for value in entry["scores"].values())
    assert entry["counts"].keys() == {"rows", "errors", "trajectories", "passed_trajectories"}
    assert all(type(value) is int for value in entry["counts"].values())
    assert entry["by_workload"].keys() == {"swebench", "bfcl"}
    for block in entry["by_workload"].values():
        types = {name: type(value) for name, value in block.items() if name != "high_tier_hit_rate"}
        assert types == {
            **dict.fromkeys(("rows", "trajectories", "failed_trajectories"), int),
            **dict.fromkeys(("d_usd", "n_usd", "cost_save", "weight"), float),
        }
    assert [len(row) for row in entry["confusion"]] == [TIERS_AND_ERROR] * 4
    assert all(type(cell) is int for row in entry["confusion"] for cell in row)
    patterns = {"exact", "up_one", "jump_to_high", "other", "below_target", "error"}
    assert entry["error_pattern"].keys() == patterns
    assert sum(entry["error_pattern"].values()) == 6  # rows whose target is below high
    assert list(entry["ablation"]) == ["A", "B", "C", "D", "E"]
    assert list(entry["latency_ms"]) == ["p50", "p95", "p99"]
    assert all(type(value) is float for value in entry["latency_ms"].values())


def test_routers_come_in_the_order_asked_then_files_then_references(kept_store: Store, perfect: Path) -> None:
    asked = ["sticky", "always-high", "depth-rule?mid=4&high=8"]

    ran = twinbench("static", "score", *asked, "--predictions", perfect, "--bank", "mine", "--json").succeeded()

    rest = [name for name in REFERENCES if name != "always-high"]
    assert names(ran.json) == [*asked, f"predictions:{perfect}", *rest]
    referenced = [entry["router"] for entry in ran.json["routers"] if entry["reference"]]
    assert referenced == rest


def test_references_stand_alone_when_nothing_is_asked_for(kept_store: Store) -> None:
    assert names(twinbench("static", "score", "--bank", "mine", "--json").succeeded().json) == REFERENCES


def test_a_seeded_random_router_stands_beside_the_reference_random(kept_store: Store) -> None:
    board = twinbench("static", "score", "random?seed=7", "--bank", "mine", "--json").succeeded().json

    assert names(board) == ["random?seed=7", *REFERENCES]


def test_perfect_predictions_score_what_the_labels_score(kept_store: Store, perfect: Path) -> None:
    board = twinbench("static", "score", "--predictions", perfect, "--bank", "mine", "--json").succeeded().json

    entry = entry_of(board, f"predictions:{perfect}")
    assert entry["scores"] == entry_of(board, "labels")["scores"]
    assert entry["scores"]["row_exact"] == 100.0
    assert entry["confusion"] == [[2, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 1, 0]]


def test_what_is_undefined_is_null(kept_store: Store, failures: Path) -> None:
    board = twinbench("static", "score", "--predictions", failures, "--bank", "mine", "--json").succeeded().json

    entry = entry_of(board, f"predictions:{failures}")
    assert entry["scores"] == {"row_pass": 0, "row_exact": 0, "traj_pass": 0, "cost_save": None, "combined": None}
    assert entry["counts"] == {"rows": 7, "errors": 7, "trajectories": 3, "passed_trajectories": 0}
    assert entry["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert entry["by_workload"]["bfcl"]["cost_save"] is None
    assert entry["by_workload"]["bfcl"]["high_tier_hit_rate"] is None  # no row of it has the label high
    assert entry["by_workload"]["swebench"]["high_tier_hit_rate"] == 0
    assert set(entry["ablation"].values()) == {None}
    assert entry_of(board, "labels")["latency_ms"] == {"p50": None, "p95": None, "p99": None}


def test_the_legacy_blocks_come_on_request_only(kept_store: Store) -> None:
    legacy = twinbench("static", "score", "sticky", "--bank", "mine", "--json", "--legacy").succeeded().json
    plain = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded().json

    blocks = {"scores_v2", "router_accounting", "section_11"}
    for with_blocks, without in zip(legacy["routers"], plain["routers"], strict=True):
        assert with_blocks.keys() - without.keys() == blocks
        assert {name: value for name, value in with_blocks.items() if name not in blocks} == without
        assert with_blocks["scores_v2"]["combined_score_percent"] == with_blocks["scores"]["combined"]


def test_a_part_of_a_bank_is_named_and_counted(default_store: Store, bank_file: Any) -> None:
    twinbench("bank", "import", bank_file(two_workloads()), "--name", "mine").succeeded()
    twinbench("bank", "split", "mine", "--parts", "left=2,right=1").succeeded()

    board = twinbench("static", "score", "--bank", "mine", "--split", "left", "--json").succeeded().json

    assert board["bank"]["split"] == "left"
    assert board["bank"]["trajectories"] == 2
    assert all(entry["counts"]["rows"] == board["bank"]["rows"] < 7 for entry in board["routers"])


def test_without_a_bank_the_embedded_one_is_meant(begun_store: Store) -> None:
    unnamed = twinbench("static", "score", "--json").succeeded().json

    assert unnamed["bank"]["name"] == DEFAULT_BANK
    assert unnamed == twinbench("static", "score", "--bank", DEFAULT_BANK, "--json").succeeded().json


def test_banks_are_listed_with_rows_trajectories_and_fingerprint(kept_store: Store) -> None:
    listed = twinbench("bank", "list", "--json").succeeded().json

    assert list(listed) == ["banks"]
    banks = {bank["name"]: bank for bank in listed["banks"]}
    assert {DEFAULT_BANK, "mine"} <= banks.keys()
    assert banks["mine"]["rows"] == 7
    assert banks["mine"]["trajectories"] == 3
    assert len(banks["mine"]["sha256"]) == 64


def test_a_score_that_is_kept_is_printed_again_digit_by_digit(default_store: Store) -> None:
    import_rows(two_workloads(), default_store, "mine")
    arguments = ("static", "score", "sticky", "round-robin", "--bank", "mine", "--json", "--legacy")

    assert twinbench(*arguments).succeeded().out == twinbench(*arguments).succeeded().out


def test_every_command_prints_one_json_document_and_nothing_else(
    begun_store: Store, tmp_path: Path, one_row: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    import_rows(two_workloads(), begun_store, "mine")
    mine = ("--bank", "mine")
    twinbench("bank", "import", one_row, "--name", "other").succeeded()
    a_run_file = write_run(tmp_path / "a.traj.json", v1())
    a_text = write_jsonl(tmp_path / "texts.jsonl", [{"task": "django__django-11099", "text": "Mend it."}])
    an_outcome = tmp_path / "outcomes.csv"
    an_outcome.write_text("model,task,resolved\na,t,1\n", "utf-8")
    arguments: dict[str, tuple[str | Path, ...]] = {
        "bank import": (one_row, "--name", "one"),
        "bank check": ("mine",),
        "bank card": ("mine",),
        "bank from-outcomes": (
            *("openhands-verified", "--name", "of-outcomes", "--tiers", "low=GLM-5,high=GPT-5.5", "--text", a_text),
        ),
        "bank show": ("other",),
        "bank validate": ("other",),
        "bank export": ("other", "-o", tmp_path / "out.jsonl"),
        "bank pull": ("official", "--manifest", a_manifest(tmp_path / "banks.toml", one_row), "--name", "other"),
        "bank rm": ("other",),
        "bank split": ("mine",),
        "outcomes import": (an_outcome, "--name", "outcomes"),
        "outcomes show": ("openhands-verified",),
        "outcomes headroom": ("openhands-verified", "--tiers", "low=GLM-5,high=GPT-5.5", "--resamples", "100"),
        "outcomes power": ("openhands-verified", "--models", "GLM-5,GPT-5.5", "--resamples", "100"),
        "outcomes rm": ("outcomes",),
        "static score": mine,
        "static crossval": ("sticky", *mine, "--folds", "2", "--resamples", "0"),
        "static curve": ("depth-rule", *mine),
        "static diff": ("sticky", "always-high", *mine),
        "static explain": ("sticky", *mine),
        "static compare": ("sticky", "always-high", *mine),
        "static report": ("sticky", *mine, "-o", tmp_path / "static.html"),
        "dynamic report": (tmp_path / "run", "-o", tmp_path / "live.html"),
        "static predict": ("sticky", *mine, "-o", tmp_path / "predictions.jsonl"),
        "pool show": ("static-2026-04",),
        "router new": ("my-router",),
        "router tune": ("depth-rule", *mine, "--set", "mid=2,3", "--folds", "2"),
        "router train": (f"{LEARNING}:Learns", *mine, "--out", tmp_path / "trained"),
        "dynamic import": (a_run_file, "--run", tmp_path / "run", "--pool", a_pool(tmp_path / "pool.toml")),
        "router check": ("always-low", *mine, "--rows", "3"),
    }
    known = {name: options for name, options in commands() if name not in WITH_DOCKER | WITH_BUILD | OF_SUBMISSIONS}
    assert arguments.keys() <= known.keys()
    for command in sorted(known, key=lambda name: name.endswith(" rm")):  # what the others use is removed last
        assert "--json" in known[command], command
        ran = twinbench(*command.split(), *arguments.get(command, ()), "--json")
        assert ran.code == 0, (command, ran.err)
        assert ran.json, command  # refuses anything before or after the document


def test_a_row_that_only_python_could_write_does_not_get_into_the_json(default_store: Store, bank_file: Any) -> None:
    row = two_workloads()[0] | {"benchmark": 'a "quoted" \u2028 name \x1b[31m'}
    twinbench("bank", "import", bank_file([row]), "--name", "odd").succeeded()

    shown = twinbench("bank", "show", "odd", "--json").succeeded()

    assert shown.json["workloads"] == [row["benchmark"]]
    assert json.dumps("\x1b")[1:-1] in shown.text
    assert "\x1b" not in shown.text
