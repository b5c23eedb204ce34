"""Groups: trajectories that are not independent of each other, named by rows, kept, shown, and dealt as one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from static_track.banks import importing
from static_track.banks.bank import Bank
from static_track.banks.bank_file import SCHEMA_VERSION
from static_track.banks.bank_info import bank_info
from static_track.banks.importing import import_bank
from static_track.banks.opening import open_bank
from static_track.banks.splits import HELDOUT, WHOLE_BANK
from static_track.evaluator import Evaluator
from static_track.leaks.checking import row_groups
from tests.banks import Row, a_trajectory, import_rows, write_jsonl
from tests.cli.commands import twinbench
from tests.vectors import make as vectors
from twinbench.errors import ContentError
from twinbench.statistics import Resampling
from twinbench.storage.manifest_files import heldout_instances
from twinbench.storage.store import Store

NO_DUPLICATES = {"near_duplicates": False}


def in_group(group: str | None, rows: Sequence[Row]) -> list[Row]:
    return [row if group is None else row | {"group": group} for row in rows]


def draws(tasks: int = 3, of_each: int = 2) -> list[Row]:
    """Several trajectories of each task, of two rows each."""
    return [
        row
        for task in range(tasks)
        for draw in range(of_each)
        for row in in_group(f"task {task}", a_trajectory([task % 4, draw % 4], instance=f"t{task}-{draw}"))
    ]


@pytest.fixture
def drawn(store: Store) -> Store:
    import_rows(draws(), store, "drawn")
    return store


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_a_group_comes_out_as_it_went_in(drawn: Store, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    twinbench("bank", "export", "drawn", "-o", path, "--store", drawn.root).succeeded()
    again = twinbench("bank", "import", path, "--name", "again", "--store", drawn.root, "--json").succeeded().json
    with Bank.open("drawn", drawn) as bank, Bank.open("again", drawn) as imported:
        assert list(imported.rows()) == draws()
        assert imported.groups() == bank.groups() == [f"task {task}" for task in range(3) for _ in range(2)]
        assert again["sha256"] == bank.info.sha256
    assert (again["trajectories"], again["groups"]) == (6, 3)


def test_a_trajectory_whose_rows_name_none_is_a_group_by_itself(store: Store) -> None:
    names = [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("w", "i"), ("x", "i")]
    rows = [
        row | {"id": f"row {number}"}
        for number, (workload, instance) in enumerate(names)
        for row in a_trajectory([0], workload=workload, instance=instance)
    ]
    info = import_rows(rows, store)
    with open_bank("bank", store) as bank:
        assert len(set(bank.groups())) == bank.size(WHOLE_BANK).groups == info.groups == info.trajectories == len(names)


def test_the_same_name_in_two_workloads_is_one_group(store: Store) -> None:
    rows = [row for workload in "ab" for row in in_group("one", a_trajectory([0, 1], workload=workload))]
    assert import_rows(rows, store).groups == 1


def test_banks_without_groups_keep_their_fingerprint_and_with_them_have_another(store: Store) -> None:
    by_hand = import_bank(str(vectors.bank_path("starter")), "by-hand", store)
    assert by_hand.sha256 == "3a3ae228687252eed1421b3e20414f74b45810ee62cd3c407e27a63628efb187"
    plain = import_rows(a_trajectory([0, 1]), store, "plain")
    # As releases that knew no groups computed it.
    assert plain.sha256 == "4f70c83af41a54794b9638a0841b8a80c88fd2c46ed7b06d4467619980062a82"
    grouped = import_rows(in_group("g", a_trajectory([0, 1])), store, "grouped")
    assert grouped.sha256 != plain.sha256


@pytest.mark.parametrize(
    ("named", "line", "said"),
    [
        (("a", "b"), 2, "'b', but 'a' in line 1: all rows of a trajectory must name the same group, or none"),
        (("a", None), 2, "none, but 'a' in line 1: all rows"),
        ((None, "b"), 2, "'b', but none in line 1: all rows"),
        (("", ""), 1, "must not be empty"),
        ((" ", " "), 1, "must not be empty"),
    ],
)
def test_rows_that_disagree_or_say_nothing_are_refused(
    named: Sequence[str | None], line: int, said: str, store: Store, tmp_path: Path
) -> None:
    rows = [in_group(group, [row])[0] for group, row in zip(named, a_trajectory([0, 1]), strict=True)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    ran = twinbench("bank", "import", path, "--name", "refused", "--store", store.root)
    assert ran.code == 1
    assert f"{path}, line {line}, field group: {said}" in ran.err
    assert store.bank_names() == []


@pytest.mark.parametrize("group", [5, None, ["a"]])
def test_a_group_that_is_no_text_is_refused(group: Any, store: Store) -> None:
    with pytest.raises(ContentError, match="line 1, field group"):
        import_rows([row | {"group": group} for row in a_trajectory([0])], store)


# --- What is shown --------------------------------------------------------------------------------------------------


@pytest.mark.acceptance
def test_every_table_of_the_bank_says_how_many_groups_it_has(drawn: Store) -> None:
    said = "6 trajectories of 3 groups"
    for command in (
        ("bank", "show", "drawn"),
        ("static", "score", "sticky", "--bank", "drawn", "--resamples", "0"),
        ("static", "compare", "sticky", "always-low", "--bank", "drawn", "--resamples", "100"),
        ("static", "curve", "depth-rule", "--bank", "drawn"),
        ("static", "explain", "sticky", "--bank", "drawn"),
        ("static", "diff", "sticky", "always-low", "--bank", "drawn"),
    ):
        ran = twinbench(*command, "--store", drawn.root).succeeded()
        assert said in ran.text.splitlines()[0], command
        found = twinbench(*command, "--store", drawn.root, "--json").succeeded().json
        found = found["curves"][0] if "curves" in found else found
        assert (found["bank"] if isinstance(found.get("bank"), dict) else found)["groups"] == 3, command
    assert "Groups" in twinbench("bank", "list", "--store", drawn.root).text


def test_a_bank_without_groups_is_shown_as_before(store: Store) -> None:
    import_rows(a_trajectory([0, 1]), store)
    for command in (("bank", "show", "bank"), ("static", "score", "--bank", "bank")):
        said = twinbench(*command, "--store", store.root).succeeded().text
        assert not re.search(r"of 1 group|┃ Groups", said)


def test_a_part_counts_the_groups_in_it(drawn: Store) -> None:
    with Bank.open("drawn", drawn) as bank:
        bank.make_split("s", "left=1,right=2", seed=0, near_duplicates=False)
        sizes = [bank.size(bank.split(part)) for part in ("left", "right")]
        board = Evaluator(bank, split="left").board([]).to_json()
        names = row_groups(bank)
        assert [names[row_no] for row_no in bank.row_nos(WHOLE_BANK)] == [
            str(first) for first in (0, 2, 4) for _ in range(4)
        ]
    assert [(size.trajectories, size.groups) for size in sizes] == [(2, 1), (4, 2)]
    assert (board["bank"]["trajectories"], board["bank"]["groups"]) == (2, 1)


def test_what_scores_are_made_of_names_the_groups_fresh_and_kept(drawn: Store) -> None:
    with Bank.open("drawn", drawn) as bank:
        judge = Evaluator(bank)
        fresh = judge._score([judge._make_line(judge._routers.load("sticky"), reference=False)], parts=True)
        again = Evaluator(bank)
        kept = again._kept_scores([again._make_line(again._routers.load("sticky"), reference=False)], parts=True)
        for found in (fresh["sticky"], kept["sticky"]):
            assert found.parts is not None
            assert list(found.parts.groups) == bank.groups()


# --- Splits ---------------------------------------------------------------------------------------------------------


def parts_of(store: Store, rows: Sequence[Row], **options: Any) -> dict[str, set[str]]:
    """The instances in each part of a split."""
    import_rows(rows, store, "split", replace=True)
    with Bank.open("split", store) as bank:
        plan = bank.make_split("s", "left=50,right=50", seed=0, **options)
        instances = {label.trajectory: label.instance_id for label in bank.labels()}
    return {part: {instances[number] for number in numbers} for part, numbers in plan.parts.items()}


def asking(text: str, instance: str, group: str | None = None, **fields: Any) -> Row:
    [row] = in_group(group, a_trajectory([0], instance=instance))
    return row | {"messages": [{"role": "user", "content": text}]} | fields


@pytest.mark.parametrize("options", [{}, NO_DUPLICATES])
def test_a_group_stands_in_one_part_whatever_is_done_with_near_duplicates(
    options: Mapping[str, Any], store: Store
) -> None:
    rows = [asking(f"Question {n}", f"{n}-{draw}", f"task {n}") for n in range(6) for draw in range(3)]
    parts = parts_of(store, rows, **options)
    assert all(len(instances) == 9 for instances in parts.values())
    tasks = [{instance.partition("-")[0] for instance in instances} for instances in parts.values()]
    assert not tasks[0] & tasks[1]


ALIKE = "Find out which of the tests in this project fail since the last release and say for each of them why it does"


def test_a_chain_of_groups_and_near_duplicates_stands_in_one_part(store: Store) -> None:
    chain = [asking(ALIKE, "a"), asking(f"{ALIKE} so", "b", "g"), asking("Something else", "c", "g")]
    rows = [*chain, *(asking(f"Question {n}", f"q{n}") for n in range(3))]
    assert sorted(map(sorted, parts_of(store, rows).values())) == [["a", "b", "c"], ["q0", "q1", "q2"]]


def test_what_shares_a_group_with_a_held_out_instance_is_held_out_and_the_split_says_so(store: Store) -> None:
    held = min(heldout_instances())
    rows = [asking("One", held, "g"), asking("Two", "b", "g"), *(asking(f"Q {n}", f"q{n}") for n in range(3))]
    assert parts_of(store, rows, **NO_DUPLICATES)[HELDOUT] == {held, "b"}
    made = twinbench("bank", "split", "split", "--store", store.root, "--json").succeeded().json
    assert made["named_groups"] == {"groups": 1, "trajectories": 2, "largest": 2, "joined_heldout": [1]}
    said = twinbench("bank", "split", "split", "--store", store.root).succeeded().text
    assert "named groups: 1 group, each in one part: 2 trajectories" in said


def test_draws_of_a_held_out_instance_are_held_out_under_any_name(store: Store) -> None:
    held = min(heldout_instances())
    draws = [asking(f"Draw {n}", f"{held}@{n}", held) for n in range(2)]
    rows = [*draws, *(asking(f"Q {n}", f"q{n}") for n in range(3))]
    assert parts_of(store, rows, **NO_DUPLICATES)[HELDOUT] == {f"{held}@0", f"{held}@1"}


# --- Banks of earlier releases --------------------------------------------------------------------------------------


def as_of_schema_3(store: Store, rows: Sequence[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """Import rows as releases did that kept no groups."""
    with monkeypatch.context() as patch:
        patch.setattr(importing, "SCHEMA_VERSION", 3)
        info = import_rows(rows, store, "old")
    with duckdb.connect(str(store.bank_dir("old") / info.file_name)) as connection:
        connection.execute("ALTER TABLE trajectory DROP COLUMN group_name")
    pointer = store.bank_dir("old") / "bank.json"
    content = json.loads(pointer.read_text("utf-8"))
    for added in ("groups", "task_labels", "caveats"):
        del content[added]
    pointer.write_text(json.dumps(content), "utf-8")


def test_a_bank_of_an_earlier_release_is_read_with_each_trajectory_as_a_group(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*a_trajectory([0, 1]), *a_trajectory([1, 1], instance="i-2")]
    as_of_schema_3(store, rows, monkeypatch)
    import_rows(rows, store, "new")
    file = store.bank_dir("old") / bank_info("old", store).file_name
    written = file.stat().st_mtime_ns
    with open_bank("old", store) as old, Bank.open("new", store) as new:
        assert old.info.schema == bank_info("old", store).schema == SCHEMA_VERSION
        assert old.groups() == new.groups()
        assert (old.info.groups, old.size(WHOLE_BANK)) == (2, new.size(WHOLE_BANK))
        boards = [Evaluator(bank, no_cache=True).board([], resampling=Resampling(100)).to_json() for bank in (old, new)]
    assert [each["intervals"] for each in boards[0]["routers"]] == [each["intervals"] for each in boards[1]["routers"]]
    assert file.stat().st_mtime_ns == written


def test_one_whose_rows_name_groups_is_written_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    as_of_schema_3(store, draws(), monkeypatch)
    before = bank_info("old", store)
    with open_bank("old", store) as bank:
        assert (bank.info.sha256, bank.info.groups) == (before.sha256, 3)
        assert bank.groups() == [f"task {task}" for task in range(3) for _ in range(2)]


def test_what_an_earlier_release_took_for_any_field_is_no_group_where_rows_disagree(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row | {"other": number} for number, row in enumerate(a_trajectory([0, 1]))]
    with monkeypatch.context() as patch:
        patch.setattr(importing, "row_problems", lambda _: [])
        patch.setattr(importing._SeenRows, "conflicts", lambda *_: iter(()))
        as_of_schema_3(store, [row | {"group": row["other"]} for row in rows], monkeypatch)
    with open_bank("old", store) as bank:
        assert bank.groups() == ["swebench/i-1"]
        assert len(list(bank.rows())) == 2
