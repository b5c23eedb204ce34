"""Prediction files that are refused, by line and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.cli.commands import files, twinbench
from tests.cli.conftest import two_workloads
from twinbench.storage.store import Store

ID = two_workloads()[0]["id"]
KNOWN = json.dumps(ID)
FORM = 'A prediction is {"id": …, "tier_id": 0 to 3} or {"id": …, "error": "why"}.'

CASES: dict[str, tuple[str, int | None, str | None, str]] = {
    "empty": ("", None, None, "contains no predictions"),
    "no JSON": ("nope", 1, None, "not JSON: Expecting value at column 1"),
    "NaN": (f'{{"id": {KNOWN}, "tier_id": NaN}}', 1, "tier_id", "NaN is not a JSON number"),
    "a list": (f"[{KNOWN}, 1]", 1, None, "must be a JSON object"),
    "no id": ('{"tier_id": 1}', 1, "id", "is missing"),
    "id a number": ('{"id": 5, "tier_id": 1}', 1, "id", "must be a string (found 5)"),
    "id unknown": ('{"id": "who", "tier_id": 1}', 1, "id", "the bank has no row 'who'"),
    "id unknown, of markup": (
        '{"id": "[red]<b>\\u001b[31m\\ud800", "tier_id": 1}',
        1,
        "id",
        r"the bank has no row '[red]<b>\x1b[31m\ud800'",
    ),
    "id repeated": (
        f'{{"id": {KNOWN}, "tier_id": 1}}\n\n{{"id": {KNOWN}, "tier_id": 1}}',
        3,
        "id",
        "is a duplicate of line 1",
    ),
    "tier_id 4": (f'{{"id": {KNOWN}, "tier_id": 4}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found 4)"),
    "tier_id -1": (f'{{"id": {KNOWN}, "tier_id": -1}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found -1)"),
    "tier_id true": (f'{{"id": {KNOWN}, "tier_id": true}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found true)"),
    "tier_id a text": (f'{{"id": {KNOWN}, "tier_id": "1"}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found '1')"),
    "tier_id 1.5": (f'{{"id": {KNOWN}, "tier_id": 1.5}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found 1.5)"),
    "tier_id 1.0": (f'{{"id": {KNOWN}, "tier_id": 1.0}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found 1.0)"),
    "tier_id null": (f'{{"id": {KNOWN}, "tier_id": null}}', 1, "tier_id", "must be 0, 1, 2 or 3 (found null)"),
    "tier_id a list": (f'{{"id": {KNOWN}, "tier_id": [1]}}', 1, "tier_id", "(found a list)"),
    "tier_id huge": (f'{{"id": {KNOWN}, "tier_id": {10**30}}}', 1, "tier_id", f"(found {10**30})"),
    "neither field": (f'{{"id": {KNOWN}}}', 1, "tier_id", "is missing, and there is no error field either"),
    "both fields": (f'{{"id": {KNOWN}, "tier_id": 1, "error": "x"}}', 1, "error", "is given together with a tier_id"),
    "error a number": (f'{{"id": {KNOWN}, "error": 5}}', 1, "error", "must be a string (found 5)"),
    "error true": (f'{{"id": {KNOWN}, "error": true}}', 1, "error", "must be a string (found true)"),
}


@pytest.mark.parametrize(("content", "line", "field", "words"), CASES.values(), ids=CASES.keys())
def test_wrong_predictions_are_refused_by_line_and_field(
    kept_store: Store, tmp_path: Path, content: str, line: int | None, field: str | None, words: str
) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(content)
    before = files(kept_store.root / "banks")
    place = str(path) + (f", line {line}" if line else "") + (f", field {field}" if field else "")

    ran = twinbench("static", "score", "--predictions", path, "--bank", "mine")

    assert ran.code == 1
    assert ran.out == b""
    first, last = ran.err.splitlines()
    assert first.startswith(f"error: {place}: ")
    assert words in first
    assert last == FORM
    assert files(kept_store.root / "banks") == before


def test_a_wrong_file_is_named_among_good_ones(kept_store: Store, tmp_path: Path) -> None:
    good, wrong = tmp_path / "good.jsonl", tmp_path / "wrong.jsonl"
    good.write_text(f'{{"id": {KNOWN}, "tier_id": 1}}\n')
    wrong.write_text(f'{{"id": {KNOWN}, "tier_id": 7}}\n')

    ran = twinbench("static", "score", "sticky", "--predictions", good, "--predictions", wrong, "--bank", "mine")

    assert ran.code == 1
    assert ran.out == b""
    assert ran.err.startswith(f"error: {wrong}, line 1, field tier_id: ")


def test_gzip_that_is_cut_short_is_refused(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "wrong.jsonl.gz"
    path.write_bytes(gzip.compress(f'{{"id": {KNOWN}, "tier_id": 1}}\n'.encode())[:-9])

    ran = twinbench("static", "score", "--predictions", path, "--bank", "mine")

    assert ran.code == 1
    assert "gzip data is damaged or cut short" in ran.err


def test_a_missing_file_is_wrong_usage(kept_store: Store, tmp_path: Path) -> None:
    ran = twinbench("static", "score", "--predictions", tmp_path / "missing.jsonl", "--bank", "mine")

    assert ran.code == 2
    assert ran.err == f"error: no file {tmp_path / 'missing.jsonl'}\n"


def test_predictions_come_from_standard_input_too(kept_store: Store) -> None:
    predicted = twinbench("static", "predict", "sticky", "--bank", "mine").succeeded()

    board = twinbench("static", "score", "--predictions", "-", "--bank", "mine", "--json", stdin=predicted.out)

    asked = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded().json["routers"][0]
    entry = board.succeeded().json["routers"][0]
    assert entry["router"] == "predictions:-"
    assert entry["scores"] == asked["scores"]


def test_a_row_without_a_line_counts_as_an_error_and_the_table_says_so(kept_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(f'{{"id": {KNOWN}, "tier_id": 3}}\n')

    ran = twinbench("static", "score", "--predictions", path, "--bank", "mine", "--json").succeeded()

    assert ran.json["routers"][0]["counts"]["errors"] == 6
