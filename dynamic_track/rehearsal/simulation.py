"""Decides what a simulated model does next: it explores, edits, tests, repairs, repeats itself or submits too early.

The decision depends on the model's declared skill, on what the request shows, and on draws that depend on nothing
else: the same request gets the same decision again. The model never knows how a case will be graded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynamic_track import harness
from dynamic_track.rehearsal.conversation import PATCH_FILE, Seen, check_command, edit_command, text_of, turns_of
from dynamic_track.rehearsal.edits import Edit, EditKind, TaskEdits, edits_of, has_edits
from dynamic_track.rehearsal.skills import Difficulty, Skill
from dynamic_track.running.agent import SUBMISSION
from dynamic_track.tasks.task import Task
from twinbench.errors import ContentError, Problem

LIST_COMMAND = "git ls-files"
SUBMIT_COMMAND = f"echo {SUBMISSION} && cat {PATCH_FILE}"

_SKIMMED_LINES = 25
_MOST_EDITS = 6
"""After this many edits the model submits what it has."""
_CLUE_WEIGHT = 0.4
_DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")

Draw = Callable[[str], float]
"""Returns a number in [0, 1) for a purpose; the same number for the same model, seed and conversation."""


@dataclass(frozen=True)
class Known:
    """A task as the simulated models know it."""

    id: str
    statement: str
    difficulty: Difficulty
    edits: TaskEdits


@dataclass(frozen=True)
class Said:
    """An answer: its text, and the commands that it runs; no commands where the model makes a format error."""

    thought: str
    commands: tuple[str, ...] = ()


def known(tasks: Sequence[Task], all_of: Sequence[Task] = ()) -> tuple[Known, ...]:
    """Return tasks with what they declare for simulated models.

    Args:
        tasks: the tasks of the run.
        all_of: the set that they come from. The tasks of it that declare edits are known too, so that the models are
        the
            same whichever tasks are chosen, and cases can be added to a rehearsal.

    Raises:
        ContentError: a task declares no edits or no difficulty, or something is wrong with them.
    """
    chosen = {task.id for task in tasks}
    wanted = [task for task in all_of or tasks if task.id in chosen or has_edits(task)]
    return tuple(Known(task.id, task.problem_statement.strip(), difficulty_of(task), edits_of(task)) for task in wanted)


def known_task(tasks: Sequence[Known], messages: Sequence[Mapping[str, Any]]) -> Known | None:
    """Return the task that a conversation is about, by the problem statement in its first user message."""
    first = next((text_of(message) for message in messages if message.get("role") == "user"), "")
    return next((task for task in tasks if task.statement in first), None)


def drawing(*parts: str) -> Draw:
    """Return a draw function whose numbers depend only on the given parts."""
    base = "\0".join(parts)

    def draw(purpose: str) -> float:
        digest = hashlib.sha256(f"{base}\0{purpose}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56

    return draw


def next_said(task: Known, skill: Skill, messages: Sequence[Mapping[str, Any]], draw: Draw, *, several: bool) -> Said:
    """Return the next answer of a simulated model.

    Args:
        task: the task that the conversation is about.
        skill: the model's skill.
        messages: the conversation.
        draw: the source of its random choices.
        several: whether an answer may contain more than one command.
    """
    seen = Seen(task.edits, tuple(turns_of(messages)))
    if draw("slips") < skill.slips:
        return Said("I think I know where this goes wrong. Let me explain it first, and then look at the code.")
    said = _Worker(task, skill, seen, draw).said()
    return said if several else replace(said, commands=said.commands[:1])


@dataclass(frozen=True)
class _Worker:
    """Decides one answer."""

    task: Known
    skill: Skill
    seen: Seen
    draw: Draw

    def said(self) -> Said:
        seen, skill = self.seen, self.skill
        if not seen.turns:
            return Said("Let me see what there is.", (LIST_COMMAND,))
        if self.draw("circles") < skill.circles and (again := self._again()):
            return Said("Let me look at this once more, to be sure.", (again,))
        if seen.current is None:
            return self._towards_an_edit()
        if (change := self._change_of_mind(seen.current)) is not None:
            return change
        if seen.patch_written:
            return Said("The patch holds what I want to submit.", (SUBMIT_COMMAND,))
        if not seen.checks and self.draw("tests") < skill.tests:
            return Said("Now the tests, and the example of the issue.", (check_command(self.task.edits),))
        return self._patch(seen.current.files)

    def _towards_an_edit(self) -> Said:
        seen, skill = self.seen, self.skill
        if seen.patch_written:
            return Said("I could not find more to do.", (SUBMIT_COMMAND,))
        if self.draw("gives up") < skill.gives_up or len(seen.tried) >= _MOST_EDITS:
            return self._patch(())
        if not seen.files:
            return Said("First the files of the project.", (LIST_COMMAND,))
        right = self.task.edits.of_kind(EditKind.right)
        has_read = any(map(seen.can_make, right)) if right else any(map(seen.can_make, self.task.edits.edits))
        if not has_read:
            return self._open()
        if not seen.reproduced and self.draw("reproduces") < skill.reproduces:
            return Said("Before I change anything: the example of the issue.", (self.task.edits.symptom.strip(),))
        return self._edit(None) or self._open()

    def _change_of_mind(self, current: Edit) -> Said | None:
        """Return an answer that makes another edit instead of the current one, if the model decides that it is
        needed.
        """
        seen, skill = self.seen, self.skill
        if len(seen.tried) >= _MOST_EDITS:
            return None
        failing = bool(seen.checks) and seen.checks[-1].failed
        if failing and not seen.patch_written:
            if self.draw("repairs") < skill.repairs:
                return self._edit(current)
            return None
        if not seen.checks and not seen.patch_written:
            return None
        if current.kind is not EditKind.right:
            if self.draw("doubts") < skill.doubts.of(self.task.difficulty):
                return self._edit(current)
        elif self.draw("spoils") < skill.spoils:
            return self._edit(current)
        return None

    def _edit(self, current: Edit | None) -> Said | None:
        """Return an answer with an edit, among those whose code the model has read, that replaces the current one; None
        if there is no such edit.
        """
        possible = [edit for edit in self.task.edits.edits if self.seen.can_make(edit) and edit != current]
        right = [edit for edit in possible if edit.kind is EditKind.right]
        misses = [edit for edit in possible if edit.kind is not EditKind.right]
        chance = self.skill.solves.of(self.task.edits.subject, self.task.difficulty)
        chance = 1 - (1 - chance) ** (1 + _CLUE_WEIGHT * self.seen.clues)
        if right and self.draw("solves") < chance:
            chosen = right[int(self.draw("which right") * len(right))]
        elif misses:
            chosen = self._missed(misses)
        else:
            return None
        undo = "" if current is None else f"git checkout -- {' '.join(current.files)}\n"
        thought = chosen.says if current is None else f"That was not it; I take it back. {chosen.says}"
        return Said(thought, (undo + edit_command(chosen),))

    def _missed(self, misses: Sequence[Edit]) -> Edit:
        fresh = [edit for edit in misses if edit not in self.seen.tried] or list(misses)
        weights = [self.skill.weight(edit.kind) for edit in fresh]
        at = self.draw("which miss") * sum(weights)
        for edit, weight in zip(fresh, weights, strict=True):
            at -= weight
            if at < 0:
                return edit
        return fresh[-1]

    def _open(self) -> Said:
        """Return an answer that opens unread files, with a preference for those with the fault."""
        seen, skill = self.seen, self.skill
        faulty = [file for file in self.task.edits.faulty_files if not seen.opened(file)]
        others = [file for file in seen.files if not seen.opened(file) and file not in faulty]
        chosen: list[str] = []
        for number in range(skill.opens_at_once):
            found = self.draw(f"finds {number}") < skill.finds
            source = (faulty or others) if found else (others or faulty)
            if source:
                chosen.append(source.pop(int(self.draw(f"which file {number}") * len(source))))
        if not chosen:
            return self._patch(())
        if self.draw("skims") < skill.skims:
            return Said(f"A look at {chosen[0]}.", (f"head -n {_SKIMMED_LINES} {chosen[0]}",))
        return Said(f"Let me read {', '.join(chosen)}.", tuple(f"cat {file}" for file in chosen))

    def _again(self) -> str | None:
        """Return a command that was run before and changes nothing."""
        harmless = [
            turn.command for turn in self.seen.turns if turn.command.startswith(("cat ", "head ", LIST_COMMAND))
        ]
        return harmless[int(self.draw("which again") * len(harmless))] if harmless else None

    def _patch(self, files: Sequence[str]) -> Said:
        paths = f" -- {' '.join(files)}" if files else ""
        return Said("This is what I have; now the patch.", (f"git diff{paths} > {PATCH_FILE} && cat {PATCH_FILE}",))


def difficulty_of(task: Task) -> Difficulty:
    """Return the difficulty that a task declares.

    Raises:
        ContentError: it declares no difficulty that simulated models know.
    """
    found = None if task.folder is None else harness.load_yaml(task.folder / "task.yaml").get("difficulty")
    for difficulty in _DIFFICULTIES:
        if found == difficulty:
            return difficulty
    what = f"is {found!r}; simulated models know {', '.join(_DIFFICULTIES)}"
    raise ContentError([Problem(str(task.folder or task.id), None, "difficulty", what)])
