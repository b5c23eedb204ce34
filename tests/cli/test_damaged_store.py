"""Stores with something wrong in them: said plainly, changed by nobody, mended by importing again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.embedded_names import DEFAULT_BANK, EMBEDDED
from tests.banks import write_jsonl
from tests.cli.commands import files, spawned, twinbench
from tests.cli.conftest import two_workloads
from tests.examples import thinned
from twinbench.storage.store import STORE_VARIABLE, Store

READERS: dict[str, tuple[str, ...]] = {
    "show": ("bank", "show", "mine"),
    "validate": ("bank", "validate", "mine"),
    "export": ("bank", "export", "mine"),
    "split": ("bank", "split", "mine"),
    "score": ("static", "score", "sticky", "--bank", "mine"),
    "predict": ("static", "predict", "sticky", "--bank", "mine"),
}


@pytest.fixture
def damaged_store(kept_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of a store with the bank ``mine``, to be damaged, and the embedded one; commands use it untold."""
    copy = Store(tmp_path / "damaged")
    shutil.copytree(kept_store.root / "banks", copy.root / "banks")
    monkeypatch.setenv(STORE_VARIABLE, str(copy.root))
    return copy


SCORE = ("static", "score", "sticky", "--bank", "mine", "--json")


@pytest.fixture(scope="module")
def _scored(tmp_path_factory: pytest.TempPathFactory, _kept_store: Store) -> tuple[Store, Any]:
    store = Store(tmp_path_factory.mktemp("scored") / "store")
    shutil.copytree(_kept_store.root / "banks" / "mine", store.root / "banks" / "mine")
    return store, twinbench(*SCORE, "--store", store.root).succeeded().json["routers"]


@pytest.fixture
def scored(_scored: tuple[Store, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Any]:
    """A copy of a store that keeps results of ``mine``, to be damaged, and these; commands use it untold."""
    store, routers = _scored
    copy = Store(tmp_path / "scored")
    shutil.copytree(store.root, copy.root)
    monkeypatch.setenv(STORE_VARIABLE, str(copy.root))
    return copy, routers


@pytest.fixture
def again(tmp_path: Path) -> Path:
    """The file that ``mine`` was imported from."""
    return write_jsonl(tmp_path / "again.jsonl", two_workloads())


def pointer(store: Store) -> Path:
    return store.root / "banks" / "mine" / "bank.json"


def bank_file(store: Store) -> Path:
    (path,) = (store.root / "banks" / "mine").glob("*.duckdb")
    return path


def rewritten(**fields: object) -> Callable[[bytes], bytes]:
    """The pointer with other values in some fields; None leaves a field out."""

    def rewrite(content: bytes) -> bytes:
        merged = json.loads(content) | fields
        return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()

    return rewrite


POINTERS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no JSON": lambda _: b"garbage",
    "cut short": lambda content: content[:40],
    "not UTF-8": lambda _: b"\xff\xfe",
    "a list": lambda _: b"[1]",
    "null": lambda _: b"null",
    "an empty object": lambda _: b"{}",
    "no sha256": rewritten(sha256=None),
    "rows a text": rewritten(rows="seven"),
    "workloads a number": rewritten(workloads=5),
    "workloads of numbers": rewritten(workloads=[5]),
    "schema a text": rewritten(schema="new"),
}


