"""Cross-validation: no row is answered by what was trained on it, on its group, or on what begins nearly like it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import twinbench as tb
from static_track.banks.bank import Bank
from static_track.banks.splits import WHOLE_BANK
from static_track.crossval import cross_validate
from static_track.evaluator import Evaluator
from static_track.folds import Folds, folds_by_group, folds_by_workload
from static_track.out_of_fold import FoldTraining, predict_out_of_fold
from tests.banks import Row, a_row, a_trajectory, import_rows
from tests.cli.commands import twinbench
from tests.plugins.hosting import limits
from tests.plugins.test_training import LEARNING, about
from twinbench.errors import UsageError
from twinbench.statistics import Resampling
from twinbench.storage.store import STORE_VARIABLE, Store

HELD_OUT = "django__django-11848"


def some_rows() -> Iterator[Row]:
    """Two workloads; two trajectories in one group, two that begin nearly alike in different workloads."""
    for number in range(8):
        for row in about(number, "swebench" if number < 5 else "bfcl"):
            yield row | ({"group": "pair"} if number in (1, 6) else {})
    for row in about(2, "swebench", also=" x"):
        yield row | {"benchmark": "bfcl", "instance_id": "copy", "id": f"copy/{row['step_index']}"}
    yield from a_trajectory([0, 1], instance=HELD_OUT)


@pytest.fixture
def bank(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    import_rows(some_rows(), store)
    with Bank.open("bank", store) as opened:
        yield opened


def assert_sound(folds: Folds, bank: Bank) -> None:
    """Each trajectory is answered once, by what saw nothing of it."""
    names = {number: label.instance_id for number, label in enumerate(bank.labels())}
    groups = bank.groups()
    assert sorted(number for fold in folds.folds for number in fold.test) == sorted(names)
    (first,) = (number for number, name in names.items() if name == "i2")
    (copy,) = (number for number, name in names.items() if name == "copy")
    for fold in folds.folds:
        assert fold.train
        assert not set(fold.train) & set(fold.test)
        assert not {groups[number] for number in fold.train} & {groups[number] for number in fold.test}
        assert not set(fold.train) & set(bank.heldout())
        for one, other in ((first, copy), (copy, first)):
            assert not (one in fold.test and other in fold.train)


def test_folds_hold_out_whole_groups_and_what_begins_alike(bank: Bank) -> None:
    assert len(bank.heldout()) == 1
    for seed in range(5):
        folds = folds_by_group(bank, WHOLE_BANK, 3, seed)
        assert_sound(folds, bank)
        assert sorted(len(fold.test) for fold in folds.folds)[0] >= 2
    assert folds_by_group(bank, WHOLE_BANK, 3, 0) != folds_by_group(bank, WHOLE_BANK, 3, 1)
    by_workload = folds_by_workload(bank, WHOLE_BANK)
    assert_sound(by_workload, bank)
    assert [fold.name for fold in by_workload.folds] == ["bfcl", "swebench"]
    with pytest.raises(UsageError, match="20 folds of 7 groups: some would be empty"):
        folds_by_group(bank, WHOLE_BANK, 20, 0)


def test_a_router_that_remembers_everything_knows_nothing_of_a_row_that_is_held_out(bank: Bank) -> None:
    spec = f"{LEARNING}:Remembers"
    board = tb.crossval([spec, "depth-rule"], "bank", folds=2, plugins=limits(), resampling=None)
    by_name = {entry.router: entry for entry in board.entries}
    assert by_name[spec].score.scores == by_name["always-high"].score.scores
    assert by_name[spec].score.counts["errors"] == 0
    assert not by_name[spec].reference
    assert by_name["cascade-tuned"].reference
    assert by_name["depth-rule"].score == tb.score("depth-rule", "bank", resampling=None).entries[0].score
    told = board.to_json()["crossval"]
    assert (told["by"], [fold["name"] for fold in told["folds"]]) == ("group", ["1", "2"])
    again = tb.crossval(spec, "bank", folds=2, plugins=limits(), resampling=None)  # kept: the same latency to the bit
    assert again.entries[0].latency_ms == by_name[spec].latency_ms


def test_where_training_fails_on_a_fold_its_rows_are_errors_and_the_exit_code_is_1(bank: Bank) -> None:
    spec = f"{LEARNING}:FailsWithoutTheFirst"
    ran = twinbench("static", "crossval", spec, "--bank", "bank", "--by", "workload", "--resamples", "0", "--json")
    entry = ran.json["routers"][0]
    failing = sum(label.workload == "swebench" for label in bank.labels()) * 2
    assert (ran.code, entry["counts"]["errors"]) == (1, failing)
    assert "fold swebench: router" in entry["first_error"]
    assert "could not be trained: fit raised LookupError: where is i0?" in entry["first_error"]


def test_folds_in_processes_of_their_own_give_the_same_answers(bank: Bank) -> None:
    routers = (f"{LEARNING}:FailsWithoutTheFirst", "depth-rule")
    options = ("--bank", "bank", "--by", "workload", "--resamples", "0", "--no-cache", "--json")
    command = ("static", "crossval", *routers, *options)
    alone, beside = twinbench(*command), twinbench(*command, "--workers", "2")
    assert (beside.code, alone.code) == (1, 1)
    kept = ("router", "scores", "counts", "first_error")
    told = [[{name: entry[name] for name in kept} for entry in ran.json["routers"]] for ran in (alone, beside)]
    assert told[0] == told[1]
    assert "could not be trained" in told[1][0]["first_error"]


PRINTS = """
class Prints:
    def fit(self, trajectories):
        pass

    def save(self, folder):
        (folder / "x").touch()

    def load(self, folder):
        pass

    def route(self, call):
        print("before it fails")
        raise KeyError
