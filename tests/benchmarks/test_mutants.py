"""Mutation testing: what is mutated and drawn, and how survivors are counted."""

from __future__ import annotations

from pathlib import Path

from cosmic_ray.mutating import MutationSpec
from cosmic_ray.work_item import TestOutcome as Outcome
from cosmic_ray.work_item import WorkerOutcome, WorkItem, WorkResult

from benchmarks import mutants
from benchmarks.mutants import RULES, accepted_survivors, draw, report, unmutated_spans
from tests.conftest import ROOT

MODULE = "twinbench/calls/budget.py"


def mutant(number: int, line: int, column: int = 4, operator: str = "core/NumberReplacer") -> WorkItem:
    place = ((line, column), (line, column + 1))
    return WorkItem.single(f"job-{number}", MutationSpec(Path(MODULE), operator, number, *place))


def result(outcome: Outcome, before: str = "if a > b:", after: str = "if a >= b:") -> WorkResult:
    diff = f"--- a\n+++ b\n@@ -1 +1 @@\n-    {before}\n+    {after}\n"
    return WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome, diff=diff)


def test_every_module_and_its_tests_are_there() -> None:
    for module, tests in RULES.items():
        assert (ROOT / module).is_file()
        assert [path for path in tests if not (ROOT / path).is_file()] == []


def test_every_accepted_survivor_still_stands_in_its_module_and_says_why() -> None:
    for (module, before, after), reason in accepted_survivors().items():
        lines = [line.strip() for line in (ROOT / module).read_text("utf-8").splitlines()]
        assert module in RULES
        assert before != after
        assert reason
        assert before in " ".join(lines)


def test_annotations_and_dataclass_decorators_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def add(number: int | None, by: int = 2) -> int | str:\n    return number | by\n")
    spans = unmutated_spans(path)
    text = path.read_text().splitlines()
    assert (1, text[0].index("|")) in spans
    assert (1, text[0].rindex("|")) in spans
    assert (1, text[0].index("2")) not in spans
    assert (2, text[1].index("|")) not in spans
    path.write_text("@dataclass(frozen=True)\nclass Sum:\n    total: int = 0\n")
    assert {line for line, _ in unmutated_spans(path)} == {1, 3}
    assert (3, "    total: int = 0".index("0")) not in unmutated_spans(path)


def test_strict_of_a_zip_is_left_out_and_other_constants_are_not(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    line = "pairs = zip(one, other, strict=True), pack(strict=False)"
    path.write_text(line)
    spans = unmutated_spans(path)
    assert (1, line.index("True")) in spans
    assert (1, line.index("False")) not in spans


def test_a_draw_is_of_positions_and_repeats_itself() -> None:
    many_at_one = [mutant(number, 10) for number in range(50)]
    others = [mutant(100 + line, line) for line in range(20, 40)]
    drawn = draw([*many_at_one, *others], 12, 3, {MODULE: set()})
    assert len({each.mutations[0].start_pos for each in drawn}) == 12
    assert drawn == draw([*others, *many_at_one], 12, 3, {MODULE: set()})
    assert drawn != draw([*many_at_one, *others], 12, 4, {MODULE: set()})
    assert len(draw([*many_at_one, *others], None, 3, {MODULE: set()})) == 21
    assert len(draw(others, None, 3, {MODULE: {(20, 4)}})) == 19


def test_survivors_are_counted_unless_they_are_accepted() -> None:
    items = [mutant(number, 10 + number) for number in range(4)]
    results = {
        "job-0": result(Outcome.KILLED),
        "job-1": result(Outcome.SURVIVED),
        "job-2": result(Outcome.SURVIVED, "x = 1", "x = 2"),
    }
    accepted = {(MODULE, "x = 1", "x = 2"): "x is written over in the next line"}
    found = report(items, results, accepted)
    assert dict(found.results[MODULE]) == {"killed": 1, "survived": 1, "accepted": 1, "pending": 1}
    assert [str(each) for each in found.survivors] == [f"{MODULE}, the module itself: `if a > b:` → `if a >= b:`"]
    assert found.survived_percent == 100 / 3
    text = "\n".join(found.lines())
    assert "3 mutants tested, 1 survived (33.3 %; at most 3 % wanted), 1 more survived and are accepted" in text
    assert mutants.MOST_SURVIVORS_PERCENT == 3.0
