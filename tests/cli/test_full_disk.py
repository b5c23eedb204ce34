"""A disk that fills up or that can only be read: nothing is half there afterwards, and what can be done is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from static_track.banks import databases
from tests.banks import a_manifest
from tests.cli.commands import files, spawned, twinbench
from tests.examples import thinned
from tests.timing import HANG_S
from tests.twinbench.hub import hub_with
from twinbench.storage.store import STORE_VARIABLE, Store

KIB = 1024
DISK_KIB = 8192
NEEDED_KIB = 2048
"""A small bank takes less, counting what is written aside."""


@pytest.fixture(scope="module")
def _disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own."""
    point = tmp_path_factory.mktemp("disk")
    mount = shutil.which("mount")
    if not sys.platform.startswith("linux") or mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and root")
    tried = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "tmpfs", point], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {tried.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)


@pytest.fixture
def disk(_disk: Path, kept_store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small disk with a store on it that has the bank ``mine``; commands use it untold."""
    databases.close_all()  # else what is removed still takes room
    for path in _disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(kept_store.root / "banks" / "mine", _disk / "store" / "banks" / "mine")
    monkeypatch.setenv(STORE_VARIABLE, str(_disk / "store"))
    return _disk


def leave(disk: Path, kib: int) -> None:
    """Fill the disk up to so many KiB."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    filler.write_bytes(bytes(max(shutil.disk_usage(disk).free - kib * KIB, 0)))


def test_an_import_is_whole_or_not_there_wherever_the_disk_fills(disk: Path, one_row: Path) -> None:
    before = files(disk / "store")
    outcomes = set()

    for kib in (0, 4, 12, 64, 300, 700, 1000, 1100, 1300, 1600, NEEDED_KIB):
        leave(disk, kib)
        for arguments in (("--name", "new"), ("--name", "mine", "--replace")):
            ran = twinbench("bank", "import", one_row, *arguments)
            outcomes.add(ran.code)
            if ran.code == 0:
                twinbench("bank", "validate", arguments[1]).succeeded()
                shutil.rmtree(disk / "store")
                for path, content in before.items():
                    (disk / "store" / path).parent.mkdir(parents=True, exist_ok=True)
                    (disk / "store" / path).write_bytes(content)
            else:
                assert ran.code == 1
                assert ran.out == b""
                assert (
                    ran.err == f"error: no space left on the disk of the store {disk / 'store'}; nothing was changed\n"
                )
            assert files(disk / "store") == before, kib
    assert outcomes == {0, 1}


def test_scores_are_shown_and_results_kept_whole_or_not_at_all(disk: Path) -> None:
    leave(disk, DISK_KIB)
    whole = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded().json
    for kind in ("scores", "predictions"):
        shutil.rmtree(disk / "store" / kind)

    for kib in (0, 8, 40):
        leave(disk, kib)
        ran = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded()
        assert ran.err.startswith("warning: results are not cached: no space left on the disk")
        assert [entry["scores"] for entry in ran.json["routers"]] == [entry["scores"] for entry in whole["routers"]]
        assert not list(disk.rglob(".partial-*"))

    leave(disk, DISK_KIB)
    ran = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded()
    assert ran.err == ""
    assert [entry["scores"] for entry in ran.json["routers"]] == [entry["scores"] for entry in whole["routers"]]


def test_a_split_is_whole_or_not_there(disk: Path) -> None:
    twinbench("bank", "split", "mine", "--parts", "left=1,right=1").succeeded()
    before = files(disk / "store")
    leave(disk, 0)

    ran = twinbench("bank", "split", "mine", "--parts", "train=1,test=1")

    assert ran.code == 1
    assert "no space left on the disk" in ran.err
    assert files(disk / "store") == before


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "table"])
def test_an_old_table_stays_where_the_new_one_does_not_fit(disk: Path, form: str) -> None:
    target = disk / "out"
    target.write_text("old")
    leave(disk, 0)

    ran = twinbench("router", "list", "--format", form, "-o", target)

    assert ran.code == 1
    assert ran.err == f"error: cannot write {target} (No space left on device)\n"
    assert target.read_text() == "old"
    assert {path.name for path in disk.iterdir()} == {"store", "filler", "out"}


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_an_old_export_stays_where_the_new_one_does_not_fit(disk: Path, ending: str) -> None:
    target = disk / f"out{ending}"
    target.write_text("old")
    leave(disk, 0)

    ran = twinbench("bank", "export", "mine", "-o", target)

    assert ran.code == 1
    assert f"cannot write {target}" in ran.err
    assert "unexpected" not in ran.err
    assert target.read_text() == "old"
    assert {path.name for path in disk.iterdir()} == {"store", "filler", target.name}


