"""Trajectories that begin nearly alike: found as comparing all pairs finds them, and dealt to one part."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.banks.bank import Bank
from static_track.banks.importing import import_bank
from static_track.banks.near_duplicates import FirstMessage, find_groups
from static_track.banks.splits import HELDOUT, TrajectoryLabel, list_splits, plan_split
from tests.banks import a_row, import_rows
from tests.cli.commands import twinbench
from tests.examples import examples
from twinbench.fingerprint import fingerprint
from twinbench.storage.manifest_files import heldout_instances
from twinbench.storage.store import Store
from twinbench.text.shingles import shingles_of

WORDS = [f"w{number}" for number in range(30)]
LONG = " ".join(f"word{number}" for number in range(60))
OTHER = " ".join(f"thing{number}" for number in range(60))
LIKE_LONG = LONG.replace("word30", "another")
"""Of 56 shingles, five are others: 51 of 61 are common."""


def brute_force(messages: Sequence[FirstMessage]) -> list[tuple[int, ...]]:
    """The groups by comparing every pair, as the documentation has it."""
    shingles = {each.trajectory: shingles_of(each.text) for each in messages}
    template = {}
    for workload in {each.workload for each in messages}:
        different = {frozenset(shingles[each.trajectory]) for each in messages if each.workload == workload} - {
            frozenset()
        }
        times = Counter(shingle for text in different for shingle in text)
        template[workload] = {each for each, count in times.items() if count >= max(10, len(different) / 2)}
    belongs = {each.trajectory: each.trajectory for each in messages}
    for one, other in combinations(messages, 2):
        all_of_one, all_of_other = shingles[one.trajectory], shingles[other.trajectory]
        a, b = all_of_one - template[one.workload], all_of_other - template[other.workload]
        if (all_of_one and all_of_one == all_of_other) or (a and b and 10 * len(a & b) >= 8 * len(a | b)):
            old, new = belongs[one.trajectory], belongs[other.trajectory]
            belongs = {number: new if group == old else group for number, group in belongs.items()}
    found = [tuple(sorted(n for n, group in belongs.items() if group == each)) for each in set(belongs.values())]
    return sorted(group for group in found if len(group) > 1)


@st.composite
def some_messages(draw: st.DrawFn) -> list[FirstMessage]:
    """Texts made of others by a few edits, some of them around a template, in several workloads."""
    chosen = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - no secret
    bases = [chosen.choices(WORDS, k=chosen.randint(0, 60)) for _ in range(draw(st.integers(1, 5)))]
    template = chosen.choices(WORDS, k=40) if draw(st.booleans()) else []
    messages = []
    for number in range(draw(st.integers(0, 40))):
        words = list(chosen.choice(bases))
        for _ in range(chosen.choice([0, 0, 1, 1, 2, 3, 8])):
            place = chosen.randint(0, len(words))
            words[place : place + chosen.randint(0, 1)] = [chosen.choice(WORDS)]
        messages.append(FirstMessage(number, chosen.choice("aab"), " ".join(template + words)))
    return messages


@examples(60, 300)
@given(some_messages(), st.randoms())
def test_groups_are_those_that_comparing_all_pairs_finds(messages: list[FirstMessage], order: random.Random) -> None:
    found = find_groups(messages)
    assert found == brute_force(messages)
    assert find_groups(order.sample(messages, len(messages))) == found


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (LONG, LIKE_LONG, True),
        (LONG, f"\n{LONG.upper()}  ", True),
        (LONG, LIKE_LONG.replace("word10", "another"), False),  # 46 of 66
        ("one two three four five", "one two three four five", True),
        ("one two three four", "one two three four", False),  # no shingle
        ("", "", False),
        # Exactly 0.8: of ten shingles together eight are common.
        ("a b c d e f g h i j k l m", "b c d e f g h i j k l m n", True),
        ("a b c d e f g h i j k l", "b c d e f g h i j k l m", False),  # seven of nine
    ],
)
def test_four_fifths_of_the_shingles_make_near_duplicates(one: str, other: str, together: bool) -> None:
    messages = [FirstMessage(3, "a", one), FirstMessage(5, "b", other)]
    assert find_groups(messages) == ([(3, 5)] if together else [])


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    chain = [LONG, LIKE_LONG, LIKE_LONG.replace("word10", "another")]
    assert find_groups(FirstMessage(number, "a", text) for number, text in enumerate(chain)) == [(0, 1, 2)]


def test_what_most_messages_of_a_workload_share_does_not_make_them_alike() -> None:
    messages = [FirstMessage(n, "a", f"{LONG} bug {n}") for n in range(20)]
    again = FirstMessage(20, "a", messages[4].text)
    assert find_groups(messages) == []
    assert find_groups([*messages, again]) == [(4, 20)]
    assert find_groups(messages[:9]) == [tuple(range(9))]  # too few to know what is a template


# --- Dealing --------------------------------------------------------------------------------------------------------


@st.composite
def grouped(draw: st.DrawFn) -> tuple[list[TrajectoryLabel], list[tuple[int, ...]]]:
    """Trajectories with their strata, some held out, some in groups."""
    strata = draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 9)), max_size=80))
    labels = [
        TrajectoryLabel(number, workload, f"i-{number}", highest, chance == 0)
        for number, (workload, highest, chance) in enumerate(strata)
    ]
    members: dict[int, list[int]] = {}
    for label in labels:
        members.setdefault(draw(st.integers(0, 60)), []).append(label.trajectory)
    return labels, sorted(tuple(group) for group in members.values() if len(group) > 1)


SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


@examples(50, 200)
@given(grouped(), st.integers(0, 5))
def test_a_group_stands_in_one_part_and_a_held_out_one_in_heldout(
    bank: tuple[list[TrajectoryLabel], list[tuple[int, ...]]], seed: int
) -> None:
    labels, together = bank
    plan = plan_split("s", labels, SHARES, seed, together)
    part_of = {number: part for part, numbers in plan.parts.items() for number in numbers}
    held_out = {label.trajectory for label in labels if label.heldout}

    assert sorted(part_of) == [label.trajectory for label in labels]
    assert sum(map(len, plan.parts.values())) == len(labels)
    for group in together:
        assert len({part_of[number] for number in group}) == 1
    joined = {number for group in together if held_out & set(group) for number in group}
    assert {number for number, part in part_of.items() if part == HELDOUT} == held_out | joined
    assert plan.near_duplicates is not None
    assert set(plan.near_duplicates.joined_heldout) == joined - held_out


@examples(50, 200)
@given(grouped(), st.integers(0, 5))
def test_no_part_is_further_from_its_share_than_the_largest_group(
    bank: tuple[list[TrajectoryLabel], list[tuple[int, ...]]], seed: int
) -> None:
    labels, together = bank
    plan = plan_split("s", labels, SHARES, seed, together)
    dealt = sum(len(numbers) for part, numbers in plan.parts.items() if part != HELDOUT)
    largest = max(map(len, together), default=1)
    for part, share in SHARES.items():
        assert abs(len(plan.parts[part]) - share * dealt) < 2 * largest


def test_without_groups_trajectories_are_dealt_as_if_there_were_none() -> None:
    labels = [TrajectoryLabel(number, "a", f"i-{number}", number % 4, heldout=False) for number in range(60)]
    assert plan_split("s", labels, SHARES, 0, []).parts == plan_split("s", labels, SHARES, 0).parts


# --- A bank's splits ------------------------------------------------------------------------------------------------

HELD_OUT = min(heldout_instances())


def beginning(instance: str, text: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": "You fix bugs."}, {"role": "user", "content": [{"text": text}]}]
    return a_row(instance=instance, messages=messages)


def a_bank() -> list[dict[str, Any]]:
    """Two pairs of near-duplicates, one of them with an instance of heldout100, and eight others."""
    unlike = [beginning(f"i-{n}", " ".join(f"{n}-{word}" for word in range(9))) for n in range(8)]
    pairs = [beginning("pair-1", LONG), beginning("pair-2", LIKE_LONG)]
    return [*unlike, *pairs, beginning(HELD_OUT, OTHER), beginning("like-held-out", OTHER)]


def test_a_split_keeps_near_duplicates_together_and_says_so(store: Store) -> None:
    import_rows(a_bank(), store)
    arguments = ("bank", "split", "bank", "--parts", "train=50,test=50", "--store", store.root)
    told = twinbench(*arguments, "--json").succeeded().json
    with Bank.open("bank", store) as bank:
        number = {label.instance_id: label.trajectory for label in bank.labels()}
    assert told["near_duplicates"] == {
        "shingle_words": 5,
        "jaccard": 0.8,
        "groups": 2,
        "trajectories": 4,
        "largest": 2,
        "joined_heldout": [number["like-held-out"]],
    }
    assert told["parts"]["heldout"] == sorted([number[HELD_OUT], number["like-held-out"]])
    assert any({number["pair-1"], number["pair-2"]} <= set(numbers) for numbers in told["parts"].values())

    words = (
        "near-duplicates: 2 groups, each in one part: 4 trajectories, 2 in the largest; "
        "held out with an instance of heldout100: 1 trajectory"
    )
    assert words in " ".join(twinbench(*arguments).succeeded().text.split())
    assert words in " ".join(twinbench("bank", "show", "bank", "--store", store.root).succeeded().text.split())
    shown = twinbench("bank", "show", "bank", "--store", store.root, "--json").succeeded().json
    assert shown["splits"][0]["near_duplicates"] == told["near_duplicates"]


def test_the_part_heldout_without_a_split_holds_instances_of_heldout100_alone(store: Store) -> None:
    import_rows(a_bank(), store)
    with Bank.open("bank", store) as bank:
        plan = bank.make_split("mine", "train=1", seed=0)
        assert bank.split("mine/heldout").trajectories == plan.parts[HELDOUT]
        assert bank.split(HELDOUT).trajectories == tuple(bank.heldout())
    assert len(plan.parts[HELDOUT]) == 2


def test_near_duplicates_can_be_dealt_like_all_others_and_the_split_says_which(store: Store) -> None:
    import_rows(a_bank(), store)
    arguments = ("bank", "split", "bank", "--parts", "train=1", "--store", store.root)
    kept = twinbench(*arguments, "--name", "kept", "--json").succeeded().json
    dealt = twinbench(*arguments, "--name", "kept", "--no-near-duplicates", "--json").succeeded().json
    assert dealt["near_duplicates"] is None
    assert dealt["fingerprint"] != kept["fingerprint"]
    assert len(dealt["parts"]["heldout"]) == 1
    assert "near-duplicates: not kept together" in twinbench(*arguments, "--no-near-duplicates").succeeded().text


def test_a_split_made_before_near_duplicates_were_looked_for_is_shown(store: Store) -> None:
    info = import_rows(a_bank(), store)
    with Bank.open("bank", store) as bank:
        path = bank.folder / f"{info.sha256}.split-old.json"
    content = {"name": "old", "bank": info.sha256, "seed": 0, "shares": {"train": 1.0}, "parts": {"train": [0]}}
    path.write_text(json.dumps({**content, "fingerprint": fingerprint(content)}), "utf-8")
    assert list_splits(path.parent, info.sha256)[0]["name"] == "old"
    shown = twinbench("bank", "show", "bank", "--store", store.root, "--json").succeeded().json
    assert shown["splits"][0]["near_duplicates"] is None


def test_a_split_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    plans = []
    for name, rows in (("one", a_bank()), ("two", a_bank()[::-1])):
        store = Store(tmp_path / name)
        import_rows(rows, store)
        with Bank.open("bank", store) as bank:
            plans.append(bank.make_split("default", "train=1,test=1", seed=1))
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("name", "found", "largest"),
    [
        pytest.param("official_part", 1, 2, marks=pytest.mark.acceptance),
        ("bfcl_2024_08", 100, 3),
        pytest.param("swemini_g3p_dev", 0, 0, marks=pytest.mark.acceptance),
    ],
)
def test_near_duplicates_of_real_banks(shared: Path, store: Store, name: str, found: int, largest: int) -> None:
    import_bank(str(shared / "banks" / name / "question_bank.jsonl.gz"), "bank", store)
    with Bank.open("bank", store) as bank:
        plan = bank.make_split("default", "train=60,dev=20,test=20", seed=0)
        again = bank.make_split("default", "train=60,dev=20,test=20", seed=0)
    assert plan == again
    assert plan.near_duplicates is not None
    told = plan.near_duplicates.to_json()
    assert (told["groups"], told["largest"]) == (found, largest)
