"""A million outcomes: what each command takes, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import SCRIPT

MODELS = TASKS = 1000

MEASURED = """
import json, resource, subprocess, sys, time
begun = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


@pytest.mark.acceptance
@pytest.mark.alone
def test_a_million_outcomes_take_ten_seconds_and_a_gibibyte(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    ability = random.normal(0, 1, MODELS)[:, None]
    solved = random.random((MODELS, TASKS)) < 1 / (1 + np.exp(random.normal(0, 1.5, TASKS)[None] - ability))
    cost = random.lognormal(-1, 0.5, (MODELS, TASKS)).round(6)
    table, lines = tmp_path / "million.csv", tmp_path / "million.jsonl"
    with table.open("w", encoding="utf-8") as rows, lines.open("w", encoding="utf-8") as objects:
        rows.write("model,instance_id,resolved,cost_usd\n")
        for model in range(MODELS):
            for task in range(TASKS):
                each = (f"model-{model}", f"task-{task}", bool(solved[model, task]), float(cost[model, task]))
                rows.write(f"{each[0]},{each[1]},{each[2]},{each[3]}\n")
                objects.write(
                    json.dumps(dict(zip(("model", "instance_id", "resolved", "cost_usd"), each, strict=True))) + "\n"
                )
    store = ("--store", str(tmp_path / "store"))
    tiers = "low=model-1,mid=model-2,mid_high=model-3,high=model-4"
    for command in (
        ("import", str(table), "--name", "csv"),
        ("import", str(lines), "--name", "jsonl"),
        ("show", "csv"),
        ("headroom", "csv", "--tiers", tiers),
        ("power", "csv", "--pilot", "100"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(SCRIPT), "outcomes", *command, *store],
            capture_output=True,
            text=True,
            check=True,
        )
        code, wall_s, cpu_s, peak_mib = json.loads(done.stdout)
        print(
            f"evidence: a million outcomes, {command[0]} of {command[1].rpartition('.')[2]}: {wall_s:.1f} s, "
            f"{cpu_s:.1f} s of a core, {peak_mib:.0f} MiB at most"
        )
        assert code == 0, done.stderr
        assert min(wall_s, cpu_s) <= 10
        assert peak_mib <= 1024
