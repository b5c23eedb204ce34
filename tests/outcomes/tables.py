"""Tables of outcomes made by hand, and worlds from which they are drawn with a known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twinbench.outcomes.keeping import TableInfo
from twinbench.outcomes.reading import ReadOptions, ReadOutcomes, read_rows
from twinbench.outcomes.table import Grid
from twinbench.statistics.clusters import Floats

POOL = {
    "low": "DeepSeek-V3.2-Reasoner",
    "mid": "MiniMax-M2.7",
    "mid_high": "Gemini-3-Flash",
    "high": "claude-opus-4-6",
}
"""The models of the shipped table that stand nearest to the tiers of the locked live pool."""

SHIPPED = "openhands-verified"
TIERS = ("--tiers", ",".join(f"{tier}={model}" for tier, model in POOL.items()))
INFO = TableInfo("made", "0" * 64, "made.csv", "1" * 64, 1, 1, 1, ("tasks",), 0, 0)


def outcome(model: str, task: str, resolved: object = True, cost: object = 1.0, **more: Any) -> dict[str, Any]:
    return {"model": model, "task": task, "resolved": resolved, "cost": cost, **more}


def a_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    read = ReadOutcomes()
    read_rows(rows, "made", ReadOptions(), read)
    outcomes = read.collector.to_outcomes()
    assert outcomes is not None, read.collector.problems
    return outcomes.grid()


def grid_of(solved: Floats, cost: Floats | None = None) -> Grid:
    """Models m-0, m-1, … by tasks t-000, t-001, …"""
    models, tasks = solved.shape
    return Grid(
        "tasks",
        tuple(f"m-{number}" for number in range(models)),
        tuple(f"t-{number:04}" for number in range(tasks)),
        solved.astype(np.float64),
        np.isfinite(solved).astype(np.float64),
        np.ones(solved.shape) if cost is None else cost,
    )


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(names), *(",".join(str(row.get(name, "")) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@dataclass(frozen=True)
class World:
    """Tasks of different difficulty, drawn again and again: each model solves a task by its ability and luck."""

    abilities: Sequence[float]
    prices: Sequence[float] = ()
    """Of a task on average, in USD."""

    def draw(self, random: np.random.Generator, tasks: int) -> Grid:
        abilities = np.array(self.abilities)
        difficulty = random.normal(0, 1.6, tasks)
        sharpness = random.lognormal(0, 0.6, tasks)
        chance = 1 / (1 + np.exp(-sharpness * (abilities[:, None] - difficulty)))
        solved = (random.random(chance.shape) < chance).astype(np.float64)
        prices = np.array(self.prices or [1.0] * len(abilities))
        cost = prices[:, None] * random.lognormal(-0.18, 0.6, chance.shape) * np.exp(0.2 * difficulty)
        return grid_of(solved, cost)
