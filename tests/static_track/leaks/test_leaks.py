"""What a bank gives away is found and named; a bank that gives nothing away passes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from static_track.banks.bank import Bank
from static_track.leaks.checking import LEVEL, Examination, check_bank, glance
from static_track.leaks.routers import score_leaks
from static_track.leaks.traits import TRAITS, read_traits
from tests.banks import import_rows
from tests.static_track.leaks.planted import PLANTED, Plant, planted, rows, step_index
from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    """A bank whose labels are drawn from nothing."""
    store = Store(tmp_path_factory.mktemp("clean") / "store")
    import_rows(rows(), store)
    with Bank.open("bank", store) as bank:
        yield bank


@pytest.mark.parametrize("leaks", PLANTED, ids=lambda leaks: "+".join(leak.__name__ for leak in leaks))
def test_what_is_planted_is_found_and_named(leaks: dict[Plant, str], store: Store) -> None:
    import_rows(planted(leaks), store)

    with Bank.open("bank", store) as bank:
        report = check_bank(bank)

    failed = {check.name: check for check in report.checks if check.status == "fail"}
    assert set(leaks.values()) <= failed.keys()
    assert report.failed
    for name in leaks.values():
        found = failed[name]
        assert found.interval is not None
        assert found.value is not None
        assert 5 < found.interval[0] <= found.value <= found.interval[1]
        assert found.accuracy == pytest.approx(report.largest_class + found.value)


def test_where_nothing_is_planted_nothing_is_found(clean: Bank) -> None:
    report = check_bank(clean)

    assert [check.name for check in report.checks] == list(TRAITS)
    assert report.found == []
    assert not report.failed
    assert report.rows == 120
    assert report.groups == 40


@pytest.mark.acceptance
def test_labels_without_cause_rarely_raise_an_alarm(clean: Bank) -> None:
    """At most 5 % of banks; of 200, 16 or more would come by chance in one run of twenty if it were so many."""
    traits = read_traits(clean).traits
    groups = [str(row // 3) for row in range(120)]
    targets = [row % 4 for row in range(120)]
    drawn = random.Random(5)  # noqa: S311
    alarms = 0
    for _ in range(200):
        drawn.shuffle(targets)
        checks = Examination(traits, targets, groups, ["agent"] * 120).checks()
        alarms += any(check.status != "pass" for check in checks)
    print(f"of 200 banks of 120 rows without a leak, {alarms} have a check that does not pass")
    assert alarms <= 15


def test_what_is_the_same_on_every_row_is_said_to_be(clean: Bank) -> None:
    checks = {check.name: check for check in check_bank(clean).checks}

    assert checks["number of tools"].reason == "the same on every row"
    assert checks["dates and times"].reason == "no row has this"
    assert checks["number of tools"].value is None
    assert checks["number of tools"].interval is None


def test_rows_of_a_group_are_never_learnt_from_and_judged_at_once(store: Store) -> None:
    """Each trajectory has a length and a label of its own: a table of rows would know all, one of groups nothing."""
    found = rows(trajectories=24, steps=5)
    drawn = random.Random(3)  # noqa: S311
    tiers = [drawn.randrange(4) for _ in range(24)]
    for row in found:
        number = int(str(row["instance_id"])[1:])
        tier = Tier(tiers[number])
        row |= {"target_tier": tier.label, "target_tier_id": int(tier)}
        row["messages"] = [{"role": "user", "content": "x" * (100 + number)}]
    import_rows(found, store)

    with Bank.open("bank", store) as bank:
        assert check_bank(bank).found == []


def test_what_only_tells_workloads_apart_adds_nothing_within_them(store: Store) -> None:
    found = rows()
    drawn = random.Random(2)  # noqa: S311
    for row in found:
        if int(str(row["instance_id"])[1:]) % 2:
            tier = Tier.LOW if drawn.random() < 0.9 else Tier.MID
            row["benchmark"] = "questions"
            row["functions"] = []
        else:
            tier = Tier.HIGH if drawn.random() < 0.9 else Tier.MID
        row |= {"target_tier": tier.label, "target_tier_id": int(tier)}
    import_rows(found, store)

    with Bank.open("bank", store) as bank:
        report = check_bank(bank)

    [check] = [check for check in report.checks if check.name == "number of tools"]
    assert check.status == "fail"
    assert check.value == pytest.approx(report.workload)
    assert check.within_workloads == 0
    assert any("workloads" in note for note in report.notes)


def test_too_few_groups_find_nothing_and_say_so(store: Store) -> None:
    import_rows(rows(step_index, trajectories=5), store)

    with Bank.open("bank", store) as bank:
        report = check_bank(bank)

    assert report.found == []
    assert all(check.interval is None for check in report.checks)
    assert report.notes == ["5 groups are too few: a check needs 7."]


def test_a_bank_without_labels_or_with_one_group_is_refused(store: Store) -> None:
    unlabelled = [
        {key: value for key, value in row.items() if not key.startswith("target")} for row in rows(trajectories=2)
    ]
    import_rows(unlabelled, store, "unlabelled")
    import_rows(rows(trajectories=1), store, "one")

    with Bank.open("unlabelled", store) as bank:
        assert glance(bank) == []
        with pytest.raises(UsageError, match="no labels"):
            check_bank(bank)
    with Bank.open("one", store) as bank:
        assert glance(bank) == []
        with pytest.raises(UsageError, match="3 rows of 'one' in 1 group"):
            check_bank(bank)


def test_a_report_is_a_table_and_json(clean: Bank) -> None:
    report = check_bank(clean)
    content = report.to_json()

    assert content["level"] == LEVEL
    assert content["ok"]
    assert len(content["checks"]) == len(report.records()) == len(TRAITS)
    assert {"name", "subject", "status", "value", "interval", "reason"} <= content["checks"][0].keys()
    assert "answers" not in content["checks"][0]


@pytest.mark.slow
def test_a_router_that_uses_a_leak_alone_is_told_what_that_gives(store: Store, clean: Bank) -> None:
    import_rows(rows(step_index), store)

    with Bank.open("bank", store) as bank:
        labels = dict(bank.cursor().execute("SELECT row_no, target FROM base").fetchall())
        leaking = score_leaks(bank, labels)
    honest = score_leaks(clean, dict.fromkeys(range(120), 3))

    assert leaking.check is not None
    assert leaking.check.name == "step index"
    assert leaking.share is not None
    assert leaking.share > 0.8
    assert f"predicting from step index alone ({leaking.check.subject}) reaches" in leaking.detail
    assert honest.check is None


@pytest.mark.acceptance
def test_the_known_leak_of_a_real_bank_is_named(shared: Path, store: Store) -> None:
    """Its steps were sampled at fixed shares of a run, so the second step index tells how long the run was."""
    from static_track.banks.importing import import_bank

    import_bank(str(shared / "banks/swemini_g3p_dev/question_bank.jsonl.gz"), "swe", store)

    with Bank.open("swe", store) as bank:
        report = check_bank(bank)

    assert "step index" in [check.name for check in report.found]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bfcl_2024_08", "official_part"])
def test_other_real_banks_pass(name: str, shared: Path, store: Store) -> None:
    from static_track.banks.importing import import_bank

    import_bank(str(shared / f"banks/{name}/question_bank.jsonl.gz"), name, store)

    with Bank.open(name, store) as bank:
        assert check_bank(bank).found == []
