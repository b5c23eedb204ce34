"""What ships of a build, and what forbids to ship it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import twinbench as tb
from benchmarks import embedding
from tests.static_track.construction import shells


def test_a_build_ships_if_it_is_large_enough_and_its_recordings_give_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    tb.build_bank(shells.configuration(tmp_path), out=out)
    name = json.loads((out / "manifest.json").read_text("utf-8"))["name"]

    assert embedding.embed([out], data) == [f"{name} has 6 rows: 300 are needed"]
    assert not data.exists()

    monkeypatch.setattr(embedding, "FEWEST_ROWS", 6)
    changed = shutil.copytree(out, tmp_path / "changed")
    shutil.copyfile(out / "evidence.jsonl.gz", changed / "rows.jsonl.gz")
    assert embedding.embed([changed], data) == [f"{name} is another bank when it is built again from its recordings"]

    assert embedding.embed([out], data) == []
    assert sorted(path.name for path in (data / name).iterdir()) == sorted(embedding.SHIPPED)

    monkeypatch.setattr(embedding, "MOST_RECORDINGS_BYTES", 100)
    [problem] = embedding.embed([out], data)
    assert "100 are the most" in problem
