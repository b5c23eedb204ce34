"""What `make bench` starts as a process of its own starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_generated_bank_is_scored(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.dense", "1000", str(tmp_path / "dense.duckdb")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert 900 < told["rows"] < 1100
    assert 0 < told["scoring_s"] < 60
