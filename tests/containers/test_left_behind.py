"""What a killed process leaves of a router in strict isolation, and who removes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.banks import a_trajectory, import_rows
from tests.submissions.handing_in import failed, pack, verify, write_router
from twinbench.containers.engine import Engine
from twinbench.containers.labels import DEADLINE
from twinbench.containers.strict import StrictIsolation
from twinbench.errors import UsageError
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.store import Store
from twinbench.storage.temporary_folders import remove_abandoned_folders, temporary_folder

OWNER = """
import sys, time
from twinbench.containers.engine import Engine
from twinbench.containers.strict import StrictIsolation
from twinbench.plugins.limits import PluginLimits
from twinbench.plugins.loading import load_router
from twinbench.storage.manifest_files import static_manifest

with Engine.connect() as engine:
    loaded = load_router(sys.argv[1], PluginLimits(isolation=StrictIsolation(engine)))
    with loaded.open(static_manifest().candidates()) as router:
        print(router._process._container.container.name, router._folder, flush=True)
        time.sleep(600)
"""
HOLDER = """
import time
from twinbench.storage.temporary_folders import temporary_folder

with temporary_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.client.containers.list(all=True, filters={"name": name}, ignore_removed=True))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    folder.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_folders_of_processes_that_ended_are_removed_and_no_others(temporary: Path) -> None:
    (temporary / "twinbench-of-somebody").mkdir()
    (temporary / "twinbench-link").symlink_to(temporary / "twinbench-of-somebody")
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        theirs = Path(process.stdout.readline().strip())
        with temporary_folder() as mine:
            assert remove_abandoned_folders() == 0
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert theirs.is_dir()
            assert remove_abandoned_folders() == 1
            assert mine.is_dir()
    assert sorted(path.name for path in temporary.iterdir()) == ["twinbench-link", "twinbench-of-somebody"]


def test_a_process_that_makes_a_folder_removes_those_that_killed_ones_left(temporary: Path) -> None:
    made = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            made.append(Path(process.stdout.readline().strip()))
            assert made[-1].is_dir()
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert [path.name for path in temporary.iterdir()] == [made[1].name]


@pytest.mark.acceptance
def test_the_next_verification_removes_what_a_killed_one_left(
    tmp_path: Path, temporary: Path, engine: Engine, base_image: str
) -> None:
    router = write_router(tmp_path / "router")
    command = [sys.executable, "-c", OWNER, router]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        container, folder = process.stdout.readline().split()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert exists(engine, container)
    assert Path(folder).is_dir()
    rows = [row for number in range(4) for row in a_trajectory([number % 4, 0, 3], instance=f"i-{number}")]
    import_rows(rows, Store(None), "left", replace=True)
    pack(router, tmp_path / "mine.zip", "--bank", "left").succeeded()
    assert failed(verify(tmp_path / "mine.zip", ask="all")) == set()
    assert not exists(engine, container)
    assert not Path(folder).exists()


def test_a_container_is_needed_no_longer_than_its_limits_allow(tmp_path: Path, engine: Engine, base_image: str) -> None:
    tmp_path.chmod(0o755)
    strict = StrictIsolation(engine).lasting(500)
    assert strict.lasting(10_000).life_s == 500
    loaded = load_router(write_router(tmp_path / "router"), PluginLimits(isolation=strict))
    with loaded.open(static_manifest().candidates()) as router:
        marks = router._process._container.container.labels  # type: ignore[attr-defined]
        assert 400 < float(marks[DEADLINE]) - time.time() <= 500


def test_what_a_container_cannot_see_is_refused_in_words(tmp_path: Path, engine: Engine) -> None:
    folder = tmp_path / "model"
    (tmp_path / "a:b").mkdir()
    folder.mkdir()
    (folder / "artefact.json").touch()
    for path in (tmp_path, folder):
        path.chmod(0o755)
    outside = {"kind": "file", "path": [], "target": "/etc/hostname", "learned": str(folder), "artefact": str(folder)}
    with pytest.raises(UsageError, match="is not in the folder of the trained router"):
        StrictIsolation(engine).locate(outside)
    with pytest.raises(UsageError, match="has a colon in its name"):
        StrictIsolation(engine).locate({"kind": "file", "target": str(tmp_path / "a:b/mine.py")})
