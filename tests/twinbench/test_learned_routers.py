"""Routers that learn find what is planted in the text, and nothing where there is nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import twinbench as tb
from static_track.banks.bank import Bank
from static_track.banks.splits import ALL, Split
from static_track.folds import folds_by_group
from static_track.judge import Judge
from static_track.training import training_trajectories
from tests.banks import Row, import_rows
from tests.plugins.hosting import limits
from tests.twinbench.calls import a_call
from twinbench.routers.registry import BUILT_IN, has_to_be_trained
from twinbench.routing.asking import asked
from twinbench.routing.router import Choice, checked
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory
from twinbench.storage.store import Store

LEARNED = [name for name in BUILT_IN if has_to_be_trained(name)]
NOISE = 0.1
"""Share of labels that are drawn whatever the text says: no router can be right about more than ``BAYES``."""
BAYES = 100 * (1 - NOISE + NOISE / 4)
ROWS = 800


def planted(seed: int, *, shuffled: bool) -> Iterator[Row]:
    """Two rows a trajectory, whose labels go by which of four topics the last message is about."""
    rng = random.Random(seed)  # noqa: S311 - a seeded test
    common = [f"common{number}" for number in range(200)]
    labels = []
    for _ in range(ROWS):
        topic = rng.choices(range(4), [4, 3, 2, 1])[0]
        labels.append((topic, topic if rng.random() > NOISE else rng.randrange(4)))
    targets = [label for _, label in labels]
    if shuffled:
        rng.shuffle(targets)
    for number, ((topic, _), target) in enumerate(zip(labels, targets, strict=True)):
        words = rng.choices(common, k=25) + rng.choices([f"topic{topic}word{each}" for each in range(12)], k=5)
        rng.shuffle(words)
        task, step = number // 2, number % 2 + 1
        first = {"role": "user", "content": " ".join(rng.choices(common, k=20)) + f" task {task}"}
        said = [{"role": "assistant", "content": "ok"}] if step == 2 else []
        yield {
            "id": f"w/{task}/{step}",
            "benchmark": "w",
            "instance_id": f"i{task}",
            "step_index": step,
            "total_steps": 2,
            "messages": [first, *said, {"role": "user", "content": " ".join(words)}],
            "target_tier": Tier(target).label,
            "target_tier_id": target,
        }


Halves = dict[bool, tuple[list[Trajectory], list[Trajectory]]]


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Trajectories to train on and others, of a bank with a planted signal and of one whose labels are shuffled."""
    found: Halves = {}
    for shuffled in (False, True):
        store = Store(tmp_path_factory.mktemp("planted"))
        import_rows(planted(1, shuffled=shuffled), store)
        with Bank.open("bank", store) as bank:
            judge = Judge(bank)
            fold = folds_by_group(bank, ALL, 3, 0).folds[0]
            train, test = ([*training_trajectories(judge, Split(None, each), 0)] for each in (fold.train, fold.test))
            found[shuffled] = train, test
    return found


def exact(name: str, train: list[Trajectory], test: list[Trajectory]) -> float:
    """The percentage of held-out rows that a router gets exactly right after training."""
    router = BUILT_IN[name]()
    router.fit(train)  # type: ignore[attr-defined]
    right = [
        checked(router.route(call), call.candidates).candidate.tier == target
        for each in test
        for call, target in zip(each.calls, each.targets, strict=True)
    ]
    return 100 * sum(right) / len(right)


@pytest.mark.parametrize("name", LEARNED)
def test_what_is_planted_in_the_text_is_found_and_nothing_where_labels_are_shuffled(name: str, halves: Halves) -> None:
    assert exact(name, *halves[False]) > BAYES - 5
    train, test = halves[True]
    targets = [target for each in test for target in each.targets]
    best_constant = max(100 * targets.count(tier) / len(targets) for tier in Tier)
    spread = 100 * np.sqrt(best_constant / 100 * (1 - best_constant / 100) / len(targets))
    assert exact(name, train, test) < best_constant + 3 * spread


@pytest.mark.parametrize("name", LEARNED)
def test_a_router_that_was_not_trained_says_so(name: str) -> None:
    answer, _ = asked(BUILT_IN[name](), a_call())
    assert isinstance(answer, str)
    assert "it was not trained: twinbench router train" in answer


def test_what_was_trained_decides_alike_in_this_process_and_from_its_folder(tmp_path: Path, halves: Halves) -> None:
    train, test = halves[False]
    for name in LEARNED:
        router = BUILT_IN[name]()
        router.fit(train[:60])  # type: ignore[attr-defined]
        (tmp_path / name).mkdir()
        router.save(tmp_path / name)  # type: ignore[attr-defined]
        loaded = BUILT_IN[name]()
        loaded.load(tmp_path / name)  # type: ignore[attr-defined]
        for each in test[:20]:
            for call in each.calls:
                first, second = asked(router, call)[0], asked(loaded, call)[0]
                assert isinstance(first, Choice)
                assert first == second


def test_a_built_in_router_is_trained_by_its_name(tmp_path: Path) -> None:
    artefact = tb.train("ordinal?tau=0.7", out=tmp_path / "model", store=tmp_path / "store", plugins=limits())
    assert artefact.manifest.origin == "built-in"
    assert artefact.manifest.settings == {"tau": "0.7"}
    again = tb.train("ordinal?tau=0.7", out=tmp_path / "again", store=tmp_path / "store", plugins=limits())
    assert again.fingerprint == artefact.fingerprint
    board = tb.score(
        str(tmp_path / "model"), store=tmp_path / "store", in_sample=True, plugins=limits(), resampling=None
    )
    assert board.entries[0].in_sample
    assert board.entries[0].first_error is None
