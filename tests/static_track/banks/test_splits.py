"""Parts of a bank: whole trajectories, stratified, seeded, heldout100 apart."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.banks.bank import Bank
from static_track.banks.importing import import_bank
from static_track.banks.splits import (
    HELDOUT,
    WHOLE_BANK,
    BankPart,
    TrajectoryLabel,
    parse_shares,
    plan_split,
    split_path,
)
from static_track.evaluator import Evaluator
from tests.banks import Row, a_trajectory, import_rows
from tests.cli.commands import twinbench
from tests.examples import examples
from twinbench.errors import TwinbenchError, UsageError
from twinbench.storage.manifest_files import heldout_instances
from twinbench.storage.store import Store

HELD_OUT_INSTANCE = min(heldout_instances())
SHARES = st.lists(st.integers(1, 100), min_size=1, max_size=4).map(
    lambda weights: {f"part{number}": weight / sum(weights) for number, weight in enumerate(weights)}
)


@st.composite
def labelled(draw: st.DrawFn) -> list[TrajectoryLabel]:
    """Trajectories with their strata, some of them held out."""
    strata = draw(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), min_size=1, max_size=120)
    )
    return [
        TrajectoryLabel(number, workload, f"i-{number}", highest, heldout and number % 4 == 0)
        for number, (workload, highest, heldout) in enumerate(strata)
    ]


@examples(50, 200)
@given(labelled(), SHARES, st.integers())
def test_parts_share_out_all_trajectories_and_hold_heldout_ones_apart(
    labels: list[TrajectoryLabel], shares: dict[str, float], seed: int
) -> None:
    parts = plan_split("s", labels, shares, seed).parts
    dealt = [number for numbers in parts.values() for number in numbers]
    assert sorted(dealt) == [label.trajectory for label in labels]
    assert set(parts.get(HELDOUT, ())) == {label.trajectory for label in labels if label.heldout}


@examples(50, 200)
@given(labelled(), SHARES, st.integers())
def test_every_part_has_its_share_of_the_whole_and_of_each_stratum(
    labels: list[TrajectoryLabel], shares: dict[str, float], seed: int
) -> None:
    stratum_of = {label.trajectory: (label.workload, label.highest) for label in labels if not label.heldout}
    parts = plan_split("s", labels, shares, seed).parts
    for part, share in shares.items():
        assert abs(len(parts[part]) - share * len(stratum_of)) < 2
        dealt = Counter(stratum_of[number] for number in parts[part])
        for stratum, size in Counter(stratum_of.values()).items():
            assert abs(dealt[stratum] - share * size) < 3


def test_the_seed_alone_decides_who_goes_where() -> None:
    labels = [TrajectoryLabel(number, "a", f"i-{number}", 0, heldout=False) for number in range(60)]
    shares = {"train": 0.5, "test": 0.5}
    first = plan_split("s", labels, shares, 0)
    assert plan_split("s", labels, shares, 0) == first
    assert plan_split("s", labels, shares, 1).parts != first.parts
    assert first.parts["train"] != tuple(range(30))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.floats(0.001, 1e6), min_size=1))
def test_shares_are_parts_of_one_whatever_their_unit(weights: dict[str, float]) -> None:
    weights.pop(HELDOUT, None)
    text = ",".join(f"{part}={weight}" for part, weight in weights.items())
    if weights:
        shares = parse_shares(text)
        assert list(shares) == list(weights)
        assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "text", ["", "train", "train=", "train=-1", "train=0", "train=nan", "train=inf", "a=1,a=2", "heldout=1", "a b=1"]
)
def test_parts_that_are_no_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="parts"):
        parse_shares(text)


# --- A bank's splits ------------------------------------------------------------------------------------------------


def eight_trajectories() -> list[Row]:
    rows: list[Row] = []
    for number in range(7):
        rows += a_trajectory([number % 4, 0, number % 3], instance=f"i-{number}")
    return rows + a_trajectory([1, 3], instance=HELD_OUT_INSTANCE)


def test_a_part_scores_as_a_bank_of_its_trajectories_alone(store: Store) -> None:
    rows = eight_trajectories()
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        plan = bank.make_split("default", "train=60,test=40", seed=3)
        instances = {label.trajectory: label.instance_id for label in bank.labels()}
        of_part = Evaluator(bank, split="train").board(["round-robin"]).to_json(legacy=True)
    chosen = {instances[number] for number in plan.parts["train"]}
    import_rows([row for row in rows if row["instance_id"] in chosen], store, "alone")
    with Bank.open("alone", store) as bank:
        alone = Evaluator(bank).board(["round-robin"]).to_json(legacy=True)

    assert 0 < of_part["bank"]["rows"] == alone["bank"]["rows"] < len(rows)
    assert of_part["bank"]["split"] == "train"
    for one, other in zip(of_part["routers"], alone["routers"], strict=True):
        assert {**one, "latency_ms": None} == {**other, "latency_ms": None}


def test_heldout_is_a_part_of_every_bank_and_in_no_other(store: Store) -> None:
    import_rows(eight_trajectories(), store)
    with Bank.open("bank", store) as bank:
        board = Evaluator(bank, split=HELDOUT).board(["sticky"])
        assert (board.rows, board.trajectories) == (2, 1)
        plan = bank.make_split("default", "train=1", seed=0)
        (held_out,) = [label.trajectory for label in bank.labels() if label.instance_id == HELD_OUT_INSTANCE]
    assert plan.parts == {"train": tuple(n for n in range(8) if n != held_out), HELDOUT: (held_out,)}


def test_a_part_of_two_splits_needs_the_splits_name(store: Store) -> None:
    import_rows(eight_trajectories(), store)
    with Bank.open("bank", store) as bank:
        bank.make_split("one", "train=1,test=1", seed=0)
        two = bank.make_split("two", "train=1,dev=1", seed=1)
        with pytest.raises(UsageError, match="one/train or two/train"):
            bank.split("train")
        assert bank.split("two/train").trajectories == two.parts["train"]
        assert bank.split("dev").trajectories == two.parts["dev"]
        with pytest.raises(UsageError, match=r"no part 'one/dev' \(parts: one/train, one/test"):
            bank.split("one/dev")


def test_a_split_made_again_takes_the_place_of_the_old_one(store: Store) -> None:
    import_rows(eight_trajectories(), store)
    with Bank.open("bank", store) as bank:
        bank.make_split("default", "train=1,test=1", seed=0)
        bank.make_split("default", "half=1,rest=1", seed=0)
        assert bank.split("half").trajectories
        with pytest.raises(UsageError, match="no part 'train'"):
            bank.split("train")


def test_a_split_does_not_outlive_its_bank(store: Store) -> None:
    import_rows(eight_trajectories(), store)
    with Bank.open("bank", store) as bank:
        bank.make_split("default", "train=1", seed=0)
    import_rows(eight_trajectories()[:-1], store, replace=True)
    with Bank.open("bank", store) as bank, pytest.raises(UsageError, match="none yet"):
        bank.split("train")


def test_an_edited_split_is_refused(store: Store) -> None:
    info = import_rows(eight_trajectories(), store)
    with Bank.open("bank", store) as bank:
        plan = bank.make_split("default", "train=1,test=1", seed=0)
        path = split_path(bank.folder, info.sha256, "default")
        moved = str(list(plan.parts["train"])), str(list(plan.parts["train"][1:]))
        path.write_text(path.read_text("utf-8").replace(*moved), "utf-8")
        with pytest.raises(TwinbenchError, match="damaged: create the split again"):
            bank.split("train")


def test_a_part_without_rows_is_refused(store: Store) -> None:
    import_rows(a_trajectory([0]), store)
    with Bank.open("bank", store) as bank:
        bank.make_split("default", "train=1,test=1", seed=0)
        with pytest.raises(UsageError, match="'test' of the bank 'bank' has no rows"):
            Evaluator(bank, split="test")


# --- Parts given away ------------------------------------------------------------------------------------------------


def test_a_part_is_exported_as_rows_and_named_in_the_data_frame(store: Store, tmp_path: Path) -> None:
    rows = eight_trajectories()
    import_rows(rows, store)
    with Bank.open("bank", store) as bank:
        assert set(bank.df("pandas")["part"].dropna()) == {HELDOUT}, "without a split, that part alone"
        plan = bank.make_split("default", "train=60,test=40", seed=3)
        bank.make_split("other", "half=1,rest=1", seed=0)
        instances = {label.trajectory: label.instance_id for label in bank.labels()}
        wanted = [row for row in rows if row["instance_id"] in {instances[each] for each in plan.parts["train"]}]
        assert [row["id"] for row in bank.rows("train")] == sorted(row["id"] for row in wanted)
        frame = bank.df("pandas")
        assert dict(zip(frame["instance_id"], frame["part"], strict=True)) == {
            instances[number]: part for part, numbers in plan.parts.items() for number in numbers
        }
        assert set(frame["part_other"]) == {"half", "rest", HELDOUT}
    export = ("bank", "export", "bank", "--store", store.root, "--json")
    for name in ("train.jsonl", "train.parquet", "train.json", "train.jsonl.gz"):
        told = twinbench(*export, "--split", "train", "-o", tmp_path / name).succeeded().json
        imported = import_bank(str(tmp_path / name), "again", store, replace=True)
        assert (told["split"], told["rows"], told["sha256"]) == ("train", imported.rows, imported.sha256)
        assert imported.rows == len(wanted)
    assert twinbench(*export, "--split", "none", "-o", tmp_path / "none.jsonl").code == 2
    assert not (tmp_path / "none.jsonl").exists()


def test_parts_differ_by_their_trajectories_and_not_by_their_names() -> None:
    """Kept scores are found by this."""
    assert WHOLE_BANK.fingerprint is None
    part = BankPart("a", (1, 2))
    assert part.fingerprint == BankPart("b", (1, 2)).fingerprint
    assert len({part.fingerprint, BankPart("a", (1, 3)).fingerprint, BankPart("a", ()).fingerprint, None}) == 4


def test_a_part_is_a_condition_of_its_trajectories() -> None:
    assert WHOLE_BANK.condition() == "true"
    assert BankPart("a", (3, 5)).condition() == "trajectory IN (3, 5)"
    assert BankPart("a", (3,)).condition("t.number") == "t.number IN (3)"
    assert BankPart("a", ()).condition() == "false"


def uneven_labels() -> list[TrajectoryLabel]:
    """Forty-six trajectories in strata of 1 to 9, three of them held out."""
    return [
        TrajectoryLabel(number, f"w{number * 7 % 3}", f"i-{number:02}", number * 5 % 11 % 4, number in (7, 20, 33))
        for number in range(46)
    ]


NEAR = [(0, 1, 2), (5, 9), (7, 8), (40, 41, 42, 43)]
NAMED = [(2, 3), (20, 21, 22), (30, 31)]
DEALT = json.loads((Path(__file__).parent / "pinned_splits.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", DEALT)
def test_a_split_is_dealt_as_every_earlier_release_dealt_it(kind: str) -> None:
    """Submissions name a split by its recipe, so the same recipe is the same parts for good."""
    seed, near, named = kind.split(", ")
    plan = plan_split(
        "pinned",
        uneven_labels(),
        parse_shares("train=60,dev=15,test=25"),
        int(seed.removeprefix("seed ")),
        NEAR if near == "near-duplicates" else None,
        NAMED if named == "groups" else (),
    )
    assert plan.to_json("0" * 64) == DEALT[kind]
