"""Every declared edit does to its project what its kind says, by real containers and SWE-bench's grading."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from dynamic_track.grading.verdict import TESTBED, grade
from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.rehearsal.edits import Change, Edit, EditKind, read_edits, read_task_edits
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import Task
from tests.engine import alone_on_this_machine
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox
from twinbench.errors import ContentError

TASKS = Path(__file__).parents[3] / "dynamic_track/rehearsal/tasks"
IN_THE_SUITE = ("rehearsal__slotbook-17",)
"""The others are checked in ``make acceptance``."""
NAMES = [
    path.name if path.name in IN_THE_SUITE else pytest.param(path.name, marks=pytest.mark.acceptance)
    for path in sorted(TASKS.glob("rehearsal__*"))
]

EDITS = '''
symptom = """
false
"""
[[edits]]
kind = "right"
says = "It is two."
[[edits.changes]]
file = "one.py"
old = """
x = 1
"""
new = """
x = 2
"""
'''


def done(sandbox: Sandbox, command: str) -> tuple[int | None, str]:
    """Exit code and output of a command in the project."""
    result = sandbox.run_command(command, directory=TESTBED, timeout_s=60)
    return result.exit_code, result.output


def changed(sandbox: Sandbox, change: Change) -> None:
    """Make a change as it is declared."""
    code = (
        f"import pathlib; p = pathlib.Path({change.file!r}); s = p.read_text(); "
        f"assert s.count({change.old!r}) == 1; p.write_text(s.replace({change.old!r}, {change.new!r}))"
    )
    assert done(sandbox, f"python3 -c {shlex.quote(code)}") == (0, "")


def seen(engine: Engine, task: Task, edit: Edit | None, symptom: str) -> tuple[bool, bool, str]:
    """Whether the symptom is gone and the project's own tests pass after an edit, and the patch."""
    with Sandbox(engine, task.image, "case", limits=ContainerLimits(memory_mib=1024)) as sandbox:
        for change in () if edit is None else edit.changes:
            changed(sandbox, change)
        symptom_code, _ = done(sandbox, symptom)
        tests_code, _ = done(sandbox, "python3 -m pytest -q -p no:cacheprovider")
        _, patch = done(sandbox, "git diff")
    return symptom_code == 0, tests_code == 0, patch


SEEN = {
    EditKind.right: (True, True),
    EditKind.partial: (True, True),
    EditKind.wrong: (False, True),
    EditKind.breaking: (None, False),
}


@pytest.mark.acceptance
@pytest.mark.parametrize("name", NAMES)
def test_every_edit_does_what_its_kind_says(name: str, engine: Engine, base_image: str, verdicts: VerdictStore) -> None:
    task = load_tasks("rehearsal").task(name)
    declared = read_task_edits(task)
    with alone_on_this_machine("rehearsal-images"):
        assert prepare_images(engine, [task], build_them=True) == {}
    assert seen(engine, task, None, declared.symptom)[:2] == (False, True), "as it was given"
    for edit in declared.edits:
        gone, passing, patch = seen(engine, task, edit, declared.symptom)
        wanted_gone, wanted_passing = SEEN[edit.kind]
        told = f"{edit.kind}: {edit.says}"
        assert passing is wanted_passing, told
        assert wanted_gone is None or gone is wanted_gone, told
        assert grade(engine, task, patch, verdicts).resolved is (edit.kind is EditKind.right), told


@pytest.mark.parametrize("name", sorted(path.name for path in TASKS.glob("rehearsal__*")))
def test_every_task_declares_edits_of_every_kind(name: str) -> None:
    declared = read_edits(TASKS / name)
    assert {edit.kind for edit in declared.edits} == set(EditKind)


def test_no_edit_is_in_an_image(engine: Engine, rehearsal: Sequence[Task]) -> None:
    with Sandbox(engine, rehearsal[0].image, "case", limits=ContainerLimits(memory_mib=1024)) as sandbox:
        assert done(sandbox, "find / -name edits.toml -not -path '/proc/*' 2>/dev/null")[1] == ""


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ('kind = "right"', 'kind = "perfect"', "edits[0].kind"),
        ('file = "one.py"', 'file = "two.py"', "changes[0].file: two.py is not a file of the project"),
        ("x = 1\n", "x = 3\n", "occurs 0 times in one.py"),
        ('says = "It is two."', "", "edits[0].says: is missing"),
        ("[[edits.changes]]", "[[edits.changes]]\nmore = 1", "more"),
        ("[[edits]]", "[[edits", "line"),
        ('old = """\nx = 1\n"""', 'old = "x = 1"', "edits[0].changes[0].old"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_place(tmp_path: Path, was: str, becomes: str, told: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/one.py").write_text("x = 1\n", "utf-8")
    (tmp_path / "edits.toml").write_text(EDITS, "utf-8")
    assert [edit.kind for edit in read_edits(tmp_path).edits] == ["right"]
    assert was in EDITS
    (tmp_path / "edits.toml").write_text(EDITS.replace(was, becomes, 1), "utf-8")
    with pytest.raises(ContentError, match=told.replace("[", r"\[").replace("]", r"\]")) as refused:
        read_edits(tmp_path)
    assert "edits.toml" in str(refused.value)


def test_a_task_without_a_declaration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"edits\.toml.*is missing"):
        read_edits(tmp_path)
