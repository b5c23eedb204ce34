"""The references on every board: constant routers, a random one, the labels, and the cheapest passing assignment.

The last two see labels and are not routers; every table marks them. Source: static.md, "References".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import duckdb

from static_track.predictions import Predictions
from twinbench.routing.built_in import CONSTANTS
from twinbench.routing.tiers import Tier
from twinbench.storage.manifests import StaticManifest

LABELS = "labels"
COST_OPTIMAL = "cost-optimal"
RANDOM = "random"
ROUTERS = (*CONSTANTS, RANDOM)
"""References that are built-in routers, by spec."""
NAMES = (*ROUTERS, LABELS, COST_OPTIMAL)


def labels(connection: duckdb.DuckDBPyConnection) -> Predictions:
    """Return the target of each row as its prediction; ``connection`` has the view ``base``."""
    rows = connection.execute("SELECT row_no, target FROM base ORDER BY row_no").fetchall()
    return Predictions([row_no for row_no, _ in rows], [target for _, target in rows])


def cost_optimal(connection: duckdb.DuckDBPyConnection, manifest: StaticManifest) -> Predictions:
    """Return the cheapest assignment with a prediction at or above the target on every row.

    Uses dynamic programming over each trajectory. The state is the previous row's tier alone: without errors a row's
    cost depends on nothing else. Of equally cheap assignments, the one with lower tiers is taken.
    """
    rates = [manifest.rates[tier].prices().fusd_per_token() for tier in Tier]
    result = connection.execute(
        "SELECT trajectory, row_no, step_index, target, prompt, reusable, output FROM base ORDER BY row_no"
    )
    row_nos: list[int] = []
    tier_ids: list[int | None] = []
    for _, steps in groupby(_streamed(result), key=itemgetter(0)):
        rows = list(steps)
        row_nos += (row[1] for row in rows)
        tier_ids += _cheapest_path(rows, rates, manifest.cache_ttl_steps)
    return Predictions(row_nos, tier_ids)


def _streamed(result: duckdb.DuckDBPyConnection) -> Iterator[Any]:
    while batch := result.fetchmany(10_000):
        yield from batch


def _cheapest_path(rows: Sequence[Any], rates: Sequence[tuple[int, int, int, int]], ttl_steps: int) -> list[int]:
    best: dict[int, tuple[int, list[int]]] = {}  # by the last row's tier: its cost so far and the tiers taken
    previous_step = 0
    for _, _, step_index, target, prompt, reusable, output in rows:
        warm = reusable is not None and step_index - previous_step <= ttl_steps
        reached: dict[int, tuple[int, list[int]]] = {}
        for tier in range(target, len(rates)):
            _, read, write, out = rates[tier]
            cold_cost = prompt[tier] * write + output * out
            ways = [(cost + cold_cost, path) for earlier, (cost, path) in best.items() if earlier != tier or not warm]
            if warm and tier in best:
                hit_cost = reusable[tier] * read + max(prompt[tier] - reusable[tier], 0) * write + output * out
                ways.append((best[tier][0] + hit_cost, best[tier][1]))
            cost, path = min(ways, default=(cold_cost, []))
            reached[tier] = (cost, [*path, tier])
        best, previous_step = reached, step_index
    return min(best.values())[1]
