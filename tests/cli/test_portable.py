"""Nothing POSIX-only in the static track's path: its commands work without what Windows lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.banks import a_trajectory, import_rows, write_jsonl
from tests.cli.commands import Ran
from twinbench.storage.store import STORE_VARIABLE, Store

# Python runs a sitecustomize at its start, in our processes and in those that they start. What belongs to Python or to
# a library that has other code for Windows is let through: psutil, for one, imports resource on Linux.
WITHOUT_POSIX = """
import importlib.abc, os, sys

BLOCKED = {"fcntl", "grp", "pwd", "resource", "termios"}
OTHERS = {"psutil"}


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in BLOCKED:
            return None
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__", "").startswith("importlib."):
            frame = frame.f_back
        if frame.f_globals.get("__name__", "").partition(".")[0] in OTHERS:
            return None
        raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)


sys.meta_path.insert(0, Blocker())
for name in BLOCKED:
    sys.modules.pop(name, None)
for name in ("fork", "forkpty", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
"""

ROUTER = """
class Mine:
    def __init__(self, low_until: int = 2):
        self.low_until = low_until

    def route(self, call):
        return "low" if call.step_index <= self.low_until else "high"
"""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portable")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(WITHOUT_POSIX)
    (folder / "mine.py").write_text(ROUTER)
    rows = [*a_trajectory([0, 3, 1]), *a_trajectory([2], instance="i-2")]
    write_jsonl(folder / "bank.jsonl", rows)
    import_rows(rows, Store(folder / "store"), "mine")
    return folder


def run(folder: Path, *arguments: str) -> Ran:
    """Run the command line in a Python that lacks what Windows lacks."""
    return run_code(folder, "import sys; from twinbench.cli import run; sys.argv[0] = 'twinbench'; run()", *arguments)


def run_in_turn(folder: Path, *commands: str) -> Ran:
    """Run several commands in one such Python, which takes a second to start."""
    code = "import sys; from twinbench.cli import exit_code; print([exit_code(each.split()) for each in sys.argv[1:]])"
    return run_code(folder, code, *commands)


def run_code(folder: Path, code: str, *arguments: str) -> Ran:
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), STORE_VARIABLE: str(folder / "store")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def test_the_block_is_in_force(workshop: Path) -> None:
    code = "import os; assert not hasattr(os, 'fork') and not hasattr(os, 'killpg'); import fcntl"
    environment = {**os.environ, "PYTHONPATH": str(workshop / "site")}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)

    assert "No module named 'fcntl' (blocked)" in done.stderr


@pytest.mark.acceptance
def test_the_static_track_works_without_posix(workshop: Path) -> None:
    assert "Nothing was downloaded or spent." in run(workshop, "demo").succeeded().text

    run(workshop, "bank", "import", "bank.jsonl", "--name", "imported").succeeded()
    board = run(
        workshop,
        *("static", "score", "mine.py:Mine?low_until=1", "sticky"),
        *("--bank", "imported", "--plugin-env", "PYTHONPATH", "--json"),
    )
    scored = board.succeeded().json["routers"][0]
    assert scored["router"] == "mine.py:Mine?low_until=1"
    assert scored["counts"]["errors"] == 0
    assert scored["confusion"][3][3] == 1

    others = run_in_turn(
        workshop,
        "static predict mine.py:Mine --bank imported -o predicted.jsonl",
        "bank split imported --parts left=1,right=1",
        "bank export imported -o out.parquet",
        "bank validate out.parquet",
    )
    assert others.text.splitlines()[-2:] == ["out.parquet: 4 valid rows, 0 problems", "[0, 0, 0, 0]"], others.err
    predicted = (workshop / "predicted.jsonl").read_text("utf-8")
    assert [json.loads(line)["tier_id"] for line in predicted.splitlines()] == [0, 0, 3, 0]


def test_a_failing_router_is_an_error_of_its_rows_without_posix_too(workshop: Path) -> None:
    (workshop / "wrong.py").write_text("class Wrong:\n    def route(self, call):\n        raise ValueError('boom')\n")

    ran = run(workshop, "static", "score", "wrong.py:Wrong", "--bank", "mine")

    assert ran.code == 1
    assert "route raised ValueError: boom" in ran.err
