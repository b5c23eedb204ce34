"""What the shipped skill tables are worth to a router, over twenty seeds; a part of acceptance for its evidence.

The cases are emulated: every command and patch is asked of a real container and the real grader once, and remembered
(``benchmarks/emulated.py``). The first test holds that against rehearsals in containers.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import mean

import pytest

from benchmarks.emulated import Emulation, emulation
from dynamic_track.rehearsal.preparing import prepare_rehearsal
from dynamic_track.rehearsal.rehearsal_runs import Rehearsal
from dynamic_track.rehearsal.skills import skill_names
from dynamic_track.running.trial import summarise_trial
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from tests.cli.commands import SCRIPT
from tests.engine import alone_on_this_machine
from twinbench.calls.journal import read_journal
from twinbench.calls.recording import Recording, read_recordings
from twinbench.containers.engine import Engine
from twinbench.plugins.loading import load_router
from twinbench.routing.built_in import CONSTANTS
from twinbench.routing.tiers import TIER_LABELS

pytestmark = pytest.mark.acceptance

SEEDS = [str(number) for number in range(20)]
STEP_RULE = "sticky?at_least=mid_high"
OTHERS = ("sticky", "depth-rule")
PUBLISHED = {"low": 72, "mid": 76, "mid_high": 75, "high": 77}
"""Percent of SWE-bench Verified that the locked pool's models resolve in the table that ``flat-2026`` names."""

READER = '''
WORDS = {
    "numbers": ("money", "EUR", "date", "month", "km", "area", "perimeter", "Interval"),
    "state": ("cache", "order", "undo", "plan", "sched", "retry", "retries are", "Policy", "copy"),
}


class Reader:
    """Picks one tier for a whole task, by words of its issue: what routers can learn from a rehearsal, by hand."""

    def route(self, call):
        issue = str(call.messages[1]["content"]).split("<instructions>")[0]
        count = {subject: sum(issue.count(word) for word in words) for subject, words in WORDS.items()}
        if count["numbers"] > count["state"]:
            return "mid"
        return "mid_high" if count["state"] else "low"
'''


@dataclass(frozen=True)
class Case:
    """What one case came to."""

    resolved: bool
    bill_usd: float
    steps: int


Cases = Mapping[str, Sequence[Case]]
"""By task, one for each seed."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, engine: Engine, base_image: str) -> Path:
    """Where containers' answers and verdicts are kept from test to test."""
    with alone_on_this_machine("rehearsal-images"):
        assert prepare_images(engine, load_tasks("rehearsal").tasks, build_them=True) == {}
    return tmp_path_factory.mktemp("answers")


@pytest.fixture
def emulated(answers: Path) -> Iterator[Emulation]:
    with emulation(answers) as found:
        yield found


def cases_of(emulated: Emulation, rehearsal: Rehearsal, router: str) -> Cases:
    found: dict[str, list[Case]] = defaultdict(list)
    for seed in SEEDS:
        for recording in emulated.recordings(rehearsal, load_router(router), seed):
            trial = summarise_trial(rehearsal.pool, recording)
            assert trial.bill_usd is not None
            found[trial.id].append(Case(bool(trial.resolved), float(trial.bill_usd), trial.steps))
    return found


def bill(cases: Cases) -> float:
    """The mean bill of a case."""
    return mean(case.bill_usd for of_task in cases.values() for case in of_task)


def resolved(cases: Cases) -> float:
    """The percentage that is resolved."""
    return 100 * mean(case.resolved for of_task in cases.values() for case in of_task)


@dataclass(frozen=True)
class Worth:
    """What a table is worth to routers."""

    constants: Mapping[str, Cases]

    @property
    def best(self) -> float:
        """The mean bill of a case under the best constant."""
        return min(map(bill, self.constants.values()))

    @property
    def by_task(self) -> float:
        """The mean bill where each task has the tier that is best for it over all seeds: no luck is known before."""
        tasks = self.constants["low"]
        return mean(
            min(mean(case.bill_usd for case in cases[task]) for cases in self.constants.values()) for task in tasks
        )

    @property
    def cheapest(self) -> Counter[str]:
        """Of how many tasks each tier is the cheapest that resolves them, in most seeds; ``none`` where none does."""
        return Counter(
            next((tier for tier in TIER_LABELS if mean(c.resolved for c in self.constants[tier][task]) > 0.5), "none")
            for task in self.constants["low"]
        )

    @property
    def cheapest_share(self) -> dict[str, float]:
        """The same case by case, in percent of all cases."""
        counts = Counter(
            next((tier for tier in TIER_LABELS if self.constants[tier][task][number].resolved), "none")
            for task in self.constants["low"]
            for number in range(len(SEEDS))
        )
        return {tier: 100 * count / counts.total() for tier, count in sorted(counts.items())}


