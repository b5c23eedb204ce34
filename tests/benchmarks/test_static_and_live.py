"""Static scores beside live bills: what the comparison makes of orders that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.static_and_live import TITLES, Both, correlation_table, report
from static_track.trajectory_parts import EXACT, IF_PASSING, PASSING, ROWS, D, N

ROUTERS, TASKS = 5, 8
HIGH = 1e15
"""What always-high pays for a task, in femtodollars."""


@pytest.fixture
def both() -> Both:
    """Routers of which each passes more tasks than the one before, at the same cost, and is billed accordingly."""
    passes = np.array([[task < router + 2 for task in range(TASKS)] for router in range(ROUTERS)])
    parts = np.zeros((ROUTERS, TASKS, 1, 6))
    parts[..., 0, [ROWS, EXACT]] = 4
    parts[..., 0, [PASSING, IF_PASSING]] = np.where(passes, 4, 0)[..., None]
    parts[..., 0, D] = HIGH
    parts[..., 0, N] = np.where(passes, HIGH / 2, -HIGH / 2)
    bills = 0.5 + 0.6 * ~passes
    names = [f"router-{number}" for number in range(ROUTERS)]
    return Both(names, [f"task-{number}" for number in range(TASKS)], parts, bills, bills)


def test_metrics_that_order_as_bills_do_correlate_fully_and_one_that_is_alike_for_all_does_not(both: Both) -> None:
    found = {each["metric"]: each for each in correlation_table(both, 200)}
    assert list(found) == list(TITLES)
    for metric in ("RowPass", "TrajPass", "CostSave", "Combined", "Expected bill"):
        assert found[metric]["correlation"] == pytest.approx(1)
    assert found["Expected bill"]["low"] == pytest.approx(1)
    assert found["RowExact"] == {"metric": "RowExact", "correlation": None, "low": None, "high": None}

    reversed_ = replace(both, bills=both.bills[::-1])
    again = {each["metric"]: each for each in correlation_table(reversed_, 200)}
    assert again["Combined"]["correlation"] == pytest.approx(-1)


def test_intervals_are_wide_where_few_tasks_tell_routers_apart(both: Both) -> None:
    noise = np.random.default_rng(1).normal(0, 1, both.bills.shape)
    found = {each["metric"]: each for each in correlation_table(replace(both, bills=both.bills + noise), 400)}
    low, high = found["Combined"]["low"], found["Combined"]["high"]
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert high - low > 0.5


def test_the_report_says_whose_simulator_it_was(both: Both) -> None:
    lines = "\n".join(report(both, ["6", "7"], 200))
    assert "5 routers, 8 tasks; live under the seeds 6, 7. One simulator answers in both tracks" in lines
    assert "| Expected bill | 1.00 | 1.00 to 1.00 |" in lines
    assert "| RowExact | – | – |" in lines
    assert lines.index("router-4 |") < lines.index("router-0 |")  # the cheapest bill first