"""


@pytest.mark.acceptance
def test_what_a_failing_router_printed_is_shown_however_many_folds_run_at_once(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "prints.py"
    path.write_text(PRINTS)
    options = ("--bank", "bank", "--folds", "2", "--resamples", "0", "--no-cache")
    for workers in ("1", "2"):
        ran = twinbench("static", "crossval", f"{path}:Prints", *options, "--workers", workers)
        assert (ran.code, "before it fails" in ran.err) == (1, True), ran.err


def test_folds_are_answered_one_after_the_other_where_a_router_may_ask_an_llm(bank: Bank) -> None:
    class WithLlm(Evaluator):
        has_llm = True

    folds = folds_by_group(bank, WHOLE_BANK, 2, 0)
    with pytest.raises(UsageError, match="that may ask an LLM are answered one after the other: leave out --workers"):
        predict_out_of_fold(WithLlm(bank), "ordinal", folds, FoldTraining(workers=2))
    cross_validate(Evaluator(bank), ["depth-rule"], folds)
    with pytest.raises(UsageError, match="leave out --workers"):  # also where the answers are cached
        cross_validate(WithLlm(bank), ["depth-rule"], folds, training=FoldTraining(workers=2))
    with pytest.raises(UsageError, match="at least 1, not 0"):
        FoldTraining(workers=0)


def test_what_cannot_be_cross_validated_is_refused(bank: Bank) -> None:
    for arguments, why in (
        ([], "name the routers to cross-validate"),
        (["sticky", "sticky"], "each once"),
        (["nobody"], "no router has that name"),
        (["sticky", "--folds", "40"], "some would be empty"),
    ):
        refused = twinbench("static", "crossval", *arguments, "--bank", "bank")
        assert (refused.code, why in refused.err) == (2, True), refused.err
    with pytest.raises(UsageError, match="folds are by group or by workload"):
        tb.crossval("sticky", "bank", by="row")


def test_the_tuned_cascade_finds_the_number_of_troubled_steps_that_matters(store: Store) -> None:
    rows = []
    for number in range(12):
        trouble = 2 + number % 3
        for step in range(1, 7):
            row = a_row(0 if step <= trouble + 2 else 1, instance=f"i{number}", step=step, total_steps=6)
            for place, message in enumerate(row["messages"][2:]):
                if message["role"] == "tool" and place // 2 >= trouble - 1:
                    message["content"] = "Traceback (most recent call last)"
            row["messages"][1]["content"] = f"task {number}"
            rows.append(row)
    import_rows(rows, store)
    drawn = Resampling(resamples=200)
    board = tb.crossval(["cascade", "always-high"], "bank", folds=3, store=store.root, resampling=drawn)
    scores = {entry.router: entry.score.scores for entry in board.entries}
    assert scores["cascade-tuned"]["row_exact"] == 100.0
    best = board.best_constant
    assert best is not None
    assert (scores["cascade-tuned"]["combined"] or 0) > (best.score.scores["combined"] or 0) + 10
    assert sorted(board.differences) == sorted({"cascade", "always-high", "cascade-tuned"} - {best.router})
    assert board.verdict("cascade-tuned").startswith("better than (+")
    paired = tb.compare(["always-high", best.router], "bank", store=store.root, resampling=drawn)
    if best.router != "always-high":
        found = paired.pairs[0].differences["combined"]
        assert board.differences["always-high"].difference == pytest.approx(found.difference)
