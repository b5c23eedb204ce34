"""Files that cannot be read: every command names the file, and says why."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from dynamic_track.grading.submissions import read_patch
from tests.banks import a_trajectory
from tests.cli.commands import SCRIPT, Ran, spawned, twinbench, without_progress
from tests.cli.forked import ForkedCommand
from tests.dynamic_track.tasks.task_rows import a_row as a_task
from tests.dynamic_track.tasks.task_rows import write_repo
from tests.examples import thinned
from tests.owner_only import as_owner_only
from tests.runs import v1, v2, write_run
from twinbench.calls.mini_swe_agent import read_trajectories, trajectory_files
from twinbench.storage.store import STORE_VARIABLE, Store

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="/proc/self/mem fails when it is read, not when it is opened"
)

# A command, with the file that it reads in the place of FILE.
FILE = "FILE"
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a bank": ("a.jsonl", ("bank", "import", FILE, "--name", "new")),
    "a bank of gzip": ("a.jsonl.gz", ("bank", "import", FILE, "--name", "new")),
    "a bank as a list": ("a.json", ("bank", "validate", FILE)),
    "a bank of Parquet": ("a.parquet", ("bank", "import", FILE, "--name", "new")),
    "predictions": ("a.jsonl", ("static", "score", "--predictions", FILE)),
    "tasks": ("a.jsonl", ("dynamic", "tasks", "--tasks", FILE)),
    "tasks of Parquet": ("a.parquet", ("dynamic", "tasks", "--tasks", FILE)),
    "a data set": ("a.jsonl", ("dynamic", "tasks", "--tasks", "verified", "--dataset", FILE)),
    "patches": ("a.jsonl", ("dynamic", "grade", "--predictions", FILE)),
    "patches as a document": ("a.json", ("dynamic", "grade", "--predictions", FILE)),
    "a patch": ("a.diff", ("dynamic", "grade", "--case", "x", "--patch", FILE)),
    "a pool": ("pool.toml", ("pool", "show", FILE)),
    "prices": ("prices.toml", ("static", "score", "--prices", FILE)),
    "banks to pull": ("banks.toml", ("bank", "pull", "official", "--manifest", FILE)),
    "a trajectory": ("a.traj.json", ("dynamic", "import", FILE, "--run", "new-run")),
    "a trajectory for a bank": ("a.traj.json", ("bank", "import", FILE, "--format", "mini-swe-agent", "--name", "new")),
}
TRAJECTORIES = ("a trajectory", "a trajectory for a bank")


def command(name: str, folder: Path) -> tuple[Path, list[str]]:
    """The file that a command reads, not there so far, and the command."""
    file, words = COMMANDS[name]
    path = folder / file
    return path, [str(path) if word == FILE else word for word in words]


@pytest.fixture(autouse=True)
def _place(embedded_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(embedded_store.root))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", thinned(COMMANDS, 4))
def test_a_file_without_permission_is_named(tmp_path: Path, name: str) -> None:
    path, words = command(name, tmp_path)
    path.write_text("{}")
    path.chmod(0)

    ran = as_owner_only(*words)

    if name in TRAJECTORIES:  # one of many, which go on
        assert ran.code == 1
        assert ran.err.startswith(f"error: {path}: cannot be read (Permission denied)"), ran.err
    else:
        assert ran.code == 2
        assert f"cannot read {path} (Permission denied)" in ran.err or f"'{path}' is not readable" in ran.err, ran.err


@pytest.mark.parametrize("name", thinned(COMMANDS, 4))
def test_a_file_in_a_folder_without_permission_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "closed").mkdir()
    path, words = command(name, tmp_path / "closed")
    path.write_text("{}")
    with close_folder(path.parent):
        ran = as_owner_only(*words)
    assert ran.code == 2
    assert ran.err.startswith(f"error: cannot read {path} (Permission denied)"), ran.err


@contextmanager
def close_folder(folder: Path) -> Iterator[None]:
    folder.chmod(0)
    try:
        yield
    finally:
        folder.chmod(0o755)


@linux
@pytest.mark.parametrize("name", thinned([name for name in COMMANDS if "Parquet" not in name], 4))
def test_a_file_that_fails_while_it_is_read_is_named(tmp_path: Path, name: str) -> None:
    path, words = command(name, tmp_path)
    path.symlink_to("/proc/self/mem")

    ran = spawned(*words)

    assert ran.code == 1
    assert str(path) in ran.err.splitlines()[0], ran.err
    assert "cannot be read any further (Input/output error)" in ran.err


WRONG_KINDS: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe that nobody writes to": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("name", thinned([name for name in COMMANDS if name not in ("a patch", *TRAJECTORIES)], 4))
@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    path, words = command(name, tmp_path)
    WRONG_KINDS[kind](path)

    ran = twinbench(*words)

    assert ran.code in (1, 2) if kind == "a folder" and name.startswith("tasks") else ran.code == 2
    assert str(path) in ran.err
    assert "unexpected" not in ran.err
    assert "standard output" not in ran.err


@linux
@pytest.mark.parametrize("words", ["bank validate", "bank import --name new"])
def test_a_pipe_with_the_name_of_a_document_is_refused_before_it_is_looked_into(words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    os.mkfifo(path)
    ran = twinbench(*words.split(), path)
    assert (ran.code, ran.err) == (2, f"error: {path} is not a file\n")


@pytest.mark.parametrize("name", thinned(COMMANDS, 4))
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    path, words = command(name, tmp_path / ("x" * 300))
    ran = twinbench(*words)
    assert ran.code == 2
    assert ran.err.startswith(f"error: cannot read {path} (File name too long)"), ran.err


@pytest.mark.parametrize("kind", [kind for kind in WRONG_KINDS if kind != "a folder"])
def test_what_is_no_file_among_trajectories_is_named_and_others_are_imported(tmp_path: Path, kind: str) -> None:
    write_run(tmp_path / "runs" / "b.traj.json", v2())
    path = tmp_path / "runs" / "a.traj.json"
    WRONG_KINDS[kind](path)

    words = ("--format", "mini-swe-agent", "--name", "runs", "--store", tmp_path / "store")
    ran = twinbench("bank", "import", tmp_path / "runs", *words)

    assert ran.code == 1
    assert f"{path}: cannot be read (" in ran.err
    assert "3 rows, 1 trajectory" in ran.text


def test_a_file_that_vanishes_behind_its_listing_is_named_and_others_are_imported(tmp_path: Path) -> None:
    for name, content in (("a", v1()), ("b", v2())):
        write_run(tmp_path / "runs" / f"{name}.traj.json", content)
    listed = trajectory_files([str(tmp_path / "runs")])
    (tmp_path / "runs" / "a.traj.json").unlink()

    gone, there = read_trajectories(listed)

    assert str(gone) == f"{tmp_path}/runs/a.traj.json: cannot be read (No such file or directory)"
    assert not isinstance(there, Exception)


@pytest.mark.parametrize(
    "words",
    [("dynamic", "import", "--run", "new-run"), ("bank", "import", "--name", "new", "--format", "mini-swe-agent")],
)
def test_a_folder_of_trajectories_that_cannot_be_looked_into_is_named(tmp_path: Path, words: tuple[str, ...]) -> None:
    write_run(tmp_path / "runs" / "a.traj.json", v1())
    write_run(tmp_path / "runs" / "more" / "b.traj.json", v2())
    for folder in (tmp_path / "runs" / "more", tmp_path / "runs"):
        with close_folder(folder):
            ran = as_owner_only(*words[:2], tmp_path / "runs", *words[2:])
        assert ran.code == 2
        assert ran.err == f"error: cannot read {folder} (Permission denied)\n"


@pytest.mark.parametrize("file", ["task.yaml", "tests.json", "gold.patch", "Dockerfile", "."])
def test_a_file_of_a_task_that_cannot_be_read_is_named(tmp_path: Path, file: str) -> None:
    repo = write_repo(tmp_path / "repo", [a_task()])
    path = repo / "tasks" / "acme__rocket-1" / file
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        ran = as_owner_only("dynamic", "tasks", "--tasks", repo)
    finally:
        path.chmod(mode)
    assert ran.code == 1
    named = path / "task.yaml" if file == "." else path
    assert ran.err.startswith(f"error: {named}: cannot be read (Permission denied)"), ran.err


def test_a_folder_of_tasks_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    repo = write_repo(tmp_path / "repo", [a_task()])
    with close_folder(repo / "tasks"):
        ran = as_owner_only("dynamic", "tasks", "--tasks", repo)
    assert ran.code == 2
    assert ran.err == f"error: cannot read {repo / 'tasks'} (Permission denied)\n"


FROM_STANDARD_INPUT = (
    "bank import - --name new",
    "static score --predictions -",
    "dynamic grade --case x --patch -",
)


def run_redirected(words: str, redirection: str) -> Ran:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{shlex.quote(str(SCRIPT))} {words} {redirection}"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, without_progress(done.stderr.decode()))


@linux
@pytest.mark.parametrize("words", FROM_STANDARD_INPUT)
def test_standard_input_that_fails_is_named(words: str) -> None:
    ran = run_redirected(words, "< /proc/self/mem")
    assert ran.code == 1
    assert ran.err.startswith("error: standard input")
    assert "cannot be read any further (Input/output error)" in ran.err


@pytest.mark.parametrize("words", FROM_STANDARD_INPUT)
def test_standard_input_that_is_closed_is_wrong_usage(words: str) -> None:
    ran = run_redirected(words, "<&-")
    assert ran.code == 2
    assert ran.err == "error: standard input is closed, so nothing can be read from it\n"


def test_a_patch_may_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = Thread(target=path.write_bytes, args=(b"diff --git\r\n",))
    writing.start()
    assert read_patch(path) == "diff --git\r\n"
    writing.join()


def test_rows_may_come_through_standard_input_bit_by_bit(tmp_path: Path) -> None:
    content = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in a_trajectory([0, 1])))
    words = ("bank", "import", "-", "--name", "new", "--store", tmp_path / "store")
    with ForkedCommand(words) as running:
        assert running.stdin is not None
        for part in (content[:1], content[1:5]):
            running.stdin.write(part)
            running.stdin.flush()
            time.sleep(0.1)
        out, _ = running.communicate(content[5:])
    assert running.returncode == 0
    assert b"imported new: 2 rows, 1 trajectory" in out
    pointer = json.loads((tmp_path / "store" / "banks" / "new" / "bank.json").read_text("utf-8"))
    assert pointer["source_sha256"] == hashlib.sha256(content).hexdigest()
