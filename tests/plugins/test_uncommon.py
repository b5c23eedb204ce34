"""A router that nobody here wrote, from the index, in an environment of its own, through both interfaces.

``TWINBENCH_UNCOMMON_PYTHON`` names the interpreter of an environment that has it; without it, one is made in the user's
cache folder (some 6 GB: the package brings a deep learning framework) and kept for the next time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from tests.cli.commands import SCRIPT, spawned
from twinbench.storage.store import STORE_VARIABLE, Store

PACKAGE = "uncommon-route==0.7.21"
PYTHON_VARIABLE = "TWINBENCH_UNCOMMON_PYTHON"
BANKS = ("bfcl_2024_08", "official_part", "swemini_g3p_dev")
# Without a network its first call would try the hub again for over a minute.
OFFLINE = "HF_HUB_OFFLINE"
HERE = Path(__file__).parent
OWN, PUBLISHED = "uncommon.py:Uncommon", "trb:uncommon:Published"
OTHER_MAPPING = "uncommon.py:Uncommon?scale=complexity"
SCORES = ("combined", "row_pass", "row_exact", "traj_pass", "cost_save")


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with the package."""
    if named := os.environ.get(PYTHON_VARIABLE):
        return Path(named)
    folder = Path(platformdirs.user_cache_dir("twinbench", appauthor=False)) / PACKAGE.replace("==", "-")
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([found, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        ready.touch()
    return found


@pytest.mark.acceptance
def test_it_is_scored_alike_through_both_interfaces(
    python: Path, shared: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bank after the other: each router's process takes all cores."""
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    monkeypatch.setenv(OFFLINE, "1")
    for name in BANKS:
        bank = shared / "banks" / name / "question_bank.jsonl.gz"
        spawned("bank", "import", bank, "--name", name).succeeded()
        command = ["static", "score", OWN, PUBLISHED, OTHER_MAPPING, "--bank", name, "--json"]
        options = ["--python", str(python), "--plugin-env", OFFLINE]
        done = subprocess.run([SCRIPT, *command, *options], cwd=HERE, capture_output=True, check=True, timeout=1800)
        board = json.loads(done.stdout)
        routers = {entry["router"]: entry for entry in board["routers"]}
        for router, entry in routers.items():
            shown = ", ".join(f"{score} {entry['scores'][score]:.2f}" for score in SCORES)
            errors, p50 = entry["counts"]["errors"], entry["latency_ms"]["p50"]
            latency = "" if p50 is None else f", p50 {p50:.1f} ms"
            print(f"evidence: {name} ({board['bank']['rows']:,} rows): {router}: {shown}, errors {errors}{latency}")
        assert [routers[name]["counts"]["errors"] for name in (OWN, PUBLISHED, OTHER_MAPPING)] == [0, 0, 0]
        assert routers[OWN]["scores"] == routers[PUBLISHED]["scores"]
        assert routers[OWN]["scores"]["row_pass"] > routers["always-low"]["scores"]["row_pass"]