@pytest.mark.parametrize("damage", thinned(POINTERS.values(), 3), ids=POINTERS.keys())
def test_a_damaged_pointer_is_named_and_mended_by_importing_again(
    damaged_store: Store, again: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = pointer(damaged_store)
    path.write_bytes(damage(path.read_bytes()))
    before = files(path.parent)

    for command in READERS.values():
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert ran.err == f"error: {path} is damaged: import the bank again with --replace\n"
    assert twinbench("bank", "import", again, "--name", "mine").code != 0
    assert files(path.parent) == before

    twinbench("bank", "import", again, "--name", "mine", "--replace").succeeded()
    twinbench("bank", "validate", "mine").succeeded()


def test_a_bank_of_a_newer_schema_is_left_alone(damaged_store: Store) -> None:
    path = pointer(damaged_store)
    path.write_bytes(rewritten(schema=99, something_new=1)(path.read_bytes()))
    before = files(path.parent)

    for command in READERS.values():
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert (
            f"the bank 'mine' has schema 99, but this twinbench reads up to {SCHEMA_VERSION}: update twinbench"
            in ran.err
        )
    assert files(path.parent) == before


def test_a_pointer_that_is_a_folder_is_no_crash(damaged_store: Store) -> None:
    pointer(damaged_store).unlink()
    pointer(damaged_store).mkdir()

    ran = twinbench("bank", "show", "mine")

    assert ran.code == 1
    assert ran.err.startswith(f"error: cannot read {pointer(damaged_store)} (")


def test_the_banks_that_can_be_read_are_listed_beside_a_damaged_one(damaged_store: Store) -> None:
    pointer(damaged_store).write_bytes(b"garbage")

    ran = twinbench("bank", "list", "--json")

    assert ran.code == 1
    assert [bank["name"] for bank in ran.json["banks"]] == sorted(EMBEDDED)
    assert ran.err == f"error: {pointer(damaged_store)} is damaged: import the bank again with --replace\n"


def test_a_damaged_bank_can_be_removed(damaged_store: Store) -> None:
    pointer(damaged_store).write_bytes(b"garbage")

    twinbench("bank", "rm", "mine").succeeded()

    assert [bank["name"] for bank in twinbench("bank", "list", "--json").succeeded().json["banks"]] == sorted(EMBEDDED)


def flipped(content: bytes) -> bytes:
    """Damage in the middle of every block that holds rows; the headers stay whole."""
    changed = bytearray(content)
    for at in range(3 * 4096 + 128 * 1024, len(changed), 64 * 1024):
        changed[at : at + 8] = bytes(byte ^ 0xFF for byte in changed[at : at + 8])
    return bytes(changed)


BANK_FILES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"garbage" * 1000,
    "header alone": lambda content: content[: 3 * 4096],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "header damaged": lambda content: content[:4096] + bytes(8) + content[4104:],
    "rows damaged": flipped,
}