def shown(table: str, router: str, cases: Cases, best: float) -> None:
    against = f"{100 * (bill(cases) / best - 1):+.1f} % against the best constant"
    steps = mean(case.steps for of_task in cases.values() for case in of_task)
    print(
        f"evidence: {table}: {router}: resolves {resolved(cases):.1f} %, bill {bill(cases):.4f} USD a case "
        f"({against}), {steps:.1f} steps"
    )


def worth(emulated: Emulation, table: str, routers: Sequence[str]) -> tuple[Worth, dict[str, Cases]]:
    """Play a table, and print what came out as evidence."""
    rehearsal = prepare_rehearsal(skills=table)
    found = Worth(
        {tier: cases_of(emulated, rehearsal, name) for tier, name in zip(TIER_LABELS, CONSTANTS, strict=True)}
    )
    others = {router: cases_of(emulated, rehearsal, router) for router in routers}
    print(f"evidence: {table}: {len(rehearsal.tasks)} tasks, {len(SEEDS)} seeds, penalty 0.6 USD")
    for router, cases in [*zip(CONSTANTS, found.constants.values(), strict=True), *others.items()]:
        shown(table, Path(router).name, cases, found.best)
    headroom = f"{100 * (1 - found.by_task / found.best):.1f} % below the best constant"
    print(f"evidence: {table}: the best tier for each task: bill {found.by_task:.4f} USD a case, {headroom}")
    tasks = ", ".join(f"{tier} {count}" for tier, count in sorted(found.cheapest.items()))
    share = ", ".join(f"{tier} {percent:.1f} %" for tier, percent in found.cheapest_share.items())
    print(f"evidence: {table}: cheapest tier that resolves a task in most seeds: {tasks}; by case: {share}")
    for task, of_task in sorted(found.constants["low"].items()):
        rates = " ".join(f"{100 * mean(c.resolved for c in found.constants[t][task]):.0f}" for t in TIER_LABELS)
        assert len(of_task) == len(SEEDS)
        print(f"evidence: {table}: {task}: percent resolved by tier {rates}")
    return found, others


def asked(recording: Recording) -> list[tuple[str, str, Decimal]]:
    """Who was asked what, up to times and addresses, and what it cost."""
    return [
        (attempt.reserve.candidate, attempt.reserve.request_key, attempt.spent_usd)
        for number in sorted(recording.steps)
        for attempt in recording.steps[number].attempts
    ]


@pytest.mark.parametrize("table", skill_names())
def test_an_emulated_case_is_the_case_in_a_container(table: str, emulated: Emulation, tmp_path: Path) -> None:
    router, seed = "round-robin", "3"
    words = ("--skills", table, "--seed", seed, "--runs", str(tmp_path), "--resamples", "0", "--json")
    done = subprocess.run([SCRIPT, "rehearse", router, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    real = read_recordings(read_journal(Path(run["run"]) / "journal"))
    rehearsal = prepare_rehearsal(skills=table)
    for mine in emulated.recordings(rehearsal, load_router(router), seed):
        other = real[mine.case, 1]
        assert asked(mine) == asked(other)
        one, two = (replace(summarise_trial(rehearsal.pool, each), detail=None) for each in (mine, other))
        assert one == two
    calls = sum(len(asked(each)) for each in real.values())
    what = f"{len(real)} cases and {calls} calls of {router}"
    print(f"evidence: {table}: {what}: emulated to the same requests, costs and verdicts as in containers")


def test_spread_has_something_to_win(emulated: Emulation, tmp_path: Path) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(READER, "utf-8")
    found, others = worth(emulated, "spread", [STEP_RULE, *OTHERS, f"{reader}:Reader"])
    assert found.by_task <= 0.6 * found.best
    assert bill(others[STEP_RULE]) <= 0.9 * found.best
    assert min(found.cheapest[tier] for tier in TIER_LABELS) >= len(found.constants["low"]) / 10
    assert min(found.cheapest_share.get(tier, 0) for tier in TIER_LABELS) >= 10
    apart = {task for task in others["sticky"] if others["sticky"][task] != found.constants["low"][task]}
    print(f"evidence: spread: sticky is not always-low on {len(apart)} of {len(others['sticky'])} tasks")
    assert len(apart) > len(others["sticky"]) / 2


def test_flat_has_little_to_win(emulated: Emulation) -> None:
    found, _ = worth(emulated, "flat-2026", [STEP_RULE])
    for tier, published in PUBLISHED.items():
        rate = resolved(found.constants[tier])
        print(f"evidence: flat-2026: {tier} resolves {rate:.1f} %, in the public table {published} %")
        assert abs(rate - published) <= 5
    assert found.by_task > 0.7 * found.best
