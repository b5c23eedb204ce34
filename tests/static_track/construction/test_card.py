"""The card of a bank: as Markdown and as Croissant, of a build and of a bank of the store."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import mlcroissant as mlc
import pytest

import twinbench as tb
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import twinbench
from tests.static_track.construction import shells
from twinbench.storage.store import Store


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that was built."""
    folder = tmp_path_factory.mktemp("card")
    tb.build_bank(shells.configuration(folder, usd_a_call="0.01"), out=folder / "out", usd=5)
    return folder / "out"


def test_the_card_of_a_build_says_how_its_labels_came_about(built: Path, store: Store) -> None:
    manifest = json.loads((built / "manifest.json").read_text("utf-8"))
    card = twinbench("bank", "card", built).succeeded().text

    assert card.startswith("---\n")
    for said in (
        "6 rows, 2 trajectories of 1 group",
        "| shell | 6 | 4 | 2 | 0 | 0 |",
        "> Said by scripts.",
        "3 tasks, of which 1 left out: 1 seed\\_failed.",
        "No candidate, so no label: mid\\_high.",
        manifest["fingerprint"],
        manifest["sha256"]["evidence.jsonl.gz"],
    ):
        assert said in card
    tb.import_bank(built, "mine", store=store.root)
    kept = twinbench("bank", "card", "mine", "--store", store.root).succeeded().text
    labels = "## Labels", "## Licence"
    between = [text[text.index(labels[0]) : text.index(labels[1])] for text in (card, kept)]
    assert between[0] == between[1]
    # Another bank under the same name, which nobody built, takes nothing over.
    import_rows(a_trajectory([0, 1]), store, "mine", replace=True)
    other = twinbench("bank", "card", "mine", "--store", store.root).succeeded().text
    assert "was not built by twinbench" in other
    assert manifest["fingerprint"] not in other


@pytest.mark.filterwarnings("ignore:.* is deprecated, use .* instead:DeprecationWarning")  # within rdflib
def test_what_croissant_describes_is_read_by_its_own_library(built: Path, tmp_path: Path) -> None:
    about = ("--url", "https://example.org/shell", "--creator", "Somebody", "--published", "2026-11-30")
    card = tmp_path / "croissant.json"
    asked = ("bank", "card", built, "--json", *about, "--version", "1.0.0", "-o", card)
    assert twinbench(*asked).succeeded().err == ""

    shutil.copy(built / "rows.jsonl.gz", tmp_path)
    dataset = mlc.Dataset(jsonld=card)
    assert not dataset.metadata.issues.errors
    assert dataset.metadata.data_limitations == ["Said by scripts."]
    rows = [json.loads(line) for line in gzip.decompress((built / "rows.jsonl.gz").read_bytes()).splitlines()]
    read = list(dataset.records("rows"))
    assert [(each["rows/id"].decode(), each["rows/target_tier_id"]) for each in read] == [
        (row["id"], row["target_tier_id"]) for row in rows
    ]
    contents = [[message["rows/messages/content"].decode() for message in each["rows/messages"]] for each in read]
    assert contents == [[message["content"] for message in row["messages"]] for row in rows]


def test_what_is_wrong_with_a_card_is_said(built: Path, tmp_path: Path) -> None:
    refused = twinbench("bank", "card", built, "--url", "https://example.org")
    assert (refused.code, refused.err) == (2, "error: --url is for Croissant: add --json\n")
    unfinished = shutil.copytree(built, tmp_path / "unfinished", ignore=shutil.ignore_patterns("manifest.json"))
    refused = twinbench("bank", "card", unfinished)
    assert refused.code == 2
    assert "has finished" in refused.err