@pytest.fixture
def read_only_disk(disk: Path) -> Iterator[Path]:
    """The small disk as a medium that can only be read."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def test_a_store_that_can_only_be_read_is_read(read_only_disk: Path) -> None:
    for command in (("list",), ("show", "mine"), ("validate", "mine"), ("export", "mine")):
        twinbench("bank", *command).succeeded()

    ran = twinbench("static", "score", "sticky", "--bank", "mine", "--json").succeeded()

    assert ran.json["routers"][0]["router"] == "sticky"
    assert ran.err.startswith("warning: results are not cached: cannot write ")
    assert "Read-only file system" in ran.err


def test_a_store_that_can_only_be_read_is_not_written(read_only_disk: Path, one_row: Path) -> None:
    for command in (
        ("bank", "import", one_row, "--name", "new"),
        ("bank", "import", one_row, "--name", "mine", "--replace"),
        ("bank", "split", "mine"),
        ("bank", "rm", "mine"),
        ("demo",),
    ):
        ran = twinbench(*command)
        assert ran.code == 1, command
        assert ran.out == b""
        assert ran.err.startswith(f"error: cannot write {read_only_disk / 'store'}")
        assert "Read-only file system" in ran.err
        assert ran.err.endswith("); nothing was changed; choose another with --store or TWINBENCH_STORE\n")


def test_a_file_size_limit_is_like_a_full_disk(kept_store: Store, one_row: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limit on file sizes")
    before = files(kept_store.root)
    limit = 100 * KIB

    done = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "twinbench", "bank", "import", one_row, "--name", "new"],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "nothing was changed" in done.stderr
    assert files(kept_store.root) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "command",
    [
        ("demo",),
        ("bank", "export", "mine"),
        ("bank", "list", "--json"),
        ("static", "predict", "sticky", "--bank", "mine"),
        ("pool", "list", "--format", "parquet"),
    ],
)
@pytest.mark.parametrize("unbuffered", thinned(["", "1"], 2))
def test_an_output_that_takes_no_more_is_told_plainly(
    kept_store: Store, command: tuple[str, ...], unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [Path(sysconfig.get_path("scripts")) / "twinbench", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=HANG_S,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    assert done.returncode == 1
    assert done.stderr.count("standard output") == 1
    assert done.stderr.splitlines()[-1] == "error: cannot read or write standard output (No space left on device)"


def test_a_pull_whose_cache_fills_the_disk_says_so_and_leaves_nothing(disk: Path, tmp_path: Path) -> None:
    before = files(disk / "store")
    content = tmp_path / "rows.jsonl"
    content.write_bytes(bytes(2 * DISK_KIB * KIB))
    manifest = a_manifest(tmp_path / "banks.toml", content)
    with hub_with({"datasets/some/bank/rows.jsonl": content.read_bytes()}) as hub:
        ran = spawned(
            *("bank", "pull", "official", "--manifest", manifest),
            environment={"HF_ENDPOINT": hub.url, "HF_HOME": str(disk / "hf"), "HF_HUB_OFFLINE": "0"},
        )

    assert ran.code == 1
    assert ran.err.startswith(
        "error: no space left on the disk for rows.jsonl of the data set some/bank: its cache is "
    )
    assert files(disk / "store") == before
    assert not [path for path in (disk / "hf").rglob("*") if path.is_file() and path.stat().st_size > KIB]
