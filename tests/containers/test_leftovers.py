"""The suite removes what it starts, and a test that leaves a container behind does not pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.conftest import ROOT
from twinbench.containers.engine import Engine

LEAVING = """
import os, signal
import pytest
from twinbench.containers.container import ContainerLimits, start_container

MINE = {mine!r}

def start(engine, image, case):
    start_container(engine, image, ContainerLimits(), role="case", run=MINE, case=case)

@pytest.fixture(scope="module")
def shared(engine, base_image):
    start(engine, base_image, "shared")

def test_ordinary(engine, base_image):
    start(engine, base_image, "ordinary")

def test_lost(shared):
    os.kill(os.getpid(), signal.SIGKILL)

def test_clean(engine):
    pass
"""


@pytest.fixture
def mine() -> str:
    """The run that the containers of this test belong to."""
    return f"leftovers-{uuid.uuid4().hex[:12]}"


def suite(folder: Path, mine: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A test session of its own."""
    file = folder / "test_leaving.py"
    file.write_text(LEAVING.format(mine=mine), "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.engine", "-p", "no:cacheprovider", "-c", "/dev/null"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), str(file), *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def cases(engine: Engine, mine: str) -> list[str]:
    """The cases of this test's containers."""
    found = engine.client.containers.list(all=True, filters={"label": f"twinbench.run={mine}"}, ignore_removed=True)
    return [container.labels["twinbench.case"] for container in found]


def test_a_test_that_leaves_a_container_behind_fails(
    tmp_path: Path, mine: str, engine: Engine, base_image: str
) -> None:
    ran = suite(tmp_path, mine, "-k", "ordinary or clean", "-p", "no:xdist")
    assert ran.returncode == 1, ran.stdout
    assert "the test left containers behind: twinbench-case-" in ran.stdout
    assert re.search("2 passed,.* 1 error in", ran.stdout)
    assert cases(engine, mine) == []


@pytest.mark.acceptance
def test_what_a_killed_worker_leaves_is_removed_and_told_of(
    tmp_path: Path, mine: str, engine: Engine, base_image: str
) -> None:
    ran = suite(tmp_path, mine, "-k", "lost", "-n", "1", "--max-worker-restart", "0")
    assert ran.returncode == 1, ran.stdout
    assert "CONTAINER LEFT BEHIND by this session: twinbench-case-" in ran.stdout
    assert cases(engine, mine) == []


def test_what_a_killed_session_leaves_is_removed_by_the_next(
    tmp_path: Path, mine: str, engine: Engine, base_image: str
) -> None:
    assert suite(tmp_path, mine, "-k", "lost", "-p", "no:xdist").returncode < 0
    assert cases(engine, mine) in (["shared"], [])  # a session beside this one may have ended since
    assert suite(tmp_path, mine, "-k", "clean", "-p", "no:xdist").returncode == 0
    assert cases(engine, mine) == []
