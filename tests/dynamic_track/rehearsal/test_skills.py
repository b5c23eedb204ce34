"""Tables of skills: what the shipped ones say, what is refused, and what of it a router could see."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from dynamic_track.rehearsal.edits import Subject
from dynamic_track.rehearsal.skills import read_skill_table, skill_names
from tests.cli.commands import twinbench
from tests.dynamic_track.rehearsal.playing import all_known
from twinbench.routing.tiers import Tier

SOLVED = 0.8
"""A tier with this chance of the right edit, which may be tried again, is good for a task."""


def test_in_spread_every_tier_is_the_cheapest_that_is_good_for_a_tenth_of_the_tasks() -> None:
    table = read_skill_table("spread")
    tasks = all_known()
    cheapest = Counter(
        next(tier for tier in Tier if table.for_tier(tier).solves.chance(task.edits.subject, task.difficulty) >= SOLVED)
        for task in tasks
    )
    assert min(cheapest[tier] for tier in Tier) >= len(tasks) / 10
    assert table.mid.solves.numbers.hard > table.high.solves.numbers.hard, "no order of tiers fits all tasks"


def test_in_flat_no_tier_is_much_better_and_some_tasks_are_out_of_reach_for_all() -> None:
    table = read_skill_table("flat-2026")
    for subject in Subject:
        for difficulty in ("easy", "medium", "hard"):
            chances = [table.for_tier(tier).solves.chance(subject, difficulty) for tier in Tier]
            assert max(chances) - min(chances) < 0.2
    out_of_reach = [
        task for task in all_known() if table.high.solves.chance(task.edits.subject, task.difficulty) < 0.05
    ]
    assert len(out_of_reach) / len(all_known()) == pytest.approx(73 / 497, abs=0.02), "as in the public table"


@pytest.mark.parametrize("name", ["flat-2026", "spread"])
def test_a_dearer_tier_never_works_worse_but_for_what_it_solves(name: str) -> None:
    for weak, strong in pairwise(read_skill_table(name).for_tier(tier) for tier in Tier):
        assert (weak.finds, weak.tests, weak.repairs) <= (strong.finds, strong.tests, strong.repairs)
        assert (weak.spoils, weak.circles, weak.slips) >= (strong.spoils, strong.circles, strong.slips)
        assert weak.thinking_tokens < strong.thinking_tokens


def test_skills_are_shown_by_name() -> None:
    for name in skill_names():
        shown = twinbench("rehearse", "skills", "--skills", name, "--json").succeeded().json
        assert (shown["name"], shown["fingerprint"]) == (name, read_skill_table(name).fingerprint)
        assert [tier for tier in shown if tier in {each.label for each in Tier}] == [tier.label for tier in Tier]
        text = twinbench("rehearse", "skills", "--skills", name).succeeded().text
        assert "solves, numbers" in text
        assert ("no measurement" in text) is (name == "spread")
        assert ("MIT" in text) is (name == "flat-2026")
    assert twinbench("rehearse", "skills").succeeded().text.splitlines()[0].endswith("spread")


def test_a_table_of_ones_own_is_read_and_what_is_wrong_in_it_is_named(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    source = Path(__file__).parents[3] / "dynamic_track/rehearsal/skill_tables/spread.toml"
    own.write_text(source.read_text("utf-8").replace("finds = 0.80", "finds = 0.81"), "utf-8")
    assert read_skill_table(str(own)).low.finds == 0.81
    assert read_skill_table(str(own)).fingerprint != read_skill_table("spread").fingerprint
    broken = tmp_path / "broken.toml"
    broken.write_text(source.read_text("utf-8").replace("finds = 0.80", "finds = 1.80"), "utf-8")
    ran = twinbench("rehearse", "always-low", "--skills", broken)
    assert (ran.code, "low.finds" in ran.err, "Traceback" in ran.err) == (1, True, False)


@pytest.mark.parametrize("name", ["sprout", "missing.toml"])
def test_an_unknown_table_is_refused(name: str) -> None:
    ran = twinbench("rehearse", "always-low", "--skills", name)
    assert ran.code == 2
    assert f"--skills {name}" in ran.err
