"""Tables of outcomes with a known truth: intervals cover, what is detectable is found, pilots beat random tasks.

Each line that is printed is evidence: ``make acceptance PART=outcomes`` keeps it. Small versions of the same are in
``tests/outcomes``.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.outcomes.tables import INFO, World
from twinbench.outcomes.headroom import compute_headroom
from twinbench.outcomes.pilot import choose_pilot, choose_tasks, rank_agreement
from twinbench.statistics import Resampling
from twinbench.statistics.comparing import mcnemar
from twinbench.statistics.planning import detectable_difference

pytestmark = pytest.mark.acceptance

TIERS = {"low": "m-0", "mid": "m-1", "high": "m-2"}
PRICES = (0.1, 0.3, 0.9)
TABLES, RESAMPLES = 500, 500


@pytest.mark.parametrize("tasks", [50, 100, 500])
@pytest.mark.parametrize("abilities", [(-0.4, 0.2, 0.9), (1.0, 1.05, 1.1)], ids=["apart", "alike"])
def test_intervals_hold_the_truth(tasks: int, abilities: tuple[float, ...]) -> None:
    world, random = World(abilities, PRICES), np.random.default_rng([tasks, round(10 * abs(abilities[0]))])
    whole = compute_headroom(world.draw(random, 200_000), INFO, TIERS, penalty_usd=0.6, resampling=None)
    truth = {each.policy.name: each for each in whole.policies}
    held: dict[str, list[bool]] = {}
    for seed in range(TABLES):
        found = compute_headroom(
            world.draw(random, tasks), INFO, TIERS, penalty_usd=0.6, resampling=Resampling(RESAMPLES, seed=seed)
        )
        for each in found.policies:
            if each.policy.kind == "constant":
                for name, true in (("resolved", truth[each.policy.name].share), ("bill_usd", None)):
                    ends = each.intervals[name]
                    mean = truth[each.policy.name].mean_bill_usd
                    assert ends is not None
                    assert mean is not None
                    wanted = tasks * mean if true is None else true
                    held.setdefault(name, []).append(ends[0] <= wanted <= ends[1])
        saving = found.saving
        if saving.against == whole.saving.against:
            assert saving.interval is not None
            assert whole.saving.usd is not None
            wanted = tasks * whole.saving.usd / whole.saving.tasks
            held.setdefault("saving", []).append(saving.interval[0] <= wanted <= saving.interval[1])
    shares = {name: 100 * float(np.mean(each)) for name, each in held.items()}
    shown = ", ".join(f"{name} {share:.1f} % of {len(held[name]):,}" for name, share in shares.items())
    print(f"evidence: coverage of headroom, {tasks} tasks, abilities {abilities}: {shown}")
    assert min(shares.values()) >= 91, shown


@pytest.mark.parametrize(("tasks", "differing"), [(50, 0.3), (100, 0.15), (100, 0.3), (500, 0.15)])
def test_the_detectable_difference_is_found_with_the_stated_power(tasks: int, differing: float) -> None:
    difference = detectable_difference(tasks, differing)
    assert difference is not None
    random, rounds = np.random.default_rng([tasks, int(100 * differing)]), 4000
    told_apart = {difference: 0, 0.0: 0}
    for lead in told_apart:
        for _ in range(rounds):
            kinds = random.random(tasks)
            first = kinds < (differing + lead) / 2
            second = (kinds >= (differing + lead) / 2) & (kinds < differing)
            told_apart[lead] += mcnemar(first.tolist(), second.tolist()).p <= 0.05
    found, false = told_apart[difference], told_apart[0.0]
    print(
        f"evidence: {100 * difference:.1f} points, detectable with power 80 % on {tasks} tasks of which "
        f"{100 * differing:.0f} % differ, found in {100 * found / rounds:.1f} %; "
        f"false alarms {100 * false / rounds:.1f} %"
    )
    error = 2 * (0.8 * 0.2 / rounds) ** 0.5
    assert abs(found / rounds - 0.8) <= error + 0.005
    assert false / rounds <= 0.05 + 2 * (0.05 * 0.95 / rounds) ** 0.5


@pytest.mark.parametrize("size", [10, 20, 50])
@pytest.mark.parametrize("models", [12, 34, 100])
def test_a_pilot_beats_random_tasks_on_models_left_out(models: int, size: int) -> None:
    random = np.random.default_rng([models, size])
    mine: list[float] = []
    others: list[float] = []
    fresh: list[float] = []
    fresh_random: list[float] = []
    for seed in range(40):
        world = World(tuple(random.normal(0, 0.6, 2 * models)))
        drawn = world.draw(random, 300)
        found = choose_pilot(drawn.select_models(drawn.models[:models]), size, seed)
        assert found.agreement is not None
        assert found.random_agreement is not None
        mine.append(found.agreement)
        others.append(found.random_agreement)
        # The other half had no part in anything: their true order is that of their abilities.
        abilities, half = np.array(world.abilities)[models:], np.ones(models, bool)
        for into, tasks in (
            (fresh, choose_tasks(drawn.solved[:models], size)),
            (fresh_random, random.choice(300, size, replace=False)),
        ):
            into.append(rank_agreement(drawn.solved[models:][:, tasks].mean(axis=1), abilities, half))
    print(
        f"evidence: pilot of {size} tasks by {models} models: tau {np.mean(mine):.2f} on models left out, random "
        f"{np.mean(others):.2f}; by true abilities of new models {np.mean(fresh):.2f}, "
        f"random {np.mean(fresh_random):.2f}"
    )
    assert np.mean(mine) > np.mean(others)
    assert np.mean(fresh) > np.mean(fresh_random)
