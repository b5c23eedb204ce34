"""What a conversation shows, which edits it allows, and what is declared beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dynamic_track.rehearsal.conversation import CommandTurn, TaskConversation, check_command, edit_command, read_turns
from dynamic_track.rehearsal.edits import EditKind
from dynamic_track.tasks.task import ANSWER_FILES
from tests.dynamic_track.rehearsal.playing import EASY, Project, all_known, known_as, observed


def test_there_are_twenty_tasks_of_every_difficulty_and_more_than_one_domain() -> None:
    tasks = all_known()
    assert len(tasks) >= 20
    assert {task.difficulty for task in tasks} == {"easy", "medium", "hard"}
    assert len({task.statement for task in tasks}) == len(tasks)


def test_no_declaration_reaches_an_image() -> None:
    assert "edits.toml" in ANSWER_FILES


def test_an_edit_can_be_made_once_all_that_it_changes_was_shown(tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "project")
    (right,) = task.edits.edits_of_kind(EditKind.right)[:1]
    turns: list[CommandTurn] = [CommandTurn("git ls-files", project.run("git ls-files"))]
    assert not TaskConversation(task.edits, tuple(turns)).can_make(right)
    turns += [CommandTurn(f"head -n 3 {file}", project.run(f"head -n 3 {file}")) for file in right.files]
    assert not TaskConversation(task.edits, tuple(turns)).can_make(right)
    for file in right.files:
        assert not TaskConversation(task.edits, tuple(turns)).can_make(right)
        turns.append(CommandTurn(f"cat {file}", project.run(f"cat {file}")))
    assert TaskConversation(task.edits, tuple(turns)).can_make(right)


@pytest.mark.parametrize("kind", list(EditKind))
def test_an_edit_stands_until_it_is_taken_back(kind: EditKind, tmp_path: Path) -> None:
    task = known_as(EASY)
    project = Project.of(task, tmp_path / "project")
    edit = task.edits.edits_of_kind(kind)[0]
    made = CommandTurn(edit_command(edit), project.run(edit_command(edit)))
    assert not made.failed
    assert project.holds(edit)
    twice = CommandTurn(edit_command(edit), project.run(edit_command(edit)))
    assert twice.failed, "it is of the project as it was given"
    checked = CommandTurn(check_command(task.edits), project.run(check_command(task.edits)))
    assert checked.failed is (kind in (EditKind.wrong, EditKind.breaking))
    seen = TaskConversation(task.edits, (made, twice, checked))
    assert (seen.current_edit, seen.checks) == (edit, (checked,))


def test_commands_are_read_in_both_styles() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    odd = {"id": "d", "type": "function", "function": {"name": "bash", "arguments": "{"}}
    tool: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [call, odd]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": observed(0, "a.py")}]},
        {"role": "tool", "tool_call_id": "d", "content": observed(1, "")},
    ]
    text = [
        {"role": "assistant", "content": "THOUGHT: so\n```mswea_bash_command\nls\n```"},
        {"role": "user", "content": observed(0, "a.py")},
    ]
    assert list(read_turns(tool)) == list(read_turns(text)) == [CommandTurn("ls", observed(0, "a.py"))]
