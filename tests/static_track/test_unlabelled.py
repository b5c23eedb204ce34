"""Banks without labels: they come in, are asked about and go out; nothing is scored on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import twinbench as tb
from static_track.banks.bank import Bank
from tests.banks import Row, a_trajectory, import_rows, write_jsonl
from tests.cli.commands import twinbench
from twinbench.errors import ContentError, UsageError
from twinbench.storage.store import Store


def unlabelled(instance: str = "i-1", steps: int = 3) -> list[Row]:
    rows = a_trajectory([0] * steps, instance=instance)
    return [{name: value for name, value in row.items() if not name.startswith("target_")} for row in rows]


@pytest.fixture
def kept(store: Store) -> Store:
    import_rows([*unlabelled("i-1"), *unlabelled("i-2"), *unlabelled("i-3")], store, "plain")
    return store


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_it_comes_out_as_it_went_in(kept: Store, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    twinbench("bank", "export", "plain", "-o", path, "--store", kept.root).succeeded()
    ran = twinbench("bank", "import", path, "--name", "again", "--store", kept.root, "--json").succeeded()

    with Bank.open("plain", kept) as bank:
        assert ran.json["sha256"] == bank.info.sha256
        assert list(bank.rows())[:3] == unlabelled("i-1")
    assert ran.json["labelled"] is False


def test_what_compares_with_labels_is_refused_and_says_what_works(kept: Store) -> None:
    ran = twinbench("static", "score", "sticky", "--bank", "plain", "--store", kept.root)

    assert ran.code == 2
    assert ran.out == b""
    assert "the bank 'plain' has no labels, so routers cannot be scored on it" in ran.err
    assert "twinbench static predict ROUTER --bank plain" in ran.err
    with pytest.raises(UsageError, match="has no labels"):
        tb.score("sticky", "plain", store=kept.root)


def test_a_prediction_file_is_not_scored_on_it_either(kept: Store, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", [{"id": row["id"], "tier_id": 0} for row in unlabelled()])
    assert twinbench("static", "score", "--predictions", path, "--bank", "plain", "--store", kept.root).code == 2


def test_a_router_is_asked_about_every_row_of_it(kept: Store) -> None:
    ran = twinbench("static", "predict", "always-mid", "--bank", "plain", "--store", kept.root).succeeded()
    assert [json.loads(line)["tier_id"] for line in ran.text.splitlines()] == [1] * 9


def test_a_router_is_told_what_the_assistant_said_as_on_a_labelled_bank(kept: Store, store: Store) -> None:
    import_rows([*a_trajectory([0] * 3), *a_trajectory([0] * 3, instance="i-2")], store, "labelled")
    twinbench("router", "check", "sticky", "--bank", "plain", "--store", kept.root).succeeded()
    with Bank.open("plain", kept) as plain, Bank.open("labelled", store) as labelled:
        counted = [
            bank.cursor().execute("SELECT prompt, reusable, visible FROM base LIMIT 6").fetchall()
            for bank in (plain, labelled)
        ]
        assert plain.cursor().execute("SELECT DISTINCT target, output FROM base").fetchall() == [(None, None)]
    assert counted[0] == counted[1]


def test_it_is_shown_without_labels_and_split_by_workload_alone(kept: Store) -> None:
    shown = twinbench("bank", "show", "plain", "--store", kept.root).succeeded()
    assert "The bank has no labels" in shown.text
    split = twinbench("bank", "split", "plain", "--store", kept.root, "--json").succeeded()
    assert sum(len(numbers) for numbers in split.json["parts"].values()) == 3
    counts = twinbench("bank", "show", "plain", "--store", kept.root, "--json").json["by_workload"]
    assert counts[0]["rows"] == 9
    assert counts[0]["low"] == 0


def test_its_import_says_so_and_what_comes_next(store: Store, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "plain.jsonl", unlabelled())
    ran = twinbench("bank", "import", path, "--name", "plain", "--store", store.root).succeeded()
    assert "3 rows, 1 trajectory, without labels" in ran.text
    assert "next: twinbench static predict sticky --bank plain" in ran.text


def test_labels_on_some_rows_only_are_refused_by_row(store: Store, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "mixed.jsonl", [*unlabelled("i-1", 2), *a_trajectory([1], instance="i-2")])
    ran = twinbench("bank", "import", path, "--name", "mixed", "--store", store.root)

    assert ran.code == 1
    for line in (1, 2):
        assert f"{path}, line {line}, field target_tier: is missing, but line 3 has one" in ran.err
    assert store.bank_names() == []


@pytest.mark.parametrize(("left", "missing"), [("target_tier", "target_tier_id"), ("target_tier_id", "target_tier")])
def test_half_a_label_is_refused(store: Store, left: str, missing: str) -> None:
    rows = [{name: value for name, value in row.items() if name != missing} for row in a_trajectory([0])]
    with pytest.raises(ContentError, match=f"field {missing}: is missing"):
        import_rows(rows, store)


def test_a_label_of_nulls_is_refused_since_an_export_would_lack_it(store: Store) -> None:
    with pytest.raises(ContentError, match="field target_tier:"):
        import_rows([row | {"target_tier": None, "target_tier_id": None} for row in a_trajectory([0])], store)


def test_a_bank_of_the_schema_before_is_read_as_labelled(store: Store) -> None:
    import_rows(a_trajectory([0, 1]), store, "old")
    pointer = store.bank_dir("old") / "bank.json"
    content = json.loads(pointer.read_text("utf-8"))
    del content["labelled"]
    pointer.write_text(json.dumps(content | {"schema": 1}), "utf-8")
    with Bank.open("old", store) as bank:
        bank.require_labels()