@pytest.mark.parametrize("damage", thinned(BANK_FILES.values(), 2), ids=BANK_FILES.keys())
def test_a_damaged_bank_file_is_named_and_mended_by_importing_again(
    damaged_store: Store, again: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = bank_file(damaged_store)
    path.write_bytes(damage(path.read_bytes()))

    for command in READERS.values():
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert ran.err.startswith("error: cannot read the bank 'mine' ("), ran.err
        assert ran.err.endswith("): import it again with --replace\n")

    twinbench("bank", "import", again, "--name", "mine", "--replace").succeeded()
    twinbench("bank", "validate", "mine").succeeded()


def test_a_bank_whose_file_is_gone_says_so(damaged_store: Store) -> None:
    path = bank_file(damaged_store)
    path.unlink()

    for command in READERS.values():
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert ran.err == f"error: the file of bank 'mine' is missing ({path}): import it again with --replace\n"


def test_validating_a_bank_finds_rows_that_were_changed(damaged_store: Store) -> None:
    content = json.loads(pointer(damaged_store).read_bytes())
    other = "0" * 64
    bank_file(damaged_store).rename(pointer(damaged_store).with_name(f"{other}.duckdb"))
    pointer(damaged_store).write_text(json.dumps(content | {"sha256": other}))

    ran = twinbench("bank", "validate", "mine", "--json")

    assert ran.code == 1
    (problem,) = ran.json["problems"]
    assert content["sha256"] in problem["what"]
    assert other in problem["what"]


def test_the_embedded_bank_mends_itself(begun_store: Store) -> None:
    folder = begun_store.root / "banks" / DEFAULT_BANK
    whole = files(folder)
    for path in list(folder.iterdir()):
        path.write_bytes(b"garbage")

    twinbench("demo").succeeded()

    assert files(folder).keys() == whole.keys()
    twinbench("bank", "validate", DEFAULT_BANK).succeeded()


def test_a_damaged_split_says_to_make_it_again(damaged_store: Store) -> None:
    twinbench("bank", "split", "mine", "--parts", "left=1,right=1").succeeded()
    (path,) = (damaged_store.root / "banks" / "mine").glob("*.split-*.json")
    path.write_text(path.read_text().replace("[", "[0, ", 1))

    ran = twinbench("static", "score", "--bank", "mine", "--split", "left")

    assert ran.code == 1
    assert ran.err == f"error: {path} is damaged: create the split again\n"
    twinbench("bank", "split", "mine", "--parts", "left=1,right=1").succeeded()
    twinbench("static", "score", "--bank", "mine", "--split", "left").succeeded()


@pytest.mark.parametrize("kind", ["scores", "predictions"])
def test_kept_results_that_are_damaged_are_made_again(scored: tuple[Store, Any], kind: str) -> None:
    store, first = scored
    content = b"garbage"
    names = {path.name for path in (store.root / kind).iterdir()}
    for folder in ("scores", kind):  # kept predictions are looked at where a score is missing
        for path in (store.root / folder).rglob("*.parquet"):
            path.write_bytes(content)

    second = twinbench(*SCORE).succeeded().json["routers"]

    assert [each["scores"] for each in first] == [each["scores"] for each in second]
    assert {path.name for path in (store.root / kind).iterdir()} == names
    assert all(path.stat().st_size > len(content) for path in (store.root / kind).rglob("*.parquet"))


def test_kept_predictions_of_another_router_are_not_believed(damaged_store: Store) -> None:
    both = ("static", "score", "sticky", "round-robin", "--bank", "mine", "--json")
    first = twinbench(*both).succeeded().json["routers"][:2]
    kept = {}
    for path in (damaged_store.root / "predictions").rglob("*.parquet"):
        with duckdb.connect() as connection:
            [(router,)] = connection.execute("SELECT DISTINCT router FROM read_parquet(?)", [str(path)]).fetchall()
        kept[router] = path
    kept["round-robin"].write_bytes(kept["sticky"].read_bytes())
    shutil.rmtree(damaged_store.root / "scores")
    second = twinbench(*both).succeeded().json["routers"][:2]
    assert [each["scores"] for each in first] == [each["scores"] for each in second]


@pytest.mark.parametrize(
    "change",
    thinned(
        [
            "SELECT * FROM {} LIMIT 3",
            "SELECT * FROM {} UNION ALL SELECT * FROM {}",
            "SELECT * REPLACE (row_no + 5 AS row_no) FROM {}",
            "SELECT * REPLACE (9 AS tier_id) FROM {}",
            "SELECT * REPLACE ('high' AS tier_id) FROM {}",
            "SELECT * REPLACE (NULL AS row_no) FROM {}",
            "SELECT * FROM {} LIMIT 0",
        ],
        2,
    ),
)
def test_kept_predictions_that_cannot_be_are_made_again(scored: tuple[Store, Any], change: str) -> None:
    store, first = scored
    rewrite(store.root / "predictions", change)
    shutil.rmtree(store.root / "scores")
    second = twinbench(*SCORE).succeeded().json["routers"]
    assert [each["scores"] for each in first] == [each["scores"] for each in second]


@pytest.mark.parametrize(
    ("file", "change"),
    thinned(
        [
            ("score", "SELECT * REPLACE (NULL AS detail) FROM {}"),
            ("score", "SELECT * REPLACE ('{{' AS detail) FROM {}"),
            ("score", "SELECT * REPLACE ('[]' AS detail) FROM {}"),
            ("trajectories", "SELECT * FROM {} UNION ALL SELECT * FROM {}"),
            ("trajectories", "SELECT * REPLACE (rows + 1 AS rows) FROM {}"),
            ("trajectories", "SELECT * REPLACE (NULL AS rows) FROM {}"),
        ],
        2,
    ),
)
def test_kept_scores_that_cannot_be_are_made_again(scored: tuple[Store, Any], file: str, change: str) -> None:
    store, first = scored
    rewrite(store.root / "scores", change, f"{file}.parquet")
    second = twinbench(*SCORE).succeeded().json["routers"]
    assert [each["scores"] for each in first] == [each["scores"] for each in second]
    assert [each["intervals"] for each in first] == [each["intervals"] for each in second]


def rewrite(folder: Path, change: str, name: str = "*.parquet") -> None:
    """Make each Parquet file of a folder another one that can be read."""
    with duckdb.connect() as connection:
        for path in list(folder.rglob(name)):
            source = path.with_suffix(".old")
            path.rename(source)
            read = change.replace("{{", "{").replace("{}", f"read_parquet('{source}')")
            connection.execute(f"COPY ({read}) TO '{path}' (FORMAT parquet)")
            source.unlink()


@pytest.mark.parametrize("below", ["", "store"])
def test_a_store_that_is_a_file_or_below_one_cannot_be_used(
    tmp_path: Path, one_row: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("kept")
    monkeypatch.setenv(STORE_VARIABLE, str(in_the_way / below))
    faulty = tmp_path / "faulty.jsonl"
    faulty.write_text("never read")

    for command in (
        ("bank", "import", one_row, "--name", "new"),
        ("bank", "import", faulty, "--name", "new", "--replace"),
        ("bank", "list"),
        ("bank", "show", "mine"),
        ("demo",),
        ("static", "score", "sticky"),
    ):
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert ran.out == b""
        assert "Not a directory" in ran.err
        assert str(in_the_way) in ran.err
        assert "--store or TWINBENCH_STORE" in ran.err
        assert "unexpected" not in ran.err
    assert in_the_way.read_text() == "kept"


@pytest.mark.parametrize("in_the_way", ["banks", "banks/new"])
def test_a_file_in_the_way_of_a_bank_is_named(default_store: Store, one_row: Path, in_the_way: str) -> None:
    path = default_store.root / in_the_way
    path.parent.mkdir(parents=True)
    path.write_text("kept")

    ran = twinbench("bank", "import", one_row, "--name", "new")

    assert ran.code == 1
    assert str(path) in ran.err
    assert "unexpected" not in ran.err
    assert path.read_text() == "kept"


def test_scores_are_shown_with_a_warning_where_they_cannot_be_kept(damaged_store: Store) -> None:
    for kind in ("scores", "predictions"):
        (damaged_store.root / kind).write_text("in the way")

    ran = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded()

    assert ran.json["routers"][0]["router"] == "sticky"
    assert ran.err.startswith("warning: results are not cached: cannot write ")
    assert (damaged_store.root / "scores").read_text() == "in the way"


def test_what_a_killed_import_left_behind_hinders_nobody(damaged_store: Store, again: Path) -> None:
    left = pointer(damaged_store).with_name(".partial-0123456789ab-x.duckdb")
    left.write_bytes(b"half a bank")

    twinbench("bank", "list").succeeded()
    twinbench("bank", "validate", "mine").succeeded()
    twinbench("bank", "import", again, "--name", "mine", "--replace").succeeded()
    twinbench("bank", "validate", "mine").succeeded()


def test_a_store_named_on_the_command_line_wins_over_the_environment(
    kept_store: Store, tmp_path: Path, one_row: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(kept_store.root / "banks" / DEFAULT_BANK, other / "banks" / DEFAULT_BANK)

    twinbench("bank", "import", one_row, "--name", "elsewhere", "--store", other).succeeded()

    names = [bank["name"] for bank in twinbench("bank", "list", "--json", "--store", other).json["banks"]]
    assert names == sorted(["elsewhere", *EMBEDDED])
    assert "elsewhere" not in twinbench("bank", "list").text


def test_a_store_may_have_any_name_that_a_folder_can_have(kept_store: Store, tmp_path: Path, again: Path) -> None:
    odd = tmp_path / 'it\'s a [red]store[/red]; -- "é" {root} %s'
    shutil.copytree(kept_store.root / "banks" / DEFAULT_BANK, odd / "banks" / DEFAULT_BANK)

    for command in (("bank", "import", again, "--name", "mine"), ("static", "score", "sticky", "--bank", "mine")):
        spawned(*command, environment={STORE_VARIABLE: str(odd)}).succeeded()

    listed = twinbench("bank", "list", "--store", odd).succeeded()
    assert str(odd) in " ".join(listed.text.split())  # a long title is broken at spaces
