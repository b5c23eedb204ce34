"""Decides what a simulated model does next: it explores, edits, tests, repairs, repeats itself or submits too early.

The decision depends on the model's declared skill, on what the request shows, and on draws that depend on nothing
else: the same request gets the same decision again. The model never knows how a case will be graded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from dynamic_track import harness
from dynamic_track.rehearsal.conversation import (
    PATCH_FILE,
    TaskConversation,
    check_command,
    edit_command,
    message_text,
    read_turns,
)
from dynamic_track.rehearsal.edits import Edit, EditKind, TaskEdits, has_edits, read_task_edits
from dynamic_track.rehearsal.skills import Difficulty, Skill
from dynamic_track.running.agent import SUBMISSION
from dynamic_track.tasks.task import Task
from twinbench.errors import ContentError, Problem

LIST_COMMAND = "git ls-files"
SUBMIT_COMMAND = f"echo {SUBMISSION} && cat {PATCH_FILE}"

_SKIMMED_LINES = 25
_MAX_EDITS = 6
"""After this many edits the model submits what it has."""
_CLUE_WEIGHT = 0.4
_DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")

Draw = Callable[[str], float]
"""Returns a number in [0, 1) for a purpose; the same number for the same model, seed and conversation."""


@dataclass(frozen=True)
class KnownTask:
    """A task as the simulated models know it."""

    id: str
    statement: str
    difficulty: Difficulty
    edits: TaskEdits


@dataclass(frozen=True)
class SimulatedAnswer:
    """An answer: its text, and the commands that it runs; no commands where the model makes a format error."""

    thought: str
    commands: tuple[str, ...] = ()


def known_tasks(tasks: Sequence[Task], task_set: Sequence[Task] = ()) -> tuple[KnownTask, ...]:
    """Return tasks with what they declare for simulated models.

    Args:
        tasks: the tasks of the run.
        task_set: the set that they come from. The tasks of it that declare edits are known too, so that the models are
            the same whichever tasks are chosen, and cases can be added to a rehearsal.

    Raises:
        ContentError: a task declares no edits or no difficulty, or something is wrong with them.
    """
    chosen = {task.id for task in tasks}
    wanted = [task for task in task_set or tasks if task.id in chosen or has_edits(task)]
    return tuple(_known_own_task(task) if task.always_built else _known_task(task) for task in wanted)


def _known_task(task: Task) -> KnownTask:
    return KnownTask(task.id, task.problem_statement.strip(), read_difficulty(task), read_task_edits(task))


_known_own_task = cache(_known_task)
"""Our own tasks are part of the package, so what they declare is read once per process."""


def find_known_task(tasks: Sequence[KnownTask], messages: Sequence[Mapping[str, Any]]) -> KnownTask | None:
    """Return the task that a conversation is about, by the problem statement in its first user message."""
    first = next((message_text(message) for message in messages if message.get("role") == "user"), "")
    return next((task for task in tasks if task.statement in first), None)


def make_draw(*parts: str) -> Draw:
    """Return a draw function whose numbers depend only on the given parts."""
    base = "\0".join(parts)

    def draw(purpose: str) -> float:
        digest = hashlib.sha256(f"{base}\0{purpose}".encode()).digest()
        return int.from_bytes(digest[:7]) / 2**56

    return draw


def next_answer(
    task: KnownTask, skill: Skill, messages: Sequence[Mapping[str, Any]], draw: Draw, *, several: bool
) -> SimulatedAnswer:
    """Return the next answer of a simulated model.

    Args:
        task: the task that the conversation is about.
        skill: the model's skill.
        messages: the conversation.
        draw: the source of its random choices.
        several: whether an answer may contain more than one command.
    """
    seen = TaskConversation(task.edits, tuple(read_turns(messages)))
    if draw("slips") < skill.slips:
        return SimulatedAnswer(
            "I think I know where this goes wrong. Let me explain it first, and then look at the code."
        )
    said = _AnswerDecision(task, skill, seen, draw).decide()
    return said if several else replace(said, commands=said.commands[:1])


@dataclass(frozen=True)
class _AnswerDecision:
    """Decides one answer."""

    task: KnownTask
    skill: Skill
    seen: TaskConversation
    draw: Draw

    def decide(self) -> SimulatedAnswer:
        seen, skill = self.seen, self.skill
        if not seen.turns:
            return SimulatedAnswer("Let me see what there is.", (LIST_COMMAND,))
        if self.draw("circles") < skill.circles and (again := self._repeated_command()):
            return SimulatedAnswer("Let me look at this once more, to be sure.", (again,))
        if seen.current_edit is None:
            return self._explore()
        if (change := self._revise(seen.current_edit)) is not None:
            return change
        if seen.patch_written:
            return SimulatedAnswer("The patch holds what I want to submit.", (SUBMIT_COMMAND,))
        if not seen.checks and self.draw("tests") < skill.tests:
            return SimulatedAnswer("Now the tests, and the example of the issue.", (check_command(self.task.edits),))
        return self._patch(seen.current_edit.files)

    def _explore(self) -> SimulatedAnswer:
        seen, skill = self.seen, self.skill
        if seen.patch_written:
            return SimulatedAnswer("I could not find more to do.", (SUBMIT_COMMAND,))
        if self.draw("gives up") < skill.gives_up or len(seen.edits_made) >= _MAX_EDITS:
            return self._patch(())
        if not seen.files:
            return SimulatedAnswer("First the files of the project.", (LIST_COMMAND,))
        right = self.task.edits.edits_of_kind(EditKind.right)
        has_read = any(map(seen.can_make, right)) if right else any(map(seen.can_make, self.task.edits.edits))
        if not has_read:
            return self._open()
        if not seen.reproduced and self.draw("reproduces") < skill.reproduces:
            return SimulatedAnswer(
                "Before I change anything: the example of the issue.", (self.task.edits.symptom.strip(),)
            )
        return self._edit(None) or self._open()

    def _revise(self, current: Edit) -> SimulatedAnswer | None:
        """Return an answer that makes another edit instead of the current one, if the model decides that it is
        needed.
        """
        seen, skill = self.seen, self.skill
        if len(seen.edits_made) >= _MAX_EDITS:
            return None
        failing = bool(seen.checks) and seen.checks[-1].failed
        if failing and not seen.patch_written:
            if self.draw("repairs") < skill.repairs:
                return self._edit(current)
            return None
        if not seen.checks and not seen.patch_written:
            return None
        if current.kind is not EditKind.right:
            if self.draw("doubts") < skill.doubts.at_difficulty(self.task.difficulty):
                return self._edit(current)
        elif self.draw("spoils") < skill.spoils:
            return self._edit(current)
        return None

    def _edit(self, current: Edit | None) -> SimulatedAnswer | None:
        """Return an answer with an edit, among those whose code the model has read, that replaces the current one; None
        if there is no such edit.
        """
        possible = [edit for edit in self.task.edits.edits if self.seen.can_make(edit) and edit != current]
        right = [edit for edit in possible if edit.kind is EditKind.right]
        misses = [edit for edit in possible if edit.kind is not EditKind.right]
        chance = self.skill.solves.chance(self.task.edits.subject, self.task.difficulty)
        chance = 1 - (1 - chance) ** (1 + _CLUE_WEIGHT * self.seen.clue_count)
        if right and self.draw("solves") < chance:
            chosen = right[int(self.draw("which right") * len(right))]
        elif misses:
            chosen = self._choose_wrong_edit(misses)
        else:
            return None
        undo = "" if current is None else f"git checkout -- {' '.join(current.files)}\n"
        thought = chosen.says if current is None else f"That was not it; I take it back. {chosen.says}"
        return SimulatedAnswer(thought, (undo + edit_command(chosen),))

    def _choose_wrong_edit(self, misses: Sequence[Edit]) -> Edit:
        fresh = [edit for edit in misses if edit not in self.seen.edits_made] or list(misses)
        weights = [self.skill.weight(edit.kind) for edit in fresh]
        at = self.draw("which miss") * sum(weights)
        for edit, weight in zip(fresh, weights, strict=True):
            at -= weight
            if at < 0:
                return edit
        return fresh[-1]

    def _open(self) -> SimulatedAnswer:
        """Return an answer that opens unread files, with a preference for those with the fault."""
        seen, skill = self.seen, self.skill
        faulty = [file for file in self.task.edits.faulty_files if not seen.was_read(file)]
        others = [file for file in seen.files if not seen.was_read(file) and file not in faulty]
        chosen: list[str] = []
        for number in range(skill.opens_at_once):
            found = self.draw(f"finds {number}") < skill.finds
            source = (faulty or others) if found else (others or faulty)
            if source:
                chosen.append(source.pop(int(self.draw(f"which file {number}") * len(source))))
        if not chosen:
            return self._patch(())
        if self.draw("skims") < skill.skims:
            return SimulatedAnswer(f"A look at {chosen[0]}.", (f"head -n {_SKIMMED_LINES} {chosen[0]}",))
        return SimulatedAnswer(f"Let me read {', '.join(chosen)}.", tuple(f"cat {file}" for file in chosen))

    def _repeated_command(self) -> str | None:
        """Return a command that was run before and changes nothing."""
        harmless = [
            turn.command for turn in self.seen.turns if turn.command.startswith(("cat ", "head ", LIST_COMMAND))
        ]
        return harmless[int(self.draw("which again") * len(harmless))] if harmless else None

    def _patch(self, files: Sequence[str]) -> SimulatedAnswer:
        paths = f" -- {' '.join(files)}" if files else ""
        return SimulatedAnswer(
            "This is what I have; now the patch.", (f"git diff{paths} > {PATCH_FILE} && cat {PATCH_FILE}",)
        )


def read_difficulty(task: Task) -> Difficulty:
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
