"""Routers that learn find what is planted in the text, and nothing where there is nothing.

What is printed on larger banks is evidence: ``make acceptance PART=scores`` keeps it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinbench as tb
from dynamic_track.running.trained_routers import admit_router
from static_track.banks.bank import Bank
from static_track.banks.splits import WHOLE_BANK, BankPart
from static_track.evaluator import Evaluator
from static_track.folds import folds_by_group
from static_track.training import training_trajectories
from tests.banks import Row, import_rows
from tests.cli.commands import twinbench
from tests.examples import thinned
from tests.plugins.hosting import limits
from tests.twinbench.calls import a_call
from tests.twinbench.planting import plant
from twinbench.errors import UsageError
from twinbench.plugins.arguments import convert_arguments
from twinbench.plugins.loading import load_router
from twinbench.plugins.spec import parse_spec
from twinbench.routers.layers import choose_tiers, conformal_threshold
from twinbench.routers.registry import BUILT_IN, has_to_be_trained
from twinbench.routing.asking import ask_router
from twinbench.routing.router import Choice, validate_decision
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory
from twinbench.storage.store import Store
from twinbench.testing import make_call

LEARNED = [name for name in BUILT_IN if has_to_be_trained(name)]
SEED = 90_210
ROWS = 800
MORE_ROWS = 2_000
FOLDS = 3


def made(spec: str) -> Any:
    """A built-in router that is not trained yet."""
    parsed = parse_spec(spec)
    return BUILT_IN[parsed.target](**convert_arguments(BUILT_IN[parsed.target], parsed.arguments))


def trajectories(rows: Sequence[Row]) -> list[Trajectory]:
    """Rows as routers are trained on them."""
    found = []
    for instance, of_one in groupby(rows, key=lambda row: row["instance_id"]):
        steps = list(of_one)
        calls = [make_call(row["messages"], step_index=row["step_index"], session=instance) for row in steps]
        targets = [Tier(row["target_tier_id"]) for row in steps]
        found.append(Trajectory(calls, targets, [{} for _ in steps], "w", instance))
    return found


def hits(spec: str, lessons: Sequence[Trajectory]) -> list[bool]:
    """Whether each row is answered exactly by a router that was trained on the other folds."""
    found: dict[int, list[bool]] = {}
    for fold in range(FOLDS):
        router = made(spec)
        router.fit([each for number, each in enumerate(lessons) if number % FOLDS != fold])
        for number in range(fold, len(lessons), FOLDS):
            pairs = zip(lessons[number].calls, lessons[number].targets, strict=True)
            found[number] = [
                validate_decision(router.route(call), call.candidates).candidate.tier == target
                for call, target in pairs
            ]
    return [hit for number in sorted(found) for hit in found[number]]


def with_planted_signal(rows: int) -> tuple[list[Trajectory], list[bool]]:
    """A bank with a planted signal, and where the best possible router is right."""
    bank = plant(SEED, rows)
    right = [row["target_tier_id"] == best for row, best in zip(bank.rows, bank.best, strict=True)]
    return trajectories(bank.rows), right


@pytest.fixture(scope="module")
def planted() -> tuple[list[Trajectory], list[bool]]:
    return with_planted_signal(ROWS)


def best_constant(lessons: Sequence[Trajectory]) -> list[bool]:
    """Where always picking the most frequent label is right."""
    targets = [target for each in lessons for target in each.targets]
    best = max(Tier, key=targets.count)
    return [target == best for target in targets]


@pytest.mark.parametrize(
    "spec", thinned(["ordinal", "knn", "boosting", "clusters?layer=threshold", "guard?inner=knn&unlike=0.01"], 3)
)
def test_what_is_planted_in_the_text_is_found(spec: str, planted: tuple[list[Trajectory], list[bool]]) -> None:
    lessons, best = planted
    assert 100 * np.mean(hits(spec, lessons)) > 100 * np.mean(best) - 5


def test_what_sees_less_beats_the_best_constant(planted: tuple[list[Trajectory], list[bool]]) -> None:
    lessons, _ = planted
    differences = np.subtract(hits("knn?mixed=true", lessons), best_constant(lessons), dtype=float)
    assert differences.mean() > 2 * differences.std() / np.sqrt(len(differences))


@pytest.mark.acceptance
def test_nothing_is_found_where_labels_are_shuffled() -> None:
    lessons = trajectories(plant(SEED + 1, ROWS // 2, shuffled=True).rows)
    constant = best_constant(lessons)
    for spec in ("ordinal", "knn", "knn?mixed=true", "boosting", "clusters", "guard"):
        assert np.mean(hits(spec, lessons)) < np.mean(constant) + 0.05, spec


@pytest.mark.acceptance
def test_with_more_rows_the_best_possible_is_closer() -> None:
    lessons, best = with_planted_signal(MORE_ROWS)
    most = 100 * np.mean(best)
    print(f"{MORE_ROWS:,} rows: RowExact of the best possible {most:.1f}, ", end="")
    print(f"of the best constant {100 * np.mean(best_constant(lessons)):.1f}")
    for spec in ("ordinal", "knn", "boosting"):
        found = 100 * np.mean(hits(spec, lessons))
        print(f"  {spec}: {found:.1f}, {most - found:.1f} points less than the best possible")
        assert found > most - 3, spec


@pytest.mark.acceptance
def test_nobody_beats_the_best_constant_where_many_labels_are_shuffled() -> None:
    lessons = trajectories(plant(SEED + 1, MORE_ROWS, shuffled=True).rows)
    constant = np.array(best_constant(lessons), float)
    print(f"labels of {MORE_ROWS:,} rows shuffled: RowExact of the best constant {100 * constant.mean():.1f}")
    for spec in ("ordinal", "knn", "knn?mixed=true", "boosting", "clusters", "guard", "session-aware?inner=ordinal"):
        differences = np.array(hits(spec, lessons), float) - constant
        error = differences.std() / np.sqrt(len(differences))
        print(f"  {spec}: {100 * differences.mean():+.1f} points, standard error {100 * error:.1f}")
        assert differences.mean() < 2 * error, spec


def test_what_leaks_beside_the_text_is_not_seen(tmp_path: Path) -> None:
    rng = random.Random(SEED)  # noqa: S311 - a seeded test
    words = [f"word{number}" for number in range(400)]
    rows = []
    for number in range(240):
        label = number * 4 // 240  # rows are in the order of their labels
        row = {
            "id": f"label{label}/{number}",
            "benchmark": "w",
            "instance_id": f"{label}-{number}",
            "step_index": 1,
            "total_steps": 1,
            "messages": [{"role": "user", "content": " ".join(rng.choices(words, k=40))}],
            "target_tier": Tier(label).label,
            "target_tier_id": label,
            "difficulty": label,
        }
        rows.append(row)
    store = Store(tmp_path)
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        judge = Evaluator(bank)
        fold = folds_by_group(bank, WHOLE_BANK, FOLDS, 0).folds[0]
        train, test = ([*training_trajectories(judge, BankPart(None, each), 0)] for each in (fold.train, fold.test))
    chance = 0.25 + 3 * np.sqrt(0.25 * 0.75 / len(test))
    for spec in ("ordinal", "knn", "knn?mixed=true", "boosting", "clusters?layer=threshold"):
        router = made(spec)
        router.fit(train)
        right = [
            validate_decision(router.route(call), call.candidates).candidate.tier == target
            for each in test
            for call, target in zip(each.calls, each.targets, strict=True)
        ]
        assert np.mean(right) < chance, spec


def test_layers_turn_probabilities_and_costs_into_a_choice() -> None:
    suffices = np.array([[0.2, 0.4, 0.9, 1.0], [0.6, 0.7, 0.8, 1.0]])
    costs = np.array([[1.0, 2.0, 3.0, 30.0], [1.0, 2.0, 3.0, 30.0]])
    at = {"tau": 0.5, "weight": 0.7}
    assert choose_tiers("threshold", suffices, costs, **at).tolist() == [2, 0]
    assert choose_tiers("threshold", suffices, costs, tau=0.95, weight=0.7).tolist() == [3, 3]
    assert choose_tiers("weighted", suffices, costs, **at).tolist() == [2, 2]
    assert choose_tiers("topsis", suffices, costs, **at).tolist() == [2, 2]
    assert choose_tiers("topsis", suffices, costs, tau=0.5, weight=0.2).tolist() == [2, 1]
    dominated = np.array([[0.5, 0.5, 0.9, 1.0]])
    assert choose_tiers("topsis", dominated, np.array([[2.0, 1.0, 3.0, 4.0]]), tau=0.5, weight=0.01).tolist() == [1]


def test_the_conformal_threshold_keeps_its_share_of_insufficient_calls() -> None:
    rng = np.random.default_rng(3)

    def draw(count: int) -> tuple[Any, Any]:
        below = np.sort(rng.uniform(size=(count, 3)), axis=1)
        labels = (rng.uniform(size=(count, 1)) > below).sum(axis=1)
        return np.hstack([below, np.ones((count, 1))]), labels

    suffices, labels = draw(400)
    tau = conformal_threshold(suffices, labels, 0.2)
    fresh, fresh_labels = draw(4_000)
    insufficient = (choose_tiers("threshold", fresh, fresh, tau=tau, weight=0.5) < fresh_labels).mean()
    assert 0.1 < insufficient < 0.2
    assert conformal_threshold(suffices[:3], labels[:3], 0.01) > 1  # too few calls to promise anything


def test_a_wrapper_holds_what_its_inner_router_is(tmp_path: Path, planted: tuple[list[Trajectory], list[bool]]) -> None:
    assert not hasattr(made("session-aware?inner=stage"), "fit")
    wrapped, plain = made("session-aware?inner=knn?k=5"), made("knn?k=5")
    lessons = planted[0]
    for router in (wrapped, plain):
        router.fit(lessons[:100])
    tiers = []
    for _ in range(2):  # the first call of a session is as the inner router wants it
        for router in (wrapped, plain):
            tiers.append(
                [validate_decision(router.route(each.calls[0]), each.calls[0].candidates) for each in lessons[100:140]]
            )
            for each in lessons[100:140]:
                router.end(each.calls[0].session)
    assert [one.candidate for one in tiers[0]] == [one.candidate for one in tiers[1]]
    for spec, why in (
        ("guard?inner=guard", "holds no other"),
        ("session-aware?inner=knn?q=1", "takes no argument 'q'"),
    ):
        with pytest.raises(ValueError, match=why):
            made(spec)


@pytest.mark.parametrize("name", LEARNED)
def test_a_router_that_was_not_trained_says_so(name: str) -> None:
    answer, _ = ask_router(BUILT_IN[name](), a_call())
    assert isinstance(answer, str)
    assert "it was not trained: twinbench router train" in answer


@pytest.mark.parametrize(
    "words",
    [
        ("static", "score", "knn"),
        ("static", "compare", "always-low", "knn"),
        ("static", "predict", "session-aware?inner=ordinal"),
    ],
)
def test_a_router_that_was_not_trained_is_refused_before_it_is_asked(words: tuple[str, ...]) -> None:
    ran = twinbench(*words)
    assert (ran.code, ran.out) == (2, b"")
    assert "learns, and was not trained: twinbench router train" in ran.err


def test_a_router_that_was_not_trained_is_refused_before_a_run() -> None:
    with pytest.raises(UsageError, match="router 'guard' learns, and was not trained"):
        admit_router(load_router("guard"), [], in_sample=False)


def test_what_was_trained_decides_alike_in_this_process_and_from_its_folder(
    tmp_path: Path, planted: tuple[list[Trajectory], list[bool]]
) -> None:
    train, test = planted[0][:200], planted[0][200:]
    for name in LEARNED:
        router = BUILT_IN[name]()
        router.fit(train[:60])  # type: ignore[attr-defined]
        (tmp_path / name).mkdir()
        router.save(tmp_path / name)  # type: ignore[attr-defined]
        loaded = BUILT_IN[name]()
        loaded.load(tmp_path / name)  # type: ignore[attr-defined]
        for each in test[:20]:
            for call in each.calls:
                first, second = ask_router(router, call)[0], ask_router(loaded, call)[0]
                assert isinstance(first, Choice)
                assert first == second


@pytest.mark.acceptance
def test_a_built_in_router_is_trained_by_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_rows(plant(SEED, 90).rows, store)
    on: dict[str, Any] = {"bank": "bank", "store": store.root, "plugins": limits()}
    artefact = tb.train("ordinal?tau=0.7", out=tmp_path / "model", **on)
    assert artefact.manifest.origin == "built-in"
    assert artefact.manifest.settings == {"tau": "0.7"}
    again = tb.train("ordinal?tau=0.7", out=tmp_path / "again", **on)
    assert again.fingerprint == artefact.fingerprint
    board = tb.score(str(tmp_path / "model"), in_sample=True, resampling=None, **on)
    assert board.entries[0].in_sample
    assert board.entries[0].first_error is None
    with pytest.raises(UsageError, match="layer must be one of"):
        tb.score(f"{tmp_path / 'model'}?layer=none", in_sample=True, resampling=None, **on)
    with pytest.raises(UsageError, match="layer must be one of"):
        tb.train("ordinal?layer=none", out=tmp_path / "none", **on)
    assert not (tmp_path / "none").exists()


def test_a_decision_reads_what_is_new_and_takes_no_longer_on_a_long_prefix() -> None:
    rng = random.Random(SEED)  # noqa: S311 - a seeded test
    words = ["".join(rng.choices("abcdefghij_", k=rng.randrange(3, 9))) for _ in range(2_000)]
    learned = made("ordinal")
    learned.fit(trajectories(plant(SEED + 2, 120).rows))
    found = {}
    for name, router in {"stage": made("stage"), "cascade": made("cascade"), "ordinal": learned}.items():
        messages: list[dict[str, Any]] = [{"role": "user", "content": " ".join(rng.choices(words, k=800))}]
        call, took = make_call(messages), []
        for step in range(1, 61):  # up to 50,000 tokens
            now = replace(call, messages=tuple(messages), step_index=step)
            started = time.process_time()
            router.route(now)
            took.append(1e3 * (time.process_time() - started))
            observed = "<returncode>1</returncode>\n" + " ".join(rng.choices(words, k=550))
            messages += [{"role": "assistant", "content": "grep -rn it src"}, {"role": "tool", "content": observed}]
        assert sum(len(message["content"]) for message in messages) > 200_000
        found[name] = sorted(took)[int(0.95 * len(took))]
    assert found["stage"] < 1, found
    assert found["cascade"] < 1, found
    assert found["ordinal"] < 10, found
