"""Whether intervals of small and grouped banks hold the truth as often as they say: on simulated banks.

Each line that is printed is evidence: ``make acceptance PART=simulated-banks`` keeps it.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulations import BankWorld
from static_track.intervals import RouterSample
from static_track.metrics import SCORES
from static_track.trajectory_parts import TrajectoryParts
from twinbench.statistics import Resampling
from twinbench.statistics.clusters import Floats

pytestmark = pytest.mark.acceptance

BANKS, RESAMPLES = 1000, 500
FEW = {
    "3+7+6+2+2": (3, 7, 6, 2, 2),
    "9+6+3+2": (9, 6, 3, 2),
    "14+22+17+3+4": (14, 22, 17, 3, 4),
    "30+18+9+3": (30, 18, 9, 3),
}
ENOUGH = {"12+10+15": (12, 10, 15), "20+10+30": (20, 10, 30), "60+25+14": (60, 25, 14)}
"""Groups by workload."""

LONG, DEAR = 4, 3
"""Of the smallest workloads: a trajectory has four times the rows, at three times the cost of a row."""


def coverage(world: BankWorld, seed: int, *, grouped: bool = True) -> tuple[Floats, Floats, float]:
    """Of each metric: how often its interval holds the truth, and how wide it is at the median.

    Returns:
        Percent of the intervals that there are; the median width in those of an interval that is given the true
        variance; percent of banks without an interval of some metric.
    """
    random = np.random.default_rng(seed)
    held, ends, points, none = [], [], [], 0
    for number in range(BANKS):
        parts = world.draw(random)
        if not grouped:
            parts = TrajectoryParts(parts.workloads, parts.instances, parts.values)
        found = [each.ends for each in RouterSample([parts], Resampling(RESAMPLES, seed=number)).intervals(0).values()]
        points.append([np.nan if value is None else value for value in parts.metrics().values()])
        none += None in found
        both = np.array([(np.nan, np.nan) if each is None else each for each in found])
        held.append(np.where(np.isnan(both[:, 0]), np.nan, (both[:, 0] <= world.truth) & (world.truth <= both[:, 1])))
        ends.append(both[:, 1] - both[:, 0])
    true_width = 2 * 1.96 * np.std(points, axis=0)
    return 100 * np.nanmean(held, axis=0), np.nanmedian(ends, axis=0) / true_width, 100 * none / BANKS


def shown(held: Floats, width: Floats, none: float) -> str:
    """As a line of evidence."""
    each = ", ".join(
        f"{name} {share:.1f} % ({wide:.2f})" for name, share, wide in zip(SCORES, held, width, strict=True)
    )
    return f"{each}; some metric without {none:.1f} %"


@pytest.mark.parametrize("layout", FEW)
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9])
def test_few_long_dear_trajectories_in_a_workload(layout: str, rate: float) -> None:
    held, width, none = coverage(BankWorld(FEW[layout], rate, LONG, DEAR), int(100 * rate))
    print(f"evidence: few groups, {layout}, rate {rate}, coverage (width): {shown(held, width, none)}")
    assert (held >= 93 - 1).all(), "by more than the simulation's error"
    assert (width <= 1.6).all()


@pytest.mark.parametrize("layout", FEW)
def test_few_long_dear_trajectories_that_pass_more_rarely(layout: str) -> None:
    """What the method assumes does not hold here, and it falls short by as much as this says."""
    held, width, none = coverage(BankWorld(FEW[layout], 0.8, LONG, DEAR, harder=0.2), 7)
    print(f"evidence: few groups, {layout}, rate 0.7 against 0.9, coverage (width): {shown(held, width, none)}")
    assert (held >= 84).all()


@pytest.mark.parametrize("layout", ENOUGH)
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9])
def test_ten_groups_in_every_workload(layout: str, rate: float) -> None:
    held, width, none = coverage(BankWorld(ENOUGH[layout], rate), int(100 * rate))
    print(f"evidence: ten groups or more, {layout}, rate {rate}, coverage (width): {shown(held, width, none)}")
    assert ((held >= 93 - 1) & (held <= 98 + 0.5)).all()
    assert (width <= 1.5).all()


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.9])
def test_several_draws_of_each_task(rate: float) -> None:
    world = BankWorld((21,), rate, draws=5, alike=0.6)
    held, width, none = coverage(world, int(100 * rate))
    by_trajectory, _, _ = coverage(world, int(100 * rate), grouped=False)
    print(f"evidence: 21 groups of 5, rate {rate}, coverage (width) by group: {shown(held, width, none)}")
    without = ", ".join(f"{name} {share:.1f} %" for name, share in zip(SCORES, by_trajectory, strict=True))
    print(f"evidence: 21 groups of 5, rate {rate}, by trajectory: {without}")
    assert (held >= 93 - 1).all(), "by more than the simulation's error"
    assert (by_trajectory[:3] < 90).all(), "else the simulation shows nothing"
