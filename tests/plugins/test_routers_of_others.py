"""Routers from the package index, as docs/routers-of-others.md adapts them, in an environment of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.refresh import ROOT
from tests.cli.commands import spawned
from twinbench.storage.store import STORE_VARIABLE, Store

PAGE = (ROOT / "docs" / "routers-of-others.md").read_text("utf-8")
FILES = dict(re.findall(r'```python title="(by_\w+\.py)"\n(.*?)```', PAGE, re.DOTALL))
PACKAGES = re.findall(r"\S+==\S+", PAGE)
SPECS = sorted(set(re.findall(r"by_\w+\.py:\w+", PAGE)))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the packages."""
    folder = tmp_path_factory.mktemp("others") / "environment"
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run([found, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"the packages do not install here: {done.stderr.decode()[-200:]}")
    return found


def test_the_page_has_three_adapters_of_about_ten_lines() -> None:
    assert len(FILES) == len(PACKAGES) == len(SPECS) == 3
    for name, code in FILES.items():
        compile(code, name, "exec")
        assert len([line for line in code.splitlines() if line.strip()]) <= 16


@pytest.mark.acceptance
def test_they_decide_about_every_row(
    python: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, "utf-8")
    ran = spawned("static", "score", *SPECS, "--python", python, "--resamples", "0", "--json", cwd=tmp_path).succeeded()
    routers = {entry["router"]: entry for entry in ran.json["routers"]}
    for spec in SPECS:
        entry = routers[spec]
        assert entry["counts"]["errors"] == 0
        assert len([share for share in map(sum, zip(*entry["confusion"], strict=True)) if share]) > 1  # no constant
        print(f"evidence: {spec}: {', '.join(f'{name} {value:.2f}' for name, value in entry['scores'].items())}")
