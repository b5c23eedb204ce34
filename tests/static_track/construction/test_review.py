"""People look at labels: what is drawn, what verdicts change, and that no bank is published against them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from static_track.construction.ladder import Ladder
from static_track.construction.lines import ReviewLine, Verdict
from static_track.construction.reviewing import draw, review_state
from tests.banks import a_row, write_jsonl
from tests.cli.commands import files, twinbench
from tests.static_track.construction import shells
from tests.static_track.construction.worlds import ALL_TIERS

LADDER = Ladder.of(ALL_TIERS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A built bank whose rows are low, mid, low of two tasks."""
    config = shells.configuration(tmp_path, tasks={"a-1": shells.NOTHING_BAD, "a-2": shells.NOTHING_BAD})
    tb.build_bank(config, out=tmp_path / "out")
    return tmp_path / "out"


def labels(out: Path) -> list[str]:
    lines = gzip.decompress((out / "rows.jsonl.gz").read_bytes()).splitlines()
    return [json.loads(line)["target_tier"] for line in lines]


def exported(out: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    text = twinbench("bank", "review", "export", out, *arguments).succeeded().text
    return [json.loads(line) for line in text.splitlines()]


def test_verdicts_lower_labels_and_a_rebuild_has_them_too(out: Path, tmp_path: Path) -> None:
    assert len(exported(out)) == 1  # a tenth of two, one at least
    records = exported(out, "--share", "1")
    assert [(each["row"], each["label"], each["lower"]) for each in records] == [
        ("shell/a-1/2", "mid", "low"),
        ("shell/a-2/2", "mid", "low"),
    ]
    assert records[0]["messages"][1] == {"role": "assistant", "content": "good"}
    given = [
        records[0] | {"verdict": "tight", "reviewer": "R. Viewer"},
        records[1] | {"verdict": "further_downgradeable"},
    ]
    file = write_jsonl(tmp_path / "given.jsonl", given)
    applied = twinbench("bank", "review", "apply", out, file, "--json").succeeded().json
    assert applied["verdicts"] == 2
    assert labels(out) == ["low", "mid", "low", "low", "low", "low"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["review"] == applied["review"]
    assert (manifest["review"]["tight"], manifest["review"]["further_downgradeable"]) == (1, 1)
    assert manifest["labels"]["shell"]["low"] == 5
    assert all(b"R. Viewer" not in content for content in files(out).values())
    assert tb.import_bank(out, "reviewed", store=tmp_path / "store").sha256 == manifest["sha256"]["rows.jsonl.gz"]
    # Applied again, and from its recordings, it is the same bank.
    before = files(out)["rows.jsonl.gz"]
    twinbench("bank", "review", "apply", out, file).succeeded()
    tb.build_bank(recordings=out / "recordings.jsonl.gz", out=tmp_path / "again")
    assert files(tmp_path / "again")["rows.jsonl.gz"] == files(out)["rows.jsonl.gz"] == before
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (out / "manifest.json").read_bytes()


def test_an_uncertain_verdict_forbids_to_publish_until_there_is_another(out: Path, tmp_path: Path) -> None:
    records = exported(out, "--share", "1")
    file = write_jsonl(tmp_path / "given.jsonl", [records[0] | {"verdict": "uncertain"}, records[1]])
    ran = twinbench("bank", "review", "apply", out, file)
    assert ran.code == 1
    assert "row shell/a-1/2: its review is uncertain" in ran.err
    assert twinbench("bank", "import", out, "--name", "x", "--store", tmp_path / "store").code == 2
    ran = twinbench("bank", "review", "status", out, "--json")
    assert (ran.code, ran.json["uncertain"], ran.json["open"]) == (1, 1, ["shell/a-1/2"])
    assert ran.json["reviewed"] == 1
    write_jsonl(file, [records[0] | {"verdict": "tight"}])
    assert "1 verdict taken; 0 labels" in twinbench("bank", "review", "apply", out, file).succeeded().text
    assert "100.0" in twinbench("bank", "review", "status", out).succeeded().text
    assert (out / "manifest.json").exists()


def test_wrong_records_are_refused_by_line_and_no_verdict_is_taken(out: Path, tmp_path: Path) -> None:
    record = exported(out)[0] | {"verdict": "tight"}
    before = files(out)
    wrong = [record, record | {"row": "shell/a-1/9"}, record | {"label": "high"}, record | {"verdict": "fine"}, []]
    ran = twinbench("bank", "review", "apply", out, write_jsonl(tmp_path / "wrong.jsonl", wrong))  # type: ignore[arg-type]
    assert ran.code == 1
    for number, said in (
        (2, "the bank has no row 'shell/a-1/9'"),
        (3, "has the label mid, but the reviewer saw 'high'"),
        (4, "'fine' is none: tight, further_downgradeable, uncertain"),
        (5, "must be a JSON object"),
    ):
        assert f"wrong.jsonl, line {number}: " in ran.err
        assert said in ran.err
    assert files(out) == before
    for command in ("export", "status"):
        ran = twinbench("bank", "review", command, tmp_path / "nothing")
        assert ran.code == 2
        assert "is not a build's directory:" in ran.err


def test_the_page_shows_each_prefix_and_hostile_text_stays_text(tmp_path: Path) -> None:
    hostile = '[ "$STEP" = 1 ] && printf "<script>alert(1)</script>\\033[31m" && exit; ' + shells.STEADY
    config = shells.configuration(tmp_path, candidates={"low-1": "echo bad", "mid-1": hostile, "high-1": hostile})
    tb.build_bank(config, out=tmp_path / "out")
    page = tmp_path / "page.html"
    summary = twinbench(
        *("bank", "review", "export", tmp_path / "out", "--share", "1", "--html", page, "--json"),
        *("-o", tmp_path / "records.jsonl"),
    )
    assert summary.succeeded().json["rows"] == 6
    shown = page.read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "step 2 of 3: label mid, below it low" in shown


def test_what_is_drawn_is_a_share_of_each_workload_that_has_several_steps() -> None:
    rows = [
        a_row(step % 4, workload=workload, instance=f"i-{number}", step=step, total_steps=8)
        for workload in ("one", "two")
        for number in range(10)
        for step in range(1, 9)
    ]
    single = [a_row(3, workload="single", instance=f"s-{number}", total_steps=1) for number in range(20)]
    drawn = draw([*rows, *single], LADDER, 0.1, 0)
    # Of a workload's 80 rows, 60 have a label above low.
    assert {name: sum(row["benchmark"] == name for row in drawn) for name in ("one", "two", "single")} == {
        "one": 6,
        "two": 6,
        "single": 0,
    }
    assert all(row["target_tier"] != "low" for row in drawn)
    again = draw(reversed([*rows, *single]), LADDER, 0.1, 0)
    assert {row["id"] for row in drawn} == {row["id"] for row in again}
    assert {row["id"] for row in drawn} != {row["id"] for row in draw(rows, LADDER, 0.1, 1)}
    assert draw(rows, LADDER, 0, 0) == []


def test_the_tight_share_has_an_interval_by_groups_of_tasks() -> None:
    rows = [a_row(2, instance=f"i-{number}", step=step, group=f"g-{number}") for number in range(12) for step in (1, 2)]

    def state(tight: int) -> dict[str, Any]:
        review = {
            row["id"]: ReviewLine(
                row=row["id"],
                label="mid_high",
                verdict=Verdict.tight if number < tight else Verdict.further_downgradeable,
            )
            for number, row in enumerate(rows)
        }
        return review_state(rows, review, LADDER).to_json()

    assert state(24)["tight_percent"] == 100
    low, high = state(24)["interval"]
    assert 70 < low < high == 100
    low, high = state(18)["interval"]
    assert low < 75 < high
    assert 30 < high - low < 70
    other_label = {rows[0]["id"]: ReviewLine(row=rows[0]["id"], label="high", verdict=Verdict.uncertain)}
    assert review_state(rows, other_label, LADDER).to_json()["reviewed"] == 0
