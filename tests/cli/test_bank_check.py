"""``bank check`` as people and scripts meet it, and its short form at an import."""

from __future__ import annotations

from pathlib import Path

import pytest

import twinbench as tb
from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import a_row, import_rows, write_jsonl
from tests.cli.commands import twinbench
from tests.static_track.leaks.planted import rows, space_at_the_end
from twinbench.storage.store import Store


@pytest.mark.slow
def test_an_import_names_what_is_given_away_and_the_check_fails(default_store: Store, tmp_path: Path) -> None:
    leaking = write_jsonl(tmp_path / "leaking.jsonl", rows(space_at_the_end, trajectories=24))

    imported = twinbench("bank", "import", leaking, "--name", "leaking").succeeded()
    checked = twinbench("bank", "check", "leaking", "--json")
    table = twinbench("bank", "check", "leaking", "--format", "csv")

    assert "white space at the ends (+" in imported.err
    assert "twinbench bank check leaking" in imported.err
    assert checked.code == table.code == 1
    failed = [check["name"] for check in checked.json["checks"] if check["status"] == "fail"]
    assert "white space at the ends" in failed
    assert not checked.json["ok"]
    assert "error: failed checks: " in checked.err
    assert table.text.startswith("name,status,value,low,high,within_workloads,accuracy,subject,reason")
    assert tb.check_bank("leaking", store=default_store.root).to_json() == checked.json


@pytest.mark.slow
def test_an_import_is_silent_where_nothing_is_given_away(default_store: Store, tmp_path: Path) -> None:
    clean = write_jsonl(tmp_path / "clean.jsonl", rows(trajectories=24))

    assert twinbench("bank", "import", clean, "--name", "clean").succeeded().err == ""
    assert twinbench("bank", "check", "clean").succeeded().err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "nowhere"),
        (("one",), "1 row of 'one' in 1 group"),
        (("unlabelled",), "the bank 'unlabelled' has no labels that could leak"),
        ((DEFAULT_BANK, "--split", "train"), "train"),
        ((), "NAME"),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments: tuple[str, ...], told: str, begun_store: Store) -> None:
    unlabelled = {key: value for key, value in a_row().items() if not key.startswith("target")}
    import_rows([a_row()], begun_store, "one")
    import_rows([unlabelled], begun_store, "unlabelled")

    ran = twinbench("bank", "check", *arguments)

    assert ran.code == 2
    assert told in ran.err
    assert ran.out == b""
