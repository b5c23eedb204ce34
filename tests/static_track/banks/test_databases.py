"""Bank files stay open from one score to the next, and another file at the same path is another database."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import psutil
import pytest

from static_track.banks import databases
from tests.examples import number_of


def bank_file(path: Path, number: int) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE base AS SELECT {number} AS number")
    return path


def held(path: Path) -> int:
    with databases.connect(path) as connection:
        [(number,)] = connection.execute("SELECT number FROM base").fetchall()
    return int(number)


def open_here(path: Path) -> bool:
    """Whether this process has a file open."""
    return str(path) in {file.path for file in psutil.Process().open_files()}


def test_a_file_stays_open_and_another_one_in_its_place_is_read(tmp_path: Path) -> None:
    path = bank_file(tmp_path / "bank.duckdb", 1)
    assert [held(path), held(path)] == [1, 1]
    assert open_here(path)
    bank_file(tmp_path / "other.duckdb", 2).replace(path)
    assert held(path) == 2
    path.unlink()
    with pytest.raises(duckdb.Error):
        databases.connect(path)
    bank_file(path, 3)
    assert held(path) == 3


def test_a_file_that_is_opened_ahead_stays_open_unless_it_is_large_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bank_file(tmp_path / "bank.duckdb", 1)
    databases.open_and_keep(tmp_path / "missing.duckdb")
    assert not (tmp_path / "missing.duckdb").exists()
    with monkeypatch.context() as patched:
        patched.setattr(databases, "MOST_KEPT_BYTES", path.stat().st_size - 1)
        databases.open_and_keep(path)
        assert not open_here(path)
    databases.open_and_keep(path)
    assert open_here(path)
    assert held(path) == 1
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database " * 1000)
    with pytest.raises(duckdb.Error):
        databases.open_and_keep(damaged)


def test_views_are_kept_for_who_needs_the_same_and_end_with_their_file(tmp_path: Path) -> None:
    path = bank_file(tmp_path / "bank.duckdb", 1)
    connection = databases.connect(path)
    connection.execute("CREATE TEMP VIEW more AS SELECT number + 1 AS number FROM base")
    databases.give_back(path, "plus one", connection)
    assert databases.take(path, "plus two") is None
    taken = databases.take(path, "plus one")
    assert taken is not None
    assert taken.execute("SELECT number FROM more").fetchall() == [(2,)]
    assert databases.take(path, "plus one") is None, "somebody has it"
    databases.give_back(path, "plus one", taken)
    bank_file(tmp_path / "other.duckdb", 5).replace(path)
    assert databases.take(path, "plus one") is None


def test_a_sidecar_that_was_made_anew_is_read_anew(tmp_path: Path) -> None:
    path, beside = bank_file(tmp_path / "bank.duckdb", 1), bank_file(tmp_path / "beside.duckdb", 10)
    for number in (10, 20):
        with databases.connect(path) as connection:
            table = databases.attach(connection, beside)
            assert connection.table(table).fetchall() == [(number,)]
        bank_file(tmp_path / "new.duckdb", 20).replace(beside)


def test_only_some_files_and_only_small_ones_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [bank_file(tmp_path / f"{number}.duckdb", number) for number in range(databases.MOST_KEPT + 1)]
    assert [held(path) for path in paths] == list(range(len(paths)))
    assert [open_here(path) for path in paths] == [False, *(True for _ in paths[1:])]
    monkeypatch.setattr(databases, "MOST_KEPT_BYTES", 1000)
    large = bank_file(tmp_path / "large.duckdb", 7)
    assert (held(large), open_here(large)) == (7, False)


@pytest.mark.acceptance
@pytest.mark.drawn
def test_threads_share_a_file(tmp_path: Path) -> None:
    times = number_of(80, 200)
    paths = [bank_file(tmp_path / f"{number}.duckdb", number) for number in range(6)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda number: held(paths[number % 6]), range(times))) == [n % 6 for n in range(times)]


def test_a_child_of_a_fork_reads_what_its_parent_had_open(tmp_path: Path) -> None:
    path = bank_file(tmp_path / "bank.duckdb", 4)
    assert held(path) == 4
    child = os.fork()
    if child == 0:
        os._exit(held(path))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
