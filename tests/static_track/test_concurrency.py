"""Several processes on one store, and processes that are killed in the middle of a write."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.bank import Bank
from static_track.banks.bank_info import BankInfo, bank_info
from static_track.banks.importing import import_bank
from static_track.banks.opening import validate_bank
from static_track.evaluator import Evaluator
from tests.banks import a_trajectory, import_rows, write_jsonl
from tests.examples import thinned
from twinbench.storage.store import Store

# Imports a file and stops at each named stage, once, until it is told to go on.
IMPORTER = """
import sys, time
from pathlib import Path
from static_track.banks.importing import import_bank
from twinbench.errors import UsageError
from twinbench.storage.store import Store

path, name, store, replace, folder, *stages = sys.argv[1:]

def progress(what, done, total):
    if what in stages:
        stages.remove(what)
        (Path(folder) / "reached").touch()
        while not (Path(folder) / "go").exists():
            time.sleep(0.01)

try:
    import_bank(path, name, Store(store), replace=replace == "replace", progress=progress)
except UsageError as error:
    sys.exit(str(error))
"""
WITHIN_S = 60
WRITING = "writing the bank"


def rows(count: int, label: int = 0) -> list[dict[str, Any]]:
    return [row for number in range(count) for row in a_trajectory([label, label, 0], instance=f"i-{number}")]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


class Interleaved(Store):
    """A store in which another process does something just before one of our steps."""

    def __init__(self, root: Path, step: str, other: Callable[[], object]) -> None:
        super().__init__(root)
        self._step = step
        self._other: Callable[[], object] | None = other

    def _before(self, step: str) -> None:
        if step == self._step and self._other is not None:
            other, self._other = self._other, None
            other()

    def write_pointer(self, name: str, content: Mapping[str, Any], *, replace: bool) -> None:
        self._before("publishing")
        super().write_pointer(name, content, replace=replace)

    def remove_bank_files(self, name: str, sha256: str) -> None:
        self._before("removing")
        super().remove_bank_files(name, sha256)

    def current_content(self, name: str) -> str | None:
        self._before("looking")
        return super().current_content(name)


class Importer:
    """Another process that imports a bank, stopping at some stages."""

    def __init__(
        self, folder: Path, records: Sequence[Mapping[str, Any]], store: Store, *stages: str, replace: bool = False
    ) -> None:
        self._folder = folder
        folder.mkdir()
        path = write_jsonl(folder / "bank.jsonl", records)
        arguments = [str(path), "bank", str(store.root), "replace" if replace else "", str(folder), *stages]
        self.process = subprocess.Popen([sys.executable, "-c", IMPORTER, *arguments], stderr=subprocess.PIPE, text=True)

    def wait_until_stopped(self) -> None:
        wait_for((self._folder / "reached").exists)

    def go_on(self) -> None:
        (self._folder / "go").touch()

    def finished(self) -> tuple[int, str]:
        _, complaint = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, complaint.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=WITHIN_S)


Start = Callable[..., Importer]


@pytest.fixture
def start(tmp_path: Path, store: Store) -> Iterator[Start]:
    """Starts importers, and ends those that are left."""
    started: list[Importer] = []

    def start_one(records: Sequence[Mapping[str, Any]], *stages: str, replace: bool = False) -> Importer:
        folder = tmp_path / f"importer-{len(started)}"
        started.append(Importer(folder, records, store, *stages, replace=replace))
        return started[-1]

    yield start_one
    for importer in started:
        if importer.process.poll() is None:
            importer.kill()


def files_of(store: Store) -> dict[str, bytes]:
    """All that a reader of the store may come across."""
    found = {str(path.relative_to(store.root)): path for path in store.root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if ".partial-" not in name}


@contextmanager
def opened(store: Store) -> Iterator[Bank]:
    with Bank.open("bank", store) as bank:
        yield bank


def banks_of(store: Store) -> list[BankInfo]:
    return [bank_info(name, store) for name in store.bank_names()]


def combined(bank: Bank) -> list[float | None]:
    return [entry.score.scores["combined"] for entry in Evaluator(bank, no_cache=True).board([]).entries]


@pytest.mark.acceptance
@pytest.mark.parametrize("same_content", [True, False])
def test_of_two_imports_under_one_name_exactly_one_wins(*, same_content: bool, start: Start, store: Store) -> None:
    banks = [rows(3), rows(3) if same_content else rows(4)]
    importers = [start(bank, WRITING) for bank in banks]
    for importer in importers:
        importer.wait_until_stopped()  # both have seen that the name is free
    for importer in importers:
        importer.go_on()
    ended = [importer.finished() for importer in importers]

    assert sorted(code for code, _ in ended) == [0, 1]
    (complaint,) = (text for code, text in ended if code)
    assert complaint == "a bank named 'bank' exists; choose another --name, or --replace it"
    (winner,) = (bank for bank, (code, _) in zip(banks, ended, strict=True) if code == 0)
    assert validate_bank("bank", store) == (len(winner), [])
    assert sorted(path.suffix for path in store.bank_dir("bank").iterdir()) == [".duckdb", ".json"]


@pytest.mark.parametrize("step", thinned(["publishing", "removing", "looking"], 3))
@pytest.mark.parametrize(("ours", "others"), [("old", "new"), ("new", "old"), ("new", "third"), ("old", "old")])
def test_of_two_replacements_at_once_neither_takes_the_others_file_away(
    step: str, ours: str, others: str, store: Store
) -> None:
    banks = {"old": rows(3), "new": rows(4), "third": rows(5)}
    import_rows(banks["old"], store)
    interleaved = Interleaved(store.root, step, lambda: import_rows(banks[others], store, replace=True))

    import_rows(banks[ours], interleaved, replace=True)

    # Where the content stays as it is, nothing has to be removed, and the other import does not come about.
    last = others if step == "removing" and ours != "old" else ours
    assert validate_bank("bank", store) == (len(banks[last]), [])
    assert not partials(store)


def test_what_nobody_publishes_is_removed_once_it_is_surely_abandoned(store: Store) -> None:
    import_rows(rows(3), store)
    folder = store.bank_dir("bank")
    old, fresh = (folder / f"{digit * 64}.duckdb" for digit in "ab")
    for path in (old, fresh):
        path.write_bytes(b"a bank")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    current = import_rows(rows(4), store, replace=True)
    assert {path.name for path in folder.iterdir()} == {"bank.json", current.file_name, fresh.name}


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("there", ["store", "store/banks"])
def test_a_failed_import_into_a_fresh_store_leaves_nothing(there: str, store: Store, *, replace: bool) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    (store.root.parent / there).mkdir(parents=True)
    before = {path for path in store.root.parent.rglob("*") if path.is_dir()}
    with pytest.raises(KeyboardInterrupt):
        import_rows(rows(1), Interleaved(store.root, "publishing", fail), replace=replace)
    assert {path for path in store.root.parent.rglob("*") if path.is_dir()} == before
    assert not files_of(store)


def test_a_failed_import_removes_the_folders_of_a_store_that_was_not_there(store: Store) -> None:
    def progress(what: str, done: int, total: int | None) -> None:
        if what == WRITING:
            raise KeyboardInterrupt

    path = write_jsonl(store.root.parent / "bank.jsonl", rows(1))
    with pytest.raises(KeyboardInterrupt):
        import_bank(str(path), "bank", store, progress=progress)
    assert not store.root.exists()


@pytest.mark.acceptance
def test_readers_are_not_blocked_by_an_import_and_keep_what_they_opened(start: Start, store: Store) -> None:
    old = import_rows(rows(3), store)
    with opened(store) as before:
        scores = combined(before)
        importer = start(rows(5, label=3), WRITING, replace=True)
        importer.wait_until_stopped()

        assert [bank.sha256 for bank in banks_of(store)] == [old.sha256]
        with opened(store) as during:
            assert combined(during) == scores

        importer.go_on()
        assert importer.finished() == (0, "")
        assert [row["id"] for row in before.rows()] == [row["id"] for row in rows(3)]
    with opened(store) as after:
        assert after.info.rows == 15
        assert combined(after) != scores


def test_readers_do_not_block_each_other(store: Store) -> None:
    import_rows(rows(3), store)
    code = (
        "import sys; from static_track.banks.bank import Bank; from twinbench.storage.store import Store\n"
        "bank = Bank.open('bank', Store(sys.argv[1])); print(len(list(bank.rows())), flush=True); sys.stdin.read()"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "9\n"
        with opened(store) as bank:
            assert len(combined(bank)) == 7
    finally:
        for reader in readers:
            reader.communicate("", timeout=WITHIN_S)


def test_banks_imported_at_once_under_different_names_all_arrive(tmp_path: Path, store: Store) -> None:
    path = write_jsonl(tmp_path / "bank.jsonl", rows(3))
    importers = [
        subprocess.Popen([sys.executable, "-c", IMPORTER, str(path), name, str(store.root), "", str(tmp_path)])
        for name in ("one", "two")
    ]
    assert [importer.wait(WITHIN_S) for importer in importers] == [0, 0]
    assert [(bank.name, bank.rows) for bank in banks_of(store)] == [("one", 9), ("two", 9)]


@pytest.mark.parametrize("stage", ["reading rows", "counting tokens", WRITING])
@pytest.mark.parametrize("replace", thinned([True, False], 2))
def test_an_import_killed_at_a_stage_leaves_the_store_as_it_was(
    stage: str, start: Start, store: Store, *, replace: bool
) -> None:
    if replace:
        import_rows(rows(3), store)
    before = files_of(store) if replace else {}
    importer = start(rows(4), stage, replace=replace)
    importer.wait_until_stopped()
    importer.kill()

    assert files_of(store) == before
    assert [bank.rows for bank in banks_of(store)] == ([9] if replace else [])
    assert import_rows(rows(4), store, replace=replace).rows == 12
    assert validate_bank("bank", store) == (12, [])


def test_an_import_killed_while_its_file_is_written_leaves_the_store_as_it_was(start: Start, store: Store) -> None:
    import_rows(rows(3), store)
    before = files_of(store)
    many = rows(1000)
    importer = start(many, WRITING, replace=True)
    importer.wait_until_stopped()
    importer.go_on()
    wait_for(lambda: any(path.stat().st_size for path in partials(store)))
    importer.kill()

    assert partials(store), "it was done before it was killed: the bank must be larger"
    assert files_of(store) == before
    with opened(store) as bank:
        assert len(list(bank.rows())) == 9
    assert import_rows(rows(4), store, replace=True).rows == 12
    assert validate_bank("bank", store) == (12, [])


def partials(store: Store) -> list[Path]:
    return [path for path in store.bank_dir("bank").glob(".partial-*") if path.exists()]


def test_what_a_killed_import_left_is_cleared_away_once_it_is_surely_abandoned(store: Store) -> None:
    folder = store.bank_dir("bank")
    folder.mkdir(parents=True)
    old, fresh = folder / ".partial-old", folder / ".partial-fresh"
    for path in (old, fresh):
        path.write_bytes(b"half a bank")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    import_rows(rows(1), store)
    assert not old.exists()
    assert fresh.exists()  # somebody may still be writing it


@pytest.mark.acceptance
def test_two_processes_may_score_the_same_router_at_once(tmp_path: Path, store: Store) -> None:
    import_rows(rows(3), store)
    code = (
        "import sys, twinbench as tb; print(tb.score('sticky', bank='bank', store=sys.argv[1]).entries[0].score.scores)"
    )
    judges = [
        subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [judge.communicate(timeout=WITHIN_S)[0] for judge in judges]
    assert printed[0] == printed[1] != ""
    assert not list(store.root.rglob(".partial-*"))


def test_of_two_writers_of_the_same_result_the_second_finds_it_there(store: Store) -> None:
    path = store.root / "scores" / "some-fingerprint"
    with store.replacing(path) as slow:
        slow.mkdir(parents=True)
        (slow / "score.parquet").write_text("the same", "utf-8")
        with store.replacing(path) as fast:
            fast.mkdir()
            (fast / "score.parquet").write_text("the same", "utf-8")
    assert [(file.name, file.read_text("utf-8")) for file in path.iterdir()] == [("score.parquet", "the same")]
    assert list(path.parent.iterdir()) == [path]


def test_a_bank_that_is_open_stays_readable_when_it_is_removed(store: Store) -> None:
    import_rows(rows(3), store)
    with opened(store) as bank:
        store.remove_bank("bank")
        assert len(list(bank.rows())) == 9
    assert banks_of(store) == []


def test_an_import_that_replaces_a_bank_by_itself_keeps_its_file(store: Store, tmp_path: Path) -> None:
    first = import_rows(rows(3), store)
    again = import_bank(str(write_jsonl(tmp_path / "again.jsonl", rows(3)[::-1])), "bank", store, replace=True)
    assert again.sha256 == first.sha256
    assert validate_bank("bank", store) == (9, [])
